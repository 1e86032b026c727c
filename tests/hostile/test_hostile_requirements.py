"""requirements.txt as a weapon: lines that read the server's files, come from elsewhere, or fill its disk."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hostile_support import LIMIT_BYTES, Row, Watched, write

pytestmark = pytest.mark.thorough

SECRET = "never-to-be-quoted"


def lines(text: str | bytes, words: str, **files: str | bytes) -> Row:
    """Return the row of a requirements file."""
    more = {name.replace("_", "."): content for name, content in files.items()}
    return Row(words, files={"requirements.txt": text, **more}, step="dependencies")


LEAVES, ROOTS = "leaves the plugin's directory", "IOCMNG_LOCAL_ROOTS"
OPTION, WORD, NO_PLACE = "has no place in a plugin's requirements", "control character", "no place for packages"
VARIABLE, KIND = "variable of the server's environment", "no other kind of repository"

LINES = {
    "includes a file of the system": lines("-r /etc/passwd\n", LEAVES),
    "includes it by its long name": lines("--requirement=/etc/passwd\n", LEAVES),
    "includes it with blanks": lines("   -r   /etc/passwd\n", LEAVES),
    "includes it in a second line": lines("six\n-r /etc/passwd\n", LEAVES),
    "includes it behind a continuation": lines("-r \\\n/etc/passwd\n", LEAVES),
    "includes it behind a form feed": lines("six\f-r /etc/passwd\n", LEAVES),
    "includes it behind an option": lines("--no-index -r /etc/passwd\n", OPTION),
    "includes it behind a continued option": lines("--no-index \\\n-r /etc/passwd\n", OPTION),
    "includes it behind a requirement": lines("six -r /etc/passwd\n", "six -r /etc/passwd"),
    "includes it behind a hash": lines(f"six --hash=sha256:{'0' * 64} -r /etc/passwd\n", "only --hash"),
    "includes it by a file URL": lines("-r file:///etc/passwd\n", LEAVES),
    "includes it upwards": lines("-r ../../../../etc/passwd\n", LEAVES),
    "includes it down and up": lines("-r a/../../b\n", LEAVES),
    "includes it encoded": lines("-r %2e%2e/%2e%2e/etc/passwd\n", LEAVES),
    "includes it from home": lines("-r ~/.netrc\n", LEAVES),
    "includes it through another file": lines("-r more.txt\n", LEAVES, more_txt="-r /etc/passwd\n"),
    "includes it from the web": lines("-r https://localhost:1/x.txt\n", LEAVES),
    "includes by an abbreviation": lines("--req /etc/passwd\n", OPTION),
    "includes itself": lines("-r requirements.txt\n./nothing-1.0-py3-none-any.whl\n", "nothing-1.0"),
    "includes a file that is not there": lines("-r nowhere.txt\n", "no file 'nowhere.txt'"),
    "includes a chain without end": lines(
        "-r f0.txt\n", "include each other", **{f"f{n}_txt": f"-r f{n + 1}.txt\n" for n in range(40)}
    ),
    "constraints of the system": lines("-c /etc/passwd\n", LEAVES),
    "constraints by their long name": lines("--constraint /etc/passwd\n", LEAVES),
    "constraints with an option": lines("-c more.txt\n", OPTION, more_txt="--index-url https://localhost:1/\n"),
    "packages from a place of the system": lines("--find-links /etc\n", ROOTS),
    "packages from a place upwards": lines("-f ../../..\n", ROOTS),
    "index of a place of the system": lines("--index-url file:///etc\n", ROOTS),
    "another index of a place of the system": lines("--extra-index-url /etc\n", ROOTS),
    "index of another kind": lines("--index-url ftp://localhost/x\n", NO_PLACE),
    "index that does not answer": lines("--index-url http://localhost:1/simple\nnone-such\n", "package index"),
    "index with a password": lines(
        f"--index-url http://user:{SECRET}@localhost:1/simple\nnone-such\n", "package index"
    ),
    "variable in an index": lines("--index-url https://localhost:1/${HOME}\n", VARIABLE),
    "variable in a name": lines("six-${PATH}\n", VARIABLE),
    "editable": lines("-e .\n", "editable"),
    "editable by git": lines("--editable=git+https://localhost:1/x\n", "editable"),
    "global option": lines("--global-option=--x\n", OPTION),
    "install option": lines("six --install-option=--x\n", "only --hash"),
    "settings of the build": lines("six --config-settings=a=b\n", "only --hash"),
    "host without a certificate": lines("--trusted-host localhost\n", OPTION),
    "isolation of the build": lines("--no-build-isolation\n", OPTION),
    "option of nobody": lines("--target=/etc\n", OPTION),
    "hash that is none": lines("six --hash=sha256:zz\n", "only --hash"),
    "false hash": lines(f"./x-1.0-py3-none-any.whl --hash=sha256:{'0' * 64}\n", "x-1.0"),
    "file of the system": lines("/etc/passwd\n", ROOTS),
    "file URL of the system": lines("file:///etc/passwd\n", ROOTS),
    "file URL in capitals": lines("FILE:///etc/passwd\n", ROOTS),
    "name from a file of the system": lines("x @ file:///etc/passwd\n", ROOTS),
    "archive of the system": lines("/opt/x.tar.gz\n", ROOTS),
    "archive upwards": lines("../x-1.0-py3-none-any.whl\n", ROOTS),
    "archive from home": lines("~root/x.whl\n", ROOTS),
    "git of the system": lines("x @ git+file:///etc\n", ROOTS),
    "git that is not listed": lines("x @ git+https://evil.example.org/x\n", "IOCMNG_GIT_ALLOW"),
    "git with a revision that is not listed": lines("x @ git+https://evil.example.org/x@main#egg=x\n", "IOCMNG_GIT"),
    "git with an option": lines("x @ git+ssh://-oProxyCommand=id/x\n", "host"),
    "git with a credential": lines("x @ git+https://user:pass@localhost:1/x\n", "credential"),
    "git without a certificate": lines("x @ git+http://localhost:1/x\n", KIND),
    "git by a helper": lines("x @ git+ext::sh\n", KIND),
    "git that does not answer": lines("x @ git+https://localhost:1/x\n", "x"),
    "mercurial": lines("x @ hg+https://localhost:1/x\n", NO_PLACE),
    "archive that does not answer": lines("x @ https://localhost:1/x-1.0-py3-none-any.whl\n", "x-1.0"),
    "javascript": lines("x @ javascript:alert(1)\n", NO_PLACE),
    "no UTF-8": lines(b"\xff\n", "not UTF-8"),
    "UTF-16": lines("six\n".encode("utf-16"), "not UTF-8"),
    "zero byte": lines("six\0\n", WORD),
    "escape sequence": lines("six\x1b[2J\n", WORD),
    "huge": lines("# x\n" * 80_000, "256 KiB"),
    "huge included": lines("-r more.txt\n", "256 KiB", more_txt="# x\n" * 80_000),
    "one line without end": lines("a" * 200_000 + "\n", "more than 8192 characters"),
    "Ray of another version": lines("ray==1.0\n", "belongs to this server"),
    "iocmng of another version": lines("iocmng<1\n", "this server is iocmng"),
    "wheel that is no archive": lines("./x-1.0-py3-none-any.whl\n", "x-1.0", **{"x-1_0-py3-none-any_whl": "no zip"}),
}


@pytest.mark.parametrize("case", LINES)
def test_a_line_is_refused(watched: Watched, case: str):
    """A line that is no business of a plugin is refused, and no file of the server is quoted."""
    row = LINES[case]
    answer = watched.add(row)
    watched.check(answer, row)
    assert "root:" not in answer.text
    assert SECRET not in answer.text


def wheel(**files: bytes) -> bytes:
    """Return a wheel with these files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        info = "bomb-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: bomb\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        for name, data in files.items():
            archive.writestr(name, data)
        names = [*archive.namelist(), f"{info}/RECORD"]
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in names))
    return content.getvalue()


def bomb(content: bytes) -> Any:
    """Return what puts a wheel beside the plugin."""

    def prepare(directory: Path) -> None:
        name = "bomb-1.0-py3-none-any.whl"
        write(directory, {"requirements.txt": f"--no-index\n./{name}\n", name: content})

    return prepare


LIMIT = "IOCMNG_REQUIREMENTS_MAX_BYTES"
BOMBS = {
    "one large file": Row(LIMIT, files={}, prepare=bomb(wheel(**{"bomb/data.bin": b"\0" * (40 * LIMIT_BYTES)}))),
    "many files": Row(LIMIT, files={}, prepare=bomb(wheel(**{f"bomb/{n}.bin": b"\0" * 20_000 for n in range(600)}))),
}


@pytest.mark.parametrize("case", BOMBS)
def test_an_archive_is_refused(watched: Watched, case: str):
    """What unpacks to more than may be, or leaves its directory, is ended and leaves nothing."""
    row = BOMBS[case]
    watched.check(watched.add(row), row)


@pytest.mark.parametrize("name", ["../../../../../owned-by-a-wheel.py", "{root}/owned-by-a-wheel.py"])
def test_an_archive_stays_in_its_directory(watched: Watched, name: str):
    """Names that lead out of an archive's directory lead nowhere; what else it holds is taken."""
    root = watched.server.root
    content = wheel(**{name.format(root=root): b"x = 1\n", "bomb.py": b"x = 1\n"})
    answer = watched.add(Row("", files={}, prepare=bomb(content)))
    assert answer.status_code in (201, 422), answer.text
    inside = (watched.server.plugins_dir / ".iocmng" / "packages", root / "uv-cache")
    found = list(root.rglob("owned-by-a-wheel.py"))
    assert not [path for path in found if not any(path.is_relative_to(place) for place in inside)]
    watched.clear()
