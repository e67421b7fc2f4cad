"""Files over HTTP, by hand and by the client's proxy of files."""

import os
from contextlib import contextmanager

from tests.server.conformance.scenario import Session, differs, scenario

_SIGNED = "No store signs addresses here: NOT_IMPLEMENTED, where MLflow's server calls the request wrong."
_NAMES = "Names with backslashes or an encoded NUL are refused."
_PARTS = "Large files go in parts to any store of ours; MLflow's server has no parts for a folder."


@contextmanager
def _variables(**variables: str) -> object:
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]


@scenario(
    "PUT mlflow-artifacts/artifacts/{path}",
    "GET mlflow-artifacts/artifacts/{path}",
    "DELETE mlflow-artifacts/artifacts/{path}",
    "GET mlflow-artifacts/artifacts",
    "GET artifacts/list",
    "GET /get-artifact",
    differs=(
        differs(
            "PUT mlflow-artifacts/artifacts/{path}", _NAMES, "put a%5c..%5cx", "put a/%00", "list afterwards"
        ),
        differs("GET mlflow-artifacts/artifacts/{path}", _NAMES, "get a%5c..%5cx", "get a/%00"),
        differs("GET mlflow-artifacts/artifacts/{path}", "Each refusal has an `error_code`.", "get a folder"),
    ),
)
def files_by_hand(s: Session) -> None:
    """Files are put, listed, read and removed by their paths; paths that lead out are refused."""
    experiment = s.client.create_experiment("files by hand")
    run = s.client.create_run(experiment, run_name="files by hand")
    one = run.info.run_id
    base = run.info.artifact_uri.partition(":/")[2].strip("/")
    path = f"/api/2.0/mlflow-artifacts/artifacts/{base}"
    listed = f"/api/2.0/mlflow/artifacts/list?run_id={one}"

    s.http("put", "PUT", f"{path}/a/b.txt", b"hello")
    s.http("put again", "PUT", f"{path}/a/b.txt", b"hello again")
    s.http("put nothing", "PUT", f"{path}/a/empty.txt", b"")
    s.http("put at top", "PUT", f"{path}/c.json", b'{"a": 1}')
    s.http("get", "GET", f"{path}/a/b.txt")
    s.http("get empty", "GET", f"{path}/a/empty.txt")
    s.http("get nothing", "GET", f"{path}/a/nothing.txt")
    s.http("get a folder", "GET", f"{path}/a")
    s.http("get as clients of 1.x", "GET", f"/get-artifact?run_id={one}&path=a/b.txt")
    s.http("get nothing as clients of 1.x", "GET", f"/get-artifact?run_id={one}&path=a/nothing")
    s.http("list", "GET", listed)
    s.http("list a", "GET", f"{listed}&path=a")
    s.http("list a file", "GET", f"{listed}&path=c.json")
    s.http("list nothing", "GET", f"{listed}&path=nothing")
    s.http("list up", "GET", f"{listed}&path=../x")
    s.http("list encoded up", "GET", f"{listed}&path=%252e%252e/x")
    s.http("list absolute", "GET", f"{listed}&path=/etc")
    s.http("list without a run", "GET", "/api/2.0/mlflow/artifacts/list")
    s.http("list of an unknown run", "GET", f"/api/2.0/mlflow/artifacts/list?run_id={'0' * 32}")
    s.http("list by proxy", "GET", f"/api/2.0/mlflow-artifacts/artifacts?path={base}")
    s.http("list by proxy, a", "GET", f"/api/2.0/mlflow-artifacts/artifacts?path={base}/a")
    s.http("list by proxy, up", "GET", "/api/2.0/mlflow-artifacts/artifacts?path=../..")
    for hostile in ("a/../../../../x", "%2e%2e/%2e%2e/x", "%252e%252e/x", "a%5c..%5cx", "a/%00"):
        s.http(f"put {hostile}", "PUT", f"{path}/{hostile}", b"x")
        s.http(f"get {hostile}", "GET", f"{path}/{hostile}")
    s.http("remove", "DELETE", f"{path}/a/b.txt")
    s.http("remove again", "DELETE", f"{path}/a/b.txt")
    s.http("get removed", "GET", f"{path}/a/b.txt")
    s.http("list afterwards", "GET", f"{listed}&path=a")


@scenario(
    "POST mlflow-artifacts/mpu/create/{path}",
    "POST mlflow-artifacts/mpu/complete/{path}",
    "POST mlflow-artifacts/mpu/abort/{path}",
    differs=(
        differs("POST mlflow-artifacts/mpu/create/{path}", _PARTS, "begin", "begin upwards"),
        differs("POST mlflow-artifacts/mpu/complete/{path}", _PARTS, "complete an unknown one"),
        differs("POST mlflow-artifacts/mpu/abort/{path}", _PARTS, "give up an unknown one"),
    ),
)
def parts_by_hand(s: Session) -> None:
    """A file in parts is begun, sent, put together or given up."""
    experiment = s.client.create_experiment("parts by hand")
    run = s.client.create_run(experiment, run_name="parts")
    base = run.info.artifact_uri.partition(":/")[2].strip("/")
    path = "/api/2.0/mlflow-artifacts/mpu"
    s.http("begin", "POST", f"{path}/create/{base}", {"path": "large.bin", "num_parts": 2})
    s.http("begin without a name", "POST", f"{path}/create/{base}", {"num_parts": 2})
    s.http("begin upwards", "POST", f"{path}/create/{base}", {"path": "../../x", "num_parts": 1})
    s.http(
        "complete an unknown one",
        "POST",
        f"{path}/complete/{base}",
        {"path": "large.bin", "upload_id": "nothing", "parts": []},
    )
    s.http(
        "give up an unknown one",
        "POST",
        f"{path}/abort/{base}",
        {"path": "large.bin", "upload_id": "nothing"},
    )


@scenario(
    "GET mlflow-artifacts/artifacts/{path}",
    "PUT mlflow-artifacts/mpu/parts/{name}/{number}",
    shows=("files in parts (`MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD`)",),
)
def large_file(s: Session) -> None:
    """A file that the client would send in parts comes back byte for byte."""
    import hashlib

    content = os.urandom(12 << 20)
    (s.folder / "large.bin").write_bytes(content)
    s.mlflow.set_experiment("large file")
    with (
        _variables(
            MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD="true",
            MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE=str(6 << 20),
            MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE=str(5 << 20),
        ),
        s.mlflow.start_run(run_name="large") as run,
    ):
        s.mlflow.log_artifact(str(s.folder / "large.bin"), "deep/er")
    one = run.info.run_id
    s.tell("listed", [(each.path, each.file_size) for each in s.client.list_artifacts(one, "deep/er")])
    (s.folder / "down").mkdir()
    down = s.client.download_artifacts(one, "deep/er/large.bin", str(s.folder / "down"))
    from pathlib import Path

    s.tell("the same", hashlib.sha256(Path(down).read_bytes()).digest() == hashlib.sha256(content).digest())


@scenario(
    "GET mlflow-artifacts/presigned/{path}",
    "POST artifacts/presigned-download-url",
    "POST artifacts/presigned-upload-url",
    differs=(
        differs("POST artifacts/presigned-download-url", _SIGNED, "download"),
        differs("POST artifacts/presigned-upload-url", _SIGNED, "upload"),
    ),
)
def signed_places(s: Session) -> None:
    """Addresses that are signed for a store in the cloud are not handed out for a folder."""
    experiment = s.client.create_experiment("signed places")
    run = s.client.create_run(experiment, run_name="signed")
    base = run.info.artifact_uri.partition(":/")[2].strip("/")
    body = {"run_id": run.info.run_id, "path": "x.bin"}
    s.http("presigned", "GET", f"/api/2.0/mlflow-artifacts/presigned/{base}/x.bin")
    s.http("download", "POST", "/api/2.0/mlflow/artifacts/presigned-download-url", body)
    s.http("upload", "POST", "/api/2.0/mlflow/artifacts/presigned-upload-url", body)
