"""What has to hold on Kubernetes: the main job, and what happens to it when a head or a worker is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import httpx
from manifests import Manifest, environment_of, of_kind
from support import make_repository, wait_for

from .cluster import Cluster
from .kubernetes import opened
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
        check(not self.cluster.head.machine.pids(b"PluginProcess"), "a process for plugins runs on the head")
        return f"{FIRST} and {SECOND} run on workers; a client in another pod reads and writes their PVs"

    def look_at_the_doors(self) -> str:
        """What the network policy opens to clients of EPICS leads to IOCs, and all IOCs are behind it."""
        policies = [one for one in of_kind(self.cluster.objects, "NetworkPolicy") if "epics" in one["metadata"]["name"]]
        ports = {port for policy in policies for protocol, port in opened(policy) if protocol == "TCP"}
        for worker in self.cluster.workers:
            reached = {port: name for port, name in worker.listeners().items() if port in ports}
            strangers = {port: name for port, name in reached.items() if not name.startswith("ray::Plugin")}
            check(not strangers, f"clients of EPICS reach {strangers} on {worker.name}")
        for name in self._plugins:
            own = {self._plugin(name)["endpoint"][key] for key in ("ca_port", "pva_port")}
            check(own <= ports, f"{name} listens at {own}, of which no network policy knows")
        return "the network policy for EPICS opens the ports of the IOCs, and none of Ray's"

    def end_the_heads_container(self) -> str:
        """The head's container is killed; the kubelet starts it again in the same pod."""
        return self._lose_the_head("the container of the head ended", self._end_container)

    def lose_the_heads_machine(self) -> str:
        """The head's pod is gone without a word; the operator makes another one, with another address."""
        return self._lose_the_head("the machine of the head was lost", self._lose_machine)

    def delete_the_heads_pod(self) -> str:
        """The head's pod is deleted in good order, as for a drain; the operator makes another one."""
        return self._lose_the_head("the pod of the head was deleted", self._delete_pod)

    def delete_a_workers_pod(self) -> str:
        """A worker's pod is deleted in good order, as for a drain: its plugins run on the one that takes its place."""
        seconds = self._lose_a_worker(Pod.delete)
        return f"the pod of a worker was deleted: its plugins ran elsewhere after {seconds:.0f} s, with first values"

    def lose_a_workers_machine(self) -> str:
        """A worker's pod is gone without a word: after the lease its plugins run on the one that takes its place."""
        seconds = self._lose_a_worker(Pod.kill)
        check(seconds > self._lease(), "plugins were started elsewhere while the lost worker could still serve them")
        return f"the machine of a worker was lost: its plugins ran elsewhere after {seconds:.0f} s, with first values"

    def _lose_a_worker(self, lose: Callable[[Pod], None]) -> float:
        """Lose the worker of the first plugin, and get another one; return the seconds until all plugins run again."""
        cluster = self.cluster
        lost = self._worker_of(FIRST)
        self._write(FIRST, 7.0)
        begin = time.monotonic()
        lose(lost)
        cluster.remove(lost)
        cluster.start_worker(cluster.group_of(lost))
        limit = self._lease() + 120
        for name in self._plugins:
            wait_for(lambda name=name: self._runs_elsewhere(name, lost), f"{name} runs elsewhere", limit, 0.5)
        seconds = time.monotonic() - begin
        wait_for(lambda: self._reads(FIRST, 1.5), f"{FIRST} begins anew with the values of its config.yaml")
        return seconds

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
        before, processes = self._processes(), self._host_processes()
        deployed = self.cluster.puts, self.cluster.empty_answers
        client = self.cluster.epics_client()
        pv = f"{self._plugin(FIRST)['pv_prefix']}:HEARTBEAT"
        begin = time.monotonic()
        with client.monitored(pv) as beats:
            lose()
            check(client.caget(pv) is not None, f"{pv} does not answer while the head begins anew")
            self.cluster.wait_until_running()
            seconds = time.monotonic() - begin
            counted = beats()
        longest = max(after - one for one, after in pairwise(counted))
        check(1 <= longest <= 3, f"{pv} was still for {longest} s: {counted}")
        check(counted[-1] - counted[0] > seconds - 5, f"{pv} has stopped: {counted}, and {seconds:.0f} s have passed")
        check((self.cluster.puts, self.cluster.empty_answers) == deployed, "the application was not in Redis")
        wait_for(lambda: self._processes() == before, f"plugins are what they were: {before}", 60, 0.5)
        check(self._host_processes() == processes, "the processes of plugins are others than before")
        self._obeys()
        self._add(f"emulated-{len(self._plugins) + 1}")
        return (
            f"{words}: the API was back after {seconds:.0f} s without another PUT; the IOCs went on in their processes "
            "on one connection, obey, and another one was added"
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
