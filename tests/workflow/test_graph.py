"""The graph as values: what a node needs, what stands behind it, and what no graph can be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright import pipeline, step
from mlwright.kernel.errors import Invalid
from mlwright.workflow.graph import Argument, Graph, Node, read_graph, with_references


def taken(node: str, output: str = "result") -> Argument:
    return Argument("output", node=node, output=output)


def node(name: str, *needs: str) -> Node:
    return Node(name, "step", {f"from-{need}": taken(need) for need in needs}, {"result": ""})


def told(name: str, *needs: str, **more: Any) -> dict[str, Any]:
    """A node as a worker tells it."""
    inputs = {f"from-{need}": {"kind": "output", "node": need, "output": "result"} for need in needs}
    return {"name": name, "kind": "step", "inputs": inputs, "outputs": {"result": ""}, **more}


@step
def numbers(count: int = 3) -> list[int]:
    return list(range(count))


@step
def many(numbers: list[int]) -> bool:
    return len(numbers) > 2


@step(
    retries=1, timeout="1m", resources={"cpus": 2, "memory": "1GiB", "gpus": 1}, cache="v2", seed=None,
    environment="torch", env_vars=["REGION"], tags={"owner": "ml"},
)  # fmt: skip
def square(number: int, by: int = 2) -> int:
    return int(number**by)


@pipeline
def squares() -> None:
    found = numbers()
    square.map(found, by=silent(2), when=many(found))


@step
def silent(value):  # type: ignore[no-untyped-def]
    return value


def test_what_tracing_tells_is_read_as_a_graph() -> None:
    """Every option, the condition, what is mapped and what stands in arrive as they were traced."""
    graph = read_graph("squares", json.loads(json.dumps(squares.trace({}))))

    assert [each.name for each in graph.nodes] == ["numbers", "silent", "many", "square"]
    assert graph["square"] == Node(
        name="square",
        kind="step",
        inputs={"number": taken("numbers"), "by": taken("silent")},
        outputs={"result": "int"},
        step=square.address,
        line=square.function.__code__.co_firstlineno,
        accepts={"number": "int", "by": "int"},
        mapped=("number",),
        when=taken("many"),
        fallbacks={"by": Argument("value", value=2)},
        retries=1,
        timeout_s=60.0,
        cpus=2,
        memory_bytes=2**30,
        gpus=1,
        cache=True,
        salt="v2",
        seeded=False,
        environment="torch",
        env_vars=("REGION",),
        tags={"owner": "ml"},
    )


def test_a_node_needs_what_it_takes_and_what_it_hangs_on() -> None:
    """Outputs inside lists and dictionaries, and the condition; values and datasets are needed by nobody."""
    inputs = {
        "plain": taken("a"),
        "inside": Argument("list", items=(Argument("dict", fields={"x": taken("b")}), taken("a"))),
        "value": Argument("value", value={"node": "v"}),
        "data": Argument("dataset", value="d@1"),
    }
    taker = Node(
        "taker", "step", inputs, {}, when=taken("c"), fallbacks={"plain": Argument("value", value=1)}
    )

    assert taker.needs == {"a", "b", "c"}
    assert taker.needs is taker.needs
    assert sorted(part.kind for part in taker.parts()) == ["dataset", *["output"] * 4, *["value"] * 2]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    size = draw(st.integers(1, 12))
    return Graph(
        "g",
        tuple(
            node(str(at), *draw(st.sets(st.sampled_from([str(n) for n in range(at)])) if at else st.just(())))
            for at in range(size)
        ),
    )


@given(graphs(), st.data())
def test_what_stands_behind_is_what_needs_it_directly_or_not(graph: Graph, data: st.DataObject) -> None:
    """Compared with following each need one by one."""
    names = [each.name for each in graph.nodes]
    begun = data.draw(st.sets(st.sampled_from(names)))

    def reaches(name: str) -> bool:
        return any(need in begun or reaches(need) for need in graph[name].needs)

    assert graph.behind(begun) == {name for name in names if reaches(name)} - begun


@given(graphs())
def test_a_node_is_found_by_its_name(graph: Graph) -> None:
    """The node itself, not one like it."""
    for each in graph.nodes:
        assert graph[each.name] is each

    with pytest.raises(KeyError):
        graph["no such node"]


@given(graphs(), st.randoms())
def test_nodes_are_read_in_any_order_in_which_each_stands_behind_its_needs(graph: Graph, random: Any) -> None:
    """Any other order is refused, with the node that takes and the one that is taken from."""
    order = list(graph.nodes)
    random.shuffle(order)
    at = {each.name: place for place, each in enumerate(order)}
    wrong = {(each.name, need) for each in order for need in each.needs if at[need] > at[each.name]}
    nodes = [told(each.name, *each.needs) for each in order]

    if not wrong:
        assert read_graph("g", nodes).nodes == tuple(order)
        return
    with pytest.raises(Invalid) as raised:
        read_graph("g", nodes)
    assert raised.value.message in {
        f"`{one}` of pipeline `g` takes an output of `{other}`, which does not stand before it"
        for one, other in wrong
    }


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([told("a", "a")], "`a` of pipeline `g` takes an output of `a`, which does not stand before it"),
        (
            [told("a", "b"), told("b", "a")],
            "`a` of pipeline `g` takes an output of `b`, which does not stand",
        ),
        ([told("a", "b")], "`a` of pipeline `g` takes an output of `b`, which is no node"),
        (
            [told("a", when={"kind": "output", "node": "b", "output": "result"}), told("b")],
            "`a` of pipeline `g` takes an output of `b`, which does not stand before it",
        ),
        (
            [told("a") | {"outputs": {"train": "", "test": ""}}, told("b", "a")],
            "`b` of pipeline `g` takes the output `result` of `a`, which gives train, test",
        ),
        (
            [told("a") | {"outputs": {}}, told("b", "a")],
            "takes the output `result` of `a`, which gives nothing",
        ),
        ([told("a"), told("a")], "pipeline `g` has two nodes of the name `a`"),
    ],
)
def test_what_is_no_graph_is_said_with_both_ends(nodes: list[dict[str, Any]], said: str) -> None:
    """Cycles, what is missing, names used twice: no pipeline can say them, but a worker could."""
    with pytest.raises(Invalid, match=said):
        read_graph("g", nodes)


def test_a_referenced_model_is_evaluated_under_the_same_condition() -> None:
    """The twin differs in its name and its model alone; the gate compares with what it gives."""
    evaluate = Node(
        "evaluate",
        "step",
        {"model": taken("fit"), "rows": taken("split")},
        {"result": ""},
        when=taken("split"),
    )
    gate = Node(
        "gate",
        "gate",
        {"scores": taken("evaluate")},
        {"result": "bool"},
        settings={"not_worse_than": "m@champion"},
    )
    register = Node("register", "register", {"model": taken("fit")}, {}, settings={"name": "m"})
    graph = Graph("g", (node("split"), node("fit", "split"), evaluate, gate, register))

    twinned = with_references(graph, {"m@champion": taken("m@champion", "model")})

    twin = twinned["evaluate[m@champion]"]
    assert twin.inputs == {"model": taken("m@champion", "model"), "rows": taken("split")}
    assert (twin.when, twin.needs) == (taken("split"), {"m@champion", "split"})
    assert twinned["gate"].inputs["reference"] == taken("evaluate[m@champion]")
    assert [each.name for each in twinned.nodes] == [
        "split",
        "fit",
        "evaluate",
        twin.name,
        "gate",
        "register",
    ]
    assert graph["gate"].inputs == {"scores": taken("evaluate")}
