"""Builds the image without a Docker engine: a base by debootstrap, the Dockerfile by buildah in a store of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from docs_blocks import ROOT

BASE = "docker.io/library/python:3.11-slim-bookworm"
"""The full name of the Dockerfile's base; here it is a Debian with its own Python 3.11."""

IMAGE = "localhost/iocmng-test"

BUILD_TIMEOUT = 1500

# What a machine needs to reach its package indexes, such as a certificate of its own.
SITE_FILES = ("etc/pip.conf", "etc/ssl/certs/ca-certificates.crt")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def missing() -> str:
    """Return why no image can be built here, or nothing."""
    if os.geteuid() != 0:
        return "only root can make a base image and run a container without an engine"
    gone = [name for name in ("buildah", "debootstrap", "unshare", "chroot") if shutil.which(name) is None]
    return f"not installed: {', '.join(gone)} (apt-get install buildah debootstrap)" if gone else ""


class Builder:
    """A store of images that is removed with everything in it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._store = ["--root", str(directory / "store"), "--runroot", str(directory / "run")]
        self.log = directory / "build.log"

    def buildah(self, *arguments: object, timeout: float = 300) -> str:
        """Run buildah; return what it prints."""
        command = ["buildah", *self._store, *map(str, arguments)]
        with self.log.open("a") as log:
            log.write(f"\n$ {' '.join(command)}\n")
            log.flush()
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, text=True, timeout=timeout, check=False)
            log.write(done.stdout)
        assert done.returncode == 0, f"{' '.join(command)}\n{self.log.read_text()[-4000:]}"
        return done.stdout.strip()

    def command(self, *arguments: object) -> list[str]:
        """Return a command line of buildah, for what runs longer than a call."""
        return ["buildah", *self._store, *map(str, arguments)]

    def make_base(self) -> None:
        """Make the base image from Debian's packages."""
        root = self._directory / "base"
        include = "--include=python3,python3-venv,ca-certificates"
        command = ["debootstrap", "--variant=minbase", include, "bookworm", str(root)]
        with self.log.open("a") as log:
            done = subprocess.run(command, stdout=log, stderr=log, timeout=BUILD_TIMEOUT, check=False)
        if done.returncode != 0:
            pytest.skip("debootstrap cannot reach Debian's packages: " + self.log.read_text().strip().splitlines()[-1])
        for file in SITE_FILES:
            if (Path("/") / file).is_file():
                shutil.copy(Path("/") / file, root / file)
        container = self.buildah("from", "scratch")
        self.buildah("add", container, root, "/")
        self.buildah("config", "--env", f"SSL_CERT_FILE={CERTIFICATES}", "--env", f"PIP_CERT={CERTIFICATES}", container)
        self.buildah("commit", "--rm", container, BASE)
        shutil.rmtree(root)

    def build(self) -> None:
        """Build the Dockerfile, as `docker build .` does."""
        arguments = ("--build-arg", "VERSION=1.2.3", "--build-arg", "REVISION=abc", "--pull-never", "--layers=false")
        self.buildah(
            "bud", "--isolation", "chroot", "--format", "docker", *arguments, "-t", IMAGE, ROOT, timeout=BUILD_TIMEOUT
        )

    def end(self) -> None:
        """Remove containers, images and the store."""
        for arguments in (("umount", "--all"), ("rm", "--all"), ("rmi", "--all", "--force")):
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                self.buildah(*arguments)
        for mount in mounts_below(self._directory):
            subprocess.run(["umount", "--lazy", mount], check=False)
        assert mounts_below(self._directory) == []
        shutil.rmtree(self._directory, ignore_errors=True)


def mounts_below(directory: Path) -> list[str]:
    """Return what is mounted below a directory, the deepest first."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return sorted((line.split()[1] for line in lines if line.split()[1].startswith(f"{directory}/")), reverse=True)
