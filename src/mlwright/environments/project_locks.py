"""What `pyproject.toml` asks for, locked in `uv.lock`: the pylock of each environment that it declares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from mlwright.environments.aside import PYPROJECT, UV_LOCK, aside, real_paths
from mlwright.environments.changes import Changes, Proposal
from mlwright.environments.credentials import refuse_credentials
from mlwright.environments.declared import normal, selection
from mlwright.environments.uv import Uv
from mlwright.environments.wheels import FolderWheels
from mlwright.kernel.digest import digest_of
from mlwright.kernel.errors import MlwrightError, NotFound, Unavailable
from mlwright.kernel.files import content_of, write_whole


class ProjectLocks(Struct, frozen=True):
    """The lock of a project's own two files.

    Args:
        root: the project's folder.
        cache: where exports are kept, by what they were made of.
        wheels: takes the place of packages that are folders.
    """

    uv: Uv
    root: Path
    cache: Path
    changes: Changes
    wheels: FolderWheels

    @property
    def file(self) -> Path:
        """The lock."""
        return self.root / UV_LOCK

    def lock(self, *, check: bool, allow_yanked: bool = False) -> bool:
        """Resolve what is asked for into `uv.lock`, or only look whether that is needed.

        Returns:
            Whether it was, or would be, changed.

        Raises:
            Invalid, NotFound, Incompatible, Unavailable: as `Changes.plan_lock`.
        """
        proposal = self.changes.plan_lock()
        if not check:
            self.changes.apply(proposal, allow_yanked=allow_yanked)
        return not proposal.empty

    def text(self, name: str) -> bytes:
        """The pylock of one of the environments.

        Args:
            name: of a group or an extra; empty for the project's own dependencies.

        Raises:
            NotFound: there is no `uv.lock`.
            Unavailable: it does not fit `pyproject.toml` any more.
            Invalid: neither a group nor an extra has that name, or both have it; or the lock has a password.
        """
        self.changes.mend()
        uv_lock = content_of(self.file)
        if uv_lock is None:
            raise NotFound(
                "the project's dependencies are not locked: there is no uv.lock",
                where=str(self.root),
                hint="mlwright environments lock",
            )
        key = digest_of((content_of(self.root / PYPROJECT) or b"") + b"\0" + uv_lock)
        exported = self.cache / (f"{key}-{normal(name)}.toml" if name else f"{key}.toml")
        if not exported.exists():
            chosen = selection(self.root, name)
            self._refuse_stale()
            write_whole(exported, _exported(self.uv, chosen))
        return self.wheels.fixed(exported.read_bytes(), self._refuse_stale)

    def proposed(self, proposal: Proposal, name: str) -> bytes:
        """The pylock that one of the environments would have.

        Raises:
            Invalid: the project would have no environment of that name, or its lock holds a password.
        """
        with aside(self.root, proposal.pyproject, proposal.uv_lock) as place:
            try:
                text = _exported(Uv(place), selection(place, name))
            except MlwrightError as error:
                error.message = real_paths(error.message, place, self.root)
                error.where = error.where and real_paths(error.where, place, self.root)
                raise
        return self.wheels.fixed(text, lambda: None)

    def _refuse_stale(self) -> None:
        if self.lock(check=True):
            raise Unavailable(
                "uv.lock does not fit pyproject.toml any more",
                where=str(self.root),
                hint="mlwright environments lock",
            )


def _exported(uv: Uv, selection: Sequence[str]) -> bytes:
    """The pylock of a `uv.lock`, which stands alone; refused when it would store a password."""
    done = uv.run(
        *["export", "--quiet", "--frozen", "--no-emit-project", "--no-header", "--no-default-groups"],
        *["--format", "pylock.toml", *selection],
        what="the lock cannot be read",
    )
    refuse_credentials(done.stdout, "uv.lock", str(uv.root / UV_LOCK))
    return done.stdout.encode()
