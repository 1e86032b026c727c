"""What the how-to page shows of a site's own directory renders, on the base of this checkout."""

from __future__ import annotations

import os
import subprocess

import yaml
from api_fakes import FakeController, plugin_object
from docs_blocks import ROOT, blocks
from manifests import K8S, named, pods_of, render
from served_api import served
from test_k8s_schemas import refusals

from iocmng.settings import load_settings


def test_the_directory_of_a_site(tmp_path):
    """The page's kustomization changes the beamline, the plugins and the tag, and what comes out is legal."""
    (block,) = [one for one in blocks(ROOT / "docs/how-to/run-on-kubernetes.md") if one.title == "kustomization.yaml"]
    remote = "https://github.com/infn-epics/epik8s-beamline-controller//k8s/base?ref=main"
    assert remote in block.text
    text = block.text.replace(remote, os.path.relpath(K8S / "base", tmp_path.resolve()))
    (tmp_path / "kustomization.yaml").write_text(text, encoding="utf-8")
    objects = [one for one in yaml.safe_load_all(render(tmp_path.resolve())) if one]
    site = named(objects, "ConfigMap", "iocmng-site")["data"]
    assert yaml.safe_load(site["epik8s-beamline.yaml"]) == {"beamline": "sparc", "namespace": "vacuum"}
    assert yaml.safe_load(site["plugins.yaml"])["plugins"][0]["name"] == "pump"
    tag = yaml.safe_load(text)["images"][0]["newTag"]
    images = {one["image"] for pods in pods_of(objects) for one in pods.containers if one["name"].startswith("ray")}
    assert images == {f"ghcr.io/infn-epics/epik8s-beamline-controller:{tag}"}
    assert [
        sentence for one in objects if not one["apiVersion"].startswith("ray.io") for sentence in refusals(one)
    ] == []


def test_clients_inside_the_cluster(tmp_path):
    """The page's commands set what the API tells of name servers, for all programs of the shell."""
    (block,) = [one for one in blocks(ROOT / "docs/how-to/run-on-kubernetes.md") if "name-servers" in one.text]
    pvs = [{"host": "10.0.0.7", "ca_port": ca, "pva_port": pva} for ca, pva in ((5064, 5075), (40001, 40002))]
    plugins = [plugin_object(f"p{number}", endpoint=pv) for number, pv in enumerate(pvs)]
    with served(FakeController(*plugins), epics_public_host="iocs.example.org") as api:
        commands = block.text.replace("http://iocmng:8080", api.url) + "env"
        done = subprocess.run(["bash", "-c", commands], capture_output=True, text=True, check=True)
    assert {
        "EPICS_CA_AUTO_ADDR_LIST=NO",
        "EPICS_PVA_AUTO_ADDR_LIST=NO",
        "EPICS_CA_NAME_SERVERS=10.0.0.7:5064 10.0.0.7:40001",
        "EPICS_PVA_NAME_SERVERS=10.0.0.7:5075 10.0.0.7:40002",
    } < set(done.stdout.splitlines())


def test_the_emulation_of_the_page_is_there():
    """The page's command is in the repository, and says how it is called."""
    done = subprocess.run([K8S / "emulate", "--help"], capture_output=True, text=True, check=True)
    assert "usage: k8s/emulate" in done.stdout


def test_the_directory_of_a_site_with_one_service(tmp_path):
    """The page on PVs from outside adds the range, its Service and the public host, and what comes out is legal."""
    (block,) = [
        one for one in blocks(ROOT / "docs/how-to/reach-pvs-from-outside.md") if one.title == "kustomization.yaml"
    ]
    text = block.text.replace("https://github.com/infn-epics/epik8s-beamline-controller//", "").replace("?ref=main", "")
    assert text.count("- k8s/") == 2
    text = text.replace("- k8s/", f"- {os.path.relpath(K8S, tmp_path.resolve())}/")
    (tmp_path / "kustomization.yaml").write_text(text, encoding="utf-8")
    objects = [one for one in yaml.safe_load_all(render(tmp_path.resolve())) if one]
    settings = named(objects, "ConfigMap", "iocmng-settings")["data"]
    assert (settings["IOCMNG_EPICS_PORTS"], settings["IOCMNG_EPICS_PUBLIC_HOST"]) == ("5100-5119", "iocs.example.org")
    assert len(named(objects, "Service", "iocmng-epics")["spec"]["ports"]) == 20
    load_settings(epics_public_host=settings["IOCMNG_EPICS_PUBLIC_HOST"], epics_ports=settings["IOCMNG_EPICS_PORTS"])
    assert refusals(named(objects, "Service", "iocmng-epics")) == []


def test_the_components_and_overlays_of_the_page_are_there():
    """Each directory below k8s/ that the pages name has a kustomization."""
    pages = ("run-on-kubernetes.md", "reach-pvs-from-outside.md")
    text = "\n".join((ROOT / "docs/how-to" / page).read_text(encoding="utf-8") for page in pages)
    named_ones = {word.strip("`.,:;") for word in text.split() if word.startswith("`k8s/")}
    named_ones -= {"k8s/", "k8s/secret.example.yaml", "k8s/emulate"}
    assert len(named_ones) >= 10
    assert [name for name in named_ones if not (ROOT / name / "kustomization.yaml").is_file()] == []
