"""Searches of registered models and their versions by filters: `name LIKE 'diag%' and tags.team = 'a'`."""

from __future__ import annotations

from collections.abc import Sequence

from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Source
from mlwright.kernel.fields import Field, Side, Space
from mlwright.kernel.grammar import Comparison, parse_order
from mlwright.kernel.pages import Found
from mlwright.kernel.search import Row, Wanted, find

_NAME_CHANGED = Field("registered_model.updated_us", "moment")

MODELS = Space(
    noun="registered model",
    table="registered_model",
    name="registered_model",
    id="registered_model.name",
    fields={
        "name": Field("registered_model.name", start="registered_model.name"),
        "creation_timestamp": Field("registered_model.created_us", "moment"),
        "last_updated_timestamp": _NAME_CHANGED,
        "timestamp": _NAME_CHANGED,
    },
    sides={"tag": Side("registered_model_tag", "model", indexed=False)},
    ties=(("registered_model.name", False),),
)

_VERSION_CHANGED = Field("model.updated_us", "moment")

VERSIONS = Space(
    noun="model version",
    table="""(SELECT version.id AS id, version.name AS name, version.number AS number,
        version.created_us AS created_us,
        coalesce(reported_version.updated_us, version.created_us) AS updated_us,
        coalesce(reported_version.source, '') AS source, coalesce(reported_version.stage, 'None') AS stage,
        coalesce(reported_version.run_id, (SELECT to_id FROM edge WHERE from_kind = 'version'
            AND from_id = version.id AND role = 'run' LIMIT 1), '') AS run_id
        FROM version LEFT JOIN reported_version ON reported_version.version_id = version.id
        WHERE version.kind = 'model')""",
    name="model",
    id="model.id",
    fields={
        "name": Field("model.name", start="model.name"),
        "version_number": Field("model.number", "number"),
        "run_id": Field("model.run_id"),
        "source_path": Field("model.source"),
        "current_stage": Field("model.stage"),
        "creation_timestamp": Field("model.created_us", "moment"),
        "last_updated_timestamp": _VERSION_CHANGED,
    },
    sides={"tag": Side("version_tag", "version_id", indexed=False)},
    ties=(("model.name", False), ("model.number", True), ("model.id", False)),
)

_NEWS = ("last_updated_timestamp DESC",)


def search_models(
    source: Source, where: Sequence[Comparison], order: Sequence[str], *, limit: int, token: str
) -> Found[str]:
    """Search registered models; among equals by name.

    Args:
        where: what must hold, all of it.
        order: `name DESC`; the first counts most.
        limit: at most so many on a page.
        token: of the page before; empty for the first.

    Returns:
        Their names.

    Raises:
        Invalid: a word of it cannot be understood, or the token belongs to another search.
    """
    page = _find(source, MODELS, where, order, ("name",), limit, token)
    return Found([row["name"] for row in page.found], page.token, ending=page.ending)


def search_versions(
    source: Source, where: Sequence[Comparison], order: Sequence[str], *, limit: int, token: str
) -> Found[str]:
    """Search versions of models; among equals by name and then the newest first; without an
    order, what changed last comes first.

    Args:
        where, order, limit, token: as for models.

    Returns:
        Their ids.

    Raises:
        Invalid: as for models.
    """
    page = _find(source, VERSIONS, where, order or _NEWS, ("id",), limit, token)
    return Found([row["id"] for row in page.found], page.token, ending=page.ending)


def _find(
    source: Source,
    space: Space,
    where: Sequence[Comparison],
    order: Sequence[str],
    columns: tuple[str, ...],
    limit: int,
    token: str,
) -> Found[Row]:
    wanted = Wanted(tuple(where), tuple(parse_order(each) for each in order), limit=limit, token=token)
    return find(source, space, wanted, columns, now_us())
