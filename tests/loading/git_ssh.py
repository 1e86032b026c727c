"""A real sshd on this machine that serves repositories to one key, as the user who runs the tests."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import free_port, wait_for

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
NEEDED = ("ssh", "ssh-keygen", "git-upload-pack")
PRIVILEGE_SEPARATION = Path("/run/sshd")
"""Empty directory without which an sshd of root does not begin; the service makes it when it starts."""


def make_key(file: Path) -> str:
    """Make an ssh key; return the private one's text."""
    quiet = ("ssh-keygen", "-q", "-t", "ed25519", "-C", "test", "-N", "")
    subprocess.run([*quiet, "-f", file], check=True, stdin=subprocess.DEVNULL)
    return file.read_text()


def fingerprint(file: Path) -> str:
    """Return the fingerprint by which sshd names a key in its log."""
    done = subprocess.run(["ssh-keygen", "-l", "-f", file], check=True, capture_output=True, text=True)
    return done.stdout.split()[1]


class SshServer:
    """An sshd that lets in one key.

    Attributes:
        key: Text of the private key that it lets in.
        key_file: Where it lies.
        known_hosts: A file that names its own host key.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.port = free_port()
        self.key_file, self.known_hosts = directory / "deploy", directory / "known_hosts"
        self.key = make_key(self.key_file)
        make_key(directory / "host")
        (directory / "authorized_keys").write_text(f"restrict {(directory / 'deploy.pub').read_text()}")
        self.know(directory / "host.pub", self.known_hosts)
        self._log = directory / "sshd.log"

    def know(self, public_key: Path, known_hosts: Path) -> Path:
        """Write a file that names a key as this server's host key."""
        kind, key = public_key.read_text().split()[:2]
        known_hosts.write_text(f"[localhost]:{self.port} {kind} {key}\n")
        return known_hosts

    def url(self, repository: Path) -> str:
        """Return the URL of a repository of this machine."""
        return f"ssh://{getpass.getuser()}@localhost:{self.port}{repository}"

    @property
    def offered(self) -> set[str]:
        """The fingerprints of all keys with which somebody has knocked."""
        return set(re.findall(r"(?:Accepted|Failed) (?:key|publickey) .*(SHA256:\S+)", self._log.read_text()))

    @contextlib.contextmanager
    def serving(self) -> Iterator[SshServer]:
        """Run it for the block."""
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        options = {
            "ListenAddress": f"127.0.0.1:{self.port}",
            "HostKey": self._directory / "host",
            "AuthorizedKeysFile": self._directory / "authorized_keys",
            "AuthenticationMethods": "publickey",
            "PidFile": "none",
            "UsePAM": "no",
            "StrictModes": "no",  # the directory above may belong to somebody else
            "LogLevel": "VERBOSE",
        }
        configuration = self._directory / "sshd_config"
        configuration.write_text("".join(f"{name} {value}\n" for name, value in options.items()))
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                [str(SSHD), "-D", "-e", "-f", configuration], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            wait_for(lambda: self._listens(process), "sshd listens", 30)
            yield self
        finally:
            process.terminate()
            process.wait(10)

    def _listens(self, process: subprocess.Popen[bytes]) -> bool:
        if process.poll() is not None:
            pytest.skip(f"sshd does not run here: {self._log.read_text().strip()}")
        return "Server listening" in self._log.read_text()


@contextlib.contextmanager
def ssh_server(directory: Path) -> Iterator[SshServer]:
    """Run an sshd for the block; skip the test where there is none."""
    missing = [name for name in NEEDED if shutil.which(name) is None] + ([] if SSHD else ["sshd"])
    if missing:
        pytest.skip(f"needs {', '.join(missing)}; install openssh-server and git")
    directory.mkdir(parents=True, exist_ok=True)
    with SshServer(directory).serving() as server:
        yield server
