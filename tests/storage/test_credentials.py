"""Who asks: the files of the AWS tools, a process of theirs, and what is said when there is nothing."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from mlwright.kernel.errors import Unavailable
from mlwright.storage import credentials
from mlwright.storage.address import parse_address
from mlwright.storage.bucket import Bucket
from tests.s3 import KEY, SECRET, Place


@pytest.fixture
def files(s3: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder where both files are looked for; no credentials stand in the environment."""
    if s3.server.folder is None:
        pytest.skip("the credentials of another server are not known")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path


def keys(section: str) -> str:
    """A section with the server's credentials."""
    return f"[{section}]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"


def works(s3: Place) -> bool:
    """Whether the bucket lets us in."""
    s3.bucket().write("x", b"1")
    return s3.bucket().read("x") == b"1"


def test_the_default_profile_is_used(s3: Place, files: Path) -> None:
    """Credentials of one file, endpoint and region of the other."""
    (files / "credentials").write_text(keys("default"))
    (files / "config").write_text(f"[default]\nregion = eu-west-1\nendpoint_url = {s3.server.endpoint}\n")

    assert works(s3)


def test_a_named_profile_is_used(s3: Place, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_PROFILE names it, in the credentials as it is, in the config as `profile NAME`."""
    (files / "credentials").write_text(f"[default]\naws_access_key_id = wrong\n{keys('team')}")
    (files / "config").write_text(f"[profile team]\nendpoint_url = {s3.server.endpoint}\n")
    monkeypatch.setenv("AWS_PROFILE", "team")

    assert works(s3)


def test_a_process_gives_credentials(s3: Place, files: Path) -> None:
    """`credential_process`, by argument list; its answer is never shown."""
    answer = {"Version": 1, "AccessKeyId": KEY, "SecretAccessKey": SECRET}
    script = files / "give.py"
    script.write_text(f"print({json.dumps(json.dumps(answer))})")
    line = shlex.join([sys.executable, str(script)])
    (files / "config").write_text(
        f"[default]\nendpoint_url = {s3.server.endpoint}\ncredential_process = {line}\n"
    )

    assert works(s3)


def test_a_process_that_fails_is_said(s3: Place, files: Path) -> None:
    """As credentials that are not there; what it printed is not repeated."""
    line = shlex.join([sys.executable, "-c", f"print({SECRET!r}); raise SystemExit(1)"])
    (files / "config").write_text(
        f"[default]\nendpoint_url = {s3.server.endpoint}\ncredential_process = {line}\n"
    )

    with pytest.raises(Unavailable, match="no credentials for s3://") as raised:
        s3.bucket().write("x", b"1")

    assert raised.value.hint
    assert SECRET not in raised.value.render()


def test_a_profile_that_is_not_there_is_named(
    s3: Place, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is asked."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")

    with pytest.raises(Unavailable, match="there is no AWS profile `nobody`"):
        s3.bucket().head("x")


def test_a_file_that_cannot_be_read_is_named_and_not_quoted(s3: Place, files: Path) -> None:
    """A line of it may be a secret."""
    (files / "credentials").write_text(f"{SECRET}\n")

    with pytest.raises(Unavailable, match="the AWS file cannot be read") as raised:
        s3.bucket().head("x")

    assert raised.value.where == str(files / "credentials")
    assert SECRET not in raised.value.render()


def test_variables_come_before_files() -> None:
    """As in the tools of Amazon."""
    assert credentials.provider({"AWS_ACCESS_KEY_ID": "x", "AWS_PROFILE": "nobody"}) is None


def test_no_credentials_at_all_is_said(s3: Place, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither variables nor files, and no instance that gives some."""
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    address = parse_address(f"{s3.url}?endpoint={s3.server.endpoint}")

    with pytest.raises(Unavailable, match="there are no credentials for s3://") as raised:
        Bucket(address, retries=0).write("x", b"1")

    assert raised.value.exit_code == 6
    assert raised.value.hint
