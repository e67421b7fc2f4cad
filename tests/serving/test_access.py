"""Who may ask: on loopback anybody, elsewhere who shows a token, or anybody if that is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from mlwright.kernel.errors import Invalid, NotFound, Unavailable
from mlwright.serving import Access, Client, ReplicaSpec, Server, access_by, address_of, start
from tests.serving.conftest import PYTHON, ask

TOKEN = "a-token-that-nobody-guesses"


@pytest.fixture(scope="module")
def guarded(spec: ReplicaSpec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The forest, for who has the token."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "token").write_text(TOKEN + "\n")
    access = access_by(f"file:{folder / 'token'}")
    with start(replace(spec, access=access), PYTHON, folder=folder) as server:
        yield server


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"]
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/predict"), ("GET", "/metrics"), ("GET", "/docs")])
def test_without_the_token_nothing_is_told(guarded: Server, method: str, path: str, header: str) -> None:
    """Neither predictions nor figures nor the interface; the answer says what is missing."""
    headers = {"authorization": header} if header else {}

    refused = ask(guarded.url, method, path, b"{}" if method == "POST" else None, headers)

    assert refused.status == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer TOKEN" in refused.json["detail"]


def test_with_the_token_all_is_as_ever(guarded: Server, spec: ReplicaSpec) -> None:
    """The Python client sends it; probes need none."""
    row = spec.models[0].signature.example.input

    with Client(guarded.url, token=TOKEN) as client:
        answered = client.predict([row])
    probes = [ask(guarded.url, "GET", path).status for path in ("/health/ready", "/v2/health/live")]

    assert answered.model == "diagnosis@1"
    assert probes == [200, 200]
    assert "metrics" not in ask(guarded.url, "GET", "/v2/health/../../metrics").body.decode()


def test_the_token_is_kept_nowhere(guarded: Server, spec: ReplicaSpec, tmp_path: Path) -> None:
    """What a replica is told holds a digest of it."""
    (tmp_path / "token").write_text(TOKEN)

    replace(spec, access=access_by(f"file:{tmp_path / 'token'}")).write(tmp_path / "spec.json")

    assert TOKEN not in (tmp_path / "spec.json").read_text()


@pytest.mark.parametrize(
    ("reference", "error", "said"),
    [
        (TOKEN, Invalid, "the token for predictions must be named, not written"),
        ("env:MLWRIGHT_NO_SUCH", NotFound, "the variable MLWRIGHT_NO_SUCH, which has the token"),
        ("file:/nowhere", NotFound, "the file /nowhere with the token for predictions cannot be read"),
        ("env:SHORT", Invalid, "must be of 20 letters and digits at least"),
    ],
)
def test_a_token_that_is_none_is_told(
    reference: str, error: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never repeated."""
    monkeypatch.setenv("SHORT", "guess me")

    with pytest.raises(error, match=said) as caught:
        access_by(reference)

    assert TOKEN not in str(caught.value)
    assert "guess me" not in str(caught.value)


def test_an_address_that_others_reach_needs_a_word() -> None:
    """A token opens it, or `--open`; loopback is open to who is on the machine."""
    with pytest.raises(Invalid, match="can be reached from outside") as refused:
        address_of("0.0.0.0", 8000, Access())

    assert "--token env:NAME; or --open" in str(refused.value.hint)
    assert address_of("0.0.0.0", 8000, Access("ab")) == "0.0.0.0"
    assert address_of("0.0.0.0", 8000, Access(anybody=True)) == "0.0.0.0"
    assert address_of("localhost", 8000, Access()) == "127.0.0.1"


def test_everybody_is_answered_where_that_is_said(spec: ReplicaSpec, tmp_path: Path) -> None:
    """On all addresses of the machine, without a token."""
    with (
        start(replace(spec, access=Access(anybody=True)), PYTHON, host="0.0.0.0", folder=tmp_path) as server,
        Client(server.url.replace("0.0.0.0", "127.0.0.1")) as client,
    ):
        assert client.predict([spec.models[0].signature.example.input]).model == "diagnosis@1"


def test_a_client_that_has_no_token_says_so(guarded: Server, spec: ReplicaSpec) -> None:
    """It is the caller's to mend, and not asked again."""
    with Client(guarded.url) as client, pytest.raises((Invalid, Unavailable), match="a token is needed"):
        client.predict([spec.models[0].signature.example.input])
