"""Keys that sign: ssh keys, the file that allows them, a GPG home, and signed commits and tags."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from git import Repo

NAME = "operator@example.org"


class Key:
    """An ssh key that can sign, and the line that allows it."""

    def __init__(self, directory: Path, name: str) -> None:
        self.file = directory / name
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.file))

    def allowed(self, options: str = "") -> str:
        public = self.file.with_suffix(".pub").read_text().strip()
        return f"{NAME} {options} {public}\n" if options else f"{NAME} {public}\n"

    @property
    def configuration(self) -> tuple[str, ...]:
        return ("-c", "gpg.format=ssh", "-c", f"user.signingkey={self.file}")


class GpgHome:
    """A GPG home with one key that signs without a passphrase, or did so for one day long ago."""

    def __init__(self, directory: Path, *, long_ago: bool = False) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700)
        self.environment = {"GNUPGHOME": str(directory)}
        gpg = ("gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "")
        if long_ago:
            (directory / "gpg.conf").write_text("faked-system-time 20200101T120000!\n")
        expiry = "1d" if long_ago else "never"
        run(*gpg, "--quick-generate-key", NAME, "ed25519", "sign", expiry, environment=self.environment)

    @property
    def configuration(self) -> tuple[str, ...]:
        return ("-c", "gpg.format=openpgp", "-c", f"user.signingkey={NAME}")

    def gpg(self, *arguments: str) -> str:
        return run("gpg", "--batch", "--quiet", *arguments, environment=self.environment)

    def export(self, target: Path) -> Path:
        """Write a keyring with the public key alone, as a site would keep it."""
        target.mkdir(mode=0o700)
        public = target.parent / f"{target.name}.asc"
        public.write_text(self.gpg("--armor", "--export", NAME))
        run("gpg", "--batch", "--quiet", "--import", str(public), environment={"GNUPGHOME": str(target)})
        return target

    def close(self) -> None:
        run("gpgconf", "--kill", "all", environment=self.environment)


def has_gpg() -> bool:
    return shutil.which("gpg") is not None and shutil.which("gpgconf") is not None


def run(*command: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, env=os.environ | (environment or {}), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def git(repository: Repo, *arguments: str, environment: dict[str, str] | None = None) -> str:
    identity = ("-c", "user.name=Operator", "-c", f"user.email={NAME}")
    return run("git", "-C", str(repository.working_dir), *identity, *arguments, environment=environment).strip()


def signed_commit(repository: Repo, key: Key | GpgHome, environment: dict[str, str] | None = None) -> str:
    """Add an empty commit that the key has signed; return its SHA."""
    more = (key.environment if isinstance(key, GpgHome) else {}) | (environment or {})
    git(repository, *key.configuration, "commit", "--quiet", "--allow-empty", "-S", "-m", "signed", environment=more)
    return git(repository, "rev-parse", "HEAD")


def signed_tag(repository: Repo, key: Key | GpgHome, name: str) -> None:
    more = key.environment if isinstance(key, GpgHome) else {}
    git(repository, *key.configuration, "tag", "-s", "-m", "release", name, environment=more)
