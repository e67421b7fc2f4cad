"""People log in at a provider: only whom it vouches for, and whom the settings name, comes in."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from mlwright.kernel.errors import Unavailable
from mlwright.server.oidc.journeys import Journey, Journeys
from mlwright.server.oidc.provider import MOST_BYTES
from mlwright.server.oidc.provider import Provider as Asking
from mlwright.server.oidc.settings import Login
from mlwright.server.permissions import Role
from mlwright.server.problems import Refusal
from tests import oidc
from tests.conftest import PYPROJECT, mlwright, write
from tests.oidc import CLIENT, SECRET, Key, Provider
from tests.postgres import Postgres
from tests.processes import until
from tests.server.conftest import Up
from tests.server.test_tokens import command, events, root_of

API = "/api/v1"
ROLES = {
    "ana@example.com": "admin",
    "kim@example.com": "admin",
    "*@example.org": "viewer",
    "low@example.org": "viewer",
    "cy@example.org": "deployer",
    "group:ml": "contributor",
}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """One that every test of the file shares, and finds as it should be."""
    with oidc.provider() as found:
        yield found


@pytest.fixture(autouse=True)
def behaving(provider: Provider) -> Iterator[None]:
    provider.behave()
    key = provider.key
    yield
    provider.key = key
    while Browser.opened:
        Browser.opened.pop().client.close()


def login(issuer: str, roles: dict[str, str] = ROLES) -> str:
    """The setting."""
    told = ", ".join(f'"{who}" = "{role}"' for who, role in roles.items())
    return f"""
[tool.mlwright.login]
issuer = "{issuer}"
client_id = "{CLIENT}"
client_secret = "env:LOGIN_SECRET"
roles = {{ {told} }}
"""


@pytest.fixture(scope="module")
def up(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    root = tmp_path_factory.mktemp("oidc") / "small"
    server = Up(write(root, {"pyproject.toml": PYPROJECT + login(provider.issuer)}), LOGIN_SECRET=SECRET)
    yield server
    server.close()


class Browser:
    """Keeps cookies, and goes where it is sent.

    Args:
        up: whose pages it looks at.
    """

    opened: ClassVar[list[Browser]] = []

    def __init__(self, up: Up) -> None:
        self.opened.append(self)
        self.up = up
        self.client = httpx2.Client(trust_env=False, timeout=30)
        self.been: list[str] = []

    def get(self, url: str) -> httpx2.Response:
        """One answer."""
        url = self.up.url + url if url.startswith("/") else url
        self.been.append(url)
        return self.client.get(url)

    def sent(self, path: str = "/login/oidc") -> str:
        """Go to the provider; the address at which it sends back."""
        there = self.get(path)
        assert there.status_code == 303, there.text
        return self.get(there.headers["location"]).headers["location"]

    def log_in(self, path: str = "/login/oidc") -> httpx2.Response:
        """There and back."""
        return self.get(self.sent(path))

    @property
    def session(self) -> str | None:
        """The cookie that lets it in."""
        found = [each for each in self.client.cookies.jar if not each.name.endswith("_login")]
        return found[0].value if found else None

    def may_admin(self) -> int:
        """What an admin's question is answered with."""
        return self.get(f"{API}/tokens").status_code


@pytest.fixture
def browser(up: Up) -> Browser:
    return Browser(up)


def persons(up: Up) -> list[dict[str, Any]]:
    """The sessions of people who logged in."""
    headers = {"authorization": f"Bearer {up.token}"}
    answer = httpx2.get(f"{up.url}{API}/tokens?limit=1000", headers=headers, trust_env=False)
    return [each for each in answer.json()["found"] if each["person_id"]]


def test_who_is_named_gets_in_and_is_known_by_name(up: Up, browser: Browser) -> None:
    """From the login page to the provider and back to the page that was wanted, with a session and a role."""
    page = browser.get("/login?next=/runs")
    begun = browser.get("/login/oidc?next=/runs")
    answer = browser.get(browser.get(begun.headers["location"]).headers["location"])

    assert 'href="/login/oidc?next=/runs">Log in with localhost</a>' in page.text
    kept = begun.headers["set-cookie"].lower()
    assert "httponly" in kept and "samesite=lax" in kept and "path=/login/oidc" in kept
    assert answer.status_code == 200 and 'content="0; url=/runs"' in answer.text
    given = " ".join(answer.headers.get_list("set-cookie")).lower()
    assert "httponly" in given and "samesite=strict" in given
    assert browser.may_admin() == 200
    assert [(each["kind"], each["name"], each["role"]) for each in persons(up)] == [
        ("session", "ana@example.com", "admin")
    ]
    assert events(root_of(up))[-2:] == [
        ("person.admitted", "ana@example.com"),
        ("session.created", "ana@example.com"),
    ]


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"email": "bo@example.org"}, "viewer"),
        ({"email": "Bo@Example.ORG"}, "viewer"),
        ({"email": "cy@example.org"}, "deployer"),
        ({"email": "low@example.org", "groups": ["ml"]}, "viewer"),
        ({"email": "bo@example.org", "groups": ["other", "ml"]}, "contributor"),
        ({"email": None, "email_verified": None, "groups": ["ml"]}, "contributor"),
        ({"email": "eve@evil.example", "groups": "ml"}, "contributor"),
        ({"email": "ana@example.com", "email_verified": False, "groups": ["ml"]}, "contributor"),
        ({"email": "eve@evil.example"}, None),
        ({"email": "eve@sub.example.org"}, None),
        ({"email": "eve@example.org.evil.example"}, None),
        ({"email": '"x@example.org"@evil.example'}, None),
        ({"email": "*@example.org@evil.example"}, None),
        ({"email": "group:ml"}, None),
        ({"email": "ana@example.com\n"}, None),
        ({"email": "an\u0430@example.com"}, None),
        ({"email": "eve@example.com", "groups": ["ML", "", "*@example.org", "ana@example.com", 7]}, None),
        ({"email": "\u212aim@example.com"}, None),  # the Kelvin sign
        ({"email": ["ana@example.com"]}, None),
        ({"email": None}, None),
        ({"email": "ana@example.com", "email_verified": False}, None),
        ({"email": "ana@example.com", "email_verified": "true"}, None),
        ({"email": "ana@example.com", "email_verified": None}, None),
    ],
)
def test_the_settings_say_what_somebody_may(
    up: Up, browser: Browser, provider: Provider, claims: dict[str, Any], role: str | None
) -> None:
    """By their own address, else by the most of group and domain; who is not named, or not proven, is out."""
    provider.person |= {"sub": f"somebody-{json.dumps(claims)}"[:250], **claims}

    answer = browser.log_in()

    who = provider.person["sub"]
    assert answer.status_code == (403 if role is None else 200), answer.text
    assert (browser.session is None) is (role is None)
    if role is not None:
        name = persons(up)[-1]["name"]
        assert persons(up)[-1]["role"] == role
        proven = claims.get("email") and claims.get("email_verified", True)
        assert name == (str(claims["email"]).lower() if proven else f"{who}@localhost")


def test_no_address_is_a_rule() -> None:
    """What a provider calls somebody's address is held against addresses alone."""
    login = Login("https://id.example.com", "c", roles={name: Role(role) for name, role in ROLES.items()})

    assert login.role_of("ana@example.com", ()) is Role.ADMIN
    assert [login.role_of(each, ()) for each in ("group:ml", "*@example.org", "", "@example.org")] == [
        None
    ] * 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"claims": {"nonce": "another"}}, "of another login"),
        ({"claims": {"nonce": None}}, "of another login"),
        ({"claims": {"nonce": ["a"]}}, "of another login"),
        ({"claims": {"aud": "another"}}, "for another client"),
        ({"claims": {"aud": None}}, "does not say all"),
        ({"claims": {"aud": [CLIENT, "another"]}}, "for another client"),
        ({"claims": {"aud": [CLIENT, "another"], "azp": "another"}}, "for another client"),
        ({"claims": {"azp": "another"}}, "for another client"),
        ({"claims": {"iss": "https://evil.example"}}, "of another provider"),
        ({"claims": {"iss": None}}, "does not say all"),
        ({"claims": {"exp": 1_700_000_000}}, "has expired"),
        ({"claims": {"exp": None}}, "does not say all"),
        ({"claims": {"exp": "soon"}}, "cannot be believed"),
        ({"claims": {"iat": 9_700_000_000}}, "is not valid yet"),
        ({"claims": {"iat": None}}, "does not say all"),
        ({"claims": {"nbf": 9_700_000_000}}, "is not valid yet"),
        ({"claims": {"sub": None}}, "does not say all"),
        ({"claims": {"sub": ""}}, "does not say who"),
        ({"claims": {"sub": 7}}, "does not say who"),
        ({"claims": {"sub": "a" * 256}}, "does not say who"),
        ({"claims": {"name": "a" * 70_000}}, "is too long"),
        ({"how": "none"}, "in a way that is not believed"),
        ({"how": "public"}, "in a way that is not believed"),
        ({"how": "broken"}, "is not signed by its provider"),
        ({"head": {"alg": "RS384"}}, "in a way that is not believed"),
        ({"head": {"alg": ["RS256"]}}, "cannot be believed"),
        ({"head": {"alg": "ES256"}}, "a key that the provider does not show"),
        ({"head": {"crit": ["exp2"], "exp2": 1}}, "cannot be believed"),
        ({"head": {"b64": False, "crit": ["b64"]}}, "cannot be believed"),
        ({"head": {"kid": "another"}}, "a key that the provider does not show"),
        ({"person": {"sub": "x", "email": "ana@example.com"}}, "has not verified that ana@example.com"),
    ],
)
def test_what_is_not_as_it_must_be_lets_nobody_in(
    up: Up, browser: Browser, provider: Provider, change: dict[str, Any], said: str
) -> None:
    """A token for others, of others, too old, or not signed as announced with a key shown: one sentence."""
    for name, value in change.items():
        setattr(provider, name, value)
    before = len(persons(up))

    answer = browser.log_in()

    assert answer.status_code == 403 and said in answer.text
    assert browser.session is None and len(persons(up)) == before
    assert not any(each in answer.text for each in provider.given)


def test_one_audience_of_several_is_enough_where_the_token_is_ours(
    browser: Browser, provider: Provider
) -> None:
    """Others may read the token too, if it was made for us."""
    provider.claims = {"aud": ["another", CLIENT], "azp": CLIENT}

    assert browser.log_in().status_code == 200


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_new_keys_are_taken(provider: Provider, algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that signs with a key that is not known is asked for its keys again, soon at the latest."""
    monkeypatch.setattr("mlwright.server.oidc.provider._KEYS_AGAIN_S", 0.0)
    old, asking = provider.key, asking_of(provider)
    before = asked(provider, asking)
    provider.rotate(algorithm)

    after = asked(provider, asking)

    assert before == after
    provider.key, provider.keys = old, [Key("ES256")]  # what is not shown any more is not believed
    with pytest.raises(Refusal, match="a key that the provider does not show"):
        asked(provider, asking)
    provider.keys = []
    assert asked(provider, asking) == before


def test_keys_are_asked_for_again_by_and_by(up: Up, provider: Provider) -> None:
    """Whoever sends tokens with unknown keys has the provider asked seldom; a new key is known soon after."""
    assert Browser(up).log_in().status_code == 200
    old = provider.key
    provider.rotate("ES256")
    provider.asked.clear()

    until(lambda: Browser(up).log_in().status_code == 200, every_s=0.2)

    assert provider.asked.count("/keys") == 1
    provider.key = old
    until(lambda: Browser(up).log_in().status_code == 200, every_s=0.2)


@pytest.mark.parametrize(
    "odd",
    [{"n": 7}, {"n": ""}, {"n": None}, {"n": "AQAB"}, {"e": "AA"}, {"e": "é"}, {"kty": []}, {"use": []}],
)
def test_a_key_that_is_none_is_not_believed(provider: Provider, odd: dict[str, Any]) -> None:
    """Whatever a provider shows as its key, it is said."""
    shown = provider.key.shown | odd
    provider.answers = {"/keys": (200, {}, json.dumps({"keys": [shown]}).encode())}

    with pytest.raises(Refusal, match="cannot be believed"):
        asked(provider)


@pytest.mark.filterwarnings("ignore")  # the library also warns, which here alone would be an error
def test_a_weak_key_is_not_believed(provider: Provider) -> None:
    """An RSA key of 1,024 bits can be found out."""
    good, provider.key = provider.key, Key("RS256", 1024)

    with pytest.raises(Refusal, match="cannot be believed"):
        asked(provider)

    provider.key = good
    assert asked(provider).email == "ana@example.com"


def test_only_the_browser_that_began_can_end(up: Up, browser: Browser, provider: Provider) -> None:
    """The address of the way back is worth nothing elsewhere, later, changed, or once more."""
    back = browser.sent()
    other = Browser(up)
    other.sent()
    provider.asked.clear()

    stolen = [Browser(up).get(back), other.get(back)]
    changed = [
        browser.get(back.replace("state=", "state=x")),
        Browser(up).get("/login/oidc/callback"),
    ]
    asked = list(provider.asked)
    browser.sent()
    once = browser.sent()
    first, again = browser.get(once), browser.get(once)

    assert [each.status_code for each in (*stolen, *changed)] == [403] * 4
    assert asked == []
    assert (first.status_code, again.status_code) == (200, 403)
    assert "begin again" in again.text


def test_a_cookie_that_was_changed_or_is_old_is_none() -> None:
    """What a browser takes along is signed, and good for ten minutes."""
    journeys = Journeys()
    journey = journeys.begin("http://127.0.0.1:5000/login/oidc/callback", "/runs")
    sealed = journeys.sealed(journey)
    told, _, seal = sealed.partition(".")
    late = Journey(journey.state, journey.nonce, journey.verifier, journey.back, "/", ends_us=1)

    assert journeys.opened(sealed) == journey
    wrong = ["", ".", told, f".{seal}", f"{told[:-2]}AA.{seal}", f"{told}.{seal[:-2]}AA", "é.é", "a" * 9000]
    assert [journeys.opened(each) for each in (*wrong, journeys.sealed(late))] == [None] * 9
    assert Journeys().opened(sealed) is None


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("error=access_denied", 403, "localhost did not let you in: access_denied"),
        (
            "error=%3Cb%3Ecall+0900%3C/b%3E&error_description=evil-words",
            403,
            "localhost did not let you in",
        ),
        ("code=", 400, "has no code"),
        ("code=" + "a" * 5000, 400, "has no code"),
        ("code=unknown&iss=ISSUER", 403, "begin again"),
        ("code=unknown", 403, "this login is not of localhost"),
        ("code=unknown&iss=https://evil.example", 403, "this login is not of localhost"),
    ],
)
def test_what_the_browser_brings_is_not_believed(
    browser: Browser, provider: Provider, query: str, status: int, said: str
) -> None:
    """Errors, other providers, codes that are none: told in our words."""
    state = parse_qs(urlsplit(browser.sent()).query)["state"][0]
    asking = query.replace("ISSUER", provider.issuer)

    answer = browser.get(f"/login/oidc/callback?state={state}&{asking}")

    assert answer.status_code == status, answer.text
    assert said in answer.text
    assert "evil" not in answer.text and "0900" not in answer.text and browser.session is None


def test_looking_ahead_does_nothing(up: Up, browser: Browser, provider: Provider) -> None:
    """A HEAD, or a browser that fetches what may be wanted next, begins no login and uses up no code."""
    back = browser.sent()

    ahead = [
        browser.client.head(back).status_code,
        browser.client.get(back, headers={"sec-purpose": "prefetch"}).status_code,
        browser.client.head(up.url + "/login/oidc").status_code,
    ]

    assert ahead == [204] * 3
    assert browser.get(back).status_code == 200


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/\\evil.example", "runs"])
def test_nobody_is_sent_elsewhere(browser: Browser, target: str) -> None:
    """Where a browser goes on is a path of ours."""
    assert browser.client.get(browser.up.url + "/login/oidc", params={"next": target}).status_code == 422


def test_logging_out_and_taking_back_end_the_session(up: Up, browser: Browser) -> None:
    """Our session ends, not the provider's; by the person's name all of theirs do."""
    other = Browser(up)
    browser.log_in()
    other.log_in()
    kept = dict(other.client.cookies)

    browser.client.post(up.url + "/logout", headers={"origin": up.url})
    out = browser.may_admin(), other.may_admin()
    taken = command(root_of(up), "tokens", "revoke", "ana@example.com")

    assert out == (401, 200)
    assert {each["name"] for each in taken} == {"ana@example.com"}
    assert httpx2.get(up.url + f"{API}/tokens", cookies=kept, trust_env=False).status_code == 401
    assert browser.log_in().status_code == 200


def test_a_restart_judges_sessions_by_the_settings_of_then(provider: Provider, tmp_path: Path) -> None:
    """Sessions outlive a restart with what their people may now; nothing for who is not named any more."""
    root = tmp_path / "small"

    def began(text: str) -> Up:
        write(root, {"pyproject.toml": PYPROJECT + text})
        return Up(root, "--port", "0", LOGIN_SECRET=SECRET)

    def statuses(session: str, text: str) -> list[int]:
        up = began(text)
        name = next(each.name for each in browser.client.cookies.jar if not each.name.endswith("_login"))
        cookie = {"cookie": f"{name}={session}"}
        found = [up.ask("GET", f"{API}{path}", headers=cookie).status for path in ("/tokens", "/runs")]
        up.close()
        return found

    up = began(login(provider.issuer))
    browser = Browser(up)
    browser.log_in()
    session = browser.session or ""
    up.close()

    assert statuses(session, login(provider.issuer)) == [200, 200]
    assert statuses(session, login(provider.issuer, {"ana@example.com": "viewer"})) == [403, 200]
    assert statuses(session, login(provider.issuer, {"bo@example.com": "admin"})) == [401, 200]  # as nobody
    assert statuses(session, login("http://localhost:1")) == [401, 200]
    assert statuses(session, "") == [401, 200]


def test_a_browser_let_in_by_a_persons_link_is_that_person(provider: Provider, tmp_path: Path) -> None:
    """An admin's link begins a session that may what the settings give the admin then, and no more."""
    root = write(tmp_path / "small", {"pyproject.toml": PYPROJECT + login(provider.issuer)})
    up = Up(root, "--port", "0", LOGIN_SECRET=SECRET)
    browser, other = Browser(up), Browser(up)
    browser.log_in()

    asked = browser.client.post(f"{up.url}{API}/tokens/links", json={}, headers={"origin": up.url})
    other.get(f"/login?key={asked.json()['secret']}")
    first, second = persons(up)
    before = other.may_admin()
    up.close()
    lowered = {"ana@example.com": "viewer", "bo@example.com": "admin"}
    write(root, {"pyproject.toml": PYPROJECT + login(provider.issuer, lowered)})
    again = Up(root, "--port", "0", LOGIN_SECRET=SECRET)
    (name,) = (each.name for each in other.client.cookies.jar)
    after = again.ask("GET", f"{API}/tokens", headers={"cookie": f"{name}={other.session}"})
    again.close()

    assert first["person_id"] == second["person_id"] and first["id"] != second["id"]
    assert (before, after.status) == (200, 403)


def test_people_are_kept_in_postgresql_too(provider: Provider, postgres: Postgres, tmp_path: Path) -> None:
    """The same person twice, there as well: one row, two sessions."""
    text = PYPROJECT + f'database = "{postgres.make()}"\n' + login(provider.issuer)
    up = Up(write(tmp_path / "small", {"pyproject.toml": text}), LOGIN_SECRET=SECRET)

    statuses = [each.log_in().status_code for each in (Browser(up), Browser(up))]
    found = persons(up)
    up.close()

    assert statuses == [200, 200]
    assert len(found) == 2 and len({each["person_id"] for each in found}) == 1


def test_nothing_of_codes_tokens_and_secrets_is_kept_or_said(provider: Provider, tmp_path: Path) -> None:
    """Logins that succeed and fail leave none of it in the workspace, in events, or in what is printed."""
    root = write(tmp_path / "small", {"pyproject.toml": PYPROJECT + login(provider.issuer)})
    up = Up(root, "--port", "0", LOGIN_SECRET=SECRET)
    provider.given.clear()
    said = []
    for how in ("key", "none", "broken"):
        provider.how = how
        said.append(Browser(up).log_in().text)
    provider.answers = {"/token": (500, {}, SECRET.encode())}
    said.append(Browser(up).log_in().text)
    up.signal(15)
    out, err = up.process.communicate(timeout=30)

    kept = b"".join(path.read_bytes() for path in (root / ".mlwright").rglob("*") if path.is_file())
    everything = kept.decode("latin-1") + out + err + "".join(said)
    assert b"person.admitted" in kept and len(provider.given) == 7
    assert not [each for each in (*provider.given, SECRET) if each in everything]


# The provider itself


def asking_of(provider: Provider, **settings: Any) -> Asking:
    """What asks the provider, in this process."""
    told = {"client_secret": "env:LOGIN_SECRET", "roles": {"ana@example.com": Role.ADMIN}, **settings}
    return Asking(Login(**{"issuer": provider.issuer, "client_id": CLIENT, **told}))


def asked(provider: Provider, asking: Asking | None = None, **settings: Any) -> Any:
    """Who is told by an exchange with the provider, in this process."""
    asking = asking or asking_of(provider, **settings)

    async def go() -> Any:
        journey = Journeys().begin("http://127.0.0.1:5000/login/oidc/callback", "/")
        address = await asking.address(journey)
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        back = parse_qs(urlsplit(provider.authorize(query)).query)
        return await asking.who(journey, back["code"][0], back["iss"][0])

    with ThreadPoolExecutor(1) as thread:  # this one has a loop of its own, where a browser is driven
        return thread.submit(lambda: asyncio.run(go())).result()


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGIN_SECRET", SECRET)


@pytest.mark.parametrize("methods", [["client_secret_basic"], ["client_secret_post"], ["private_key_jwt"]])
def test_a_client_proves_who_it_is_as_the_provider_wants(provider: Provider, methods: list[str]) -> None:
    """By a header where that is known, else in the form."""
    provider.described = {"token_endpoint_auth_methods_supported": methods}

    assert asked(provider).subject == "ana-1"


def test_a_public_client_has_no_secret(provider: Provider) -> None:
    """PKCE alone says that who asks is who began."""
    provider.secret = None

    assert asked(provider, client_secret="").subject == "ana-1"


def test_a_secret_may_be_in_a_file(provider: Provider, tmp_path: Path) -> None:
    """It is read when it is needed, so that a new one needs no restart."""
    (tmp_path / "secret").write_text(SECRET + "\n")

    assert asked(provider, client_secret="file:secret", folder=tmp_path).subject == "ana-1"


def test_only_announced_signatures_are_believed(provider: Provider) -> None:
    """What the provider does not say that it uses is refused, though we know it."""
    provider.described = {"id_token_signing_alg_values_supported": ["ES256"]}

    with pytest.raises(Refusal, match="in a way that is not believed"):
        asked(provider)


def huge(_: Provider) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, b'{"keys": [' + b" " * (MOST_BYTES + 1) + b"]}"


def elsewhere(provider: Provider) -> tuple[int, dict[str, str], bytes]:
    return 307, {"location": f"{provider.issuer}/elsewhere"}, b""


def packed(_: Provider) -> tuple[int, dict[str, str], bytes]:
    return 200, {"content-encoding": "gzip"}, b"\x1f\x8b"


def of_text(text: str, status: int = 200) -> Callable[[Provider], tuple[int, dict[str, str], bytes]]:
    return lambda _: (status, {}, text.encode())


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/keys"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (huge, "more than 1 MiB"),
        (elsewhere, "sends to another address, which is not followed"),
        (packed, "answers with status 200"),
        (of_text("nothing", 500), "answers with status 500"),
        (of_text("<html>"), "does not tell what it must"),
        (of_text("[]"), "does not tell what it must"),
        (of_text('{"id_token": 7, "keys": 7, "issuer": 7}'), "does not tell what it must"),
        (of_text("[" * 200_000), "does not tell what it must"),
        (of_text('{"keys": ' + "[" * 200_000), "does not tell what it must"),
    ],
)
def test_a_provider_that_misbehaves_is_said(
    provider: Provider, path: str, answer: Callable[[Provider], Any], said: str
) -> None:
    """Whatever it answers, wherever: one sentence that names it, and nothing is followed."""
    provider.answers = {path: answer(provider)}
    provider.asked.clear()

    with pytest.raises(Unavailable, match=said) as raised:
        asked(provider)

    assert raised.value.message.startswith("localhost, where people log in, ")
    assert "/elsewhere" not in provider.asked


@pytest.mark.parametrize(
    "described",
    [
        {"issuer": "https://evil.example"},
        {"issuer": "http://localhost:1/"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "http://10.0.0.1/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://user:word@evil.example/"},
        {"token_endpoint": ""},
        {"token_endpoint": "https://[::1"},
        {"token_endpoint": "https://evil.example:99999/"},
    ],
)
def test_a_provider_is_asked_at_safe_addresses_only(provider: Provider, described: dict[str, str]) -> None:
    """It must be who the settings say, and be asked by https, or on this machine."""
    provider.described = described

    with pytest.raises(Unavailable, match=r"calls itself another name|not https"):
        asked(provider)


@pytest.mark.parametrize("drips", [False, True])
def test_a_slow_provider_holds_up_its_own_logins_alone(
    up: Up, browser: Browser, provider: Provider, drips: bool
) -> None:
    """Silent or slow, it is given up after ten seconds in all; meanwhile others are answered."""
    provider.drips = drips
    gate = threading.Event()
    provider.held = {"/token": gate}
    back = browser.sent()
    answers: list[httpx2.Response] = []
    waiting = [threading.Thread(target=lambda: answers.append(browser.get(back))) for _ in range(3)]
    for each in waiting:
        each.start()
    until(lambda: "/token" in provider.asked)

    meanwhile = [up.ask("GET", path).status for path in ("/health", f"{API}/runs", "/login")]
    deadline_s = time.monotonic() + 20
    for each in waiting:
        each.join(max(0.0, deadline_s - time.monotonic()))

    told = [(each.status_code, "does not answer in time" in each.text) for each in answers]
    gate.set()
    for each in waiting:
        each.join()

    assert meanwhile == [200, 200, 200]
    assert told == [(503, True)] * 3


def test_a_provider_that_is_gone_is_said(provider: Provider) -> None:
    """Nobody answers there."""
    with pytest.raises(Unavailable, match="cannot be reached"):
        asked(provider, issuer="http://127.0.0.1:9")


def test_without_the_setting_there_is_no_such_page(tmp_path: Path) -> None:
    """Nothing is offered, and nothing answers."""
    up = Up(write(tmp_path / "small", {"pyproject.toml": PYPROJECT}))

    statuses = [up.ask("GET", path).status for path in ("/login/oidc", "/login/oidc/callback?code=x")]
    page = up.ask("GET", "/login").body
    up.close()

    assert statuses == [404, 404]
    assert b"oidc" not in page


# The door


def up_said(root: Path, text: str, *arguments: str, **variables: str) -> tuple[int, str]:
    """What a dry run of `up` ends with."""
    write(root, {"pyproject.toml": PYPROJECT + text})
    told = mlwright("up", "--dry-run", *arguments, cwd=root, **variables)
    return told.returncode, told.stderr


GOOD = 'issuer = "https://id.example.com"\nclient_id = "c"\nroles = { "ana@example.com" = "admin" }\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "secret = 1", "unknown setting `secret`"),
        (GOOD + 'client_secret = "plain-words"', "`client_secret` holds no secret, but says where it is"),
        (GOOD + 'client_secret = "env:"', "`client_secret` holds no secret"),
        (GOOD + 'client_secret = "env:NOT_THERE"', "the variable NOT_THERE, which has the secret"),
        (GOOD + 'client_secret = "file:not-there"', "the file not-there with it is not there"),
        (GOOD + 'scopes = ["email"]', "`scopes` lacks openid"),
        (GOOD + 'scopes = ["openid", "a b"]', "`scopes` lacks openid, or has what is no scope"),
        (GOOD.replace("https://id.example.com", "http://id.example.com"), "`issuer` cannot be"),
        (GOOD.replace("https://id.example.com", "https://u:p@id.example.com"), "`issuer` cannot be"),
        (GOOD.replace("https://id.example.com", "https://id.example.com?x=1"), "`issuer` cannot be"),
        (GOOD.replace("https://id.example.com", "id.example.com"), "`issuer` cannot be"),
        (GOOD.replace('"c"', '""'), "`client_id` cannot be one"),
        (GOOD.replace('"c"', '"a b"'), "`client_id` cannot be one"),
        (GOOD.replace("ana@example.com", "ana"), "`roles` cannot name 'ana'"),
        (GOOD.replace("ana@example.com", "*"), "`roles` cannot name '*'"),
        (GOOD.replace("ana@example.com", "*@*.com"), "`roles` cannot name"),
        (GOOD.replace("ana@example.com", "group:"), "`roles` cannot name 'group:'"),
        (GOOD.replace('"admin"', '"owner"'), "a setting of the login is wrong: Invalid enum value 'owner'"),
        (GOOD.replace('"ana@example.com" = "admin"', ""), "`roles` names nobody"),
        (
            GOOD.replace("{ ", '{ "Ana@example.com" = "viewer", '),
            "`roles` names ana@example.com twice",
        ),
        ('client_id = "c"', "a setting of the login is wrong: Object missing required field `issuer`"),
    ],
)
def test_what_is_wrong_in_the_setting_is_said(tmp_path: Path, text: str, said: str) -> None:
    """One message that names the setting, before anything is answered; a secret is not repeated."""
    code, told = up_said(tmp_path / "small", f"[tool.mlwright.login]\n{text}")

    assert code in {2, 6} and told.startswith("error: ") and said in told
    assert "plain-words" not in told and "Traceback" not in told


def test_beyond_loopback_a_login_needs_an_admin_and_an_address(tmp_path: Path) -> None:
    """With an admin in the settings no token is needed; without, or without `url`, it is refused."""
    root, setting = tmp_path / "small", "[tool.mlwright.login]\n" + GOOD
    url = 'url = "https://ml.example.com"\n'

    here = up_said(root, setting)
    refused = up_said(root, setting, "--host", "0.0.0.0")
    allowed = up_said(root, url + setting, "--host", "0.0.0.0")
    nobody = up_said(root, url + setting.replace('"admin"', '"viewer"'), "--host", "0.0.0.0")

    assert (here[0], allowed[0]) == (0, 0), allowed
    assert refused[0] == 2 and "set `url` in [tool.mlwright]" in refused[1]
    assert nobody[0] == 2 and "nobody could prove there who they are" in nobody[1]


def test_the_public_address_is_where_the_provider_sends_back(provider: Provider, tmp_path: Path) -> None:
    """Behind a proxy it is the setting `url`, whatever the request says; and cookies are for https alone."""
    text = PYPROJECT + 'url = "https://ml.example.com"\n' + login(provider.issuer)
    up = Up(write(tmp_path / "small", {"pyproject.toml": text}), LOGIN_SECRET=SECRET)

    answer = up.ask("GET", "/login/oidc", headers={"host": "ml.example.com"})
    up.close()

    asked = parse_qs(urlsplit(answer.headers["location"]).query)
    assert asked["redirect_uri"] == ["https://ml.example.com/login/oidc/callback"]
    assert asked["scope"] == ["openid email profile"]
    assert "; Secure" in answer.headers["set-cookie"]
