"""MapWorker: what runs in the Ray actor of one worker of a map()."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray.cloudpickle as cloudpickle

from iocmng.base.log_output import LogContext, show_log
from iocmng.base.map_item import run_item
from iocmng.base.printed_lines import log_what_is_printed
from iocmng.cluster.nodes import own_node
from iocmng.cluster.process_log import PRINTED
from iocmng.core import pv_client
from iocmng.core.ports.plugin import ItemOutcome
from iocmng.core.ports.processes import Bundle
from iocmng.epics.clients import EpicsPvClient
from iocmng.loading.bundles import unpack_bundle
from iocmng.loading.confinement import Confinement, confine
from iocmng.loading.importer import PREFIX, load_class
from iocmng.settings import Settings

NICENESS = 10
"""Batch work stands behind the IOCs wherever both want the same CPU."""


class MapWorker:
    """Belongs to one map() of one plugin, and has that plugin's modules as its process has them."""

    def __init__(self) -> None:
        # In the constructor, because threads that libraries start later inherit it.
        os.nice(NICENESS)
        self._function: Callable[[Any], Any] | None = None
        self._directory: str | None = None

    def bring(self, packed: bytes, settings: Settings) -> None:
        """Lay the plugin's bundle into the store of this node."""
        unpack_bundle(packed, settings)

    def open(self, bundle: Bundle, function: bytes, settings: Settings, confined: Confinement) -> bool:
        """Load the plugin's modules and the function; return False where this node does not have the files.

        Before that, the process is confined as the plugin's own is.

        Raises:
            PluginRejected: If the plugin cannot be imported here.
            Exception: If the function cannot be found.
        """
        if not all(Path(part).is_dir() for part in (bundle.directory, bundle.packages) if part):
            return False
        if settings.log_format == "json":
            show_log(settings.log_level, "json", LogContext({"node": own_node(), "plugin": confined.work.name}))
            log_what_is_printed(logging.getLogger(PRINTED))
        logging.getLogger().setLevel(settings.log_level.upper())
        pv_client.install(EpicsPvClient(settings.pva))
        confine(confined)
        load_class(bundle.directory, bundle.packages, bundle.manifest)
        self._directory = bundle.directory
        _know_by_both_names(bundle.directory)
        self._function = cloudpickle.loads(function)
        return True

    def run(self, index: int, item: Any) -> ItemOutcome:
        """Call the function with one item."""
        assert self._function is not None
        return run_item(self._function, index, item, self._directory)


def _know_by_both_names(directory: str) -> None:
    """Make each module of the plugin known with and without the importer's prefix.

    Which of the two the plugin's own process uses depends on what else had been imported there before.
    """
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(f"{directory}/"):
            sys.modules.setdefault(f"{PREFIX}{name.removeprefix(PREFIX)}", module)
