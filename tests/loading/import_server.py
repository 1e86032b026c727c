"""Answers each line of stdin, a plugin to import, from a fresh child process; run as a script by test_importer.py."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from typing import Any

from iocmng.core.manifest import Manifest
from iocmng.errors import PluginRejected
from iocmng.loading.importer import load_class


def answer(request: dict[str, Any]) -> dict[str, Any]:
    before = set(sys.modules)
    manifest = Manifest.model_validate(request["manifest"])
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            cls = load_class(request["directory"], request["packages"], manifest)
    except PluginRejected as error:
        return {"failures": [failure.to_dict() for failure in error.failures]}
    return {
        "class": cls.__name__,
        "module": cls.__module__,
        "kind": cls.kind.value,
        "answer": getattr(cls, "answer", None),
        "path": sys.path[:2],
        "imported": sorted(set(sys.modules) - before),
    }


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                text = json.dumps(answer(json.loads(line)))
            except BaseException as error:  # noqa: BLE001  # the test must hear of it
                text = json.dumps({"crash": repr(error)})
            os.write(1, f"{text}\n".encode())
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
