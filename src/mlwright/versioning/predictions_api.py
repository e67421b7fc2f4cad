"""Doors: the operations on recorded predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlwright.kernel.pages import Limit, Page
from mlwright.kernel.plan import Plan
from mlwright.server.operations import operation
from mlwright.server.permissions import Permission
from mlwright.versioning.predictions import PredictionRecord

if TYPE_CHECKING:
    from mlwright.app import Project


@operation("GET", "/predictions", Permission.READ)
def list_predictions(
    project: Project, *, model: str = "", limit: Limit = 20, token: str = ""
) -> Page[PredictionRecord]:
    """A sample of what models have answered, the newest first.

    Args:
        model: a model, or one of its versions; without, all.
        limit: at most so many on a page.
        token: of the page before; empty for the first.

    Raises:
        NotFound: there is no such model.
        Invalid: the token belongs to another search.
    """
    return project.predictions.page(model, limit=limit, token=token)


@operation("GET", "/predictions/{prediction}", Permission.READ)
def show_prediction(project: Project, prediction: str) -> PredictionRecord:
    """What was kept of one prediction.

    Args:
        prediction: its id, as it stands in the answer.

    Raises:
        NotFound: it is not in the sample.
    """
    return project.predictions.find(prediction)


@operation("DELETE", "/predictions", Permission.DEPLOY)
def remove_predictions(project: Project, *, before: str, model: str = "", dry_run: bool = False) -> Plan:
    """Take recorded predictions away; their bytes go when garbage is collected.

    Args:
        before: when the newest of them were given: `30d` ago, `2026-11-20`.
        model: a model, or one of its versions; without, all.
        dry_run: only tell what would go.

    Raises:
        NotFound: there is no such model.
        Invalid: the time cannot be read.
    """
    if dry_run:
        return project.predictions.plan_removal(model, before=before)
    return project.predictions.remove(model, before=before)


OPERATIONS = (list_predictions, show_prediction, remove_predictions)
