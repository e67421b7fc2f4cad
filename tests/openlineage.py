"""A judge of OpenLineage events: the classes of its own client, generated from the published schemas."""

from __future__ import annotations

import importlib
import json
import math
import pkgutil
import types
import typing
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import attr
import jsonschema
from jsonschema.exceptions import FormatError
from openlineage.client import generated
from openlineage.client.generated.base import BaseFacet, RunEvent

FORMATS = {"urlparse": "uri", "isoparse": "date-time", "UUID": "uuid"}
"""By what the client's own check of a field calls: the format that the schema gives the field.

Its check of an address takes any text, so that only the name of the format is taken from it."""
CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER
OURS = json.loads((Path(__file__).parents[1] / "docs" / "openlineage-facets.json").read_text())
KEYS = {
    "ParentRunFacet": "parent",
    "ErrorMessageRunFacet": "errorMessage",
    "ProcessingEngineRunFacet": "processing_engine",
    "ExecutionParametersRunFacet": "executionParameters",
    "TagsRunFacet": "tags",
    "JobTypeJobFacet": "jobType",
    "SourceCodeLocationJobFacet": "sourceCodeLocation",
    "SchemaDatasetFacet": "schema",
    "DatasetVersionDatasetFacet": "version",
    "DatasourceDatasetFacet": "dataSource",
    "DatasetTypeDatasetFacet": "datasetType",
    "SymlinksDatasetFacet": "symlinks",
    "DataQualityMetricsInputDatasetFacet": "dataQualityMetrics",
    "InputStatisticsInputDatasetFacet": "inputStatistics",
    "OutputStatisticsOutputDatasetFacet": "outputStatistics",
    "MlwrightRunFacet": "mlwright_run",
    "MlwrightEnvironmentRunFacet": "mlwright_environment",
    "MlwrightStepRunFacet": "mlwright_step",
    "MlwrightCodeJobFacet": "mlwright_code",
}
"""Under which name the specification has each facet."""


class Unlike(AssertionError):
    """An event is not as the specification wants it; the message says where."""


def judge(event: dict[str, Any]) -> None:
    """Hold an event against the specification: every field, every facet, in the versions that it names."""
    if event.get("schemaURL") != RunEvent._get_schema():
        raise Unlike(f"schemaURL: {event.get('schemaURL')}")
    if unchecked := set(FORMATS.values()) - set(CHECKER.checkers):
        raise Unlike(f"nothing here knows the formats {unchecked}")
    _object({name: value for name, value in event.items() if name != "schemaURL"}, RunEvent, "event")


@cache
def _facets() -> dict[str, type]:
    """The client's facets by the address of their schema, which has their version."""
    found = {}
    for module in pkgutil.iter_modules(generated.__path__):
        for kind in vars(importlib.import_module(f"{generated.__name__}.{module.name}")).values():
            if isinstance(kind, type) and issubclass(kind, BaseFacet):
                found[kind._get_schema()] = kind
    return found


def _object(value: Any, kind: type, where: str) -> None:
    if not isinstance(value, dict):
        raise Unlike(f"{where}: {value!r} is no object")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in attr.fields(kind)}
    base = {field.name for field in attr.fields(BaseFacet)} if issubclass(kind, BaseFacet) else set()
    for name in base - set(value):
        raise Unlike(f"{where}: there is no {name}")
    for name, field in fields.items():
        if name not in value:
            if field.default is attr.NOTHING or name in {"eventTime", "producer"}:
                raise Unlike(f"{where}: there is no {name}")
            continue
        _value(value[name], hints[name], f"{where}.{name}")
        if field.validator is not None:
            _format(value[name], field.validator, f"{where}.{name}")
    if unknown := set(value) - set(fields):
        raise Unlike(f"{where}: the specification has no {unknown}")


def _format(value: Any, validator: Any, where: str) -> None:
    (form,) = {FORMATS[name] for name in validator.__code__.co_names if name in FORMATS}
    try:
        CHECKER.check(value, form)
    except FormatError as error:
        raise Unlike(f"{where}: {value!r} is no {form}") from error


def _value(value: Any, hint: Any, where: str) -> None:
    """A value of a type as the client writes it."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in {types.UnionType, typing.Union}:
        kinds = [each for each in inner if each is not type(None)]
        if value is None:
            raise Unlike(f"{where}: what is not known is left out, and not null")
        _value(value, kinds[0], where)
    elif origin is list:
        if not isinstance(value, list):
            raise Unlike(f"{where}: {value!r} is no list")
        for place, each in enumerate(value):
            _value(each, inner[0], f"{where}[{place}]")
    elif origin is dict:
        if not isinstance(value, dict):
            raise Unlike(f"{where}: {value!r} is no object")
        for name, each in value.items():
            known = isinstance(inner[1], type) and issubclass(inner[1], BaseFacet)
            (_facet if known else _value)(each, inner[1], f"{where}.{name}")
    elif isinstance(hint, type) and attr.has(hint):
        _object(value, hint, where)
    elif hint is float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise Unlike(f"{where}: {value!r} is no number")
    elif hint is str and issubclass(type(value), str):
        return
    elif isinstance(hint, type) and issubclass(hint, Enum):
        if value not in [each.value for each in hint]:
            raise Unlike(f"{where}: {value!r} is no {hint}")
    elif type(value) is not hint:
        raise Unlike(f"{where}: {value!r} is no {hint}")


def _facet(value: Any, family: type, where: str) -> None:
    """A facet is what its address says, of the family that belongs there, under its own name."""
    address = value.get("_schemaURL") if isinstance(value, dict) else None
    if not isinstance(address, str):
        raise Unlike(f"{where}: no _schemaURL says what it is")
    name = address.rpartition("/")[2]
    if KEYS.get(name) != where.rpartition(".")[2]:
        raise Unlike(f"{where}: {name} is called {KEYS.get(name)}")
    if address == f"{OURS['$id']}#/$defs/{name}":
        try:
            jsonschema.validate(value, OURS | {"$ref": f"#/$defs/{name}"}, format_checker=CHECKER)
        except jsonschema.ValidationError as error:
            raise Unlike(f"{where}: {error.message}") from error
        return
    kind = _facets().get(address)
    if kind is None or not issubclass(kind, family):
        raise Unlike(f"{where}: {address} is no {family.__name__} of the specification")
    _object(value, kind, where)
