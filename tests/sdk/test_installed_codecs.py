"""Codecs of other packages: found by entry point in a real installed distribution."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path

import pytest

from tests.processes import run_python

MODULE = """
    import json
    from fractions import Fraction

    print("the package is imported")

    class FractionCodec:
        name = "fraction"
        distributions = ("fractionate",)
        dumps = loads = None

        def matches(self, value):
            return isinstance(value, Fraction)

        def encode(self, value, path):
            path.write_text(json.dumps([value.numerator, value.denominator]))

        def decode(self, path, wanted, scratch):
            return Fraction(*json.loads(path.read_text()))

        def describe(self, value):
            return {"integer": value.denominator == 1}

    class FolderMaker(FractionCodec):
        name = "maker"

        def encode(self, value, path):
            path.mkdir()

    class Nameless:
        name = "another"
"""

USING = """
    import sys
    from fractions import Fraction
    from pathlib import Path
    from mlwright.kernel.errors import Invalid
    from mlwright.sdk.codecs import codec_named, codecs_for

    try:
        next(codecs_for([1, "a"]))
        codec = next(codecs_for(Fraction(1, 3)))
        codec.encode(Fraction(1, 3), Path("encoded"))
        print(codec_named("fraction").decode(Path("encoded"), "", Path()), codec.describe(Fraction(3)))
    except Invalid as error:
        print(error.render())
"""


def installed(folder: Path, entry: str) -> Path:
    """A folder on the path with a distribution in it, as an installer leaves it."""
    (folder / "fractionate").mkdir(parents=True)
    (folder / "fractionate/__init__.py").write_text(textwrap.dedent(MODULE))
    about = folder / "fractionate-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fractionate\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text(f"[mlwright.codecs]\n{entry}\n")
    return folder


def using(cwd: Path, *paths: Path, code: str = USING) -> subprocess.CompletedProcess[str]:
    """What Python says that has these folders on its path."""
    head = f"import os, sys\nos.chdir({str(cwd)!r})\nsys.path += {[str(path) for path in paths]!r}\n"
    return run_python(head + textwrap.dedent(code))


def test_a_codec_of_another_package_is_found_by_its_entry_point(tmp_path: Path) -> None:
    """It takes what none of ours takes; its package is imported then, and not before."""
    folder = installed(tmp_path / "site", "fraction = fractionate:FractionCodec")

    done = using(tmp_path, folder)
    early = using(
        tmp_path, folder, code="from mlwright.sdk.codecs import codecs_for; next(codecs_for({'a': [1]}))"
    )

    assert done.stdout.splitlines() == ["the package is imported", "1/3 {'integer': True}"]
    assert early.stdout == ""


def test_what_it_wrote_cannot_be_read_without_it(tmp_path: Path) -> None:
    """Said with what to add, and with no guess at another codec."""
    using(tmp_path, installed(tmp_path / "site", "fraction = fractionate:FractionCodec"))

    done = using(tmp_path, code=USING.replace("next(codecs_for(Fraction(1, 3)))", 'codec_named("fraction")'))

    assert done.stdout.startswith(
        "error: an artifact was written by the codec `fraction`, which this mlwright"
    )
    assert "hint: add the package that brought it" in done.stdout


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("fraction = nowhere:Codec", "`fraction` of fractionate 1.2 cannot be loaded: ModuleNotFoundError"),
        ("fraction = fractionate:Nothing", "cannot be loaded: AttributeError"),
        ("other = fractionate:FractionCodec", "is no codec `other`: it calls itself `fraction`"),
        ("another = fractionate:Nameless", "is no codec `another`: it lacks distributions, dumps"),
        ("json = fractionate:FractionCodec", "brings a codec `json`, which mlwright has itself"),
        ("pickle = fractionate:FractionCodec", "brings a codec `pickle`, which mlwright has itself"),
    ],
)
def test_a_broken_codec_is_named_and_nothing_else_takes_its_place(
    tmp_path: Path, entry: str, said: str
) -> None:
    """What it would take must not be pickled meanwhile: the package is named, and what is wrong with it."""
    folder = installed(tmp_path / "site", entry)

    done = using(tmp_path, folder)

    assert said in done.stdout
    assert "hint: " in done.stdout


def test_a_codec_that_makes_a_folder_is_named(tmp_path: Path) -> None:
    """Of its bytes there would be no digest: the step that returned the value fails with the codec's name."""
    folder = installed(tmp_path / "site", "maker = fractionate:FolderMaker")
    code = """
        from fractions import Fraction
        from pathlib import Path
        from mlwright.kernel.errors import Invalid
        from mlwright.sdk.session import _Encoder
        from mlwright.sdk.workplace import Workplace

        try:
            _Encoder("halve", Workplace(Path("home"), capture=False), "1").add("result", Fraction(1, 2))
        except Invalid as error:
            print(error.render())
    """

    done = using(tmp_path, folder, code=code)

    assert "error: the codec `maker` has made a folder: encode must write one file" in done.stdout
