"""What is known of a plugin after its checks, as the server keeps and shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iocmng.base.identity import Identity
from iocmng.base.plugin import PluginBase
from iocmng.core.builtin_pvs import Kind
from iocmng.core.manifest import Manifest
from iocmng.core.names import plugin_segment
from iocmng.core.pvs import Pv
from iocmng.core.schedule_section import schedule_of
from iocmng.core.secrets import without_secrets
from iocmng.core.spec import PluginFacts


def plugin_facts(
    cls: type[PluginBase], identity: Identity, manifest: Manifest, commit: str | None, branch: str | None
) -> PluginFacts:
    """Return the facts, with what there is to warn of.

    Args:
        cls: The plugin's class.
        identity: What the plugin is told about itself.
        manifest: Its config.yaml.
        commit: Commit of its files, if they come from git.
        branch: Branch or tag they were taken from.
    """
    rules = identity.checked.rules
    return PluginFacts(
        kind=cls.kind,
        class_name=cls.__name__,
        mode=identity.mode.value if cls.kind is Kind.TASK else "",
        pv_prefix=identity.pv_prefix,
        plugin_prefix=plugin_segment(identity.name, manifest.prefix),
        parameters=without_secrets(identity.checked.shown, rules.secrets),
        secrets=rules.secrets,
        pv_definitions={"inputs": _plain(manifest.inputs), "outputs": _plain(manifest.outputs)},
        commit=commit,
        branch=branch,
        warnings=(*identity.warnings, *rules.warnings),
        resources=manifest.resources,
        node_labels=manifest.node,
        parameters_schema=rules.json_schema,
        declared=rules.declared,
        concurrency=manifest.concurrency,
        schedule=schedule_of(manifest.schedule),
    )


def _plain(pvs: Mapping[str, Pv]) -> dict[str, Any]:
    """Return PV definitions as plain JSON, as the REST API shows them."""
    return {name: pv.model_dump(mode="json", exclude_none=True) for name, pv in pvs.items()}
