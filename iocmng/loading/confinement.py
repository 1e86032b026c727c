"""What one process of a plugin may do: its limits, its directory, its environment, its user.

Everything here concerns the process that calls it, and is done before author's code is imported.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from iocmng.core.limits import MIB, Limits
from iocmng.core.manifest import Manifest
from iocmng.core.ports.processes import Bundle
from iocmng.errors import CheckFailure, PluginRejected
from iocmng.loading.cpu_share import share_cpu
from iocmng.loading.own_environment import keep_what_authors_may_see
from iocmng.settings import Settings

OWN_MEMORY = 192 * MIB
"""What iocmng itself may come to need in a plugin's process once the author's code is loaded: threads of EPICS and Ray
(each has a stack, most of it untouched), and buffers."""

OWN_FILES = 48
"""The same for open files."""

OWN_TASKS = 4096
"""Threads and processes that a user of its own may have beside the processes of a plugin: the threads of Ray and EPICS
in the plugin's process and in each worker of a map()."""

STARTED_BY = "IOCMNG_STARTED_BY"
"""Variable that tells of a process by which plugin's process, named by its number, it was started."""

_ON_THE_WAY = frozenset({"bundles", "packages", "values", "work"})
"""Directories of the state in which a plugin has something."""

_PR_SET_NO_NEW_PRIVS = 38
_STARTS_PROCESS = frozenset({"os.fork", "os.forkpty", "os.posix_spawn", "os.system", "subprocess.Popen"})


@dataclass(frozen=True, slots=True)
class Owner:
    """The user that a plugin's process becomes.

    Attributes:
        uid: Its number.
        gid: That of its group.
        is_shared: Whether other plugins have the same user.
    """

    uid: int
    gid: int
    is_shared: bool


@dataclass(frozen=True, slots=True)
class Confinement:
    """What the processes of one plugin may do.

    Attributes:
        limits: What each may take.
        work: The plugin's directory.
        values: Where its saved values lie.
        code: Directories of its files and of its requirements.
        umask: What its files deny to others.
        environment: Names of variables that it may see beside those that every plugin may.
        owner: The user it becomes; None: it stays the server's.
        main: Number of the plugin's process, also for the workers of its map().
        name: The plugin's.
        insists_on_cpu: Whether the process must not run where its share of the CPU cannot be kept.
    """

    limits: Limits
    work: Path
    values: Path
    code: tuple[str, ...]
    umask: int
    environment: tuple[str, ...]
    owner: Owner | None
    main: int
    name: str
    insists_on_cpu: bool


def confinement(name: str, bundle: Bundle, settings: Settings, owner: Owner | None) -> Confinement:
    """Return what the processes of the plugin may do of which this one is to be.

    Raises:
        PluginRejected: If its config.yaml asks for more than the site allows.
    """
    return Confinement(
        limits=allowed_limits(bundle.manifest, settings),
        work=settings.work_dir(name),
        values=settings.values_dir(name),
        code=tuple(part for part in (bundle.directory, bundle.packages) if part),
        umask=int(settings.plugin_umask, 8),
        environment=settings.plugin_env,
        owner=owner,
        main=os.getpid(),
        name=name,
        insists_on_cpu=settings.plugin_cpu is not None,
    )


def allowed_limits(manifest: Manifest, settings: Settings) -> Limits:
    """Return the limits of a plugin: its own, else the site's.

    Raises:
        PluginRejected: If its own are higher than the site's.
    """
    site = settings.plugin_limits
    if problems := manifest.limits.problems(site):
        raise PluginRejected.because(*(CheckFailure("config", problem) for problem in problems))
    return manifest.limits.within(site)


def confine(what: Confinement) -> tuple[str, ...]:
    """Confine this process for good; called in the thread that will run author's code.

    Returns:
        A sentence for each limit that the author has asked for and that cannot be kept here.

    Raises:
        PluginRejected: If that is not possible; the process must not run author's code then.
    """
    keep_what_authors_may_see(what.environment)
    os.environ[STARTED_BY] = str(what.main)
    try:
        _enter(what)
        warnings = share_cpu(what.name, what.limits.cpu, insists=what.insists_on_cpu)
        apply_limits(what.limits)
        if what.owner is not None:
            _become(what.owner, what.limits)
        _make_temporary(what.work / "tmp")
    except OSError as error:
        reason = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        raise PluginRejected.because(
            CheckFailure("import", f"the plugin's process could not be confined: {reason}; see IOCMNG_PLUGIN_…")
        ) from error
    return warnings


def apply_limits(limits: Limits) -> None:
    """Limit what this process takes from now on; not its share of the CPU."""
    if limits.memory is not None:
        _lower(resource.RLIMIT_DATA, data_bytes() + OWN_MEMORY + limits.memory)
    if limits.open_files is not None:
        _lower(resource.RLIMIT_NOFILE, _highest_file() + 1 + OWN_FILES + limits.open_files)
    if limits.processes is not None:
        _limit_processes(limits.processes)


def forbid_new_privileges() -> None:
    """Keep programs that this thread, or one that it makes, starts from getting rights by their set-user-ID bit."""
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def data_bytes() -> int:
    """Return the bytes of this process that RLIMIT_DATA counts: what it can write and shares with nobody."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


def descendants(pid: int) -> set[int]:
    """Return the ids of all processes that a process has started, directly or not."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        new = [child for child in children.get(waiting.pop(), []) if child not in found]
        found.update(new)
        waiting += new
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                fields = Path(entry.path, "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
                yield int(entry.name), int(fields.split()[1])
            except (OSError, IndexError):
                continue


def _enter(what: Confinement) -> None:
    """Make the plugin's directory, if there is none, and go there."""
    os.umask(0o022)
    state = what.work.parent.parent
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    what.work.parent.mkdir(exist_ok=True)
    private = [what.work]
    if what.owner is not None:
        _let_through(state)
        for directory in what.code:
            _let_read(Path(directory))
        what.values.parent.mkdir(exist_ok=True)
        private.append(what.values)
    for directory in private:
        directory.mkdir(exist_ok=True)
        directory.chmod(0o700)
        if what.owner is not None:
            _give(directory, what.owner)
    os.chdir(what.work)
    os.umask(what.umask)
    if what.owner is not None:
        os.environ["HOME"] = str(what.work)


def _make_temporary(directory: Path) -> None:
    """Make the directory for temporary files; as the plugin's user, who may have put something else in its place."""
    directory.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = str(directory)
    tempfile.tempdir = None  # it may have been looked up before


def _let_through(state: Path) -> None:
    """Let other users go through the state directory to what they know by name, and close all else in it to them."""
    for entry in os.scandir(state):
        mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
        wanted = 0o711 if entry.name in _ON_THE_WAY else mode & ~0o077
        if mode != wanted and not entry.is_symlink():
            with contextlib.suppress(FileNotFoundError):
                Path(entry.path).chmod(wanted)
    state.chmod(0o711)


def _let_read(directory: Path) -> None:
    """Let other users read a plugin's code, which a server with a strict umask has kept for itself."""
    for each in (directory.parent, directory):
        if each.parent.name in _ON_THE_WAY or each is directory:
            each.chmod(0o755)
    for place, directories, files in os.walk(directory):
        for name in [*directories, *files]:
            path = Path(place, name)
            mode = path.lstat().st_mode
            wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
            if wanted != mode and not stat.S_ISLNK(mode):
                path.chmod(stat.S_IMODE(wanted))


def _give(directory: Path, owner: Owner) -> None:
    """Give a directory and what is in it to the plugin's user; nothing where it is so already."""
    if directory.stat().st_uid == owner.uid:
        return
    for place, directories, files in os.walk(directory):
        for each in [*directories, *files]:
            os.chown(os.path.join(place, each), owner.uid, owner.gid, follow_symlinks=False)  # noqa: PTH118
    os.chown(directory, owner.uid, owner.gid)


def _become(owner: Owner, limits: Limits) -> None:
    if os.geteuid() != 0:
        raise PermissionError(errno.EPERM, "only a server that runs as root can give plugins another user")
    if limits.processes is not None and not owner.is_shared:
        _lower(resource.RLIMIT_NPROC, OWN_TASKS + limits.processes)
    os.setgroups([])
    os.setresgid(owner.gid, owner.gid, owner.gid)
    os.setresuid(owner.uid, owner.uid, owner.uid)
    forbid_new_privileges()


def _lower(limit: int, value: int) -> None:
    """Lower a limit for good; one that is lower already stays."""
    hard = resource.getrlimit(limit)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def _highest_file() -> int:
    return max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208


def _limit_processes(most: int) -> None:
    """Have Python refuse to start a process when so many that this one has started are still there.

    RLIMIT_NPROC cannot do it alone: it counts the threads of all processes of a user, and nothing of root's.
    """
    root = os.getpid()

    def watch(event: str, _: tuple[object, ...]) -> None:
        if event in _STARTS_PROCESS and len(descendants(root)) >= most:
            raise OSError(errno.EAGAIN, f"the plugin has {most} processes already, as many as limits.processes allows")

    sys.addaudithook(watch)
