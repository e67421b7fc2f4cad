"""What the pages of a replica have in common."""

from __future__ import annotations

from html import escape


def shell(title: str, style: str, body: str) -> str:
    """A whole page.

    Args:
        title: as text.
        style: CSS.
        body: HTML: what is text in it is escaped.
    """
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{style}</style>
{body}
</html>
"""
