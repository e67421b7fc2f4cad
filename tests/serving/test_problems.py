"""Problem documents."""

from __future__ import annotations

import json

import pytest

from mlwright.serving.problems import MAX_FAULTS, Fault, Problem


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault("is missing", 3, "age"), "row 3: `age` is missing"),
        (Fault("must be an object", 0), "row 0 must be an object"),
        (Fault("must be a list", field="rows"), "`rows` must be a list"),
        (Fault("must be an object"), "the request must be an object"),
    ],
)
def test_a_fault_is_a_sentence(fault: Fault, sentence: str) -> None:
    """Wherever a fault lies, its sentence names the place first."""
    assert fault.sentence == sentence


def test_a_document_has_what_the_standard_asks_for() -> None:
    """Type, title, status and detail are there, and each error says its row, field and message."""
    problem = Problem(422, faults=[Fault("is missing", 0, "age"), Fault("must be a list", field="rows")])

    document = json.loads(problem.document())

    assert document == {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "row 0: `age` is missing (the first of 2 errors)",
        "errors": [
            {"row": 0, "field": "age", "message": "is missing"},
            {"field": "rows", "message": "must be a list"},
        ],
    }


def test_a_full_document_says_that_there_may_be_more() -> None:
    """When as many faults are named as one document holds, the detail does not claim that they are all."""
    problem = Problem(422, faults=[Fault("is missing", row, "age") for row in range(MAX_FAULTS)])

    assert problem.message.endswith("(the first of 20 or more errors)")
