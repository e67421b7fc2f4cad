"""Which of the packages are here that a replica can do without."""

from __future__ import annotations

from importlib.util import find_spec

_GRPC = ("h2", "google.protobuf")


def has_grpc() -> bool:
    """Whether those of the extra `grpc` are."""
    try:
        return all(find_spec(each) for each in _GRPC)
    except ModuleNotFoundError:  # not even `google`
        return False
