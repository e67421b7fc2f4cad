"""Drawing a graph: nothing is lost or made up, whatever it is drawn with."""

from __future__ import annotations

import html
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len

from mlwright.app import Project
from mlwright.workflow.drawing import draw, form_of, mermaid, picture_of, rails, svg
from mlwright.workflow.drawing.layers import layered
from mlwright.workflow.drawing.picture import TIMES
from mlwright.workflow.graph import Argument, Graph, Node
from tests.conftest import Maker, mlwright

Edge = tuple[str, str, bool]
"""From what, to what, and whether as a condition."""


def output(node: str, name: str = "result") -> Argument:
    return Argument("output", node=node, output=name)


def dataset(reference: str) -> Argument:
    return Argument("dataset", value=reference)


def several(*items: Argument) -> Argument:
    return Argument("list", items=items)


def value(of: Any) -> Argument:
    return Argument("value", value=of)


def step(name: str, *outputs: str, inputs: dict[str, Argument] | None = None, **more: Any) -> Node:
    return Node(
        name,
        "step",
        inputs or {},
        dict.fromkeys(outputs or ("result",), ""),
        step=f"pipelines.diagnosis:{name.partition('[')[0]}",
        **more,
    )


DIAGNOSIS = Graph(
    "diagnosis",
    (
        step("load", inputs={"data": dataset("patients@latest")}),
        step("measure", "drifted", "report", inputs={"table": output("load"), "then": dataset("patients@3")}),
        step("split", "train", "test", inputs={"table": output("load")}, when=output("measure", "drifted")),
        step("folds", inputs={"table": output("split", "train"), "count": value(3)}, tags={"owner": "ml"}),
        step(
            "fit",
            inputs={"fold": output("folds"), "trees": value(100)},
            mapped=("fold",),
            retries=1,
            timeout_s=600,
            cpus=2,
            gpus=1,
            memory_bytes=3 * 2**29,
            environment="torch",
        ),
        step("best", inputs={"models": output("fit"), "test": output("split", "test")}),
        step("evaluate", inputs={"model": output("best"), "test": output("split", "test")}),
        step(
            "evaluate[diagnosis@champion]",
            inputs={"model": output("@diagnosis@champion", "model"), "test": output("split", "test")},
        ),
        Node(
            "gate",
            "gate",
            {"scores": output("evaluate"), "reference": output("evaluate[diagnosis@champion]")},
            {"result": "bool"},
            settings={
                "conditions": ["auc >= 0.95", "brier <= 0.1"],
                "not_worse_than": "diagnosis@champion",
                "tolerance": 0.005,
            },
        ),
        Node(
            "register",
            "register",
            {"model": output("best"), "scores": output("evaluate"), "when": output("gate")},
            {},
            settings={"name": "diagnosis"},
        ),
    ),
)

IN_A_TERMINAL = """
◎       patients@latest               dataset
●       load                          pipelines.diagnosis:load
│ ◎     patients@3                    dataset
├─●     measure                       pipelines.diagnosis:measure
●─╯     split  when measure.drifted   pipelines.diagnosis:split
├─●     folds                         pipelines.diagnosis:folds, owner=ml
│ ●     fit [xn]                      pipelines.diagnosis:fit, 2 cpus, 1 gpu,
│ │                                   1536 MiB, at most 10 min, 1 retry,
│ │                                   environment torch
├─●     best                          pipelines.diagnosis:best
├─┼─●   evaluate                      pipelines.diagnosis:evaluate
│ │ │ □ diagnosis@champion            model
●─│─│─╯ evaluate[diagnosis@champion]  pipelines.diagnosis:evaluate
◆─│─┤   gate                          auc >= 0.95, brier <= 0.1,
│ │ │                                 not worse than diagnosis@champion by 0.005
■─┴─╯   register  when gate           model diagnosis
""".replace("[x", f"[{TIMES}")

IN_MERMAID = """
flowchart TD
    n0(["patients@latest"])
    n1["load"]
    n2(["patients@3"])
    n3["measure"]
    n4["split<br/>when measure.drifted"]
    n5["folds"]
    n6[["fit [xn]"]]
    n7["best"]
    n8["evaluate"]
    n9[("diagnosis@champion")]
    n10["evaluate[diagnosis@champion]"]
    n11{"gate<br/>auc >= 0.95<br/>brier #lt;= 0.1<br/>not worse than diagnosis@champion by 0.005"}
    n12[("register<br/>when gate<br/>model diagnosis")]
    n0 -->|"data"| n1
    n1 -->|"table"| n3
    n2 -->|"then"| n3
    n1 -->|"table"| n4
    n3 -.->|"drifted → when"| n4
    n4 -->|"train → table"| n5
    n5 -->|"fold"| n6
    n4 -->|"test"| n7
    n6 -->|"models"| n7
    n4 -->|"test"| n8
    n7 -->|"model"| n8
    n4 -->|"test"| n10
    n9 -->|"model"| n10
    n8 -->|"scores"| n11
    n10 -->|"reference"| n11
    n7 -->|"model"| n12
    n8 -->|"scores"| n12
    n11 -.->|"when"| n12
""".replace("[x", f"[{TIMES}")

# --- graphs of any kind ----------------------------------------------------------------------------------

NAMES = st.builds(
    lambda name, suffix: name + suffix,
    st.from_regex(r"[^\W\d]\w{0,8}", fullmatch=True).filter(str.isidentifier)
    | st.sampled_from(["end", "학습", "übung", "_", "style", "graph"]),
    st.sampled_from(["", "-2", "[diagnosis@champion]", "[a-b@3]"]),
)
TEXTS = st.text(max_size=12) | st.sampled_from(
    ['a"b', "<b>&", "#1;", "`x`", "line\nbreak", "]]>", "\x00\ud800"]
)


@st.composite
def graphs(draw: st.DrawFn, most: int = 14) -> Graph:
    """Nodes of every kind, with every kind of argument."""
    nodes: list[Node] = []
    for name in draw(st.lists(NAMES, max_size=most, unique=True)):
        outputs = [output(node.name, each) for node in nodes for each in node.outputs]
        one = st.sampled_from(
            [
                *outputs,
                dataset("patients@latest"),
                dataset("notes@2"),
                output("@m@champion", "model"),
                value(1),
            ]
        )
        argument = (
            one
            | st.builds(lambda items: several(*items), st.lists(one, max_size=4))
            | st.builds(
                lambda fields: Argument("dict", fields=fields), st.dictionaries(TEXTS, one, max_size=3)
            )
        )
        inputs = draw(st.dictionaries(st.sampled_from(["table", "model", "스코어"]), argument, max_size=3))
        kind = draw(st.sampled_from(["step", "step", "step", "gate", "register"]))
        node = Node(
            name,
            kind,
            inputs,
            {} if kind == "register" else draw(st.sampled_from([{"result": ""}, {"train": "", "test": ""}])),
            step="pipelines.p:f",
            settings={"conditions": [draw(TEXTS)], "name": draw(TEXTS)},
        )
        if kind == "register" and outputs:
            node = replace(node, inputs={**inputs, "when": draw(st.sampled_from(outputs))})
        if kind == "step":
            node = replace(
                node,
                mapped=tuple(inputs)[: draw(st.integers(0, 1))],
                when=draw(st.none() | st.sampled_from(outputs)) if outputs else None,
                tags=draw(st.dictionaries(TEXTS, TEXTS, max_size=2)),
                gpus=draw(st.integers(0, 2)),
            )
        nodes.append(node)
    return Graph("p", tuple(nodes))


def edges(graph: Graph) -> set[Edge]:
    """What is passed from where to where, read off the arguments."""

    def sources(argument: Argument) -> Iterator[str]:
        if argument.kind == "output":
            yield argument.node.removeprefix("@")
        elif argument.kind == "dataset":
            yield argument.value
        for item in (*argument.items, *argument.fields.values()):
            yield from sources(item)

    return {
        (source, node.name, role == "when")
        for node in graph.nodes
        for role, argument in (*node.inputs.items(), ("when", node.when))
        if argument is not None
        for source in sources(argument)
    }


def drawn_names(graph: Graph) -> list[str]:
    """The nodes, and each source that is none once."""
    return sorted({node.name for node in graph.nodes} | {source for source, _, _ in edges(graph)})


# --- Mermaid ---------------------------------------------------------------------------------------------

_BOX = re.compile(r'    n(\d+)(\[|\{|\[\(|\(\[|\[\[)"([^"]*)"(\]|\}|\)\]|\]\)|\]\])')
_LINE = re.compile(r'    n(\d+) (-->|-\.->)\|"([^"]*)"\| n(\d+)')
_CLOSED_BY = {"[": "]", "{": "}", "[(": ")]", "([": "])", "[[": "]]"}


def unescaped(label: str) -> str:
    return html.unescape(re.sub(r"#(\d+);", r"&#\1;", re.sub(r"#(quot|amp|lt);", r"&\1;", label)))


@given(graphs())
def test_mermaid_has_every_node_and_every_edge_exactly_once(graph: Graph) -> None:
    """What is read back from the text is the graph."""
    head, *lines = mermaid(picture_of(graph)).splitlines()

    boxes = [found for line in lines if (found := _BOX.fullmatch(line))]
    drawn = [found for line in lines if (found := _LINE.fullmatch(line))]

    names = {box[1]: re.sub(r" \[.\w+\]$", "", unescaped(box[3].partition("<br/>")[0])) for box in boxes}
    assert head == "flowchart TD" and len(boxes) + len(drawn) == len(lines)
    assert all(_CLOSED_BY[box[2]] == box[4] for box in boxes)
    assert sorted(names.values()) == drawn_names(graph) and len(names) == len(boxes)
    found = [(names[line[1]], names[line[4]], line[2] == "-.->") for line in drawn]
    assert sorted(found) == sorted(edges(graph))


def test_the_shape_says_the_kind_and_the_line_says_what_is_passed() -> None:
    """A pipeline with all kinds of nodes, word for word."""
    assert mermaid(picture_of(DIAGNOSIS)) == IN_MERMAID.lstrip()


@given(TEXTS)
def test_no_text_ends_its_label(text: str) -> None:
    """Whatever a condition says, it stays one quoted label, without a tag."""
    node = Node("gate", "gate", {}, {}, settings={"conditions": [text]})

    (line,) = mermaid(picture_of(Graph("p", (node,)))).splitlines()[1:]

    assert (found := _BOX.fullmatch(line)) and "<" not in found[3].replace("<br/>", "", 1)


# --- rails -----------------------------------------------------------------------------------------------

_BULLETS = "●◆■◎□"


def read_rails(rows: list[tuple[str, str]]) -> set[tuple[str, str]]:
    """Follow the rails of a drawing back to what they join."""
    owners: dict[int, str] = {}
    found = set()
    for strokes, name in rows:
        cells = dict(enumerate(strokes[::2]))
        owners = {at: owner for at, owner in owners.items() if cells.get(at, " ") not in " ─"}
        own = next((at for at, letter in cells.items() if letter in _BULLETS), None)
        if own is None:
            continue
        joined = {at for at, letter in cells.items() if letter in "├┤┼╰╯┴"}
        found |= {(owners[at], name) for at in joined | ({own} & set(owners))}
        for at in [at for at, letter in cells.items() if letter in "╰╯┴"]:
            del owners[at]
        owners[own] = name
    return found


@given(graphs())
def test_the_rails_join_what_the_graph_joins(graph: Graph) -> None:
    """Whoever follows the rails with a finger finds every edge, and none that is not there."""
    picture = picture_of(graph)

    rows = rails(picture, width=400)

    names = iter(box.name for box in picture.boxes)
    read = [
        (row.rails, next(names) if any(letter in _BULLETS for letter in row.rails) else "") for row in rows
    ]
    assert read_rails(read) == {(source, target) for source, target, _ in edges(graph)}


@given(graphs(), st.sampled_from(["utf-8", "ascii", "latin-1", "cp437"]), st.integers(20, 120))
def test_a_terminal_shows_one_line_for_each_node(graph: Graph, encoding: str, width: int) -> None:
    """Names stand in order, each on one line; the other lines only go on with one; all can be printed."""
    picture = picture_of(graph)

    rows = rails(picture, width=width, encoding=encoding)

    heads = [row.head for row in rows if row.head]
    assert len(heads) == len(picture.boxes)
    assert [row.head != "" for row in rows] == [
        any(letter in _BULLETS + "*?#o@" for letter in row.rails) for row in rows
    ]
    "\n".join(row.text for row in rows).encode(encoding)  # raises where it cannot be printed
    assert sorted(box.name for box in picture.boxes) == drawn_names(graph)


@given(st.integers(1, 60), st.integers(1, 60))
def test_eighty_columns_are_enough(count: int, taken: int) -> None:
    """However many steps there are and however many the last takes from, no line is wider."""
    nodes = [
        step(f"fit-{number}", retries=2, timeout_s=90, gpus=2, tags={"owner": "ml" * 30})
        for number in range(count)
    ]
    last = step("compare", inputs={"all": several(*(output(node.name) for node in nodes[:taken]))})

    rows = rails(picture_of(Graph("p", (*nodes, last))))

    assert max(cell_len(row.text) for row in rows) <= 80
    words = "".join(f"{row.tail.strip()} " for row in rows)
    assert words.count("pipelines.diagnosis") == count + 1 and words.count("at most 90 s") == count


def test_the_terminal_draws_rails_marks_conditions_and_options() -> None:
    """A pipeline with all kinds of nodes, letter for letter."""
    assert draw(DIAGNOSIS, "terminal") == IN_A_TERMINAL.lstrip()


def test_a_terminal_without_box_characters_gets_ascii() -> None:
    """The rails are drawn with what is there, and a name in another script is escaped."""
    graph = Graph(
        "p", (step("학습"), step("b", inputs={"x": output("학습")}), step("c", inputs={"x": output("학습")}))
    )

    rows = rails(picture_of(graph), encoding="ascii")

    assert [f"{row.rails} {row.head}" for row in rows] == [r"*   \ud559\uc2b5", "+-* b", "*   c"]


@pytest.mark.parametrize(
    ("fold", "count"),
    [
        (several(value(1), output("folds")), "2"),
        (value([1, 2, 3]), "3"),
        (output("folds"), "n"),
        (output("twice"), "2"),
    ],
)
def test_a_mapped_step_says_how_many_it_is_when_that_is_known(fold: Argument, count: str) -> None:
    """A list that is written down has a length, and what is mapped over it too; another has not yet."""
    nodes = (
        step("folds"),
        step("twice", inputs={"x": value([1, 2])}, mapped=("x",)),
        step("fit", inputs={"fold": fold}, mapped=("fold",)),
    )

    box = picture_of(Graph("p", nodes)).boxes[-1]
    assert box.count == count and box.title == f"fit [{TIMES}{count}]"


# --- SVG -------------------------------------------------------------------------------------------------

_SVG = "{http://www.w3.org/2000/svg}"


def boxes_of(image: str) -> list[tuple[str, float, float, float, float]]:
    """The boxes of an image: name, left, top, right, bottom."""
    found = []
    for group in ElementTree.fromstring(image).iter(f"{_SVG}g"):
        left, top = map(float, re.findall(r"-?[\d.]+", group.attrib["transform"]))
        rights, bottoms = [], []
        for shape in group:
            if shape.tag == f"{_SVG}rect":
                rights.append(float(shape.attrib["x"]) + float(shape.attrib["width"]))
                bottoms.append(float(shape.attrib["y"]) + float(shape.attrib["height"]))
            elif shape.attrib.get("class") == "gate":
                corners = re.findall(r"L([\d.]+) ([\d.]+)", shape.attrib["d"])
                rights += [float(x) for x, _ in corners]
                bottoms += [float(y) for _, y in corners]
            elif shape.tag == f"{_SVG}path":
                (x, y), *_ = re.findall(r"1 ([\d.]+) 6V([\d.]+)", shape.attrib["d"])
                rights.append(float(x))
                bottoms.append(float(y) + 6)
        texts = [each.text or "" for each in group.iter(f"{_SVG}text")]
        name = re.sub(r" \[.\w+\]$", "", texts[-1])
        found.append((name, left, top, left + max(rights), top + max(bottoms)))
    return found


def lines_of(image: str) -> Iterator[Edge]:
    """The lines of an image, by the boxes at which they begin and end."""
    boxes = boxes_of(image)
    for path in ElementTree.fromstring(image).iter(f"{_SVG}path"):
        if path.attrib["class"] in {"line", "line when"}:
            numbers = [float(number) for number in re.findall(r"-?[\d.]+", path.attrib["d"])]
            columns = [float(x) for x in re.findall(r"([\d.]+) [\d.]+(?=V)", path.attrib["d"])]
            (source,) = (
                name
                for name, left, _, right, bottom in boxes
                if abs(bottom - numbers[1]) < 0.2 and abs((left + right) / 2 - numbers[0]) < 0.2
            )
            (target,) = (
                name
                for name, left, top, right, _ in boxes
                if abs(top - numbers[-1] - 6) < 0.2 and left <= columns[-1] <= right
            )
            yield source, target, path.attrib["class"] == "line when"


@given(graphs())
def test_an_image_is_xml_with_every_node_once_and_none_over_another(graph: Graph) -> None:
    """Read back from its own coordinates; all of it lies inside the image."""
    image = svg(picture_of(graph))

    root = ElementTree.fromstring(image)
    boxes = boxes_of(image)
    assert len(boxes) == len(drawn_names(graph))
    for (_, left, top, right, bottom), (_, left2, top2, right2, bottom2) in itertools.combinations(boxes, 2):
        assert right <= left2 or right2 <= left or bottom <= top2 or bottom2 <= top
    for _, left, top, right, bottom in boxes:
        assert left >= 0 and top >= 0
        assert right <= float(root.attrib["width"]) and bottom <= float(root.attrib["height"])
    assert sorted(lines_of(image)) == sorted(edges(graph))


@st.composite
def joined(draw: st.DrawFn) -> tuple[list[float], list[tuple[int, int, str]]]:
    """Widths of boxes, and lines between them."""
    widths = draw(st.lists(st.floats(10, 400), max_size=40))
    pairs = st.tuples(st.integers(0, max(len(widths) - 1, 0)), st.integers(0, max(len(widths) - 1, 0)))
    lines = (
        draw(st.lists(pairs.filter(lambda pair: pair[0] < pair[1]), max_size=80, unique=True))
        if len(widths) > 1
        else []
    )
    return widths, [(source, target, "") for source, target in lines]


@given(joined())
def test_a_line_goes_down_and_passes_no_box(given: tuple[list[float], list[tuple[int, int, str]]]) -> None:
    """In each layer between its ends it has a lane of its own, which is outside of every box."""
    widths, lines = given

    layers = layered(widths, lines)

    for (source, target, _), way in zip(lines, layers.ways, strict=True):
        assert len(way) == layers.layer[target] - layers.layer[source] - 1
        for layer, lane in enumerate(way, start=layers.layer[source] + 1):
            for box, width in enumerate(widths):
                assert layers.layer[box] != layer or abs(layers.x[box] - lane) > width / 2


def test_a_thousand_steps_are_drawn_whole() -> None:
    """A graph whose long lines cannot all have lanes still has every box and every line."""
    nodes = [step("s0")]
    for number in range(1, 1000):
        far = {f"s{number - 1}", f"s{number // 2}", f"s{number // 7}"}
        nodes.append(step(f"s{number}", inputs={each: output(each) for each in sorted(far)}))
    graph = Graph("deep", tuple(nodes))

    image = svg(picture_of(graph))

    assert len(boxes_of(image)) == 1000
    assert image.count('class="line"') == len(edges(graph))


def test_an_image_has_the_same_bytes_in_every_process() -> None:
    """No order in it depends on Python's hash seed."""
    code = (
        "from tests.workflow.test_drawing import *; import sys; sys.stdout.write(svg(picture_of(DIAGNOSIS)))"
    )

    images = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]

    assert images[0] == images[1] == svg(picture_of(DIAGNOSIS)).encode()


# --- the door --------------------------------------------------------------------------------------------

PIPELINE = {
    "pipelines/p.py": """
        from mlwright import Dataset, pipeline, step

        @step
        def read(data: Dataset) -> str:
            return data.open().read().decode()

        @step(retries=2)
        def shout(text: str, times: int) -> str:
            return text.upper() * times

        @pipeline
        def loud(data: Dataset = Dataset("notes@latest"), times: int = 1):
            shout(read(data), times)
    """,
}


@pytest.fixture
def root(make_project: Maker) -> Path:
    """A project with one pipeline and its dataset."""
    root = make_project(PIPELINE)
    (root / "note.txt").write_text("hello")
    with Project.open(root) as project:
        project.datasets.add(root / "note.txt", "notes")
    return root


def test_a_pipeline_is_shown_in_the_terminal(root: Path) -> None:
    """With box characters, or, where there are none, without; nothing is run."""
    shown = mlwright("pipelines", "show", "loud", "-p", "times=3", cwd=root, PYTHONIOENCODING="utf-8")
    plain = mlwright("pipelines", "show", "loud", "-p", "times=3", cwd=root, PYTHONIOENCODING="ascii")

    assert shown.stdout.splitlines() == [
        "◎ notes@latest  dataset",
        "● read          pipelines.p:read",
        "● shout         pipelines.p:shout, 2 retries",
    ]
    assert plain.stdout.splitlines()[2] == "* shout         pipelines.p:shout, 2 retries"
    assert json.loads(mlwright("runs", "list", "--json", cwd=root).stdout) == []


WISHES = {
    "pipelines/p.py": """
        from mlwright import Dataset, pipeline, step
        from mlwright.steps import gate

        @step(environment="nowhere", resources={"memory": "1000000GiB", "gpus": 100})
        def fit(data: Dataset) -> bytes:
            return b""

        @step
        def evaluate(model: bytes) -> dict[str, float]:
            return {"auc": 1.0}

        @pipeline
        def wishes(data: Dataset = Dataset("nothing@7")):
            gate(evaluate(fit(data)), "auc > 0.5", not_worse_than="wish@3")
    """,
}


def test_what_is_drawn_need_not_be_there(make_project: Maker) -> None:
    """Neither data nor models, nor the environments of steps, nor a machine that has what they ask for."""
    root = make_project(WISHES)

    shown = mlwright("pipelines", "show", "wishes", "--json", cwd=root)
    planned = mlwright("pipelines", "plan", "wishes", cwd=root)

    assert shown.stderr == ""
    assert [node["name"] for node in json.loads(shown.stdout)["nodes"]] == ["fit", "evaluate", "gate"]
    assert planned.returncode == 2 and "asks for GPUs: 100" in planned.stderr


def test_a_file_is_drawn_as_its_name_says(root: Path) -> None:
    """What is printed in a form is what a file of that form gets."""
    for name in ("loud.svg", "loud.mmd", "loud.json", "loud.txt"):
        assert mlwright("pipelines", "show", "loud", "--output", name, cwd=root).returncode == 0

    drawn = mlwright("pipelines", "show", "loud", "--format", "mermaid", cwd=root, PYTHONIOENCODING="ascii")
    told = mlwright("pipelines", "show", "loud", "--json", cwd=root)

    assert (root / "loud.svg").read_text().startswith("<svg")
    assert (root / "loud.mmd").read_text() == drawn.stdout and drawn.stdout.startswith("flowchart TD")
    assert (root / "loud.json").read_text() == told.stdout
    assert [node["name"] for node in json.loads(told.stdout)["nodes"]] == ["read", "shout"]
    assert (root / "loud.txt").read_text().startswith("◎ notes@latest")


def test_two_forms_at_once_are_refused(root: Path) -> None:
    """`--json` is a form too."""
    refused = mlwright("pipelines", "show", "loud", "--json", "--format", "svg", cwd=root)

    assert refused.returncode == 2
    assert refused.stderr.startswith("error: --json and --format svg are two answers\nhint: ")


@pytest.mark.parametrize(
    ("name", "form"), [("a.SVG", "svg"), ("a.mermaid", "mermaid"), ("a.json", "json"), ("a", "terminal")]
)
def test_the_end_of_a_file_name_names_the_form(name: str, form: str) -> None:
    """In capitals too."""
    assert form_of(Path(name)) == form
