"""`@step`: what can be one, and its options."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright import step
from mlwright.kernel.errors import Invalid
from mlwright.sdk.step import StepOptions
from mlwright.sdk.trace import tracing


def plain(value: int) -> int:
    """A function at the top of a module."""
    return value


def apart(value: int, *, scale: int = 1) -> int:
    """Its second parameter is given by name only."""
    return value * scale


def conditional(value: int, when: bool) -> None:
    """Takes what a call's condition is named."""


def starred(*values: int) -> None:
    """Takes any number."""


def double_starred(**settings: int) -> None:
    """Takes any names."""


def positional(value: int, /) -> None:
    """Takes no name."""


def fails(value: int = 0) -> None:
    """Cannot be called."""
    _ = 1 / 0


def labelled(value: int) -> int:
    """Has attributes of its own."""
    return value


labelled.signature = labelled.hints = "mine"  # type: ignore[attr-defined]


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
    ("options", "read"),
    [
        ({"retries": 3}, StepOptions(retries=3)),
        ({"resources": {"gpus": 2}}, StepOptions(gpus=2)),
        ({"resources": {"gpus": 0}}, StepOptions()),
        ({"cache": True}, StepOptions(cache=True, salt="")),
        ({"cache": False}, StepOptions(cache=False, salt="")),
        ({"cache": "v2"}, StepOptions(cache=True, salt="v2")),
        ({"seed": "run"}, StepOptions(seeded=True)),
        ({"seed": None}, StepOptions(seeded=False)),
        ({"environment": "torch-2.9"}, StepOptions(environment="torch-2.9")),
        ({"environment": ""}, StepOptions(environment="")),
        ({"env_vars": ["REGION", "LANG", "REGION"]}, StepOptions(env_vars=("LANG", "REGION"))),
        ({"env_vars": ()}, StepOptions(env_vars=())),
        ({"tags": {"owner": "ml"}}, StepOptions(tags={"owner": "ml"})),
    ],
)
def test_an_option_is_read(options: dict[str, Any], read: StepOptions) -> None:
    """A text for the cache is its version; variables are sorted, each once."""
    assert step(**options)(plain).options == read


def test_what_is_tagged_does_not_change_afterwards() -> None:
    """The tags are those at the line of the decorator."""
    tags = {"owner": "ml"}
    made = step(tags=tags)(plain)

    tags["owner"] = "web"

    assert made.options.tags == {"owner": "ml"}


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
        ({"resources": {"gpus": -1}}, "gpus must be a whole number from 0 on, not -1"),
        ({"resources": {"gpus": 0.5}}, "gpus must be a whole number from 0 on, not 0.5"),
        ({"resources": {"gpus": True}}, "gpus must be a whole number from 0 on, not True"),
        ({"resources": "2 cpus"}, "resources must be given by name, not as a str"),
        ({"retries": True}, "retries must be a whole number from 0 on, not True"),
        ({"timeout": True}, "timeout True cannot be read"),
        ({"cache": 1}, "cache 1 cannot be used"),
        ({"cache": None}, "cache None cannot be used"),
        ({"cache": ""}, "cache '' cannot be used"),
        ({"cache": "Off"}, "cache 'Off' cannot be used"),
        ({"seed": False}, "seed False cannot be used"),
        ({"seed": True}, "seed True cannot be used"),
        ({"seed": 7}, "seed 7 cannot be used"),
        ({"environment": None}, "environment None cannot be one"),
        ({"environment": "../other"}, "environment '../other' cannot be one"),
        ({"env_vars": "HOME"}, "env_vars is 'HOME', not a list of names"),
        ({"env_vars": {"HOME": "/"}}, "env_vars is .*, not a list of names"),
        ({"env_vars": None}, "env_vars is None, not a list of names"),
        ({"env_vars": ["1ST"]}, "'1ST' cannot name an environment variable"),
        ({"env_vars": ["A=b"]}, "'A=b' cannot name an environment variable"),
        ({"env_vars": [3]}, "3 cannot name an environment variable"),
        ({"tags": ["ml"]}, "tags must be given by name, not as a list"),
        ({"tags": {"owner": 3}}, "tag 'owner': 3 is not text"),
        ({"tags": {"": "ml"}}, "tag '': 'ml' is not text"),
    ],
)
def test_an_option_that_cannot_be_used_is_said(options: dict[str, Any], said: str) -> None:
    """At the line of the decorator, not when the step would run."""
    with pytest.raises(Invalid, match=said):
        step(**options)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"seed": False}, "seed=None"),
        ({"cache": "off"}, "True, False, or a text"),
        ({"env_vars": "HOME"}, 'env_vars=["HOME"]'),
        ({"tags": "ml"}, '{"owner": "ml"}'),
        ({"resources": {"gpu": 1}}, "cpus, memory, gpus"),
    ],
)
def test_what_is_easily_mistaken_has_a_hint(options: dict[str, Any], hint: str) -> None:
    """It says what to write instead."""
    with pytest.raises(Invalid) as raised:
        step(**options)

    assert hint in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda value: value, "is defined inside a class or an expression"),
        (Holder.method, "step `method` is defined inside a class"),
        (starred, r"step `starred` takes `\*values"),
        (double_starred, r"step `double_starred` takes `\*\*settings"),
        (positional, "step `positional` takes `value"),
        (conditional, "step `conditional` has a parameter `when`"),
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


@pytest.mark.parametrize(("when", "given"), [(True, 3), (False, None), (np.True_, 3), (np.False_, None)])
def test_outside_a_pipeline_a_call_has_a_condition(when: Any, given: Any) -> None:
    """If it does not hold nothing is called, and there is nothing."""
    assert step(plain)(3, when=when) == given


def test_a_call_that_is_not_made_does_not_run() -> None:
    """The function is not entered."""
    called = step(fails)

    assert called(when=False) is None
    assert called.map([1], when=False) is None
    with pytest.raises(ZeroDivisionError):
        called(when=True)


@pytest.mark.parametrize("when", [None, "yes", 1, [True], np.array([True])])
def test_a_condition_is_true_or_false(when: Any) -> None:
    """Anything else is hardly meant as one."""
    with pytest.raises(Invalid, match=r"the condition `when` of step `plain` is .*, neither true nor false"):
        step(plain)(3, when=when)


def test_outside_a_pipeline_mapping_is_a_list_of_calls() -> None:
    """What is given by position is gone through; what is given by name is the same for all."""
    scaled = step(apart)

    assert scaled.map([1, 2, 3]) == [1, 2, 3]
    assert scaled.map([1, 2], [10, 100]) == [10, 200]
    assert scaled.map([1, 2], scale=3) == [3, 6]
    assert scaled.map([1, 2], value=5) == [5, 10]
    assert scaled.map(each for each in (1, 2)) == [1, 2]
    assert scaled.map(range(3), scale=2, when=True) == [0, 2, 4]
    assert scaled.map([]) == []


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda scaled: scaled.map(), "`apart.map` is given nothing to go through"),
        (lambda scaled: scaled.map(value=1), "`apart.map` is given nothing to go through"),
        (lambda scaled: scaled.map([1], [2], [3]), "is given 3 lists to go through, but has 2 parameters"),
        (lambda scaled: scaled.map([1], [2], scale=2), "is given 2 lists to go through, but has 1 param"),
        (lambda scaled: scaled.map([1, 2], [1, 2, 3]), "lengths: `value` has 2, `scale` has 3"),
        (lambda scaled: scaled.map([], [1]), "lengths: `value` has 0, `scale` has 1"),
        (lambda scaled: scaled.map("ab"), "argument `value` of step `apart` is a str, and no list"),
        (lambda scaled: scaled.map({"a": 1}), "argument `value` of step `apart` is a dict, and no list"),
        (lambda scaled: scaled.map({1, 2}), "argument `value` of step `apart` is a set, and no list"),
        (lambda scaled: scaled.map([1], 2), "argument `scale` of step `apart` is an int, and no list"),
        (lambda scaled: scaled.map([1], when="no"), "neither true nor false"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("block", [contextlib.nullcontext, tracing])
def test_what_cannot_be_mapped_is_said(block: Any, call: Any, said: str) -> None:
    """In a pipeline and outside one alike, at the line of the call."""
    with block(), pytest.raises(Invalid, match=said) as raised:
        call(step(apart))

    assert (raised.value.where or "").startswith(__file__)


def test_a_promise_that_outlives_its_pipeline_is_refused_in_a_plain_call() -> None:
    """The message names the step that it is of, and where it goes."""
    made = step(plain)
    with tracing():
        promise: Any = made(1)

    for call in (
        lambda: made(promise),
        lambda: made(value=promise),
        lambda: made(1, when=promise),
        lambda: made.map(promise),
    ):
        with pytest.raises(
            Invalid, match="of step `plain` is the output of `plain`, which belongs to another"
        ):
            call()


def test_a_function_keeps_its_own_attributes() -> None:
    """What is written on a function, whatever it is called, is not what a step goes by."""

    made = step(labelled)

    assert list(made.signature.parameters) == ["value"]
    assert made.hints == {"value": int, "return": int}
