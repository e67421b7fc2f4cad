"""References: what is one, and that writing one down and reading it again changes nothing."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlwright.kernel.errors import Invalid
from mlwright.versioning import Reference, parse_reference
from mlwright.versioning.references import NAME, check_name

names = st.from_regex(NAME, fullmatch=True)
selectors = st.one_of(
    st.builds(dict, number=st.integers(0, 10**17 - 1)),
    st.builds(dict, digest=st.from_regex(r"[0-9a-f]{4,64}", fullmatch=True)),
    st.builds(dict, alias=names),
)
almost = st.from_regex(r"[A-Za-z.@:b3\n\x00 -]{0,8}@?[b3:0-9a-fA-F.@\n٣-]{0,8}", fullmatch=True)


@given(names, selectors)
@example("a" * 128, {"alias": "b" * 128})
def test_a_reference_that_is_written_down_is_read_back(name: str, selector: dict[str, object]) -> None:
    """Reading what a reference is written as gives the same reference."""
    reference = Reference(name, **selector)

    read = parse_reference(str(reference), "dataset")

    assert read == reference


@given(st.one_of(st.text(), almost))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    """Any text is refused with Invalid, or is a reference whose text means the same again."""
    try:
        reference = parse_reference(text, "dataset")
    except Invalid as refusal:
        assert repr(text) in refusal.message
        assert refusal.hint
        return

    again = parse_reference(str(reference), "dataset")

    assert again == reference


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("patients", Reference("patients", alias="latest")),
        ("patients@latest", Reference("patients", alias="latest")),
        ("patients@3", Reference("patients", number=3)),
        ("patients@007", Reference("patients", number=7)),
        ("patients@b3:ab12", Reference("patients", digest="ab12")),
        ("p.a-t_2@champion", Reference("p.a-t_2", alias="champion")),
    ],
)
def test_each_form_means_what_it_says(text: str, reference: Reference) -> None:
    """A bare name is its latest version; `@` adds a number, a digest's beginning, or an alias."""
    read = parse_reference(text, "model")

    assert read == reference


@pytest.mark.parametrize(
    "text",
    ["", "@", "@3", "3d", "a@", "a@b@c", "a@-1", "a@b3:ab1", "a@b3:AB12", "a/b", "../a", "a@٣", "a b", "a\n"],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    """What only resembles a reference is refused, and the message shows how to write one."""
    with pytest.raises(Invalid, match=re.escape("is not a dataset reference")) as refusal:
        parse_reference(text, "dataset")

    assert "@3" in str(refusal.value.hint)


@given(st.text())
def test_a_name_that_is_accepted_can_be_referenced(text: str) -> None:
    """Whatever can name a dataset is, as it stands, a reference to it."""
    try:
        name = check_name(text, "dataset")
    except Invalid:
        return

    reference = parse_reference(name, "dataset")

    assert reference.name == text
