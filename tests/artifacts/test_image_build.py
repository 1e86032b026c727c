"""The image is built from the Dockerfile, runs as uid 1000, also on a read-only root, and does the main job."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from image_builder import IMAGE, Builder, missing
from support import LOOPBACK, MINIMAL_TASK, caget, descendants_of, free_port, make_repository, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]

TOKEN = "a-token-of-this-test"

SERVING = "pvs: {outputs: {A: {type: int, value: 7}}}\n"

# What a pod of k8s/ has: a root that nobody can write to, and volumes where Ray and the server write.
READ_ONLY = """
set -eu
mount --make-rprivate /
mount --bind "$1" "$1"
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
for place in tmp home/iocmng data/plugins; do
    mount -t tmpfs -o uid=1000,gid=1000,mode=1777,size=2g tmpfs "$1/$place"
done
cp -a "$2" "$1/home/iocmng/repository"
mount -o remount,bind,ro "$1"
shift 2
exec "$@"
"""


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    """The image, built in a store of its own; nothing of it stays."""
    made = Builder(Path(tempfile.mkdtemp(prefix="iocmng-image-", dir="/var/tmp")))
    try:
        made.make_base()
        made.build()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def container(builder: Builder) -> str:
    """A container of the image."""
    return builder.buildah("from", "--pull-never", IMAGE)


@pytest.fixture(scope="module")
def root(builder: Builder, container: str) -> Path:
    """Where the files of the container lie."""
    return Path(builder.buildah("mount", container))


@pytest.fixture(scope="module")
def config(builder: Builder) -> dict[str, Any]:
    """What the image says of itself."""
    return json.loads(builder.buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]


@pytest.fixture
def repository(root: Path, tmp_path: Path) -> Path:
    """A plugin's repository that belongs to the user of the image."""
    make_repository(tmp_path / "repository", {"m.py": MINIMAL_TASK, "config.yaml": SERVING})
    for place in (tmp_path / "repository", *(tmp_path / "repository").rglob("*")):
        os.chown(place, 1000, 1000)
    return tmp_path / "repository"


def run(builder: Builder, container: str, command: str) -> str:
    """Run a command in the container as its user; return what it prints."""
    return builder.buildah("run", "--isolation", "chroot", container, "--", "/bin/bash", "-c", command)


def test_what_is_in_it(builder, container, root):
    """The commands that KubeRay, Ray, git and EPIK8s charts call are there; compilers, pip and caches are not."""
    needed = "bash wget git ssh gpg ps tini ray serve iocmng iocmng-server iocmng-standalone iocmng-run jnjrender uv"
    assert len(run(builder, container, f"for one in {needed}; do command -v $one || exit 1; done").splitlines()) == 15
    for gone in ("gcc", "cc", "make", "hatchling", "pytest"):
        assert run(builder, container, f"command -v {gone} || echo none") == "none"
    assert run(builder, container, "/opt/iocmng/bin/python -m pip --version >&2 && echo pip || echo none") == "none"
    assert list((root / "var/lib/apt/lists").iterdir()) == []
    assert (
        run(builder, container, "id -u; id -g; test -w ~ && test -w /data/plugins && echo writable")
        == "1000\n1000\nwritable"
    )
    assert run(builder, container, "test -w /opt/iocmng/bin || echo closed") == "closed"


def test_its_bytecode_is_compiled(root):
    """Every module of iocmng and Ray has its bytecode, because the image cannot write it where it runs."""
    packages = root / "opt/iocmng/lib/python3.11/site-packages"
    for package in ("iocmng", "ray/_private", "softioc", "fastapi"):
        sources = [file for file in (packages / package).rglob("*.py") if "_template" not in file.parts]
        assert len(sources) > 3
        bare = [
            file for file in sources if not (file.parent / "__pycache__" / f"{file.stem}.cpython-311.pyc").is_file()
        ]
        assert bare == []
    assert (packages / "iocmng/_template/copier.yml").is_file()


def test_what_it_says_of_itself(config):
    """User, command, port, healthcheck and labels, in Docker's form."""
    assert config["User"] == "1000:1000"
    assert (config["Entrypoint"], config["Cmd"]) == (["tini", "--"], ["iocmng-server"])
    assert "8080/tcp" in config["ExposedPorts"]
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert config["Labels"]["org.opencontainers.image.version"] == "1.2.3"
    assert config["Labels"]["org.opencontainers.image.revision"] == "abc"


def test_one_plugin_without_ray(builder, container, root, repository):
    """`iocmng-run` of the image serves a plugin's PVs: what a chart with one pod for each task starts."""
    place = root / "home/iocmng/plugin"
    shutil.copytree(repository, place)
    os.chown(place, 1000, 1000)
    command = ("run", "--isolation", "chroot", *environment_options(LOOPBACK), container, "--", "tini", "--")
    script = "cd ~/plugin && exec iocmng-run --module m --config config.yaml --prefix ALONE"
    with running(builder.command(*command, "/bin/bash", "-c", script)):
        wait_for(lambda: caget("ALONE:A") == "7", "the PV answers", 60, 0.5)


def test_the_main_job(builder, container, root, repository, config, capsys):
    """The image's own command, as uid 1000: the healthcheck passes, and an added plugin's PV is read from outside."""
    shutil.copytree(repository, root / "home/iocmng/repository")
    subprocess.run(["chown", "-R", "1000:1000", root / "home/iocmng/repository"], check=True)
    port = free_port()
    variables = LOOPBACK | {"IOCMNG_PORT": str(port), "IOCMNG_TOKEN": TOKEN, "IOCMNG_PREFIX": "IMAGE"}
    command = ("run", "--isolation", "chroot", *environment_options(variables), container, "--")
    with running(builder.command(*command, *config["Entrypoint"], *config["Cmd"])) as process:
        do_the_main_job(port, "IMAGE", capsys)
        check = ("run", "--isolation", "chroot", "--env", f"IOCMNG_PORT={port}", container, "--")
        builder.buildah(*check, *config["Healthcheck"]["Test"][1:])
        users = {Path(f"/proc/{pid}").stat().st_uid for pid in iocmng_processes(process.pid)}
        assert users == {1000}


def test_the_main_job_on_a_read_only_root(root, repository, config, capsys):
    """As in a pod of k8s/: nothing but /tmp, the home and the plugins directory can be written to."""
    port = free_port()
    image = dict(pair.split("=", 1) for pair in config["Env"])
    variables = image | LOOPBACK | {"IOCMNG_PORT": str(port), "IOCMNG_TOKEN": TOKEN, "IOCMNG_PREFIX": "POD"}
    variables |= {"HOME": "/home/iocmng"}
    inside = [
        "chroot",
        "--userspec=1000:1000",
        str(root),
        "env",
        "-i",
        *(f"{key}={one}" for key, one in variables.items()),
    ]
    # The directory that a pod begins in, as WORKDIR of the image says it.
    inside += ["/bin/bash", "-c", "cd ~ && ! touch /opt/iocmng/x 2>/dev/null && exec tini -- iocmng-server"]
    outside = ["unshare", "--mount", "/bin/bash", "-c", READ_ONLY, "read-only", str(root), str(repository), *inside]
    with running(outside):
        do_the_main_job(port, "POD", capsys)


def do_the_main_job(port: int, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Add a plugin from git, read its PV, and remove it."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=90) as api:
        wait_for(lambda: answers(lambda: api.get("/readyz")), "the server is ready", 120, 0.5)
        body = {"name": "one", "git_url": "/home/iocmng/repository"}
        assert api.post("/tasks", json=body).status_code == 401
        api.headers["Authorization"] = f"Bearer {TOKEN}"
        answer = api.post("/tasks", json=body)
        assert answer.status_code == 201, answer.text
        assert caget(f"{prefix}:ONE:A") == "7"
        assert api.delete("/tasks/one").status_code == 200


def answers(get: Callable[[], httpx.Response]) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return get().status_code == 200
    return False


def environment_options(variables: dict[str, str]) -> list[str]:
    """Return options of `buildah run` that set variables."""
    return [f"--env={name}={value}" for name, value in variables.items()]


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command; end it, and everything that it has started, with SIGTERM to what `tini` watches."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            yield process
        except BaseException:
            log.seek(0)
            print(log.read().decode(errors="replace")[-4000:])  # noqa: T201
            raise
        finally:
            everything = [process.pid, *descendants_of(process.pid)]
            for pid in everything:
                if is_tini(pid):
                    os.kill(pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            for pid in everything:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait(30)


def is_tini(pid: int) -> bool:
    """Tell whether a process is the image's tini; buildah starts it by its full path."""
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0]
        return Path(command.decode(errors="replace")).name == "tini"
    return False


def iocmng_processes(pid: int) -> list[int]:
    """Return what runs below tini, Ray's processes included."""
    (tini,) = [one for one in descendants_of(pid) if is_tini(one)]
    return [tini, *descendants_of(tini)]
