"""README and tutorial say what happens: each command is typed, and what it says is held beside the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Reader, Unlike, blocks, missing


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/tutorial/01-first-model.md",
        "docs/tutorial/02-pipelines.md",
        "docs/tutorial/03-datasets.md",
        "docs/tutorial/04-four-versions.md",
        "docs/tutorial/05-tracking.md",
        "docs/tutorial/06-a-server.md",
        "docs/tutorial/07-serving.md",
    ],
)
def test_what_a_page_says_is_what_a_reader_gets(page: str, tmp_path: Path) -> None:
    """Every command of the page, typed in order in an empty folder, ends and says as it is written."""
    text = (ROOT / page).read_text(encoding="utf-8")

    count = Reader(tmp_path, page).read(text)

    assert count > 5


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("```console\n$ echo one\ntwo\n```", "it did not say: two"),
        ("```console\n$ false\n```", "it ended with 1"),
        ("```console\n$ false\n$ echo $?\n0\n```", "it did not say: 0"),
        ("```console\n$ printf 'b\\na\\n'\na\nb\n```", "it did not say: b"),
        ("```console\n$ cd nowhere\n```", "there is no such folder"),
        ("```console\n$ echo up &\ndown\n```", "it did not say what it should"),
        ("```console\n$ echo up &\nup\n$ wait\ndown\n```", "it did not say: down"),
        ("```console\n$ wait\n```", "nothing goes on in the background"),
        ("```console\n$ mlwright rnu\n```", "it ended with 2"),
        ("```console\n$ echo x > f\n```\n```diff\n--- f\n+++ f\n@@\n-y\n+z\n```", "is not in f once"),
    ],
)
def test_a_page_that_is_wrong_is_refused(text: str, why: str, tmp_path: Path) -> None:
    """A missing line, a failing command, another order, a diff that does not fit: each is named."""
    with pytest.raises(Unlike, match="the page:") as refused:
        Reader(tmp_path).read(text)

    assert why in str(refused.value)


def test_what_a_page_writes_and_changes_is_what_the_next_command_sees(tmp_path: Path) -> None:
    """A file of a block, a diff of it, a folder, a status, the background: all as in a shell."""
    page = """
```python
# made/a.py
print(1)
```

```console
$ cd made
$ cat a.py
print(1)
$ python3 -c 'import sys; sys.exit(3)'
$ echo $?
3
$ sleep 60 &
```

```diff
--- a.py
+++ a.py
@@
-print(1)
+print("it is 42   today")
```

```console
$ python3 a.py
it is ... today
$ kill %1
```
"""
    (tmp_path / "made").mkdir()

    count = Reader(tmp_path).read(page)

    assert count == 7


def test_what_goes_on_in_the_background_can_be_waited_for(tmp_path: Path) -> None:
    """`wait` returns when it has ended by itself, with all that it said."""
    page = """
```python
# wait_for_go.py
import pathlib, time

print("begun", flush=True)
while not pathlib.Path("go").exists():
    time.sleep(0.02)
print("ended")
```

```console
$ python3 wait_for_go.py &
begun
$ touch go
$ wait
begun
ended
```
"""

    count = Reader(tmp_path).read(page)

    assert count == 3


def test_what_is_exported_counts_until_it_is_unset(tmp_path: Path) -> None:
    """As in a shell; and what is killed by -9 has no time to say anything."""
    page = """
```python
# told.py
import os, signal, sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("told to end")))
print("up", flush=True)
while True:
    signal.pause()
```

```console
$ export WHO=ann
$ echo "I am $WHO."
I am ann.
$ unset WHO
$ echo "I am $WHO."
I am .
$ python3 told.py &
up
$ kill %1
told to end
$ python3 told.py &
up
$ kill -9 %1
$ cat ../background.log
up
```
"""
    home = tmp_path / "home"
    home.mkdir()

    reader = Reader(tmp_path)
    reader.folder = home
    count = reader.read(page)

    assert count == 9
    assert "told" not in (tmp_path / "background.log").read_text()


def test_a_token_that_was_shown_is_copied(tmp_path: Path) -> None:
    """`mlw_...` in a command, or in what it exports, is the last one that anything has said."""
    first, second = "mlw_" + "a" * 43, "mlw_" + "b" * 43
    page = f"""
```console
$ echo {first}
mlw_...
$ export TOKEN=mlw_...
$ echo {second}
mlw_...
$ echo mlw_... $TOKEN
{second} {first}
```
"""

    count = Reader(tmp_path).read(page)

    assert count == 4


def test_a_file_is_named_in_its_first_line_or_behind_its_language(tmp_path: Path) -> None:
    """Python and TOML by their first line, what knows no comments behind its language; no other block."""
    page = "\n".join(
        [
            "```toml\n# made/a.toml\nb = 1\n```",
            "```json c.json\n{}\n```",
            "```json\n[]\n```",
            "```python\nprint()\n```",
            "```sh\n# d.sh\n```",
        ]
    )

    Reader(tmp_path).read(page)

    found = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.*")}
    assert found == {"made/a.toml": "# made/a.toml\nb = 1\n", "c.json": "{}\n"}


def test_dots_stand_for_anything_and_order_counts() -> None:
    """The grammar of what is expected."""
    said = "run 01AB of x\n  load   reused\n  train  succeeded  1.2 s\n"

    assert missing(("run ... of x", "train succeeded ..."), said) is None
    assert missing(("train succeeded ...", "load reused"), said) == "load reused"
    assert missing(("load",), said) == "load"


def test_only_console_blocks_are_typed() -> None:
    """The README's `make` lines are read, not run: a story runs the demo."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    makers = [block for block in blocks(readme) if "make demo" in block.text or "make test" in block.text]

    assert makers
    assert {block.language for block in makers} == {"sh"}
