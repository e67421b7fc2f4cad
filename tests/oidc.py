"""A small provider of OpenID Connect, as strict as a real one, which can be told to misbehave.

It signs with `cryptography` alone: what it makes is no work of the library that is to judge it.
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

CLIENT, SECRET = "mlwright-tests", "s3cret: with+signs/of%its own"
ANA = {"sub": "ana-1", "name": "Ana", "email": "ana@example.com", "email_verified": True}


def text(data: bytes) -> str:
    """Bytes as tokens have them."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return text(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Key:
    """A key of the provider.

    Args:
        algorithm: `RS256`, `ES256`, `EdDSA`.
        bits: of an RSA key.
    """

    def __init__(self, algorithm: str = "RS256", bits: int = 2048) -> None:
        self.id = secrets.token_hex(4)
        self.algorithm = algorithm
        self._key: Any = {
            "RS256": lambda: rsa.generate_private_key(65537, bits),
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }[algorithm]()

    @property
    def shown(self) -> dict[str, str]:
        """The public key, as JWKS has it."""
        public, named = self._key.public_key(), {"kid": self.id, "alg": self.algorithm, "use": "sig"}
        if self.algorithm == "RS256":
            numbers = public.public_numbers()
            return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **named}
        if self.algorithm == "ES256":
            numbers = public.public_numbers()
            x, y = (text(each.to_bytes(32, "big")) for each in (numbers.x, numbers.y))
            return {"kty": "EC", "crv": "P-256", "x": x, "y": y, **named}
        return {"kty": "OKP", "crv": "Ed25519", "x": text(public.public_bytes_raw()), **named}

    @property
    def pem(self) -> bytes:
        """The public key, as somebody would take it for a secret."""
        return bytes(
            self._key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    def sign(self, data: bytes) -> bytes:
        """A signature."""
        if self.algorithm == "RS256":
            return bytes(self._key.sign(data, padding.PKCS1v15(), hashes.SHA256()))
        if self.algorithm == "ES256":
            r, s = decode_dss_signature(self._key.sign(data, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return bytes(self._key.sign(data))


@dataclass
class Provider:
    """What the provider does; a test changes it.

    Args:
        issuer: how it calls itself.
        person: who is logged in there: their claims.
        claims: others than are true; None for one that is left out.
        head: of a token, likewise.
        key: it signs with.
        keys: that it shows.
        how: it signs: `key`; `none`; `public`, by HS256 with the public key; `broken`.
        secret: of the client; None for a public one.
        described: what it tells of itself otherwise than is true.
        answers: what a path answers instead: status, headers, body.
        held: a path that answers only when this is set.
        drips: it answers a byte at a time until then.
        asks: on a page of its own who somebody is.
        codes: that it has given out and that are good still: what was asked for.
        given: every code and token that it has given, for tests that look for them.
    """

    issuer: str = ""
    person: dict[str, Any] = field(default_factory=lambda: dict(ANA))
    claims: dict[str, Any] = field(default_factory=dict)
    head: dict[str, Any] = field(default_factory=dict)
    key: Key = field(default_factory=Key)
    keys: list[Key] = field(default_factory=list)
    how: str = "key"
    secret: str | None = SECRET
    described: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    held: dict[str, threading.Event] = field(default_factory=dict)
    drips: bool = False
    asks: bool = False
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    given: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def behave(self) -> None:
        """Be as a provider should be, with Ana logged in."""
        fresh = Provider(self.issuer, key=self.key, codes=self.codes, given=self.given)
        for name in (
            "person",
            "claims",
            "head",
            "keys",
            "how",
            "secret",
            "described",
            "answers",
            "held",
            "asks",
        ):
            setattr(self, name, getattr(fresh, name))

    def rotate(self, algorithm: str = "RS256") -> None:
        """Sign with another key from now on."""
        self.key = Key(algorithm)

    def authorize(self, asked: dict[str, str]) -> str:
        """Where a browser is sent that wants to log in; it is logged in here already."""
        assert asked["response_type"] == "code" and asked["client_id"] == CLIENT, asked
        assert "openid" in asked["scope"].split() and asked["code_challenge_method"] == "S256"
        assert min(len(asked[each]) for each in ("state", "nonce", "code_challenge")) >= 43
        code = secrets.token_urlsafe(24)
        self.codes[code] = asked
        self.given.append(code)
        joint = "&" if "?" in asked["redirect_uri"] else "?"
        back = {"code": code, "state": asked["state"], "iss": self.issuer}
        return asked["redirect_uri"] + joint + urlencode(back)

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """What a code is exchanged for."""
        if not self._is_client(form, authorization):
            return 401, {"error": "invalid_client", "error_description": f"not {authorization}"}
        asked = self.codes.pop(form.get("code", ""), None)
        proof = text(sha256(form.get("code_verifier", "").encode()).digest())
        if asked is None or proof != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant", "error_description": f"what is {form.get('code')}?"}
        token = self.signed(self.told(asked["nonce"]))
        self.given.append(token)
        return 200, {"access_token": "nobody-needs-it", "token_type": "Bearer", "id_token": token}

    def told(self, nonce: str) -> dict[str, Any]:
        """The claims of a token."""
        now = int(time.time())
        told = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            **self.person,
        }
        return {name: value for name, value in (told | self.claims).items() if value is not None}

    def signed(self, claims: dict[str, Any]) -> str:
        """A token."""
        algorithm = {"none": "none", "public": "HS256"}.get(self.how, self.key.algorithm)
        head = {"typ": "JWT", "alg": algorithm, "kid": self.key.id} | self.head
        parts = [{name: value for name, value in head.items() if value is not None}, claims]
        data = ".".join(text(json.dumps(part).encode()) for part in parts).encode()
        signature = {
            "none": lambda: b"",
            "public": lambda: hmac.digest(self.key.pem, data, "sha256"),
            "broken": lambda: bytes([self.key.sign(data)[0] ^ 1]) + self.key.sign(data)[1:],
            "key": lambda: self.key.sign(data),
        }[self.how]()
        return f"{data.decode()}.{text(signature)}"

    def describe(self) -> dict[str, Any]:
        """The discovery document."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA", "HS256", "none"],
            "authorization_response_iss_parameter_supported": True,
            **self.described,
        }

    def _is_client(self, form: dict[str, str], authorization: str) -> bool:
        if self.secret is None:
            return form.get("client_id") == CLIENT and not authorization and "client_secret" not in form
        if "client_secret_post" in self.described.get("token_endpoint_auth_methods_supported", ()):
            return (form.get("client_id"), form.get("client_secret")) == (CLIENT, self.secret)
        name, _, secret = b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        return (unquote_plus(name), unquote_plus(secret)) == (CLIENT, self.secret)


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, query = urlsplit(self.path).path, dict(parse_qsl(urlsplit(self.path).query))
            if self._otherwise(path):
                return
            if path == "/.well-known/openid-configuration":
                self._send(200, {}, json.dumps(provider.describe()).encode())
            elif path == "/keys":
                keys = [each.shown for each in (provider.keys or [provider.key])]
                self._send(200, {}, json.dumps({"keys": keys}).encode())
            elif path == "/authorize" and provider.asks and "yes" not in query:
                page = (
                    f'<!doctype html><a href="/authorize?{urlencode(query | {"yes": "1"})}">Yes, I am Ana</a>'
                )
                self._send(200, {"content-type": "text/html"}, page.encode())
            elif path == "/authorize":
                self._send(302, {"location": provider.authorize(query)}, b"")
            else:
                self._send(404, {}, b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            if self._otherwise(self.path):
                return
            form = dict(parse_qsl(body, keep_blank_values=True))
            status, told = provider.token(form, self.headers.get("authorization", ""))
            self._send(status, {}, json.dumps(told).encode())

        def _otherwise(self, path: str) -> bool:
            provider.asked.append(path)
            if path in provider.held:
                if provider.drips:
                    self.send_response(200)
                    self.send_header("content-length", "1000")
                    self.end_headers()
                while not provider.held[path].wait(0.2 if provider.drips else 60):
                    self.wfile.write(b" ")
            if path in provider.answers:
                self._send(*provider.answers[path])
            return path in provider.answers

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def provider() -> Iterator[Provider]:
    """One that answers on this machine, as another site than a server at 127.0.0.1, while the block runs."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Who hangs up before the end is the test's own client."""

    found = Provider()
    with Quiet(("127.0.0.1", 0), _handler(found)) as server:
        found.issuer = f"http://localhost:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield found
        finally:
            for each in found.held.values():
                each.set()
            server.shutdown()
            thread.join()
