"""Nothing is done without its permission: every route, by every method, by whoever, however it is spelt."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from mlwright.app import Project
from mlwright.server.app import ROUTES
from mlwright.server.identity import Admission
from mlwright.server.permissions import Permission, Role
from mlwright.server.routes import Route
from mlwright.server.tokens import TokenKind, digest_of_secret, issue, new_secret
from tests.conftest import PYPROJECT, write
from tests.server.walking import Asked, Reached, reached

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE")
NOBODY, WRONG = "nobody", "wrong"
OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override")
OWN = new_secret()
ON_LOOPBACK = Admission("owner", digest_of_secret(OWN), False, True, "mlwright_walk")
STRICT = replace(ON_LOOPBACK, tokenless=False)
EXPOSED = replace(ON_LOOPBACK, exposed=True)
MAY = {
    Role.VIEWER: {"anyone", "read"},
    Role.CONTRIBUTOR: {"anyone", "read", "write"},
    Role.DEPLOYER: {"anyone", "read", "write", "deploy"},
    Role.ADMIN: {"anyone", "read", "write", "deploy", "admin"},
}


def may(who: str, route: Route, admission: Admission) -> bool:
    """What the documentation says."""
    if who == WRONG:
        return False
    if who != NOBODY:
        return str(route.permission) in MAY[Role(who)]
    if route.permission is Permission.ANYONE:
        return True
    if admission.exposed:
        return False
    return route.permission is Permission.READ or (route.tokenless and admission.tokenless)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = write(tmp_path_factory.mktemp("walk") / "small", {"pyproject.toml": PYPROJECT})
    with Project.open(root) as project:
        yield project


@pytest.fixture(scope="module")
def headers(project: Project) -> dict[str, tuple[str, ...]]:
    """What each sends of themselves."""
    with project.rooms.database.transaction() as tx:
        tokens = {str(role): issue(tx, TokenKind.TOKEN, str(role), role).secret for role in Role}
    tokens[WRONG] = new_secret()
    return {NOBODY: ()} | {who: (f"authorization: Bearer {secret}",) for who, secret in tokens.items()}


@pytest.fixture(scope="module", params=[ON_LOOPBACK, STRICT, EXPOSED], ids=["loopback", "strict", "exposed"])
def server(project: Project, request: pytest.FixtureRequest) -> Iterator[tuple[Reached, Admission]]:
    with reached(project, request.param) as found:
        yield found, request.param


def place(route: Route) -> str:
    """A path that is the route's."""
    return re.sub(r"\{\w+(:path)?\}", "x1", route.path)


def check(
    server: tuple[Reached, Admission], who: str, asked: list[Asked], headers: dict[str, tuple[str, ...]]
) -> list[Route | None]:
    """Send all of it, and hold what was reached against what may be."""
    found, admission = server
    answers = found.ask(asked, *headers[who])
    for each, (status, route) in zip(asked, answers, strict=True):
        if route is not None:
            assert may(who, route, admission), f"{who} has done {route.method} {route.path} by {each}"
            assert {"HEAD": "GET"}.get(each.method, each.method) == route.method, f"{each}: {route.method}"
        assert (status == 200) is (route is not None), f"{status} for {each}"
        assert status < 500 or route is not None, f"{status} for {each}"
    return [route for _, route in answers]


@pytest.mark.parametrize("who", [NOBODY, WRONG, *Role])
def test_every_method_of_every_route_needs_its_permission(
    server: tuple[Reached, Admission], headers: dict[str, tuple[str, ...]], who: str
) -> None:
    """Whoever may not is refused, and whoever may gets through: 401 for nobody, 403 for too small a role."""
    found, admission = server
    check(
        server,
        who,
        [Asked(method, path) for path in sorted({*map(place, ROUTES)}) for method in METHODS],
        headers,
    )

    declared = [Asked(each.method, place(each)) for each in ROUTES]
    for route, (status, _) in zip(ROUTES, found.ask(declared, *headers[who]), strict=True):
        refused = 401 if who in {NOBODY, WRONG} else 403
        assert status == (200 if may(who, route, admission) else refused), f"{route.method} {route.path}"


def spellings(path: str) -> list[str]:
    """Other ways to write a path, which some servers take for the same."""
    first = path[1:].partition("/")[0]
    return [
        *(
            "/" + path,
            path.replace("/", "//"),
            path + "/",
            path + "//",
            path + "/.",
            "/." + path,
            "/x/.." + path,
        ),
        *(path.upper(), path.title(), "/" + path.replace("/", "%2F"), "/" + path[1:].replace("/", "%2f")),
        *(
            path.replace("/", "/%2e/"),
            "/%2e%2e" + path,
            f"/{first}/%2e%2e{path}",
            "/" + path[1:].replace("/", "\\"),
        ),
        *(path.replace("p", "%70"), path.replace("a", "%2561"), path + "%00", path + ";x=1", path + "%20"),
        *("http://localhost" + path, "http://evil.example" + path, "*", path + "%23", path + "%3Fx"),
    ]


@pytest.mark.parametrize("who", [NOBODY, Role.VIEWER])
def test_no_spelling_gets_around_a_permission(
    server: tuple[Reached, Admission], headers: dict[str, tuple[str, ...]], who: str
) -> None:
    """Slashes, dots, case, encodings, other methods' names in headers and queries: nothing more is done."""
    asked = []
    for route in ROUTES:
        if route.path.startswith(("/api/3.0", "/ajax-api")):  # the same as below /api/2.0
            continue
        path = place(route)
        asked += [Asked(route.method, each) for each in spellings(path)]
        for method in ("GET", "HEAD", "POST"):
            asked += [Asked(method, path, (f"{name}: {route.method}",)) for name in OVERRIDES]
            asked += [
                Asked(method, f"{path}?_method={route.method}"),
                Asked(method, f"{path}?method={route.method}"),
            ]

    done = check(server, who, asked, headers)

    assert any(done), "some spellings are the same path"
