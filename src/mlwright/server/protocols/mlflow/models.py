"""Registered models and their versions in MLflow's words, and what its protocol allows of them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence

from mlwright.server.protocols.mlflow import limits
from mlwright.server.protocols.mlflow.errors import Refused, invalid, invalid_value, missing_value
from mlwright.server.protocols.mlflow.wire import Message, Tag
from mlwright.tracking.texts import held
from mlwright.versioning.registered import RegisteredModel
from mlwright.versioning.reported import ReportedVersion

PLACE = "models"
"""Below it lie the files of each version, by its id; clients may read them."""
TAG_LENGTH = 100_000
DESCRIPTION_LENGTH = 100_000
PROMPT = "mlflow.prompt.is_prompt"
"""The tag by which clients register prompts, which are none of ours."""
_ALIAS_LENGTH = 255


class VersionMessage(Message):
    """A version as it is told."""

    name: str
    version: str
    creation_timestamp: int
    last_updated_timestamp: int
    current_stage: str
    source: str
    run_id: str
    status: str
    run_link: str
    description: str | None = None
    tags: list[Tag] | None = None
    aliases: list[str] | None = None


class AliasMessage(Message):
    """An alias, and the number of the version that it means."""

    alias: str
    version: str


class ModelMessage(Message):
    """A registered model as it is told."""

    name: str
    creation_timestamp: int
    last_updated_timestamp: int
    description: str | None = None
    latest_versions: list[VersionMessage] | None = None
    tags: list[Tag] | None = None
    aliases: list[AliasMessage] | None = None


def version(found: ReportedVersion, *, aliases: bool = True) -> VersionMessage:
    """A version in MLflow's words.

    Args:
        aliases: whether they are told with it: not of one of many.
    """
    return VersionMessage(
        name=found.name,
        version=str(found.number),
        creation_timestamp=found.created_us // 1000,
        last_updated_timestamp=found.updated_us // 1000,
        current_stage=found.stage,
        description=found.description,
        source=found.source or place(found),
        run_id=found.run_id,
        status="READY",
        run_link=found.run_link,
        tags=_pairs(found.tags.items()),
        aliases=list(found.aliases) if aliases and found.aliases else None,
    )


def model(found: RegisteredModel, latest: Sequence[ReportedVersion]) -> ModelMessage:
    """A registered model in MLflow's words.

    Args:
        latest: the newest version in each stage.
    """
    aliases = [AliasMessage(alias=alias, version=str(number)) for alias, number in found.aliases.items()]
    return ModelMessage(
        name=found.name,
        creation_timestamp=found.created_us // 1000,
        last_updated_timestamp=found.updated_us // 1000,
        description=found.description or None,
        latest_versions=[version(each, aliases=False) for each in latest] or None,
        tags=_pairs(found.tags.items()),
        aliases=aliases or None,
    )


def place(found: ReportedVersion) -> str:
    """Where a client finds the files of a version."""
    return f"mlflow-artifacts:/{PLACE}/{found.id}"


def download(found: ReportedVersion) -> str:
    """Where a client finds the files of a version, or may find them: of one that had none, at its source."""
    copied = found.source.startswith("models:/") and "/" in found.source.removeprefix("models:/")
    return place(found) if found.size_bytes or copied else found.source


def name_of(given: str | None, path: str = "name") -> str:
    """The name of a model, as a request must have it.

    Raises:
        Refused: it cannot be one.
    """
    if given is None or not given.strip():
        raise missing_value(path)
    if "/" in given or ":" in given:
        raise invalid(f"Invalid model name {given[:100]!r}. Names cannot contain '/' or ':'.")
    plain = posixpath.normpath(given)
    if plain != given or plain in {".", ".."}:
        raise invalid_value(path, given, f"as a path it would be {plain!r}")
    return held(given, "the name of a model")


def number_of(given: str | None) -> int:
    """The number of a version, as a request must have it.

    Raises:
        Refused: it is none.
    """
    if not given:
        raise missing_value("version")
    if not given.isdecimal() or not given.isascii() or len(given) > 18:
        raise invalid(f"Parameter 'version' must be an integer, got {given[:100]!r}.")
    return int(given)


def alias_of(given: str | None) -> str:
    """The alias that a request speaks of.

    Raises:
        Refused: there is none, or it is too long.
    """
    if not given:
        raise missing_value("alias")
    return limits.value(given, "Registered model alias name", _ALIAS_LENGTH)


def new_alias(given: str | None) -> str:
    """An alias that a request sets; whether it can be one, the registry knows.

    Raises:
        Refused: MLflow keeps it for itself.
    """
    alias = alias_of(given)
    if alias.lower() == "latest":
        raise invalid("'latest' alias name (case insensitive) is reserved.")
    if alias[0] in "vV" and alias[1:].isdecimal():
        raise invalid(f"Version alias name {alias!r} is reserved.")
    return alias


def description_of(given: str | None) -> str:
    """What a client says of a model or a version.

    Raises:
        Refused: it is too long.
    """
    return held(limits.value(given, "description", DESCRIPTION_LENGTH), "a description")


def tag_of(key: str | None, value: str | None) -> tuple[str, str]:
    """A tag of a model or a version.

    Raises:
        Refused: there is no key, it is not allowed, or the value is too long.
    """
    if not key:
        raise missing_value("key")
    return limits.name(key), held(limits.value(value, "value", TAG_LENGTH), f"the value of tag {key!r}")


def tags_of(given: Iterable[Tag] | None) -> dict[str, str]:
    """The tags that something is registered with; of a key that comes twice, the last counts.

    Raises:
        Refused: one of them is not allowed; or what is registered is a prompt.
    """
    tags = dict(tag_of(each.key, each.value) for each in given or ())
    if tags.get(PROMPT, "").lower() == "true":
        raise Refused(501, "NOT_IMPLEMENTED", "prompts are not registered here")
    return tags


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[Tag] | None:
    return [Tag(key=key, value=value) for key, value in pairs] or None
