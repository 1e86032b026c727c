"""The store: what is forgotten and what is kept."""

from __future__ import annotations

import os
from pathlib import Path

from loading_support import TASK, Store, make_wheel, write_files

from iocmng.core.ports.processes import Bundle
from iocmng.core.source import LocalSource
from iocmng.loading.bundles import staging
from iocmng.loading.fetch import fetch, forget_bundles
from iocmng.settings import Settings


def plugin_with(settings: Settings, name: str, package: str) -> Bundle:
    directory = settings.roots[0] / name
    wheel = make_wheel(directory, package, "1.0")
    write_files(directory, {"monitor.py": TASK, "requirements.txt": f"./{wheel.name}\n"})
    return fetch(LocalSource(str(directory)), None, settings)


def test_forget_all_but_some(settings: Settings, store: Store):
    """Bundles that are not to be kept go, with the requirements that no kept bundle uses."""
    kept, gone = plugin_with(settings, "kept", "alpha"), plugin_with(settings, "gone", "beta")
    assert kept.packages is not None
    assert len(store.names("packages")) == 2
    forget_bundles(settings, frozenset({kept.digest, "unknown"}))
    assert store.names("bundles") == [kept.digest]
    assert store.names("packages") == [Path(kept.packages).name]
    assert Path(kept.directory, "monitor.py").exists()
    assert not Path(gone.directory).exists()
    assert store.names("staging") == []


def test_forget_everything_twice(settings: Settings, store: Store):
    """Forgetting what is not there does no harm, not even without a store."""
    forget_bundles(settings, frozenset())
    plugin_with(settings, "gone", "beta")
    forget_bundles(settings, frozenset())
    forget_bundles(settings, frozenset())
    assert store.is_empty


def test_abandoned_work_is_removed(settings: Settings, store: Store):
    """Staging directories of processes that were killed go once they are older than any fetch may be."""
    with staging(settings) as busy:
        abandoned = busy.parent / "abandoned"
        abandoned.mkdir()
        os.utime(abandoned, (0, 0))
        forget_bundles(settings, frozenset())
        assert store.names("staging") == [busy.name]
