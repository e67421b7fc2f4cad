"""Who asks an S3-compatible server: the standard chain, as far as obstore does not walk it itself.

obstore reads `AWS_ACCESS_KEY_ID` and its companions, web identities, and what a container or an instance is
given. The shared files of the AWS tools, with their profiles and `credential_process`, are read here.
"""

from __future__ import annotations

import configparser
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlwright.kernel.errors import Unavailable

_BEFORE_FILES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_READ_AGAIN = timedelta(minutes=5)


class Refused(Exception):
    """The profile gives no credentials; the message says why, and holds none."""


def profile(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the shared files say of the chosen profile: credentials, region, endpoint. Empty without one.

    Raises:
        Unavailable: `AWS_PROFILE` names one that neither file has, or a file cannot be read.
    """
    name = environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE") or "default"
    home = Path(environment.get("HOME") or Path.home()) / ".aws"
    config = _read(environment.get("AWS_CONFIG_FILE"), home / "config")
    shared = _read(environment.get("AWS_SHARED_CREDENTIALS_FILE"), home / "credentials")
    section = name if name == "default" else f"profile {name}"
    found = {**config.get(section, {}), **shared.get(name, {})}
    if not found and name != "default":
        raise Unavailable(
            f"there is no AWS profile `{name}`",
            hint="aws configure list-profiles shows those there are; AWS_PROFILE names one",
        )
    return found


def provider(environment: Mapping[str, str] = os.environ) -> Callable[[], dict[str, Any]] | None:
    """What gives obstore the credentials of a profile, again whenever they are about to expire.

    Returns:
        None where the chain ends before the files, or these have no credentials: obstore goes on by itself.
    """
    if any(environment.get(name) for name in _BEFORE_FILES):
        return None
    found = profile(environment)
    if not ({"aws_access_key_id", "credential_process"} & set(found)):
        return None

    def credentials() -> dict[str, Any]:
        now = profile(environment)
        return _of_process(now["credential_process"]) if "aws_access_key_id" not in now else _of_file(now)

    return credentials


def _of_file(found: Mapping[str, str]) -> dict[str, Any]:
    """Keys of a file, which may be other ones in five minutes: whoever signs in writes them there."""
    token = found.get("aws_session_token")
    return {
        "access_key_id": found["aws_access_key_id"],
        "secret_access_key": found.get("aws_secret_access_key", ""),
        "token": token,
        "expires_at": datetime.now(UTC) + _READ_AGAIN if token else None,
    }


def _of_process(line: str) -> dict[str, Any]:
    try:
        done = subprocess.run(shlex.split(line), capture_output=True, timeout=60, check=True)
        told = json.loads(done.stdout)
        expires = told.get("Expiration")
        return {
            "access_key_id": told["AccessKeyId"],
            "secret_access_key": told["SecretAccessKey"],
            "token": told.get("SessionToken"),
            "expires_at": datetime.fromisoformat(expires) if expires else None,
        }
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError) as error:
        raise Refused(f"credential_process failed: {type(error).__name__}") from None


def _read(named: str | None, usual: Path) -> dict[str, dict[str, str]]:
    path = Path(named).expanduser() if named else usual
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise Unavailable(
            f"the AWS file cannot be read: {type(error).__name__}", where=str(path)
        ) from None  # an error of the parser quotes the line
    return {section: dict(parser.items(section)) for section in parser.sections()}
