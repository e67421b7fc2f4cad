"""The verbs that tell what datasets there are and what they hold, and take versions away."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from mlwright.kernel.database import Database
from mlwright.kernel.errors import Corrupt, Invalid, NotFound
from mlwright.kernel.pages import Page
from mlwright.kernel.plan import Plan
from mlwright.kernel.progress import SILENT, Progress
from mlwright.sdk.ranges import Range
from mlwright.storage.trees import Entry, Tree
from mlwright.versioning import search
from mlwright.versioning.contents import (
    DatasetDetail,
    FoundDataset,
    ListedDataset,
    chosen_tables,
    file_types,
    largest,
    tables_of,
)
from mlwright.versioning.differences import (
    DatasetDifference,
    compare_files,
    compare_tables,
    tables_to_compare,
)
from mlwright.versioning.removal import Removal
from mlwright.versioning.summaries import FirstRows, Summaries, TableSummary, table_of
from mlwright.versioning.versions import Version, Versions

_SHOWN_BYTES = 8 << 20
"""Of a larger table no rows are shown: all of it would be read."""


class Catalogue:
    """What is known of datasets. `Datasets` adds how they are made and read.

    Args:
        summaries: where summaries of tables are remembered; None: tables are not summarised.
        python: gives an interpreter that has pyarrow, or None.
    """

    def __init__(
        self,
        database: Database,
        versions: Versions,
        summaries: Path | None,
        python: Callable[[], Path | None],
    ) -> None:
        self._database = database
        self.versions = versions
        self._removal = Removal(database, versions)
        self._summaries = Summaries(summaries, python, self.file)

    @abstractmethod
    def tree(self, version: Version) -> Tree:
        """The manifest of a version."""

    @abstractmethod
    def file(self, entry: Entry) -> Range:
        """Where the bytes of one file of a version lie."""

    def show(
        self,
        reference: str,
        *,
        tables: Sequence[str] = (),
        read: bool = True,
        progress: Progress = SILENT,
    ) -> DatasetDetail:
        """What a version holds: its files, and rows, columns and statistics of its tables.

        Tables are read by a worker in the project's environment, and remembered.

        Args:
            reference: `name`, `name@3`, `name@alias` or `name@b3:ab12`.
            tables: which to summarise, by path; without them all, if they are three or fewer.
            read: false for what is remembered of them alone, which takes no time.
            progress: hears how many bytes are read.

        Raises:
            NotFound: there is no such version, or no such table.
            Corrupt: its bytes are damaged.
        """
        version = self.versions.resolve(reference)
        entries = self.tree(version).entries
        chosen = chosen_tables(entries, tables, version.reference)
        if read:
            summaries = self._summaries.of(chosen, progress)
            self._learn(version, entries, summaries)
        else:
            remembered = map(self._summaries.known, chosen)
            summaries = [each for each in remembered if each is not None]
        return DatasetDetail(
            version,
            self.versions.aliases_of(version),
            version.tags,
            tuple(self.versions.alias_moves(version.name)),
            file_types(entries),
            largest(entries),
            tuple(summaries),
            len(tables_of(entries)) - len(summaries),
            entries,
        )

    def first_rows(self, entry: Entry, most: int = 20) -> FirstRows:
        """The first rows of a file that is a table, read by a worker, and remembered.

        Args:
            entry: the file; how its path ends tells its format.
            most: so many rows.

        Raises:
            Invalid: it is no table, or too large for its rows to be shown.
            Corrupt: its bytes are damaged.
        """
        table = table_of(entry)
        if table is None or entry.size_bytes > _SHOWN_BYTES:
            why = "is no table" if table is None else "is too large for its rows to be shown"
            raise Invalid(f"{entry.path} {why}")
        return self._summaries.first(table, most)

    def diff(self, before: str, after: str, *, progress: Progress = SILENT) -> DatasetDifference:
        """What differs between two versions, of one dataset or of two: files, and what tables hold.

        Args:
            before: a reference.
            after: a reference.
            progress: hears how many bytes are read.

        Raises:
            NotFound: there is no such version.
            Corrupt: their bytes are damaged.
        """
        one, other = self.versions.resolve(before), self.versions.resolve(after)
        old, new = self.tree(one), self.tree(other)
        pairs = tables_to_compare(old.entries, new.entries)
        compared = compare_tables(self._summaries, pairs, progress)
        return DatasetDifference(
            one,
            other,
            compare_files(old.entries, new.entries),
            (old.size_bytes, new.size_bytes),
            compared,
            len(pairs) - len(compared),
        )

    def search(self, words: str, *, limit: int = 20) -> list[FoundDataset]:
        """The versions that hold all words in names, tags, columns or messages, best first.

        Args:
            words: the last one may be the beginning of a word; nothing in them is an operator.
            limit: at most so many.

        Raises:
            Invalid: there is no word in it, or the limit is not positive.
        """
        found = search.find(self._database, self.versions.kind, words, limit)
        return [FoundDataset(self.versions.by_id(each.version_id), each.score, each.why) for each in found]

    def nearest_names(self, words: str) -> list[str]:
        """Names that are spelt nearly like one of the words; three at most."""
        return search.nearest_names(self._database, self.versions.kind, words)

    def alias(self, reference: str, alias: str, *, reason: str = "") -> Plan:
        """Point an alias at a version; the move is kept with who, when, from, to and why.

        Raises:
            Invalid: the alias cannot be one.
            NotFound: there is no such version.
        """
        return self.versions.set_alias(reference, alias, reason=reason)

    def remove_alias(self, name: str, alias: str, *, reason: str = "") -> Plan:
        """Take an alias away; its history stays.

        Raises:
            NotFound: there is no such alias.
        """
        return self.versions.remove_alias(name, alias, reason=reason)

    def plan_remove(self, *references: str, every: bool = False) -> Plan:
        """What `remove` would take away.

        Raises:
            Invalid, NotFound, Conflict: as `remove`.
        """
        return self._removal.plan(references, every=every)

    def remove(self, *references: str, every: bool = False, reason: str = "") -> Plan:
        """Take versions away: all that are named, or none. Numbers are not given again.

        The bytes go when garbage is collected.

        Args:
            references: each to one version; with `every`, names.
            every: all versions under each name.
            reason: why; kept with who and when.

        Raises:
            Invalid: a bare name without `every`, or a version with it.
            NotFound: there is no such version.
            Conflict: an alias, a run or a model refers to one of them; the message names what.
        """
        return self._removal.apply(references, every=every, reason=reason)

    def list(self, name: str = "") -> list[ListedDataset]:
        """The newest version under each name; or every version under one, newest first.

        Raises:
            NotFound: there is no such name.
        """
        if name:
            name = self.versions.resolve(name).name
        found = self.versions.named(name) if name else self.versions.newest()
        return [self._listed(version) for version in found]

    def page(
        self, name: str = "", *, newest: bool = False, limit: int, token: str = ""
    ) -> Page[ListedDataset]:
        """So many of the same, ordered as `Versions.page` says.

        Raises:
            NotFound: there is no such name.
            Invalid: the token is of another search.
        """
        page = self.versions.page(name, newest=newest, limit=limit, token=token)
        return Page([self._listed(version) for version in page.found], page.token)

    def _listed(self, version: Version) -> ListedDataset:
        return ListedDataset(
            version,
            self.versions.aliases_of(version),
            version.tags,
            version.about.get("files", 0),
            self._rows(version),
        )

    def summarised(self, version: Version) -> TableSummary | None:
        """What is remembered of the one table of a version, if somebody looked at it before."""
        if version.about.get("files") != 1:
            return None
        try:
            tables = tables_of(self.tree(version).entries)
        except (NotFound, Corrupt):  # of damaged bytes tells whoever needs them
            return None
        return self._summaries.known(tables[0]) if tables else None

    def _rows(self, version: Version) -> int | None:
        """The rows of the one table of a version, if somebody had them counted."""
        known = self.summarised(version)
        return known.rows if known else None

    def _learn(self, version: Version, entries: Sequence[Entry], summaries: Sequence[TableSummary]) -> None:
        """A table that could not be read when it was added is found by its columns from now on."""
        if len(entries) == 1 and not version.about.get("columns"):
            for each in summaries:
                search.learn_columns(self._database, version.id, [column.name for column in each.columns])
