"""Which repositories, and which directories of the server's machine, a plugin may come from."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from iocmng.core.git_allow import check_allowed
from iocmng.core.source import GitSource, Source, file_url_path, is_file_url, refused
from iocmng.settings import Settings


def allowed_directory(name: str, settings: Settings, key: str) -> Path:
    """Return the real path of a directory, if it lies below one of the local roots.

    Args:
        name: Path as the user gave it; a relative one is taken from the working directory.
        settings: Holds the roots.
        key: What to call it in messages: git_url, local_path.

    Raises:
        PluginRejected: If it lies elsewhere; nothing is said about whether it exists there.
    """
    try:
        directory = Path(name).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise refused(f"{key} {name[:200]!r} cannot be resolved: {error}") from error
    if not is_below_roots(directory, settings):
        roots = ", ".join(map(str, settings.roots)) or "none"
        raise refused(
            f"{key} {name[:200]!r} lies outside of the directories that this server takes plugins from ({roots}); "
            "move it there, or name its directory in IOCMNG_LOCAL_ROOTS"
        )
    return directory


def is_below_roots(place: Path, settings: Settings) -> bool:
    """Tell whether a real path lies below one of the local roots."""
    return any(place.is_relative_to(root) for root in settings.roots)


def repository_path(url: str) -> str:
    """Return the path, as it was given, of a repository on the server's machine."""
    path = file_url_path(url)
    return unquote(path) if url.startswith("file://") else path


def check_origin(source: Source, settings: Settings) -> None:
    """Check a source against IOCMNG_GIT_ALLOW; a repository of this machine by its real path.

    Raises:
        PluginRejected: If it matches none of the patterns.
    """
    if settings.git_allow is None or not isinstance(source, GitSource):
        return
    url = source.url
    if is_file_url(url):
        try:
            url = str(Path(repository_path(url)).expanduser().resolve())
        except (OSError, RuntimeError, ValueError) as error:
            raise refused(f"git_url {url[:200]!r} cannot be resolved: {error}") from error
    check_allowed(url, settings.git_allow)
