"""The step dependencies, with real uv and tiny wheels; no network is used."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from git import Repo
from loading_support import TASK, Files, Store, make_wheel, only_failure, write_files

from iocmng.core.ports.processes import Bundle
from iocmng.core.source import GitSource, LocalSource
from iocmng.errors import CheckFailure, PluginRejected
from iocmng.loading import base_environment, requirements
from iocmng.loading.base_environment import BaseEnvironment
from iocmng.loading.fetch import fetch
from iocmng.settings import Settings


@pytest.fixture
def wheels(sources: Path) -> Path:
    """Directory of wheels, below a local root, that requirement files name with --find-links."""
    directory = sources / "wheels"
    directory.mkdir()
    return directory


def plugin(settings: Settings, text: str | bytes, name: str = "plugin", files: Files | None = None) -> Bundle:
    directory = settings.roots[0] / name
    write_files(directory, {"monitor.py": TASK, "requirements.txt": text, **(files or {})})
    return fetch(LocalSource(str(directory)), None, settings)


def failure_of(settings: Settings, store: Store, text: str | bytes, words: str) -> CheckFailure:
    with pytest.raises(PluginRejected, match=words) as caught:
        plugin(settings, text)
    failure = only_failure(caught.value)
    assert (failure.step, failure.file) == ("dependencies", "requirements.txt")
    assert store.is_empty
    return failure


def offline(wheels: Path, *lines: str) -> str:
    return "\n".join(("--no-index", f"--find-links {wheels}", *lines, ""))


def version_in(packages: str | None, name: str) -> str:
    assert packages is not None
    code = f"import {name}; print({name}.version)"
    environment = {"PYTHONPATH": packages}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n   # at all\n", "\\\n\n"])
def test_file_that_names_nothing(settings: Settings, store: Store, text: str):
    """A requirements.txt of comments and blank lines installs nothing."""
    assert plugin(settings, text).packages is None
    assert store.names("packages") == []


def test_what_the_server_has_is_not_installed(settings: Settings):
    """Requirements that the server satisfies, iocmng itself among them, need no installation and no network."""
    text = "iocmng>=3  # the framework\nPyYAML >= 6 ; python_version >= '3'\nnothing ; python_version < '3'\npydantic\n"
    assert plugin(settings, text).packages is None


def test_two_versions_side_by_side(settings: Settings, wheels: Path):
    """Two plugins may require different versions of a package; each gets its own directory."""
    make_wheel(wheels, "xpkg", "1.0")
    newer = hashlib.sha256(make_wheel(wheels, "xpkg", "2.0").read_bytes()).hexdigest()
    one = plugin(settings, offline(wheels, "xpkg==1.0"), "one")
    two = plugin(settings, offline(wheels, f"xpkg==2.0 \\\n    --hash=sha256:{newer}"), "two")
    assert one.packages != two.packages
    assert (version_in(one.packages, "xpkg"), version_in(two.packages, "xpkg")) == ("1.0", "2.0")


def test_equal_requirements_are_installed_once(settings: Settings, wheels: Path, monkeypatch: pytest.MonkeyPatch):
    """The same requirements of another plugin are taken from the store, without running uv."""
    make_wheel(wheels, "xpkg", "1.0")
    first = plugin(settings, offline(wheels, "xpkg"), "one")
    monkeypatch.setattr(requirements, "_run_uv", None)
    second = plugin(settings, offline(wheels, "xpkg", "# comment"), "two", {"more.py": ""})
    assert first.packages == second.packages
    assert first.digest != second.digest


def test_requirements_belong_to_the_digest(settings: Settings, wheels: Path, monkeypatch: pytest.MonkeyPatch):
    """Equal files with other packages, because the server changed, are another bundle."""
    make_wheel(wheels, "xpkg", "1.0")
    first = plugin(settings, offline(wheels, "xpkg"))
    base = base_environment.running_environment()
    changed = BaseEnvironment({**base.indexed, "brand-new": "1.0"}, base.provided)
    monkeypatch.setattr(requirements, "running_environment", lambda: changed)
    second = plugin(settings, offline(wheels, "xpkg"))
    assert (first.packages, first.digest) != (second.packages, second.digest)


def test_wheel_beside_the_plugin(settings: Settings):
    """A wheel in the plugin's directory is named by its path; another wheel of the same name is installed anew."""
    directory = settings.roots[0] / "plugin"
    wheel = make_wheel(directory, "xpkg", "1.0")
    first = plugin(settings, f"./{wheel.name}\n")
    make_wheel(directory, "xpkg", "1.0", code="version = 'rebuilt'\n")
    second = plugin(settings, f"./{wheel.name}\n")
    assert (version_in(first.packages, "xpkg"), version_in(second.packages, "xpkg")) == ("1.0", "rebuilt")


def test_included_files(settings: Settings, wheels: Path):
    """-r and -c name files beside requirements.txt, and a change in one is a change of the requirements."""
    for version in ("1.0", "2.0"):
        make_wheel(wheels, "xpkg", version)
    text = offline(wheels, "-r more.txt", "-c pins.txt")
    first = plugin(settings, text, files={"more.txt": "xpkg\n", "pins.txt": "xpkg<2\n"})
    second = plugin(settings, text, files={"pins.txt": "xpkg==2.0\n"})
    assert (version_in(first.packages, "xpkg"), version_in(second.packages, "xpkg")) == ("1.0", "2.0")


def test_file_of_the_repository(settings: Settings, wheels: Path, make_repo: Callable[..., Repo]):
    """Without a requirements.txt in `path`, the one in the repository's root counts; with one, only that."""
    for name in ("xpkg", "ypkg"):
        make_wheel(wheels, name, "1.0")
    repository = make_repo(
        {
            "requirements.txt": offline(wheels, "xpkg"),
            "a/a.py": TASK,
            "b/b.py": TASK,
            "b/requirements.txt": offline(wheels, "ypkg"),
        }
    )
    place = str(repository.working_dir)
    for source in (GitSource(place, "a"), LocalSource(place, "a")):
        assert version_in(fetch(source, None, settings).packages, "xpkg") == "1.0"
    packages = fetch(GitSource(place, "b"), None, settings).packages
    assert version_in(packages, "ypkg") == "1.0"
    assert not Path(str(packages), "xpkg").exists()


def test_bytecode_is_compiled(settings: Settings, wheels: Path):
    """Packages are compiled when they are installed, so that no start pays for it."""
    make_wheel(wheels, "xpkg", "1.0")
    packages = plugin(settings, offline(wheels, "xpkg")).packages
    assert list(Path(str(packages), "xpkg", "__pycache__").glob("__init__.*.pyc"))


def test_no_second_copy_of_the_servers_packages(settings: Settings, wheels: Path):
    """A package that the server has in the required version is not installed beside it, nor left as an empty shell."""
    version = importlib.metadata.version("six")
    make_wheel(wheels, "six", version)
    make_wheel(wheels, "xpkg", "1.0", requires=("six>=1", "iocmng>=99"))
    packages = plugin(settings, offline(wheels, "xpkg")).packages
    assert sorted(path.name for path in Path(str(packages)).iterdir()) == ["xpkg", "xpkg-1.0.dist-info"]


def test_servers_packages_cannot_be_replaced(settings: Settings, store: Store, wheels: Path):
    """A requirement that contradicts the server's version is rejected; package, version and line are named."""
    version = importlib.metadata.version("numpy")
    make_wheel(wheels, "numpy", "1.0")
    make_wheel(wheels, "xpkg", "1.0", requires=("numpy<2",))
    words = f"numpy=={version} belongs to this server and cannot be replaced"
    assert failure_of(settings, store, offline(wheels, "", "numpy==1.0"), words).line == 4
    failure = failure_of(settings, store, offline(wheels, "xpkg"), words)
    assert "xpkg" in failure.message
    assert failure.line == 3


def test_another_iocmng(settings: Settings, store: Store):
    """A plugin for another version of iocmng is rejected without asking any index for it."""
    assert failure_of(settings, store, "\niocmng<3\n", "needs iocmng<3, but this server is iocmng").line == 2
    failure_of(settings, store, "iocmng[ophyd]\n", "without the extra ophyd")


def test_unknown_package(settings: Settings, store: Store, wheels: Path):
    """A package that is nowhere to be found is named, with its line."""
    failure = failure_of(settings, store, offline(wheels, "# why not", "Nowhere.Pkg==3"), "correct requirements.txt")
    assert "nowhere-pkg" in failure.message.lower()
    assert "\n" not in failure.message
    assert str(settings.state) not in failure.message


def test_index_that_does_not_answer(settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch):
    """An index that cannot be reached is said to be the trouble; a password in its URL is not shown."""
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    text = "--index-url http://user:s3cret@127.0.0.1:1/simple\nxpkg\n"
    failure = failure_of(settings, store, text, "check that the server reaches the package index")
    assert "s3cret" not in failure.message


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("a b c\n", "Couldn't parse requirement", 1),
        ("\n-e ./lib\n", "without -e", 2),
        (b"caf\xe9\n", "not UTF-8; save it", None),
        (b"# x\n" * 70_000, "larger than 256 KiB", None),
        ("./missing-1.0-py3-none-any.whl\n", "missing-1.0", 1),
        ("-r missing.txt\n", "missing.txt", 1),
    ],
)
def test_files_that_cannot_be_used(settings: Settings, store: Store, text: str | bytes, words: str, line: int | None):
    """Lines and files that make no sense are rejected with what is wrong."""
    assert failure_of(settings, store, text, words).line == line


def test_time_limit(settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """An installation that takes too long is ended, and the setting named."""
    script = tmp_path / "uv"
    script.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    script.chmod(0o755)
    monkeypatch.setattr(requirements.uv, "find_uv_bin", lambda: str(script))
    hasty = settings.model_copy(update={"requirements_timeout": 0.5})
    failure_of(hasty, store, "xpkg\n", "longer than 0.5 s; .*IOCMNG_REQUIREMENTS_TIMEOUT")


def test_what_uv_inherits(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wheels: Path
):
    """Uv gets the site's proxies, certificates and indexes, and nothing of the server's own."""
    script = tmp_path / "uv"
    script.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"json.dump([sys.argv, dict(os.environ)], open({str(tmp_path / 'report')!r}, 'w'))\nsys.exit(1)\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(requirements.uv, "find_uv_bin", lambda: str(script))
    for name in ("IOCMNG_TOKEN", "RAY_ADDRESS", "UV_DEFAULT_INDEX", "https_proxy", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "value")
    failure_of(settings, store, "xpkg\n", "uv failed without a word")
    arguments, environment = json.loads((tmp_path / "report").read_text())
    assert {"UV_DEFAULT_INDEX", "https_proxy", "SSL_CERT_FILE"} <= set(environment)
    assert not [name for name in environment if name.startswith(("IOCMNG_", "RAY_"))]
    assert f"--python={sys.executable}" in arguments
    assert "--no-config" in arguments


def test_author_does_not_configure_uv(settings: Settings, store: Store, wheels: Path):
    """A pyproject.toml beside the plugin cannot override the server's versions."""
    make_wheel(wheels, "numpy", "1.0")
    write_files(settings.roots[0] / "plugin", {"pyproject.toml": '[tool.uv]\noverride-dependencies = ["numpy==1.0"]\n'})
    failure_of(settings, store, offline(wheels, "numpy==1.0"), "belongs to this server")


def test_failure_after_the_installation_leaves_nothing(settings: Settings, store: Store, wheels: Path):
    """Requirements of a plugin that fails a later check do not stay."""
    make_wheel(wheels, "xpkg", "1.0")
    with pytest.raises(PluginRejected, match="syntax"):
        plugin(settings, offline(wheels, "xpkg"), files={"bad.py": "def"})
    assert store.is_empty
