"""Pages as tests read them: headings, links, blocks; and their commands, typed as a reader types them.

What is typed stands in ```console blocks:

- a line that begins with `$ ` is a command; the lines below it must be found in what it says, in this order.
  `...` stands for anything, and how wide a gap between two words is does not matter;
- a command must succeed, unless the next one is `$ echo $?`, which tells its status;
- `$ cd FOLDER`, `$ export NAME=VALUE` and `$ unset NAME` count for all that follows;
- a command that ends with ` &` goes on until `$ kill %1` or `$ kill -9 %1`, or to its own end at `$ wait`;
  what is below it must be said before anything else is typed;
- `mlw_...` in a command is the token that was shown last: a reader copies it;
- port 8000 is any free port, in commands, in what they say, and in files.

```python and ```toml blocks whose first line is `# FILE` are written there; so is a block that names its file
behind its language, as in ```json look.ipynb. A ```diff block is applied to the file it names: what it takes
away must stand there once. All other blocks are only read.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import COMMAND

ROOT = Path(__file__).resolve().parents[2]
PORT = "8000"
SECRET = re.compile(r"mlw_[\w-]{43}")
PATIENCE_S = 180


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, text, and the number of its first line in the page."""

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Typed:
    """A command, what must be found in what it says, and its line in the page."""

    command: str
    expected: tuple[str, ...]
    line: int


class Unlike(AssertionError):
    """A page says what is not so."""


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page."""
    found, language, begin, lines = [], "", 0, []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            if begin:
                found.append(Block(language, "\n".join(lines), begin))
                begin = 0
            else:
                language, begin, lines = line[3:].strip(), number + 1, []
        elif begin:
            lines.append(line)
    assert not begin, f"the block at line {begin} has no end"
    return found


def file_of(block: Block) -> str:
    """The name of the file that a block is; empty for one that is only read."""
    language, _, name = block.language.partition(" ")
    if not name and language in {"python", "toml"} and (named := re.match(r"# (\S+\.\w+)\n", block.text)):
        return named[1]
    return name


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(text: str) -> list[tuple[int, str]]:
    """Level and words of each heading."""
    return [(len(marks), words) for marks, words in re.findall(r"^(#+) (.+)$", prose(text), re.MULTILINE)]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    return {re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-") for _, words in headings(text)}


def links(text: str) -> list[str]:
    """The targets of a page's links that lead to other files or headings of ours."""
    inline = re.sub(r"`[^`\n]*`", "", prose(text))
    targets = re.findall(r"\]\(([^)\s]+)\)", inline)
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def typed(block: Block) -> list[Typed]:
    """The commands of a ```console block."""
    found: list[Typed] = []
    for number, line in enumerate(block.text.splitlines(), block.line):
        if line.startswith("$ "):
            found.append(Typed(line[2:], (), number))
        elif line.strip():
            assert found, f"line {number}: said before anything was typed"
            last = found.pop()
            found.append(Typed(last.command, (*last.expected, line), last.line))
    return found


def missing(expected: tuple[str, ...], said: str) -> str | None:
    """The first expected line that is not found, in order, in what was said."""
    rest = iter([" ".join(line.split()) for line in said.splitlines()])
    for line in expected:
        pattern = re.compile(_pattern(" ".join(line.split())))
        if not any(pattern.fullmatch(each) for each in rest):
            return line
    return None


def _pattern(line: str) -> str:
    """`...` between words stands for any words, or for none."""
    pattern = re.escape(line).replace(r"\ \.\.\.\ ", r"(?:\ .*)?\ ")
    pattern = re.sub(r"\\ \\\.\\\.\\\.$", r"(?:\\ .*)?", pattern)
    return pattern.replace(r"\.\.\.", ".*")


@dataclass
class Reader:
    """Types a page, block by block, in a folder of its own."""

    folder: Path
    page: str = "the page"
    _port: str = field(init=False)
    _background: subprocess.Popen[bytes] | None = field(init=False, default=None)
    _exported: dict[str, str] = field(init=False, default_factory=dict)
    _secret: str = field(init=False, default="mlw_...")

    def __post_init__(self) -> None:
        self._home = self.folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = str(free.getsockname()[1])

    def read(self, text: str) -> int:
        """Do what a page says; returns how many commands were typed.

        Raises:
            Unlike: something is not as the page says.
        """
        count = 0
        try:
            for block in blocks(text.replace(PORT, self._port)):
                if block.language == "console":
                    commands = typed(block)
                    count += len(commands)
                    self._type(commands)
                elif block.language == "diff":
                    self._apply(block)
                elif name := file_of(block):
                    target = self.folder / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_text(block.text + "\n")
        finally:
            self._kill()
        return count

    def _type(self, commands: list[Typed]) -> None:
        last = 0
        for each, following in zip(commands, [*commands[1:], None], strict=True):
            told = following is not None and following.command == "echo $?"
            match each.command.split():
                case ["cd", name]:
                    self.folder = self.folder / name
                    if not self.folder.is_dir():
                        raise self._unlike(each, "there is no such folder", "")
                    said, status = "", 0
                case ["export", setting]:
                    name, _, value = setting.partition("=")
                    self._exported[name] = value.replace("mlw_...", self._secret)
                    said, status = "", 0
                case ["unset", *names]:
                    for name in names:
                        del self._exported[name]
                    said, status = "", 0
                case ["kill", "%1"]:
                    said, status = self._kill(), 0
                case ["kill", "-9", "%1"]:
                    said, status = self._kill(signal.SIGKILL), 0
                case ["wait"]:
                    said, status = self._await(each), 0
                case ["echo", "$?"]:
                    said, status = str(last), 0
                case [*_, "&"]:
                    said, status = self._start(each), 0
                case _:
                    done = subprocess.run(
                        ["bash", "-c", each.command.replace("mlw_...", self._secret)],
                        cwd=self.folder,
                        env=self._environment(),
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        text=True,
                        timeout=PATIENCE_S,
                    )
                    said, status = done.stdout, done.returncode
            if status and not told:
                raise self._unlike(each, f"it ended with {status}", said)
            if (line := missing(each.expected, said)) is not None:
                raise self._unlike(each, f"it did not say: {line}", said)
            last = status
            if shown := SECRET.findall(said):
                self._secret = shown[-1]

    def _start(self, each: Typed) -> str:
        """Start a command in the background, and wait until it has said what it should."""
        assert self._background is None, "one command at a time goes on in the background"
        log = self._home / "background.log"
        with log.open("wb") as words:
            self._background = subprocess.Popen(
                ["bash", "-c", f"exec {each.command.removesuffix('&')}"],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            over = self._background.poll() is not None or time.monotonic() > deadline
            said = log.read_text()  # after the look: what it says at last counts
            if missing(each.expected, said) is None:
                return said
            if over:
                raise self._unlike(each, "it did not say what it should", said)
            time.sleep(0.05)

    def _await(self, each: Typed) -> str:
        """Wait until what goes on in the background has ended; all it said."""
        if self._background is None:
            raise self._unlike(each, "nothing goes on in the background", "")
        self._background.wait(PATIENCE_S)
        return self._kill()

    def _kill(self, by: signal.Signals = signal.SIGTERM) -> str:
        """End what goes on in the background, as `kill %1` does; what it said at last."""
        if self._background is None:
            return ""
        process, self._background = self._background, None
        process.send_signal(by)
        try:
            process.wait(30)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return (self._home / "background.log").read_text()

    def _apply(self, block: Block) -> None:
        """Change a file as a ```diff block says."""
        for name, before, after in changes(block):
            path = self.folder / name
            text = path.read_text()
            if text.count(before) != 1:
                raise Unlike(
                    f"{self.page}:{block.line}: what the diff takes away is not in {name} once:\n{before}"
                )
            path.write_text(text.replace(before, after))

    def _environment(self) -> dict[str, str]:
        path = f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "CI": "true", **self._exported}

    def _unlike(self, each: Typed, what: str, said: str) -> Unlike:
        return Unlike(f"{self.page}:{each.line}: $ {each.command}\n{what}\nit said:\n{said}")


def changes(block: Block) -> Iterator[tuple[str, str, str]]:
    """File, lines before and lines after of each piece of a diff; `@@` lines part the pieces."""
    first, second, *rest = block.text.splitlines()
    assert first.startswith("--- ") and second.startswith("+++ "), f"line {block.line}: not a diff"
    name = second.removeprefix("+++ ").removeprefix("b/")
    for piece in re.split(r"^@@.*\n", "\n".join([*rest, ""]), flags=re.MULTILINE)[1:]:
        lines = piece.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[:1] in " -")
        after = "".join(line[1:] for line in lines if line[:1] in " +")
        yield name, before, after
