"""`runs why`: what differs from the closest earlier success, in words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlwright.app import Project
from mlwright.kernel.errors import NotFound
from mlwright.workflow import Request
from mlwright.workflow.why import why
from tests.conftest import mlwright

Opener = Callable[[dict[str, str]], Project]

FILES = {
    "pipelines/p.py": """
        from mlwright import Dataset, pipeline, step
        from features import clean

        @step
        def read(data: Dataset) -> str:
            return data.open().read().decode()

        @step
        def shout(text: str, times: int) -> str:
            return clean(text) * times

        @pipeline
        def loud(data: Dataset = Dataset("notes@latest"), times: int = 1):
            shout(read(data), times)
    """,
    "features.py": "def clean(text):\n    return text.strip()\n",
}


def prepared(opened: Opener) -> Project:
    project = opened(FILES)
    (project.root / "note.txt").write_text("hello")
    project.datasets.add(project.root / "note.txt", "notes")
    project.run("loud")
    return project


def differences(project: Project, step: str) -> list[str]:
    return [each.text for each in why(project.rooms, "latest", step).differences]


def test_a_changed_helper_is_named_with_its_file_and_line_and_shown(opened: Opener) -> None:
    """The function that changed is found in another module than the step's."""
    project = prepared(opened)
    (project.root / "features.py").write_text("import os\n\ndef clean(text):\n    return text.upper()\n")

    project.run("loud")

    (difference,) = why(project.rooms, "latest", "shout").differences
    assert difference.text == "`clean` in features.py (line 3) changed"
    assert "-    return text.strip()" in difference.diff and "+    return text.upper()" in difference.diff


def test_an_import_is_new_or_from_elsewhere(opened: Opener) -> None:
    """What a name is imported from counts, and is told by what became of it."""
    project = prepared(opened)
    told = []
    for line in ("from os.path import join", "from posixpath import join"):
        body = "\n\ndef clean(text):\n    return join(text.strip())\n"
        (project.root / "features.py").write_text(line + body)
        project.run("loud", times=len(told) + 5)
        told.append([each for each in differences(project, "shout") if "imported" in each])

    assert told == [
        ["`join` in features is imported now"],
        ["`join` in features is imported from elsewhere"],
    ]


def test_an_import_that_is_gone_is_told(opened: Opener) -> None:
    """A step that no longer uses a name."""
    project = opened(FILES)
    (project.root / "note.txt").write_text("hello")
    project.datasets.add(project.root / "note.txt", "notes")
    (project.root / "features.py").write_text("import os\n\ndef clean(text):\n    return os.fspath(text)\n")
    project.run("loud")
    (project.root / "features.py").write_text("def clean(text):\n    return text.strip()\n")
    project.run("loud")

    assert "`os` in features is imported no more" in differences(project, "shout")


def test_a_changed_argument_is_told_by_its_two_values(opened: Opener) -> None:
    """A parameter is named with what it was and what it is."""
    project = prepared(opened)

    project.run("loud", times=3)

    assert differences(project, "shout") == ["argument `times` 1 -> 3"]


def test_a_new_version_of_a_dataset_is_told_by_its_number(opened: Opener) -> None:
    """The step that reads it names the versions, the step behind it the bytes."""
    project = prepared(opened)
    (project.root / "note.txt").write_text("good-bye")
    project.datasets.add(project.root / "note.txt", "notes")

    project.run("loud")

    assert differences(project, "read") == ["input `data` differs: dataset notes@1 -> notes@2"]
    assert differences(project, "shout")[0].startswith("input `text` differs: b3:")


def test_another_seed_is_told(opened: Opener) -> None:
    """The seed counts, and is named."""
    project = prepared(opened)

    project.run("loud", seed=7)

    assert differences(project, "shout") == ["the run's seed 0 -> 7"]


def test_a_reused_step_names_the_run_it_ran_in(opened: Opener) -> None:
    """Reuse has a source, and nothing that differs."""
    project = prepared(opened)
    first = project.runs.list()[0]

    project.run("loud")

    told = why(project.rooms, "latest", "shout")
    assert told.summary.startswith("reused") and first.id[:10] in told.summary
    assert told.differences == ()


def test_the_first_success_of_a_step_says_so(opened: Opener) -> None:
    """With nothing to compare with, that is the reason."""
    project = prepared(opened)

    assert why(project.rooms, "latest", "shout").summary == "ran: this step has not succeeded before"


def test_the_plan_says_before_what_will_have_differed(opened: Opener) -> None:
    """In the words that `runs why` has afterwards; the version of a dataset is told too."""
    project = prepared(opened)
    (project.root / "note.txt").write_text("good-bye")
    project.datasets.add(project.root / "note.txt", "notes")
    (project.root / "features.py").write_text("def clean(text):\n    return text.upper()\n")

    new, old = (
        {
            each.subject: (each.action, each.why)
            for each in project.pipelines.plan(Request("loud", given)).changes
        }
        for given in ({"times": 2}, {"times": 2, "data": "notes@1"})
    )
    project.run("loud", times=2, data="notes@1")
    shout = differences(project, "shout")
    project.run("loud", times=2)
    read = differences(project, "read")

    assert new == {"read": ("run", read[0]), "shout": ("wait", "for read")}
    assert old["read"][0] == "reuse"
    assert old["shout"] == ("run", "; ".join(shout))
    assert len(shout) == 2


def test_a_step_that_stands_elsewhere_in_the_pipeline_is_told_by_its_names(opened: Opener) -> None:
    """Its name decides what it draws, so it is not the same work."""
    project = prepared(opened)
    text = (project.root / "pipelines/p.py").read_text()
    (project.root / "pipelines/p.py").write_text(
        text.replace("shout(read(data), times)", "shout('x', 1); shout(read(data), times)")
    )

    project.run("loud")

    assert differences(project, "shout-2") == ["the step is called `shout-2` here, and was `shout`"]


MAPPED = {
    "pipelines/p.py": """
        from mlwright import pipeline, step

        @step
        def fit(size: int, plus: int = 0) -> int:
            return size + plus

        @pipeline
        def fits(sizes: list[int], plus: int = 0):
            fit.map(sizes, plus=plus)
    """
}


def test_a_mapped_step_is_explained_by_the_first_element_that_ran(opened: Opener) -> None:
    """How many were reused and ran is told; each is compared with the success of the same index."""
    project = opened(MAPPED)
    project.run("fits", sizes=[1, 2, 3])
    project.run("fits", sizes=[1, 5, 6])

    told = why(project.rooms, "latest", "fit")

    assert told.elements == {"reused": 1, "ran": 2}
    assert told.attempt.node == "fit[1]"
    assert [each.text for each in told.differences] == ["argument `size` 2 -> 5"]
    assert told.others == ()
    assert differences(project, "fit[2]") == ["argument `size` 3 -> 6"]


def test_one_element_is_not_several(opened: Opener) -> None:
    """A list that grew from one element says so."""
    project = opened(
        {
            "pipelines/p.py": MAPPED["pipelines/p.py"]
            .replace("fit.map(", "total(fit.map(")
            .replace("plus=plus)\n", "plus=plus))\n")
            + """
        @step
        def total(parts: list[int]) -> int:
            return sum(parts)
"""
        }
    )
    project.run("fits", sizes=[1])
    with pytest.raises(NotFound, match=r"has 1 element: there is no `fit\[1\]`"):
        why(project.rooms, "latest", "fit[1]")

    project.run("fits", sizes=[1, 2])

    assert differences(project, "total") == ["input `parts` differs: 1 element -> 2 elements"]


def test_elements_that_ran_for_another_reason_are_named(opened: Opener) -> None:
    """Those with the same reason stand together, told by their first."""
    project = opened(MAPPED)
    project.run("fits", sizes=[1, 2, 3, 4])
    project.run("fits", sizes=[1, 7, 8, 9], plus=1)

    told = why(project.rooms, "latest", "fit")

    assert told.elements == {"ran": 4}
    assert [each.text for each in told.differences] == ["argument `plus` 0 -> 1"]
    (others,) = told.others
    assert others.nodes == ("fit[1]", "fit[2]", "fit[3]")
    assert others.text == "argument `plus` 0 -> 1; argument `size` 2 -> 7"


def test_the_command_explains_a_mapped_step(opened: Opener) -> None:
    """A line for the step, one for the element, one for the others; an element that is not there is told."""
    project = opened(MAPPED)
    project.run("fits", sizes=[1, 2, 3, 4])
    project.run("fits", sizes=[1, 2, 8, 9, 3], plus=0)

    told = mlwright("runs", "why", "latest", "fit", cwd=project.root)
    missing = mlwright("runs", "why", "latest", "fit[9]", cwd=project.root)

    lines = told.stdout.splitlines()
    assert lines[0] == "fit: 2 reused, 3 ran"
    assert lines[1].startswith("fit[2]: ran: this differs from run ")
    assert lines[2] == "  argument `size` 3 -> 8"
    assert lines[3:] == ["fit[4]: the map index 2 -> 4"]
    assert "has 5 elements: there is no `fit[9]`" in missing.stderr
