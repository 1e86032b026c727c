"""What the image is made from: the Dockerfile, its locks, and docker-compose.yaml. Building it: test_image_build.py."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs_blocks import ROOT, blocks
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from iocmng.cli.server import LAST_LIMIT, SHUTDOWN_MARGIN
from iocmng.settings import Settings, load_settings

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMPOSE = ROOT / "docker-compose.yaml"


# --- the Dockerfile


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile with their words, in order."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage."""
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


def all_of(stage: list[tuple[str, str]], wanted: str) -> list[str]:
    return [rest for word, rest in stage if word == wanted]


def environment() -> dict[str, str]:
    """Return the variables of the image."""
    (text,) = all_of(stages()[-1], "ENV")
    return dict(pair.split("=", 1) for pair in text.split())


def test_hadolint_finds_nothing():
    """The linter of Dockerfiles is content, style included."""
    command = [Path(sys.executable).with_name("hadolint"), "Dockerfile"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_base_can_be_chosen_and_fits():
    """Both stages use BASE, which is a Python that the project supports."""
    assert [all_of(stage, "FROM")[0] for stage in stages()] == ["${BASE} AS build", "${BASE}"]
    (base,) = [
        rest.removeprefix("BASE=") for word, rest in instructions() if word == "ARG" and rest.startswith("BASE=")
    ]
    version = re.fullmatch(r"python:(3\.\d+)-slim-bookworm", base)
    assert version is not None
    assert f"Programming Language :: Python :: {version[1]}" in PROJECT["project"]["classifiers"]


def test_the_image_has_what_ray_and_git_need_and_no_tools_to_build():
    """The packages that KubeRay, Ray and the fetching of plugins use; nothing that compiles or installs."""
    install = " ".join(all_of(stages()[-1], "RUN"))
    packages = set(install.partition("--no-install-recommends")[2].partition("&&")[0].split())
    assert packages == {"bash", "ca-certificates", "git", "gpg", "openssh-client", "procps", "tini", "wget"}
    assert "pip" not in install
    assert "rm -rf /var/lib/apt/lists/*" in install
    building = " ".join(all_of(stages()[0], "RUN"))
    assert building.count("--require-hashes") == 2
    assert building.count("--compile-bytecode") == 2
    assert "venv --without-pip /opt/iocmng" in building


def test_it_does_not_run_as_root():
    """It has uid 1000, a home and a plugins directory of that user."""
    final = stages()[-1]
    assert all_of(final, "USER") == ["1000:1000"]
    assert "useradd --uid 1000" in " ".join(all_of(final, "RUN"))
    assert "--owner=1000 --group=1000 /data /data/plugins" in " ".join(all_of(final, "RUN"))


def test_the_contract_of_the_image():
    """The command is iocmng-server below tini; the places are those that sites of 2.x mount."""
    final = stages()[-1]
    assert [json.loads(one) for one in all_of(final, "ENTRYPOINT")] == [["tini", "--"]]
    assert [json.loads(one) for one in all_of(final, "CMD")] == [["iocmng-server"]]
    assert PROJECT["project"]["scripts"].keys() >= {"iocmng", "iocmng-server", "iocmng-standalone", "iocmng-run"}
    variables = environment()
    assert variables["IOCMNG_PLUGINS_DIR"] == "/data/plugins"
    assert variables["IOCMNG_BEAMLINE_CONFIG"] == "/etc/epik8s-beamline.yaml"
    (exposed,) = all_of(final, "EXPOSE")
    assert exposed.split()[0] == str(Settings.model_fields["port"].default)
    (check,) = all_of(final, "HEALTHCHECK")
    assert "/livez" in check
    ours = {name.removeprefix("IOCMNG_").lower(): value for name, value in variables.items() if "IOCMNG" in name}
    assert ours.keys() <= Settings.model_fields.keys()
    load_settings(**ours)


def test_it_tells_what_it_is():
    """Labels of the OCI: title, description, source, licence, version and revision."""
    (text,) = all_of(stages()[-1], "LABEL")
    labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", text))
    assert labels == {"title", "description", "source", "licenses", "version", "revision"}


def test_only_what_is_copied_reaches_the_builder():
    """.dockerignore lets in what the Dockerfile copies, and nothing else: no state, no secrets, no .git."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = [one for stage in stages() for one in all_of(stage, "COPY") if not one.startswith("--from")]
    assert {source for one in copied for source in one.split()[:-1]} == allowed
    assert "*" in lines
    assert all((ROOT / source).exists() for source in allowed)
    # What the wheel is made of is all there.
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert set(wheel) <= allowed
    assert (ROOT / "iocmng" / "_template").resolve() == ROOT / "plugins_template"
    assert any(fnmatch.fnmatch("iocmng/__pycache__", line) for line in lines)


# --- the locks


def locked(file: str) -> Iterator[tuple[str, Version, Marker | None]]:
    """Return what a lock file holds: names, versions and markers."""
    for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
        if "==" in line and not line.startswith(" "):
            one = Requirement(line.rstrip(" \\"))
            (pin,) = one.specifier
            yield canonicalize_name(one.name), Version(pin.version), one.marker


def asked_for(*extras: str) -> list[Requirement]:
    """Return the direct requirements of the project and of extras, those that extras name in turn included."""
    project = PROJECT["project"]
    found = [Requirement(line) for line in project["dependencies"]] if not extras else []
    for extra in extras:
        for one in map(Requirement, project["optional-dependencies"][extra]):
            found += asked_for(*sorted(one.extras)) if one.name == "iocmng" else [one]
    return found


def test_the_image_gets_the_versions_that_are_tested():
    """Each package of the image that the checkout has, too, has the same version in both locks."""
    everything = {(name, version) for name, version, _ in locked("requirements.lock")}
    known = {name for name, _ in everything}
    for file in ("requirements-image.lock", "requirements-build.lock"):
        differing = [
            (name, str(one)) for name, one, _ in locked(file) if name in known and (name, one) not in everything
        ]
        assert differing == [], f"{file}: `make lock-image` brings them together"


def test_the_lock_of_the_image_is_complete():
    """It satisfies every requirement of the project and of the extra `image`, and holds nothing for developers."""
    pins = list(locked("requirements-image.lock"))
    for wanted in (*asked_for(), *asked_for("image")):
        found = [version for name, version, _ in pins if name == canonicalize_name(wanted.name)]
        assert found, f"{wanted}: `make lock-image`"
        assert all(wanted.specifier.contains(version) for version in found), wanted
    needed = {canonicalize_name(one.name) for one in (*asked_for(), *asked_for("image"))}
    tools = {canonicalize_name(one.name) for one in asked_for("dev")} - needed
    assert not tools & {name for name, _, _ in pins}


def test_the_lock_of_the_builder_is_complete():
    """It holds the build backend of the project, and uv."""
    names = {name for name, _, _ in locked("requirements-build.lock")}
    assert names >= {canonicalize_name(Requirement(one).name) for one in PROJECT["build-system"]["requires"]} | {"uv"}


@pytest.mark.parametrize("file", ["requirements-image.lock", "requirements-build.lock"])
def test_locks_hold_hashes_and_no_addresses(file):
    """Each package has its hashes; where it comes from is the builder's business."""
    text = (ROOT / file).read_text(encoding="utf-8")
    assert "://" not in text
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert all("--hash=sha256:" in block for block in blocks)


# --- docker-compose.yaml


def compose() -> dict[str, Any]:
    """Return the file with all variables empty or at their defaults."""
    text = COMPOSE.read_text(encoding="utf-8")
    return yaml.safe_load(re.sub(r"\$\{\w+(?::[-?]([^}]*))?\}", lambda match: match[1] or "", text))


def test_compose_fits_the_specification(tmp_path):
    """The schema of the Compose Specification takes it, and the addition that the how-to page shows."""
    page = blocks(ROOT / "docs/how-to/run-with-docker-compose.md")
    (addition,) = [block for block in page if block.title == "docker-compose.override.yaml"]
    (tmp_path / "override.yaml").write_text(addition.text, encoding="utf-8")
    variables = yaml.safe_load(addition.text)["services"]["iocmng"]["environment"]
    assert {name.removeprefix("IOCMNG_").lower() for name in variables} <= Settings.model_fields.keys()
    files = (COMPOSE, tmp_path / "override.yaml")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_starts_one_server_in_the_network_of_its_machine():
    """PostgreSQL comes only with its profile; every variable is a setting; the token has to be given."""
    services = compose()["services"]
    assert [name for name, service in services.items() if "profiles" not in service] == ["iocmng"]
    server = services["iocmng"]
    assert server["network_mode"] == "host"
    assert "ports" not in server
    assert {name.removeprefix("IOCMNG_").lower() for name in server["environment"]} <= Settings.model_fields.keys()
    assert "IOCMNG_TOKEN:?" in COMPOSE.read_text(encoding="utf-8")
    given = {name.removeprefix("IOCMNG_").lower(): value or None for name, value in server["environment"].items()}
    assert load_settings(**given).port == 8080
    assert services["postgresql"]["ports"] == ["127.0.0.1:5432:5432"]


def test_compose_gives_time_room_and_limits():
    """A server that is stopped can stop its plugins; what it writes to can be written; nothing is without a limit."""
    services = compose()["services"]
    server = services["iocmng"]
    grace = float(server["stop_grace_period"].removesuffix("s"))
    assert grace > Settings.model_fields["stop_timeout"].default + SHUTDOWN_MARGIN + LAST_LIMIT
    assert server["read_only"]
    written = {one.partition(":")[0] for one in server["tmpfs"]} | {one.split(":")[1] for one in server["volumes"]}
    assert written == {"/tmp", "/home/iocmng", environment()["IOCMNG_PLUGINS_DIR"]}
    for service in services.values():
        assert service["deploy"]["resources"]["limits"].keys() >= {"cpus", "memory"}
        assert service["cap_drop"] == ["ALL"]


def test_compose_and_kubernetes_run_the_same_image():
    """The name of the image is the same in docker-compose.yaml and in k8s/."""
    images = yaml.safe_load((ROOT / "k8s/components/images/kustomization.yaml").read_text(encoding="utf-8"))["images"]
    (ours,) = [one for one in images if one["name"] == "iocmng"]
    assert compose()["services"]["iocmng"]["image"] == f"{ours['newName']}:{ours['newTag']}"
