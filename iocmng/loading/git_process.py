"""git, shut off from the server's secrets, the user's configuration, hooks, prompts and transports nobody asked for."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import git

from iocmng.loading.processes import Deadline, Finished, belongs_to_server, finish

NOWHERE = "/nonexistent"
CREDENTIAL_VARIABLE = "PLUGIN_SOURCE_PAT"
CREDENTIAL_USER = "oauth2"
"""GitHub, GitLab, Gitea and Azure take any user name beside a token; GitLab's documentation names this one."""

# A shell function: the shell's own printf writes the token, so that it is in no process's arguments. git runs it only
# for the host that the configuration key names, also after a redirection.
_CREDENTIAL_HELPER = (
    f'!f() {{ if test "$1" = get; then printf "username={CREDENTIAL_USER}\\npassword=%s\\n" "${CREDENTIAL_VARIABLE}"; '
    "fi; }; f"
)

_KEPT_GIT_VARIABLES = re.compile(r"GIT_(SSL_|PROXY_|HTTP_|EXEC_PATH\Z)")

_CONFIGURATION = {
    "core.hooksPath": os.devnull,
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


def network_environment(url: str, pat: str | None) -> dict[str, str]:
    """Return the variables of a git that may talk to one remote, with the credential for its host alone."""
    parts = urlsplit(url)
    protocol = parts.scheme if "://" in url else ("file" if url.startswith("/") else "ssh")
    configuration: dict[str, str] = {}
    credential: dict[str, str] = {}
    if pat and protocol == "https":
        host = parts.netloc.rpartition("@")[2]
        configuration[f"credential.https://{host}.helper"] = _CREDENTIAL_HELPER
        credential[CREDENTIAL_VARIABLE] = pat
    return {
        **isolation(configuration),
        "GIT_ALLOW_PROTOCOL": protocol,
        "GIT_SSH_COMMAND": _ssh_command(),
        **_certificates(),
        **credential,
    }


def _ssh_command() -> str:
    """Return ssh without questions; ssh itself finds the user's keys and known hosts, whatever HOME says."""
    program = os.environ.get("GIT_SSH_COMMAND") or shlex.quote(os.environ.get("GIT_SSH") or "ssh")
    return f"{program} -o BatchMode=yes -o ControlMaster=no"


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
) -> Finished:
    """Run git to its end in a session of its own, without input.

    Args:
        arguments: What follows `git`.
        directory: Where it runs.
        deadline: When it is killed.
        environment: Laid over the isolated environment.
        watch: See `finish`.

    Raises:
        subprocess.TimeoutExpired: If the deadline passed.
        git.GitCommandNotFound: If there is no git.
    """
    interrupt = IsolatedGit(directory).execute(
        [git.Git.GIT_PYTHON_GIT_EXECUTABLE, *arguments],
        as_process=True,
        env=environment,
        start_new_session=True,
    )
    return finish(cast("subprocess.Popen[bytes]", interrupt.proc), deadline, watch)
