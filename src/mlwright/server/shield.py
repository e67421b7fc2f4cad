"""Headers that every answer has, so that a browser does with it what is meant and nothing else.

Source: Content Security Policy Level 3; Fetch, 3.7 (Cross-Origin-Resource-Policy).
"""

from __future__ import annotations

from starlette.responses import Response

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""What a page of ours may load and do: nothing from elsewhere, and nothing that stands in the page itself."""
OF_JSON = ((b"x-content-type-options", b"nosniff"), (b"cross-origin-resource-policy", b"same-origin"))
"""Of answers that are no pages."""
OF_PAGES = (
    *OF_JSON,
    (b"content-security-policy", POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"referrer-policy", b"same-origin"),  # with `no-referrer`, a form of ours would have the origin `null`
)
"""Of all others."""


def shield(answer: Response) -> None:
    """Add what is missing; what a handler has set stays."""
    there = {name for name, _ in answer.raw_headers}
    answer.raw_headers += [each for each in OF_PAGES if each[0] not in there]
