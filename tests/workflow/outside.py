"""A workspace looked at from outside: its records with SQL, its objects as files, without the engine."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
from blake3 import blake3

TERMINAL = frozenset({"succeeded", "failed", "cancelled", "lost", "reused", "checked", "skipped"})


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt as it is recorded."""

    id: str
    run: str
    node: str
    number: int
    state: str
    log: str | None


@dataclass(frozen=True, slots=True)
class Outside:
    """Looks at the workspace of a project."""

    root: Path

    @property
    def local(self) -> Path:
        """The workspace's folder."""
        return self.root / ".mlwright"

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """What the database answers."""
        with closing(apsw.Connection(str(self.local / "metadata.db"))) as connection:
            connection.set_busy_timeout(10_000)
            return list(connection.execute(sql, values))

    def runs(self, seed: int) -> dict[str, str]:
        """The runs with a seed and their states, oldest first."""
        found = self.rows("SELECT id, state FROM run WHERE seed = :seed ORDER BY created_us, id", seed=seed)
        return {str(run): str(state) for run, state in found}

    def tries(self, seed: int) -> list[Try]:
        """The attempts of all those runs, in the order they began."""
        return [
            Try(*row)
            for row in self.rows(
                "SELECT id, run_id, node, number, state, log FROM attempt"
                " WHERE run_id IN (SELECT id FROM run WHERE seed = :seed) ORDER BY created_us, id",
                seed=seed,
            )
        ]

    def states_of(self, run: str) -> dict[str, str]:
        """The state of the last try of each node of a run."""
        found = self.rows("SELECT node, state FROM attempt WHERE run_id = :run ORDER BY number", run=run)
        return {str(node): str(state) for node, state in found}

    def metrics(self, run: str) -> dict[str, float]:
        """The metrics of a run, by name."""
        return dict(self.rows("SELECT name, value FROM metric WHERE run_id = :run", run=run))  # type: ignore[arg-type]

    def states(self, seed: int) -> dict[str, str]:
        """The state of each run and attempt that has come to its end."""
        found = self.runs(seed) | {each.id: each.state for each in self.tries(seed)}
        return {identity: state for identity, state in found.items() if state in TERMINAL}

    def bytes_of(self, digest: str) -> bytes:
        """An object, from its row or its file; its bytes are those that its name says."""
        rows = self.rows("SELECT data FROM inline WHERE digest = :digest", digest=digest)
        data = bytes(rows[0][0]) if rows else (self.local / "objects" / digest[:2] / digest[2:]).read_bytes()
        assert blake3(data).hexdigest() == digest
        return data

    def digests(self, run: str, node: str) -> dict[str, str]:
        """What a node gave in a run, also by an attempt that it reuses: digests by output."""
        rows = self.rows(
            "SELECT made.role, artifact.digest FROM attempt"
            " LEFT JOIN edge AS reuse ON reuse.from_id = attempt.id AND reuse.role = 'reuses'"
            " JOIN edge AS made ON made.to_id = coalesce(reuse.to_id, attempt.id)"
            " JOIN artifact ON artifact.id = made.from_id"
            " WHERE made.role LIKE 'output:%' AND attempt.run_id = :run AND attempt.node = :node"
            " AND attempt.state IN ('succeeded', 'reused')",
            run=run,
            node=node,
        )
        assert len(dict(rows)) == len(rows)
        return {role.removeprefix("output:"): digest for role, digest in rows}

    def value(self, run: str, node: str) -> Any:
        """The JSON value of a node with one output."""
        return json.loads(self.bytes_of(self.digests(run, node)["result"]))

    def check(self, seed: int) -> None:
        """What is recorded of the runs with a seed is whole: successes have outputs, nothing is double."""
        assert self.rows("PRAGMA quick_check") == [("ok",)]
        assert self.rows("PRAGMA foreign_key_check") == []
        tries = self.tries(seed)
        assert max(Counter((each.run, each.node, each.number) for each in tries).values(), default=1) == 1
        succeeded = [each for each in tries if each.state == "succeeded"]
        assert max(Counter((each.run, each.node) for each in succeeded).values(), default=1) == 1
        for each in succeeded:
            made = self.rows(
                "SELECT edge.role, artifact.digest, artifact.size_bytes FROM edge"
                " JOIN artifact ON edge.from_kind = 'artifact' AND artifact.id = edge.from_id"
                " WHERE edge.to_kind = 'attempt' AND edge.to_id = :attempt AND edge.role LIKE 'output:%'",
                attempt=each.id,
            )
            assert [role for role, _, _ in made] == ["output:result"], each
            assert [len(self.bytes_of(digest)) for _, digest, _ in made] == [size for _, _, size in made]
            if each.log is not None:
                self.bytes_of(each.log)
