"""The registry: models that steps made, compared, exported, verified, described and removed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel import edges
from mlwright.kernel.errors import Conflict, Invalid, NotFound
from mlwright.kernel.events import actor
from mlwright.kernel.ids import short
from mlwright.kernel.plan import Change
from mlwright.versioning import Version
from tests.conftest import PYPROJECT, mlwright, write
from tests.happened import happened
from tests.workflow.lent import lend

PIPELINE = """
import sys

import pandas as pd
from sklearn.tree import DecisionTreeClassifier

from mlwright import Dataset, log_metric, pipeline, step
from mlwright.steps import gate, register


@step
def load(data: Dataset) -> pd.DataFrame:
    return data.table().to_pandas()


@step
def fit(train: pd.DataFrame, depth: int = 1) -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=depth, random_state=0).fit(train[["age", "size"]], train["ill"])


@step
def evaluate(model: DecisionTreeClassifier, table: pd.DataFrame) -> dict[str, float]:
    print("evaluated in", sys.prefix)
    log_metric("rows", len(table))
    return {"accuracy": float((model.predict(table[["age", "size"]]) == table["ill"]).mean())}


@pipeline
def ills(data: Dataset = Dataset("people@latest"), depth: int = 1, least: float = 0.0):
    table = load(data)
    model = fit(table, depth=depth)
    scores = evaluate(model, table)
    register("ills", model, scores, example=table, when=gate(scores, f"accuracy >= {least}"))


@pipeline
def alone(data: Dataset = Dataset("people@latest"), depth: int = 2):
    fit(load(data), depth=depth)
"""

PEOPLE = "age,size,ill\n" + "".join(
    f"{age},{age % 7},{int(age > 40 or age % 7 == 3)}\n" for age in range(18, 90)
)
OTHERS = "age,size,ill\n" + "".join(f"{age},{age % 7},{int(age % 7 == 3)}\n" for age in range(18, 60))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with data, a registered model, and a better one whose gate was closed."""
    root = write(
        tmp_path_factory.mktemp("registry") / "project",
        {
            "pyproject.toml": PYPROJECT.replace('version = "0"', 'version = "0"\nlicense = "Apache-2.0"'),
            "pipelines/p.py": PIPELINE,
            "people.csv": PEOPLE,
            "others.csv": OTHERS,
        },
    )
    with Project.open(root) as opened:
        opened.environments.lock()
        lend(opened)
        opened.datasets.add(root / "people.csv", "people")
        opened.run("ills")
        opened.pipelines.run(opened.request("ills", {"depth": 3, "least": 2.0}))
        yield opened


@pytest.fixture(scope="module")
def second(project: Project) -> Version:
    """The model of the run whose gate was closed, registered by hand."""
    run = project.runs.list(pipeline="ills", limit=1)[0]
    made, _ = project.models.register(f"{run.id}/fit", "ills", message="deeper")
    return made


def test_what_a_pipeline_registers_has_the_licence_of_its_project(project: Project) -> None:
    """The licence is that of the code that the run recorded."""
    assert project.models.detail("ills@1").licence == "Apache-2.0"


def test_what_a_closed_gate_kept_out_can_be_registered_by_hand(project: Project, second: Version) -> None:
    """Signature, scores, parameters and data are those that the run recorded; nothing is asked again."""
    detail = project.models.detail("ills@2")

    run = project.runs.get(detail.run)
    assert (second.reference, second.message) == ("ills@2", "deeper")
    assert detail.metrics == {"accuracy": 1.0, "rows": 72.0}
    assert detail.parameters["depth"] == 3 and detail.parameters["seed"] == 0
    assert detail.data == {"people@latest": "people@1"}
    assert detail.signature is not None
    assert [each.maximum for each in detail.signature.inputs] == [89, 6]
    (signature,) = edges.made_from(project.rooms.database, second.end, "signature")
    assert edges.made_from(project.rooms.database, signature.earlier, "output:result")
    assert run.state == "failed" and detail.registered_by == actor()
    assert project.models.versions.aliases("ills")["champion"].number == 1


def test_a_model_without_a_signature_is_asked_with_its_training(project: Project) -> None:
    """Where no pipeline asked it, the table that the model's step was given tells ranges and example."""
    run = project.run("alone")

    plan = project.models.plan_register(f"{short(run.id)}/fit:result", "alone")
    version, told = project.models.register(f"{short(run.id)}/fit:result", "alone")
    again = project.models.register(f"{short(run.id)}/fit", "alone")

    assert plan.changes[0].action == "add" and plan.changes[0].subject == "alone@1"
    assert told == "alone@1 registered, alone@champion from now on"
    assert again == (version, "alone@1 holds these bytes already")
    assert project.models.plan_register(f"{run.id}/fit", "alone").empty
    signature = project.models.detail("alone").signature
    assert signature is not None
    assert [(each.name, each.minimum, each.maximum) for each in signature.inputs] == [
        ("age", 18, 89),
        ("size", 0, 6),
    ]
    assert signature.example.input == {"age": 18, "size": 4}
    assert project.models.versions.alias_moves("alone")[0].reason == "the first version"


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        ("latest/load", Invalid, "latest/load is no model: it is pandas.DataFrame"),
        ("latest/fitt", NotFound, "has no artifact of a step `fitt`"),
        ("latest/fit:other", NotFound, "made no `other`"),
        ("nowhere.ubj", NotFound, "there is no file nowhere.ubj"),
        ("people.csv", Invalid, "it cannot be told what kind of model people.csv is"),
    ],
)
def test_what_is_no_model_is_refused(
    source: str, error: type[Exception], said: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table, a step or output that is not there, a file of no known format: each is named."""
    monkeypatch.chdir(project.root)
    project.run("alone")

    with pytest.raises(error) as caught:
        project.models.plan_register(source, "other")

    assert said in str(caught.value)


def test_two_versions_stand_beside_each_other(project: Project, second: Version) -> None:
    """What is the same is left out; metrics are told with their difference."""
    found = project.models.compare("ills@1", "ills@2")

    assert [(each.name, each.then, each.now) for each in found.parameters] == [
        ("depth", 1, 3),
        ("least", 0.0, 2.0),
    ]
    accuracy = found.metrics[0]
    assert accuracy.difference == pytest.approx(1.0 - project.models.detail("ills@1").metrics["accuracy"])
    assert (found.data, found.code, found.packages, found.signature) == ((), (), (), ())
    assert found.on is None and not found.same_bytes
    with pytest.raises(Invalid, match="ills@1 is one version"):
        project.models.compare("ills@1", "ills@champion")


def test_both_are_evaluated_on_the_same_data(project: Project, second: Version) -> None:
    """The step that evaluated the first evaluates both on what is named; a second time it is reused."""
    project.datasets.add(project.root / "others.csv", "people")

    found = project.models.compare("ills@1", "ills@2", on="people@2")
    again = project.models.compare("ills@1", "ills@2", on="people@2")

    assert found.on is not None and again.on is not None
    assert (found.on.data, found.on.step, found.on.by) == ("people@2", "pipelines.p:evaluate", "ills@1")
    truth = [age % 7 == 3 for age in range(18, 60)]
    wanted = (
        sum((age > 40 or age % 7 == 3) == ill for age, ill in zip(range(18, 60), truth, strict=True)) / 42
    )
    assert found.on.scores["ills@2"]["accuracy"] == pytest.approx(wanted)
    assert found.evaluated[0].difference == pytest.approx(wanted - found.on.scores["ills@1"]["accuracy"])
    assert (again.on.scores, again.on.outputs) == (found.on.scores, found.on.outputs)
    states = {each.node: str(each.state) for each in project.rooms.attempts.of_run(again.on.run)}
    assert states == dict.fromkeys(["load", "evaluate[ills@1]", "evaluate[ills@2]"], "reused")


def test_a_comparison_is_a_run_that_binds_nothing(project: Project, second: Version) -> None:
    """It is recorded as what it is, cannot be reproduced or resumed, and lets a model be removed."""
    found = project.models.compare("ills@1", "ills@2", on="people@1")
    assert found.on is not None
    run = project.runs.get(found.on.run)

    assert (run.kind, run.pipeline, str(run.state)) == ("comparison", "ills@1 with ills@2", "succeeded")
    for verb in (project.reproduce, project.pipelines.resume):
        with pytest.raises(Invalid, match="compared models"):
            verb(run.id)  # type: ignore[operator]
    assert project.models.plan_remove("ills@2").changes[0].action == "remove"


def test_each_is_evaluated_in_its_own_environment(project: Project, second: Version, tmp_path: Path) -> None:
    """A version of another lock is evaluated there, by the code of the first."""
    # Data that no run has read: what one has evaluated there already would be reused, and say nothing.
    project.datasets.add(write(tmp_path, {"fresh.csv": PEOPLE + "90,6,1\n"}) / "fresh.csv", "fresh")
    pyproject = project.root / "pyproject.toml"
    before = pyproject.read_text()
    pyproject.write_text(before.replace(">=3.11", ">=3.11,<4"))
    project.environments.lock()
    other = lend(project)
    try:
        run = project.run("ills", depth=2)
    finally:
        pyproject.write_text(before)
        project.environments.lock()
    version = next(each for each in project.models.list("ills") if each.number > 2)

    found = project.models.compare("ills@1", version.reference, on="fresh@1")

    assert project.models.detail(version.reference).run == run.id
    assert found.on is not None
    logs = {
        each.node: project.rooms.objects.get(each.log).decode()
        for each in project.rooms.attempts.of_run(found.on.run)
        if each.log is not None
    }
    assert other.digest[:32] in logs[f"evaluate[{version.reference}]"]
    assert found.on.scores[version.reference]["accuracy"] < 1


def test_what_reads_one_dataset_can_be_given_any(project: Project, second: Version) -> None:
    """A dataset of another name stands for the only one that the steps before the evaluation read."""
    project.datasets.add(project.root / "others.csv", "strangers")

    found = project.models.compare("ills@1", "ills@2", on="strangers@1")

    assert found.on is not None and found.on.data == "strangers@1"


def test_a_model_from_elsewhere_is_evaluated_by_the_step_of_the_other(
    project: Project, second: Version, tmp_path: Path
) -> None:
    """A file that no pipeline made is judged beside one that a pipeline made, whichever is named first."""
    project.models.export("ills@2", tmp_path / "out")
    project.models.register(str(tmp_path / "out" / "model.skops"), "bought")

    found = project.models.compare("bought", "ills@2", on="people@1")

    assert found.on is not None and found.on.by == "ills@2"
    assert found.same_bytes
    assert found.on.scores["bought@1"] == found.on.scores["ills@2"] == {"accuracy": 1.0}
    assert (found.code, found.data) == ((), ())
    told = mlwright("models", "compare", "bought", "ills@2", cwd=project.root).stdout
    assert "code: not on record of bought@1\n" in told
    assert "data: not on record of bought@1\n" in told


def test_what_no_step_evaluated_cannot_be_compared_on_data(project: Project, second: Version) -> None:
    """A pipeline without an evaluating step tells no way to evaluate; it is said which."""
    project.models.register(f"{project.run('alone', depth=6).id}/fit", "unjudged")

    with pytest.raises(Invalid, match="no step of pipeline `alone` evaluates what unjudged@1 is"):
        project.models.compare("unjudged@1", "ills@2", on="people@1")


def test_an_export_is_loaded_by_the_library_alone(project: Project, tmp_path: Path) -> None:
    """Without mlwright, in a fresh interpreter, the model answers its example as it is on record."""
    dest = tmp_path / "exported"

    plan = project.models.plan_export("ills@1", dest)
    manifest = project.models.export("ills@1", dest)

    assert {Path(each.subject).name for each in plan.changes} == {each.name for each in dest.iterdir()}
    assert {each["path"] for each in manifest["files"]} | {"model.json"} == {
        each.name for each in dest.iterdir()
    }
    load = "\n".join(json.loads((dest / "model.json").read_text())["load"])
    code = f"""
import sys
sys.modules["mlwright"] = None
{load}
import hashlib, json, pandas
example = json.load(open("example.json"))
answer = model.predict(pandas.DataFrame([example["input"]]))[0]
assert answer == example["output"], answer
for file in json.load(open("model.json"))["files"]:
    assert hashlib.sha256(open(file["path"], "rb").read()).hexdigest() == file["sha256"]
print(json.load(open("model.json"))["licence"])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=dest, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("Apache-2.0\n", "")
    assert (dest / "README.md").read_text() == project.models.card("ills@1")


def test_an_export_writes_over_nothing_but_an_export(project: Project, tmp_path: Path) -> None:
    """What is there stays, unless it is an export and is to be replaced; a failed one leaves nothing."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    project.models.export("ills@1", tmp_path / "out")
    (tmp_path / "out" / "left.txt").write_text("x")

    for dest, force, said in (("mine", True, "is no export"), ("out", False, "an export is in")):
        with pytest.raises(Conflict, match=said):
            project.models.export("ills@1", tmp_path / dest, force=force)
    project.models.export("ills@1", tmp_path / "out", force=True)

    assert not (tmp_path / "out" / "left.txt").exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mine", "out"]


def test_a_sound_version_is_read_loaded_and_asked(project: Project) -> None:
    """Bytes, codec and example: each is looked at, in the model's own environment."""
    (found,) = project.models.verify(["ills@1"])

    assert found.sound
    assert [found.bytes.state, found.loads.state, found.answers.state] == ["ok", "ok", "ok"]


def falsified(project: Project, name: str, depth: int) -> Version:
    """A version whose record tells of another answer than the model's."""
    version, _ = project.models.register(f"{project.run('alone', depth=depth).id}/fit", name)
    told = {**version.about["signature"]}
    told["example"] = {**told["example"], "output": 7}
    about = json.dumps(version.about | {"signature": told})
    with project.rooms.database.transaction() as tx:
        tx.execute("UPDATE version SET about = :about WHERE id = :id", about=about, id=version.id)
    return version


def test_what_is_wrong_with_a_version_is_told(project: Project) -> None:
    """Another answer than the recorded one, and damaged bytes, are named, and what follows from that."""
    version, database = falsified(project, "broken", 4), project.rooms.database
    bytes_before = project.rooms.objects.get(version.digest)

    (lying,) = project.models.verify(["broken"])
    file = project.rooms.objects.path(version.digest)
    with database.transaction() as tx:
        tx.execute("UPDATE inline SET data = CAST('x' AS BLOB) WHERE digest = :digest", digest=version.digest)
    file.chmod(0o644)
    file.write_bytes(b"x" + bytes_before[1:])
    (damaged,) = project.models.verify(["broken"])
    with database.transaction() as tx:
        tx.execute("UPDATE inline SET data = :data WHERE digest = :at", data=bytes_before, at=version.digest)
    file.write_bytes(bytes_before)

    assert (lying.loads.state, lying.answers.state, lying.sound) == ("ok", "failed", False)
    assert "and 7 is on record" in lying.answers.told
    assert (damaged.bytes.state, damaged.loads.state) == ("failed", "skipped")
    assert "damaged" in damaged.bytes.told


def test_a_card_says_what_is_known(project: Project) -> None:
    """Metrics, columns with what training saw, data, code, environment, licence, and how to go on."""
    card = project.models.card("ills@1")

    detail = project.models.detail("ills@1")
    assert card.startswith("# ills@1\n")
    for part in (
        "| licence | Apache-2.0 |",
        "| age | integer | 18 to 89 |",
        "| people@1 | as `people@latest` |",
        "| depth | `1` |",
        f"b3:{detail.code}",
        f"b3:{detail.environment}",
        f"mlwright runs reproduce {short(project.runs.get(detail.run).id)}",
        "skops.io.load",
    ):
        assert part in card


def test_a_card_is_written_by_hand_and_keeps_its_history(project: Project) -> None:
    """The newest text is the card; who, when and why are kept; its bytes survive collecting."""
    models, version = project.models, project.models.versions.resolve("ills@1")
    first = models.plan_write_card("ills@1", "# Mine\n")

    models.write_card("ills@1", "# Mine\n", reason="intended use")
    models.write_card("ills@1", "# Mine\n")
    models.write_card("ills@1", "# Ours\n", reason="limits")
    project.collect()

    assert first.changes == (Change("write", "card of ills@1", "1 line"),)
    assert models.card("ills@1") == "# Ours\n"
    assert models.card("ills@1", written=False).startswith("# ills@1\n")
    assert [(each.number, each.actor, each.reason) for each in models.card_history("ills@1")] == [
        (1, actor(), "intended use"),
        (2, actor(), "limits"),
    ]
    event = [each for each in happened(project.rooms.database) if each.verb == "card.changed"][-1]
    assert (event.subject, event.actor, event.detail["number"]) == (version.end, actor(), 2)
    assert models.versions.resolve("ills@1") == version
    assert models.verify(["ills@1"])[0].sound
    for text in ("", " \n", "x" * (1 << 20) + "x", "\0", "\udcff"):
        with pytest.raises(Invalid):
            models.write_card("ills@1", text)


def test_what_something_refers_to_is_not_removed(project: Project, second: Version) -> None:
    """An alias is named; what nothing refers to goes, with its number, and what only it kept."""
    run = project.run("alone", depth=5)
    version, _ = project.models.register(f"{run.id}/fit", "gone")
    (signature,) = edges.made_from(project.rooms.database, version.end, "signature")

    with pytest.raises(Conflict, match="gone@1 is in use: the alias gone@champion"):
        project.models.remove("gone@1")
    project.models.versions.remove_alias("gone", "champion")
    project.models.remove("gone@1", reason="a mistake")

    with pytest.raises(NotFound, match=r"gone@1 was removed .* a mistake"):
        project.models.detail("gone@1")
    left = project.rooms.database.read("SELECT id FROM artifact WHERE id = :id", id=signature.earlier.id)
    assert left == []
    assert project.verify().faults == ()


def test_the_doors_do_the_same(project: Project, second: Version, tmp_path: Path) -> None:
    """`models` lists, compares, exports, verifies and describes; --dry-run changes nothing; broken is 5."""
    falsified(project, "false", 7)
    listed = mlwright("models", "list", "ills", cwd=project.root).stdout
    compared = mlwright("models", "compare", "ills@1", "ills@2", "--on", "people@1", cwd=project.root)
    as_json = json.loads(mlwright("models", "compare", "ills@1", "ills@2", "--json", cwd=project.root).stdout)
    shown = mlwright("models", "show", "ills@1", cwd=project.root).stdout
    planned = mlwright("models", "export", "ills@1", str(tmp_path / "e"), "--dry-run", cwd=project.root)
    verified = mlwright("models", "verify", "ills@1", cwd=project.root)
    broken = mlwright("models", "verify", "false", cwd=project.root)
    (project.root / "card.md").write_text("# From a file\n")
    written = mlwright("models", "card", "ills@2", "--edit-from", "card.md", "-m", "why", cwd=project.root)
    card = mlwright("models", "card", "ills@2", cwd=project.root).stdout

    assert "ills@2" in listed and "deeper" in listed
    assert compared.returncode == 0, compared.stderr
    assert "evaluated on people@1 by `pipelines.p:evaluate`" in compared.stdout
    assert as_json["parameters"][0] == {"name": "depth", "then": 1, "now": 3}
    assert "licence    Apache-2.0" in shown and "the first version that passed" in shown
    assert planned.returncode == 0 and not (tmp_path / "e").exists()
    assert (verified.returncode, verified.stdout.splitlines()[1].split()) == (0, ["ills@1", "ok", "ok", "ok"])
    assert (broken.returncode, broken.stderr.splitlines()[-1]) == (
        5,
        "error: not as it is on record: false@1",
    )
    assert (written.returncode, card) == (0, "# From a file\n")


def test_a_model_of_a_step_with_an_environment_is_loaded_there(tmp_path: Path) -> None:
    """Registered by hand, it knows the environment that its step had for itself, and is verified in it."""
    group = PYPROJECT.replace("[tool.uv]", "[dependency-groups]\nother = []\n\n[tool.uv]")
    step = PIPELINE.replace("@step\ndef fit", '@step(environment="other")\ndef fit')
    files = {"pyproject.toml": group, "pipelines/p.py": step, "people.csv": PEOPLE}
    with Project.open(write(tmp_path / "project", files)) as project:
        project.environments.lock()
        lend(project)
        lock = lend(project, "other")
        project.datasets.add(project.root / "people.csv", "people")
        run = project.run("alone")

        version, _ = project.models.register(f"{run.id}/fit", "elsewhere")

        (edge,) = edges.made_from(project.rooms.database, version.end, "environment")
        assert edge.earlier == lock.end
        assert project.models.verify(["elsewhere"])[0].answers.state == "ok"
