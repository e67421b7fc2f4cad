"""The facets of events: what OpenLineage has a schema for, and three of our own.

Source: the OpenLineage specification 2-0-2 and its facets, each in the version that its address names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from mlwright.environments import Lock
from mlwright.kernel.version import VERSION
from mlwright.tracking import Run
from mlwright.versioning import Snapshot
from mlwright.versioning.summaries import ColumnSummary
from mlwright.workflow.attempts import Attempt

Facet = dict[str, Any]

PRODUCER = f"urn:mlwright:{VERSION}"
EVENT = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
OURS = "urn:mlwright:openlineage-facets:1-0-0"
"""The `$id` of `docs/openlineage-facets.json`, which has the schemas of our own facets."""

_SPECIFIED = "https://openlineage.io/spec/facets"
_SSH = re.compile(r"(?:ssh://)?(?:[\w.-]+@)?([\w.-]+)(?::[0-9]+/|[:/])(.+)")
_DECILES = tuple(f"0.{tenth}" for tenth in range(1, 10))


def specified(name: str, version: str, /, **fields: Any) -> Facet:
    """A facet that OpenLineage has a schema for; a field that is None is left out."""
    address = f"{_SPECIFIED}/{version}/{name}.json#/$defs/{name}"
    return _facet(address, fields)


def _own(name: str, /, **fields: Any) -> Facet:
    return _facet(f"{OURS}#/$defs/{name}", fields)


def _facet(address: str, fields: Mapping[str, Any]) -> Facet:
    known = {name: value for name, value in fields.items() if value is not None}
    return {"_producer": PRODUCER, "_schemaURL": address, **known}


def engine() -> Facet:
    """What executed it."""
    return specified(
        "ProcessingEngineRunFacet",
        "1-1-1",
        version=VERSION,
        name="mlwright",
        openlineageAdapterVersion=VERSION,
    )


def error(told: Mapping[str, Any]) -> Facet:
    """What a run or a step failed of, with the place in the user's code."""
    return specified(
        "ErrorMessageRunFacet",
        "1-0-1",
        message=str(told.get("message", "")),
        programmingLanguage="PYTHON",
        stackTrace=told.get("where"),
    )


def parent(run: Mapping[str, Any], job: Mapping[str, Any]) -> Facet:
    """Of which run a step is one."""
    return specified("ParentRunFacet", "1-2-0", run=run, job=job, root={"run": run, "job": job})


def parameters(given: Mapping[str, Any], text: Any) -> Facet:
    """The parameters of a run; `text` writes a value."""
    listed = [{"key": name, "value": text(value)} for name, value in given.items()]
    return specified("ExecutionParametersRunFacet", "1-0-0", parameters=listed)


def tags(given: Mapping[str, Any]) -> Facet:
    """The tags of a step."""
    listed = [{"key": name, "value": str(value), "source": "USER"} for name, value in given.items()]
    return specified("TagsRunFacet", "1-0-0", tags=listed)


def job_type(kind: str) -> Facet:
    """What kind of job: PIPELINE, STEP, SCRIPT, NOTEBOOK."""
    return specified(
        "JobTypeJobFacet", "2-0-4", processingType="BATCH", integration="MLWRIGHT", jobType=kind.upper()
    )


def location(snapshot: Snapshot) -> Facet | None:
    """Where the code lies in Git; None where nobody else can find it."""
    remote = snapshot.git_remote
    url = web_address(remote)
    if not url or not snapshot.git_commit:
        return None
    return specified(
        "SourceCodeLocationJobFacet",
        "1-1-0",
        type="git",
        url=url,
        repoUrl=remote,
        version=snapshot.git_commit,
    )


def web_address(remote: str) -> str:
    """Where people find a repository: `git@host:group/name.git` is `https://host/group/name`; or nothing."""
    # Git takes a space or a letter of any script in it, which an address may not have as they are.
    bare = quote(remote.removesuffix("/").removesuffix(".git"), safe="/:@!$&'()*+,;=~%?#")
    if re.match(r"https?://[\w.-]", bare):
        return bare
    found = _SSH.fullmatch(bare)
    local = remote.startswith(("/", ".", "file:")) or "." not in (found[1] if found else "")
    return "" if found is None or local else f"https://{found[1]}/{found[2].lstrip('/')}"


def code(snapshot: Snapshot) -> Facet:
    """The snapshot of the code, whatever Git knows of it."""
    return _own(
        "MlwrightCodeJobFacet",
        snapshot=f"b3:{snapshot.digest}",
        files=snapshot.files,
        commit=snapshot.git_commit or None,
        changed=snapshot.dirty,
    )


def environment(locks: Mapping[str, Lock], machine: Mapping[str, Any]) -> Facet:
    """The locked environments of a run, its own first, and the machine."""
    listed = [
        {
            "name": name,
            "lock": f"b3:{lock.digest}",
            "python": lock.python,
            "platform": lock.platform,
            "packages": lock.packages,
        }
        for name, lock in sorted(locks.items())
    ]
    return _own("MlwrightEnvironmentRunFacet", environments=listed, machine=dict(machine))


def run(told: Run, *, over: bool) -> Facet:
    """What the records call a run, what it was started with and, when it is over, how it ended."""
    state = str(told.state) if over else None
    return _own("MlwrightRunFacet", run=told.id, state=state, seed=told.seed, pins=told.pins)


def step(attempt: Attempt, reuses: str, *, over: bool) -> Facet:
    """What the records say of a step beside its times; `reuses` is the attempt that stands for it."""
    return _own(
        "MlwrightStepRunFacet",
        run=attempt.run_id,
        step=attempt.node,
        attempt=attempt.id,
        number=attempt.number,
        state=str(attempt.state) if over else None,
        fingerprint=f"b3:{attempt.fingerprint}" if attempt.fingerprint else None,
        reuses=reuses or None,
    )


def column_metrics(columns: Iterable[ColumnSummary], rows: int | None) -> dict[str, dict[str, Any]]:
    """What a summary of a table says of its columns, in OpenLineage's words."""
    return {column.name: _metrics(column, rows) for column in columns}


def _metrics(column: ColumnSummary, rows: int | None) -> dict[str, Any]:
    told: dict[str, Any] = {"nullCount": column.nulls}
    if column.distinct is not None and not column.more:
        told["distinctCount"] = column.distinct
    if rows is not None:
        told["count"] = rows - column.nulls
    if column.kind == "number":
        if column.minimum is not None and column.maximum is not None:
            told |= {"min": column.minimum, "max": column.maximum}
        if column.deciles:
            told["quantiles"] = dict(zip(_DECILES, column.deciles, strict=True))
    return told
