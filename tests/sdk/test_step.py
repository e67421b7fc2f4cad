"""`@step`: what can be one, and its options."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright import step
from mlwright.kernel.errors import Invalid
from mlwright.sdk.step import StepOptions


def plain(value: int) -> int:
    """A function at the top of a module."""
    return value


def starred(*values: int) -> None:
    """Takes any number."""


def double_starred(**settings: int) -> None:
    """Takes any names."""


def positional(value: int, /) -> None:
    """Takes no name."""


class Holder:
    """A class with a function in it."""

    def method(self) -> None:
        """No worker finds it by a name."""


def test_a_step_has_the_defaults_without_options() -> None:
    """With and without brackets."""
    assert step(plain).options == step()(plain).options == StepOptions()
    assert step(plain)(3) == 3


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [
        (5, 5.0),
        (0.5, 0.5),
        ("90s", 90.0),
        ("10m", 600.0),
        ("1h", 3600.0),
        ("250ms", 0.25),
        (" 1.5 h ", 5400.0),
    ],
)
def test_a_duration_is_a_number_of_seconds_or_has_a_unit(timeout: Any, seconds: float) -> None:
    """Seconds as a number; text with ms, s, m or h."""
    assert step(timeout=timeout)(plain).options.timeout_s == seconds


@given(
    st.integers(1, 10**6), st.sampled_from([("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600)]), st.booleans()
)
def test_any_duration_is_read(number: int, unit: tuple[str, float], spaced: bool) -> None:
    """A number, an optional blank, a unit."""
    text = f"{number}{' ' * spaced}{unit[0]}"

    assert step(timeout=text)(plain).options.timeout_s == pytest.approx(number * unit[1])


@pytest.mark.parametrize(
    ("memory", "size"),
    [(1024, 1024), ("1B", 1), ("1KiB", 1024), ("1.5GiB", 3 * 2**29), ("2 MB", 2_000_000), ("3GB", 3 * 10**9)],
)
def test_a_size_is_a_number_of_bytes_or_has_a_unit(memory: Any, size: int) -> None:
    """Bytes as a number; text with binary or decimal units."""
    assert step(resources={"cpus": 2, "memory": memory})(plain).options == StepOptions(
        cpus=2, memory_bytes=size
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeout": "10"}, "timeout '10' cannot be read"),
        ({"timeout": "10 min"}, "timeout '10 min' cannot be read"),
        ({"timeout": ""}, "timeout '' cannot be read"),
        ({"timeout": "-5s"}, "timeout '-5s' cannot be read"),
        ({"timeout": -5}, "timeout must be more than nothing"),
        ({"timeout": 0}, "timeout must be more than nothing"),
        ({"timeout": "0s"}, "timeout must be more than nothing"),
        ({"timeout": float("nan")}, "timeout must be more than nothing"),
        ({"timeout": float("inf")}, "timeout must be more than nothing, and finite"),
        ({"timeout": ["1s"]}, "timeout .* cannot be read"),
        ({"retries": -1}, "retries must be a whole number from 0 on, not -1"),
        ({"retries": "3"}, "retries must be a whole number from 0 on, not '3'"),
        ({"retries": 1.5}, "retries must be a whole number"),
        ({"resources": {"cpus": 0}}, "cpus must be a whole number from 1 on, not 0"),
        ({"resources": {"cpus": 0.5}}, "cpus must be a whole number from 1 on"),
        ({"resources": {"memory": "1 gigabyte"}}, "memory '1 gigabyte' cannot be read"),
        ({"resources": {"memory": "1gib"}}, "memory '1gib' cannot be read"),
        ({"resources": {"memory": 0}}, "memory must be more than nothing"),
        ({"resources": {"gpu": 1}}, "unknown resource `gpu`"),
    ],
)
def test_an_option_that_cannot_be_used_is_said(options: dict[str, Any], said: str) -> None:
    """At the line of the decorator, not when the step would run."""
    with pytest.raises(Invalid, match=said):
        step(**options)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda value: value, "is defined inside a class or an expression"),
        (Holder.method, "step `method` is defined inside a class"),
        (starred, r"step `starred` takes `\*values"),
        (double_starred, r"step `double_starred` takes `\*\*settings"),
        (positional, "step `positional` takes `value"),
    ],
)
def test_what_no_worker_could_call_is_no_step(function: Any, said: str) -> None:
    """A step is found by its name, and its arguments are passed by theirs; else it is refused at once."""
    with pytest.raises(Invalid, match=said) as raised:
        step(function)

    assert (raised.value.where or "").startswith(__file__)
    assert raised.value.hint


def test_a_function_in_a_function_is_no_step() -> None:
    """The message says to move it."""

    def local() -> None: ...

    with pytest.raises(Invalid, match="step `local` is defined inside a function") as raised:
        step(local)

    assert "top of its module" in (raised.value.hint or "")
