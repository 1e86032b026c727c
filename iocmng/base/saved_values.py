"""SavedValues: the values of a plugin's PVs that outlive its process."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from iocmng.core.ports.plugin import PvServer
from iocmng.core.pv_fields import Direction, PvValue
from iocmng.core.pvs import DeclaredPv, EnumPv
from iocmng.errors import PvValueError

_FITTING: dict[str, tuple[type, ...]] = {
    "float": (float, int),
    "int": (int,),
    "bool": (bool,),
    "string": (str,),
    "enum": (str, int),
}
"""Types of saved values by PV type; narrower than what set_pv() takes, where 2.5 is a true bool and any text's text."""


def is_saved(declared: DeclaredPv) -> bool:
    """Tell whether a PV's value outlives the process: `autosave`, else yes for the plugin's inputs."""
    chosen = declared.pv.autosave
    return chosen if chosen is not None else declared.direction is Direction.INPUT


class SavedValues:
    """Gives PVs the values that an earlier process of the plugin has saved, and saves them as they change.

    The file is `NAME.softsav`, YAML as softioc's autosave writes it, but with the names of config.yaml and the names of
    enum states. It is written anew beside the old one and takes its place when it is on the disk, so whatever ends the
    process or the machine, one of the two is there whole.

    What the file has and this version of the plugin cannot use stays in it, so that going back to the version
    before brings it back: a PV that is gone for good, one whose value does not fit until somebody changes it.

    Args:
        directory: Where the file is; made if there is none.
        name: Name of the plugin.
        declared: All PVs of the plugin.
        pvs: Serves them.
        logger: The plugin's.
    """

    def __init__(
        self, directory: Path, name: str, declared: Sequence[DeclaredPv], pvs: PvServer, logger: logging.Logger
    ) -> None:
        self._file = directory / f"{name}.softsav"
        self._declared = {pv.name: pv for pv in declared}
        self._saved = [pv for pv in declared if is_saved(pv)]
        self._pvs = pvs
        self._logger = logger
        self._lock = threading.Lock()
        self._is_restored = False
        self._unused: dict[str, tuple[Any, Any]] = {}  # what the file has of a PV, and the value that the PV began with
        self._written = ""
        self._told: set[str] = set()

    def restore(self) -> None:
        """Set the PVs to their saved values; called once, before clients see them. It never fails."""
        if not self._saved:
            return
        with self._lock:
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                self._logger.warning("PV values will not outlive this process: %s", error)
                return
            saved = self._read()
            restored = [name for name, value in saved.items() if self._put_back(name, value)]
            if restored:
                self._logger.info("restored from %s: %s", self._file, ", ".join(restored))
            values = self._values()
            self._written = repr(values) if values == saved else ""
            self._is_restored = True

    def save(self) -> None:
        """Write the file, if a value has changed. A failure is told once and changes nothing else.

        Before restore() nothing is written: an older process may still serve the PVs and save them.
        """
        with self._lock:
            if not self._is_restored:
                return
            values = self._values()
            if (text := repr(values)) == self._written:
                return
            try:
                _write(self._file, yaml.safe_dump(values, sort_keys=False))
            except (OSError, ValueError, yaml.YAMLError) as error:
                kind = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                if kind not in self._told:
                    self._told.add(kind)
                    self._logger.warning("cannot save PV values, a restart would lose them: %s", error)
            else:
                if self._told:
                    self._logger.info("PV values are saved again")
                self._written = text
                self._told.clear()

    def _read(self) -> dict[str, Any]:
        try:
            saved = yaml.safe_load(self._file.read_bytes())
            if not isinstance(saved, dict):
                raise ValueError("it has no values in it")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
            self._set_aside(error)
            return {}
        return {str(name): value for name, value in cast("dict[Any, Any]", saved).items()}

    def _set_aside(self, error: Exception) -> None:
        aside = self._file.with_name(f"{self._file.name}.damaged")
        try:
            self._file.replace(aside)
            where = f"the file is kept as {aside.name}"
        except OSError as problem:
            where = f"it could not be renamed to {aside.name}: {problem.strerror}"
        reason = " ".join(str(error).split())
        self._logger.warning(
            "cannot read the saved PV values in %s: %s; the PVs have their initial values, %s",
            self._file,
            reason,
            where,
        )

    def _put_back(self, name: str, value: Any) -> bool:
        """Set a PV to its saved value; return whether it fits. What does not fit is told and left in the file."""
        declared = self._declared.get(name)
        if declared is None:
            self._logger.warning("%s was saved as %r, but there is no such PV any longer", name, value)
            self._unused[name] = (value, None)
            return False
        if not is_saved(declared):
            self._unused[name] = (value, None)
            return False
        try:
            wanted = _fitting(declared, value)
            self._pvs.put(name, wanted)
        except PvValueError as error:
            initial = self._value(declared)
            self._unused[name] = (value, initial)
            self._logger.warning("%s was saved as %r and begins with %r: %s", name, value, initial, error)
            return False
        if (now := self._pvs.get(name)) != wanted and now == now:  # NaN differs from itself
            self._logger.warning("%s was saved as %r; its drive limits make it %r", name, value, now)
        return True

    def _values(self) -> dict[str, Any]:
        """Return what is to stand in the file."""
        values: dict[str, Any] = {pv.name: self._value(pv) for pv in self._saved}
        for name, (in_file, at_first) in self._unused.items():
            if name not in values or values[name] == at_first:
                values[name] = in_file
        return values

    def _value(self, declared: DeclaredPv) -> PvValue:
        """Return the value as it is saved: of an enum the state's name, for its number may change its meaning."""
        value = self._pvs.get(declared.name)
        if isinstance(declared.pv, EnumPv) and isinstance(value, int) and 0 <= value < len(declared.pv.states):
            return declared.pv.states[value]
        return value


def _fitting(declared: DeclaredPv, value: Any) -> PvValue:
    kind = declared.pv.type
    if not isinstance(value, _FITTING[kind]) or isinstance(value, bool) != (kind == "bool"):
        raise PvValueError(f"this is no value of type {kind}")
    return declared.pv.coerce(value)


def _write(file: Path, text: str) -> None:
    """Replace a file by one with this text; after a crash of the machine it is the old one or the new one."""
    beside = file.with_suffix(".softsavB")
    with beside.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(file)
    with contextlib.suppress(OSError):  # not every file system can do it, and none must
        directory = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
