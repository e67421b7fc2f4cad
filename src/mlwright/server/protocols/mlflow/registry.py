"""MLflow's methods for registered models, their versions, stages and aliases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from mlwright.kernel.database import Source, Transaction
from mlwright.kernel.errors import Busy, Conflict
from mlwright.kernel.grammar import Comparison, parse_filter
from mlwright.kernel.pages import Found
from mlwright.server.call import Call, Encoded
from mlwright.server.permissions import Permission
from mlwright.server.protocols.mlflow import limits, models, sources
from mlwright.server.protocols.mlflow.errors import TAKEN, Refused
from mlwright.server.protocols.mlflow.pages import told_page
from mlwright.server.protocols.mlflow.wire import EMPTY, Int64, Message, Tag, message
from mlwright.server.routes import Route
from mlwright.server.tracker import Tracker
from mlwright.tracking.texts import held
from mlwright.versioning.filters import search_models, search_versions
from mlwright.versioning.reported import ReportedVersion, ReportedVersions, stage_named

MODELS_PER_PAGE = 1000
VERSIONS_PER_PAGE = 200_000
_FEW_MODELS = 100
_VERSIONS = "mlflow.modelVersions"
"""The tag of a logged model in which clients look for the versions that were made of it."""


class _Named(Message):
    name: str | None = None


class _Create(_Named):
    tags: list[Tag] | None = None
    description: str | None = None


class _Describe(_Named):
    description: str | None = None


class _Rename(_Named):
    new_name: str | None = None


class _Tagged(_Named):
    key: str | None = None
    value: str | None = None


class _Search(Message):
    filter: str | None = None
    max_results: Int64 | None = None
    order_by: list[str] | None = None
    page_token: str | None = None


class _Latest(_Named):
    stages: list[str] | None = None


class _Aliased(_Named):
    alias: str | None = None
    version: str | None = None


class _CreateVersion(_Named):
    source: str | None = None
    run_id: str | None = None
    tags: list[Tag] | None = None
    run_link: str | None = None
    description: str | None = None
    model_id: str | None = None


class _OfVersion(_Named):
    version: str | None = None


class _DescribeVersion(_OfVersion):
    description: str | None = None


class _Move(_OfVersion):
    stage: str | None = None
    archive_existing_versions: bool | None = None


class _TaggedVersion(_OfVersion):
    key: str | None = None
    value: str | None = None


async def _create(call: Call) -> Any:
    """Register a name for models."""
    asked = await message(call, _Create, "name")
    name, names = models.name_of(asked.name), call.tracker.versions.names
    tags, description = models.tags_of(asked.tags), models.description_of(asked.description)
    try:
        made = await call.write(lambda tx: names.create(tx, name, description=description, tags=tags))
    except Busy:
        raise
    except Conflict:
        raise Refused(400, TAKEN, f"Registered Model (name={name}) already exists.") from None
    return {"registered_model": models.model(made, ())}


async def _get(call: Call) -> Any:
    """Tell a registered model with the newest version of each stage."""
    asked = await message(call, _Named, "name")
    return {"registered_model": await call.read(_one, call.tracker.versions, models.name_of(asked.name))}


def _one(source: Source, versions: ReportedVersions, name: str) -> models.ModelMessage:
    return models.model(versions.names.get(source, name), versions.latest(source, name))


async def _update(call: Call) -> Any:
    """Describe a registered model."""
    asked = await message(call, _Describe, "name")
    name, versions = models.name_of(asked.name), call.tracker.versions
    description = models.description_of(asked.description)

    def update(tx: Transaction) -> models.ModelMessage:
        return models.model(versions.names.describe(tx, name, description), versions.latest(tx, name))

    return {"registered_model": await call.write(update)}


async def _rename(call: Call) -> Any:
    """Give a registered model another name; its versions go along."""
    asked = await message(call, _Rename, "name", "new_name")
    name, new = models.name_of(asked.name), models.name_of(asked.new_name, "new_name")
    versions = call.tracker.versions

    def rename(tx: Transaction) -> models.ModelMessage:
        return models.model(versions.names.rename(tx, name, new), versions.latest(tx, new))

    try:
        return {"registered_model": await call.write(rename)}
    except Busy:
        raise
    except Conflict as error:
        raise Refused(400, TAKEN, error.message) from None


async def _delete(call: Call) -> Any:
    """Delete a registered model with all its versions."""
    asked = await message(call, _Named, "name")
    name, names = models.name_of(asked.name), call.tracker.versions.names
    await call.write(lambda tx: names.delete(tx, name))
    return EMPTY


async def _search(call: Call) -> Any:
    """Search registered models, page by page."""
    asked = await message(call, _Search)
    limit = _FEW_MODELS if asked.max_results is None else asked.max_results
    if limit:
        limits.results(limit, MODELS_PER_PAGE)
    if (where := _where(asked.filter)) is None:
        return EMPTY
    return await call.told(_found, call.tracker.versions, where, asked, limit)


def _found(
    source: Source, versions: ReportedVersions, where: Sequence[Comparison], asked: _Search, limit: int
) -> Encoded:
    order, token = asked.order_by or (), asked.page_token or ""
    page = search_models(source, where, order, limit=max(limit, 1), token=token)
    if not limit:  # as MLflow: nothing, and where to begin if there is something
        page = Found([], page.ending(0) if page.found else "", ending=page.ending)
    return told_page("registered_models", page, (_one(source, versions, name) for name in page.found))


async def _get_latest(call: Call) -> Any:
    """Tell the newest version in each stage, or in each of some."""
    asked = await message(call, _Latest, "name")
    name, stages = models.name_of(asked.name), [stage_named(stage) for stage in asked.stages or ()]
    return _versions(await call.read(call.tracker.versions.latest, name, stages))


async def _set_tag(call: Call) -> Any:
    """Give a registered model a tag."""
    asked = await message(call, _Tagged, "name", "key")
    name, names = models.name_of(asked.name), call.tracker.versions.names
    key, value = models.tag_of(asked.key, asked.value)
    await call.write(lambda tx: names.set_tag(tx, name, key, value))
    return EMPTY


async def _delete_tag(call: Call) -> Any:
    """Take a tag from a registered model."""
    asked = await message(call, _Tagged, "name", "key")
    name, names, key = models.name_of(asked.name), call.tracker.versions.names, limits.name(asked.key or "")
    await call.write(lambda tx: names.remove_tag(tx, name, key))
    return EMPTY


async def _set_alias(call: Call) -> Any:
    """Point an alias at a version."""
    asked = await message(call, _Aliased, "name", "alias", "version")
    name, alias, number = (
        _name_and_alias(asked)[0],
        models.new_alias(asked.alias),
        models.number_of(asked.version),
    )
    versions = call.tracker.versions
    await call.write(lambda tx: versions.set_alias(tx, name, alias, number))
    return EMPTY


async def _delete_alias(call: Call) -> Any:
    """Take an alias away."""
    name, alias = _name_and_alias(await message(call, _Aliased, "name", "alias"))
    versions = call.tracker.versions
    await call.write(lambda tx: versions.remove_alias(tx, name, alias))
    return EMPTY


async def _get_by_alias(call: Call) -> Any:
    """Tell the version that an alias means."""
    name, alias = _name_and_alias(await message(call, _Aliased, "name", "alias"))
    return _version(await call.read(call.tracker.versions.by_alias, name, alias))


def _name_and_alias(asked: _Aliased) -> tuple[str, str]:
    return models.name_of(asked.name), models.alias_of(asked.alias)


async def _create_version(call: Call) -> Any:
    """Register the files at a source, as they are now, as the next version of a model."""
    asked = await message(call, _CreateVersion, "name", "source")
    name, versions = models.name_of(asked.name), call.tracker.versions
    given = sources.Given(
        source=held(limits.value(asked.source, "source", limits.DATASET_SOURCE_LENGTH), "a source"),
        run_id=None
        if asked.run_id is None
        else held(limits.value(asked.run_id, "run_id"), "the id of a run"),
        model_id=asked.model_id,
        run_link=models.description_of(asked.run_link),
        description=models.description_of(asked.description),
        tags=models.tags_of(asked.tags),
    )
    await call.read(versions.names.get, name)
    told = await call.read(sources.reported, call.tracker, given)
    logged = call.tracker.logged_models

    def add(tx: Transaction) -> ReportedVersion:
        made = versions.add(tx, name, told)
        if given.model_id:
            before = logged.get(tx, given.model_id).tags.get(_VERSIONS, "")
            registered = msgspec.json.encode({"name": name, "version": made.number})
            logged.set_tags(tx, given.model_id, {_VERSIONS: limits.appended(before, registered, _VERSIONS)})
        return made

    return _version(await call.write(add))


async def _get_version(call: Call) -> Any:
    """Tell a version by its number."""
    name, number = _name_and_number(await message(call, _OfVersion, "name", "version"))
    return _version(await call.read(call.tracker.versions.get, name, number))


async def _update_version(call: Call) -> Any:
    """Describe a version."""
    asked = await message(call, _DescribeVersion, "name", "version")
    name, number = _name_and_number(asked)
    said = None if asked.description is None else models.description_of(asked.description)
    versions = call.tracker.versions
    return _version(await call.write(lambda tx: versions.describe(tx, name, number, said)))


async def _move(call: Call) -> Any:
    """Move a version to a stage, and if wanted archive those that are in it."""
    asked = await message(call, _Move, "name", "version", "stage")
    name, number = _name_and_number(asked)
    stage, archive = stage_named(asked.stage or ""), bool(asked.archive_existing_versions)
    versions = call.tracker.versions
    return _version(await call.write(lambda tx: versions.move(tx, name, number, stage, archive=archive)))


async def _delete_version(call: Call) -> Any:
    """Delete a version with its aliases; its number is not given again."""
    name, number = _name_and_number(await message(call, _OfVersion, "name", "version"))
    versions = call.tracker.versions
    await call.write(lambda tx: versions.remove(tx, name, number))
    return EMPTY


async def _search_versions(call: Call) -> Any:
    """Search versions, page by page."""
    asked = await message(call, _Search)
    limit = VERSIONS_PER_PAGE
    if asked.max_results is not None:
        limit = limits.results(asked.max_results, VERSIONS_PER_PAGE)
    if (where := _where(asked.filter)) is None:
        return EMPTY
    return await call.told(_found_versions, call.tracker.versions, where, asked, limit)


def _found_versions(
    source: Source, versions: ReportedVersions, where: Sequence[Comparison], asked: _Search, limit: int
) -> Encoded:
    page = search_versions(source, where, asked.order_by or (), limit=limit, token=asked.page_token or "")
    found = (models.version(versions.by_id(source, each), aliases=False) for each in page.found)
    return told_page("model_versions", page, found)


async def _get_download_uri(call: Call) -> Any:
    """Tell where the files of a version are; refused for one that MLflow cannot load."""
    name, number = _name_and_number(await message(call, _OfVersion, "name", "version"))
    return {"artifact_uri": await call.read(_download_uri, call.tracker, name, number)}


def _download_uri(source: Source, tracker: Tracker, name: str, number: int) -> str:
    """Where the files of a version are; refused, with the reason, of one that MLflow cannot load."""
    found = tracker.versions.get(source, name, number)
    if found.size_bytes:
        tracker.model_files.check(found.id)
    return models.download(found)


async def _set_version_tag(call: Call) -> Any:
    """Give a version a tag."""
    asked = await message(call, _TaggedVersion, "name", "version", "key")
    name, number = _name_and_number(asked)
    key, value = models.tag_of(asked.key, asked.value)
    versions = call.tracker.versions
    await call.write(lambda tx: versions.set_tag(tx, name, number, key, value))
    return EMPTY


async def _delete_version_tag(call: Call) -> Any:
    """Take a tag from a version."""
    asked = await message(call, _TaggedVersion, "name", "version", "key")
    name, number = _name_and_number(asked)
    versions, key = call.tracker.versions, limits.name(asked.key or "")
    await call.write(lambda tx: versions.remove_tag(tx, name, number, key))
    return EMPTY


def _where(text: str | None) -> list[Comparison] | None:
    """What must hold, without what clients add of their own to tell models from prompts.

    Returns:
        None when prompts are wanted: there are none.
    """
    where = []
    for each in parse_filter(text or ""):
        if (each.entity, each.key) != ("tag", models.PROMPT):
            where.append(each)
        elif (each.sign == "=") == (str(each.value).lower() == "true"):
            return None
    return where


def _name_and_number(asked: _OfVersion) -> tuple[str, int]:
    return models.name_of(asked.name), models.number_of(asked.version)


def _version(found: ReportedVersion) -> dict[str, Any]:
    return {"model_version": models.version(found)}


def _versions(found: Sequence[ReportedVersion]) -> dict[str, Any]:
    told = [models.version(each) for each in found]
    return {"model_versions": told} if told else {}


_R, _W = Permission.READ, Permission.WRITE
ROUTES = (
    Route("POST", "mlflow/registered-models/create", _create, _W),
    Route("GET", "mlflow/registered-models/get", _get, _R),
    Route("PATCH", "mlflow/registered-models/update", _update, _W),
    Route("POST", "mlflow/registered-models/rename", _rename, _W),
    Route("DELETE", "mlflow/registered-models/delete", _delete, _W),
    Route("GET", "mlflow/registered-models/search", _search, _R),
    Route("POST", "mlflow/registered-models/get-latest-versions", _get_latest, _R),
    Route("GET", "mlflow/registered-models/get-latest-versions", _get_latest, _R),
    Route("POST", "mlflow/registered-models/set-tag", _set_tag, _W),
    Route("DELETE", "mlflow/registered-models/delete-tag", _delete_tag, _W),
    Route("POST", "mlflow/registered-models/alias", _set_alias, _W),
    Route("GET", "mlflow/registered-models/alias", _get_by_alias, _R),
    Route("DELETE", "mlflow/registered-models/alias", _delete_alias, _W),
    Route("POST", "mlflow/model-versions/create", _create_version, _W),
    Route("GET", "mlflow/model-versions/get", _get_version, _R),
    Route("PATCH", "mlflow/model-versions/update", _update_version, _W),
    Route("POST", "mlflow/model-versions/transition-stage", _move, _W),
    Route("DELETE", "mlflow/model-versions/delete", _delete_version, _W),
    Route("GET", "mlflow/model-versions/search", _search_versions, _R),
    Route("GET", "mlflow/model-versions/get-download-uri", _get_download_uri, _R),
    Route("POST", "mlflow/model-versions/set-tag", _set_version_tag, _W),
    Route("DELETE", "mlflow/model-versions/delete-tag", _delete_version_tag, _W),
)
"""The methods, by their paths below `/api/2.0/`."""
