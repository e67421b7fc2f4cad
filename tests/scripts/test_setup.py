"""`scripts/setup.py`: which uv it takes, what it refuses, and when it has nothing to do."""

import ast
import base64
import hashlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "setup.py"
VERSION = "0.13.9"

spec = importlib.util.spec_from_file_location("setup_script", SCRIPT)
assert spec is not None and spec.loader is not None
setup = importlib.util.module_from_spec(spec)
spec.loader.exec_module(setup)


@pytest.mark.parametrize(
    "machine",
    [
        ("manylinux", (2, 36), "x86_64"),
        ("manylinux", (2, 17), "x86_64"),
        ("manylinux", (2, 36), "aarch64"),
        ("manylinux", (2, 17), "aarch64"),
        ("musllinux", (1, 2), "x86_64"),
        ("musllinux", (1, 2), "aarch64"),
        ("macosx", (14, 5), "arm64"),
        ("macosx", (10, 15), "x86_64"),
    ],
)
def test_uv_lock_names_a_wheel_for_each_platform(machine: tuple[str, tuple[int, int], str]) -> None:
    """For every platform that can be set up, uv.lock holds a wheel of uv whose tag fits it."""
    locked = setup.read_locked_uv(SCRIPT.parents[1])

    wheel = setup.choose_wheel(locked.wheels, setup.Machine(*machine))

    assert wheel.name.startswith(f"uv-{locked.version}-")
    assert machine[0] in wheel.name
    assert machine[2] in wheel.name
    assert wheel.url.endswith(wheel.name)
    assert len(wheel.sha256) == 64


@pytest.mark.parametrize(("glibc", "chosen"), [((2, 17), "old"), ((2, 27), "old"), ((2, 28), "new")])
def test_the_newest_wheel_that_fits_is_chosen(glibc: tuple[int, int], chosen: str) -> None:
    """Of two wheels for one processor, the one built for the newer glibc is taken, unless it is too new."""
    old = setup.Wheel(f"uv-{VERSION}-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.whl", "old", "")
    new = setup.Wheel(f"uv-{VERSION}-py3-none-manylinux_2_28_aarch64.whl", "new", "")

    wheel = setup.choose_wheel([new, old], setup.Machine("manylinux", glibc, "aarch64"))

    assert wheel.url == chosen


def test_a_platform_without_a_wheel_is_named() -> None:
    """Where uv.lock holds no wheel for the platform, the message names the platform."""
    locked = setup.read_locked_uv(SCRIPT.parents[1])

    with pytest.raises(setup.SetupError, match=r"manylinux 2\.5 mips"):
        setup.choose_wheel(locked.wheels, setup.Machine("manylinux", (2, 5), "mips"))


releases = st.lists(st.integers(0, 20), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))


@given(
    releases, st.lists(st.tuples(st.sampled_from(sorted(setup.COMPARE)), releases), min_size=1, max_size=3)
)
@example("1.0", [("==", "1")])
def test_a_range_means_what_packaging_says(version: str, clauses: list[tuple[str, str]]) -> None:
    """A version lies in a range of comparisons exactly when `packaging` says so."""
    accepted = ",".join(sign + bound for sign, bound in clauses)

    assert setup.satisfies(version, accepted) == SpecifierSet(accepted).contains(version)


@pytest.mark.parametrize(
    ("environ", "files", "index"),
    [
        ({}, {}, None),
        ({"UV_DEFAULT_INDEX": "http://a/simple"}, {}, "http://a/simple"),
        ({"UV_DEFAULT_INDEX": "corp=http://a/simple"}, {}, "http://a/simple"),
        ({"UV_INDEX_URL": "http://a/simple", "PIP_INDEX_URL": "http://b/simple"}, {}, "http://a/simple"),
        ({"PIP_INDEX_URL": "http://b/simple"}, {"etc/pip.conf": "nonsense"}, "http://b/simple"),
        ({}, {"etc/pip.conf": "[global]\nindex-url = http://c/%7Esimple\n"}, "http://c/%7Esimple"),
        ({}, {"etc/pip.conf": "[global]\nextra-index-url = http://c/simple\n"}, None),
        ({}, {"home/.config/pip/pip.conf": "[global]\nindex-url: http://d/simple\n"}, "http://d/simple"),
        ({}, {"home/.config/uv/uv.toml": 'index-url = "http://e/simple"\n'}, "http://e/simple"),
        ({}, {"etc/uv/uv.toml": '[[index]]\nurl = "http://f/simple"\ndefault = true\n'}, "http://f/simple"),
        ({}, {"etc/uv/uv.toml": '[[index]]\nurl = "http://f/simple"\n'}, None),
    ],
)
def test_the_index_that_is_configured_is_found(
    environ: dict[str, str], files: dict[str, str], index: str | None, tmp_path: Path
) -> None:
    """The index comes from the variables of uv and pip, then from uv.toml, then from pip.conf."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    found = setup.configured_index({"HOME": str(tmp_path / "home"), **environ}, etc=tmp_path / "etc")

    assert found == index


@pytest.mark.parametrize("name", ["pip.conf", "uv/uv.toml"])
def test_a_damaged_configuration_is_named(name: str, tmp_path: Path) -> None:
    """A pip.conf or uv.toml that cannot be read is an error that gives its path."""
    (tmp_path / "uv").mkdir()
    (tmp_path / name).write_text("= nonsense")

    with pytest.raises(setup.SetupError, match=name):
        setup.configured_index({"HOME": str(tmp_path)}, etc=tmp_path)


class Index:
    """A package index on loopback: what it serves, the login it wants, and what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, tuple[str, bytes]] = {}
        self.login = ""
        self.asked: list[str] = []


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """A running, empty index."""
    monkeypatch.setenv("no_proxy", "*")

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            login = base64.b64encode(served.login.encode()).decode()
            known = served.files.get(self.path)
            if served.login and self.headers.get("Authorization") != f"Basic {login}":
                self.send_response(401)
                self.end_headers()
            elif known is None:
                self.send_response(404)
                self.end_headers()
            else:
                self.send_response(200)
                self.send_header("Content-Type", known[0])
                self.end_headers()
                self.wfile.write(known[1])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        served = Index(f"http://127.0.0.1:{server.server_port}/simple")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield served
        server.shutdown()
        thread.join()


def packed_uv() -> bytes:
    """A wheel whose uv is a script that knows its version."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"uv-{VERSION}.data/scripts/uvx", "not this one")
        archive.writestr(f"uv-{VERSION}.data/scripts/uv", f"#!/bin/sh\necho uv {VERSION}\n")
    return packed.getvalue()


def locked_wheel(url: str, content: bytes) -> "setup.LockedUv":
    """What uv.lock would say of `content`, built for this machine."""
    family, (major, minor), arch = setup.this_machine()
    name = f"uv-{VERSION}-py3-none-{family}_{major}_{minor}_{arch}.whl"
    wheel = setup.Wheel(name, url + name, hashlib.sha256(content).hexdigest())
    return setup.LockedUv(">=0.13,<0.14", VERSION, (wheel,))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout on a machine whose Python makes no environments, so that pip is of no help."""
    monkeypatch.setattr(setup, "base_python", lambda: Path("/bin/false"))
    (tmp_path / ".cache" / "bootstrap").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("content_type", "page"),
    [
        ("text/html", '<a href="other.whl">other</a> <a href="../files/NAME#sha256=0">NAME</a>'),
        ("application/vnd.pypi.simple.v1+json", '{"files": [{"url": "/simple/files/NAME"}]}'),
    ],
)
def test_uv_is_unpacked_from_the_wheel_on_the_configured_index(
    content_type: str, page: str, checkout: Path, index: Index
) -> None:
    """Without pip, uv comes out of the wheel that the index's simple page, HTML or JSON, has of that name."""
    content = packed_uv()
    locked = locked_wheel("http://unreachable.invalid/", content)
    name = locked.wheels[0].name
    index.files["/simple/uv/"] = (content_type, page.replace("NAME", name).encode())
    index.files[f"/simple/files/{name}"] = ("application/octet-stream", content)

    uv, said = setup.find_uv(checkout, locked, index.url, {"PATH": ""})

    assert said == f"uv {VERSION} from its wheel"
    assert setup.uv_version(uv) == VERSION
    assert [path.name for path in (checkout / ".cache" / "bootstrap").iterdir()] == [uv.parent.name]


def test_uv_is_unpacked_from_the_wheel_at_the_locked_address(checkout: Path, index: Index) -> None:
    """Without pip and without a configured index, the wheel is fetched from where uv.lock says."""
    content = packed_uv()
    locked = locked_wheel(index.url + "/", content)
    index.files[f"/simple/{locked.wheels[0].name}"] = ("application/octet-stream", content)

    uv, _ = setup.find_uv(checkout, locked, None, {"PATH": ""})

    assert setup.uv_version(uv) == VERSION
    assert index.asked == [f"/simple/{locked.wheels[0].name}"]


def test_a_wheel_with_another_sha256_is_refused(checkout: Path, index: Index) -> None:
    """A wheel that differs from uv.lock by one byte is refused with both digests, and nothing is unpacked."""
    locked = locked_wheel(index.url + "/", packed_uv())
    damaged = packed_uv() + b"\0"
    index.files[f"/simple/{locked.wheels[0].name}"] = ("application/octet-stream", damaged)

    with pytest.raises(setup.SetupError) as refused:
        setup.find_uv(checkout, locked, None, {"PATH": ""})

    assert locked.wheels[0].sha256 in str(refused.value)
    assert hashlib.sha256(damaged).hexdigest() in str(refused.value)
    assert not [path for path in checkout.rglob("*") if path.is_file()]


def test_the_login_of_the_index_is_used_and_not_shown(checkout: Path, index: Index) -> None:
    """A login in the index's address is sent to the index, and stands in no message."""
    content = packed_uv()
    locked = locked_wheel("", content)
    name = locked.wheels[0].name
    index.login = "me:s@cret"
    index.files["/simple/uv/"] = ("text/html", f"<a href='{name}'>{name}</a>".encode())
    index.files[f"/simple/uv/{name}"] = ("application/octet-stream", content)
    configured = index.url.replace("//", "//me:s%40cret@")

    uv, _ = setup.find_uv(checkout, locked, configured, {"PATH": ""})
    with pytest.raises(setup.SetupError) as missing:
        setup.find_on_index(configured, "uv-9.whl")

    assert uv.exists()
    assert "cret" not in str(missing.value)


FAKE_UV = f"""#!/bin/sh
[ "$1" = --version ] && {{ echo "uv {VERSION}"; exit; }}
echo "$UV_PROJECT_ENVIRONMENT|$VIRTUAL_ENV|$UV_PYTHON_DOWNLOADS|$*" >> @log@
[ -e @fifo@ ] && read line < @fifo@
mkdir -p .venv/bin
echo "home = @home@" > .venv/pyvenv.cfg
[ -e .venv/bin/python ] || ln -s @python@ .venv/bin/python
[ -e @kill@ ] && {{ rm @kill@; touch .venv/half-installed; kill -9 $PPID; }}
exit 0
"""


class Fresh:
    """A fresh machine: a checkout of two project files and the script, and a uv on PATH."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.root = room / "checkout"
        self.log = room / "log"
        self.kill = room / "kill"
        self.fifo = room / "fifo"
        self.environ = {"PATH": f"{room / 'bin'}:/usr/bin:/bin", "HOME": str(room)}
        (self.root / "scripts").mkdir(parents=True)
        shutil.copy(SCRIPT, self.root / "scripts")
        (self.root / "pyproject.toml").write_text('[project]\ndependencies = ["uv>=0.13,<0.14"]\n')
        (self.root / "uv.lock").write_text(f'[[package]]\nname = "uv"\nversion = "{VERSION}"\nwheels = []\n')
        self.put_uv(room / "bin" / "uv")
        self.put_uv(room / "bin" / "promtool", "#!/bin/sh\n")  # else it would be fetched

    def put_uv(self, path: Path, text: str = FAKE_UV) -> None:
        python = setup.base_python()
        for name, value in {
            "log": self.log,
            "kill": self.kill,
            "fifo": self.fifo,
            "python": python,
            "home": python.parent,
        }.items():
            text = text.replace(f"@{name}@", str(value))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, self.root / "scripts" / "setup.py", *arguments],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def set_up(self, *arguments: str) -> tuple[int, str, str]:
        """Run the script; its exit status, what it said and what it complained of."""
        with self.start(*arguments) as process:
            said, complained = process.communicate(timeout=60)
        return process.returncode, said, complained

    def asked(self) -> list[str]:
        """What uv was asked so far."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def stands(self) -> bool:
        """Whether `.venv` has a Python that starts, and nothing half installed."""
        python = self.root / ".venv" / "bin" / "python"
        started = subprocess.run(
            [python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True
        )
        return started.stdout.strip() == str(python.parents[1]) and not list(
            self.root.rglob("half-installed")
        )


@pytest.fixture
def fresh(tmp_path: Path) -> Fresh:
    """A fresh machine."""
    return Fresh(tmp_path)


def test_the_second_run_does_nothing(fresh: Fresh) -> None:
    """A run that finds everything in place asks uv nothing and says nothing."""
    first = fresh.set_up("test")
    asked = fresh.asked()

    shutil.rmtree(fresh.root / ".cache")
    second = fresh.set_up("test")
    lower = fresh.set_up("demo")

    assert first[0] == 0, first
    assert len(first[1].splitlines()) == 2
    assert asked
    assert "--group dev" in asked[0]
    assert second == lower == (0, "", "")
    assert not (fresh.root / ".cache").exists()
    assert fresh.asked() == asked


def test_the_environment_is_that_of_the_checkout(fresh: Fresh) -> None:
    """An activated environment, or one named to uv, is left alone: `.venv` of the checkout is used."""
    fresh.environ |= {
        "VIRTUAL_ENV": "/elsewhere",
        "UV_PROJECT_ENVIRONMENT": "/elsewhere",
        "UV_PYTHON": "3.99",
    }

    status, _, complained = fresh.set_up("demo")

    assert status == 0, complained
    assert fresh.asked()[0].startswith(f"{fresh.root / '.venv'}||never|")
    assert "--group" not in fresh.asked()[0]
    assert fresh.stands()


def test_a_changed_lock_is_installed_into_what_is_there(fresh: Fresh) -> None:
    """After a change of uv.lock, uv brings the same `.venv` up to date, at the level that it has."""
    fresh.set_up("test")
    kept = fresh.root / ".venv" / "kept"
    kept.touch()
    before = len(fresh.asked())
    with (fresh.root / "uv.lock").open("a") as file:
        file.write("\n")

    status, _, complained = fresh.set_up("demo")

    assert status == 0, complained
    assert "--group dev" in fresh.asked()[before]
    assert kept.exists()


def test_a_broken_interpreter_is_replaced(fresh: Fresh) -> None:
    """A `.venv` whose Python does not start is made anew, though its stamp is right."""
    fresh.set_up("demo")
    python = fresh.root / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")

    status, _, complained = fresh.set_up("demo")

    assert status == 0, complained
    assert fresh.stands()


def test_a_moved_checkout_gets_a_new_environment(fresh: Fresh) -> None:
    """A `.venv` that was made at another path is made anew, because its scripts hold the old path."""
    fresh.set_up("demo")
    (fresh.root / ".venv" / "half-installed").touch()
    fresh.root = fresh.root.rename(fresh.room / "moved")

    status, _, complained = fresh.set_up("demo")

    assert status == 0, complained
    assert fresh.stands()


@pytest.mark.parametrize("already", [False, True])
def test_what_a_killed_run_left_is_repaired(already: bool, fresh: Fresh) -> None:
    """A setup that is killed while uv makes or changes `.venv` leaves nothing that the next one keeps."""
    if already:
        fresh.set_up("demo")
    fresh.kill.touch()
    killed = fresh.set_up("test")
    left = (fresh.root / ".venv" / "half-installed").exists()

    status, _, complained = fresh.set_up("test")

    assert killed[0] == -9
    assert left
    assert status == 0, complained
    assert fresh.stands()


def test_two_setups_at_once_do_the_work_once(fresh: Fresh) -> None:
    """A setup that meets another waits for it, and then has nothing to do."""
    os.mkfifo(fresh.fifo)
    first, second = fresh.start("demo"), None
    watchdog = threading.Timer(60, lambda: [process.kill() for process in (first, second) if process])
    watchdog.start()
    with first, fresh.fifo.open("w") as go:  # opens once the first one's uv listens
        asked = fresh.asked()

        second = fresh.start("demo")
        with second:
            assert second.stdout is not None
            waiting = second.stdout.readline()
            fresh.fifo.unlink()
            go.write("go\n")
            go.close()
            said, _ = second.communicate()
        first.communicate()
    watchdog.cancel()

    assert "waiting for another setup" in waiting
    assert said == ""
    assert (first.returncode, second.returncode) == (0, 0)
    assert len(asked) == 1
    assert fresh.stands()


def test_a_uv_outside_the_range_is_passed_over(fresh: Fresh) -> None:
    """A uv on PATH that pyproject.toml does not accept is named, and the locked one is used."""
    fresh.put_uv(fresh.room / "bin" / "uv", "#!/bin/sh\necho uv 0.4.1\n")
    fresh.put_uv(fresh.root / ".cache" / "bootstrap" / f"uv-{VERSION}" / "uv")

    status, said, complained = fresh.set_up("demo")

    assert status == 0, complained
    assert "bin/uv is 0.4.1, not >=0.13,<0.14" in said
    assert f"uv {VERSION} of an earlier setup" in said


def test_a_program_that_cannot_be_had_is_named(fresh: Fresh) -> None:
    """Without it some tests are skipped, and the setup goes on; half of it is not left behind."""
    (fresh.room / "bin" / "promtool").unlink()
    fresh.put_uv(fresh.room / "bin" / "apt-get", "#!/bin/sh\necho there is no network\nexit 100\n")

    status, said, complained = fresh.set_up("test")

    assert status == 0, complained
    assert "some tests are skipped without promtool" in said
    assert list((fresh.root / ".cache" / "tools").iterdir()) == []


def test_what_uv_complains_of_is_shown(fresh: Fresh) -> None:
    """When uv fails, its words stand in the message, the exit status is 6, and no stamp is left."""
    fresh.put_uv(fresh.room / "bin" / "uv", f"#!/bin/sh\necho uv {VERSION}\n[ $1 = --version ] || exit 2\n")

    status, _, complained = fresh.set_up("demo")

    assert status == 6
    assert complained.startswith("error: `uv ")
    assert f"  uv {VERSION}" in complained
    assert "\nhint: " in complained
    assert not (fresh.root / ".venv" / "setup.json").exists()


@pytest.mark.parametrize("arguments", [(), ("prod",), ("demo", "test")])
def test_a_wrong_argument_is_wrong_usage(arguments: tuple[str, ...], fresh: Fresh) -> None:
    """Anything but one of the two levels ends with exit status 2 and a hint."""
    status, _, complained = fresh.set_up(*arguments)

    assert status == 2
    assert "hint: python3 scripts/setup.py demo" in complained


def test_an_older_python_is_told_what_is_needed() -> None:
    """A Python before 3.11 can parse the script, and is answered with one error line and exit status 6."""
    source = SCRIPT.read_text()
    older = "import sys; sys.hexversion = 0x030A0000; exec(compile(sys.stdin.read(), 'setup.py', 'exec'))"

    answer = subprocess.run([sys.executable, "-c", older], input=source, capture_output=True, text=True)

    assert ast.parse(source, feature_version=(3, 7))
    assert answer.returncode == 6
    assert answer.stderr.startswith("error: Python 3.11 or newer is needed; this is ")
    assert answer.stderr.count("\n") == 2
