"""What the how-to page shows of a site's own directory renders, on the base of this checkout."""

from __future__ import annotations

import os

import yaml
from docs_blocks import ROOT, blocks
from manifests import K8S, named, pods_of, render
from test_k8s_schemas import refusals


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


def test_the_components_and_overlays_of_the_page_are_there():
    """Each directory below k8s/ that the page names has a kustomization."""
    text = (ROOT / "docs/how-to/run-on-kubernetes.md").read_text(encoding="utf-8")
    named_ones = {word.strip("`.,:;") for word in text.split() if word.startswith("`k8s/") and "secret" not in word}
    assert len(named_ones - {"k8s/"}) >= 10
    assert [name for name in named_ones - {"k8s/"} if not (ROOT / name / "kustomization.yaml").is_file()] == []
