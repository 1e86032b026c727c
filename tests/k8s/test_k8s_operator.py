"""The operator's rules that no schema holds: kept by all of k8s/, and each of them seen when it is broken."""

from __future__ import annotations

import pytest
from manifests import CLUSTERS, cluster_of, groups_of, manifests, named
from operator_rules import problems


@pytest.mark.parametrize("target", CLUSTERS)
def test_the_operator_takes_it(target):
    """No rule of the operator is broken, and no upgrade starts a second cluster."""
    assert problems(manifests(target)) == []


def spec(objects):
    return named(objects, "RayService", "iocmng")["spec"]


def head(objects):
    return groups_of(objects)[0]


def worker(objects):
    return groups_of(objects)[1]


BREAKS = {
    "upgrade": (lambda it: spec(it).pop("upgradeStrategy"), "a second cluster"),
    "another upgrade": (lambda it: spec(it)["upgradeStrategy"].update(type="NewCluster"), "a second cluster"),
    "gated": (lambda it: cluster_of(it).update(networkPolicy={}), "networkPolicy is refused"),
    "no token": (lambda it: cluster_of(it).pop("authOptions"), "no token"),
    "old Ray": (lambda it: cluster_of(it).update(rayVersion="2.51.0"), "2.52"),
    "no version": (lambda it: cluster_of(it).pop("rayVersion"), "2.52"),
    "namespace": (
        lambda it: cluster_of(it)["gcsFaultToleranceOptions"].update(externalStorageNamespace="x"),
        "externalStorageNamespace",
    ),
    "password": (
        lambda it: cluster_of(it)["gcsFaultToleranceOptions"].update(redisPassword={"value": "hunter2"}),
        "password of Redis",
    ),
    "annotation": (
        lambda it: head(it)["template"]["metadata"].update(annotations={"ray.io/ft-enabled": "true"}),
        "annotations of ray.io",
    ),
    "replicas": (lambda it: worker(it).pop("maxReplicas"), "all of them given"),
    "range": (lambda it: worker(it).update(maxReplicas=5), "nobody who scales it"),
    "restart": (
        lambda it: (
            cluster_of(it).update(enableInTreeAutoscaling=True, autoscalerOptions={"version": "v2"}),
            worker(it)["template"]["spec"].update(restartPolicy="Always"),
        ),
        "restartPolicy Never",
    ),
    "service": (lambda it: head(it).update(headService={"metadata": {"name": "x"}}), "headService"),
    "twice": (lambda it: worker(it).update(resources={"ioc": "1"}), "both in the group"),
    "redis parameter": (lambda it: head(it)["rayStartParams"].update({"redis-password": "x"}), "redis-password"),
    "labels": (lambda it: worker(it)["rayStartParams"].update(labels="a=b"), "must not have labels"),
    "bad label": (lambda it: worker(it).update(labels={"a b": "c"}), "label a b=c"),
    "misspelt": (lambda it: head(it)["rayStartParams"].update({"num-cpu": "1"}), "no option num-cpu"),
    "number": (lambda it: head(it)["rayStartParams"].update({"num-cpus": 0}), "must be a string"),
    "redis variable": (
        lambda it: head(it)["template"]["spec"]["containers"][0]["env"].append({"name": "RAY_REDIS_ADDRESS"}),
        "RAY_REDIS_ADDRESS",
    ),
    "object store": (
        lambda it: worker(it)["rayStartParams"].update({"object-store-memory": str(8 * 1024**3)}),
        "object store is larger",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_each_rule_is_seen_when_it_is_broken(name):
    """A rule that can be broken unseen is none."""
    break_it, words = BREAKS[name]
    objects = manifests("base")
    break_it(objects)
    assert any(words in sentence for sentence in problems(objects)), problems(objects)
