"""--cluster where there is no cluster: told at once, and nothing is started."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from support import free_port

pytestmark = pytest.mark.thorough


@pytest.mark.parametrize("kind", ["nobody", "dashboard", "nonsense"])
@pytest.mark.parametrize("is_job", [False, True])
def test_no_cluster_is_status_3(kind: str, is_job: bool) -> None:
    """One sentence that names the address, also in a Ray job that has lost its cluster; Ray would try for minutes."""
    address = {"nobody": f"127.0.0.1:{free_port()}", "dashboard": "http://127.0.0.1:8265", "nonsense": "nonsense"}[kind]
    job = {"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"} if is_job else {}
    command = [sys.executable, "-m", "iocmng", "list", *([] if is_job else ["--cluster"])]
    began = time.monotonic()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | {"RAY_ADDRESS": address, "RAY_AUTH_MODE": "disabled"} | job,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert address in done.stderr
    assert time.monotonic() - began < 30
