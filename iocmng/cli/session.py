"""What every command that speaks to a server has: a client, an output, and the options that say which."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec, get_type_hints

import typer

from iocmng.cli.output import Output
from iocmng.errors import InvalidRequest, IocmngError

if TYPE_CHECKING:
    from iocmng.client import Client
    from iocmng.client.address import Address

UrlOption = Annotated[
    str | None, typer.Option("--url", envvar="IOCMNG_URL", help="Where the server answers; else http://127.0.0.1:8080.")
]
TokenFileOption = Annotated[
    Path | None, typer.Option("--token-file", help="File that holds the server's token; else IOCMNG_TOKEN.")
]
ClusterOption = Annotated[
    bool,
    typer.Option(
        "--cluster", help="Speak to the Controller of the Ray cluster here; the default in a Ray job without a URL."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the API's object and nothing else on stdout.")]

P = ParamSpec("P")

_COMMON: dict[str, tuple[Any, Any]] = {
    "url": (UrlOption, None),
    "token_file": (TokenFileOption, None),
    "cluster": (ClusterOption, False),
    "as_json": (JsonOption, False),
}


@dataclass(frozen=True, slots=True)
class Session:
    """One command's way to the server and to the reader."""

    client: Client
    output: Output


def with_server(command: Callable[Concatenate[Session, P], None]) -> Callable[..., None]:
    """Make a command of a function that takes a session: give it the options that choose a server, and open it."""

    @wraps(command)
    def run(url: str | None, token_file: Path | None, cluster: bool, as_json: bool, **given: Any) -> None:
        with open_session(url, token_file, cluster, as_json) as session:
            command(session, **given)  # pyright: ignore[reportCallIssue]

    # Typer reads the signature, and some versions of it the annotations instead.
    hints = get_type_hints(command, globalns=command.__globals__ | {"Client": object}, include_extras=True)
    hints |= {name: option for name, (option, _) in _COMMON.items()}
    own = list(inspect.signature(command).parameters.values())[1:]
    common = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value) for name, (_, value) in _COMMON.items()
    ]
    described: Any = run
    described.__signature__ = inspect.Signature(
        [parameter.replace(annotation=hints[parameter.name]) for parameter in (*own, *common)]
    )
    described.__annotations__ = hints
    del described.__wrapped__
    return run


@contextmanager
def open_session(url: str | None, token_file: Path | None, cluster: bool, as_json: bool) -> Iterator[Session]:
    """Open the way to the server.

    Raises:
        ServerUnreachable: If there is no cluster, or no Controller in it, where one is asked for.
        InvalidRequest: If the URL or the file of the token does not fit.
    """
    from iocmng.cli.ray_job import is_ray_job
    from iocmng.client import Client

    output = Output(as_json)
    with ExitStack() as stack:
        if cluster or (url is None and is_ray_job()):
            from iocmng.cli import ray_environment

            ray_environment.prepare_command()
            from iocmng.cli.in_cluster import cluster_client  # Ray, which reads the environment

            client = stack.enter_context(cluster_client())
        else:
            address = address_of(url, token_file)
            client = stack.enter_context(Client(address.url, address.token))
        try:
            yield Session(client, output)
        except IocmngError as error:
            if as_json and "type" in error.problem:
                output.object(error.problem)
            raise


def address_of(url: str | None, token_file: Path | None) -> Address:
    """Return where the server is, with the token to send: as the options say, else as the environment does.

    Raises:
        InvalidRequest: If the file of the token cannot be read.
    """
    from iocmng.client.address import Address, from_environment

    found = from_environment()
    return Address(url or found.url, read_secret(token_file, "token") if token_file else found.token)


def read_secret(file: Path, what: str) -> str:
    """Return what a file holds, without the line's end; `-` is stdin.

    Raises:
        InvalidRequest: If it cannot be read, or is empty.
    """
    try:
        text = typer.get_text_stream("stdin").read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidRequest(f"cannot read the {what} from {file}: {reason}") from None
    if not text.strip():
        raise InvalidRequest(f"{file} is empty: it must hold the {what}")
    return text.strip()
