"""serve_config/ha.yaml on two nodes: raylets of this machine, made by Ray's own test cluster.

Serve's proxies have ports of their own, and prefer the replica on their node: each node's address leads to its replica.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import httpx
from ray.cluster_utils import Cluster
from serve_support import answers, deploy, environment, replicas, shipped
from support import free_port, wait_for

TOKEN = "a-token-of-this-test-alone"


class TwoNodes:
    """A head and a worker, with ha.yaml deployed; `head` and `worker` are clients of the two nodes' own proxies."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = shipped("ha.yaml")
        self._ports = {"head": free_port(), "worker": free_port()}
        self.config["http_options"]["port"] = self._ports["head"]
        self._directory = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # a socket's path must be short
        dashboard = free_port()
        os.environ.update(environment(root, IOCMNG_TOKEN=TOKEN))
        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 2,
                "temp_dir": self._directory,
                "include_dashboard": True,
                "dashboard_host": "127.0.0.1",
                "dashboard_port": dashboard,
            },
        )
        self.dashboard = f"http://127.0.0.1:{dashboard}"
        # The settings must reach the other node with the application, not by its environment.
        for name in [name for name in os.environ if name.startswith("IOCMNG_")]:
            del os.environ[name]
        os.environ["RAY_SERVE_WORKER_PROXY_HTTP_PORT"] = str(self._ports["worker"])
        self.worker_node = self.cluster.add_node(num_cpus=1)
        self.head, self.worker = (self._client(port) for port in self._ports.values())

    def _client(self, port: int) -> httpx.Client:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", headers=headers, timeout=60)

    def deploy(self) -> None:
        """Deploy the config as it is now."""
        deploy(self.dashboard, self.config, self.root)

    def wait_until_ready(self, deadline: float = 90) -> None:
        """Return when both nodes answer, each with a replica of its own."""
        wait_for(lambda: len(self.replicas()) == 2, "a replica on each node", deadline, 0.2)
        for client in (self.head, self.worker):
            wait_for(lambda url=f"{client.base_url}readyz": answers(url), "ready", deadline, 0.2)

    def replicas(self) -> dict[str, int]:
        """Return the process ids of the replicas that run, by node."""
        found = replicas(self.dashboard)
        return {one["node_id"]: one["pid"] for one in found if one["state"] == "RUNNING"}

    def serve_logs(self) -> str:
        """Return what Serve has written of replicas."""
        logs = Path(self._directory).glob("session_latest/logs/serve/replica_*.log")
        return "\n".join(log.read_text(encoding="utf-8") for log in logs)

    def end(self) -> None:
        """End all processes."""
        self.cluster.shutdown()
        shutil.rmtree(self._directory, ignore_errors=True)


def plugins(client: httpx.Client) -> list[dict[str, Any]]:
    """Return the plugins as a replica shows them, without what counts by itself."""
    shown = client.get("/plugins").raise_for_status().json()["plugins"]
    return [{key: value for key, value in one.items() if key not in ("cycle_count", "overruns")} for one in shown]
