"""A real S3-compatible server for tests: rclone on loopback, or the one that `MLWRIGHT_TEST_S3` names.

`MLWRIGHT_TEST_S3` is the endpoint of another server, as `http://127.0.0.1:9000`; its credentials stand in
`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, and the bucket `mlwright-test` exists there.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from mlwright.storage.address import Address, parse_address
from mlwright.storage.bucket import Bucket
from tests.processes import until

RCLONE = Path(sys.executable).with_name("rclone")
BUCKET = "mlwright-test"
KEY, SECRET = "AKIATESTTESTTESTTEST", "test-secret-of-forty-letters-0123456789a"
VARIABLES = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE", "AWS_REGION", "AWS_DEFAULT_REGION")


class Server(Struct, frozen=True):
    """Where it listens, and the folder it serves where that is on this machine."""

    endpoint: str
    folder: Path | None

    @property
    def port(self) -> int:
        """Of the endpoint."""
        return int(self.endpoint.rpartition(":")[2])


class Place(Struct, frozen=True):
    """A prefix of its own in the test's bucket."""

    server: Server
    prefix: str

    @property
    def url(self) -> str:
        """As a project's settings name it."""
        return f"s3://{BUCKET}/{self.prefix}"

    @property
    def address(self) -> Address:
        """As the code names it."""
        return parse_address(self.url)

    def bucket(self, endpoint: str = "", **options: object) -> Bucket:
        """It, opened; through a proxy, when its endpoint is named."""
        address = parse_address(f"{self.url}?endpoint={endpoint}" if endpoint else self.url)
        return Bucket(address, **options)  # type: ignore[arg-type]

    def file(self, key: str) -> Path:
        """The file behind a key; only of a server of our own."""
        if self.server.folder is None:
            pytest.skip("the files of another server cannot be reached")
        return self.server.folder / BUCKET / self.prefix / key


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server, for the whole session."""
    if other := os.environ.get("MLWRIGHT_TEST_S3"):
        yield Server(other, None)
        return
    folder = tmp_path_factory.mktemp("s3")
    (folder / BUCKET).mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder.parent / "rclone.log").open("wb")
    line = [str(RCLONE), "serve", "s3", "--config", "", "--auth-key", f"{KEY},{SECRET}"]
    line += [
        "--addr",
        f"127.0.0.1:{port}",
        "--vfs-cache-mode",
        "off",
        "--dir-cache-time",
        "50ms",
        str(folder),
    ]
    server = subprocess.Popen(line, stdout=log, stderr=log)
    try:

        def listens() -> bool:
            assert server.poll() is None, "rclone ended"
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until(listens)
        yield Server(f"http://127.0.0.1:{port}", folder)
    finally:
        server.terminate()
        server.wait(30)
        log.close()


@pytest.fixture
def s3(s3_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Place:
    """An empty place on the server, whose credentials stand in the environment."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-aws-credentials"))
    if s3_server.folder is not None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return Place(s3_server, f"t{secrets.token_hex(6)}/deep")
