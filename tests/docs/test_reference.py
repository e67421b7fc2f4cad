"""The documentation covers the code, its links lead somewhere, and its translations keep pace."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import msgspec
import pytest

from mlwright.cli import root
from mlwright.kernel.database import all_migrations
from mlwright.kernel.settings import Settings
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.server.app import ROUTES
from tests.docs.pages import ROOT, anchors, blocks, headings, links

SOURCE = ROOT / "src" / "mlwright"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
TWINS = [
    ("README.md", "README.ko.md"),
    ("docs/tutorial/01-first-model.md", "docs/tutorial/01-first-model.ko.md"),
    ("docs/tutorial/02-pipelines.md", "docs/tutorial/02-pipelines.ko.md"),
    ("docs/tutorial/03-datasets.md", "docs/tutorial/03-datasets.ko.md"),
    ("docs/tutorial/04-four-versions.md", "docs/tutorial/04-four-versions.ko.md"),
    ("docs/tutorial/05-tracking.md", "docs/tutorial/05-tracking.ko.md"),
    ("docs/tutorial/06-a-server.md", "docs/tutorial/06-a-server.ko.md"),
    ("docs/tutorial/07-serving.md", "docs/tutorial/07-serving.ko.md"),
]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """The script that writes the reference, as a module."""
    spec = importlib.util.spec_from_file_location("reference_script", ROOT / "scripts" / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def page(name: str) -> str:
    return (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")


def markdown() -> list[Path]:
    """Every page that is, or would be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [path for name in listed.splitlines() if (path := ROOT / name).is_file()]


def edge_roles() -> set[str]:
    """The roles of the edges that the code writes; of `data:NAME`, what is fixed."""
    roles = set()
    for path in SOURCE.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(call, ast.Call) and path.name != "edges.py" and (role := role_of(call)) is not None:
                assert isinstance(role, ast.Constant | ast.JoinedStr), ast.unparse(call)
                first = role.values[0] if isinstance(role, ast.JoinedStr) else role
                assert isinstance(first, ast.Constant)
                roles.add(str(first.value))
    return roles


def role_of(call: ast.Call) -> ast.expr | None:
    """The role of the edge that a call makes, or that is told with what an attempt made."""
    if ast.unparse(call.func) == "Edge":
        return None if ast.unparse(call.args[1]) == "role" else call.args[1]
    if ast.unparse(call.func) == "outcome.made.append":
        assert isinstance(call.args[0], ast.Tuple), ast.unparse(call)
        return call.args[0].elts[0]
    return None


def test_the_reference_is_what_the_code_says(reference: ModuleType) -> None:
    """Each committed page is the generated one, byte for byte: `make docs` was not forgotten."""
    made = reference.pages()

    stale = [name for name, text in made.items() if page(name) != text]
    left_over = {path.name for path in (ROOT / "docs" / "reference").iterdir()} - set(made)

    assert not stale, f"make docs: {', '.join(stale)} differ from what the code says"
    assert not left_over


def test_every_route_is_documented_with_what_it_does() -> None:
    """Each method of MLflow's protocol has one sentence in the table."""
    silent = {f"{route.method} {route.path}" for route in ROUTES if not (route.handler.__doc__ or "").strip()}

    assert not silent


def test_every_command_is_documented_with_an_example() -> None:
    """Each command of the command line has its section; each group's commands too."""
    context = click.Context(root)
    names = []
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        commands = getattr(command, "commands", None)
        names += [f"{name} {each}" for each in commands] if commands else [name]

    text = page("commands.md")

    assert len(names) > 20
    for name in names:
        section = text.partition(f"\n## mlwright {name}\n")[2].partition("\n## ")[0]
        assert f"```sh\nmlwright {name}" in section, name


def test_every_setting_is_documented_with_its_default() -> None:
    """Each field of the settings stands in the table."""
    text = page("settings.md")

    for each in msgspec.structs.fields(Settings):
        assert re.search(rf"^\| `{each.name}` \| .+ \| `.+` \| .+ \|$", text, re.MULTILINE), each.name


def test_every_event_verb_is_documented() -> None:
    """As many places that record events as the source has, and each verb's noun in the table."""
    recorded = [
        verb
        for path in SOURCE.rglob("*.py")
        for verb in re.findall(r"events\.record\(\s*\w+,\s*f?\"([^\"]+)\"", path.read_text(encoding="utf-8"))
    ]
    text = page("events.md")

    assert len(recorded) >= 4
    for verb in recorded:
        pattern = re.sub(r"\\\{.*?\\\}", r"\\w+", re.escape(verb))
        assert re.search(rf"^\| `{pattern}` \|", text, re.MULTILINE), verb


def test_every_table_and_column_is_documented_with_its_meaning() -> None:
    """The reference has each table; the architecture says what each column means, under its table's name."""
    database = SqliteDatabase(":memory:")
    database.migrate(all_migrations())
    tables = [
        each["name"]
        for each in database.read("PRAGMA table_list")
        if each["type"] in {"table", "virtual"} and not each["name"].startswith("sqlite_")
    ]
    text, architecture = page("tables.md"), ARCHITECTURE.read_text(encoding="utf-8")

    assert len(tables) > 12
    for table in tables:
        assert f"\n## {table}\n" in text
        meaning = architecture.partition(f"\n#### `{table}`")[2].partition("\n###")[0]
        for column in database.read("SELECT name FROM pragma_table_info(:name)", name=table):
            assert f"`{column['name']}`" in meaning, f"{table}.{column['name']} in docs/architecture.md"
    database.close()


def test_every_edge_role_is_documented() -> None:
    """The architecture lists each role that the code writes, and none that it does not."""
    table = ARCHITECTURE.read_text(encoding="utf-8").partition("\n### Edges\n")[2].partition("\n##")[0]

    documented = set(re.findall(r"^\| \w+ \| `([\w:]+?)(?<=[:a-z])[A-Z]*` \|", table, re.MULTILINE))

    assert documented == edge_roles()


@pytest.mark.parametrize("path", markdown(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    """A relative link names a file that is there, and a heading that the file has."""
    text = path.read_text(encoding="utf-8")

    for link in links(text):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{path.name} links to {link}"
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{path.name} links to {link}"


def test_every_page_can_be_reached_from_the_index() -> None:
    """Whoever starts at docs/index.md gets to every page of docs/."""
    reached, waiting = set(), [ROOT / "docs" / "index.md"]
    while waiting:
        path = waiting.pop()
        if path in reached or path.suffix != ".md" or not path.is_file():
            continue
        reached.add(path)
        names = [link.partition("#")[0] for link in links(path.read_text(encoding="utf-8"))]
        waiting += [(path.parent / name).resolve() for name in names if name]

    unreached = set((ROOT / "docs").rglob("*.md")) - reached
    assert not unreached


@pytest.mark.parametrize(("english", "korean"), TWINS)
def test_a_translation_has_the_same_sections_and_the_same_blocks(english: str, korean: str) -> None:
    """As many headings of each level in the same order, the same code, and a link to each other."""
    one, other = ((ROOT / name).read_text(encoding="utf-8") for name in (english, korean))

    assert [level for level, _ in headings(one)] == [level for level, _ in headings(other)]
    assert [(each.language, each.text) for each in blocks(one)] == [
        (each.language, each.text) for each in blocks(other)
    ]
    assert Path(korean).name in links(one) and Path(english).name in links(other)
    assert re.search(r"[가-힣]", other)
