"""What uv refuses: each case is made for real, and told in one message that says what, who and what to do."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from mlwright.environments.credentials import masked, refuse_credentials, shown
from mlwright.environments.derivations import read_derivation
from mlwright.environments.locks import current_python
from mlwright.environments.refusals import refusal
from mlwright.kernel.errors import (
    Corrupt,
    Incompatible,
    Invalid,
    MlwrightError,
    NotFound,
    Unavailable,
)
from tests.environments.conftest import Index, Small, wheel

Make = Callable[..., Small]
SECRET = "hunter2-secret"


@pytest.fixture(scope="module", autouse=True)
def offered(index: Index) -> None:
    """Packages that contradict each other, are yanked, or serve no Python or platform of ours."""
    index.add("five", "1.0", "two<2")
    index.add("six", "1.0", "five")
    index.add("newer", "1.0", "two>=2")
    index.add("ranged", "1.0", "two<2")
    index.add("ranged", "1.1", "two<1.5")
    index.add("taken", "0.9")
    index.add("taken", "1.0")
    index.yanked["taken-1.0-py3-none-any.whl"] = "security hole & more"
    index.add("takes", "1.0", "taken==1.0")
    index.add("future", "1.0")
    index.pythons["future-1.0-py3-none-any.whl"] = ">=3.99"
    index.add("lied", "1.0")
    index.lied.add("lied-1.0-py3-none-any.whl")
    tag = f"cp{current_python().replace('.', '')}"
    index.files[f"foreign-1.0-{tag}-{tag}-win_amd64.whl"] = wheel("foreign", "1.0", [], {"foreign.py": ""})
    index.files["ancient-1.0-cp27-cp27m-win_amd64.whl"] = wheel("ancient", "1.0", [], {"ancient.py": ""})


def refused(small: Small) -> MlwrightError:
    """How locking ends; nothing of it is left."""
    with pytest.raises(MlwrightError) as caught:
        small.environments.lock()
    assert not (small.root / "uv.lock").exists()
    return caught.value


def lines(error: MlwrightError) -> list[str]:
    return [line.strip() for line in error.message.splitlines()]


def on(small: Small, index: Index, url: str, *dependencies: str) -> Small:
    """The project, on another index."""
    small.depend(index, *dependencies)
    path = small.root / "pyproject.toml"
    path.write_text(path.read_text().replace(f"{index.url}/simple", url))
    return small


def test_a_contradiction_names_both_sides_who_asks_and_what_to_relax(make: Make) -> None:
    """Two requirements that exclude each other are told with the way from the project to each."""
    error = refused(make("six", "two>=2", lock=False))

    assert isinstance(error, Invalid)
    assert lines(error)[0] == (
        "the dependencies cannot be locked: the versions of `two` that are asked for exclude each other:"
    )
    assert "two<2: five, which six needs, which this project asks for" in lines(error)
    assert "two>=2: this project" in lines(error)
    assert error.hint == "relax one of these: `six`, `two>=2`"


def test_uvs_own_words_follow_ours(make: Make) -> None:
    """After our words stand uv's, and none of its advice on options of its own."""
    error = refused(make("six", "two>=2", lock=False))

    ours, theirs = error.message.split("uv's own words:")
    assert "Because all versions of five depend on two<2" in theirs
    assert "Because" not in ours
    assert "--frozen" not in error.render()


def test_environments_that_exclude_each_other_are_told_how_to_say_so(make: Make) -> None:
    """Two groups that cannot be had together may be declared as such, and the hint says how."""
    small = make(lock=False)
    with (small.root / "pyproject.toml").open("a") as file:
        file.write('[dependency-groups]\nold = ["five"]\nnew = ["newer"]\n')

    error = refused(small)

    assert "two<2: five, which the environment `old` asks for" in error.message
    assert "two>=2: newer, which the environment `new` asks for" in error.message
    assert error.hint == (
        'if they need not go together, say so: [tool.uv] conflicts = [[{ group = "new" }, { group = "old" }]]'
    )


def test_versions_that_ask_for_different_ones_are_one_side(make: Make) -> None:
    """A package whose versions each ask for something else is told in one line."""
    error = refused(make("ranged", "two>=2", lock=False))

    (line,) = [line for line in lines(error) if line.startswith("two") and "ranged" in line]
    assert line.endswith(": ranged (one version or another), which this project asks for")
    assert "two<2" in line and " or " in line and "<1.5" in line


def test_a_project_that_contradicts_itself_is_told_both(make: Make) -> None:
    """Both requirements of one package stand in the message and in the hint."""
    small = make("two>=2")

    with pytest.raises(Invalid) as refusal:
        small.environments.changes.plan_update(["two==1.0"])

    assert "two>=2 and two==1.0: this project" in lines(refusal.value)
    assert refusal.value.hint == "relax one of these: `two>=2`, `two==1.0`"


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("thre", "did you mean `three`?"),
        ("sklearn", "did you mean `scikit-learn`?"),
        ("zzz-qqq", "check the name, and the indexes in pyproject.toml"),
    ],
)
def test_an_unknown_package_is_named_with_the_nearest_name(asked: str, hint: str, make: Make) -> None:
    """A name that no index has is not found; it may have meant one the project has, or a well known one."""
    small = make("three")
    with pytest.raises(NotFound) as caught:
        small.environments.changes.plan_add([asked])

    assert (
        lines(caught.value)[0] == f"`{asked}` cannot be added: no package index of the project has `{asked}`"
    )
    assert caught.value.hint == hint


def test_a_version_that_does_not_exist_is_told_with_those_that_do(make: Make) -> None:
    """When no version fits, those that are there are named."""
    error = refused(make("one>=3", lock=False))

    assert isinstance(error, Invalid)
    assert lines(error)[0].endswith("no version of `one` fits `one>=3`; there is one==1.0")


def test_a_yanked_version_that_another_package_pins_is_named_with_its_reason(make: Make) -> None:
    """uv takes no yanked version that the project does not pin itself; who wants it is told, and how to."""
    error = refused(make("takes", lock=False))

    assert isinstance(error, Invalid)
    assert "`taken==1.0` was yanked (security hole & more), and nothing else fits" in lines(error)[0]
    assert lines(error)[0].endswith("asked for by takes, which this project asks for")
    assert error.hint is not None
    assert 'mlwright environments add "taken==1.0" --allow-yanked' in error.hint


def test_a_yanked_version_is_taken_only_when_that_is_confirmed(make: Make) -> None:
    """A pin on a yanked version is refused with the reason; confirmed once, it is not asked about again."""
    small = make("taken==1.0", lock=False)

    error = refused(small)
    changed = small.environments.lock(allow_yanked=True)
    small.environments.changes.apply(small.environments.changes.plan_add(["one"]))

    assert isinstance(error, Invalid)
    assert "`taken==1.0` (security hole & more)" in error.message
    assert error.hint is not None and "--allow-yanked" in error.hint
    assert changed
    assert 'name = "one"' in (small.root / "uv.lock").read_text()


def test_an_index_that_is_down_is_named_without_who_logs_in(
    make: Make, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody answers: host and port are told, user name and password are not."""
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # taken, and nobody listens
        host = f"127.0.0.1:{held.getsockname()[1]}"
        error = refused(on(make(lock=False), index, f"http://somebody:{SECRET}@{host}/simple", "one"))

    assert isinstance(error, Unavailable)
    assert f"the package index at {host} cannot be reached: Connection refused" in lines(error)[0]
    assert SECRET not in error.render() and "somebody" not in error.render()


def test_an_index_that_fails_is_told_with_its_answer(
    make: Make, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server error is the index's fault, and said so."""
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    error = refused(on(make(lock=False), index, f"{index.url}/answers-500/simple", "one"))

    assert isinstance(error, Unavailable)
    assert "answers 500 Internal Server Error" in lines(error)[0]


@pytest.mark.parametrize("place", ["private", "answers-403"])
def test_an_index_that_lets_nobody_in_asks_for_credentials(place: str, make: Make, index: Index) -> None:
    """A refused login is not told as an unknown package."""
    host = index.url.removeprefix("http://")
    error = refused(on(make(lock=False), index, f"http://somebody:wrong-one@{host}/{place}/simple", "one"))

    assert isinstance(error, Unavailable)
    assert f"the package index at {host} does not let us in" in lines(error)[0]
    assert "wrong-one" not in error.render()


def test_the_right_password_is_used_and_stored_nowhere(make: Make, index: Index) -> None:
    """An index behind a password is locked and built from, and neither lock nor store has the password."""
    host = index.url.removeprefix("http://")
    small = on(make(lock=False), index, f"http://somebody:{SECRET}@{host}/private/simple", "one")

    small.environments.lock()
    lock = small.environments.current()
    small.environments.build(lock)

    text = small.environments.text(lock).decode()
    assert "private/simple" in text
    for stored in (text, (small.root / "uv.lock").read_text()):
        assert SECRET not in stored and "somebody" not in stored


def test_a_password_in_a_requirement_is_refused_before_uv_starts(make: Make, index: Index) -> None:
    """An address with a password would be stored: it is refused, and not repeated."""
    small = make("one")
    address = f"two @ http://somebody:{SECRET}@127.0.0.1/files/two-2.0-py3-none-any.whl"
    asked = len(index.asked)

    with pytest.raises(Invalid, match="and would be stored") as refusal:
        small.environments.changes.plan_add([address])

    assert SECRET not in refusal.value.render()
    assert "127.0.0.1" in refusal.value.message
    assert len(index.asked) == asked


def test_a_password_in_a_source_is_not_stored(make: Make, index: Index) -> None:
    """An address with a password in [tool.uv.sources] would be locked with it: no lock is made."""
    host = index.url.removeprefix("http://")
    small = make("two", lock=False)
    with (small.root / "pyproject.toml").open("a") as file:
        file.write(f'[tool.uv.sources]\ntwo = {{ url = "http://somebody:{SECRET}@{host}/files/')
        file.write('two-2.0-py3-none-any.whl" }\n')

    error = refused(small)

    assert "uv.lock holds a user name or a password" in error.message
    assert SECRET not in error.render()


def test_a_file_whose_hash_the_index_tells_wrong_is_refused(make: Make) -> None:
    """A wheel that is not the one that was locked is named with both hashes, and not installed."""
    small = make("lied")
    lock = small.environments.current()

    with pytest.raises(Corrupt) as refusal:
        small.environments.build(lock)

    assert "the file of `lied==1.0` has another hash (sha256:" in lines(refusal.value)[0]
    assert f"than was locked (sha256:{'0' * 12}...)" in lines(refusal.value)[0]
    assert refusal.value.hint is not None
    assert refusal.value.hint.endswith("mlwright environments update lied")
    assert not small.environments.built(lock)


def test_a_package_without_a_file_for_this_python_is_incompatible(make: Make) -> None:
    """Wheels for other Pythons only are refused when they are locked."""
    error = refused(make("ancient", lock=False))

    assert isinstance(error, Incompatible)
    assert "`ancient==1.0` cannot be installed here: its files are for another Python" in lines(error)[0]


def test_a_package_without_a_file_for_this_platform_is_incompatible(make: Make) -> None:
    """Wheels for other platforms only are refused when they are built, and the platforms named."""
    small = make("foreign")

    with pytest.raises(Incompatible) as refusal:
        small.environments.build(small.environments.current())

    assert "`foreign` cannot be installed here" in lines(refusal.value)[0]
    assert "win_amd64" in lines(refusal.value)[0]


def test_a_package_for_newer_pythons_is_told_with_both_ranges(make: Make) -> None:
    """What needs another Python than the project is for, is told with both."""
    error = refused(make("future", lock=False))

    assert isinstance(error, Incompatible)
    assert "`future==1.0` needs Python >=3.99, and the project is for Python >=3.11" in lines(error)[0]


def test_a_uv_lock_that_is_damaged_says_how_it_is_made_anew(make: Make) -> None:
    """A merge that went wrong is told as such."""
    small = make("one")
    (small.root / "uv.lock").write_text("<<<<<<< HEAD\n")

    with pytest.raises(Invalid, match=r"uv\.lock cannot be read") as refusal:
        small.environments.lock()

    assert refusal.value.hint is not None and "mlwright environments lock" in refusal.value.hint


def test_what_is_not_understood_is_told_in_uvs_words() -> None:
    """A failure of another kind is not dressed up."""
    error = refusal("the lock cannot be read", "error: the moon is full\n  cause: tides\n")

    assert isinstance(error, Unavailable)
    assert error.message == "the lock cannot be read:\nthe moon is full\ntides"


def test_a_compiler_that_says_thousands_of_lines_is_shortened() -> None:
    """A package that cannot be built is named; of the build's own words the end is told."""
    said = "\n".join(f"         creating build/{number}" for number in range(5000))
    stderr = (
        "error: Failed to build `old==1.19.5`\n"
        "  cause: The build backend returned an error\n"
        "  cause: Call to `setuptools.build_meta:__legacy__.build_wheel` failed (exit status: 1)\n"
        f"{said}\n"
        "         fatal error: lapack.h: No such file\n"
    )

    error = refusal("the packages cannot be installed", stderr)

    assert isinstance(error, Incompatible)
    assert "`old==1.19.5` has no wheel for this Python and platform" in error.message
    assert "lapack.h: No such file" in error.message
    assert len(error.message.splitlines()) < 20
    assert "ask for a version of `old` that has one" in str(error.hint)


def test_a_long_derivation_is_shortened() -> None:
    """uv's words end after a screenful."""
    because = " and ".join(f"a{number} depends on b>={number}" for number in range(500))
    error = refusal(
        "no", f"error: No solution found when resolving dependencies\n  cause: Because {because}.\n"
    )

    assert error.message.endswith(" ...")
    assert len(error.message) < 2000


@pytest.mark.parametrize(
    "text",
    [
        "Because " + "a-" * 20_000,
        "Because all of: " + "a>=1 " * 9_000,
        "Because " + "a[b]{c}>=1,<2,<3," * 2_500,
        "Because " + "a depends on b and " * 2_500,
    ],
)
def test_a_hostile_derivation_is_read_in_a_bounded_time(text: str) -> None:
    """Names come from indexes: no text of theirs holds us up, as texts that fit in many ways would."""
    assert len(read_derivation(text).asks) <= 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"http://u:{SECRET}@host:80/simple", "http://****@host:80/simple"),
        ("git+https://token@host/x.git@main", "git+https://****@host/x.git@main"),
        ("https://host/a@b", "https://host/a@b"),
        (f"says {SECRET} alone", "says **** alone"),
    ],
)
def test_passwords_are_masked(text: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in an address before the host, and what an index's variable holds, is never shown."""
    monkeypatch.setenv("UV_INDEX_OURS_PASSWORD", SECRET)

    assert masked(text) == shown


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("one >= ==2", "one >= ==2"),
        ("../wheels/one.whl", "../wheels/one.whl"),
        (f"-i https://host:80/{SECRET}/simple", "-i https://host:80/****"),
        ("curl http://[::1]:9 && https://host/", "curl http://[::1]:9 && https://host"),
        (f"git+ssh://git@host/{SECRET}.git", "git+ssh://host/****"),
        (f"https://u:{SECRET}/x@host/simple", "https://****"),
        (f"https://host?token={SECRET}", "https://host/****"),
    ],
)
def test_a_line_is_repeated_without_what_stands_behind_a_host(line: str, told: str) -> None:
    """An index may be let into by a token in its path."""
    assert shown(line) == repr(told)


def test_the_password_of_an_address_in_a_variable_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """uv is also told of an index by UV_INDEX_URL."""
    monkeypatch.setenv("UV_INDEX_URL", "https://somebody:pa%24%24word@host/simple")

    assert masked("pa%24%24word and pa$$word") == "**** and ****"


def test_a_user_of_ssh_is_no_password() -> None:
    """`git@host` names nobody."""
    refuse_credentials("git+ssh://git@host/x.git", "a requirement")
    with pytest.raises(Invalid, match="a requirement holds"):
        refuse_credentials("git+ssh://git:pw@host/x.git", "a requirement")
