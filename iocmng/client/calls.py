"""Every call that the client knows, described once: path, query, body. Client and AsyncClient send them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from iocmng.client.call import Call, path
from iocmng.client.objects import (
    ApplyAnswer,
    AuditList,
    Done,
    DoneWithChecks,
    DoneWithPlugin,
    EventList,
    GenerationList,
    Health,
    LogLines,
    NameServers,
    Plugin,
    PluginList,
    PvList,
    Run,
    RunCancelled,
    RunList,
    RunStarted,
)

Parameters = Mapping[str, Any]
Kind = Literal["task", "job"]


def health() -> Call[Health]:
    """Return the server's version and how many plugins it has."""
    return Call("GET", "/health")


def list_plugins(kind: Kind | None = None) -> Call[PluginList]:
    """Return all plugins, or those of one kind, sorted by name.

    Args:
        kind: `task` or `job`.
    """
    return Call("GET", "/plugins", {"type": kind})


def get(name: str) -> Call[Plugin]:
    """Return one plugin.

    Raises:
        UnknownPlugin: If there is none of this name.
    """
    return Call("GET", path("plugins", name))


def add(
    name: str,
    *,
    git_url: str | None = None,
    local_path: str | None = None,
    path: str | None = None,
    branch: str | None = None,
    commit: str | None = None,
    pat: str | None = None,
    ssh_key: str | None = None,
    parameters: Parameters | None = None,
    auto_start: bool | None = None,
    **more: Any,
) -> Call[DoneWithChecks]:
    """Add a plugin, and return when its PVs are live.

    Args:
        name: 1 to 128 letters, digits, '_' and '-'.
        git_url: Repository; else
        local_path: a directory on the server.
        path: Directory of the plugin inside of either.
        branch: Branch or tag.
        commit: Commit, instead of the branch's newest.
        pat: Personal access token for the repository.
        ssh_key: Private key for an ssh repository.
        parameters: Laid over the parameters of config.yaml.
        auto_start: False: the PVs are there, and the cycles wait for start.
        more: Further keys of the add body: docs/reference/rest.md lists them.

    Raises:
        PluginRejected: If a check fails; `failures` names each one with step, file and line.
        DuplicatePlugin: If there is a plugin of this name.
        SourceUnavailable: If the repository cannot be fetched.
    """
    given: dict[str, Any] = {
        "git_url": git_url,
        "local_path": local_path,
        "path": path,
        "branch": branch,
        "commit": commit,
        "pat": pat,
        "ssh_key": ssh_key,
        "parameters": parameters,
        "auto_start": auto_start,
        **more,
    }
    body = {"name": name} | {key: value for key, value in given.items() if value is not None}
    return Call("POST", "/plugins", body=body, waits=True)


def remove(name: str) -> Call[Done]:
    """Stop a plugin with its cleanup(), remove its PVs and forget it.

    Raises:
        UnknownPlugin: If there is none of this name.
    """
    return Call("DELETE", path("plugins", name), waits=True)


def start(name: str) -> Call[DoneWithPlugin]:
    """Start a task's cycles.

    Raises:
        WrongKind: If it is a job.
    """
    return Call("POST", path("plugins", name, "start"), waits=True)


def stop(name: str) -> Call[DoneWithPlugin]:
    """Stop a task's cycles; its PVs stay.

    Raises:
        WrongKind: If it is a job.
    """
    return Call("POST", path("plugins", name, "stop"), waits=True)


def restart(name: str) -> Call[DoneWithChecks]:
    """Fetch a plugin again and replace it; if the new version fails, the old one runs on.

    Raises:
        PluginRejected: If a check of the new version fails.
    """
    return Call("POST", path("plugins", name, "restart"), waits=True)


def rollback(name: str, generation: int | None = None) -> Call[DoneWithChecks]:
    """Replace a plugin by an earlier generation of it.

    Args:
        name: Name of the plugin.
        generation: Number of the generation; None: the newest that ran before the present one.

    Raises:
        WrongState: If there is nothing to go back to.
    """
    body = {} if generation is None else {"generation": generation}
    return Call("POST", path("plugins", name, "rollback"), body=body, waits=True)


def change(name: str, **patch: Any) -> Call[DoneWithChecks]:
    """Change what is desired of a plugin, such as parameters, branch or commit, and replace it where that is needed.

    Args:
        name: Name of the plugin.
        patch: A JSON Merge Patch (RFC 7396): what it names is changed, None takes a key away.
    """
    return Call("PATCH", path("plugins", name), body=patch, waits=True)


def apply(owner: str, plugins: Sequence[Mapping[str, Any]]) -> Call[ApplyAnswer]:
    """Make the server's plugins what a list says: add, change, and remove what the owner has asked for earlier.

    Args:
        owner: Whose list it is, such as the path of a plugins file.
        plugins: Entries with the keys of an add.

    Raises:
        IocmngError: If a plugin has failed; the others are done, and `problem["results"]` tells of each.
    """
    return Call("POST", "/apply", body={"owner": owner, "plugins": [dict(entry) for entry in plugins]}, waits=True)


def generations(name: str) -> Call[GenerationList]:
    """Return the attempts to bring a plugin into being, newest first."""
    return Call("GET", path("plugins", name, "generations"))


def events(name: str | None = None, *, after: int = 0, limit: int = 100) -> Call[EventList]:
    """Return events that have happened, oldest first; `follow_events` waits for those to come.

    A plugin's events outlive it.

    Args:
        name: Only those of this plugin.
        after: Only those with a higher id.
        limit: The newest ones, so many at most.

    Raises:
        UnknownPlugin: If there is neither a plugin of this name nor an event of it.
    """
    query = {"after": after, "limit": limit}
    if name is not None:
        return Call("GET", path("plugins", name, "events"), query)
    return Call("GET", "/events", query | {"stream": "false"})


def audit(
    plugin: str | None = None,
    *,
    who: str | None = None,
    what: str | None = None,
    since: str | None = None,
    limit: int = 100,
    before: int | None = None,
) -> Call[AuditList]:
    """Return who has changed what, newest first; for admins.

    Args:
        plugin: Only what was done to this plugin.
        who: Only what this one has done.
        what: Only calls whose name begins so, such as `remove`.
        since: Only from this moment on, in ISO 8601.
        limit: So many at most.
        before: Only those with a lower id: the next page.
    """
    query = {"plugin": plugin, "who": who, "what": what, "since": since, "limit": limit, "before": before}
    return Call("GET", "/audit", query)


def logs(name: str, *, tail: int = 100, after: int | None = None) -> Call[LogLines]:
    """Return log lines of a plugin, oldest first; `follow_logs` waits for those to come.

    Args:
        name: Name of the plugin.
        tail: Number of lines at most.
        after: `next` of an earlier answer: what follows those lines. None: the newest ones.
    """
    return Call("GET", path("plugins", name, "logs"), {"tail": tail, "after": after})


def pvs(name: str | None = None) -> Call[PvList]:
    """Return the records of all plugins, or of one, and where they are served."""
    return Call("GET", "/pvs", {"plugin": name})


def name_servers(name: str | None = None, *, whole_range: bool = False, inside: bool = False) -> Call[NameServers]:
    """Return what a client sets that no broadcast reaches, EPICS_CA_NAME_SERVERS and EPICS_PVA_NAME_SERVERS.

    Args:
        name: Only the IOC of this plugin.
        whole_range: List all ports of IOCMNG_EPICS_PORTS on each node; InvalidRequest if the server has no such range.
        inside: List nodes at their own addresses, for clients in their network.
    """
    query = {"plugin": name, "whole_range": "true" if whole_range else None, "inside": "true" if inside else None}
    return Call("GET", "/pvs/name-servers", query)


def submit_job(name: str, parameters: Parameters | None = None, *, timeout: float | None = None) -> Call[RunStarted]:
    """Start a run of a job, and return without waiting for it.

    Args:
        name: Name of the job.
        parameters: Laid over the job's parameters for this run.
        timeout: Seconds that the run may take.

    Raises:
        TooManyRuns: If too many runs of this job wait already.
    """
    given = {"parameters": dict(parameters) if parameters is not None else None, "timeout": timeout}
    body = {key: value for key, value in given.items() if value is not None}
    return Call("POST", path("jobs", name, "run"), {"wait": "false"}, body=body)


def runs(name: str, *, state: str | None = None, limit: int | None = None, before: int | None = None) -> Call[RunList]:
    """Return runs of a job, newest first.

    Args:
        name: Name of the job.
        state: Only those in this state.
        limit: So many at most.
        before: Only those with a lower number: the next page.
    """
    return Call("GET", path("jobs", name, "runs"), {"state": state, "limit": limit, "before": before})


def get_run(name: str, run_id: int) -> Call[Run]:
    """Return one run of a job, with its log lines.

    Raises:
        UnknownRun: If the job has no such run, or no longer.
    """
    return Call("GET", path("jobs", name, "runs", run_id))


def cancel_run(name: str, run_id: int) -> Call[RunCancelled]:
    """Cancel a run, and return when it has ended.

    Raises:
        UnknownRun: If the job has no such run.
        WrongState: If it had ended already.
    """
    return Call("DELETE", path("jobs", name, "runs", run_id), waits=True)
