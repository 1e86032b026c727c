"""What has to hold on Kubernetes: the main job, and what happens to it when a head or a worker is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import httpx
from manifests import Manifest, environment_of
from support import make_repository, wait_for

from .cluster import Cluster
from .pod import Pod

TASK = """\
from iocmng import TaskBase


class Doubler(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        self.set_pv("DOUBLE", 2 * self.get_pv("GAIN"))

    def cleanup(self):
        pass
"""
CONFIG = """\
parameters: {interval: 0.2}
pvs:
  inputs: {GAIN: {type: float, value: 1.5}}
  outputs: {DOUBLE: {type: float}}
"""
FIRST, SECOND = "emulated-1", "emulated-2"


def check(holds: Any, sentence: str) -> None:
    """Fail with a sentence where something does not hold."""
    if not holds:
        raise AssertionError(sentence)


class Walk:
    """The steps, in their order; each returns what it has shown, and fails where it does not hold.

    Args:
        cluster: One in which nothing has been started yet.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._plugins: list[str] = []

    # --- the steps

    def come_up(self) -> str:
        """Redis, head and workers become ready, the application is deployed, and the API answers."""
        cluster = self.cluster
        cluster.start_stateful_sets()
        head = cluster.start_head()
        cluster.start_workers()
        application = cluster.deploy()
        return (
            f"the head was ready after {head:.0f} s, and {len(cluster.workers)} worker(s); the application ran "
            f"{application:.0f} s after the first of {cluster.puts} PUT(s)"
        )

    def do_the_main_job(self) -> str:
        """Two plugins come from a repository; they run on workers, are read, and do what they are told."""
        for name in (FIRST, SECOND):
            self._add(name)
        for name in (FIRST, SECOND):
            wait_for(lambda name=name: self._reads(name, 1.5), f"a client in another pod reads the PVs of {name}")
            self._write(name, 4.0)
        return f"{FIRST} and {SECOND} run on workers; a client in another pod reads and writes their PVs"

    def end_the_heads_container(self) -> str:
        """The head's container is killed; the kubelet starts it again in the same pod."""
        return self._lose_the_head("the container of the head ended", self._end_container)

    def lose_the_heads_machine(self) -> str:
        """The head's pod is gone without a word; the operator makes another one, with another address."""
        return self._lose_the_head("the machine of the head was lost", self._lose_machine)

    def delete_the_heads_pod(self) -> str:
        """The head's pod is deleted in good order, as for a drain; the operator makes another one."""
        return self._lose_the_head("the pod of the head was deleted", self._delete_pod)

    def lose_a_workers_machine(self) -> str:
        """A worker's pod is gone without a word: after the lease its plugins run on the one that takes its place."""
        cluster = self.cluster
        lost = self._worker_of(FIRST)
        begin = time.monotonic()
        lost.kill()
        cluster.remove(lost)
        cluster.start_worker(cluster.group_of(lost))
        limit = self._lease() + 120
        for name in self._plugins:
            wait_for(lambda name=name: self._runs_elsewhere(name, lost), f"{name} runs elsewhere", limit, 0.5)
        seconds = time.monotonic() - begin
        check(seconds > self._lease(), "plugins were started elsewhere while the lost worker could still serve them")
        wait_for(lambda: self._reads(FIRST, 1.5), f"{FIRST} begins anew with the values of its config.yaml")
        return f"the machine of a worker was lost: its plugins ran elsewhere after {seconds:.0f} s, with first values"

    # --- ways to lose a head

    def _end_container(self) -> None:
        head = self.cluster.head
        head.kill()
        self.cluster.publish()
        head.start_container()
        self.cluster.ready(head)

    def _lose_machine(self) -> None:
        head = self.cluster.head
        head.kill()
        self.cluster.remove(head)
        self.cluster.start_head()

    def _delete_pod(self) -> None:
        head = self.cluster.head
        head.delete()
        self.cluster.remove(head)
        self.cluster.start_head()

    def _lose_the_head(self, words: str, lose: Callable[[], None]) -> str:
        """Lose a head and get it back; PVs go on, processes stay, and nobody deploys the application again."""
        before, processes, puts = self._processes(), self._host_processes(), self.cluster.puts
        client = self.cluster.epics_client()
        pv = f"{self._plugin(FIRST)['pv_prefix']}:HEARTBEAT"
        begin = time.monotonic()
        with client.monitored(pv) as beats:
            lose()
            check(client.caget(pv) is not None, f"{pv} does not answer while the head begins anew")
            self.cluster.wait_until_running()
            seconds = time.monotonic() - begin
            counted = beats()
        check(counted == list(range(counted[0], counted[-1] + 1)), f"{pv} has missed a beat: {counted}")
        check(len(counted) > seconds - 5, f"{pv} has stopped: {len(counted)} beats in {seconds:.0f} s")
        check(self._processes() == before, f"plugins are not what they were: {before}, now {self._processes()}")
        check(self._host_processes() == processes, "the processes of plugins are others than before")
        check(not self.cluster.would_put_again() and self.cluster.puts == puts, "the application was not in Redis")
        self._obeys()
        self._add(f"emulated-{len(self._plugins) + 1}")
        return (
            f"{words}: the API was back after {seconds:.0f} s without another PUT; the IOCs went on in their processes "
            "without missing a beat, obey, and another one was added"
        )

    # --- plugins

    def _add(self, name: str) -> None:
        """Add a plugin from a repository on the head's volume; it must run on a worker, and there alone."""
        settings = environment_of(self.cluster.objects, self.cluster.head.container)
        where = f"{settings['IOCMNG_PLUGINS_DIR']}/{name}.repository"
        outside = self.cluster.head.on_this_machine(str(settings["IOCMNG_PLUGINS_DIR"])) / f"{name}.repository"
        make_repository(outside, {"doubler.py": TASK, "config.yaml": CONFIG})
        user = self.cluster.head.manifest["spec"]["securityContext"]["runAsUser"]
        for path in (outside, *outside.rglob("*")):
            os.chown(path, user, user)
        answer = self._call("POST", "/tasks", {"name": name, "git_url": where})
        check(answer.status_code == 201, f"{name} was not added: {answer.status_code} {answer.text}")
        self._plugins.append(name)
        check(self._worker_of(name).host_pid(self._plugin(name)["pid"]), f"{name} has no process on its worker")

    def _obeys(self) -> None:
        """The first plugin stops and starts when the API says so, and takes what a client writes."""
        for call, status in (("stop", "stopped"), ("start", "running")):
            answer = self._call("POST", f"/tasks/{FIRST}/{call}")
            check(answer.is_success, f"{FIRST} does not {call}: {answer.text}")
            wait_for(lambda status=status: self._plugin(FIRST)["status"] == status, f"{FIRST} is {status}")
        self._write(FIRST, 10.0 + len(self._plugins))

    def _write(self, name: str, value: float) -> None:
        prefix = self._plugin(name)["pv_prefix"]
        self.cluster.epics_client().caput(f"{prefix}:GAIN", value)
        wait_for(lambda: self._reads(name, value), f"{name} has taken {value}")

    def _reads(self, name: str, gain: float) -> bool:
        """Tell whether a client in another pod reads the right values of a plugin over both protocols."""
        client, prefix = self.cluster.epics_client(), self._plugin(name)["pv_prefix"]
        return set(client.values(f"{prefix}:DOUBLE")) == {2 * gain}

    def _plugin(self, name: str) -> dict[str, Any]:
        return self._call("GET", f"/plugins/{name}").raise_for_status().json()

    def _processes(self) -> dict[str, Any]:
        """Return what must stay of each plugin, in the words of the API."""
        return {name: (self._plugin(name)["status"], self._plugin(name)["pid"]) for name in self._plugins}

    def _host_processes(self) -> dict[str, Any]:
        return {name: self._worker_of(name).host_pid(self._plugin(name)["pid"]) for name in self._plugins}

    def _worker_of(self, name: str) -> Pod:
        host = self._plugin(name)["endpoint"]["host"]
        found = [pod for pod in self.cluster.workers if pod.address == host]
        check(found, f"{name} runs at {host}, which is no worker")
        return found[0]

    def _runs_elsewhere(self, name: str, lost: Pod) -> bool:
        plugin = self._plugin(name)
        return plugin["status"] == "running" and plugin["endpoint"]["host"] != lost.address

    def _lease(self) -> float:
        settings: Manifest = environment_of(self.cluster.objects, self.cluster.head.container)
        return float(settings["IOCMNG_LEASE"])

    def _call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        with self.cluster.api() as http:
            return http.request(method, path, json=body)
