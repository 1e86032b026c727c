"""What a repository or directory may hold: links, submodules, special files, bombs of size, number and depth."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import git
import pytest
from hostile_support import LIMIT_BYTES, LIMIT_FILES, Row, Watched, make_fifo, make_socket, write
from support import MINIMAL_TASK

pytestmark = pytest.mark.thorough


def link(target: str, name: str = "link") -> Any:
    """Return what makes a symbolic link."""
    return lambda directory: (directory / name).symlink_to(target)


def commit(directory: Path, raw: bytes) -> dict[str, Any]:
    """Commit a tree object of these bytes, whatever git itself would say of it."""
    with git.Repo(directory) as repository:

        def run(*arguments: str, given: bytes = b"") -> str:
            done = subprocess.run(
                ["git", *arguments], cwd=directory, input=given, capture_output=True, check=True, timeout=60
            )
            return done.stdout.decode().strip()

        tree = run("hash-object", "-t", "tree", "-w", "--literally", "--stdin", given=raw)
        made = run("commit-tree", tree, "-m", "forged")
        run("update-ref", "refs/heads/main", made)
        repository.close()
    return {}


def entry(mode: str, name: bytes, sha: str) -> bytes:
    """Return one entry of a tree object."""
    return mode.encode() + b" " + name + b"\0" + bytes.fromhex(sha)


def forged(*entries: tuple[str, bytes, str]) -> Any:
    """Return what commits a tree with a good module and these entries: mode, name, and the kind of object."""

    def make(directory: Path) -> dict[str, Any]:
        def object_of(kind: str) -> str:
            if kind == "commit":
                return "1234567890" * 4
            given = MINIMAL_TASK.encode() if kind == "blob" else b""
            done = subprocess.run(
                ["git", "hash-object", "-t", kind, "-w", "--stdin"],
                cwd=directory,
                input=given,
                capture_output=True,
                check=True,
            )
            return done.stdout.decode().strip()

        good = entry("100644", b"hostile.py", object_of("blob"))
        return commit(directory, good + b"".join(entry(mode, name, object_of(kind)) for mode, name, kind in entries))

    return make


def submodule(directory: Path) -> None:
    """Commit a submodule with an entry in .gitmodules."""
    write(directory, {".gitmodules": '[submodule "sub"]\n\tpath = sub\n\turl = ext::sh -c id\n'})
    forged(("160000", b"sub", "commit"))(directory)


def deep(directory: Path) -> None:
    """Nest directories as deep as one path may be."""
    below = "/".join(["d"] * 200)
    write(directory, {f"{below}/x.py": "x = 1\n"})


def loop(directory: Path) -> None:
    """Two links that lead to each other, as directories."""
    (directory / "a").symlink_to("b")
    (directory / "b").symlink_to("a")


def sparse(directory: Path) -> None:
    """A file of which only the size is large."""
    with (directory / "hole").open("wb") as file:
        file.truncate(100 * 1024**3)


ZEROS = b"\0" * (20 * LIMIT_BYTES)
MANY = {f"many/{number}.txt": "" for number in range(LIMIT_FILES + 20)}
LEAVES, FSCK = "outside of the plugin's directory", "git fsck"
LARGE, TOO_MANY, SPECIAL = "IOCMNG_FETCH_MAX_BYTES", "IOCMNG_FETCH_MAX_FILES", "no regular file"

BOTH = {
    "link to a file of the system": Row(LEAVES, files={}, prepare=link("/etc/passwd")),
    "link to the root": Row(LEAVES, files={}, prepare=link("/")),
    "link upwards": Row(LEAVES, files={}, prepare=link("../..")),
    "link upwards and back": Row(LEAVES, files={}, prepare=link("../hostile/../../x")),
    "link to the processes": Row(LEAVES, files={}, prepare=link("/proc/self/environ")),
    "link to nothing outside": Row(LEAVES, files={}, prepare=link("/no/such/file")),
    "link through a link": Row(
        LEAVES, files={"in/x.py": "x = 1\n"}, prepare=lambda at: (link("in", "a")(at), link("a/../../x", "b")(at))[2:]
    ),
    "config.yaml is a link outside": Row(LEAVES, files={}, prepare=link("/etc/hostname", "config.yaml")),
    "requirements.txt is a link outside": Row(LEAVES, files={}, prepare=link("/etc/passwd", "requirements.txt")),
    "module is a link outside": Row(LEAVES, files={}, prepare=link("/etc/passwd", "more.py")),
    "file of zeros": Row(LARGE, files={"zeros.bin": ZEROS}),
    "many files": Row(TOO_MANY, files=MANY),
    "deep directories": Row(TOO_MANY, files={}, prepare=deep),
    "pointer of LFS": Row("Git LFS", files={"data.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"}),
}


@pytest.mark.parametrize("by_git", [True, False], ids=["git", "local"])
@pytest.mark.parametrize("case", BOTH)
def test_a_tree_is_refused(watched: Watched, case: str, by_git: bool):
    """What leaves the tree or is beyond its limits is refused, from a repository and from a directory."""
    told = BOTH[case]
    prepare = told.prepare
    row = Row(told.words, files=told.files, step="clone", prepare=prepare if not by_git else None)
    if by_git and prepare is not None:

        def committed(directory: Path) -> dict[str, Any]:
            prepare(directory)
            subprocess.run(["git", "add", "--all"], cwd=directory, check=True, timeout=60)
            subprocess.run(["git", "commit", "-q", "-m", "more"], cwd=directory, check=True, timeout=60)
            return {}

        row = Row(told.words, files=told.files, step="clone", prepare=committed)
    row = Row(row.words, files=row.files, step=row.step, prepare=row.prepare, by_git=by_git)
    watched.check(watched.add(row), row)


ONLY_GIT = {
    "submodule": Row("submodule", files={}, prepare=submodule),
    "submodule without .gitmodules": Row("submodule", files={}, prepare=forged(("160000", b"sub", "commit"))),
    "directory .git": Row(FSCK, files={}, prepare=forged(("40000", b".git", "tree"))),
    "directory .GIT": Row(FSCK, files={}, prepare=forged(("40000", b".GIT", "tree"))),
    "directory ..": Row(FSCK, files={}, prepare=forged(("40000", b"..", "tree"))),
    "file with a slash": Row(FSCK, files={}, prepare=forged(("100644", b"../../owned.py", "blob"))),
    "name upwards behind a file": Row(FSCK, files={}, prepare=forged(("100644", b"a/../../../b.py", "blob"))),
    "absolute name": Row(FSCK, files={}, prepare=forged(("100644", b"/tmp/owned.py", "blob"))),
    "name that is no UTF-8": Row("not UTF-8", files={}, prepare=forged(("100644", b"\xff\xfe.py", "blob"))),
    "name twice": Row(FSCK, files={}, prepare=forged(("100644", b"x.py", "blob"), ("100644", b"x.py", "blob"))),
    "link and file of one name": Row(
        "File exists",
        files={},
        prepare=forged(("120000", b"x", "blob"), ("40000", b"x", "tree"), ("100644", b"x", "blob")),
    ),
    "unknown mode": Row(FSCK, files={}, prepare=forged(("170000", b"x", "blob"))),
    "long name": Row("shorten it", files={}, prepare=forged(("100644", b"x" * 4000, "blob"))),
}


@pytest.mark.parametrize("case", ONLY_GIT)
def test_a_forged_repository_is_refused(watched: Watched, case: str):
    """Trees that git would never write, and submodules, are refused by name."""
    told = ONLY_GIT[case]
    row = Row(told.words, files=told.files, prepare=told.prepare, by_git=True, step="clone")
    watched.check(watched.add(row), row)


ONLY_LOCAL = {
    "pipe as config.yaml": Row(SPECIAL, files={}, prepare=lambda at: make_fifo(at / "config.yaml")),
    "pipe as module": Row(SPECIAL, files={}, prepare=lambda at: make_fifo(at / "more.py")),
    "pipe as requirements.txt": Row(SPECIAL, files={}, prepare=lambda at: make_fifo(at / "requirements.txt")),
    "pipe below": Row(SPECIAL, files={"a/b.py": ""}, prepare=lambda at: make_fifo(at / "a" / "pipe")),
    "socket as config.yaml": Row("cannot read", files={}, prepare=lambda at: make_socket(at / "config.yaml")),
    "socket as module": Row("cannot read", files={}, prepare=lambda at: make_socket(at / "more.py")),
    "file with a hole of 100 GB": Row(LARGE, files={}, prepare=sparse),
    "name that is no UTF-8": Row(
        "not UTF-8", files={}, prepare=lambda at: Path(os.fsdecode(os.fsencode(at) + b"/\xff.py")).touch()
    ),
    "a file as directory": Row("no directory", files={}, prepare=lambda at: {"local_path": str(at / "hostile.py")}),
    "a pipe as directory": Row(
        "no directory", files={}, prepare=lambda at: (make_fifo(at / "p"), {"local_path": str(at / "p")})[1]
    ),
    "not there": Row("no directory", files={}, prepare=lambda at: {"local_path": str(at / "nowhere")}),
    "link as directory": Row(
        "IOCMNG_LOCAL_ROOTS", files={}, prepare=lambda at: (link("/etc")(at), {"local_path": str(at / "link")})[1]
    ),
    "path through a link": Row(
        "IOCMNG_LOCAL_ROOTS", files={}, prepare=lambda at: (link("/etc")(at), {"path": "link"})[1]
    ),
    "the state of the server": Row(
        "own state", files={}, prepare=lambda at: {"local_path": str(at.parents[1] / "plugins" / ".iocmng")}
    ),
}


@pytest.mark.parametrize("case", ONLY_LOCAL)
def test_a_directory_is_refused(watched: Watched, case: str):
    """Pipes, sockets and holes are not read, and nothing hangs on them."""
    row = ONLY_LOCAL[case]
    watched.check(watched.add(row), row)


BROKEN = {
    "HEAD is nonsense": Row("", 502, files={}, prepare=lambda at: write(at, {".git/HEAD": "../../x\n"}), by_git=True),
    "not a repository": Row("no repository", 502, files={}, prepare=lambda at: {"git_url": str(at)}),
    "empty name": Row("cannot fetch", 502, files={}, prepare=forged(("100644", b"", "blob")), by_git=True),
    "tree that is none": Row(
        "cannot fetch", 502, files={}, prepare=lambda at: commit(at, b"no tree at all"), by_git=True
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_repository_cannot_be_fetched(watched: Watched, case: str):
    """What git cannot read is a repository that cannot be fetched."""
    row = BROKEN[case]
    watched.check(watched.add(row), row)


HARMLESS = {
    "link to itself": link("link"),
    "links to each other": loop,
    "link to its own directory": link("."),
    "link to nothing inside": link("nowhere"),
    "name of a device": lambda at: write(at, {"CON": "x", "nul.txt": "x", "a:b": "x"}),
    "names of one spelling in two cases": lambda at: write(at, {"README": "1", "readme": "2"}),
    "name with a line break": lambda at: write(at, {"a\nb": "x"}),
    "name like an option": lambda at: write(at, {"--help": "x", "-rf": "x"}),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_a_strange_tree_does_no_harm(watched: Watched, case: str):
    """What stays inside the tree is taken as it is, and goes again."""
    answer = watched.add(Row("", files={}, prepare=HARMLESS[case]))
    assert answer.status_code == 201, answer.text
    assert watched.server.http.delete("/plugins/hostile").status_code == 200
