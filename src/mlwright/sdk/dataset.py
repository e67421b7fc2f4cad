"""A dataset as a user's code holds it: a reference outside a step, the files of one version inside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from mlwright.kernel.errors import Invalid, NotFound


class Dataset:
    """A named, numbered set of files.

    As the default of a pipeline's parameter it is a reference (`Dataset("patients@latest")`), which a run
    pins to a version when it begins. Inside a step it is that version, and its files can be read.

    Args:
        reference: `name`, `name@3`, `name@alias` or `name@b3:ab12`.
    """

    __slots__ = ("_files", "_scratch", "reference")

    def __init__(
        self, reference: str, *, files: Mapping[str, Path] | None = None, scratch: Path | None = None
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
            Invalid: outside a step.
        """
        return sorted(self._bound())

    def path(self, name: str | None = None) -> Path:
        """A file of the dataset under its own name, in the step's scratch folder.

        It is a copy: what a step writes to it reaches nobody else.

        Args:
            name: which file; may be left out when there is only one.

        Raises:
            NotFound: no such file.
        """
        name, stored = self._one(name)
        assert self._scratch is not None
        copy = self._scratch / self.reference.replace("@", "-") / name
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            import shutil  # 4 ms that the engine's start need not take

            shutil.copyfile(stored, copy)
        return copy

    def open(self, name: str | None = None) -> IO[bytes]:
        """A file of the dataset, opened for reading bytes.

        Raises:
            NotFound: no such file.
        """
        return self._one(name)[1].open("rb")

    def table(self, name: str | None = None) -> Any:
        """A CSV or Parquet file of the dataset as a `pyarrow.Table`.

        Needs pyarrow in the step's environment.

        Raises:
            Invalid: the file is neither CSV nor Parquet.
            NotFound: no such file.
        """
        name, stored = self._one(name)
        suffix = Path(name).suffix.lower()
        if suffix == ".csv":
            from pyarrow import csv

            return csv.read_csv(stored)
        if suffix in {".parquet", ".pq"}:
            from pyarrow import parquet

            return parquet.read_table(stored)
        raise Invalid(
            f"`{name}` of dataset {self.reference} is not a table",
            hint="read it with .path() or .open(); tables are .csv or .parquet",
        )

    def _bound(self) -> dict[str, Path]:
        if self._files is None:
            raise Invalid(
                f"Dataset({self.reference!r}) is only a reference here: its files are read inside a step",
                hint="pass it to a step, or open it: Project.open().datasets.open(...)",
            )
        return self._files

    def _one(self, name: str | None) -> tuple[str, Path]:
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
