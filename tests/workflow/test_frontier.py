"""The frontier against a plain model, on random graphs with random failures."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlwright.workflow.frontier import Frontier
from mlwright.workflow.graph import Argument, Graph, Node


def node(name: str, needs: set[str]) -> Node:
    inputs = {f"from-{need}": Argument("output", node=need, output="result") for need in sorted(needs)}
    return Node(name, "step", inputs, {"result": ""})


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
