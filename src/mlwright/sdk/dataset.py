"""A dataset as a user's code holds it: a reference outside a step, the files of one version inside."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from mlwright.kernel.errors import Invalid, NotFound
from mlwright.sdk import attempts
from mlwright.sdk.ranges import Range

OPENER = "mlwright.app:open_dataset"
"""What finds a dataset for code that is no step. It stands above this room, which a step's environment has
alone: so it is named here, and imported by whoever is not in a step."""


class Dataset:
    """A named, numbered set of files.

    As the default of a pipeline's parameter it is a reference (`Dataset("patients@latest")`), which a run
    pins to a version when it begins. Inside a step it is that version, and its files can be read. Anywhere
    else, as in a notebook, it is what the reference means in the project you are in when it is first read.

    Args:
        reference: `name`, `name@3`, `name@alias` or `name@b3:ab12`.
    """

    __slots__ = ("_files", "_scratch", "reference")

    def __init__(
        self, reference: str, *, files: Mapping[str, Range] | None = None, scratch: Path | None = None
    ) -> None:
        self.reference = reference
        self._files = None if files is None else dict(files)
        self._scratch = scratch

    def __repr__(self) -> str:
        return f"Dataset({self.reference!r})"

    @property
    def files(self) -> list[str]:
        """The paths of its files, relative to its root, sorted.

        Raises:
            NotFound: outside a step, there is no such dataset in the project you are in.
        """
        return sorted(self._bound())

    def path(self, name: str | None = None) -> Path:
        """A file of the dataset under its own name, or the folder of all its files, in the scratch folder.

        These are copies: what a step writes to them reaches nobody else.

        Args:
            name: which file; by default the only one, or the folder if there are several.

        Raises:
            NotFound: no such file.
        """
        files = self._bound()
        assert self._scratch is not None
        folder = self._scratch / self.reference.replace("@", "-")
        if name is None and len(files) != 1:
            for each in files:
                self._copy(folder, each)
            return folder
        name, _ = self._one(name)
        return self._copy(folder, name)

    def open(self, name: str | None = None) -> IO[bytes]:
        """A file of the dataset, opened for reading bytes.

        Raises:
            NotFound: no such file.
        """
        stored = self._one(name)[1]
        if stored.is_file:
            return stored.path.open("rb")
        import io

        return io.BytesIO(stored.read())

    def table(self, name: str | None = None, *, columns: Sequence[str] | None = None) -> Any:
        """A table of the dataset as a `pyarrow.Table`, which pandas, Polars and DuckDB take as it is.

        Of several files, all with the same columns, the table of all their rows, in the order of their
        names. Needs pyarrow in the environment.

        Args:
            name: which file; by default all.
            columns: only these; of Parquet and Arrow files nothing else is read.

        Raises:
            Invalid: a file is no table: CSV, Parquet, Arrow (IPC) or JSON lines; or has other columns.
            NotFound: no such file.
        """
        from mlwright.sdk.tables import read_table

        wanted = self.files if name is None else [self._one(name)[0]]
        files = self._bound()
        return read_table(f"dataset {self.reference}", {each: files[each] for each in wanted}, columns)

    def _copy(self, folder: Path, name: str) -> Path:
        copy = folder / name
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            making = copy.with_name(f".{copy.name}.{os.getpid()}")
            with making.open("wb") as file:
                for block in self._files[name].blocks() if self._files else ():
                    file.write(block)
            making.replace(copy)
        return copy

    def _bound(self) -> dict[str, Range]:
        if self._files is None:
            self._files, self._scratch = _files_here(self.reference)
        return self._files

    def _one(self, name: str | None) -> tuple[str, Range]:
        files = self._bound()
        if name is None:
            if len(files) != 1:
                raise Invalid(
                    f"dataset {self.reference} has {len(files)} files: say which",
                    hint=f"for instance {next(iter(sorted(files)), 'a file name')!r}",
                )
            name = next(iter(files))
        if name not in files:
            raise NotFound(f"dataset {self.reference} has no file {name!r}", hint=f"it has {self.files[:5]}")
        return name, files[name]


def _files_here(reference: str) -> tuple[dict[str, Range], Path]:
    """The files of a dataset of the project that this process is in.

    Raises:
        Invalid: in a step, or where mlwright itself is not installed.
        NotFound: no such dataset, or no project.
    """
    if attempts.running():
        raise Invalid(
            f"Dataset({reference!r}) is only a reference here: nobody would know what this step has read",
            hint="make it a parameter of the pipeline, and pass it to the step",
        )
    module, _, name = OPENER.partition(":")
    try:
        opener = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise Invalid(
            f"Dataset({reference!r}) cannot be read: {error.name} is not installed here",
            hint="install mlwright in this environment, or pass the dataset to a step",
        ) from error
    return opener(reference)  # type: ignore[no-any-return]
