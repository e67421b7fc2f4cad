"""The frontier against a plain model, on random graphs with random failures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.workflow.frontier import Frontier
from mlwright.workflow.graph import Argument, Graph, Node


def node(name: str, needs: set[str]) -> Node:
    """Its step has its name for an address."""
    inputs = {f"from-{need}": Argument("output", node=need, output="result") for need in sorted(needs)}
    return Node(name, "step", inputs, {"result": ""}, name)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    size = draw(st.integers(1, 12))
    return Graph(
        "random",
        tuple(node(str(at), {str(each) for each in range(at) if draw(st.booleans())}) for at in range(size)),
    )


@given(graphs(), st.data())
def test_each_node_is_given_once_after_all_it_needs_and_never_behind_a_failure(
    graph: Graph, data: st.DataObject
) -> None:
    """Whatever order nodes end in and whichever fail, exactly what can run is given, and no more."""
    frontier, done, failed, given_, running = Frontier(graph), set[str](), set[str](), list[str](), set[str]()

    while True:
        while (ready := frontier.take()) is not None:
            assert ready.needs <= done
            given_.append(ready.name)
            running.add(ready.name)
        if not running:
            break
        ended = data.draw(st.sampled_from(sorted(running)))
        running.remove(ended)
        if data.draw(st.integers(0, 3)):
            done.add(ended)
            frontier.meet(ended)
        else:
            failed.add(ended)
            frontier.drop(graph.behind({ended}))

    can_run = {each.name for each in graph.nodes} - graph.behind(failed)
    assert len(given_) == len(set(given_))
    assert set(given_) == can_run


def test_what_is_met_from_the_beginning_is_not_waited_for() -> None:
    """A pinned model is no node, and holds nothing up."""
    frontier = Frontier(Graph("g", (node("evaluate", {"@champion"}),)), met={"@champion"})

    ready = frontier.take()

    assert ready is not None and ready.name == "evaluate"


@given(graphs(), st.data())
def test_what_most_work_stands_behind_goes_first(graph: Graph, data: st.DataObject) -> None:
    """Of what is ready, the longest way to the end by known seconds, itself included; then as written."""
    names = [each.name for each in graph.nodes]
    known = data.draw(st.dictionaries(st.sampled_from(names), st.integers(0, 5).map(float)))
    frontier, ready = Frontier(graph, seconds=known), [each for each in graph.nodes if not each.needs]
    met: set[str] = set()

    def way(name: str) -> float:
        behind = [way(each.name) for each in graph.nodes if name in each.needs]
        return known.get(name, 0.0) + max(behind, default=0.0)

    while (taken := frontier.take()) is not None:
        assert taken is min(ready, key=lambda each: (-way(each.name), names.index(each.name)))
        met.add(taken.name)
        frontier.meet(taken.name)
        ready = [each for each in graph.nodes if each.needs <= met and each.name not in met]

    assert ready == []


@pytest.mark.parametrize(
    ("seconds", "first"),
    [
        ({"begun": 1.0, "other": 2.0}, True),
        ({"begun": 2.0, "other": 1.0}, False),
        ({"begun": 1.0, "other": 1.0}, False),
        ({"begun": 1.0, "other": 0.5, "behind": 1.0}, True),
        ({}, False),
    ],
)
def test_a_node_with_a_longer_way_goes_before_the_rest_of_one_that_has_begun(
    seconds: dict[str, float], first: bool
) -> None:
    """Elements of a mapped step stand where their step does; among equals it goes on as it began."""
    graph = Graph("g", (node("begun", set()), node("other", {"first"}), node("behind", {"other"})))
    frontier = Frontier(graph, seconds=seconds)
    begun = frontier.take()
    assert begun is graph["begun"]

    seen = [frontier.goes_before(begun)]
    frontier.meet("first")
    seen.append(frontier.goes_before(begun))
    frontier.drop({"other", "behind"})
    seen.append(frontier.goes_before(begun))

    assert seen == [False, first, False]


def test_what_is_dropped_is_told_once_and_neither_given_nor_waited_for() -> None:
    """Only what had not begun is dropped."""
    graph = Graph("g", (node("a", set()), node("b", set()), node("c", {"b"})))
    frontier = Frontier(graph, seconds={"c": 1.0, "a": 0.5})
    begun = frontier.take()

    dropped = frontier.drop({"b", "c"}), frontier.drop({"b", "c"})

    assert begun is graph["b"]
    assert dropped == ([graph["c"]], [])
    frontier.meet("b")
    assert [frontier.take(), frontier.take()] == [graph["a"], None]
