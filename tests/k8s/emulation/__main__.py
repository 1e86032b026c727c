"""`k8s/emulate DIRECTORY`: does a directory of manifests run? Rendered, started, walked through, on this machine."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

import yaml
from manifests import render
from namespaces import missing as no_namespaces

from .cluster import Cluster
from .kuberay import NotEmulated
from .sandbox import missing as no_sandbox
from .walk import Walk


def steps(walk: Walk) -> list:
    """Return the steps of a walk; without Redis a cluster does not outlive its head."""
    lost = [walk.end_the_heads_container, walk.lose_the_heads_machine, walk.delete_the_heads_pod]
    kept = lost if walk.cluster.service.outlives_its_head else []
    workers = [walk.delete_a_workers_pod, walk.lose_a_workers_machine]
    return [walk.come_up, walk.do_the_main_job, walk.look_at_the_doors, *kept, *workers]


def main(words: list[str] | None = None) -> int:
    """Run a directory; return the exit status."""
    parser = argparse.ArgumentParser(prog="k8s/emulate", description=__doc__)
    parser.add_argument("directory", type=Path, help="one with a kustomization.yaml, such as k8s/base")
    directory = parser.parse_args(words).directory
    if shutil.which("kubectl") is None and shutil.which("kustomize") is None:
        parser.error("neither kubectl nor kustomize is installed, one of which renders the manifests")
    if reason := no_namespaces() or no_sandbox():
        parser.error(reason)
    try:
        objects = [one for one in yaml.safe_load_all(render(directory.resolve())) if one]
    except AssertionError as error:
        parser.error(f"{directory} cannot be rendered: {error}")
    root = Path(tempfile.mkdtemp(prefix="iocmng-emulation-"))
    try:
        cluster = Cluster(objects, root)
    except NotEmulated as error:
        root.rmdir()
        parser.error(str(error))
    try:
        for step in steps(Walk(cluster)):
            tell(step())
    except (AssertionError, NotEmulated) as error:
        tell(f"failed: {error}")
        for pod in cluster.pods:
            tell(f"--- the end of the log of {pod.name}\n{pod.tail()}")
        return 1
    finally:
        cluster.end()
    return 0


def tell(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
