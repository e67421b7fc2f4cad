"""Versions side by side, in one replica: who answers, and who is only asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sklearn.tree import DecisionTreeClassifier

from mlwright.kernel.errors import Incompatible, Invalid
from mlwright.kernel.ids import VersionId
from mlwright.serving import Group, Limits, ModelSpec, ReplicaSpec, Server, shares_of, start, version_behind
from mlwright.serving.groups import Share, Split
from mlwright.serving.records import Answered, read_records, sealed
from mlwright.serving.runtime.native import NativeRuntime
from mlwright.serving.served import Served
from mlwright.serving.shadows import Shadow
from mlwright.serving.spec import Recording
from mlwright.versioning.signatures import Column
from tests.serving.conftest import PYTHON, ask, post, small_signature, until

ONE, TWO, THREE = (VersionId(f"01JD8ZZZZZZZZZZZZZZZZZZZZ{digit}") for digit in "123")


@pytest.fixture(scope="module")
def grouped(make_spec: Callable[..., ReplicaSpec], tmp_path_factory: pytest.TempPathFactory) -> ReplicaSpec:
    """Three versions of a model: the second has 30 percent, the third is a shadow."""
    frame = pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": [3.0, 3.0, 3.0]})
    models = []
    for number, (version, limit) in enumerate(((ONE, 0.5), (TWO, 0.5), (THREE, 1.5)), start=1):
        labels = ["yes" if each > limit else "no" for each in frame["a"]]
        made = make_spec(DecisionTreeClassifier(random_state=0).fit(frame, labels), frame).models[0]
        models.append(replace(made, model=f"m@{number}", version_id=version))
    recording = Recording(str(tmp_path_factory.mktemp("spool")), per_second=1000, values=("*",))
    group = Group((Share("m@2", 30.0),), ("m@3",))
    return ReplicaSpec(tuple(models), recording=recording, group=group).checked()


@pytest.fixture(scope="module")
def together(grouped: ReplicaSpec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """They, answering."""
    with start(grouped, PYTHON, folder=tmp_path_factory.mktemp("serving")) as server:
        yield server


def body(a: float) -> Any:
    return {"rows": [{"a": a, "b": 3.0}]}


def test_each_has_its_share(together: Server) -> None:
    """Of many requests without a key about as many go to each version as it is to have."""
    answers = [post(together.url, body(0.0)).json for _ in range(400)]

    found = Counter(answer["model"] for answer in answers)

    assert set(found) == {"m@1", "m@2"}
    assert 70 <= found["m@2"] <= 175  # 30 percent of 400; beyond that once in a million runs
    assert {version_behind(answer["id"]) for answer in answers} == {ONE, TWO}


def test_with_a_key_always_the_same_answers(together: Server, grouped: ReplicaSpec) -> None:
    """Whatever the protocol, and as `Split` says: a replica elsewhere decides alike."""
    assert grouped.group is not None
    split = Split(grouped.group, "m@1")
    for number in range(20):
        key = f"patient {number}"
        wanted = split.models[split.place(key.encode())]

        told = post(together.url, body(0.0), x_mlwright_key=key).json["model"]
        again = post(together.url, body(0.0), "/models/m/predict", x_mlwright_key=key).json["model"]
        mlflow = post(together.url, {"inputs": [[0.0, 3.0]]}, "/invocations", x_mlwright_key=key)
        tensor = {"name": "input", "shape": [1, 2], "datatype": "FP64", "data": [0.0, 3.0]}
        v2 = post(together.url, {"inputs": [tensor]}, "/v2/models/m/infer", x_mlwright_key=key)

        assert [told, again, mlflow.headers["x-mlwright-model"], v2.headers["x-mlwright-model"]] == [
            wanted
        ] * 4


def test_a_version_is_asked_by_its_number(together: Server) -> None:
    """Whoever names one gets that one, shadows too; the server tells of all."""
    for number in ("1", "2", "3"):
        told = post(together.url, body(0.0), f"/models/m/versions/{number}/predict").json["model"]
        tensor = {"name": "input", "shape": [1, 2], "datatype": "FP64", "data": [0.0, 3.0]}
        v2 = post(together.url, {"inputs": [tensor]}, f"/v2/models/m/versions/{number}/infer")

        assert told == v2.headers["x-mlwright-model"] == f"m@{number}"

    document, page = ask(together.url, "GET", "/openapi.json").json, ask(together.url, "GET", "/docs")
    assert "/models/m/versions/3/predict" in document["paths"]
    assert document["paths"]["/predict"]["post"]["summary"] == "Ask m@1 (70%), m@2 (30%), m@3 (shadow)"
    assert b"m@2 (30%)" in page.body
    assert ask(together.url, "GET", "/v2/models/m").json["versions"] == ["1", "2", "3"]


def test_a_shadow_is_asked_the_same_and_recorded(
    make_spec: Callable[..., ReplicaSpec], grouped: ReplicaSpec, tmp_path: Path
) -> None:
    """Its answers go nowhere but into the figures and the record, beside what the client was answered."""
    recording = Recording(str(tmp_path / "spool"), per_second=1000, values=("*",))
    alone = replace(grouped, models=(grouped.models[0], grouped.models[2]), recording=recording)
    alone = replace(alone, group=Group((), ("m@3",))).checked()
    with start(alone, PYTHON, folder=tmp_path) as server:
        answers = [post(server.url, body(a)).json for a in (0.0, 1.0, 2.0)]
        rows = 'mlwright_shadow_rows_total{model="m",version="3"} 3'
        until(lambda: rows in ask(server.url, "GET", "/metrics").body.decode())
        figures = ask(server.url, "GET", "/metrics").body.decode()

    assert [(each["model"], each["predictions"]) for each in answers] == [
        ("m@1", ["no"]),
        ("m@1", ["yes"]),
        ("m@1", ["yes"]),
    ]
    assert 'mlwright_shadow_agreed_rows_total{model="m",version="3"} 2' in figures
    records = [record for path in sealed(tmp_path / "spool") for record in read_records(path)]
    shadows = {record.shadow_of: record for record in records if record.shadow_of}
    assert set(shadows) == {answer["id"] for answer in answers}
    for answer in answers:
        shadow = shadows[answer["id"]]
        assert (shadow.model, shadow.answered) == ("m@3", answer["predictions"])
        assert shadow.agreed == (shadow.predictions == answer["predictions"])
        assert version_behind(shadow.id) == THREE


@given(
    shares=st.lists(st.floats(0, 30), max_size=3),
    more=st.floats(0, 9),
    keys=st.lists(st.binary(min_size=1, max_size=20), max_size=20),
)
def test_a_share_that_grows_moves_nobody_back(shares: list[float], more: float, keys: list[bytes]) -> None:
    """Who has the last version keeps it when it gets more; all others stay, or move from the first to it."""
    names = [f"m@{number}" for number in range(2, 2 + len(shares))]
    if not names:
        return
    before = Split(Group(tuple(map(Share, names, shares))), "m@1")
    after = Split(Group(tuple(map(Share, names, [*shares[:-1], shares[-1] + more]))), "m@1")

    for key in keys:
        was, is_ = before.models[before.place(key)], after.models[after.place(key)]

        assert was == is_ or (was, is_) == ("m@1", names[-1])


def test_shares_are_said_in_percent() -> None:
    """On the command line as in Python; what is none is told how to write it."""
    assert shares_of(["m@2=10", "m@challenger=0.5%"]) == {"m@2": 10.0, "m@challenger": 0.5}
    for word in ("m@2", "m@2=", "=10", "m@2=many"):
        with pytest.raises(Invalid, match="does not say who answers how much"):
            shares_of([word])


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (Group((Share("m@2", 100.0),)), "leave nothing for m@1"),
        (Group((Share("m@2", 60.0), Share("m@3", 40.0))), "leave nothing for m@1"),
        (Group((Share("m@2", -1.0),)), "is no share of the requests for m@2"),
        (Group((Share("m@2", float("nan")),)), "is no share of the requests for m@2"),
        (Group((Share("m@9", 10.0),)), "m@9 is not served here"),
        (Group((Share("m@1", 10.0),)), "m@1 is the first model"),
        (Group((Share("m@2", 10.0),), ("m@2",)), "m@2 is named twice"),
        (None, "are versions of one model"),
    ],
)
def test_what_is_no_group_is_refused(grouped: ReplicaSpec, group: Group | None, said: str) -> None:
    """Before anything is loaded, with what is wrong."""
    with pytest.raises(Invalid, match=said):
        replace(grouped, group=group).checked()


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ((Column("a", "number"),), "it does not know `b`"),
        ((Column("a", "number"), Column("b", "number"), Column("c", "number")), "it needs `c` as well"),
        ((Column("a", "integer"), Column("b", "number")), "`a` must be an integer, not a number"),
    ],
)
def test_versions_of_a_group_take_the_same(
    grouped: ReplicaSpec, columns: tuple[Column, ...], said: str
) -> None:
    """A request that the first takes must not be refused by chance."""
    signature = small_signature(*columns, example={each.name: 1 for each in columns}, output="yes")
    other = replace(
        grouped.models[1], signature=replace(signature, output=grouped.models[1].signature.output)
    )

    with pytest.raises(Incompatible, match=said):
        replace(grouped, models=(grouped.models[0], other), group=Group((Share("m@2", 10.0),))).checked()


class Raising:
    """A model that fails."""

    def predict(self, table: pd.DataFrame) -> Any:
        raise ValueError("no answer to that")


@pytest.mark.parametrize(("limit_bytes", "failed", "dropped"), [(2**20, 3, 0), (100, 1, 2)])
def test_a_shadow_that_fails_or_falls_behind_is_counted(limit_bytes: int, failed: int, dropped: int) -> None:
    """It may raise, or be asked more than it can hold: who was answered does not see it."""
    signature = small_signature(Column("a", "number"), example={"a": 1.0})
    model = ModelSpec("m@3", THREE, "sklearn", "/nowhere", signature)
    thread = ThreadPoolExecutor(1)
    replica = ReplicaSpec((model,), Limits(shadow_bytes=limit_bytes))
    served = Served(model, replica, NativeRuntime(Raising(), signature), thread)
    shadow = Shadow(served, thread, None)

    async def work() -> None:
        async with asyncio.timeout(30):
            for number in range(3):
                shadow.note(Answered(f"{ONE}-{number}", "m@1", ["a"], [[1.0]], ["yes"], 0.0, 0))
            while served.figures.failed < failed:
                await asyncio.sleep(0.001)
        shadow.close()

    asyncio.run(work())

    assert served.figures.shadow is not None
    assert (served.figures.failed, served.figures.shadow.dropped) == (failed, dropped)
    assert (served.figures.shadow.rows, served.figures.rows) == (0, 0)
