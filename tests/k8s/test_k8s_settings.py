"""What the manifests say of iocmng and Ray is so: settings, the application, the command lines, the versions."""

from __future__ import annotations

import importlib
import re
from typing import Any

import click
import pytest
import typer.main
import yaml
from manifests import (
    CLUSTERS,
    K8S,
    ROOT,
    TARGETS,
    Manifest,
    cluster_of,
    environment_of,
    groups_of,
    manifests,
    named,
    of_kind,
    pods_of,
    strings_of,
)
from operator_rules import custom_resources
from ray.serve.schema import ServeDeploySchema

from iocmng.cli.main import app
from iocmng.cli.own_ray import OBJECT_STORE_BYTES
from iocmng.cli.ray_environment import ALL_TO_STDERR, DEFAULTS
from iocmng.cluster.placing import SHARE
from iocmng.core.names import site_prefix
from iocmng.loading.plugins_file import read_plugins_file
from iocmng.settings import Settings, load_settings

OF_THE_CLIENT = {"IOCMNG_URL", "IOCMNG_CONFIG"}
SECRETS = {
    f"IOCMNG_{name.upper()}" for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)
}


def environments(target: str) -> list[dict[str, Manifest | str]]:
    """Return the variables of all containers of a directory."""
    objects = manifests(target)
    return [environment_of(objects, container) for pods in pods_of(objects) for container in pods.containers]


def serve_config(target: str) -> dict[str, Any]:
    """Return what the operator deploys."""
    return yaml.safe_load(named(manifests(target), "RayService", "iocmng")["spec"]["serveConfigV2"])


SERVICES = [target for target in CLUSTERS if target != "examples/ray-cluster"]


# --- settings


@pytest.mark.parametrize("target", TARGETS)
def test_each_variable_is_a_setting(target):
    """A misspelt IOCMNG_ variable would be passed over in silence: each is a setting, and its value fits."""
    for environment in environments(target):
        ours = {name: value for name, value in environment.items() if name.startswith("IOCMNG_")}
        assert {
            name.removeprefix("IOCMNG_").lower() for name in ours.keys() - OF_THE_CLIENT
        } <= Settings.model_fields.keys()
        plain = {name: value for name, value in ours.items() if isinstance(value, str) and name not in OF_THE_CLIENT}
        load_settings(**{name.removeprefix("IOCMNG_").lower(): value for name, value in plain.items()})


@pytest.mark.parametrize("target", TARGETS)
def test_no_secret_stands_in_a_manifest(target):
    """Tokens, passwords and keys come from a Secret that no directory makes; pods of IOCs have not the server's."""
    objects = manifests(target)
    assert of_kind(objects, "Secret") == []
    for environment in environments(target):
        shown = {name for name, value in environment.items() if isinstance(value, str)}
        assert not shown & SECRETS
        assert [name for name in shown if re.search("TOKEN|PASSWORD|AUTH|SECRET", name)] == []
    kept = yaml.safe_load((K8S / "secret.example.yaml").read_text(encoding="utf-8"))
    asked = [value for value in _references(objects) if "key" in value]
    assert {value["name"] for value in asked} <= {kept["metadata"]["name"]}
    assert {value["key"] for value in asked} <= kept["stringData"].keys()
    for pods in pods_of(objects):
        if pods.labels.get("app.kubernetes.io/component") == "ioc":
            assert not any(environment_of(objects, one).keys() & SECRETS for one in pods.containers)


def _references(value: Any) -> list[dict[str, str]]:
    if isinstance(value, list):
        return [found for one in value for found in _references(one)]
    if not isinstance(value, dict):
        return []
    here = [value["secretKeyRef"]] if "secretKeyRef" in value else []
    return here + [found for one in value.values() for found in _references(one)]


def test_the_operators_key_is_in_the_secret():
    """KubeRay takes Ray's token from the key auth_token of the Secret that authOptions names."""
    kept = yaml.safe_load((K8S / "secret.example.yaml").read_text(encoding="utf-8"))
    assert cluster_of(manifests("base"))["authOptions"]["secretName"] == kept["metadata"]["name"]
    assert "auth_token" in kept["stringData"]


@pytest.mark.parametrize("target", CLUSTERS)
def test_ray_is_told_what_a_server_tells_its_own(target):
    """The variables that keep Ray from killing small actors and the like are the same as on one machine."""
    objects = manifests(target)
    for group in groups_of(objects):
        (container,) = group["template"]["spec"]["containers"]
        assert environment_of(objects, container).items() >= (DEFAULTS | ALL_TO_STDERR).items()
        assert group["rayStartParams"]["object-store-memory"] == str(OBJECT_STORE_BYTES)


def test_the_files_of_the_site_can_be_read(tmp_path):
    """The example of values.yaml gives a prefix, the plugins file can be read, and both lie where the settings say."""
    objects = manifests("base")
    files = named(objects, "ConfigMap", "iocmng-site")["data"]
    assert site_prefix(None, yaml.safe_load(files["epik8s-beamline.yaml"])) == "BEAMLINE:DEFAULT"
    (tmp_path / "plugins.yaml").write_text(files["plugins.yaml"], encoding="utf-8")
    assert read_plugins_file(tmp_path / "plugins.yaml") == ([], [])
    (head,) = groups_of(objects)[0]["template"]["spec"]["containers"]
    mounted = {mount["mountPath"]: mount.get("subPath") for mount in head["volumeMounts"]}
    settings = named(objects, "ConfigMap", "iocmng-settings")["data"]
    for name in ("IOCMNG_BEAMLINE_CONFIG", "IOCMNG_PLUGINS_CONFIG"):
        assert mounted[settings[name]] in files
    assert settings["IOCMNG_PLUGINS_DIR"] in mounted


# --- where things run


@pytest.mark.parametrize("target", CLUSTERS)
def test_iocs_run_on_their_worker_groups_alone(target):
    """The head has no CPU and not the resource; each group for IOCs offers it, and room for ten thousand plugins."""
    objects = manifests(target)
    resource = named(objects, "ConfigMap", "iocmng-settings")["data"]["IOCMNG_PLUGIN_RESOURCE"]
    head, *workers = groups_of(objects)
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert resource not in custom_resources(head)
    offering = [group for group in workers if resource in custom_resources(group)]
    assert offering
    for group in workers:
        labelled = group["template"]["metadata"]["labels"]["app.kubernetes.io/component"] == "ioc"
        assert labelled == (group in offering)
    assert all(custom_resources(group)[resource] / SHARE >= 10_000 for group in offering)
    for group in workers:
        limit = group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"]
        assert group["rayStartParams"]["num-cpus"] == limit


@pytest.mark.parametrize("target", SERVICES)
def test_the_api_runs_where_the_token_is(target):
    """The application is built, and answers, on nodes with a label that the head alone has."""
    (application,) = serve_config(target)["applications"]
    (deployment,) = application["deployments"]
    selector = deployment["ray_actor_options"]["label_selector"]
    head, *workers = groups_of(manifests(target))
    assert selector
    assert head["labels"].items() >= selector.items()
    assert not any(group.get("labels", {}).items() >= selector.items() for group in workers)


# --- the application


@pytest.mark.parametrize("target", SERVICES)
def test_the_application_is_the_one_of_serve_config(target):
    """serveConfigV2 is valid, its import path leads to the application, its arguments are settings."""
    config = serve_config(target)
    ServeDeploySchema.model_validate(config)
    shipped = yaml.safe_load((ROOT / "serve_config" / "iocmng.yaml").read_text(encoding="utf-8"))
    assert config["proxy_location"] == shipped["proxy_location"]
    assert config["http_options"]["request_timeout_s"] == shipped["http_options"]["request_timeout_s"]
    assert config["logging_config"] == shipped["logging_config"]
    (application,) = config["applications"]
    assert application["import_path"] == shipped["applications"][0]["import_path"]
    module, _, name = application["import_path"].partition(":")
    build = getattr(importlib.import_module(module), name)
    load_settings(**application["args"])
    names = {deployment["name"] for deployment in application["deployments"]}
    assert names == {build(application["args"])._bound_deployment.name}


# --- times


@pytest.mark.parametrize("target", CLUSTERS)
def test_a_pod_has_time_to_end(target):
    """stop_timeout < the grace period of `ray stop` < that of the pod, with some seconds left each time."""
    objects = manifests(target)
    settings = named(objects, "ConfigMap", "iocmng-settings")["data"]
    stop_timeout = float(settings["IOCMNG_STOP_TIMEOUT"])
    for group in groups_of(objects):
        pod = group["template"]["spec"]
        (command,) = [text for text in strings_of(pod["containers"][0]["lifecycle"]) if "ray stop" in text]
        grace = int(command.rpartition(" ")[2])
        assert stop_timeout + 10 <= grace <= pod["terminationGracePeriodSeconds"] - 20


def test_iocs_outlive_a_head_that_has_to_be_made_anew():
    """The lease is longer than a pod takes to come back; without Redis there is nothing to wait for."""
    with_redis = named(manifests("base"), "ConfigMap", "iocmng-settings")["data"]
    assert float(with_redis["IOCMNG_LEASE"]) >= 120
    assert "gcsFaultToleranceOptions" not in cluster_of(manifests("overlays/dev"))
    without = named(manifests("overlays/dev"), "ConfigMap", "iocmng-settings")["data"]
    assert float(without["IOCMNG_LEASE"]) == Settings.model_fields["lease"].default


# --- versions and commands


def test_the_version_of_ray_is_the_locked_one():
    """The operator must know the Ray that is in the image."""
    locked = re.search(
        r"^ray(?:\[[^]]*\])?==(\S+)", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert locked is not None
    assert {cluster_of(manifests(target))["rayVersion"] for target in CLUSTERS} == {locked[1]}


@pytest.mark.parametrize("target", ["examples/ray-job", "examples/cron-job"])
def test_the_commands_of_the_examples_are_understood(target):
    """`iocmng job run ...` as the examples say it: the command is there, and takes these options."""
    objects = manifests(target)
    jobs = [one["spec"]["entrypoint"].split() for one in of_kind(objects, "RayJob")]
    jobs += [container["command"] for pods in pods_of(objects) for container in pods.containers]
    (words,) = jobs
    assert words[0] == "iocmng"
    command: Any = typer.main.get_command(app)
    context = click.Context(command)
    rest = words[1:]
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
        context = click.Context(command, parent=context)
    command.parse_args(context, rest)
    assert context.params["name"] == "my-diag"
