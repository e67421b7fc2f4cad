"""Make `.venv/` in this checkout: the locked packages, and mlwright itself, editable.

    python3 scripts/setup.py demo    what mlwright needs to run
    python3 scripts/setup.py test    that, every extra, and the tools of `make test`

Needs Python 3.11 and its standard library. uv is taken from PATH, or put into `.cache/bootstrap/` in the
version, and with the sha256, that `uv.lock` names. Where everything is in place it does nothing; what an
interrupted run left is repaired by the next.
"""

import sys

# Older Pythons must be able to parse this file, to come as far as this line: no `match`, no `:=`.
if sys.hexversion < 0x030B0000:
    sys.stderr.write(
        f"error: Python 3.11 or newer is needed; this is {sys.version.split()[0]} at {sys.executable}\n"
        "hint: put a newer python3 first on PATH, or name one, as in: make setup PYTHON=/path/to/python3.11\n"
    )
    raise SystemExit(6)

import fcntl
import hashlib
import json
import operator
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

if TYPE_CHECKING:
    from urllib.response import addinfourl

ROOT = Path(__file__).resolve().parent.parent
LEVELS = ("demo", "test")  # each holds the one before it
TOOLS = {
    "chromium": "chromium",
    "strace": "strace",
    "mkfs.xfs": "xfsprogs",
}  # and the Debian packages that have them
LOOSE = {"promtool": "prometheus"}  # needs nothing else of its package, whose server nobody wants to run
AGAIN = "the same command again repairs what is half done"
COMPARE = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
# What would send uv or pip to another environment than ours, or have them install something else.
STRAY = re.compile(
    r"(VIRTUAL_ENV|CONDA_PREFIX|PYTHONHOME|PYTHONPATH|__PYVENV_LAUNCHER__|PIP_(USER|TARGET|PREFIX|ROOT)"
    r"|UV_(PROJECT|WORKING|PYTHON|MANAGED|SYSTEM_PYTHON|FROZEN|LOCKED|ISOLATED|DEV|VENV)"
    r"|UV_NO_(MANAGED|SYNC|EDITABLE|DEV|GROUP|DEFAULT|INSTALL|SOURCES)).*"
)


class SetupError(Exception):
    """This machine stands in the way; the message and `hint` go to the user as they are."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Stamp(NamedTuple):
    """What a finished setup leaves in `.venv/`; a `.venv/` without one is of unknown state."""

    level: str
    digest: str  # of pyproject.toml and uv.lock
    python: str
    root: str  # scripts in .venv/bin hold this path: a moved checkout needs a new .venv

    def covers(self, wanted: "Stamp") -> bool:
        """Whether an environment with this stamp has all that `wanted` asks for."""
        return self[1:] == wanted[1:] and LEVELS.index(self.level) >= LEVELS.index(wanted.level)


class Wheel(NamedTuple):
    """One built uv, as uv.lock names it."""

    name: str
    url: str
    sha256: str


class LockedUv(NamedTuple):
    """What pyproject.toml (`accepted`) and uv.lock (the rest) say about uv."""

    accepted: str  # ">=0.13,<0.14"
    version: str
    wheels: tuple[Wheel, ...]


class Machine(NamedTuple):
    """What a wheel's platform tag has to fit."""

    family: str  # manylinux, musllinux or macosx, as tags spell it
    version: tuple[int, int]  # of glibc, musl or macOS
    arch: str


def main(argv: Sequence[str]) -> int:
    """Set up what `argv` names, and answer the exit status."""
    if list(argv) in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    if len(argv) != 1 or argv[0] not in LEVELS:
        return complain("one argument is needed: demo or test", "python3 scripts/setup.py demo", 2)
    try:
        set_up(ROOT, argv[0], os.environ)
        if argv[0] == "test":
            install_tools(os.environ)
            take_out_tools(ROOT, os.environ)
    except SetupError as fault:
        return complain(str(fault), fault.hint, 6)
    except OSError as fault:
        return complain(str(fault), f"{ROOT} must be yours to write, and its disk have space left", 6)
    except KeyboardInterrupt:
        return complain("interrupted", AGAIN, 130)
    return 0


def complain(message: str, hint: str, status: int) -> int:
    """Write `message` and `hint` to standard error, and answer `status`."""
    print(f"error: {message}\nhint: {hint}", file=sys.stderr)
    return status


def say(line: str) -> None:
    """One line for whoever waits."""
    print(f"setup: {line}", flush=True)


def set_up(root: Path, level: str, environ: Mapping[str, str]) -> None:
    """Bring `.venv/` below `root` to `level`, or return at once where it is there already."""
    wanted = Stamp(level, digest_of(root), python_tag(), str(root))
    if is_ready(root, wanted):
        return
    bootstrap = root / ".cache" / "bootstrap"
    bootstrap.mkdir(parents=True, exist_ok=True)
    with only_one(bootstrap / "lock"):
        if is_ready(root, wanted):
            return
        started = time.monotonic()
        index = configured_index(environ)
        environ = tamed(environ, root, index)
        uv, found = find_uv(root, read_locked_uv(root), index, environ)
        say(f"{found} ({time.monotonic() - started:.1f} s)")

        started = time.monotonic()
        stamp = clear(root, wanted)
        install(uv, root, stamp.level, index, environ)
        if not interpreter_starts(root, stamp):
            raise SetupError(f"{root / '.venv'} was made, but its Python does not start", "make clean setup")
        write_whole(stamp_path(root), json.dumps(stamp._asdict()))
        say(f".venv for {stamp.level}, Python {sys.version.split()[0]} ({time.monotonic() - started:.1f} s)")


def install_tools(environ: Mapping[str, str]) -> None:
    """Install the programs of the system that some tests need; without them these are skipped."""
    path = os.pathsep.join([environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool, path=path) is None})
    if not missing:
        return
    apt = shutil.which("apt-get", path=path)
    if apt is None or os.geteuid() != 0:
        say(f"some tests are skipped without {', '.join(missing)}; install them with your system's packages")
        return
    quiet = {**environ, "DEBIAN_FRONTEND": "noninteractive"}
    wanted: list[str | Path] = [apt, "install", "-y", "-q", "--no-install-recommends", *missing]
    try:
        try:
            run(wanted, environ=quiet)
        except SetupError:  # its lists may be old, or were never fetched
            run([apt, "update", "-q"], environ=quiet)
            run(wanted, environ=quiet)
        say(f"{', '.join(missing)} from the system's packages")
    except SetupError as fault:
        say(f"some tests are skipped without {', '.join(missing)}: {str(fault).splitlines()[0]}")


def take_out_tools(root: Path, environ: Mapping[str, str]) -> None:
    """Put single programs out of Debian's packages into `.cache/tools/`; nothing is installed."""
    folder = root / ".cache" / "tools"
    for tool, package in LOOSE.items():
        if shutil.which(tool, path=environ.get("PATH")) or (folder / tool).exists():
            continue
        apt = shutil.which("apt-get", path=environ.get("PATH"))
        if apt is None:
            say(f"some tests are skipped without {tool}; install it with your system's packages")
            continue
        opened = folder / f"{package}.part"
        shutil.rmtree(opened, ignore_errors=True)
        opened.mkdir(parents=True)
        try:
            try:
                run([apt, "download", "-q", package], environ=environ, cwd=opened)
            except SetupError:  # its lists may be old, or were never fetched
                run([apt, "update", "-q"], environ=environ)
                run([apt, "download", "-q", package], environ=environ, cwd=opened)
            (archive,) = opened.glob("*.deb")
            run(["dpkg-deb", "--extract", archive, opened / "content"], environ=environ)
            (opened / "content" / "usr" / "bin" / tool).replace(folder / tool)
            say(f"{tool} out of the system's package {package}")
        except (SetupError, OSError, ValueError) as fault:
            say(f"some tests are skipped without {tool}: {str(fault).splitlines()[0]}")
        finally:
            shutil.rmtree(opened, ignore_errors=True)


def digest_of(root: Path) -> str:
    """The digest of what decides which packages are installed."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "uv.lock"):
        content = (root / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def python_tag() -> str:
    """The running Python, as far as a `.venv` depends on it: `cpython-311`."""
    return f"{sys.implementation.cache_tag}{sys.abiflags}"


def stamp_path(root: Path) -> Path:
    """Where the stamp lies."""
    return root / ".venv" / "setup.json"


def read_stamp(root: Path) -> Stamp | None:
    """The stamp of `.venv/`, or None where there is none that can be read."""
    try:
        stamp = Stamp(**json.loads(stamp_path(root).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return stamp if stamp.level in LEVELS else None


def interpreter_starts(root: Path, stamp: Stamp) -> bool:
    """Whether `.venv/bin/python` runs, is the Python of `stamp`, and knows that it stands in `.venv/`."""
    venv = root / ".venv"
    probe = "import sys; print(f'{sys.implementation.cache_tag}{sys.abiflags}', sys.prefix)"
    python = venv / "bin" / "python"
    try:
        answer = subprocess.run([python, "-I", "-c", probe], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return answer.returncode == 0 and answer.stdout.strip() == f"{stamp.python} {venv}"


def is_ready(root: Path, wanted: Stamp) -> bool:
    """Whether nothing is left to do."""
    stamp = read_stamp(root)
    return stamp is not None and stamp.covers(wanted) and interpreter_starts(root, stamp)


def clear(root: Path, wanted: Stamp) -> Stamp:
    """Take away the stamp, and all of `.venv/` unless a finished setup left it; answer the stamp to write."""
    venv = root / ".venv"
    stamp = read_stamp(root)
    stamp_path(root).unlink(missing_ok=True)
    if stamp and stamp[2:] == wanted[2:] and interpreter_starts(root, stamp):
        return wanted._replace(level=max(stamp.level, wanted.level, key=LEVELS.index))
    if venv.is_symlink():
        venv.unlink()
    elif venv.exists():
        shutil.rmtree(venv)
    return wanted


def tamed(environ: Mapping[str, str], root: Path, index: str | None) -> dict[str, str]:
    """`environ` for uv and pip: this checkout, this Python, what this Python trusts, and one index."""
    import ssl

    tame = {name: value for name, value in environ.items() if not STRAY.fullmatch(name)}
    tame |= {"UV_PROJECT_ENVIRONMENT": str(root / ".venv"), "UV_PYTHON_DOWNLOADS": "never"}
    if index:
        tame |= {"UV_DEFAULT_INDEX": index, "PIP_INDEX_URL": index}
    paths = ssl.get_default_verify_paths()  # knows SSL_CERT_FILE and SSL_CERT_DIR too
    trusted = paths.cafile or (paths.capath if paths.capath and any(Path(paths.capath).iterdir()) else None)
    if trusted:  # else each goes by the certificates that it brings along
        tame.setdefault("PIP_CERT", trusted)
        tame.setdefault("UV_SYSTEM_CERTS", "true")
    return tame


def install(uv: Path, root: Path, level: str, index: str | None, environ: Mapping[str, str]) -> None:
    """Let uv install what uv.lock names: mlwright, and for tests what its servers are held against, apart."""
    synchronise(uv, root, root / ".venv", ["--group", "dev"] if level == "test" else [], index, environ)
    if level == "test":
        for peer in ("mlflow", "clients"):
            folder = root / ".venv" / "peers" / peer
            synchronise(uv, root, folder, ["--only-group", peer], index, environ)


def synchronise(
    uv: Path,
    root: Path,
    venv: Path,
    groups: Sequence[str],
    index: str | None,
    environ: Mapping[str, str],
) -> None:
    """Bring one environment to what uv.lock names, from where it says or, if one is configured, `index`."""
    environ = {**environ, "UV_PROJECT_ENVIRONMENT": str(venv)}

    def call(*arguments: str | Path) -> None:
        run([uv, "--no-progress", *arguments], environ=environ, cwd=root)

    if index is None:
        call("sync", "--frozen", "--python", base_python(), *groups)
        return
    # `uv sync` fetches from the addresses in uv.lock, whatever index is set (uv 0.13.9). `uv pip sync` asks
    # the index, and holds what it gets against the hashes of uv.lock.
    requirements = root / ".cache" / "bootstrap" / "requirements.txt"
    call("export", "--frozen", *groups, "--output-file", requirements)
    if not venv.exists():
        call("venv", "--python", base_python(), venv)
    call("pip", "sync", "--python", venv, requirements)


def base_python() -> Path:
    """The Python that runs this, seen through the virtual environment it may run in."""
    base = getattr(sys, "_base_executable", None)
    return Path(base if base and os.access(base, os.X_OK) else os.path.realpath(sys.executable))


def read_locked_uv(root: Path) -> LockedUv:
    """Read which uv pyproject.toml accepts and uv.lock names."""
    import tomllib

    dependencies = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    packages = tomllib.loads((root / "uv.lock").read_text("utf-8"))["package"]
    try:
        (accepted,) = (line[2:].strip() for line in dependencies if re.match(r"uv\s*[<>=!]", line))
        (package,) = (package for package in packages if package["name"] == "uv")
    except ValueError as fault:
        raise SetupError("pyproject.toml and uv.lock must name uv once each", "uv add uv; uv lock") from fault
    wheels = tuple(
        Wheel(file_name(wheel["url"]), wheel["url"], wheel["hash"].removeprefix("sha256:"))
        for wheel in package["wheels"]
    )
    return LockedUv(accepted, package["version"], wheels)


def file_name(url: str) -> str:
    """The last part of the path of `url`."""
    return unquote(urlsplit(url).path.rsplit("/", 1)[-1])


def satisfies(version: str, accepted: str) -> bool:
    """Whether `version` ("0.13.9") lies in `accepted` (">=0.13,<0.14"), which has comparisons only."""

    def numbers(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in re.sub(r"(\.0+)+$", "", text).split("."))

    for clause in accepted.split(","):
        match = re.fullmatch(r"\s*(>=|<=|==|!=|<|>)\s*(\d+(?:\.\d+)*)\s*", clause)
        if match is None:
            raise SetupError(f"pyproject.toml: cannot read uv{accepted}", "write it as uv>=0.13,<0.14")
        if not COMPARE[match[1]](numbers(version), numbers(match[2])):
            return False
    return True


def uv_version(uv: str | Path) -> str | None:
    """The version that `uv` says it has, or None where it does not run."""
    try:
        answer = subprocess.run([uv, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    match = re.match(r"uv (\d+(?:\.\d+)*)", answer.stdout)
    return match[1] if match and answer.returncode == 0 else None


def find_uv(root: Path, locked: LockedUv, index: str | None, environ: Mapping[str, str]) -> tuple[Path, str]:
    """A uv that runs, and where it is from: PATH, an earlier setup, pip, or its wheel."""
    ours = str(root / ".venv")  # never the one in there: the directory may be about to go
    path = [folder for folder in environ.get("PATH", "").split(os.pathsep) if not folder.startswith(ours)]
    found = shutil.which("uv", path=os.pathsep.join(path))
    if found:
        version = uv_version(found)
        if version and satisfies(version, locked.accepted):
            return Path(found), f"uv {version} at {found}"
        trouble = f"is {version}, not {locked.accepted}" if version else "does not run"
        say(f"{found} {trouble}; taking uv {locked.version} instead")

    bootstrap = root / ".cache" / "bootstrap"
    uv = bootstrap / f"uv-{locked.version}" / "uv"
    if uv_version(uv) == locked.version:
        return uv, f"uv {locked.version} of an earlier setup"
    source = "by pip"
    try:
        keep(uv, lambda into: uv_by_pip(bootstrap / "pip", locked, environ, into))
    except SetupError as fault:
        say(f"{str(fault).splitlines()[0]}; fetching the wheel of uv without pip")
        source = "from its wheel"
        wheel = choose_wheel(locked.wheels, this_machine())
        url = find_on_index(index, wheel.name) if index else wheel.url
        keep(uv, lambda into: uv_by_wheel(bootstrap / "wheel.part", wheel, url, index, into))
    if uv_version(uv) != locked.version:
        raise SetupError(f"{uv} does not run", "is the disk of this checkout mounted with noexec?")
    return uv, f"uv {locked.version} {source}"


def uv_by_pip(room: Path, locked: LockedUv, environ: Mapping[str, str], into: Path) -> None:
    """Let pip, in a throw-away environment at `room`, fetch uv; copy its executable to `into`."""
    shutil.rmtree(room, ignore_errors=True)
    try:
        run([base_python(), "-I", "-m", "venv", room], environ=environ)
        hashes = [f"--hash=sha256:{wheel.sha256}" for wheel in locked.wheels]
        (room / "requirements.txt").write_text(" ".join([f"uv=={locked.version}", *hashes]))
        python = room / "bin" / "python"
        limits = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--retries=1", "--timeout=30"]
        source = f"--requirement={room / 'requirements.txt'}"
        run([python, "-I", "-m", "pip", "install", *limits, source], environ=environ)
        shutil.copyfile(room / "bin" / "uv", into)
    finally:
        shutil.rmtree(room, ignore_errors=True)


def uv_by_wheel(part: Path, wheel: Wheel, url: str, index: str | None, into: Path) -> None:
    """Fetch `wheel` from `url` to `part`, check its sha256, and only then unpack the executable to `into`."""
    import zipfile

    try:
        digest = hashlib.sha256()
        with network_faults(url), open_url(url, index) as response, part.open("wb") as file:
            for block in iter(lambda: response.read(1 << 20), b""):
                digest.update(block)
                file.write(block)
        if digest.hexdigest() != wheel.sha256:
            raise SetupError(
                f"{shown(url)} is refused: its sha256 is {digest.hexdigest()}, uv.lock says {wheel.sha256}",
                "an index or a proxy on the way serves another file: ask who runs it, or put a uv on PATH",
            )
        with zipfile.ZipFile(part) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".data/scripts/uv"))
            with archive.open(name) as packed, into.open("wb") as file:
                shutil.copyfileobj(packed, file)
    finally:
        part.unlink(missing_ok=True)


def this_machine() -> Machine:
    """The platform that this Python runs on."""
    import platform

    arch = platform.machine().lower()
    if sys.platform == "darwin":
        major, minor = (*platform.mac_ver()[0].split("."), "0")[:2]
        return Machine("macosx", (int(major), int(minor)), arch)
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        name = version = ""
    if name == "glibc":
        major, minor = version.split(".")[:2]
        return Machine("manylinux", (int(major), int(minor)), arch)
    return Machine("musllinux", (1, 2), arch)  # musl tells Python no version; 1.2 is of 2020


def choose_wheel(wheels: Iterable[Wheel], machine: Machine) -> Wheel:
    """The wheel whose platform tag fits `machine`; of several, the one for the newest system."""
    fitting = {}
    for wheel in wheels:
        for tag in wheel.name.removesuffix(".whl").rsplit("-", 1)[1].split("."):
            match = re.fullmatch(r"([a-z]+)_(\d+)_(\d+)_(\w+)", tag)
            if match and (match[1], match[4]) == (machine.family, machine.arch):
                fitting[int(match[2]), int(match[3])] = wheel
    versions = [version for version in fitting if version <= machine.version]
    if not versions:
        system = f"{machine.family} {machine.version[0]}.{machine.version[1]} {machine.arch}"
        raise SetupError(f"uv.lock names no wheel of uv for {system}", "put a uv of your own on PATH")
    return fitting[max(versions)]


def configured_index(environ: Mapping[str, str], etc: Path = Path("/etc")) -> str | None:
    """The package index that is configured for uv or pip here, if any."""
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if environ.get(name):
            return re.sub(r"^[\w.-]+=(?=\w+:)", "", environ[name])  # uv takes name=url as well
    home = Path(environ.get("HOME") or Path.home())
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    files: list[tuple[Path, Callable[[str], str | None]]] = [
        (Path(environ.get("UV_CONFIG_FILE") or config / "uv" / "uv.toml"), index_of_uv_toml),
        (etc / "uv" / "uv.toml", index_of_uv_toml),
        (Path(environ.get("PIP_CONFIG_FILE") or config / "pip" / "pip.conf"), index_of_pip_conf),
        (home / ".pip" / "pip.conf", index_of_pip_conf),
        (home / "Library" / "Application Support" / "pip" / "pip.conf", index_of_pip_conf),
        (etc / "xdg" / "pip" / "pip.conf", index_of_pip_conf),
        (etc / "pip.conf", index_of_pip_conf),
    ]
    for path, index_of in files:
        try:
            index = index_of(path.read_text("utf-8")) if path.is_file() else None
        except (OSError, ValueError) as fault:
            raise SetupError(f"cannot read {path}: {fault}", "correct it, or move it away") from fault
        if index:
            return index
    return None


def index_of_uv_toml(text: str) -> str | None:
    """The default index of a uv.toml (others only add to it); ValueError for what is not TOML."""
    import tomllib

    settings = tomllib.loads(text)
    defaults = [index["url"] for index in settings.get("index", []) if index.get("default")]
    index: str | None = defaults[0] if defaults else settings.get("index-url")
    return index


def index_of_pip_conf(text: str) -> str | None:
    """The index-url in the global section of a pip.conf; ValueError for what is not one."""
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as fault:
        raise ValueError(str(fault)) from fault
    return parser.get("global", "index-url", fallback=None)


def find_on_index(index: str, name: str) -> str:
    """The address of the file `name` on the simple page, HTML or JSON, that `index` has for uv."""
    import html

    page = index.rstrip("/") + "/uv/" + ("index.html" if index.startswith("file:") else "")
    with network_faults(page), open_url(page, index) as response:
        body = response.read().decode("utf-8")
        if "json" in response.headers.get("Content-Type", ""):
            links = [file["url"] for file in json.loads(body)["files"]]
        else:
            links = [html.unescape(link) for link in re.findall(r"""href\s*=\s*["']([^"']+)""", body)]
        base = response.url
    for link in links:
        if file_name(link) == name:
            return str(urljoin(base, link))
    raise SetupError(f"{shown(page)} has no {name}", "have the index mirror it, or put a uv on PATH")


def open_url(url: str, index: str | None) -> "addinfourl":
    """Open `url` with the login that it carries or, on the same host, `index` does."""
    from base64 import b64encode
    from urllib.request import Request, urlopen

    parts = urlsplit(url)
    accepted = "application/vnd.pypi.simple.v1+json, text/html;q=0.2, */*;q=0.1"
    request = Request(shown(url), headers={"Accept": accepted})
    for source in (parts, urlsplit(index or "")):
        if source.username and (source.hostname, source.port) == (parts.hostname, parts.port):
            login = f"{unquote(source.username)}:{unquote(source.password or '')}"
            # Unredirected: a redirection to another host must not carry it along.
            request.add_unredirected_header("Authorization", "Basic " + b64encode(login.encode()).decode())
            break
    response: addinfourl = urlopen(request, timeout=60)
    return response


def shown(url: str) -> str:
    """`url` without login and fragment."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()


@contextmanager
def network_faults(url: str) -> Iterator[None]:
    """Turn what happens on the way to `url` into a SetupError."""
    from http.client import HTTPException

    try:
        yield
    except (OSError, HTTPException, ValueError, KeyError) as fault:
        hint = f"look at the network, its proxy and SSL_CERT_FILE; {AGAIN}"
        raise SetupError(f"cannot fetch {shown(url)}: {fault}", hint) from fault


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Hold the file `lock`, once every other setup has let go of it."""
    with lock.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another setup of this checkout")
            fcntl.flock(file, fcntl.LOCK_EX)
        # Children hold it too: should this process be killed, the next run waits until its uv is gone.
        os.set_inheritable(file.fileno(), True)
        yield


def keep(uv: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write the executable `uv`, which appears whole or not at all."""
    uv.parent.mkdir(exist_ok=True)
    part = uv.with_name("uv.part")
    fill(part)
    part.chmod(0o755)
    part.replace(uv)


def write_whole(path: Path, text: str) -> None:
    """Write `path`, which appears whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, "utf-8")
    part.replace(path)


def run(command: Sequence[str | Path], *, environ: Mapping[str, str], cwd: Path | None = None) -> None:
    """Run `command` quietly; if it fails, the end of what it said is the message."""
    done = subprocess.run(
        command,
        env=environ,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        close_fds=False,  # the lock is inherited
    )
    if done.returncode:
        said = "".join(f"\n  {line}" for line in done.stdout.strip().splitlines()[-20:])
        # Enough of the command to know it by: `uv sync`, `python -m pip`.
        name = " ".join([Path(command[0]).name, *(str(part) for part in command[1:4] if part != "-I")])
        raise SetupError(f"`{name} ...` ended with status {done.returncode}{said}", AGAIN)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
