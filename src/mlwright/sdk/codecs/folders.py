"""A `Path` to a folder that a step made: stored as a tree, so that equal files are stored once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.codec_names import TREE


class FolderCodec:
    """A folder with files in it. Kept are relative paths, bytes, and whether a file may be executed.

    Here bytes are those of all files under their names: `encode` makes a folder, of which the engine makes a
    tree, and `decode` is given one that the engine made of that tree for this receiver alone.
    """

    name = TREE
    distributions: tuple[str, ...] = ()
    dumps = loads = None

    def matches(self, value: Any) -> bool:
        """Whether it is a path to a folder that is there."""
        return isinstance(value, Path) and value.is_dir()

    def encode(self, value: Path, path: Path) -> None:
        """A copy of the folder.

        Raises:
            Invalid: it has no files, or something in it is neither file nor folder.
        """
        import shutil

        if not _files_of(value):
            raise Invalid(
                f"a step returned the folder {value}, which has no files in it",
                hint="write them before it is returned; empty folders are not kept",
            )
        shutil.copytree(value, path)

    def decode(self, path: Path, wanted: str, scratch: Path) -> Path:
        """The folder, moved to where the receiver may do with it as it likes.

        Raises:
            Invalid: there is no such folder.
        """
        import tempfile  # with shutil 5 ms, for steps that take folders

        if not path.is_dir():
            raise Invalid(f"{path.name} is not a folder")
        return path.rename(Path(tempfile.mkdtemp(dir=scratch)) / path.name)

    def describe(self, value: Path) -> dict[str, Any]:
        """The folder's name, and how many files it has."""
        return {"name": value.name or value.resolve().name, "files": len(_files_of(value))}


def _files_of(folder: Path) -> list[Path]:
    """Its files, those of folders within too.

    Raises:
        Invalid: something in it cannot be kept.
    """
    found = []
    for root, folders, names in os.walk(folder, onerror=_refuse):
        for name in folders:
            if (link := Path(root, name)).is_symlink():
                raise Invalid(
                    f"a step returned a folder with {link} in it, a link to a folder",
                    hint="put the folder itself in its place",
                )
        for name in names:
            file = Path(root, name)
            if not file.is_file():
                what = "a link that leads nowhere" if file.is_symlink() else "not a regular file"
                raise Invalid(
                    f"a step returned a folder with {file} in it, {what}", hint="leave only files and folders"
                )
            if any("\ud800" <= letter <= "\udfff" for letter in str(file.relative_to(folder))):
                raise Invalid(f"the file name {str(file)!r} is not UTF-8", hint="rename the file")
            found.append(file)
    return found


def _refuse(error: OSError) -> None:
    raise error
