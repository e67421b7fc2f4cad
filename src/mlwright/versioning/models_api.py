"""Doors: the operations on models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from mlwright.kernel.edges import End
from mlwright.kernel.pages import Limit, Page
from mlwright.kernel.plan import Plan
from mlwright.server.operations import operation
from mlwright.server.permissions import Permission
from mlwright.versioning.cards import CardChange
from mlwright.versioning.models import ModelDetail
from mlwright.versioning.versions import Version
from mlwright.workflow.model_compare import ModelComparison

if TYPE_CHECKING:
    from mlwright.app import Project


class ListedModel(Struct, frozen=True):
    """A version of a model in a list.

    Args:
        aliases: that point at it.
        moving: every alias of its name, and the number that it points at.
    """

    version: Version
    aliases: tuple[str, ...]
    moving: dict[str, int]


class ModelCard(Struct, frozen=True):
    """A card, in Markdown, and who has written it when and why."""

    card: str
    history: Sequence[CardChange]


class ShownModel(Struct, frozen=True):
    """A version, what stands behind it, and the history of its card."""

    detail: ModelDetail
    card: Sequence[CardChange]


@operation("GET", "/models", Permission.READ)
def list_models(
    project: Project, *, name: str = "", newest: bool = False, limit: Limit = 100, token: str = ""
) -> Page[ListedModel]:
    """The newest version of each model, or every version of one.

    Args:
        name: of the model.
        newest: what was made last first; otherwise by name.
        limit: at most so many on a page.
        token: of the page before; empty for the first.

    Raises:
        NotFound: there is no such model.
        Invalid: the token belongs to another search.
    """
    versions = project.models.versions
    page = versions.page(name, newest=newest, limit=limit, token=token)
    moving = {
        each: {alias: target.number for alias, target in versions.aliases(each).items()}
        for each in dict.fromkeys(version.name for version in page.found)
    }
    listed = [
        ListedModel(
            version,
            tuple(alias for alias, number in moving[version.name].items() if number == version.number),
            moving[version.name],
        )
        for version in page.found
    ]
    return Page(listed, page.token)


@operation("GET", "/models/{reference}", Permission.READ)
def show_model(project: Project, reference: str) -> ShownModel:
    """One version: metrics, signature, what it was made from, and where aliases have pointed.

    Args:
        reference: `diagnosis`, `diagnosis@3` or `diagnosis@champion`.

    Raises:
        NotFound: there is no such version.
    """
    detail = project.models.detail(reference)
    behind = {"snapshot": detail.code, "lock": detail.environment, "run": detail.run}
    labels = {kind: project.lineage.label(End(kind, each)) for kind, each in behind.items() if each}
    history = project.models.card_history(detail.version.reference)
    return ShownModel(replace(detail, labels=labels), history)


@operation("GET", "/models/{first}/compare/{second}", Permission.READ)
def compare_models(project: Project, first: str, second: str) -> ModelComparison:
    """Two versions side by side: metrics, parameters, data, code, packages, signature.

    Args:
        first: one of them.
        second: the other.

    Raises:
        NotFound: one is not there.
        Invalid: they are one version.
    """
    return project.models.compare(first, second)


@operation("GET", "/models/{reference}/card", Permission.READ)
def model_card(project: Project, reference: str, *, written: bool = True) -> ModelCard:
    """The model card, in Markdown: as it was last written, else as the records have it.

    Args:
        reference: the version.
        written: false for what the records have, whatever was written.

    Raises:
        NotFound: there is no such version.
    """
    return ModelCard(project.models.card(reference, written=written), project.models.card_history(reference))


@operation("PUT", "/models/{reference}/card", Permission.WRITE)
def write_model_card(
    project: Project, reference: str, text: str, *, reason: str = "", dry_run: bool = False
) -> Plan:
    """Write the card of a version anew: the texts before stay, with who, when and why.

    Args:
        reference: the version.
        text: Markdown, at most 1 MiB.
        reason: why.
        dry_run: only tell what would change.

    Raises:
        NotFound: there is no such version.
        Invalid: the text cannot be a card.
    """
    if dry_run:
        return project.models.plan_write_card(reference, text)
    return project.models.write_card(reference, text, reason=reason)


@operation("PUT", "/models/{reference}/aliases/{alias}", Permission.DEPLOY)
def alias_model(
    project: Project, reference: str, alias: str, *, reason: str = "", dry_run: bool = False
) -> Plan:
    """Point an alias at a version of a model; the move is kept with who, when, from, to and why.

    Args:
        reference: the version.
        alias: the name that moves.
        reason: why.
        dry_run: only tell what would change.

    Raises:
        NotFound: there is no such version.
        Invalid: the alias cannot be one.
    """
    versions = project.models.versions
    if dry_run:
        return versions.plan_alias(reference, alias)
    return versions.set_alias(reference, alias, reason=reason)


@operation("DELETE", "/models/{reference}/aliases/{alias}", Permission.DEPLOY)
def unalias_model(
    project: Project, reference: str, alias: str, *, reason: str = "", dry_run: bool = False
) -> Plan:
    """Take an alias of a model away; its history stays.

    Args:
        reference: the name of the model.
        alias: which.
        reason: why.
        dry_run: only tell what would change.

    Raises:
        NotFound: there is no such alias.
    """
    versions = project.models.versions
    if dry_run:
        return versions.plan_alias_removal(reference, alias)
    return versions.remove_alias(reference, alias, reason=reason)


@operation("DELETE", "/models", Permission.DEPLOY)
def remove_models(
    project: Project,
    references: Annotated[tuple[str, ...], Meta(min_length=1)],
    *,
    every: bool = False,
    reason: str = "",
    dry_run: bool = False,
) -> Plan:
    """Take versions away that no alias, deployment or gate refers to: all that are named, or none.

    Args:
        references: each to one version; with `every`, names.
        every: take all versions of the names away.
        reason: why.
        dry_run: only tell what would go.

    Raises:
        NotFound: one of them is not there.
        Conflict: something refers to one.
    """
    if dry_run:
        return project.models.plan_remove(*references, every=every)
    return project.models.remove(*references, every=every, reason=reason)


OPERATIONS = (
    list_models,
    show_model,
    compare_models,
    model_card,
    write_model_card,
    alias_model,
    unalias_model,
    remove_models,
)
"""All of them."""
