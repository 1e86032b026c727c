"""Bundles on their way to the state directory of another node."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from loading_support import TASK, Store, make_wheel, write_files

from iocmng.core.ports.processes import Bundle
from iocmng.core.source import LocalSource
from iocmng.core.spec import FilesRef
from iocmng.loading.bundles import bundle_is_here, forget_bundles, open_bundle, pack_bundle, unpack_bundle
from iocmng.loading.fetch import fetch
from iocmng.settings import Settings


@pytest.fixture
def bundle(settings: Settings) -> Bundle:
    directory = settings.roots[0] / "plugin"
    wheel = make_wheel(directory, "alpha", "1.0")
    write_files(directory, {"monitor.py": TASK, "tool.sh": "echo", "requirements.txt": f"./{wheel.name}\n"})
    (directory / "tool.sh").chmod(0o755)
    (directory / "link.py").symlink_to("monitor.py")
    return fetch(LocalSource(str(directory)), None, settings)


@pytest.fixture
def other(settings: Settings, tmp_path: Path) -> Settings:
    return settings.model_copy(update={"state_dir": tmp_path / "other" / "state"})


def test_a_packed_bundle_is_the_same_on_the_other_side(settings: Settings, other: Settings, bundle: Bundle):
    """Files, links, executable bits and requirements: its digest fits; the directory is for its owner alone."""
    unpack_bundle(pack_bundle(bundle, settings), other)
    opened = open_bundle(FilesRef(bundle.digest), other)
    assert opened is not None
    assert opened.packages is not None
    assert (Path(opened.packages) / "alpha" / "__init__.py").exists()
    assert other.state.stat().st_mode & 0o777 == 0o700
    assert Store(other.state).names("staging") == []
    forget_bundles(other, frozenset())
    assert Store(other.state).is_empty


def test_twice_is_as_good_as_once_and_mends_what_was_damaged(settings: Settings, other: Settings, bundle: Bundle):
    """A bundle that its plugin has written into is replaced by the one that is sent."""
    packed = pack_bundle(bundle, settings)
    unpack_bundle(packed, other)
    unpack_bundle(packed, other)
    there = other.state / "bundles" / bundle.digest / "files" / "monitor.py"
    there.write_text("damaged")
    assert open_bundle(FilesRef(bundle.digest), other) is None
    unpack_bundle(packed, other)
    assert open_bundle(FilesRef(bundle.digest), other) is not None


def test_a_bundle_is_here_only_if_it_is_whole(settings: Settings, bundle: Bundle):
    """Neither damaged files nor missing requirements count."""
    assert bundle_is_here(bundle)
    Path(bundle.directory, "monitor.py").write_text("damaged")
    assert not bundle_is_here(bundle)
    forget_bundles(settings, frozenset())
    assert not bundle_is_here(bundle)


def test_half_an_archive_leaves_nothing(settings: Settings, other: Settings, bundle: Bundle):
    """A transfer that was cut short is no bundle."""
    packed = pack_bundle(bundle, settings)
    with pytest.raises((EOFError, tarfile.ReadError)):
        unpack_bundle(packed[: len(packed) // 2], other)
    assert Store(other.state).is_empty
