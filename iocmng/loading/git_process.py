"""git, shut off from the server's secrets, the user's configuration, hooks, prompts and transports nobody asked for."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import git

from iocmng.core.author_environment import belongs_to_server
from iocmng.loading.processes import Deadline, Finished, finish

NOWHERE = "/nonexistent"
CREDENTIAL_VARIABLE = "PLUGIN_SOURCE_PAT_FILE"
CREDENTIAL_USER = "oauth2"
"""GitHub, GitLab, Gitea and Azure take any user name beside a token; GitLab's documentation names this one."""

# The token goes from its file through a pipe to git, so that it is in no process's arguments or environment. git runs
# this only for the host that the configuration key names, also after a redirection.
_CREDENTIAL_HELPER = (
    f'!f() {{ if test "$1" = get; then printf "username={CREDENTIAL_USER}\\npassword="; cat "${CREDENTIAL_VARIABLE}"; '
    "echo; fi; }; f"
)

_KEPT_GIT_VARIABLES = re.compile(r"GIT_(SSL_|PROXY_|HTTP_|EXEC_PATH\Z)")

_CONFIGURATION = {
    "core.hooksPath": os.devnull,
    "core.bigFileThreshold": "32m",  # larger files are not read into memory as a whole
    "core.fsmonitor": "false",
    "credential.helper": "",
    "fetch.unpackLimit": "1",
    "gc.auto": "0",
    "init.defaultBranch": "main",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
}


def is_dropped(name: str) -> bool:
    """Tell whether git must not inherit a variable; what concerns certificates, proxies and ssh agents is kept."""
    if name.startswith("GIT_"):
        return not _KEPT_GIT_VARIABLES.match(name)
    return belongs_to_server(name) or name == "SSH_ASKPASS"


def isolation(configuration: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that shut git off; all configuration stands here, none in files or arguments."""
    pairs = _CONFIGURATION | dict(configuration or {})
    variables = {
        "HOME": NOWHERE,
        "XDG_CONFIG_HOME": NOWHERE,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_CONFIG_COUNT": str(len(pairs)),
    }
    for number, (key, value) in enumerate(pairs.items()):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


class IsolatedGit(git.Git):
    """GitPython's git, without the variables it must not inherit.

    GitPython lays variables over the server's own and cannot take any away; `env -u` can.
    """

    def execute(self, command: Any, *args: Any, env: Mapping[str, str] | None = None, **kwargs: Any) -> Any:
        """Run a command in the isolated environment."""
        dropped = [part for name in sorted(os.environ) if is_dropped(name) for part in ("-u", name)]
        return super().execute(["env", *dropped, *command], *args, env={**isolation(), **(env or {})}, **kwargs)


class IsolatedRepo(git.Repo):
    """GitPython's repository, read with the isolated git."""

    GitCommandWrapperType = IsolatedGit


@dataclass(frozen=True, slots=True)
class Access:
    """With what, and how, git goes to one remote.

    Attributes:
        pat_file: Path from which the PAT is read.
        key_file: Path from which ssh reads its key.
        known_hosts: Path of the host keys that ssh trusts; None leaves it to the configuration of the server's user.
        follows: Whether https may lead on to another address.
    """

    pat_file: str | None = None
    key_file: str | None = None
    known_hosts: Path | None = None
    follows: bool = True


def network_environment(url: str, access: Access) -> dict[str, str]:
    """Return the variables of a git that may talk to one remote, with the credential for its host alone."""
    parts = urlsplit(url)
    protocol = parts.scheme if "://" in url else ("file" if url.startswith("/") else "ssh")
    configuration = {"http.followRedirects": "initial" if access.follows else "false"}
    more: dict[str, str] = {}
    if access.pat_file and protocol == "https":
        host = parts.netloc.rpartition("@")[2]
        configuration[f"credential.https://{host}.helper"] = _CREDENTIAL_HELPER
        more[CREDENTIAL_VARIABLE] = access.pat_file
    if access.key_file:
        more["SSH_AUTH_SOCK"] = ""
    return {
        **isolation(configuration),
        "GIT_ALLOW_PROTOCOL": protocol,
        "GIT_SSH_COMMAND": _ssh_command(access),
        **_certificates(),
        **more,
    }


def _ssh_command(access: Access) -> str:
    """Return ssh without questions.

    Without a key of the plugin's own, ssh itself finds the user's keys and known hosts, whatever HOME says. With one,
    it uses nothing else: no agent, and no configuration, which could lead elsewhere or run programs.
    """
    program = os.environ.get("GIT_SSH_COMMAND") or shlex.quote(os.environ.get("GIT_SSH") or "ssh")
    options = ["BatchMode=yes", "ControlMaster=no"]
    file = ""
    if access.key_file:
        file = "-F /dev/null "
        options += [f"IdentityFile={access.key_file}", "IdentitiesOnly=yes", "IdentityAgent=none"]
        options += ["ForwardAgent=no", "PasswordAuthentication=no", "UpdateHostKeys=no"]
    if access.known_hosts:
        known_hosts = str(access.known_hosts).replace("%", "%%")
        options += [f'UserKnownHostsFile="{known_hosts}"', "GlobalKnownHostsFile=/dev/null"]
        options += ["StrictHostKeyChecking=yes"]
    return f"{program} {file}{' '.join(f'-o {shlex.quote(option)}' for option in options)}"


def _certificates() -> dict[str, str]:
    """Let the site's SSL_CERT_FILE count for git too, which knows GIT_SSL_CAINFO only."""
    bundle = os.environ.get("SSL_CERT_FILE")
    return {"GIT_SSL_CAINFO": bundle} if bundle and "GIT_SSL_CAINFO" not in os.environ else {}


def run_git(
    arguments: Sequence[str],
    directory: Path,
    deadline: Deadline,
    *,
    environment: Mapping[str, str] | None = None,
    watch: Callable[[], None] | None = None,
    largest_file: int | None = None,
) -> Finished:
    """Run git to its end in a session of its own, without input.

    Args:
        arguments: What follows `git`.
        directory: Where it runs.
        deadline: When it is killed.
        environment: Laid over the isolated environment.
        watch: See `finish`.
        largest_file: Bytes beyond which the system lets it write no file; `watch` looks only now and then.

    Raises:
        subprocess.TimeoutExpired: If the deadline passed.
        git.GitCommandNotFound: If there is no git.
    """
    interrupt = IsolatedGit(directory).execute(
        [*_limited(largest_file), git.Git.GIT_PYTHON_GIT_EXECUTABLE, *arguments],
        as_process=True,
        env=environment,
        start_new_session=True,
    )
    process = cast("subprocess.Popen[bytes]", interrupt.proc)
    return finish(process, deadline, watch)


def _limited(largest_file: int | None) -> list[str]:
    """Return what begins a command that may write no larger file, to the next block of 512 bytes.

    The shell sets the limit before there is a git: a child that git makes at once has it, too.
    """
    if largest_file is None:
        return []
    blocks = -(-largest_file // 512)
    return ["sh", "-c", f'ulimit -f {blocks} 2>/dev/null; exec "$0" "$@"']
