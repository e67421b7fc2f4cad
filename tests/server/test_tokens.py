"""People and programs prove who they are: tokens, links, sessions of browsers, the workspace's own token."""

from __future__ import annotations

import json
import ssl
import stat
import subprocess
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import mlwright, write
from tests.mlflow import run_client
from tests.processes import until
from tests.server.conftest import Answered, Up

Start = Callable[..., Up]
API = "/api/v1"


def command(project: Path, *arguments: str, **variables: str) -> Any:
    """What a command answers in JSON."""
    told = mlwright(*arguments, "--json", cwd=project, **variables)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def made(project: Path, name: str, role: str = "viewer", *options: str) -> str:
    """The secret of a new token."""
    return str(command(project, "tokens", "create", name, "--role", role, *options)["secret"])


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def own(project: Path) -> str:
    """The workspace's own token, as the running server has left it."""
    return str(json.loads((project / ".mlwright/local/server.json").read_text())["token"])


def ask(up: Up, method: str, path: str, body: Any = None, **headers: str) -> Answered:
    """A request with JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        named["content-type"] = "application/json"
    return up.ask(method, path, None if body is None else json.dumps(body), named)


def let_in(up: Up, link: str) -> dict[str, str]:
    """Follow a link as a browser does; the headers that it sends from then on."""
    answer = up.ask("GET", link.removeprefix(up.url))
    assert answer.status == 303, answer.body
    return {"cookie": answer.headers["set-cookie"].partition(";")[0]}


def events(project: Path) -> list[tuple[str, str]]:
    return [(each["verb"], each["actor"]) for each in command(project, "events")]


def test_a_secret_is_shown_once_and_never_kept(start: Start) -> None:
    """The list, the events and every file of the workspace know the token, and not its secret."""
    project = root_of(start())

    secret = made(project, "ci", "contributor", "--expires", "30d")

    shown = mlwright("tokens", "list", cwd=project).stdout
    assert "ci" in shown and "contributor" in shown and secret not in shown
    assert secret.startswith("mlw_") and len(secret) == 47
    kept = b"".join(path.read_bytes() for path in (project / ".mlwright").rglob("*") if path.is_file())
    assert b"ci" in kept and secret.encode() not in kept
    assert events(project)[-1][0] == "token.created"


def root_of(up: Up) -> Path:
    """The project of a server."""
    return Path(f"/proc/{up.process.pid}/cwd").resolve()


@pytest.mark.parametrize("how", ["bearer", "basic", "BEARER"])
def test_a_token_is_taken_as_bearer_and_as_password(start: Start, how: str) -> None:
    """Both ways in which clients send a token are known."""
    up = start()
    secret = made(root_of(up), "ana", "admin")
    basic = b64encode(f"anybody:{secret}".encode()).decode()
    header = {"bearer": f"Bearer {secret}", "basic": f"Basic {basic}", "BEARER": f"BEARER  {secret}"}[how]

    assert ask(up, "GET", f"{API}/tokens", authorization=header).status == 200
    assert ask(up, "GET", f"{API}/tokens", authorization=header[:-1] + "~").status == 401


@pytest.mark.parametrize(
    "header",
    [
        *(
            "",
            "Bearer",
            "Bearer ",
            "Basic",
            "Basic !!!",
            "Basic YTpi",
            "Digest x",
            "Bearer mlw_",
            "bearer " + "a" * 9000,
        ),
        *("Bearer mlw_" + "A" * 43, "Basic " + b64encode(b"\xff\xfe").decode(), "Bearer \xff", "Token abc"),
    ],
)
def test_what_is_no_token_is_refused_even_for_reading(up: Up, header: str) -> None:
    """A wrong token is never taken for none: whoever sends one learns that it is worth nothing."""
    answer = up.ask("GET", "/version", headers={"authorization": header})

    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_token_that_is_taken_back_is_refused_by_the_next_request(start: Start) -> None:
    """Another process takes a token back, and the running server knows; so with one that has expired."""
    up = start()
    project = root_of(up)
    secret, short = made(project, "ana", "contributor"), made(project, "bo", "viewer", "--expires", "1s")

    before = ask(up, "GET", "/version", **bearer(secret)).status
    taken = command(project, "tokens", "revoke", "ana")
    after = ask(up, "GET", "/version", **bearer(secret)).status

    assert (before, after) == (200, 401)
    assert [each["name"] for each in taken] == ["ana"]
    assert expired(up, short)
    assert "ana" not in mlwright("tokens", "list", cwd=project).stdout
    assert "ana" in mlwright("tokens", "list", "--all", cwd=project).stdout
    assert made(project, "ana", "viewer") != secret


def expired(up: Up, secret: str) -> bool:
    """Whether a token ends."""
    until(lambda: ask(up, "GET", "/version", **bearer(secret)).status == 401)
    return True


def test_a_token_has_one_name(start: Start) -> None:
    """Two tokens in use cannot have one name; a dry run says so too, and makes nothing."""
    project = root_of(start())

    dry = mlwright("tokens", "create", "ana", "--role", "viewer", "--dry-run", cwd=project)
    made(project, "ana")
    again = mlwright("tokens", "create", "ana", "--role", "admin", cwd=project)
    dry_again = mlwright("tokens", "create", "ana", "--role", "admin", "--dry-run", cwd=project)

    assert (dry.returncode, again.returncode, dry_again.returncode) == (0, 4, 4)
    assert "there is a token ana already" in again.stderr
    assert [each["name"] for each in command(project, "tokens", "list") if each["kind"] == "token"] == ["ana"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "", "--role", "viewer"),
        ("create", "a/b", "--role", "viewer"),
        ("create", "anonymous", "--role", "viewer"),
        ("create", "a" * 101, "--role", "viewer"),
        ("create", "ana", "--role", "owner"),
        ("create", "ana", "--role", "viewer", "--expires", "soon"),
        ("create", "ana", "--role", "viewer", "--expires", "0s"),
        ("revoke", "nobody"),
    ],
)
def test_what_cannot_be_is_refused_with_one_message(project: Path, arguments: tuple[str, ...]) -> None:
    """Names, roles, times and references that cannot be are named."""
    told = mlwright("tokens", *arguments, cwd=project)

    assert told.returncode in {2, 3}
    assert told.stderr.startswith("error: ") and "hint: " in told.stderr


def test_nobody_is_called_as_the_owner(start: Start, tmp_path: Path) -> None:
    """A token with the name of who runs the server is refused, by whomever it is made: events tell names."""
    up = start()
    project = root_of(up)
    admin, owner = made(project, "ana", "admin"), events(project)[-1][1]

    here = mlwright("tokens", "create", owner, "--role", "viewer", cwd=project)
    dry = mlwright("tokens", "create", owner, "--role", "viewer", "--dry-run", cwd=project)
    there = ask(up, "POST", f"{API}/tokens", {"name": owner, "role": "viewer"}, **bearer(admin))
    planned = mlwright(
        *("tokens", "create", owner, "--role", "viewer", "--dry-run"),
        cwd=tmp_path,
        MLWRIGHT_URL=up.url,
        MLWRIGHT_TOKEN=admin,
    )

    assert (here.returncode, dry.returncode, there.status) == (4, 4, 409)
    assert f"{owner} is the owner's name" in here.stderr and "hint: " in here.stderr
    assert planned.returncode == 0  # whose name that is elsewhere, the server knows


def test_over_rest_only_an_admin_makes_tokens(start: Start) -> None:
    """An admin makes, lists and takes back tokens over REST; others are refused; events say who did it."""
    up = start()
    project = root_of(up)
    admin, other = made(project, "ana", "admin"), made(project, "bo", "deployer")
    asked = {"name": "ci", "role": "viewer"}

    refused = ask(up, "POST", f"{API}/tokens", asked, **bearer(other))
    answer = ask(up, "POST", f"{API}/tokens", asked, **bearer(admin))
    listed = ask(up, "GET", f"{API}/tokens", **bearer(admin))
    removed = ask(up, "DELETE", f"{API}/tokens/{answer.json['token']['id']}", **bearer(admin))

    assert (refused.status, answer.status, listed.status, removed.status) == (403, 201, 200, 200)
    assert answer.json["secret"].encode() not in listed.body
    assert ask(up, "GET", "/version", **bearer(answer.json["secret"])).status == 401
    assert events(project)[-2:] == [("token.created", "ana"), ("token.revoked", "ana")]


def test_the_command_line_sends_the_workspaces_own_token(start: Start, tmp_path: Path) -> None:
    """In the project, a server on loopback is asked with its own token; elsewhere with `MLWRIGHT_TOKEN`."""
    up = start()
    project = root_of(up)
    viewer = made(project, "eve")

    inside = mlwright("tokens", "list", cwd=project, MLWRIGHT_URL=up.url)
    outside = mlwright("tokens", "list", cwd=tmp_path, MLWRIGHT_URL=up.url)
    named = mlwright("tokens", "list", cwd=tmp_path, MLWRIGHT_URL=up.url, MLWRIGHT_TOKEN=own(project))
    weaker = mlwright("tokens", "list", cwd=project, MLWRIGHT_URL=up.url, MLWRIGHT_TOKEN=viewer)

    assert "eve" in inside.stdout and "eve" in named.stdout
    assert (outside.returncode, weaker.returncode) == (2, 2)
    assert "no token" in outside.stderr and "`admin`, and eve is a viewer" in weaker.stderr


def test_the_own_token_is_for_its_user_alone(start: Start) -> None:
    """The file is 0600 and new with each server; one that others can read is not sent, and says so."""
    up = start()
    project = root_of(up)
    file = project / ".mlwright/local/server.json"
    first = own(project)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)
    told = mlwright("tokens", "list", cwd=project, MLWRIGHT_URL=up.url)
    assert told.returncode == 2 and "others can read" in told.stderr
    up.close()
    assert not file.exists()
    again = start()
    assert own(project) != first
    assert ask(again, "GET", f"{API}/tokens", **bearer(first)).status == 401


def test_the_own_token_goes_to_no_other_server(start: Start, project: Path, up: Up) -> None:
    """The token of one project is not sent to what answers on another port of this machine."""
    mine = root_of(start())

    told = mlwright("tokens", "list", cwd=mine, MLWRIGHT_URL=up.url)

    assert told.returncode == 2 and "no token" in told.stderr


def test_a_link_lets_a_browser_in_once(start: Start) -> None:
    """The link of `up` sets a cookie that scripts cannot read, and is worth nothing afterwards."""
    up = start()
    path = up.login.removeprefix(up.url)

    looked = up.ask("HEAD", path)
    ahead = up.ask("GET", path, headers={"sec-purpose": "prefetch"})
    first = up.ask("GET", path)
    second = up.ask("GET", path)

    assert (looked.status, ahead.status, first.status, second.status) == (204, 204, 303, 403)
    assert first.headers["location"] == "/"
    cookie = first.headers["set-cookie"]
    assert (
        "HttpOnly" in cookie
        and "SameSite=strict" in cookie
        and "Path=/" in cookie
        and "Max-Age=43200" in cookie
    )
    assert "Secure" not in cookie
    assert "set-cookie" not in looked.headers | ahead.headers | second.headers


def test_of_many_who_follow_one_link_one_is_let_in(start: Start) -> None:
    """Though they come at the same moment."""
    up = start()

    def follow(_: int) -> int:
        connection = up.connect()
        connection.request("GET", up.login.removeprefix(up.url))
        status = connection.getresponse().status
        connection.close()
        return status

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(follow, range(16)))

    assert statuses == [303] + [403] * 15


def test_a_session_changes_things_from_our_own_page_only(start: Start) -> None:
    """A change by a session needs the page's origin, which must be ours; reading does not."""
    up = start()
    project = root_of(up)
    session = let_in(up, up.login)
    asked = {"name": "ci", "role": "viewer"}

    statuses = [
        ask(up, "GET", f"{API}/tokens", **session).status,
        ask(up, "POST", f"{API}/tokens", asked, **session).status,
        ask(up, "POST", f"{API}/tokens", asked, **session, origin="http://evil.example").status,
        ask(up, "POST", f"{API}/tokens", asked, **session, origin=up.url, sec_fetch_site="cross-site").status,
        ask(up, "POST", f"{API}/tokens", asked, **session, origin=up.url).status,
    ]

    assert statuses == [200, 403, 403, 403, 201]
    assert [verb for verb, _ in events(project)][-3:] == ["link.created", "session.created", "token.created"]


def test_sessions_outlive_the_server_and_are_taken_back(start: Start) -> None:
    """After a restart the cookie is still good; `tokens list` shows the session, `tokens revoke` ends it."""
    up = start()
    project = root_of(up)
    session = let_in(up, up.login)
    up.close()
    again = start()

    before = ask(again, "GET", f"{API}/tokens", **session).status
    shown = [each for each in command(project, "tokens", "list") if each["kind"] == "session"]
    command(project, "tokens", "revoke", shown[0]["id"])
    after = ask(again, "GET", f"{API}/tokens", **session).status

    assert (before, after, len(shown)) == (200, 401, 1)
    assert ask(again, "GET", "/version", **session).status == 200  # as anybody


def test_logging_out_ends_the_session_itself(start: Start) -> None:
    """Who has kept a copy of the cookie has nothing of it."""
    up = start()
    session = let_in(up, up.login)

    answer = up.ask("POST", "/logout", "", {**session, "origin": up.url})

    assert answer.status == 303
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert ask(up, "GET", f"{API}/tokens", **session).status == 401


def test_who_logs_in_is_spoken_to_in_their_language(start: Start) -> None:
    """The page of the login, and its refusals, are in the language that was asked for or chosen."""
    up = start()
    form = {"content-type": "application/x-www-form-urlencoded", "origin": up.url, "cookie": "language=ko"}

    page = up.ask("GET", "/login?next=/runs", headers={"accept-language": "ko-KR,en;q=0.5"})
    refused = up.ask("POST", "/login", "token=x", form)
    plain = up.ask("GET", "/login")

    assert '<html lang="ko">' in page.body.decode() and "로그인하지 않았습니다" in page.body.decode()
    assert refused.status == 403 and "철회되었습니다" in refused.body.decode()
    assert '<html lang="en">' in plain.body.decode() and "You are not logged in." in plain.body.decode()


def test_a_token_that_somebody_types_begins_a_session_that_ends_with_it(start: Start) -> None:
    """A browser logs in with a token; taking that back ends the session too."""
    up = start()
    project = root_of(up)
    secret = made(project, "ana", "admin")
    form = {"content-type": "application/x-www-form-urlencoded", "origin": up.url}

    wrong = up.ask("POST", "/login", f"token={secret[:-1]}", form)
    foreign = up.ask("POST", "/login", f"token={secret}", {**form, "origin": "http://evil.example"})
    without = up.ask("POST", "/login", f"token={secret}", {"content-type": form["content-type"]})
    right = up.ask("POST", "/login?next=/runs", f"token={secret}", form)
    session = {"cookie": right.headers["set-cookie"].partition(";")[0]}
    before = ask(up, "GET", f"{API}/tokens", **session).status
    command(project, "tokens", "revoke", "ana")

    assert (wrong.status, foreign.status, without.status, right.status) == (403, 403, 403, 303)
    assert right.headers["location"] == "/runs"
    assert (before, ask(up, "GET", f"{API}/tokens", **session).status) == (200, 401)


def test_what_a_token_has_made_ends_with_it(start: Start) -> None:
    """A token is taken back by its id: its sessions and links go, and those that they made."""
    up = start()
    project = root_of(up)
    made(project, "bo", "admin")
    secret = made(project, "ana", "admin", "--expires", "1h")
    token = next(each for each in command(project, "tokens", "list") if each["name"] == "ana")

    def link(**headers: str) -> str:
        return str(ask(up, "POST", f"{API}/tokens/links", {}, **headers).json["secret"])

    first = let_in(up, f"/login?key={link(**bearer(secret))}")
    second = let_in(up, f"/login?key={link(**first, origin=up.url)}")
    unused = link(**second, origin=up.url)
    living = [each for each in command(project, "tokens", "list") if each["name"] == "ana"]
    planned = mlwright("tokens", "revoke", token["id"], "--dry-run", "--json", cwd=project)
    taken = command(project, "tokens", "revoke", token["id"])

    assert sorted(each["kind"] for each in living) == ["link", "session", "session", "token"]
    assert all(each["expires_us"] <= token["expires_us"] for each in living)
    assert len(json.loads(planned.stdout)["changes"]) == len(taken) == 4
    assert {ask(up, "GET", f"{API}/tokens", **session).status for session in (first, second)} == {401}
    assert up.ask("GET", f"/login?key={unused}").status == 403
    assert [each["name"] for each in command(project, "tokens", "list") if each["kind"] == "token"] == ["bo"]


@pytest.mark.parametrize(
    "target",
    [
        *(
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "evil.example",
            "",
        ),
        *(
            "javascript:alert(1)",
            "/%09/evil",
            "/\t/evil.example",
            "///evil.example",
            "http:/evil",
            "/\u3002evil",
        ),
    ],
)
def test_a_login_leads_to_our_own_paths_only(up: Up, target: str) -> None:
    """Whatever `next` is, a browser is not sent to another site."""
    up.hang_up()

    answer = up.ask("GET", f"/login?next={quote(target, safe='')}")

    assert answer.status == (200 if target in {"/%09/evil", ""} else 422)


def test_a_new_link_is_printed_while_the_server_runs(start: Start, tmp_path: Path) -> None:
    """`mlwright login` in the project; where no server runs it says so."""
    up = start()
    project = root_of(up)

    link = command(project, "login")["login"]
    session = let_in(up, link)
    up.close()
    told = mlwright("login", cwd=project)

    assert session["cookie"].startswith("mlwright_")
    assert told.returncode == 6 and "no server answers" in told.stderr


def test_changes_by_nobody_are_mlflows_alone(start: Start) -> None:
    """On loopback, MLflow's clients write without a token, by a setting; our own API never does."""
    up = start()
    project = root_of(up)

    free = up.post("experiments/create", {"name": "free"})
    ours = ask(up, "POST", f"{API}/tokens", {"name": "x", "role": "admin"})
    up.close()
    settings = project / "pyproject.toml"
    settings.write_text(settings.read_text() + "\nmlflow_without_token = false\n")
    strict = start()
    refused = strict.post("experiments/create", {"name": "refused"})
    read = strict.get("experiments/get", experiment_id="0")
    by_token = strict.post(
        "experiments/create", {"name": "kept"}, **bearer(made(project, "ana", "contributor"))
    )

    assert (free.status, ours.status) == (200, 401)
    assert refused.refused == (401, "UNAUTHENTICATED")
    assert (read.status, by_token.status) == (200, 200)


def test_beyond_loopback_everybody_needs_a_token(start: Start) -> None:
    """Nothing is told without a token but that the server lives; a page sends people to the login."""
    first = start()
    project = root_of(first)
    first.close()
    made(project, "boss", "admin")
    viewer = made(project, "eve")
    up = start("--host", "0.0.0.0", "--port", "0")

    assert up.ask("GET", "/health").status == 200
    assert up.ask("GET", "/login").status == 200
    paths = ["/version", f"{API}/runs", f"{API}/openapi.json", "/nothing", "/api/2.0/mlflow/experiments/get"]
    assert {up.ask("GET", path).status for path in paths} == {401}
    assert ask(up, "GET", "/version", **bearer(viewer)).status == 200
    assert up.post("experiments/create", {"name": "x"}).status == 401
    assert up.post("experiments/create", {"name": "x"}, **bearer(viewer)).status == 403
    sent = up.ask("GET", f"{API}/runs", headers={"accept": "text/html"})
    assert (sent.status, sent.headers["location"]) == (303, f"/login?next={API}/runs")


def test_a_proxys_words_are_not_believed(start: Start) -> None:
    """What `X-Forwarded-*` and `Forwarded` say changes neither the name, nor the scheme, nor who asks."""
    up = start()
    told = {
        "x-forwarded-host": "evil.example",
        "x-forwarded-proto": "https",
        "x-forwarded-for": "10.0.0.1",
        "forwarded": "host=evil.example;proto=https",
    }

    answer = up.ask("GET", up.login.removeprefix(up.url), headers=told)
    foreign = up.ask("GET", "/health", headers={**told, "host": "evil.example"})

    assert (answer.status, foreign.status) == (303, 403)
    assert "Secure" not in answer.headers["set-cookie"]


def test_behind_a_proxy_the_public_name_is_the_setting(start: Start) -> None:
    """With `url` everybody needs a token, and sessions are for https alone."""
    first = start()
    project = root_of(first)
    first.close()
    settings = project / "pyproject.toml"
    settings.write_text(settings.read_text() + '\nurl = "https://ml.example.com"\n')
    alone = mlwright("up", "--port", "0", cwd=project)
    made(project, "boss", "admin")
    up = start()
    host = {"host": "ml.example.com"}

    assert alone.returncode == 2 and "https://ml.example.com can be reached" in alone.stderr
    assert up.login.startswith("https://ml.example.com/login?key=mlw_")
    assert up.ask("GET", "/version").status == 401
    assert up.ask("GET", "/version", headers=host).status == 401
    answer = up.ask("GET", up.login.removeprefix("https://ml.example.com"), headers=host)
    assert "; Secure" in answer.headers["set-cookie"]


def test_every_answer_has_the_headers_of_a_shield(start: Start) -> None:
    """Pages, problems, files and redirects: a browser runs nothing of it but our own scripts."""
    up = start()

    for path in (
        "/login",
        "/nothing",
        "/health",
        f"{API}/runs",
        "/api/2.0/mlflow/nothing",
        up.login.removeprefix(up.url),
    ):
        headers = up.ask("GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "same-origin"
        policy = headers["content-security-policy"]
        assert (
            "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        )
    hot = up.get("experiments/get", experiment_id="0").headers
    assert (hot["x-content-type-options"], hot["cross-origin-resource-policy"]) == ("nosniff", "same-origin")


def test_wrong_tokens_lock_nobody_out(start: Start) -> None:
    """While others try 2,000 wrong tokens, the right one is taken each time."""
    up = start()
    secret = made(root_of(up), "ana")

    def guess(begin: int) -> set[int]:
        connection = up.connect()
        statuses = set()
        for number in range(begin, begin + 500):
            connection.request("GET", "/version", headers=bearer(f"mlw_{number:043d}"))
            answer = connection.getresponse()
            answer.read()
            statuses.add(answer.status)
        connection.close()
        return statuses

    with ThreadPoolExecutor(4) as pool:
        guesses = [pool.submit(guess, 500 * number) for number in range(4)]
        right = [ask(up, "GET", "/version", **bearer(secret)).status for _ in range(100)]
        wrong = [each.result() for each in guesses]

    assert set(right) == {200}
    assert wrong == [{401}] * 4


CLIENT = """
import mlflow
with mlflow.start_run():
    mlflow.log_metric("loss", 0.5)
print("done")
"""


def test_mlflows_own_client_sends_tokens(start: Start, tmp_path: Path) -> None:
    """As MLFLOW_TRACKING_TOKEN and as MLFLOW_TRACKING_PASSWORD; without one it is refused."""
    up = start()
    project = root_of(up)
    up.close()
    settings = project / "pyproject.toml"
    settings.write_text(settings.read_text() + "\nmlflow_without_token = false\n")
    up = start()
    secret = made(project, "ana", "contributor")

    by_token = run_client(CLIENT, up.url, tmp_path, MLFLOW_TRACKING_TOKEN=secret)
    by_password = run_client(
        CLIENT, up.url, tmp_path, MLFLOW_TRACKING_USERNAME="ana", MLFLOW_TRACKING_PASSWORD=secret
    )
    without = run_client(CLIENT, up.url, tmp_path)

    assert "done" in by_token.stdout, by_token.stderr
    assert "done" in by_password.stdout, by_password.stderr
    assert without.returncode == 1 and "the request has no token" in without.stderr


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for this machine that vouches for itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    chain, key = folder / "chain.pem", folder / "key.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-keyout", str(key), "-out", str(chain), "-days", "1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    return chain, key


def test_with_a_certificate_it_speaks_https(start: Start, certificate: tuple[Path, Path]) -> None:
    """Tokens and sessions are encrypted on their way; the session's cookie is for https alone."""
    chain, key = certificate
    up = start("--port", "0", "--tls-cert", str(chain), "--tls-key", str(key))
    context = ssl.create_default_context(cafile=str(chain))
    connection = HTTPSConnection(up.host, up.port, context=context, timeout=30)

    connection.request("GET", up.login.removeprefix(up.url))
    answer = connection.getresponse()
    answer.read()
    connection.close()
    listed = mlwright("tokens", "list", cwd=root_of(up), MLWRIGHT_URL=up.url, SSL_CERT_FILE=str(chain))

    assert up.url.startswith("https://127.0.0.1:") and up.login.startswith(up.url)
    assert (answer.status, "; Secure" in (answer.getheader("set-cookie") or "")) == (303, True)
    assert listed.returncode == 0, listed.stderr
    assert "session" in listed.stdout


def test_a_certificate_that_is_none_is_said(
    project: Path, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    """A file that is no certificate, another's key, one of the two alone: one message."""
    chain, key = certificate
    nothing = write(tmp_path, {"nothing.pem": "nothing"}) / "nothing.pem"

    wrong = mlwright("up", "--port", "0", "--tls-cert", str(nothing), "--tls-key", str(key), cwd=project)
    swapped = mlwright("up", "--port", "0", "--tls-cert", str(key), "--tls-key", str(chain), cwd=project)
    alone = mlwright("up", "--port", "0", "--tls-cert", str(chain), cwd=project)

    assert [each.returncode for each in (wrong, swapped, alone)] == [2, 2, 2]
    assert wrong.stderr.startswith("error: the certificate and its key cannot be used")
    assert "a certificate needs its key" in alone.stderr
