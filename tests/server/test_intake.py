"""Messages are taken in by bounded lists, and by either spelling of a name."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from mlwright.server.protocols.mlflow.errors import Refused
from mlwright.server.protocols.mlflow.intake import MOST_ITEMS, intake_of
from mlwright.server.protocols.mlflow.wire import Message, Tag


class Part(Message):
    part_number: int | None = None
    tags: Annotated[list[Tag], Meta(max_length=2)] | None = None


class Whole(Message):
    run_id: str | None = None
    stages: list[str] | None = None
    all_parts: Annotated[list[Part], Meta(max_length=3)] | None = None
    first_part: Part | None = None
    tags: list[Tag] | None = None


def taken(body: Any) -> Whole:
    found: Whole = intake_of(Whole).decode(msgspec.json.encode(body))
    return found


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_list_up_to_its_limit_is_taken(count: int) -> None:
    """Every item comes in its order, as the kind of message that the field is of."""
    found = taken({"all_parts": [{"part_number": number} for number in range(count)]})

    assert found.all_parts is not None
    assert [each.part_number for each in found.all_parts] == list(range(count))
    assert all(isinstance(each, Part) for each in found.all_parts)


@pytest.mark.parametrize(
    ("body", "field", "most"),
    [
        ({"all_parts": [{}] * 4}, "all_parts", 3),
        ({"allParts": [{}] * 4}, "allParts", 3),
        ({"all_parts": [{}, {"tags": [{}] * 3}]}, "all_parts[1].tags", 2),
        ({"first_part": {"tags": [{}] * 3}}, "first_part.tags", 2),
        ({"tags": [{}] * (MOST_ITEMS + 1)}, "tags", MOST_ITEMS),
        *(({"all_parts": [{}, {}, {}, odd]}, "all_parts", 3) for odd in (None, 1, 0, "1", "", [], True, 1.5)),
    ],
)
def test_one_item_more_is_refused_by_name(body: Any, field: str, most: int) -> None:
    """Whatever the item is, the list and its limit are told."""
    with pytest.raises(Refused, match="items") as raised:
        taken(body)

    assert f"'{field}'" in raised.value.message
    assert f"more than {most} items" in raised.value.message


def test_a_list_of_texts_is_bounded_too() -> None:
    """One text more than a list may have is a mismatch."""
    assert taken({"stages": ["a"] * MOST_ITEMS}).stages == ["a"] * MOST_ITEMS
    with pytest.raises(msgspec.ValidationError, match="stages"):
        taken({"stages": ["a"] * (MOST_ITEMS + 1)})


def test_names_are_taken_in_either_spelling_at_every_depth() -> None:
    """Both spellings may stand in one message, of different names."""
    found = taken(
        {"runId": "r", "all_parts": [{"partNumber": 1}, {"part_number": 2}], "firstPart": {"partNumber": 3}}
    )

    assert found.run_id == "r"
    assert [each.part_number for each in found.all_parts or ()] == [1, 2]
    assert found.first_part is not None
    assert found.first_part.part_number == 3


@pytest.mark.parametrize(
    "body",
    [
        {"runId": "a", "run_id": "b"},
        {"all_parts": [], "allParts": []},
        {"allParts": [{"partNumber": 1, "part_number": 1}]},
        {"first_part": {"partNumber": 1, "part_number": 1}},
    ],
)
def test_a_name_in_both_spellings_is_refused(body: Any) -> None:
    """Which of the two would count, nobody could know."""
    with pytest.raises(Refused, match="both"):
        taken(body)
