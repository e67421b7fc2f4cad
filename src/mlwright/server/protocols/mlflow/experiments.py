"""MLflow's methods for experiments."""

from __future__ import annotations

from typing import Any

from mlwright.kernel.database import Source
from mlwright.kernel.errors import Busy, Conflict
from mlwright.server.call import Call, Encoded
from mlwright.server.permissions import Permission
from mlwright.server.protocols.mlflow import limits, told
from mlwright.server.protocols.mlflow.errors import TAKEN, Refused, invalid
from mlwright.server.protocols.mlflow.pages import in_blocks, told_page
from mlwright.server.protocols.mlflow.wire import EMPTY, Int64, Message, Tag, message
from mlwright.server.routes import Route
from mlwright.tracking.search import Search, search_experiments, tagged


class _Asked(Message):
    experiment_id: str | None = None


class _Named(Message):
    experiment_name: str | None = None


class _Create(Message):
    name: str | None = None
    artifact_location: str | None = None
    tags: list[Tag] | None = None


class _Update(_Asked):
    new_name: str | None = None


class _Tagged(_Asked):
    key: str | None = None
    value: str | None = None


class _Search(Message):
    view_type: limits.View | None = None
    max_results: Int64 | None = None
    order_by: list[str] | None = None
    filter: str | None = None
    page_token: str | None = None


async def _create(call: Call) -> Any:
    """Make an experiment."""
    asked = await message(call, _Create, "name")
    name = limits.value(asked.name, "name", limits.EXPERIMENT_NAME_LENGTH)
    if asked.artifact_location:
        raise invalid(
            "Invalid value for parameter 'artifact_location' supplied: this server keeps artifacts itself,"
            " at a place of its own"
        )
    tags = dict(_tag(tag.key, tag.value) for tag in asked.tags or ())
    experiments = call.tracker.experiments
    try:
        made = await call.write(lambda tx: experiments.create(tx, name, tags))
    except Busy:
        raise
    except Conflict as error:
        raise Refused(400, TAKEN, error.message) from None
    return {"experiment_id": str(made.id)}


async def _get(call: Call) -> Any:
    """Tell an experiment by its id, deleted or not."""
    asked = await message(call, _Asked, "experiment_id")
    found = await call.read(call.tracker.experiments.get, limits.experiment(asked.experiment_id))
    return {"experiment": told.experiment(found)}


async def _get_by_name(call: Call) -> Any:
    """Tell an experiment by its name, deleted or not."""
    asked = await message(call, _Named, "experiment_name")
    found = await call.read(call.tracker.experiments.named, asked.experiment_name or "")
    return {"experiment": told.experiment(found)}


async def _search(call: Call) -> Any:
    """Search experiments, page by page."""
    asked = await message(call, _Search)
    wanted = Search(
        filter=asked.filter or "",
        order_by=tuple(asked.order_by or ()),
        view=limits.view(asked.view_type),
        limit=limits.results(asked.max_results),
        token=asked.page_token or "",
    )
    return await call.told(_found, wanted)


def _found(source: Source, wanted: Search) -> Encoded:
    page = search_experiments(source, wanted)
    found = in_blocks(page.found, lambda some: map(told.experiment, tagged(source, some)))
    return told_page("experiments", page, found)


async def _update(call: Call) -> Any:
    """Give an experiment another name."""
    asked = await message(call, _Update, "experiment_id", "new_name")
    name = limits.value(asked.new_name, "name", limits.EXPERIMENT_NAME_LENGTH)
    experiments, identity = call.tracker.experiments, limits.experiment(asked.experiment_id)
    await call.write(lambda tx: experiments.rename(tx, identity, name))
    return EMPTY


async def _delete(call: Call) -> Any:
    """Delete an experiment with its runs."""
    asked = await message(call, _Asked, "experiment_id")
    experiments, identity = call.tracker.experiments, limits.experiment(asked.experiment_id)
    await call.write(lambda tx: experiments.delete(tx, identity))
    return EMPTY


async def _restore(call: Call) -> Any:
    """Bring a deleted experiment back, with its runs."""
    asked = await message(call, _Asked, "experiment_id")
    experiments, identity = call.tracker.experiments, limits.experiment(asked.experiment_id)
    await call.write(lambda tx: experiments.restore(tx, identity))
    return EMPTY


async def _set_tag(call: Call) -> Any:
    """Give an experiment a tag."""
    asked = await message(call, _Tagged, "experiment_id", "key")
    experiments, identity = call.tracker.experiments, limits.experiment(asked.experiment_id)
    key, value = _tag(asked.key, asked.value)
    await call.write(lambda tx: experiments.set_tag(tx, identity, key, value))
    return EMPTY


async def _delete_tag(call: Call) -> Any:
    """Take a tag from an experiment."""
    asked = await message(call, _Tagged, "experiment_id", "key")
    experiments, identity = call.tracker.experiments, limits.experiment(asked.experiment_id)
    key = asked.key or ""
    await call.write(lambda tx: experiments.remove_tag(tx, identity, key))
    return EMPTY


def _tag(key: str | None, value: str | None) -> tuple[str, str]:
    return limits.name(key or "", "key"), limits.value(value, "value", limits.EXPERIMENT_TAG_LENGTH)


_R, _W = Permission.READ, Permission.WRITE
ROUTES = (
    Route("POST", "mlflow/experiments/create", _create, _W),
    Route("GET", "mlflow/experiments/get", _get, _R),
    Route("GET", "mlflow/experiments/get-by-name", _get_by_name, _R),
    Route("GET", "mlflow/experiments/search", _search, _R),
    Route("POST", "mlflow/experiments/search", _search, _R),
    Route("POST", "mlflow/experiments/update", _update, _W),
    Route("POST", "mlflow/experiments/delete", _delete, _W),
    Route("POST", "mlflow/experiments/restore", _restore, _W),
    Route("POST", "mlflow/experiments/set-experiment-tag", _set_tag, _W),
    Route("POST", "mlflow/experiments/delete-experiment-tag", _delete_tag, _W),
)
"""The methods, by their paths below `/api/2.0/`."""
