"""What a step's fingerprint covers of first-party code: the truth table, row by row."""

from __future__ import annotations

import os
import subprocess
import sys
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
    other = "def other(x):\n    return pd.DataFrame(x)\n"
    text = f"import numpy as np\nimport pandas as pd\n\ndef work(x):\n    return np.abs(x)\n\n{other}"

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


ATTACKS = {
    "what a name of the standard library is imported as": (
        {"pipelines/p.py": "from math import floor as f\n\ndef work(x):\n    return f(x)\n"},
        ("pipelines/p.py", "floor", "ceil"),
    ),
    "what a name of a package is imported as": (
        {"pipelines/p.py": "from sklearn.linear_model import Ridge as M\n\ndef work(x):\n    return M()\n"},
        ("pipelines/p.py", "Ridge", "Lasso"),
    ),
    "which of two helpers a name means": (
        {
            "pipelines/p.py": "from a import v as x, w as y\n\ndef work():\n    return x() - y()\n",
            "a.py": "def v():\n    return 1\n\ndef w():\n    return 2\n",
        },
        ("pipelines/p.py", "v as x, w as y", "w as x, v as y"),
    ),
    "the first of two places a name may come from": (
        {
            "pipelines/p.py": (
                "try:\n    from fast import f\nexcept ImportError:\n    from slow import f\n\n"
                "def work(x):\n    return f(x)\n"
            ),
            "fast.py": "def f(x):\n    return x\n",
            "slow.py": "def f(x):\n    return x\n",
        },
        ("fast.py", "return x", "return -x"),
    ),
    "an outer name beside an inner import of it": (
        {
            "pipelines/p.py": (
                "from b import f\n\ndef work(x):\n    def inner():\n        from c import f\n"
                "        return f(x)\n    return f(x) + inner()\n"
            ),
            "b.py": "def f(x):\n    return x\n",
            "c.py": "def f(x):\n    return x\n",
        },
        ("b.py", "return x", "return -x"),
    ),
    "an effect with a comprehension": (
        {
            "pipelines/p.py": (
                "T = {}\nC = {'a': 1}\nT.update({k: v for k, v in C.items()})\n\ndef work():\n    return T\n"
            )
        },
        ("pipelines/p.py", "k: v for", "k: v + 5 for"),
    ),
    "an effect in a try": (
        {
            "pipelines/p.py": (
                "T = []\ntry:\n    import json\n    T.append(1)\nexcept ImportError:\n    pass\n\n"
                "def work():\n    return T\n"
            )
        },
        ("pipelines/p.py", "append(1)", "append(2)"),
    ),
    "an effect whose value is thrown away": (
        {"pipelines/p.py": "T = []\n_ = T.append(1)\n\ndef work():\n    return T\n"},
        ("pipelines/p.py", "append(1)", "append(2)"),
    ),
    "what a single dispatch registers": (
        {
            "pipelines/p.py": (
                "from functools import singledispatch\n\n@singledispatch\ndef enc(x):\n    return 0\n\n"
                "@enc.register\ndef _(x: int):\n    return 1\n\ndef work(x):\n    return enc(x)\n"
            )
        },
        ("pipelines/p.py", "return 1", "return 2"),
    ),
    "what a decorator of the project puts into a dictionary": (
        {
            "pipelines/p.py": (
                "R = {}\n\ndef register(f):\n    R[f.__name__] = f\n    return f\n\n"
                "@register\ndef a():\n    return 1\n\ndef work():\n    return R['a']()\n"
            )
        },
        ("pipelines/p.py", "return 1", "return 2"),
    ),
    "a module that is imported by its name in a text": (
        {
            "pipelines/p.py": (
                "import importlib\n\ndef work():\n    return importlib.import_module('variants.a').V\n"
            ),
            "variants/a.py": "V = 1\n",
        },
        ("variants/a.py", "V = 1", "V = 2"),
    ),
    "an importer under another name": (
        {
            "pipelines/p.py": (
                "from importlib import import_module as im\n\ndef work():\n    return im('variants').V\n"
            ),
            "variants.py": "V = 1\n",
        },
        ("variants.py", "V = 1", "V = 2"),
    ),
    "a star after a binding of the same name": (
        {"pipelines/p.py": "V = 0\nfrom b import *\n\ndef work():\n    return V\n", "b.py": "V = 1\n"},
        ("b.py", "V = 1", "V = 2"),
    ),
    "the order of statements that bind one name": (
        {"pipelines/p.py": "A = 1\nB = A\nA = 2\n\ndef work():\n    return A, B\n"},
        ("pipelines/p.py", "B = A\nA = 2", "A = 2\nB = A"),
    ),
    "a name that a class's body takes from the module": (
        {"pipelines/p.py": "alpha = 1\n\nclass C:\n    alpha = alpha\n\ndef work():\n    return C.alpha\n"},
        ("pipelines/p.py", "alpha = 1", "alpha = 2"),
    ),
    "what a package binds to the name of its module": (
        {
            "pipelines/p.py": "from pack import clean\n\ndef work():\n    return clean()\n",
            "pack/__init__.py": "from .impl import clean\n",
            "pack/impl.py": "def clean():\n    return 1\n",
            "pack/clean.py": "",
        },
        ("pack/impl.py", "return 1", "return 2"),
    ),
    "a name that a module makes up": (
        {
            "pipelines/p.py": "from made import anything\n\ndef work():\n    return anything\n",
            "made.py": "def __getattr__(name):\n    return 1\n",
        },
        ("made.py", "return 1", "return 2"),
    ),
    "a guard that is not the main guard": (
        {"pipelines/p.py": "if __name__ != '__main__':\n    K = 1\n\ndef work():\n    return K\n"},
        ("pipelines/p.py", "K = 1", "K = 2"),
    ),
    "what is looked up among the globals": (
        {"pipelines/p.py": "def h():\n    return 1\n\ndef work():\n    return globals()['h']()\n"},
        ("pipelines/p.py", "return 1", "return 2"),
    ),
    "a name that a function makes global": (
        {"pipelines/p.py": "def setup():\n    global K\n    K = 1\n\nsetup()\n\ndef work():\n    return K\n"},
        ("pipelines/p.py", "K = 1", "K = 2"),
    ),
}


@pytest.mark.parametrize("what", ATTACKS)
def test_no_way_to_change_a_result_is_overlooked(tmp_path: Path, what: str) -> None:
    """Each of these changed a result under an unchanged fingerprint once, or might have."""
    files, change = ATTACKS[what]
    before = reach(write(tmp_path, files))

    after = changed(tmp_path, *change)

    assert after.units != before.units


def test_a_library_imported_only_for_its_effect_counts(tmp_path: Path) -> None:
    """`import patches` without naming it again is there for what importing it does."""
    text = "import numpy as np\nimport sklearnex\n\ndef work(x):\n    return np.abs(x)\n"

    found = reach(write(tmp_path, {"pipelines/p.py": text}))

    assert found.libraries == {"numpy", "sklearnex"}


def test_what_is_reached_does_not_depend_on_how_python_hashes(tmp_path: Path) -> None:
    """Two processes with different hash seeds name the same units."""
    write(tmp_path, {"pipelines/p.py": "AA, BB, CC = 1, 2, 3\n\ndef work():\n    return AA + BB + CC\n"})
    code = (
        "import sys; from pathlib import Path; from mlwright.workflow.code import CodeIndex\n"
        "print(CodeIndex(Path(sys.argv[1])).reach('pipelines.p:work').units)"
    )

    told = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(told) == 1
