"""Who may ask a replica through a browser: no page of another site.

On loopback only loopback's own names are answered, so that a name of somebody else's that leads here reads
nothing (DNS rebinding). What is asked at an address that others reach has names that only its proxies know.
"""

from __future__ import annotations

from starlette.types import Scope

from mlwright.serving.problems import Problem
from mlwright.wire.guard import Authority, at_loopback, is_here, origin_of, told_host, why_foreign

_NONE = Authority("", None)


def check_host(scope: Scope) -> None:
    """Look at a request before anything else does.

    Raises:
        Problem: 403, it names another server, or comes from another site's page.
    """
    headers = dict(scope["headers"])
    host = told_host(headers) or _NONE
    if at_loopback(scope) and not is_here(host.name, scope["server"][0]):
        raise Problem(403, "the Host header names another server: ask by the address of this one")
    # A page of its own may have come by https, through a proxy.
    if why := why_foreign(scope, headers, host, public=origin_of("https", host)):
        raise Problem(403, why)
