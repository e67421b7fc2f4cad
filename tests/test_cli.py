"""The command line as a whole: what every command has, and what none of them does."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mlwright.cli import root
from mlwright.kernel.errors import Invalid
from mlwright.terminal import say_json
from tests.conftest import installed

CHANGING = {
    "login",
    "tokens create",
    "tokens revoke",
    "init",
    "run",
    "serve",
    "predict",
    "up",
    "runs resume",
    "runs cancel",
    "runs reproduce",
    "runs export",
    "runs import",
    "datasets add",
    "datasets alias",
    "datasets checkout",
    "datasets pull",
    "datasets push",
    "datasets rm",
    "artifacts checkout",
    "gc",
    "models alias",
    "environments add",
    "environments bisect",
    "models card",
    "models convert",
    "models export",
    "models register",
    "models rm",
    "predictions rm",
    "environments lock",
    "environments prune",
    "environments remove",
    "environments restore",
    "environments sync",
    "environments try",
    "environments update",
    "workspace backup",
    "workspace restore",
}


def commands(group: click.Group = root, path: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from commands(found, f"{path}{name} ")
        else:
            yield f"{path}{name}", found


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_an_example_that_parses_and_the_common_options(name: str) -> None:
    """`--help` with an example, `--json`, `--project DIR`; `--dry-run` where it changes something."""
    command = COMMANDS[name]

    options = {option for parameter in command.params for option in parameter.opts}
    example = shlex.split((command.epilog or "").removeprefix("Example: "))

    assert command.help
    assert {"--json", "--project", "--debug"} <= options
    assert ("--dry-run" in options) == (name in CHANGING)
    assert example[: 1 + len(name.split())] == ["mlwright", *name.split()]
    command.make_context(name, example[1 + len(name.split()) :])


def test_help_imports_no_room_and_no_heavy_library() -> None:
    """`mlwright --help` is answered from names alone."""
    run = "root.main(['--help'], standalone_mode=False)"
    code = f"import sys; from mlwright.cli import root; {run}; print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"apsw", "blake3", "msgspec", "numpy", "rich", "mlwright.app", "mlwright.workflow"}


def test_the_help_lists_every_command(tmp_path: Path) -> None:
    """What is there can be found."""
    done = installed("--help", cwd=tmp_path)

    assert done.returncode == 0
    assert all(name.split()[0] in done.stdout for name in COMMANDS)


def test_a_fault_of_our_own_is_one_line_unless_debug_is_asked_for(tmp_path: Path) -> None:
    """No traceback reaches a user; `--debug` shows it."""
    code = (
        "import sys, click; from mlwright.terminal import run_command\n"
        "@click.command()\n@click.option('--debug', is_flag=True)\n"
        "def broken(debug): raise KeyError('inner')\n"
        "sys.exit(run_command(broken, sys.argv[1:]))"
    )

    plain = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    debug = subprocess.run(
        [sys.executable, "-c", code, "--debug"], capture_output=True, text=True, check=False
    )

    assert plain.returncode == debug.returncode == 1
    assert plain.stderr.startswith("error: mlwright itself failed: KeyError: 'inner'\nhint:")
    assert "Traceback" in debug.stderr and "Traceback" not in plain.stderr


def test_a_reader_that_goes_away_is_no_fault(tmp_path: Path) -> None:
    """`mlwright --help | head -1` ends quietly."""
    command = f"{shlex.quote(str(Path(sys.executable).with_name('mlwright')))} --help | head -1"

    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False
    )

    assert done.stderr == ""


def test_paths_and_errors_are_told_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A value that holds a path, or what went wrong, is JSON too; what cannot be is our own mistake."""
    say_json({"folder": Path("a/b"), "error": Invalid("too large", hint="make it smaller")})

    assert json.loads(capsys.readouterr().out) == {
        "folder": "a/b",
        "error": {"message": "too large", "where": None, "hint": "make it smaller"},
    }
    with pytest.raises(TypeError, match="object cannot be told"):
        say_json(object())
