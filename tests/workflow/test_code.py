"""What a step's fingerprint covers of first-party code: the truth table, row by row."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlwright.workflow.code import ANYTHING, CodeIndex, Reach
from tests.conftest import write

PIPELINE = '''
    """A module."""
    import features
    from lib import scale
    from shapes import Square, Colour, Point, side
    from functools import partial
    from mlwright import step

    FACTOR = 2
    OTHER = 5
    add = partial(scale.add, 1)
    adder = scale.make_adder(3)

    def helper(x, offset=4):
        """Docs of the helper."""
        return x + offset

    def unused(x):
        return x

    def decorated(function):
        return lambda *a: function(*a)

    @step(retries=1, timeout="1m")
    @decorated
    def work(x: int) -> int:
        """Docs of the step."""
        local = helper(x) * FACTOR
        double = lambda y: y * 2
        shapes = Square(x).area + Colour.RED.value + double(Point(1).x)
        return features.clean(local) + add(1) + adder(2) + shapes
'''
FILES = {
    "pipelines/p.py": PIPELINE,
    "features.py": """
        from deep import deepest

        def clean(x):
            return deepest(x)

        def other(x):
            return x
    """,
    "deep.py": "def deepest(x):\n    return abs(x)\n",
    "lib/__init__.py": "",
    "lib/scale.py": """
        def add(a, b):
            return a + b

        def make_adder(n):
            def inner(x):
                return x + n
            return inner
    """,
    "shapes.py": """
        import dataclasses
        import enum

        side = 1

        class Shape:
            unit = "cm"

            def name(self):
                return "shape"

        class Square(Shape):
            def __init__(self, side):
                self.side = side

            @property
            def area(self):
                return self.side ** 2

        class Colour(enum.Enum):
            RED = 1

        @dataclasses.dataclass
        class Point:
            x: int = 0
    """,
}


def reach(root: Path) -> Reach:
    return CodeIndex(root).reach("pipelines.p:work")


KEPT = {
    "nothing": ("deep.py", "", ""),
    "a comment": ("pipelines/p.py", "FACTOR = 2", "FACTOR = 2  # twice"),
    "formatting": ("pipelines/p.py", "FACTOR = 2", "FACTOR    =    2"),
    "the step's docstring": ("pipelines/p.py", "Docs of the step.", "Other docs."),
    "a helper's docstring": ("pipelines/p.py", "Docs of the helper.", "Other docs."),
    "the module's docstring": ("pipelines/p.py", "A module.", "Another module."),
    "a function added above": ("pipelines/p.py", "FACTOR = 2", "def added():\n    return 1\n\nFACTOR = 2"),
    "a function nobody calls": (
        "pipelines/p.py",
        "def unused(x):\n    return x",
        "def unused(x):\n    return -x",
    ),
    "a constant nobody reads": ("pipelines/p.py", "OTHER = 5", "OTHER = 6"),
    "another function of a module used by name": (
        "features.py",
        "def other(x):\n    return x",
        "def other(x):\n    return 2 * x",
    ),
    "retries and time-out": ("pipelines/p.py", 'retries=1, timeout="1m"', 'retries=3, timeout="2m"'),
}
CHANGED = {
    "the step's body": ("pipelines/p.py", "* FACTOR", "+ FACTOR"),
    "a helper in the same file": ("pipelines/p.py", "return x + offset", "return x - offset"),
    "a default argument": ("pipelines/p.py", "offset=4", "offset=5"),
    "a module constant": ("pipelines/p.py", "FACTOR = 2", "FACTOR = 3"),
    "a lambda": ("pipelines/p.py", "y * 2", "y * 3"),
    "a decorator's body": ("pipelines/p.py", "lambda *a: function(*a)", "lambda *a: -function(*a)"),
    "what a partial fixes": ("pipelines/p.py", "partial(scale.add, 1)", "partial(scale.add, 2)"),
    "what a partial calls": ("lib/scale.py", "return a + b", "return a - b"),
    "what a closure holds": ("pipelines/p.py", "make_adder(3)", "make_adder(4)"),
    "a closure's body": ("lib/scale.py", "return x + n", "return x - n"),
    "a helper in another module": ("features.py", "return deepest(x)", "return -deepest(x)"),
    "a helper's helper in a third module": ("deep.py", "abs(x)", "-abs(x)"),
    "a property": ("shapes.py", "self.side ** 2", "self.side ** 3"),
    "a method": ("shapes.py", "self.side = side", "self.side = side + 1"),
    "an inherited method": ("shapes.py", 'return "shape"', 'return "form"'),
    "an inherited class attribute": ("shapes.py", '"cm"', '"mm"'),
    "an enum's member": ("shapes.py", "RED = 1", "RED = 2"),
    "a dataclass's field": ("shapes.py", "x: int = 0", "x: int = 1"),
    "an effect of a package that is imported": (
        "lib/__init__.py",
        "",
        "import sys; sys.setrecursionlimit(999)",
    ),
}


def changed(root: Path, file: str, old: str, new: str) -> Reach:
    path = root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return reach(root)


@pytest.mark.parametrize("what", KEPT)
def test_what_cannot_change_the_result_leaves_the_code_of_a_step_as_it_is(tmp_path: Path, what: str) -> None:
    """Comments, formatting, docstrings, unused code and how a step is run do not count."""
    before = reach(write(tmp_path, FILES))

    after = changed(tmp_path, *KEPT[what])

    assert after == before


@pytest.mark.parametrize("what", CHANGED)
def test_what_can_change_the_result_changes_the_code_of_a_step(tmp_path: Path, what: str) -> None:
    """Everything first-party that a step can reach counts, in whatever module it stands."""
    before = reach(write(tmp_path, FILES))

    after = changed(tmp_path, *CHANGED[what])

    assert after.units != before.units


def test_a_local_variable_is_not_the_function_of_that_name(tmp_path: Path) -> None:
    """Python's own scoping decides: a step with a local `train` does not depend on a step `train`."""
    text = "def train(x):\n    return x\n\ndef work(x):\n    train = x\n    return train\n"
    before = reach(write(tmp_path, {"pipelines/p.py": text}))

    after = changed(tmp_path, "pipelines/p.py", "return x", "return -x")

    assert after == before


def test_only_the_libraries_a_step_names_count(tmp_path: Path) -> None:
    """An import that the step does not use belongs to other steps of the module."""
    text = "import numpy as np\nimport pandas as pd\n\ndef work(x):\n    return np.abs(x)\n"

    found = reach(write(tmp_path, {"pipelines/p.py": text}))

    assert found.libraries == {"numpy"}


def test_a_library_behind_a_helper_counts(tmp_path: Path) -> None:
    """What a helper in another module imports, the step imports."""
    text = "from tools import clean\n\ndef work(x):\n    return clean(x)\n"
    tools = "def clean(x):\n    import scipy.stats as st\n    return st.zscore(x)\n"

    found = reach(write(tmp_path, {"pipelines/p.py": text, "tools.py": tools}))

    assert found.libraries == {"scipy"}


def test_an_annotation_in_quotes_counts_as_one_without(tmp_path: Path) -> None:
    """`"pd.DataFrame"` names pandas as pd.DataFrame does."""
    work = 'import pandas as pd\n\ndef work(x: "pd.DataFrame") -> "list[Box]":\n    return []\n'
    text = f"{work}\nclass Box:\n    size = 1\n"
    before = reach(write(tmp_path, {"pipelines/p.py": text}))

    after = changed(tmp_path, "pipelines/p.py", "size = 1", "size = 2")

    assert before.libraries == {"pandas"}
    assert after != before


def test_code_that_imports_by_a_computed_name_depends_on_every_package(tmp_path: Path) -> None:
    """What cannot be resolved is taken whole."""
    text = "import importlib\n\ndef work(x):\n    return importlib.import_module(x)\n"

    found = reach(write(tmp_path, {"pipelines/p.py": text}))

    assert ANYTHING in found.libraries


@pytest.mark.parametrize(
    "text",
    [
        "from features import *\n\ndef work(x):\n    return clean(x)\n",
        "import features as f\n\ndef work(x):\n    return getattr(f, 'clean')(x)\n",
        "def work(x):\n    from features import clean\n    return clean(x)\n",
        "try:\n    from features import clean\nexcept ImportError:\n    clean = abs\n\n"
        "def work(x):\n    return clean(x)\n",
        "from pack import clean\n\ndef work(x):\n    return clean(x)\n",
        "from . import local\n\ndef work(x):\n    return local.clean(x)\n",
        "if True:\n    import pack.inner\n\ndef work(x):\n    return pack.inner.clean(x)\n",
    ],
)
def test_every_way_to_import_a_helper_is_followed(tmp_path: Path, text: str) -> None:
    """Star, alias, local, guarded, re-exported, relative and dotted imports lead to the same body."""
    body = "def clean(x):\n    return abs(x)\n"
    files = {
        "pipelines/p.py": text,
        "pipelines/local.py": "from features import clean\n",
        "features.py": body,
        "pack/__init__.py": "from .inner import clean\n",
        "pack/inner.py": "from features import clean\n",
    }
    before = reach(write(tmp_path, files))

    after = changed(tmp_path, "features.py", "abs(x)", "-abs(x)")

    assert after.units != before.units
