"""Search: versions by their words, on both engines; whatever is typed is words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlwright.kernel.errors import Invalid
from mlwright.versioning import Datasets, Models
from mlwright.versioning.found import lexemes, marked, phrases, wanted
from mlwright.workspace import Workspace
from tests.conftest import write
from tests.versioning.conftest import PYPROJECT, SIGNATURE, digest, made


@pytest.fixture(params=["sqlite", "postgres"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of a project that keeps its records in a file, or in PostgreSQL."""
    setting = ""
    if request.param == "postgres":
        setting = f'database = "{request.getfixturevalue("postgres").make()}"\n'
    return write(tmp_path / "project", {"pyproject.toml": f"{PYPROJECT}{setting}"})


@pytest.fixture
def filled(workspace: Workspace, datasets: Datasets) -> Datasets:
    """Five versions whose words overlap."""
    told = [
        ("patients", "first export of the clinic", {"columns": ["age", "mean radius"]}),
        ("scans", "images of patients", {"columns": None}),
        ("wards", "", {"columns": ["patients", "beds"]}),
        ("visits", "", {"columns": ["when"], "tags": {"about": "patients", "source": "clinic-a"}}),
        ("doctors", "환자 기록", {"columns": []}),
    ]
    with workspace.database.transaction() as tx:
        for number, (name, message, about) in enumerate(told):
            artifact = made(tx, digest(f"{number:04}"))
            datasets.versions.add(tx, name, artifact.id, message=message, about=about)
    return datasets


def names(datasets: Datasets, words: str, limit: int = 20) -> list[str]:
    return [each.version.name for each in datasets.search(words, limit=limit)]


def test_a_name_counts_most_then_tags_columns_message(filled: Datasets) -> None:
    """The same word ranks by where it stands."""
    assert names(filled, "patients") == ["patients", "visits", "wards", "scans"]


def test_all_words_must_be_there_and_the_last_may_be_begun(filled: Datasets) -> None:
    """Words may stand in different fields; only the last may be the beginning of one."""
    assert names(filled, "clinic exp") == ["patients"]
    assert names(filled, "clin export") == []
    assert names(filled, "clinic beds") == []


def test_case_accents_and_other_scripts_do_not_matter(filled: Datasets) -> None:
    """Words are compared as people read them."""
    assert names(filled, "PATIENTS")[0] == "patients"
    assert names(filled, "rádius") == ["patients"]
    assert names(filled, "환자") == ["doctors"]


def test_a_tag_is_found_as_it_is_written(filled: Datasets) -> None:
    """`KEY=VALUE` finds the version with that tag; the piece says so."""
    (found,) = filled.search("source=clinic-a")

    assert found.version.name == "visits"
    assert found.why == {"tags": "about=patients, [source=clinic-a]"}


def test_why_names_each_field_with_the_words_in_brackets(filled: Datasets) -> None:
    """A reader sees where the words stand."""
    (found,) = filled.search("radius clinic")

    assert found.why == {"columns": "age, mean [radius]", "message": "first export of the [clinic]"}


def test_a_limit_keeps_the_best(filled: Datasets) -> None:
    """At most so many, best first; none below one."""
    assert names(filled, "patients", limit=2) == ["patients", "visits"]
    with pytest.raises(Invalid, match="limit"):
        filled.search("patients", limit=0)


@pytest.mark.parametrize("words", ["", "  ", '"', "* - ( )", "\0", "^"])
def test_where_there_is_no_word_that_is_said(words: str, filled: Datasets) -> None:
    """Signs alone ask for nothing."""
    with pytest.raises(Invalid, match="no word"):
        filled.search(words)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.text(alphabet=st.sampled_from("aN\"'*^()-+:{}.,;\\ \0\nORANDé환"), max_size=30))
def test_nothing_that_is_typed_is_an_operator(filled: Datasets, words: str) -> None:
    """Quotes, stars, colons, `NOT`, `OR`: an answer, or that there is no word; never an error of SQL."""
    try:
        filled.search(words)
    except Invalid as error:
        assert not any(map(str.isalnum, words)), error


def test_models_are_found_apart_by_what_they_take(
    filled: Datasets, models: Models, workspace: Workspace
) -> None:
    """A model is found by the columns of its signature, and a search for data does not find it."""
    from mlwright.versioning import search

    with workspace.database.transaction() as tx:
        artifact = made(tx, digest("ee"))
        about = {"metrics": {}, "parameters": {}, "signature": SIGNATURE}
        version = models.versions.add(tx, "diagnosis", artifact.id, message="", about=about)

    found = search.find(workspace.database, "model", "age", 5)

    assert [each.version_id for each in found] == [version.id]
    assert names(filled, "diagnosis") == []


def test_a_version_that_was_not_recorded_is_not_found(filled: Datasets, workspace: Workspace) -> None:
    """The index is of the transaction that adds: rolled back, both are gone."""
    with pytest.raises(RuntimeError), workspace.database.transaction() as tx:
        artifact = made(tx, digest("ff"))
        filled.versions.add(tx, "ghosts", artifact.id, message="", about={})
        raise RuntimeError

    assert names(filled, "ghosts") == []


def test_a_misspelt_name_has_neighbours(filled: Datasets) -> None:
    """What is spelt nearly like a name is told; what is not, is not."""
    assert filled.nearest_names("pateints") == ["patients"]
    assert filled.nearest_names("zebra") == []


@pytest.mark.parametrize(
    ("text", "asked", "piece"),
    [
        ("age, mean radius", "radius", "age, mean [radius]"),
        ("mean radius, radius se", "radius", "mean [radius], [radius] se"),
        ("heart_rate", "heart_rate", "[heart_rate]"),
        ("heart_rate", "rate heart", "[heart]_[rate]"),
        ("heart rates", "rate", "heart [rates]"),
        ("heart rates", "rate heart", "[heart] rates"),
        ("Größe und Gewicht", "grosse größe", "[Größe] und Gewicht"),
        ("환자 기록", "환", "[환자] 기록"),
        ("nothing of it", "else", ""),
        ("", "else", ""),
        (" ".join("abcdefghijklmnop"), "p", "...[p]"),
        (" ".join("abcdefghijklmnop"), "a", "[a] b c d e f g h i j k l..."),
        (" ".join("abcdefghijklmnop"), "b p", "a [b] c d e f g h i j k l..."),
    ],
)
def test_a_piece_has_what_was_asked_for_in_brackets(text: str, asked: str, piece: str) -> None:
    """Words that were asked for together stand in one bracket, and of a long text there is a dozen words."""
    assert marked(text, phrases(asked)) == piece


def test_what_postgresql_is_told_is_words_and_places() -> None:
    """No sign of the text is left that could be an operator, and no phrase reaches over a field."""
    assert wanted(phrases("mean_radius 'clin|ic!")) == "('mean' <-> 'radius') & ('clin' <-> 'ic':*)"
    assert lexemes(["a a", "b:*", "", "a'c"]) == "'a':2A,3A,8D 'b':5B 'c':9D"


@given(st.text(max_size=60), st.text(max_size=20))
def test_a_piece_is_made_of_the_text(text: str, asked: str) -> None:
    """Without its brackets a short text is as it was."""
    piece = marked(text.replace("[", "").replace("]", ""), phrases(asked))

    if piece and not piece.endswith("...") and not piece.startswith("..."):
        assert piece.replace("[", "").replace("]", "") == text.replace("[", "").replace("]", "")
