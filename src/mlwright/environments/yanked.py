"""Versions that their authors took back: which of them a lock would take anew, and the refusal."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from mlwright.kernel.errors import Invalid

_YANKED = re.compile(r'^warning: `(.+?)` is yanked(?: \(reason: "(.*)"\))?$', re.MULTILINE)


def newly_yanked(stderr: str, locked: Collection[str]) -> dict[str, str]:
    """The yanked versions that uv told of, each with the reason.

    Args:
        locked: what was locked before, and stays as it is: `two==1.0`.
    """
    return {name: reason for name, reason in _YANKED.findall(stderr) if name not in locked}


def refuse_yanked(yanked: Mapping[str, str]) -> None:
    """Refuse to take yanked versions.

    Raises:
        Invalid: there are some.
    """
    if yanked:
        told = ", ".join(f"`{name}`{f' ({reason})' if reason else ''}" for name, reason in yanked.items())
        raise Invalid(
            f"yanked by {'its' if len(yanked) == 1 else 'their'} authors: {told}; nothing was changed",
            hint="ask for another version, or take it all the same: --allow-yanked",
        )
