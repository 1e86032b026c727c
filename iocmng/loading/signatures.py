"""Whether a commit or a tag is signed by a key that the site allows; git, ssh-keygen and gpg do the arithmetic."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from iocmng.core.source import GitSource, Source, refused
from iocmng.errors import SourceUnavailable
from iocmng.loading.git_process import isolation, run_git
from iocmng.loading.processes import Deadline, Finished, finish, inherited_environment
from iocmng.settings import Settings

_NO_PROGRAM = "/nonexistent/program"
_KEYRINGS = ("pubring.kbx", "pubring.gpg")
# Nothing is fetched over the network, and each key of the ring counts as it is.
_GPG_CONFIGURATION = "no-auto-key-retrieve\nno-autostart\ntrust-model always\n"
_SSH_SIGNATURE = "-----BEGIN SSH SIGNATURE-----"
_SSH_SIGNER = re.compile(r'^Good "git" signature for (?P<who>.+) with (?P<key>\S+ key \S+)$', re.MULTILINE)
_SSH_KEY = re.compile(r"^Good \"git\" signature with (?P<key>\S+ key \S+)$", re.MULTILINE)
_GPG_SIGNER = re.compile(r"^\[GNUPG:\] GOODSIG (?P<key>\S+) (?P<who>.+)$", re.MULTILINE)

# In words of ssh-keygen and of gpg's status lines; the first that is found says most.
_PROBLEMS: tuple[tuple[str, str], ...] = (
    (r"key has expired|EXPKEYSIG", "is signed with a key that has expired"),
    (r"key is not yet valid", "is signed with a key that is not valid yet"),
    (r"REVKEYSIG|[Kk]ey is revoked|KEYREVOKED", "is signed with a key that was revoked"),
    (r"not permitted for use in signature namespace", "is signed with a key that is not allowed to sign for git"),
    (r"EXPSIG", "carries a signature that has expired"),
    (r"No principal matched|NO_PUBKEY|ERRSIG", "is signed with a key that this server does not know"),
    (r"BADSIG|incorrect signature|[Cc]ould not verify signature", "carries a signature that does not fit its content"),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of one signature.

    Attributes:
        signer: Who has signed, and with which key; "" where that does not count.
        problem: Why it does not, as the end of a sentence that begins with the commit or the tag.
    """

    signer: str = ""
    problem: str = ""


def needs_signature(source: Source, settings: Settings) -> bool:
    """Tell whether code of this source is taken only with a signature: the source can only ask for more."""
    return settings.require_signed or (isinstance(source, GitSource) and source.require_signed)


class SignatureCheck:
    """Checks objects of one bare repository.

    All that decides is given by this server: keys, programs and configuration. The repository's own configuration is
    that of `git init`, because a fetch brings none along.
    """

    def __init__(self, directory: Path, deadline: Deadline, settings: Settings) -> None:
        """Make it ready.

        Args:
            directory: The bare repository; a copy of the GPG keyring is laid beside it.
            deadline: When everything must have ended.
            settings: Name the keys.

        Raises:
            PluginRejected: If no keys are set.
            SourceUnavailable: If the server lacks the keys' files or the programs that check a signature.
        """
        if settings.allowed_signers is None and settings.gpg_home is None:
            raise refused(
                "a signature is required, and this server knows no keys; set IOCMNG_ALLOWED_SIGNERS or IOCMNG_GPG_HOME"
            )
        self._directory = directory
        self._deadline = deadline
        self._signers = settings.allowed_signers
        configuration = dict.fromkeys(
            ("gpg.program", "gpg.openpgp.program", "gpg.x509.program", "gpg.ssh.program"), _NO_PROGRAM
        )
        configuration |= {"gpg.minTrustLevel": "fully", "gpg.ssh.revocationFile": os.devnull}
        if self._signers is not None:
            self._keygen = _program("ssh-keygen", "IOCMNG_ALLOWED_SIGNERS")
            if not os.access(self._signers, os.R_OK) or not self._signers.is_file():
                raise SourceUnavailable.because(f"the server cannot read {self._signers} (IOCMNG_ALLOWED_SIGNERS)")
            configuration |= {
                "gpg.ssh.program": self._keygen,
                "gpg.ssh.allowedSignersFile": str(self._signers),
            }
        home: dict[str, str] = {}
        if settings.gpg_home is not None:
            program = _program("gpg", "IOCMNG_GPG_HOME")
            configuration |= {"gpg.program": program, "gpg.openpgp.program": program}
            home = {"GNUPGHOME": str(_copy_keyring(settings.gpg_home, directory.parent / "gpg"))}
        self._environment = isolation(configuration) | home | {"GIT_NO_REPLACE_OBJECTS": "1", "LC_ALL": "C"}

    def commit(self, commit: str) -> Verdict:
        """Check the signature of a commit."""
        headers = self._git("cat-file", "commit", commit).stdout.partition("\n\n")[0].split("\n")
        if sum(line.startswith("gpgsig") for line in headers) > 1:
            return Verdict(problem="carries several signatures, and which one counts is open")
        signature = "\n".join(_header(headers, "gpgsig"))
        return self._verdict(signature, self._git("verify-commit", "--raw", commit))

    def tag(self, reference: str, name: str) -> Verdict:
        """Check the signature of an annotated tag, and that it was made for this name."""
        if self._git("cat-file", "-t", reference).stdout.strip() != "tag":
            return Verdict(problem="is no annotated tag, so it carries no signature")
        text = self._git("cat-file", "tag", reference).stdout
        named = _header(text.partition("\n\n")[0].split("\n"), "tag")
        if named != [name]:
            return Verdict(
                problem=f"was made as {''.join(named)[:80]!r} and renamed since, so its signature does not count"
            )
        signature = text[text.rfind(f"\n{_SSH_SIGNATURE}") + 1 :] if f"\n{_SSH_SIGNATURE}" in text else text
        return self._verdict(signature, self._git("verify-tag", "--raw", reference))

    def _verdict(self, signature: str, verified: Finished) -> Verdict:
        said = verified.stderr
        if verified.returncode == 0:
            found = _SSH_SIGNER.search(said) or _GPG_SIGNER.search(said)
            if found and (not signature.startswith(_SSH_SIGNATURE) or self._key_is_valid_now(signature)):
                return Verdict(f"{found['who']} ({found['key']})")
            return Verdict(problem="is signed with a key that has expired")
        if "SIGNATURE-----" not in signature and "SIGNED MESSAGE-----" not in signature:
            return Verdict(problem="carries no signature")
        problem = next((sentence for words, sentence in _PROBLEMS if re.search(words, said)), "")
        key = _SSH_KEY.search(said)
        if not problem:
            problem = "carries a signature of a kind that this server has no keys for, or one that cannot be checked"
        return Verdict(problem=f"{problem} ({key['key']})" if key else problem)

    def _key_is_valid_now(self, signature: str) -> bool:
        """Tell whether the key may sign today: git goes by the date of the commit, which its author writes."""
        file = self._directory.parent / "signature"
        file.write_text(f"{signature.strip()}\n")
        process = subprocess.Popen(
            [self._keygen, "-Y", "find-principals", "-s", str(file), "-f", str(self._signers)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=inherited_environment(os.environ),
            start_new_session=True,
        )
        return finish(process, self._deadline).returncode == 0

    def _git(self, *arguments: str) -> Finished:
        return run_git(arguments, self._directory, self._deadline, environment=self._environment)


def _header(lines: list[str], name: str) -> list[str]:
    """Return the lines of one header of a commit or a tag; those that belong together begin with a blank."""
    found: list[str] = []
    inside = False
    for line in lines:
        if line.startswith(f"{name} "):
            inside = True
            found.append(line.removeprefix(f"{name} "))
        elif inside and line.startswith(" "):
            found.append(line[1:])
        else:
            inside = False
    return found


def _program(name: str, setting: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise SourceUnavailable.because(f"{name} is not installed on the server, and {setting} needs it")
    return str(Path(path).absolute())


def _copy_keyring(home: Path, target: Path) -> Path:
    """Copy the public keys to a home of their own: gpg writes into its home, and reads its options there."""
    target.mkdir(mode=0o700)
    rings = [home / name for name in _KEYRINGS if (home / name).is_file()]
    if not rings:
        raise SourceUnavailable.because(
            f"the server has no keyring in {home} (IOCMNG_GPG_HOME): neither {' nor '.join(_KEYRINGS)} is there"
        )
    for ring in rings:
        shutil.copyfile(ring, target / ring.name)
    (target / "gpg.conf").write_text(_GPG_CONFIGURATION)
    return target
