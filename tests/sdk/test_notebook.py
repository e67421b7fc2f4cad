"""A notebook is executed cell by cell, with IPython and without, and keeps what its cells showed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.kernel.errors import Invalid
from mlwright.sdk.cells import TEXT_LIMIT, Shown
from mlwright.sdk.notebook import Notebook, read_notebook
from mlwright.sdk.shells import needs_ipython
from tests.processes import run_python

RUN = """
    import json, sys
    from pathlib import Path

    if sys.argv[3] == "plain":
        sys.modules["IPython"] = None  # as if it were not installed
    from mlwright.kernel.errors import Invalid
    from mlwright.sdk.notebook import run_notebook

    root = Path(sys.argv[1])
    try:
        done = run_notebook(root / sys.argv[2], json.loads(sys.argv[4]), root)
    except Invalid as error:
        sys.exit(error.render())
    (root / "executed.ipynb").write_bytes(done.encoded())
    (root / "told.json").write_text(json.dumps([repr(done.error), done.place]))
"""

IPYTHON = pytest.param(
    "ipython",
    marks=pytest.mark.skipif(find_spec("IPython") is None, reason="IPython is not installed here"),
)
BOTH = pytest.mark.parametrize("shell", ["plain", IPYTHON])
ONLY_IPYTHON = pytest.mark.parametrize("shell", [IPYTHON])


@dataclass(frozen=True)
class Ran:
    """What came of a notebook."""

    stdout: str
    stderr: str
    encoded: bytes = b""
    error: str = ""
    place: str = ""

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.encoded)

    @property
    def outputs(self) -> list[Any]:
        """What each code cell shows, in short: text of streams, results and errors."""
        return [
            [_short(each) for each in cell["outputs"]]
            for cell in self.document["cells"]
            if cell["cell_type"] == "code"
        ]


def _short(output: dict[str, Any]) -> tuple[str, str]:
    match output["output_type"]:
        case "stream":
            return output["name"], output["text"]
        case "error":
            return "error", output["ename"]
    return output["output_type"], output["data"]["text/plain"]


def code(source: str, *tags: str) -> dict[str, Any]:
    """A code cell, as an editor left it after an earlier execution."""
    return {
        "cell_type": "code",
        "execution_count": 99,
        "metadata": {"tags": list(tags), "execution": {"iopub.execute_input": "2020-01-01T00:00:00Z"}},
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "old"}],
        "source": source.splitlines(keepends=True),
    }


def text(source: str) -> dict[str, Any]:
    """A cell of Markdown."""
    return {"cell_type": "markdown", "metadata": {"mine": 1}, "source": source}


def document(*cells: str | dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A notebook's JSON."""
    metadata = {"kernelspec": {"language": "python", "name": "python3"}, "mine": [1]}
    whole = [code(cell) if isinstance(cell, str) else cell for cell in cells]
    return {"nbformat": 4, "nbformat_minor": 4, "metadata": metadata, "cells": whole} | changes


def write(path: Path, content: dict[str, Any]) -> Path:
    """Write a notebook."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def run(root: Path, shell: str, *cells: str | dict[str, Any], **parameters: Any) -> Ran:
    """Execute a notebook in a process of its own."""
    write(root / "reports/a.ipynb", document(*cells))
    done = run_python(RUN, root, "reports/a.ipynb", shell, json.dumps(parameters))
    if done.returncode:
        return Ran(done.stdout, done.stderr)
    error, place = json.loads((root / "told.json").read_text())
    return Ran(done.stdout, done.stderr, (root / "executed.ipynb").read_bytes(), error, place)


@BOTH
def test_cells_share_a_namespace_and_show_their_last_value(tmp_path: Path, shell: str) -> None:
    """Streams in the order they were written, then the value; none for a semicolon, None or a statement."""
    ran = run(
        tmp_path,
        shell,
        text("# Report"),
        "import sys\nx = 2",
        "print('one')\nprint('two', file=sys.stderr)\nprint('three')\nx + 1",
        "x;",
        "'text'",
        "None",
        "",
        "__name__, sys.modules['__main__'].x",
    )

    assert (ran.error, ran.stdout, ran.stderr) == ("None", "one\nthree\n", "two\n")
    assert ran.outputs == [
        [],
        [("stdout", "one\n"), ("stderr", "two\n"), ("stdout", "three\n"), ("execute_result", "3")],
        [],
        [("execute_result", "'text'")],
        [],
        [],
        [("execute_result", "('__main__', 2)")],
    ]
    assert [cell.get("execution_count") for cell in ran.document["cells"]] == [None, 1, 2, 3, 4, 5, None, 7]


@BOTH
def test_the_executed_notebook_is_the_source_with_other_outputs(tmp_path: Path, shell: str) -> None:
    """Its metadata stays, what an earlier execution left does not; twice the same is the same bytes."""
    cells = (
        text("# Ré\ud800port"),
        code("print('\\ud800'.encode(errors='replace'))\nfigure = 1", "plot"),
        "1 / 0",
    )

    first, second = run(tmp_path / "1", shell, *cells), run(tmp_path / "2", shell, *cells)

    assert first.encoded == second.encoded
    assert b"2020-01-01" not in first.encoded and b"old" not in first.encoded
    assert str(tmp_path).encode() not in first.encoded
    source = document(*cells)
    assert first.document["metadata"] == source["metadata"]
    assert first.document["cells"][0] == source["cells"][0]
    assert first.document["cells"][1]["metadata"] == {"tags": ["plot"]}
    assert "".join(source["cells"][2]["source"]) == first.document["cells"][2]["source"]


@BOTH
def test_a_failing_cell_ends_the_notebook_with_its_own_lines(tmp_path: Path, shell: str) -> None:
    """What was shown before is kept; the traceback names cells, shows their source, and nothing of ours."""
    ran = run(
        tmp_path,
        shell,
        "def invert(x):\n    return 1 / x",
        "\n\nprint('so far')\ninvert(0)\n",
        "print('never')",
    )

    assert ran.error == "ZeroDivisionError('division by zero')"
    assert ran.place == "reports/a.ipynb cell 2, line 4"
    assert ran.outputs == [[], [("stdout", "so far\n"), ("error", "ZeroDivisionError")], []]
    assert ran.document["cells"][2]["execution_count"] is None
    lines = ran.document["cells"][1]["outputs"][1]["traceback"]
    assert [line for line in lines if "^" not in line] == [
        "Traceback (most recent call last):",
        '  File "reports/a.ipynb cell 2", line 4, in <module>',
        "    invert(0)",
        '  File "reports/a.ipynb cell 1", line 2, in invert',
        "    return 1 / x",
        "ZeroDivisionError: division by zero",
    ]


@BOTH
@pytest.mark.parametrize(
    ("cell", "error", "line"),
    [
        ("x = 1\nif x\n", "SyntaxError", 2),
        ("x = 1\n  y = 2", "IndentationError", 2),
        ("x = 1\n\n\nraise KeyboardInterrupt", "KeyboardInterrupt", 4),
        ("assert True\nclass Odd(Exception):\n def __str__(self): 1/0\nraise Odd", "Odd", 4),
    ],
)
def test_whatever_a_cell_raises_has_a_place(
    tmp_path: Path, shell: str, cell: str, error: str, line: int
) -> None:
    """The cell's number and the line within it."""
    ran = run(tmp_path, shell, "print(1)", cell)

    assert ran.outputs == [[("stdout", "1\n")], [("error", error)]]
    assert ran.place == f"reports/a.ipynb cell 2, line {line}"


@BOTH
def test_a_notebook_may_end_itself(tmp_path: Path, shell: str) -> None:
    """By Python's rules for exit statuses; the cells behind are not executed."""
    well = run(tmp_path, shell, "import sys\nprint(1)\nsys.exit()", "print(2)")
    badly = run(tmp_path, shell, "import sys\nsys.exit('no rows')", "print(2)")

    assert (well.error, well.outputs) == ("None", [[("stdout", "1\n")], []])
    assert badly.error == "WorkFailed('the notebook ended with exit status 1: no rows')"
    assert (badly.place, badly.stderr) == ("reports/a.ipynb cell 1, line 2", "no rows\n")
    assert badly.outputs == [[("error", "SystemExit")], []]


@BOTH
def test_a_notebook_runs_in_its_own_folder(tmp_path: Path, shell: str) -> None:
    """As Jupyter does; modules beside it and in the project's root are importable."""
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/beside.py").write_text("x = 1")
    (tmp_path / "features.py").write_text("import warnings\nwarnings.warn('careful')")

    ran = run(tmp_path, shell, "import beside, features\nopen('table.csv', 'w').write('1')")

    assert ran.outputs[0][-1] == ("execute_result", "1")
    assert (tmp_path / "reports/table.csv").exists()
    assert ran.stderr == "features.py:2: UserWarning: careful\n  warnings.warn('careful')\n"


@BOTH
def test_parameters_come_behind_their_defaults(tmp_path: Path, shell: str) -> None:
    """In a cell of their own without a number, in the order of the defaults; of any JSON value."""
    values = {"grid": [1, {"a": None}], "name": "it's", "limit": float("inf"), "on": True}

    ran = run(
        tmp_path,
        shell,
        code("on: bool = False\nname = ''\ngrid, limit = [], 0", "parameters") | {"id": "abc"},
        "on, name, grid, limit",
        **{key: value for key, value in values.items() if key in {"on", "name"}},
    )

    injected = ran.document["cells"][1]
    assert injected["source"] == '# Parameters\non = True\nname = "it\'s"'
    assert (injected["metadata"], injected["execution_count"]) == ({"tags": ["injected-parameters"]}, None)
    assert ran.outputs[2] == [("execute_result", """(True, "it's", [], 0)""")]
    assert ran.document["cells"][2]["execution_count"] == 2


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_value_arrives_as_it_was(value: Any) -> None:
    """What the injected cell says is the value."""
    with_value = notebook(code("x = 1", "parameters")).with_parameters({"x": value})

    names: dict[str, Any] = {}
    exec(with_value.cells[1]["source"], names)

    assert repr(names["x"]) == repr(value)


def notebook(*cells: str | dict[str, Any]) -> Notebook:
    """A notebook that was read."""
    whole = [{**cell, "source": "".join(cell["source"])} for cell in document(*cells)["cells"]]
    return Notebook("a.ipynb", document() | {"cells": whole})


def test_the_defaults_are_known_by_name() -> None:
    """Assigned in any way, with the expression; magics beside them do not matter."""
    tagged = code(
        "%matplotlib inline\na = 1\nb: str = 'x'\nc = d = [1, 2]\ne, [f, g] = 1, two()\nh: int", "parameters"
    )

    known = notebook("z = 1", tagged).parameters()

    assert known == {"a": "1", "b": "'x'", "c": "[1, 2]", "d": "[1, 2]", "e": "1", "f": "", "g": ""}


def test_values_given_before_are_replaced() -> None:
    """An executed notebook is executed again with other values."""
    first = notebook("0", code("x = 1", "parameters"), "x").with_parameters({"x": 2})

    second = first.with_parameters({"x": 3})

    assert [cell["source"] for cell in second.cells] == ["0", "x = 1", "# Parameters\nx = 3", "x"]


def test_a_parameter_must_have_a_place() -> None:
    """A name nobody assigns names the nearest; no tagged cell says how to tag one."""
    tagged = notebook(code("rate = 1\ndepth = 2", "parameters"))

    with pytest.raises(Invalid, match=r"a.ipynb has no parameter `dept`") as unknown:
        tagged.with_parameters({"dept": 1})
    with pytest.raises(Invalid, match="none of its cells is tagged `parameters`") as untagged:
        notebook("rate = 1").with_parameters({"rate": 1})
    with pytest.raises(Invalid, match="the cell tagged `parameters` is not Python"):
        notebook(code("rate = = 1", "parameters")).with_parameters({"rate": 1})

    assert unknown.value.hint == "did you mean `depth`?"
    assert "Add Cell Tag" in str(untagged.value.hint)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is not JSON"),
        (b"\xff\xfe\xff", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[]", "it names no nbformat"),
        (b'{"nbformat": "4"}', "it names no nbformat"),
        (b'{"nbformat": 4}', "it has no cells"),
        (b'{"nbformat": 3, "worksheets": []}', "has nbformat 3"),
        (b'{"nbformat": 4, "cells": [{}]}', "the 1. of its cells is damaged"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": [1]}]}', "the 1. of its cells"),
        (b'{"nbformat": 4, "cells": [], "metadata": {"kernelspec": {"language": "R"}}}', "written in R"),
        (b'{"nbformat": 4, "cells": [], "metadata": {"language_info": {"name": "julia"}}}', "in julia"),
    ],
)
def test_what_is_no_notebook_of_python_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    """With the reason and the file."""
    (tmp_path / "a.ipynb").write_bytes(content)

    with pytest.raises(Invalid, match=f"a.ipynb.* {told}") as error:
        read_notebook(tmp_path / "a.ipynb", "a.ipynb")

    assert error.value.where == "a.ipynb"
    assert ("nbconvert" in str(error.value.hint)) == ("nbformat 3" in told)


def test_a_notebook_of_few_words_is_read(tmp_path: Path) -> None:
    """Metadata may be missing, a byte order mark be there."""
    path = tmp_path / "a.ipynb"
    path.write_bytes(b'\xef\xbb\xbf{"nbformat": 4, "cells": [{"cell_type": "code", "source": "x"}]}')

    assert read_notebook(path).cells == [{"cell_type": "code", "source": "x", "metadata": {}}]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("x = 1\n%matplotlib inline", (2, "%matplotlib")),
        ("\n%%bash\necho \"it's", (2, "%%bash")),
        ("!pip list", (1, "!pip")),
        ("!echo it's", (1, "!echo")),
        ("files = !ls", (1, "!ls")),
        ("x = %timeit -o 1", (1, "%timeit")),
        ("import os\nos.path?", (2, "?")),
        ("?os", (1, "?os")),
        ("if True:\n    %time x", (2, "%time")),
        ("x = 1\nawait f()", (2, "await")),
        ("[x async for x in f()]", (1, "await")),
        ("text = '''\n%d\n!x\n?'''\nx = (7\n% 2)\nx != 1", None),
        ("async def f():\n    await g()", None),
        ("return 1", None),
        ("def f(:", None),
        ("x = 'a\0b'", None),
        ("", None),
    ],
)
def test_what_only_ipython_understands_is_known(source: str, found: tuple[int, str] | None) -> None:
    """Line and name of magics, commands, questions and `await`; what is Python, or nothing, is not."""
    assert needs_ipython(source) == found


def test_without_ipython_nothing_runs_if_a_cell_needs_it(tmp_path: Path) -> None:
    """The cell, the line and the remedy are named before the first cell begins."""
    ran = run(tmp_path, "plain", "print('begun')", text("!x"), "x = 1\n%time x")

    assert ran.stdout == ""
    assert ran.stderr == (
        "error: reports/a.ipynb cell 2 uses `%time`, which needs IPython, and this environment has none\n"
        "  at reports/a.ipynb cell 2, line 2\n"
        "hint: add ipython to the dependencies: mlwright environments add ipython\n"
    )


@BOTH
def test_the_future_of_one_cell_is_that_of_the_next(tmp_path: Path, shell: str) -> None:
    """And ours is not theirs."""
    ran = run(
        tmp_path,
        shell,
        "def f(x: int): ...\nf.__annotations__['x']",
        "from __future__ import annotations",
        "def f(x: int): ...\nf.__annotations__['x']",
    )

    shown = [outputs[0][1] for outputs in ran.outputs if outputs]
    assert shown == ["int" if shell == "ipython" else "<class 'int'>", "'int'"]


@BOTH
def test_a_logger_of_an_earlier_cell_writes_into_the_later(tmp_path: Path, shell: str) -> None:
    """It holds on to the stream it found."""
    ran = run(
        tmp_path,
        shell,
        "import logging, sys\nlog = logging.getLogger()\nlog.addHandler(logging.StreamHandler())",
        "log.error('late')\nsys.stdout.fileno(), sys.stdout.isatty()",
        "import inspect\ndef f():\n    return 1",
        "display(2)\nprint(inspect.getsource(f), end='')",
    )

    assert ran.outputs[1] == [("stderr", "late\n"), ("execute_result", "(1, False)")]
    assert ran.outputs[3] == [("display_data", "2"), ("stdout", "def f():\n    return 1\n")]


@BOTH
def test_too_much_text_is_cut_in_the_notebook_only(tmp_path: Path, shell: str) -> None:
    """The log has all of it, the notebook a note; the next cell begins anew."""
    ran = run(tmp_path, shell, "for _ in range(3):\n    print('x' * 2**19)", "print('next')")

    assert len(ran.stdout) > 3 * 2**19
    (_, kept), (_, note) = ran.outputs[0]
    assert len(kept) == TEXT_LIMIT
    assert note == "\n[the text of this cell is cut after 1,048,576 characters]\n"
    assert ran.outputs[1] == [("stdout", "next\n")]


def test_what_is_shown_is_json_of_its_own() -> None:
    """Bytes are base64, what JSON cannot hold is its text, and later changes do not show."""
    shown, tree = Shown(), {"a": [1]}
    shown.begin(3)

    shown.result({"application/json": tree, "image/png": b"\x89", "x": {1: Path("/p")}}, {"y": {"w": 2}})
    tree["a"].append(2)

    assert shown.end() == [
        {
            "output_type": "execute_result",
            "execution_count": 3,
            "data": {"application/json": {"a": [1]}, "image/png": "iQ==", "x": {"1": "/p"}},
            "metadata": {"y": {"w": 2}},
        }
    ]


@ONLY_IPYTHON
def test_ipython_gives_what_notebooks_are_used_to(tmp_path: Path, shell: str) -> None:
    """Rich results, updated and cleared displays, magics, commands, `await`, and its history."""
    ran = run(
        tmp_path,
        shell,
        "class Rich:\n    def _repr_html_(self): return '<b>'\n    def __repr__(self): return 'rich'\nRich()",
        "shown = display('first', display_id=True)\nshown.update('second')\nprint('x')",
        "from IPython.display import clear_output\nprint('gone')\nclear_output(wait=True)\nprint('stays')",
        "!echo {6 * 7}",
        "import asyncio\nawait asyncio.sleep(0, 'awaited')",
        "get_ipython().enable_gui(None)  # as `%matplotlib inline` does",
        "Out[5], _4 if '_4' in globals() else None",
        "exit()",
        "print('never')",
    )

    assert ran.error == "None"
    assert ran.document["cells"][0]["outputs"][0]["data"] == {"text/html": "<b>", "text/plain": "rich"}
    assert ran.outputs[1:5] == [
        [("display_data", "'second'"), ("stdout", "x\n")],
        [("stdout", "stays\n")],
        [("stdout", "42\r\n")],
        [("execute_result", "'awaited'")],
    ]
    assert ran.outputs[6:] == [[("execute_result", "('awaited', None)")], [], []]


@ONLY_IPYTHON
@pytest.mark.parametrize("cell", ["%%time\n1 / 0", "%nosuchmagic", "%run missing.py", "%run raises.py"])
def test_a_magic_that_fails_fails_the_notebook(tmp_path: Path, shell: str, cell: str) -> None:
    """Also one that would only print what was raised."""
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/raises.py").write_text("1 / 0")

    ran = run(tmp_path, shell, cell, "print('never')")

    assert ran.outputs[0][-1][0] == "error"
    assert ran.outputs[1] == []
    assert ran.place.startswith("reports/a.ipynb cell 1")


@ONLY_IPYTHON
def test_a_representation_that_fails_is_told_and_no_more(tmp_path: Path, shell: str) -> None:
    """The value has others."""
    ran = run(
        tmp_path,
        shell,
        "class Odd:\n    def _repr_html_(self): 1 / 0\n    def __repr__(self): return 'odd'\nOdd()",
    )

    assert ran.error == "None"
    assert ran.outputs == [[("stderr", "ZeroDivisionError: division by zero\n"), ("execute_result", "odd")]]


@ONLY_IPYTHON
def test_ipython_leaves_the_user_s_own_folder_alone(tmp_path: Path, shell: str) -> None:
    """No configuration or history is read or written, and no other environment is looked into."""
    write(tmp_path / "a.ipynb", document("import sys\nprint([p for p in sys.path if 'other' in p])"))
    home = tmp_path / "home"
    (tmp_path / "other/lib").mkdir(parents=True)
    home.mkdir()

    done = run_python(
        RUN, tmp_path, "a.ipynb", shell, "{}", HOME=str(home), VIRTUAL_ENV=str(tmp_path / "other")
    )

    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert list(home.iterdir()) == []
