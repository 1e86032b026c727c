"""Further nodes join the Ray that a server has started, at the address that IOCMNG_RAY_HOST gives, with its token."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support import MINIMAL_TASK, Server, free_port, wait_for

pytestmark = pytest.mark.thorough

RAY = Path(sys.executable).with_name("ray")


def machine_address() -> str:
    """Return this machine's address on the network; skip where it has none."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]
    except OSError:
        pytest.skip("this machine has no address but the loopback one")


def join(address: str, **environment: str) -> subprocess.Popen[str]:
    """Start a node that joins the Ray at an address."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("IOCMNG_", "RAY_"))}
    command = [RAY, "start", f"--address={address}", "--resources", '{"camera": 1}', "--num-cpus=1", "--block"]
    return subprocess.Popen(
        [*command, "--object-store-memory=100000000"],
        env=clean | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_memory_monitor_refresh_ms": "0"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_node_joins_with_the_token(tmp_path):
    """With a copy of ray.token it gets plugins that ask for it; with another token it does not get in."""
    host, port = machine_address(), free_port()
    server = Server(tmp_path, "JOI", IOCMNG_RAY_HOST=host, IOCMNG_RAY_PORT=str(port)).wait_until_ready()
    node = None
    try:
        wrong = join(f"{host}:{port}", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="2" * 64)
        told, _ = wrong.communicate(timeout=120)
        assert wrong.returncode != 0, told
        refused = server.add("early", {"m.py": MINIMAL_TASK, "config.yaml": "resources: {camera: 1}\n"})
        assert refused.status_code == 503, refused.text
        token = tmp_path / "copy"
        token.write_bytes((server.plugins_dir / ".iocmng" / "ray.token").read_bytes())
        node = join(f"{host}:{port}", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token))

        def added() -> bool:
            answer = server.add("seen", {"m.py": MINIMAL_TASK, "config.yaml": "resources: {camera: 1}\n"})
            return answer.status_code == 201

        wait_for(added, "a plugin on the node that has joined", 120, 2)
        assert server.get("seen")["endpoint"]["host"] == host
    finally:
        if node is not None:
            os.killpg(node.pid, signal.SIGTERM)
            node.communicate(timeout=60)
        assert server.stop() == 0, server.log.read_text()
