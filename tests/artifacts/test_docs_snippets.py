"""Every fenced block of the README and of docs/ is executed or checked; nothing that is shown is only hoped for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from docs_blocks import ROOT, Block, all_blocks, blocks, page_name, pages, shown_plugins, shows
from jsonschema import Draft202012Validator
from packaging.requirements import Requirement
from ray.serve.schema import ServeDeploySchema
from support import LOOPBACK, Server, free_port, wait_for, write_files

from iocmng.core.beamline_devices import read_devices
from iocmng.core.manifest_text import parse_manifest
from iocmng.core.names import site_prefix
from iocmng.loading.plugins_file import read_plugins_file
from iocmng.settings import load_settings, read_yaml

# Blocks that nobody can run here, by page and first line, each with the reason.
NOT_RUN = {
    ("docs/how-to/run-on-one-machine.md", "make run"): "it is what the server of this test does",
    ("docs/how-to/run-on-one-machine.md", "export IOCMNG_PREFIX=LAB:WATER"): "a server that goes on for ever",
    ("docs/how-to/run-on-one-machine.md", "[Unit]"): "systemd's own format",
    ("docs/how-to/run-on-one-machine.md", "sudo systemctl daemon-reload"): "needs systemd and root",
    ("docs/how-to/run-on-one-machine.md", 'curl -s -H "Authorization: Bearer $IOCMNG_TOKEN" \\'): "needs a token",
    ("docs/how-to/look-at-pvs.md", "camonitor BEAMLINE:DEFAULT:MY-MONITOR:HEARTBEAT"): "it never ends",
    ("docs/how-to/look-at-pvs.md", "export EPICS_CA_ADDR_LIST=192.168.7.255"): "another network",
    (
        "docs/how-to/follow-logs.md",
        'curl -sN "localhost:8080/api/v1/plugins/my-monitor/logs?follow=true&tail=20"',
    ): "it never ends; tests/cluster/test_plugin_logs.py",
    (
        "docs/how-to/trace-requests.md",
        'pip install "iocmng[otel]"',
    ): "needs a collector; tests/api/test_api_request_trace.py",
    ("docs/how-to/private-repositories.md", "curl -s localhost:8080/api/v1/tasks -d @pump.json"): "needs a git host",
    ("docs/how-to/private-repositories.md", "git_url: git@git.example.org:lab/pump.git"): "one line of a body",
    ("docs/how-to/load-plugins-at-start.md", "iocmng-server --plugins-config plugins.yaml"): "a second server",
    ("docs/how-to/load-plugins-at-start.md", "iocmng apply -f plugins.yaml"): "tests/cluster/test_apply.py",
    (
        "docs/how-to/run-on-several-nodes.md",
        "ray start --address=HEAD:6379 --resources='{\"camera\": 1}' --labels=zone=hall",
    ): "tests/cluster/test_node_cut_off.py",
    (
        "docs/how-to/run-on-several-nodes.md",
        "export RAY_health_check_period_ms=1000 RAY_health_check_timeout_ms=1000 RAY_health_check_failure_threshold=6",
    ): "tests/cluster/test_node_cut_off.py",
    (
        "docs/how-to/run-on-several-nodes.md",
        "ray start --address=HEAD:6379 --resources='{\"ioc\": 1}'",
    ): "tests/cluster/test_plugin_resource.py",
    **{
        ("docs/how-to/watch-with-prometheus.md", head): "tests/cluster/test_metrics.py does it, at other ports"
        for head in (
            "export IOCMNG_METRICS_PORT=9100",
            "curl -s localhost:9100/metrics | grep ^ray_iocmng_plugins",
            "cd monitoring",
        )
    },
    **{
        ("docs/how-to/reach-pvs-from-outside.md", head): reason
        for head, reason in {
            "iocmng pvs --whole-range > iocmng.env": "needs a range; tests/cluster/test_pvs_from_outside.py",
            "export IOCMNG_EPICS_PUBLIC_HOST=iocs.example.org": "tests/api/test_api_name_servers.py",
            "ray start --address=HEAD:6379 --labels=iocmng/epics-public-host=iocs-a.example.org": "needs a second node",
            "python3 k8s/components/epics-ports/generate.py 5200-5299 epics-ports": "tests/k8s/test_k8s_epics_ports.py",
            "pvagw gateway.json": "tests/ioc/test_pvs_without_broadcast.py",
            "export EPICS_PVA_ADDR_LIST=192.0.2.10 EPICS_PVA_AUTO_ADDR_LIST=NO": "another network",
        }.items()
    },
    **{
        ("docs/how-to/run-on-kubernetes.md", head): "needs a cluster; tests/k8s renders and checks it"
        for head in (
            "kubectl create namespace iocmng",
            "kubectl apply -k .",
            "kubectl -n iocmng port-forward service/iocmng 8080 &",
            "kubectl -n iocmng delete rayservice iocmng",
        )
    },
    (
        "docs/how-to/run-on-kubernetes.md",
        "export EPICS_CA_AUTO_ADDR_LIST=NO EPICS_PVA_AUTO_ADDR_LIST=NO",
    ): "needs a cluster; tests/k8s/test_k8s_docs.py",
    (
        "docs/how-to/run-on-kubernetes.md",
        "apt-get install bubblewrap iproute2 redis-server",
    ): "needs root; tests/k8s/test_emulation.py",
    **{
        ("docs/how-to/run-with-docker-compose.md", head): "needs Docker; tests/artifacts/test_image.py"
        for head in (
            "docker compose up -d",
            "docker compose --profile postgresql up -d",
            "docker run --rm --network=host -v plugins:/data/plugins -e IOCMNG_TOKEN=... \\",
            "docker run --rm --network=host -v ./pump:/plugin:ro \\",
            "IOCMNG_TOKEN=a-long-random-text",
            "POSTGRES_PASSWORD=another-long-text",
        )
    },
    ("docs/how-to/run-on-one-machine.md", "iocmng-server --keep"): "tests/artifacts/test_server_end.py",
    (
        "docs/how-to/private-repositories.md",
        "curl -s -X PATCH localhost:8080/api/v1/plugins/pump -d @new-token.json",
    ): "needs a git host",
    (
        "docs/how-to/join-a-ray-cluster.md",
        "ray start --head --disable-usage-stats",
    ): "tests/artifacts/test_serve_config.py",
    (
        "docs/how-to/submit-with-ray.md",
        "ray job submit --address http://HOST:8265 -- iocmng job run my-diag --param x=1",
    ): "tests/artifacts/test_ray_job_submit.py",
    (
        "docs/how-to/submit-with-ray.md",
        "ray job submit --address http://HOST:8265 --working-dir . -- iocmng apply -f plugins.yaml",
    ): "tests/artifacts/test_ray_job_submit.py",
    ("docs/how-to/submit-with-ray.md", "iocmng list --cluster"): "tests/artifacts/test_ray_job_submit.py",
    (
        "docs/how-to/submit-with-ray.md",
        "export IOCMNG_RAY_DASHBOARD=true IOCMNG_RAY_DASHBOARD_HOST=0.0.0.0",
    ): "tests/artifacts/test_ray_job_submit.py",
    (
        "docs/how-to/submit-with-ray.md",
        "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=/var/lib/iocmng/.iocmng/ray.token",
    ): "tests/artifacts/test_ray_job_submit.py",
    ("docs/how-to/join-a-ray-cluster.md", "ray get-auth-token --generate"): "writes into the home directory",
    ("docs/how-to/join-a-ray-cluster.md", "export RAY_AUTH_MODE=token"): "needs a Ray cluster",
    (
        "docs/how-to/run-on-several-nodes.md",
        "export IOCMNG_RAY_HOST=192.0.2.10 IOCMNG_RAY_PORT=6379",
    ): "tests/cluster/test_own_ray_nodes.py",
    (
        "docs/how-to/run-on-several-nodes.md",
        "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=/etc/iocmng/ray.token RAY_USAGE_STATS_ENABLED=0",
    ): "tests/cluster/test_own_ray_nodes.py",
    ("docs/how-to/join-a-ray-cluster.md", "export RAY_ADDRESS=auto"): "needs a Ray cluster",
    ("docs/how-to/start-a-plugin-from-the-template.md", 'pip install "iocmng[author]"'): "needs a package index",
    ("docs/how-to/deploy-with-serve.md", "serve run serve_config/iocmng.yaml"): "tests/artifacts/test_serve_config.py",
    (
        "docs/how-to/deploy-with-serve.md",
        "serve deploy serve_config/iocmng.yaml",
    ): "tests/artifacts/test_serve_config.py",
}

# Drawings and layouts: blocks without a language, by page, each with the number of them.
DRAWINGS = {
    "docs/explanation/architecture.md": 2,
    "docs/explanation/processes-and-threads.md": 1,
    "docs/how-to/requirements-and-modules.md": 1,
}

# Pages whose titled blocks are files that the reader writes on the way; elsewhere they are only looked at.
FILES_ARE_WRITTEN = {
    "docs/tutorial/first-plugin.md",
    "docs/how-to/test-a-plugin.md",
    "docs/how-to/check-config-in-an-editor.md",
    "docs/how-to/use-the-python-client.md",
}

LOOKS = ("health", "list", "get", "logs", "events", "pvs", "generations", "job runs", "job show")
READERS = ("caget", "pvget", "cat", "curl -s localhost", 'curl -s "localhost', *(f"iocmng {look}" for look in LOOKS))


def is_run(block: Block) -> bool:
    """Tell whether a block of commands is one that this test runs."""
    return block.language == "bash" and (block.page, block.head) not in NOT_RUN


def output_of(block: Block, following: list[Block]) -> str | None:
    """Return the output that a page shows for a block: the `text` block right after it that is no file."""
    is_output = following and following[0].language == "text" and following[0].title is None
    return following[0].text if is_output else None


def only_reads(commands: str) -> bool:
    """Tell whether commands may be repeated until what they show has come."""
    lines = [line.strip() for line in commands.strip().splitlines()]
    return all(line.startswith(READERS) and " -d " not in line and " -X " not in line for line in lines)


class Shell:
    """Bash that keeps its variables and its directory from one block to the next, like a reader's terminal."""

    def __init__(self, directory: Path, state: Path, port: int) -> None:
        self._port = port
        self._state = state
        self._log = state.with_suffix(".log")
        self._foreground: subprocess.Popen[bytes] | None = None
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("IOCMNG_", "RAY_"))}
        author = {"GIT_AUTHOR_NAME": "Reader", "GIT_AUTHOR_EMAIL": "reader@example.org"}
        committer = {"GIT_COMMITTER_NAME": "Reader", "GIT_COMMITTER_EMAIL": "reader@example.org"}
        path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        # pytest-asyncio, which a reader does not have, warns of what it misses in a reader's configuration.
        quiet = {"PYTHONWARNINGS": "ignore::DeprecationWarning"}
        self._environment = clean | LOOPBACK | author | committer | path | quiet
        state.write_text(f"cd '{directory}'\n")

    def run(self, commands: str) -> str:
        """Run commands word for word but for the server's port; return what they print."""
        done = subprocess.run(
            ["bash", "-c", self._script(commands)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        output = (done.stdout + done.stderr).replace(str(self._port), "8080")
        assert done.returncode == 0, f"{commands}\nended with {done.returncode}:\n{output}"
        return output

    def run_in_foreground(self, commands: str) -> None:
        """Begin commands that end with Ctrl-C only."""
        self.interrupt()
        with self._log.open("wb") as log:
            self._foreground = subprocess.Popen(
                ["bash", "-c", f"source '{self._state}'\nexec {commands}"],
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def foreground_output(self) -> str:
        """Return what the commands in the foreground have printed."""
        return self._log.read_text()

    def interrupt(self) -> None:
        """Press Ctrl-C, if something runs."""
        if self._foreground is not None:
            self._foreground.send_signal(signal.SIGINT)
            assert self._foreground.wait(20) == 0, self.foreground_output()
            self._foreground = None

    def _script(self, commands: str) -> str:
        keep = f"{{ export -p; echo \"cd '$PWD'\"; }} > '{self._state}'"
        return f"source '{self._state}'\nset -e -o pipefail\n{commands.replace('8080', str(self._port))}\n{keep}"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """The server that `make run` starts, on ports of its own so that no other server on this machine is met."""
    root = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "examples", root / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    (root / ".venv").symlink_to(Path(sys.executable).parents[1])
    ports = {"EPICS_CA_SERVER_PORT": str(free_port()), "EPICS_PVA_BROADCAST_PORT": str(free_port())}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in ports.items():
            environment.setenv(name, value)
        plugins = str(root / "examples" / "plugins.yaml")
        running = Server(root, "", IOCMNG_PLUGINS_CONFIG=plugins).wait_until_ready()
        yield running
        assert running.stop() == 0, running.log.read_text()


WALKS = [
    pytest.param(page, marks=() if page_name(page) == "README.md" else pytest.mark.thorough)
    for page in pages()
    if any(is_run(block) for block in blocks(page))
]


@pytest.mark.parametrize("page", WALKS, ids=page_name)
def test_commands_do_what_the_page_shows(page, server, tmp_path):
    """The commands of a page, run in their order by one reader, succeed and print what the page shows."""
    shell = Shell(server.root, tmp_path / "terminal", server.port)
    before = server.names()
    found = blocks(page)
    try:
        for number, block in enumerate(found):
            if block.title and block.page in FILES_ARE_WRITTEN:
                write_files(server.root, {block.title: block.text})
            elif is_run(block):
                _follow(block, output_of(block, found[number + 1 :]), shell)
        shell.interrupt()
        assert server.names() == before, "the page takes away what it has added"
        assert _strangers(server.root) == [], "the page removes the files that it has made"
    finally:
        for name in server.names() - before:
            server.http.delete(f"/plugins/{name}")


def _follow(block: Block, expected: str | None, shell: Shell) -> None:
    if block.text.startswith("iocmng run"):
        shell.run_in_foreground(block.text)
        assert expected is not None, f"{block}: show what it prints"
        wait_for(lambda: shows(expected, shell.foreground_output()), f"{block} prints what the page shows", 30)
    elif expected is None:
        shell.run(block.text)
    elif only_reads(block.text):
        outputs: list[str] = []

        def matches() -> bool:
            outputs.append(shell.run(block.text))
            return shows(expected, outputs[-1])

        try:
            wait_for(matches, f"{block} prints what the page shows", 15, 0.1)
        except AssertionError:
            pytest.fail(f"{block} shows\n{expected}\nand prints\n{outputs[-1]}")
    else:
        output = shell.run(block.text)
        assert shows(expected, output), f"{block} shows\n{expected}\nand prints\n{output}"


def _strangers(root: Path) -> list[str]:
    known = {"examples", ".venv", "plugins", "repositories", "server.log"}
    return sorted(path.name for path in root.iterdir() if path.name not in known)


@pytest.mark.thorough
@pytest.mark.parametrize("name", sorted(shown_plugins()))
def test_plugins_are_real(name, tmp_path):
    """A plugin that a page shows passes the server's checks, and its first cycle or run succeeds."""
    directory = write_files(tmp_path / name.rpartition("/")[2], shown_plugins()[name])
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("docs_plugin.py"), directory],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


CHECKED = [
    block for block in all_blocks() if block.language in ("yaml", "json", "requirements") and block.title is not None
]


@pytest.mark.parametrize("block", CHECKED, ids=str)
def test_files_are_legal(block, tmp_path):
    """A file that a page shows is read without complaint by what reads it."""
    file = write_files(tmp_path, {block.title: block.text}) / block.title
    match file.name:
        case "config.yaml":
            parse_manifest(block.text)
        case "plugins.yaml":
            requests, problems = read_plugins_file(file)
            assert requests
            assert problems == []
        case "iocmng.yaml":
            load_settings(file)
        case "serve.yaml":
            (served,) = ServeDeploySchema.model_validate(yaml.safe_load(block.text)).applications
            load_settings(**served.args)
        case "values.yaml":
            site_prefix(None, read_yaml(file))
            assert read_devices(read_yaml(file)).problems == ()
        case "requirements.txt":
            assert [Requirement(line) for line in block.text.splitlines() if not line.startswith("#")]
        case "prometheus.yaml":
            assert yaml.safe_load(block.text)["scrape_configs"]
        case "kustomization.yaml" | "docker-compose.override.yaml":
            assert yaml.safe_load(block.text)  # tests/k8s/test_k8s_docs.py and test_image.py look closer
        case name:
            assert name.endswith(".json"), f"{block}: nothing here reads a file named {name}"
            json.loads(block.text)


def test_the_schema_takes_every_config_file():
    """The published JSON Schema takes what the checks take: the examples' files and those that pages show."""
    schema = Draft202012Validator(json.loads((ROOT / "docs/reference/config.schema.json").read_text(encoding="utf-8")))
    texts = {str(file): file.read_text(encoding="utf-8") for file in (ROOT / "examples").glob("*/config.yaml")}
    texts |= {str(block): block.text for block in CHECKED if str(block.title).endswith("config.yaml")}
    refused = {
        place: error.message for place, text in texts.items() for error in schema.iter_errors(yaml.safe_load(text))
    }
    assert refused == {}


def test_nothing_is_left_out():
    """Each block is run, checked, shown as the output of another, or excepted by name; no exception is out of date."""
    excepted: set[tuple[str, str]] = set()
    drawings: dict[str, int] = {}
    unknown: list[str] = []
    for page in pages():
        found = blocks(page)
        for number, block in enumerate(found):
            if (block.page, block.head) in NOT_RUN:
                excepted.add((block.page, block.head))
            elif not block.language:
                drawings[block.page] = drawings.get(block.page, 0) + 1
            elif block.language == "text" and number and found[number - 1].language == "bash":
                continue
            elif not (is_run(block) or block in CHECKED or (block.language == "python" and block.title)):
                unknown.append(f"{block}: {block.head}")
    assert unknown == []
    assert excepted == set(NOT_RUN)
    assert drawings == DRAWINGS
