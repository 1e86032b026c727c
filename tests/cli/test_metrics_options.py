"""What the settings of the figures do before anything is started."""

import os
import socket
import subprocess
import sys

import pytest
from support import free_port

pytestmark = pytest.mark.thorough

PREPARED = """\
import os
from iocmng.cli import ray_environment
from iocmng.settings import load_settings
ray_environment.prepare(load_settings())
print(os.environ.get("RAY_enable_metrics_collection"))
"""


def python(tmp_path, *arguments, **environment):
    """Run Python with these settings alone."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("IOCMNG_", "RAY_"))}
    return subprocess.run(
        [sys.executable, *arguments],
        env=clean | {"IOCMNG_PLUGINS_DIR": str(tmp_path)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(("metrics", "said"), [("true", "None"), ("false", "0")])
def test_without_figures_ray_collects_none(tmp_path, metrics, said):
    """IOCMNG_METRICS=false goes on to a Ray of the server's own; otherwise Ray does as it likes."""
    done = python(tmp_path, "-c", PREPARED, IOCMNG_METRICS=metrics)
    assert done.stdout.strip() == said, done.stderr


def test_a_port_that_is_taken_is_told_at_once(tmp_path):
    """One sentence that names the setting, status 1; Ray is not started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = python(tmp_path, "-m", "iocmng", "server", IOCMNG_METRICS_PORT=str(port), IOCMNG_PORT=str(free_port()))
    assert done.returncode == 1, done.stderr
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "IOCMNG_METRICS_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_port_cannot_be_both(tmp_path):
    """The API and the figures at the same port are refused, and both settings named."""
    port = str(free_port())
    done = python(tmp_path, "-m", "iocmng", "server", IOCMNG_METRICS_PORT=port, IOCMNG_PORT=port)
    assert done.returncode == 2, done.stderr
    assert "IOCMNG_PORT and IOCMNG_METRICS_PORT" in done.stderr
