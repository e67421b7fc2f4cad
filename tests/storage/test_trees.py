"""Trees: a folder, its one manifest, and the folder again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.kernel.digest import Digest, canonical, digest_of
from mlwright.kernel.errors import Corrupt, Invalid, NotFound
from mlwright.storage import Entry, MemoryObjects, Tree, check_out, load_tree, scan, store_tree
from mlwright.storage.trees import KIND
from tests.processes import run_python
from tests.storage.conftest import over

NAMES = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="/\0"), min_size=1, max_size=12
).filter(lambda name: name not in {".", ".."} and len(name.encode()) < 200)
FOLDERS = st.recursive(
    st.tuples(st.binary(max_size=40), st.booleans()),
    lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3),
    max_leaves=8,
).filter(lambda top: isinstance(top, dict))


def write(folder: Path, content: dict[str, object]) -> None:
    """Write a folder as Hypothesis drew it: names to folders, or to bytes and whether they are executable."""
    folder.mkdir()
    for name, item in content.items():
        if isinstance(item, dict):
            write(folder / name, item)
        else:
            data, executable = item  # type: ignore[misc]
            (folder / name).write_bytes(data)
            (folder / name).chmod(0o755 if executable else 0o644)


def read(folder: Path) -> dict[str, tuple[bytes, bool]]:
    """Every file of a folder: its bytes, and whether it may be executed."""
    return {
        file.relative_to(folder).as_posix(): (file.read_bytes(), os.access(file, os.X_OK))
        for file in folder.rglob("*")
        if file.is_file()
    }


@given(content=FOLDERS)
def test_a_folder_comes_back_as_it_was(content: dict[str, object]) -> None:
    """Any files under any names, checked out again, are the same files with the same bytes."""
    objects = over(MemoryObjects())
    with tempfile.TemporaryDirectory() as temporary:
        folder, again = Path(temporary) / "folder", Path(temporary) / "again"
        write(folder, content)

        digest, _ = store_tree(objects.packs, scan(folder))
        check_out(objects, load_tree(objects, digest), again)

        assert read(again) == read(folder)


@given(content=FOLDERS, data=st.data())
def test_a_tree_has_one_digest_whatever_the_order(content: dict[str, object], data: st.DataObject) -> None:
    """The digest follows from paths, bytes and executable bits, not from the order they came in."""
    objects = over(MemoryObjects())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "folder"
        write(folder, content)
        sources = scan(folder)

        shuffled = store_tree(objects.packs, data.draw(st.permutations(sources)))

        assert shuffled == store_tree(objects.packs, sources)
        assert shuffled[0] == digest_of(objects.get(shuffled[0], kind=KIND), KIND)


def test_a_tree_changes_with_each_thing_it_tells() -> None:
    """Another path, another byte, another executable bit: each is another tree."""
    one = Entry("a", 1, digest_of(b"1"))
    trees = [
        Tree((one,)),
        Tree((Entry("b", 1, digest_of(b"1")),)),
        Tree((Entry("a", 1, digest_of(b"2")),)),
        Tree((Entry("a", 1, digest_of(b"1"), executable=True),)),
        Tree((one, Entry("b", 1, digest_of(b"1")))),
    ]

    assert len({tree.encode() for tree in trees}) == len(trees)
    assert Tree(trees[4].entries[::-1]).encode() == trees[4].encode()
    assert trees[4].size_bytes == 2


@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "../x", "a/../../x", "a/..", "/etc/passwd", "//x", "a\0b", "./a", "a//b", "a/", "a/./b"],
)
def test_a_manifest_with_an_unsafe_path_is_refused(path: str) -> None:
    """A tree made by somebody else cannot name a place outside its folder, nor one place by two names."""
    objects = MemoryObjects()
    manifest = canonical([{"path": path, "size_bytes": 1, "digest": digest_of(b"x"), "executable": False}])
    digest = objects.put(manifest, kind=KIND).digest

    with pytest.raises(Corrupt, match=digest[:12]):
        load_tree(objects, digest)


@pytest.mark.parametrize(
    "manifest",
    [b"", b"\xff", b"{", b"{}", b"[1]", b'[{"path": "a"}]', json.dumps([{"path": 1}]).encode(), b'"text"'],
)
def test_what_is_no_manifest_is_refused(manifest: bytes) -> None:
    """Bytes of the right digest that are no manifest are Corrupt, not a traceback."""
    objects = MemoryObjects()
    digest = objects.put(manifest, kind=KIND).digest

    with pytest.raises(Corrupt, match="is not a manifest"):
        load_tree(objects, digest)


def test_a_manifest_cannot_reach_a_file_through_a_digest(tmp_path: Path) -> None:
    """A forged digest that is a path finds no object."""
    objects = over(MemoryObjects())
    entry = Entry("stolen", 1, Digest("../../../../../../etc/passwd"))
    digest = objects.put(Tree((entry,)).encode(), kind=KIND).digest

    with pytest.raises(NotFound):
        check_out(objects, load_tree(objects, digest), tmp_path / "out")

    assert not (tmp_path / "out" / "stolen").exists()


def test_a_damaged_file_is_not_checked_out(tmp_path: Path) -> None:
    """Checking out a tree with a damaged object raises Corrupt and writes nothing wrong."""
    beneath = MemoryObjects()
    objects = over(beneath)
    file = tmp_path / "file"
    file.write_bytes(b"right")
    _, tree = store_tree(objects.packs, scan(file))
    beneath.held[tree.entries[0].digest] = b"wrong"

    with pytest.raises(Corrupt):
        check_out(objects, tree, tmp_path / "out")

    assert not (tmp_path / "out" / "file").exists()


def test_a_checkout_is_a_copy(tmp_path: Path) -> None:
    """Writing to a file that was checked out does not reach the store."""
    objects = over(MemoryObjects())
    (tmp_path / "file").write_bytes(b"right")
    _, tree = store_tree(objects.packs, scan(tmp_path / "file"))

    check_out(objects, tree, tmp_path / "out")
    (tmp_path / "out" / "file").write_bytes(b"edited")

    assert objects.get(tree.entries[0].digest) == b"right"


def test_one_file_is_a_tree_of_one(tmp_path: Path) -> None:
    """A file instead of a folder is stored under its own name."""
    (tmp_path / "patients.csv").write_text("age\n41\n")

    (source,) = scan(tmp_path / "patients.csv")

    assert (source.path, source.file, source.size_bytes) == (
        "patients.csv",
        str(tmp_path / "patients.csv"),
        7,
    )


def test_a_link_to_a_file_stands_for_the_file(tmp_path: Path) -> None:
    """The bytes are stored under the link's name."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "target").write_bytes(b"bytes")
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "target")
    objects = over(MemoryObjects())

    _, tree = store_tree(objects.packs, scan(tmp_path / "folder"))

    assert [(entry.path, entry.digest) for entry in tree.entries] == [("link", digest_of(b"bytes"))]


def fifo(place: Path) -> None:
    """A named pipe."""
    os.mkfifo(place)


def listener(place: Path) -> None:
    """A socket's file."""
    with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(place.parent):
        server.bind(place.name)  # a socket's name is short


def dangling(place: Path) -> None:
    """A link to nothing."""
    place.symlink_to("nowhere")


def loop(place: Path) -> None:
    """A link to itself."""
    place.symlink_to(place.name)


def to_folder(place: Path) -> None:
    """A link to a folder: what is in it would be missing."""
    place.symlink_to("sub", target_is_directory=True)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (fifo, "not a regular file"),
        (listener, "not a regular file"),
        (dangling, "a link that leads nowhere"),
        (loop, "a link that leads nowhere"),
        (to_folder, "a link to a folder"),
    ],
)
def test_what_is_neither_file_nor_folder_is_refused(tmp_path: Path, make: object, said: str) -> None:
    """Nothing is left out silently or waited for: the message names the place and says what it is."""
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").touch()
    make(folder / "odd")  # type: ignore[operator]

    with pytest.raises(Invalid) as raised:
        scan(folder)

    assert raised.value.message == f"{folder / 'odd'} is {said}"
    assert raised.value.hint


@pytest.mark.parametrize("in_a_folder", [True, False])
def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path, in_a_folder: bool) -> None:
    """A manifest is UTF-8; a file whose name is not is named in a message that can be printed."""
    folder = tmp_path / "folder"
    folder.mkdir()
    file = folder / os.fsdecode(b"\xff\xfe.csv")
    file.touch()

    with pytest.raises(Invalid, match="is not UTF-8") as raised:
        scan(folder if in_a_folder else file)

    assert raised.value.render().encode()


@pytest.mark.parametrize("content", ["missing", "empty", "only empty folders", "fifo"])
def test_a_path_without_files_is_refused(tmp_path: Path, content: str) -> None:
    """There is no empty dataset: a wrong path is said to be one."""
    path = tmp_path / "path"
    if content == "fifo":
        os.mkfifo(path)
    elif content != "missing":
        path.mkdir()
    if content == "only empty folders":
        (path / "a" / "b").mkdir(parents=True)

    with pytest.raises(Invalid, match=str(path)):
        scan(path)


def test_a_folder_that_cannot_be_read_is_not_left_out() -> None:
    """A folder without permission is named; its files are never missing without a word."""
    folder = Path(tempfile.mkdtemp(prefix="mlwright-unreadable-"))
    (folder / "seen").mkdir()
    (folder / "closed").mkdir()
    (folder / "closed" / "file").touch()
    (folder / "seen" / "file").touch()
    folder.chmod(0o755)
    (folder / "closed").chmod(0o000)
    code = """
        import os, sys
        from pathlib import Path
        from mlwright.kernel.errors import Invalid
        from mlwright.storage import scan

        if os.getuid() == 0:  # nothing is closed to root
            os.setgid(65534)
            os.setuid(65534)
        try:
            print(scan(Path(sys.argv[1])))
        except Invalid as error:
            print(error.message)
    """

    done = run_python(code, folder)
    (folder / "closed").chmod(0o755)
    shutil.rmtree(folder)

    assert done.stdout.strip() == f"{folder / 'closed'} cannot be read: Permission denied"
