"""Files over MLflow's protocol: by its own client, and by requests that no client of good will sends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from mlwright.app import Project
from mlwright.kernel.digest import digest_of
from tests.conftest import PYPROJECT, lock_project, write
from tests.mlflow import run_client
from tests.processes import until
from tests.server.conftest import API, Answered, Up

FILES = "/api/2.0/mlflow-artifacts/artifacts"
MPU = "/api/2.0/mlflow-artifacts/mpu"
MIB = 1 << 20
STEPS = {
    "pipelines/p.py": '''
        from pathlib import Path

        from mlwright import log_artifact, pipeline, step

        @step
        def first() -> dict[str, int]:
            Path("note.txt").write_text("noted")
            log_artifact(Path("note.txt"), "notes/note.txt")
            log_artifact("first said this", "said")
            return {"a": 1}

        @step
        def second(x: dict[str, int]) -> bytes:
            log_artifact("second said that", "said")
            return b"b" * 10_000

        @step
        def third(x: dict[str, int]) -> Path:
            folder = Path("out")
            (folder / "in").mkdir(parents=True)
            (folder / "in" / "f.txt").write_text("deep")
            (folder / "g").write_text("gg")
            return folder

        @pipeline
        def made():
            """Makes and logs things."""
            x = first()
            second(x)
            third(x)
    '''
}


def root_of(up: Up, run: str) -> str:
    """Where the files of a run are, as a path."""
    uri = up.get("runs/get", run_id=run).json["run"]["info"]["artifact_uri"]
    assert uri.startswith("mlflow-artifacts:/")
    return f"{FILES}/{uri.removeprefix('mlflow-artifacts:/')}"


def put(up: Up, path: str, data: bytes = b"x") -> Answered:
    """Store a file."""
    return up.ask("PUT", path, data, {"content-type": "application/octet-stream"})


def names(up: Up, root: str) -> list[str]:
    """What lies in a folder."""
    answered = up.ask("GET", f"{FILES}?path={quote(root.removeprefix(FILES + '/'))}")
    assert answered.status == 200, answered.body
    return [each["path"] for each in answered.json.get("files", [])]


def listed_of(up: Up, run: str, path: str, by: str = "run_id") -> Answered:
    """What lies in a folder of a run."""
    return up.ask("GET", f"{API}artifacts/list?{by}={run}&path={quote(path)}")


def begun(up: Up, path: str, size: int) -> socket.socket:
    """A connection on which a file of some size has begun to come, and no more."""
    connection = socket.create_connection((up.host, up.port))
    head = f"PUT {path} HTTP/1.1\r\nHost: {up.host}:{up.port}\r\nContent-Length: {size}\r\n\r\n"
    connection.sendall(head.encode() + b"x" * min(size, 5 * MIB))
    return connection


def incoming(project: Path) -> list[str]:
    """What is on its way into the store."""
    folder = project / ".mlwright" / "objects" / "incoming"
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def most_mib(up: Up) -> float:
    """How much memory the server had at its peak."""
    told = Path(f"/proc/{up.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", told)
    assert found is not None
    return int(found[1]) / 1024


@pytest.fixture(scope="module")
def run(up: Up) -> str:
    """A run that a client reports."""
    return up.run()


@pytest.fixture
def root(up: Up) -> str:
    """Where the files of a new run are."""
    return root_of(up, up.run())


def test_what_the_client_logs_it_finds_again(up: Up, tmp_path: Path) -> None:
    """Texts, JSON, tables, figures and folders: listed with their sizes, and got as they were."""
    done = run_client(
        """
        import json, tempfile
        from pathlib import Path

        import matplotlib
        matplotlib.use("agg")
        import matplotlib.pyplot as plt
        import mlflow

        folder = Path(tempfile.mkdtemp())
        (folder / "sub" / "deeper").mkdir(parents=True)
        (folder / "empty").write_bytes(b"")
        (folder / "sub" / "deeper" / "big.bin").write_bytes(bytes(range(256)) * 20_000)
        figure, axes = plt.subplots()
        axes.plot([1, 2])
        with mlflow.start_run() as run:
            mlflow.log_text("안녕, wörld", "texts/über uns.txt")
            mlflow.log_dict({"a": [1, 2]}, "d/e/f.json")
            mlflow.log_table({"x": [1, 2], "y": ["a", "b"]}, "table.json")
            mlflow.log_table({"x": [3], "y": ["c"]}, "table.json")
            mlflow.log_figure(figure, "plots/line.png")
            mlflow.log_artifacts(str(folder), "all")
            mlflow.log_artifact(str(folder / "empty"), "again")
            mlflow.log_artifact(str(folder / "sub" / "deeper" / "big.bin"))
        uri, client = run.info.artifact_uri, mlflow.MlflowClient()

        def listed(path=""):
            found = mlflow.artifacts.list_artifacts(artifact_uri=uri + path)
            return [[each.path.rpartition("/")[2], each.is_dir, each.file_size] for each in found]

        local = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
        got = [str(path.relative_to(local)) for path in local.rglob("*") if path.is_file()]
        print(json.dumps({
            "top": listed(), "sub": listed("/all/sub"),
            "file": listed("/table.json"), "none": listed("/nowhere"),
            "of run": [each.path for each in client.list_artifacts(run.info.run_id, "all/sub")],
            "text": mlflow.artifacts.load_text(uri + "/texts/über uns.txt"),
            "dict": mlflow.artifacts.load_dict(uri + "/d/e/f.json"),
            "table": mlflow.load_table("table.json", [run.info.run_id]).to_dict("list"),
            "image": mlflow.artifacts.load_image(uri + "/plots/line.png").format,
            "same": (local / "all/sub/deeper/big.bin").read_bytes() == bytes(range(256)) * 20_000,
            "got": got,
        }))
        """,
        up.url,
        tmp_path,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    folders = [[name, True, None] for name in ("again", "all")]
    assert told["top"][:2] == folders
    assert told["top"][2] == ["big.bin", False, 5_120_000]
    assert [name for name, _, _ in told["top"][3:]] == ["d", "plots", "table.json", "texts"]
    assert told["sub"] == [["deeper", True, None]]
    assert told["file"] == told["none"] == []
    assert told["of run"] == ["all/sub/deeper"]
    assert told["text"] == "안녕, wörld"
    assert told["dict"] == {"a": [1, 2]}
    assert told["table"] == {"x": [1, 2, 3], "y": ["a", "b", "c"]}
    assert told["image"] == "PNG"
    assert told["same"]
    assert set(told["got"]) == {
        *("texts/über uns.txt", "d/e/f.json", "table.json", "plots/line.png", "all/empty", "big.bin"),
        *("all/sub/deeper/big.bin", "again/empty"),
    }


@pytest.mark.parametrize("way", ["stream", "parts"])
def test_a_large_file_passes_through_little_memory(
    start: Callable[..., Up], tmp_path: Path, way: str
) -> None:
    """100 MiB, whole or in parts of which several come at once: sent by the client, and got again."""
    up = start("--port", "0")
    up.get("experiments/search", max_results=1)
    before = most_mib(up)

    done = run_client(
        """
        import hashlib, os, sys
        from pathlib import Path

        if sys.argv[1] == "parts":
            os.environ["MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE"] = str(50 << 20)
        import mlflow

        block = os.urandom(1 << 20)
        sent, got = hashlib.sha256(), hashlib.sha256()
        with Path("large.bin").open("wb") as file:
            for number in range(100):
                each = bytes([number]) + block[1:]
                sent.update(each)
                file.write(each)
        with mlflow.start_run() as run:
            mlflow.log_artifact("large.bin", "models")
        uri = run.info.artifact_uri + "/models/large.bin"
        with open(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path="."), "rb") as file:
            while data := file.read(1 << 20):
                got.update(data)
        print(sent.hexdigest() == got.hexdigest(), run.info.artifact_uri)
        """,
        up.url,
        tmp_path,
        way,
    )

    assert done.returncode == 0, done.stderr
    same, uri = done.stdout.splitlines()[-1].split()
    assert same == "True"
    assert names(up, f"{FILES}/{uri.removeprefix('mlflow-artifacts:/')}/models") == ["large.bin"]
    assert most_mib(up) - before < 40
    left = incoming(tmp_path / "small")
    assert len(left) == (1 if way == "parts" else 0)  # where it was put together waits for who asks again


@pytest.mark.parametrize("size", [0, 5, 4096, 4097, 3 * MIB + 5])
def test_a_part_of_a_file_is_got(up: Up, root: str, size: int) -> None:
    """By a range of bytes, as HTTP has it: what lies in the file; else all of it, or none."""
    data = os.urandom(size)
    assert put(up, f"{root}/file.bin", data).status == 200

    def got(asked: str, **headers: str) -> tuple[int, bytes, str]:
        answered = up.ask("GET", f"{root}/file.bin", headers={"range": asked, **headers})
        return answered.status, answered.body, answered.headers.get("content-range", "")

    whole = up.ask("GET", f"{root}/file.bin")
    assert (whole.status, whole.body) == (200, data)
    assert whole.headers["etag"] == f'"{digest_of(data)}"'
    assert whole.headers["content-disposition"] == "attachment; filename=file.bin"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert got("bytes=9-2") == got("lines=1-2") == got("bytes=0-1,3-4") == got("bytes=-") == (200, data, "")
    assert got(f"bytes={size}-") == got("bytes=-0") == (416, b"", f"bytes */{size}")
    if size:
        assert got("bytes=0-0") == (206, data[:1], f"bytes 0-0/{size}")
        assert got("bytes=1-") == (206, data[1:], f"bytes 1-{size - 1}/{size}")
        assert got("bytes=-3") == (206, data[-3:], f"bytes {size - 3}-{size - 1}/{size}")
        assert got(f"bytes=2-{10**17}") == (206, data[2:], f"bytes 2-{size - 1}/{size}")
        assert got("bytes=0-0", **{"if-range": '"other"'}) == (200, data, "")
    again = up.ask("GET", f"{root}/file.bin", headers={"if-none-match": whole.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("name", ["ö.txt", 'a"b.txt', "a b", "한글", "emoji 👩‍🔬", "a;b", "a,b", "100%"])
def test_any_name_is_kept(up: Up, root: str, name: str) -> None:
    """In the list, and in what a browser would call the file."""
    assert put(up, f"{root}/{quote(name)}").status == 200

    assert names(up, root) == [name]
    told = up.ask("GET", f"{root}/{quote(name)}").headers["content-disposition"]
    assert told == f"attachment; filename*=UTF-8''{quote(name, safe='')}"


HOSTILE = {
    "above": "../../../../etc/passwd",
    "above, encoded": "%2e%2e/%2e%2e/etc/passwd",
    "above, encoded twice": "%252e%252e/%252e%252e/etc/passwd",
    "above, encoded often": "%2525252e%2525252e%2525252fetc",
    "above, its slash encoded": "..%2f..%2fetc%2fpasswd",
    "encoded without end": "%" + "25" * 40 + "2e",
    "absolute": "/etc/passwd",
    "absolute, encoded": "%2fetc%2fpasswd",
    "a drive": "C:/windows/win.ini",
    "a drive, backslashes": "C:%5cwindows",
    "backslashes": "..%5c..%5cetc",
    "NUL": "a%00b",
    "NUL, encoded twice": "a%2500b",
    "a line break": "a%0ab",
    "two slashes": "a//b",
    "here": "a/./b",
    "a slash at the end": "a/",
    "not UTF-8": "%ff%fe",
    "not UTF-8, encoded twice": "%25ff",
    "half a pair": "%ed%a0%80",
    "10,000 letters": "x" * 10_000,
    "a long name": "x" * 256,
    "a fragment": "a%23b",
    "a file URL": "file:///etc/passwd",
}


@pytest.mark.parametrize("path", HOSTILE.values(), ids=HOSTILE)
def test_a_path_that_leads_elsewhere_is_refused(up: Up, root: str, path: str) -> None:
    """Whatever is asked of it, in MLflow's words, in one line; and nothing is stored."""
    run = root.split("/")[-2]
    sent = f"{root}/{path}"
    body = json.dumps({"path": "f", "num_parts": 1})
    answered = [
        put(up, sent),
        up.ask("GET", sent),
        up.ask(
            "POST",
            f"{MPU}/create/{sent.removeprefix(FILES + '/')}/x",
            body,
            {"content-type": "application/json"},
        ),
        up.ask("GET", f"/get-artifact?run_uuid={run}&path={path.replace('&', '%26')}"),
    ]

    for each in answered:
        assert 400 <= each.status < 500, (each.status, each.body)
        assert each.json["error_code"] in {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}
        assert "\n" not in each.message
        assert len(each.message) < 400
        assert "root:" not in each.message
    assert answered[0].refused == (400, "INVALID_PARAMETER_VALUE")
    assert names(up, root) == []


@pytest.mark.parametrize(
    "path", ["../../etc", "%2e%2e", "%252e%252e", "/etc", "a//b", "a\\b", "C:/", "a%00", "%ff", "x" * 10_000]
)
def test_a_folder_elsewhere_is_not_listed(up: Up, run: str, path: str) -> None:
    """Neither by its place, nor as one of a run."""
    for answered in (
        listed_of(up, run, path),
        up.ask("GET", f"{FILES}?path={quote(path)}"),
        up.ask("DELETE", f"{FILES}/{quote(path)}"),
    ):
        assert answered.refused == (400, "INVALID_PARAMETER_VALUE"), (answered.status, answered.body)


def test_what_is_no_run_has_no_files(up: Up, run: str) -> None:
    """To store there is refused with what is lacking; to list shows nothing, as MLflow's server does."""
    unknown = put(up, f"{FILES}/0/nobody/artifacts/a")
    elsewhere = put(up, f"{FILES}/1/{run}/artifacts/a")
    nowhere = put(up, f"{FILES}/a.txt")

    assert unknown.refused == elsewhere.refused == (404, "RESOURCE_DOES_NOT_EXIST")
    assert "there is no run 'nobody' in experiment '0'" in unknown.message
    assert nowhere.refused == (400, "INVALID_PARAMETER_VALUE")
    assert "EXPERIMENT/RUN/artifacts" in nowhere.message
    assert names(up, f"{FILES}/0/nobody/artifacts") == []
    assert up.get("artifacts/list", run_id="nobody").refused == (404, "RESOURCE_DOES_NOT_EXIST")


def test_a_file_is_no_folder(up: Up, root: str) -> None:
    """Each refuses to become the other, and a folder cannot be got as a file."""
    put(up, f"{root}/a")
    put(up, f"{root}/b/c")

    assert put(up, f"{root}/a/b").refused == (400, "INVALID_PARAMETER_VALUE")
    assert put(up, f"{root}/b").refused == (400, "INVALID_PARAMETER_VALUE")
    folder, nothing = up.ask("GET", f"{root}/b"), up.ask("GET", f"{root}/nothing")
    assert folder.refused == (400, "INVALID_PARAMETER_VALUE")
    assert "is a folder, and no file" in folder.message
    assert nothing.refused == (404, "RESOURCE_DOES_NOT_EXIST")
    assert names(up, root) == ["a", "b"]


def test_files_are_deleted(up: Up, root: str) -> None:
    """One, a folder, all of a run; and what is not there, as MLflow's server does."""
    for path in ("a", "b/c", "b/d/e", "f"):
        put(up, f"{root}/{path}")

    assert up.ask("DELETE", f"{root}/a").json == {}
    after_file = names(up, root)
    assert up.ask("DELETE", f"{root}/b").json == up.ask("DELETE", f"{root}/b").json == {}
    after_folder = names(up, root)
    assert up.ask("DELETE", f"{root}/").json == {}

    assert (after_file, after_folder, names(up, root)) == (["b", "f"], ["f"], [])


def test_files_of_a_run_are_told_with_their_paths(up: Up, root: str) -> None:
    """By the run's id, new or old, in a folder or on top; and got in the way of old clients."""
    put(up, f"{root}/a", b"one")
    put(up, f"{root}/b/c.txt", b"three")
    run = root.split("/")[-2]

    top = up.get("artifacts/list", run_id=run).json
    inside = listed_of(up, run, "b/", by="run_uuid").json
    file = up.ask("GET", f"/get-artifact?run_uuid={run}&path=b/c.txt")

    assert top == {
        "root_uri": f"mlflow-artifacts:/0/{run}/artifacts",
        "files": [{"path": "a", "is_dir": False, "file_size": 3}, {"path": "b", "is_dir": True}],
    }
    assert inside["files"] == [{"path": "b/c.txt", "is_dir": False, "file_size": 5}]
    assert "files" not in listed_of(up, run, "nowhere").json
    assert (file.status, file.body) == (200, b"three")
    assert up.ask("GET", f"/get-artifact?run_id={run}").refused == (400, "INVALID_PARAMETER_VALUE")
    for token in ("garbage!", "AAAA", "/w==", "한"):
        refused = up.get("artifacts/list", run_id=run, page_token=token)
        assert refused.refused == (400, "INVALID_PARAMETER_VALUE")


def test_nobody_signs_urls(up: Up, root: str) -> None:
    """It is said as MLflow's server says it of a store on a disk, so that clients take the plain way."""
    place = root.removeprefix(FILES + "/")
    json_type = {"content-type": "application/json"}

    for answered in (
        up.ask("GET", f"/api/2.0/mlflow-artifacts/presigned/{place}/a"),
        up.ask("POST", f"{API}artifacts/presigned-upload-url", "{}", json_type),
        up.ask("POST", f"{API}artifacts/presigned-download-url", "{}", json_type),
    ):
        assert answered.refused == (501, "NOT_IMPLEMENTED")


def mpu(up: Up, verb: str, root: str, **asked: object) -> Answered:
    """Begin, complete or abort a file in parts."""
    path = f"{MPU}/{verb}/{root.removeprefix(FILES + '/')}"
    return up.ask("POST", path, json.dumps(asked), {"content-type": "application/json"})


def test_parts_are_put_together_once_all_are_there(up: Up, root: str) -> None:
    """Sent to this server, in any order; the name is the last part of the client's path, of any system."""
    made = mpu(up, "create", f"{root}/folder", path="C:\\me\\large.bin", num_parts=2).json
    name = made["upload_id"]
    addresses = [each["url"].removeprefix(up.url) for each in made["credentials"]]
    second = up.ask("PUT", addresses[1], b"b" * MIB)
    early = mpu(
        up,
        "complete",
        f"{root}/folder",
        path="large.bin",
        upload_id=name,
        parts=[{"part_number": 2, "etag": second.headers["etag"]}],
    )
    before = names(up, root)
    first = up.ask("PUT", addresses[0], b"a" * MIB)
    parts = [{"part_number": n, "etag": each.headers["etag"]} for n, each in ((1, first), (2, second))]

    done = mpu(up, "complete", f"{root}/folder", path="large.bin", upload_id=name, parts=parts)
    again = mpu(up, "complete", f"{root}/folder", path="large.bin", upload_id=name, parts=parts)

    assert [each["part_number"] for each in made["credentials"]] == [1, 2]
    assert early.refused == (400, "INVALID_PARAMETER_VALUE")
    assert "part 1 of 2 is missing" in early.message
    assert before == []
    assert (done.json, again.json) == ({}, {})
    assert up.ask("GET", f"{root}/folder/large.bin").body == b"a" * MIB + b"b" * MIB


def test_parts_that_are_aborted_leave_nothing(up: Up, root: str, project: Path) -> None:
    """Neither on the disk nor in the list, and later parts are refused."""
    made = mpu(up, "create", root, path="f", num_parts=2).json
    address = made["credentials"][0]["url"].removeprefix(up.url)
    up.ask("PUT", address, b"a" * MIB)
    there = f"parts-{made['upload_id']}" in incoming(project)

    aborted = mpu(up, "abort", root, path="f", upload_id=made["upload_id"])

    assert there
    assert aborted.json == {}
    assert f"parts-{made['upload_id']}" not in incoming(project)
    assert up.ask("PUT", address, b"late").refused == (404, "RESOURCE_DOES_NOT_EXIST")
    assert names(up, root) == []


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"num_parts": 2}, "path"),
        ({"path": "", "num_parts": 2}, "path"),
        ({"path": "f", "num_parts": 0}, "1 to 10,000 parts"),
        ({"path": "f", "num_parts": 10_001}, "1 to 10,000 parts"),
        ({"path": "f", "num_parts": 2**63}, "num_parts"),
        ({"path": "f", "num_parts": "many"}, "num_parts"),
        ({"path": "a/..", "num_parts": 1}, "leads to another folder"),
        ({"path": "a\x00b", "num_parts": 1}, "NUL"),
    ],
)
def test_parts_that_make_no_file_are_refused(up: Up, root: str, asked: dict[str, object], why: str) -> None:
    """Before anything is sent; the field is named."""
    answered = mpu(up, "create", root, **asked)

    assert answered.refused == (400, "INVALID_PARAMETER_VALUE")
    assert why in answered.message


def test_a_client_that_goes_away_leaves_nothing(up: Up, root: str, project: Path) -> None:
    """In the middle of a file: it is not listed, not on the disk, and the server goes on."""
    with begun(up, f"{root}/f", 50 * MIB):
        until(lambda: incoming(project))

    until(lambda: not [name for name in incoming(project) if not name.startswith("parts-")])
    assert names(up, root) == []
    assert put(up, f"{root}/f", b"whole").status == 200


def test_a_server_that_is_killed_leaves_nothing_to_be_seen(start: Callable[..., Up], tmp_path: Path) -> None:
    """What was acknowledged is there, what was on its way is not; and it can be sent again."""
    up = start("--port", "0")
    root = root_of(up, up.run())
    put(up, f"{root}/whole", b"w" * MIB)
    with begun(up, f"{root}/half", 50 * MIB):
        until(lambda: incoming(tmp_path / "small"))
        up.signal(signal.SIGKILL)
        up.ended()

    again = start("--port", "0")

    assert names(again, root) == ["whole"]
    assert again.ask("GET", f"{root}/whole").body == b"w" * MIB
    assert put(again, f"{root}/half", b"h" * MIB).status == 200
    assert names(again, root) == ["half", "whole"]


def test_a_body_that_cannot_be_kept_is_refused(up: Up, root: str) -> None:
    """One that says it is larger than the disk, and one that is encoded; before it is sent, and clearly."""
    with begun(up, f"{root}/f", 10**17) as connection:
        told = connection.recv(65536).decode()
    encoded = up.ask("PUT", f"{root}/f", b"x", {"content-encoding": "gzip"})

    assert told.startswith("HTTP/1.1 413")
    assert '"RESOURCE_EXHAUSTED"' in told
    assert "the disk is full" in told
    assert encoded.refused == (400, "INVALID_PARAMETER_VALUE")
    assert names(up, root) == []


@pytest.mark.parametrize("disk", ["32m"], indirect=True)
def test_a_full_disk_is_said(disk: Path) -> None:
    """As no fault of the server's, at once; nothing of the file is kept, and with room it is taken."""
    project = write(disk / "small", {"pyproject.toml": PYPROJECT})
    up = Up(project)
    try:
        root = root_of(up, up.run())
        data = b"x" * 20 * MIB
        (project / "ballast").write_bytes(b"b" * 16 * MIB)
        connection = up.connect()
        blocks = (data[at : at + MIB] for at in range(0, len(data), MIB))
        connection.request("PUT", f"{root}/f", blocks, {"transfer-encoding": "chunked"}, encode_chunked=True)
        response = connection.getresponse()
        told = json.loads(response.read())
        connection.close()
        left = incoming(project)
        (project / "ballast").unlink()
        again = put(up, f"{root}/f", data)
    finally:
        up.close()

    assert (response.status, told["error_code"]) == (413, "RESOURCE_EXHAUSTED")
    assert told["message"].startswith("the disk is full: ")
    assert left == []
    assert again.status == 200


def test_a_run_of_ours_has_what_its_steps_made(tmp_path: Path) -> None:
    """To the client it is a run with files: listed, downloaded, and not to be changed."""
    folder = write(tmp_path / "small", {"pyproject.toml": PYPROJECT, **STEPS})
    with Project.open(folder) as project:
        lock_project(project)
        made = project.run("made")
    up = Up(folder)
    try:
        done = run_client(
            """
            import json, sys
            from pathlib import Path

            import mlflow

            run = mlflow.MlflowClient().get_run(sys.argv[1])
            local = Path(mlflow.artifacts.download_artifacts(artifact_uri=run.info.artifact_uri))
            files = [path for path in local.rglob("*") if path.is_file()]
            got = {str(path.relative_to(local)): path.read_text() for path in files}
            try:
                mlflow.MlflowClient().log_text(run.info.run_id, "x", "mine.txt")
            except Exception as error:
                print(json.dumps({"got": got, "refused": str(error)}))
            """,
            up.url,
            tmp_path,
            made.id,
        )
        root = root_of(up, made.id)
        deleted = up.ask("DELETE", f"{root}/said")
        folder_asked = up.ask("GET", f"{root}/outputs/third/result")
        missing = up.ask("GET", f"{root}/outputs/none")
    finally:
        up.close()

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["got"] == {
        "notes/note.txt": "noted",
        "said": "first said this",
        "second/said": "second said that",
        "outputs/first/result.json": '{"a":1}',
        "outputs/second/result.bin": "b" * 10_000,
        "outputs/third/result/in/f.txt": "deep",
        "outputs/third/result/g": "gg",
    }
    assert "one of ours: what it made can be read, and not changed" in told["refused"]
    assert deleted.refused == (400, "INVALID_PARAMETER_VALUE")
    assert folder_asked.refused == (400, "INVALID_PARAMETER_VALUE")
    assert missing.refused == (404, "RESOURCE_DOES_NOT_EXIST")
