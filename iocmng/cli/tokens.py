"""`iocmng token`: makes tokens. No server is asked: it reads its file of tokens again by itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
import yaml

from iocmng.cli.output import Output
from iocmng.core.access import Role
from iocmng.core.tokens_file import entry_text, with_entry
from iocmng.errors import InvalidRequest

TOKEN_BYTES = 32

PREFIX = "iocmng_"
"""So that scanners for secrets find a token, and no option of a command line looks like one."""

app = typer.Typer(name="token", help="Tokens for the REST API.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Whose token it is; shown in messages and in the audit.")],
    role: Annotated[Role, typer.Option(help="What its owner may do.")],
    plugins: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Names of the plugins that may be changed, such as vac-*.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="From when on it is no longer taken, such as 2027-01-31 (UTC).")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="File of tokens (IOCMNG_TOKENS_FILE) that gets the entry.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print an object and nothing else on stdout.")] = False,
) -> None:
    """Make a token: print it once, with its entry for the file of tokens, or put the entry there."""
    token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    entry = entry_text(name, role, token, plugins, expires)
    output = Output(as_json)
    if file is not None:
        append_entry(file, entry)
    if as_json:
        output.object({"token": token, "entry": yaml.safe_load(entry)[0], "file": str(file) if file else None})
        return
    output.line(token)
    if file is not None:
        output.note(f"the entry of {name!r} was added to {file}; the token above is shown this once")
    else:
        output.note("the token is shown this once; put the entry below `tokens:` in the server's IOCMNG_TOKENS_FILE")
        output.line(f"\ntokens:\n{_indented(entry)}")


def append_entry(file: Path, entry: str) -> None:
    """Put an entry at the end of a file of tokens, so that a reader finds the old file or the new one.

    A new file is for its owner alone; owner and mode of one that there is stay.

    Raises:
        InvalidRequest: If the file does not fit, has the name already, or cannot be written.
    """
    place = Path(os.path.realpath(file))
    try:
        with _locked(place.parent):
            found = place.stat() if place.exists() else None
            text = place.read_text(encoding="utf-8") if found else "tokens: []\n"
            _replace(place, with_entry(text, entry, str(file)), found)
    except OSError as error:
        raise InvalidRequest(f"cannot write {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidRequest(f"{file} is no text in UTF-8") from None


def _replace(place: Path, text: str, old: os.stat_result | None) -> None:
    new = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as stream:  # noqa: PTH123  it is open already
            stream.write(text)
            stream.flush()
            if old is not None:
                if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(descriptor, old.st_uid, old.st_gid)  # else the server might not read it any more
                os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
            os.fsync(descriptor)
        new.replace(place)
    finally:
        new.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Let two of these commands write one after the other; the lock goes with the process, however that ends."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _indented(entry: str) -> str:
    return "\n".join(f"  {line}" for line in entry.splitlines())
