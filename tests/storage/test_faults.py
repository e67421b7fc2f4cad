"""A bucket on a bad day: everything comes back right, or fails with one clear message."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlwright.kernel.digest import digest_of
from mlwright.kernel.errors import Conflict, Corrupt, NotFound, Unavailable
from mlwright.storage import Objects
from mlwright.storage.address import parse_address
from mlwright.storage.bucket import PART_BYTES, Bucket
from mlwright.storage.remotes import BucketRecords
from mlwright.storage.retrying import RetryingObjects, Transient
from mlwright.storage.s3 import S3Objects
from tests.exams.objects import digests_in
from tests.processes import start_python, until
from tests.s3 import KEY, SECRET, Place
from tests.storage.faulty import ANYTHING, LEAKED, Fault, FaultyProxy
from tests.storage.test_s3 import key_of

LARGE = 2 * PART_BYTES + 12_345


def through(s3: Place, proxy: FaultyProxy, folder: Path) -> Objects:
    """A store behind a proxy, as a project has it, but impatient."""
    return RetryingObjects(S3Objects(s3.bucket(proxy.url, stall_s=0.5), folder), pause_s=0.01)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_fifth_of_all_requests_failing_changes_nothing(s3: Place, tmp_path: Path, seed: int) -> None:
    """Errors, stalls, cut-off bodies, flipped bits both ways: what is put is there, what is got is right."""
    small = [os.urandom(size) for size in (0, 1, 1000, 60_000, 300_000)]
    large = tmp_path / "large"
    large.write_bytes(os.urandom(LARGE))

    with FaultyProxy(s3.server.port, share=0.2, faults=ANYTHING, seed=seed) as proxy:
        objects = through(s3, proxy, tmp_path / "one")
        digests = [objects.put(data).digest for data in small]
        of_large = objects.put(large).digest
        another = through(s3, proxy, tmp_path / "two")
        read = [another.get(digest) for digest in digests * 4]
        path = another.path(of_large)

    assert read == small * 4
    assert digest_of(path.read_bytes()) == of_large
    assert digests_in(S3Objects(s3.bucket(), tmp_path)) == sorted([*digests, of_large])
    assert sum(proxy.met.values()) > len(proxy.requests) / 10


@pytest.mark.parametrize("fault", ["500", "503", "stall", "truncate", "flip"])
def test_each_fault_alone_is_overcome(s3: Place, tmp_path: Path, fault: Fault) -> None:
    """Every third request or so meets it, and the answers are right all the same."""
    data = os.urandom(10_000)
    with FaultyProxy(s3.server.port, share=0.4, faults=[fault], seed=3) as proxy:
        objects = through(s3, proxy, tmp_path)

        digest = objects.put(data).digest
        read = [objects.get(digest) for _ in range(6)] + [objects.path(digest).read_bytes()]

    assert read == [data] * 7
    assert proxy.met[fault]


@pytest.mark.parametrize("size", [1000, LARGE])
def test_bits_that_flip_on_their_way_to_the_server_are_found_out(
    s3: Place, tmp_path: Path, size: int
) -> None:
    """A server that does not compare checksums itself tells one that is not ours: it is sent again."""
    file = tmp_path / "file"
    file.write_bytes(os.urandom(size))
    with FaultyProxy(s3.server.port, share=1.0, most=4, faults=["flip upload"], only=["PUT"]) as proxy:
        objects = through(s3, proxy, tmp_path / "local")

        for _ in range(3):
            digest = objects.put(file).digest
            assert S3Objects(s3.bucket(), tmp_path / "other").get(digest) == file.read_bytes()
            S3Objects(s3.bucket(), tmp_path / "other").remove(digest)

    assert proxy.met["flip upload"] == 4


def test_a_text_that_flips_on_its_way_is_sent_again(s3: Place) -> None:
    """What has no digest in its name, as the record of a version, is held against the server's checksum."""
    text = b'{"format": 1}'
    with FaultyProxy(s3.server.port, share=1.0, most=3, faults=["flip upload"], only=["PUT"]) as proxy:
        BucketRecords(s3.bucket(proxy.url)).write("datasets/a/1.json", text)

    assert proxy.met["flip upload"] == 3
    assert s3.bucket().read("datasets/a/1.json") == text


def test_the_checksums_of_an_encrypted_bucket_are_no_fault(s3: Place) -> None:
    """They look like ours and never agree: once that is seen, they are compared no longer."""
    with FaultyProxy(s3.server.port, share=0.0, encrypted=True) as proxy:
        BucketRecords(s3.bucket(proxy.url)).write("datasets/a/1.json", b"{}")
        bucket = s3.bucket(proxy.url)
        read = [BucketRecords(bucket).read("datasets/a/1.json") for _ in range(2)]

    assert read == [b"{}"] * 2
    assert sum(line.startswith("GET") for line in proxy.requests) == 4  # the second reading asks once


def test_bits_that_always_flip_leave_nothing(s3: Place, tmp_path: Path) -> None:
    """When no try arrives as it was sent, put says so, and the wrong bytes are taken away."""
    with FaultyProxy(s3.server.port, share=1.0, faults=["flip upload"], only=["PUT"]) as proxy:
        objects = through(s3, proxy, tmp_path)

        with pytest.raises(Transient, match="did not reach") as raised:
            objects.put(os.urandom(1000))

    assert raised.value.exit_code == 6
    assert digests_in(S3Objects(s3.bucket(), tmp_path)) == []


def test_a_server_that_only_answers_wrong_bytes_is_never_believed(s3: Place, tmp_path: Path) -> None:
    """Tries come to an end, and then it is Corrupt, with the digest."""
    digest = S3Objects(s3.bucket(), tmp_path / "one").put(b"right" * 1000).digest
    with FaultyProxy(s3.server.port, share=1.0, faults=["flip"], only=["GET"]) as proxy:
        objects = through(s3, proxy, tmp_path / "two")

        for read in (objects.get, objects.path):
            with pytest.raises(Corrupt, match=digest[:12]):
                read(digest)


@pytest.mark.parametrize(
    ("fault", "message", "hint"),
    [
        ("expired", "have expired", "sign in anew"),
        ("denied", "access to s3://.* is denied", "list, read, write and delete"),
    ],
)
def test_credentials_that_are_not_accepted_are_not_tried_again(
    s3: Place, tmp_path: Path, fault: Fault, message: str, hint: str
) -> None:
    """Expired or denied: one message with what to do, exit code 6, at the first answer."""
    digest = S3Objects(s3.bucket(), tmp_path).put(b"there").digest
    with FaultyProxy(s3.server.port, share=1.0, faults=[fault]) as proxy:
        objects = through(s3, proxy, tmp_path)
        asked = [
            lambda: objects.get(digest),
            lambda: objects.path(digest),
            lambda: objects.put(b"new"),
            lambda: objects.renew(digest),
            lambda: list(objects),
            lambda: objects.remove(digest),
        ]
        for ask in asked:
            with pytest.raises(Unavailable, match=message) as raised:
                ask()
            assert raised.value.exit_code == 6
            assert hint in (raised.value.hint or "")
            shown = "".join(traceback.format_exception(raised.value))
            assert not {word for word in (KEY, SECRET, LEAKED) if word in shown + raised.value.render()}

    assert len(proxy.requests) <= 2 * len(asked)


@pytest.mark.parametrize(
    ("variables", "query", "message"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "x" * 40}, "", "refuses the credentials: SignatureDoesNotMatch"),
        ({"AWS_ACCESS_KEY_ID": "AKIANOBODYNOBODYNOBO"}, "", "refuses the credentials: InvalidAccessKeyId"),
        ({}, "endpoint=http://127.0.0.1:1", "cannot be reached: the connection is refused"),
        ({}, "endpoint=http://nowhere.invalid", "cannot be reached: no such host"),
    ],
)
def test_what_is_set_wrongly_is_said_in_one_message(
    s3: Place, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], query: str, message: str
) -> None:
    """A wrong key, a server that is not there: exit code 6, a hint, and no secret in what is said."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    bucket = Bucket(parse_address(f"{s3.url}?{query}" if query else s3.url), retries=1)

    for ask in (lambda: bucket.head("x"), lambda: bucket.write("x", b"1")):
        with pytest.raises(Unavailable, match=message) as raised:
            ask()
        text = raised.value.render() + repr(raised.value.__cause__)
        assert raised.value.exit_code == 6
        assert raised.value.hint
        assert SECRET not in text
        assert KEY not in text
        assert variables.get("AWS_ACCESS_KEY_ID", SECRET) not in text


def test_a_bucket_that_is_not_there_is_named(s3: Place, tmp_path: Path) -> None:
    """Exit code 6: whoever put a name in the settings meant a bucket that is there."""
    objects = S3Objects(Bucket(parse_address("s3://no-such-bucket/x")), tmp_path)

    for ask in (lambda: objects.put(b"x"), lambda: objects.get(digest_of(b"x"))):
        with pytest.raises(Unavailable, match="there is no bucket no-such-bucket") as raised:
            ask()
        assert raised.value.hint


def test_a_read_that_was_cut_off_goes_on_where_it_was(s3: Place, tmp_path: Path) -> None:
    """What came of a large object stays in `incoming`; the next try asks for the rest only."""
    data = os.urandom(4 * PART_BYTES)
    file = tmp_path / "file"
    file.write_bytes(data)
    digest = S3Objects(s3.bucket(), tmp_path / "one").put(file).digest
    with FaultyProxy(s3.server.port, share=0.0, partial=True) as proxy:
        objects = S3Objects(s3.bucket(proxy.url), tmp_path / "two")
        (objects.incoming / f"{digest}.part").write_bytes(data[: 3 * PART_BYTES])

        assert objects.path(digest).read_bytes() == data

    assert proxy.sent_bytes < 2 * PART_BYTES
    assert [path.name for path in objects.incoming.iterdir() if path.suffix == ".part"] == []


def test_a_beginning_that_is_wrong_is_read_anew(s3: Place, tmp_path: Path) -> None:
    """Half-read files are no more trusted than a network."""
    data = os.urandom(3 * PART_BYTES)
    file = tmp_path / "file"
    file.write_bytes(data)
    objects = RetryingObjects(S3Objects(s3.bucket(), tmp_path / "local"), pause_s=0.0)
    digest = objects.put(file).digest
    (objects.incoming / f"{digest}.part").write_bytes(os.urandom(PART_BYTES))

    assert objects.path(digest).read_bytes() == data


@pytest.mark.parametrize("partial", [True, False])
def test_large_objects_come_by_several_requests_where_a_server_can(
    s3: Place, tmp_path: Path, partial: bool
) -> None:
    """Or by one, where its answers to parts are not what they should be."""
    data = os.urandom(LARGE)
    file = tmp_path / "file"
    file.write_bytes(data)
    digest = S3Objects(s3.bucket(), tmp_path / "one").put(file).digest
    with FaultyProxy(s3.server.port, share=0.0, partial=partial) as proxy:
        objects = S3Objects(s3.bucket(proxy.url), tmp_path / "two")

        assert objects.path(digest).read_bytes() == data

    gets = [line for line in proxy.requests if line.startswith("GET")]
    assert len(gets) == (4 if partial else 2)


def test_no_more_requests_are_in_flight_than_allowed(s3: Place, tmp_path: Path) -> None:
    """Over all threads, parts of uploads included."""
    file = tmp_path / "file"
    file.write_bytes(os.urandom(LARGE))
    with FaultyProxy(s3.server.port, share=0.0, delay_s=0.02) as proxy:
        objects = S3Objects(s3.bucket(proxy.url, in_flight=3), tmp_path / "local")

        with ThreadPoolExecutor(12) as pool:
            stored = list(pool.map(objects.put, [*(os.urandom(100) for _ in range(24)), file]))

    assert proxy.most_in_flight == 3
    assert digests_in(S3Objects(s3.bucket(), tmp_path)) == sorted(each.digest for each in stored)


def test_a_file_that_changes_while_it_is_sent_is_not_stored(s3: Place, tmp_path: Path) -> None:
    """Its parts are compared with what was hashed before the last one goes: nothing appears in the bucket."""
    file = tmp_path / "file"
    file.write_bytes(os.urandom(LARGE))
    digest = digest_of(file.read_bytes())
    objects = S3Objects(s3.bucket(), tmp_path / "local")
    with file.open("r+b") as other:
        other.seek(PART_BYTES)
        other.write(b"changed")

    with pytest.raises(Conflict, match="changed while it was stored"):
        objects.put(file, digest=digest)

    assert digests_in(objects) == []
    assert objects.put(file).digest == digest_of(file.read_bytes())


PUT = """
    import sys
    from pathlib import Path
    from mlwright.storage.address import parse_address
    from mlwright.storage.bucket import Bucket
    from mlwright.storage.s3 import S3Objects

    objects = S3Objects(Bucket(parse_address(sys.argv[1])), Path(sys.argv[2]))
    print("putting", flush=True)
    print(objects.put(Path(sys.argv[3])).digest, flush=True)
"""


@pytest.mark.parametrize("requests", [1, 2, 3, 4, 5])
def test_a_kill_in_a_put_leaves_nothing_visible(s3: Place, tmp_path: Path, requests: int) -> None:
    """`kill -9` after the first, second, ... request of a put: the object is whole or not there."""
    file = tmp_path / "file"
    file.write_bytes(os.urandom(LARGE))
    digest = digest_of(file.read_bytes())
    with FaultyProxy(s3.server.port, share=0.0, delay_s=0.03) as proxy:
        url = f"{s3.url}?endpoint={proxy.url}"
        putting = start_python(PUT, url, tmp_path / "local", file)
        until(lambda: len(proxy.requests) >= requests)

        putting.send_signal(signal.SIGKILL)
        putting.communicate(timeout=30)

    objects = S3Objects(s3.bucket(), tmp_path / "local")
    seen = digests_in(objects)
    assert seen in ([], [digest])
    assert all(objects.get(each) == file.read_bytes() for each in seen)
    assert objects.put(file).digest == digest
    assert objects.get(digest) == file.read_bytes()


def test_two_readers_of_one_object_do_not_meet(s3: Place, tmp_path: Path) -> None:
    """At the same time, into the same folder: both have the right bytes."""
    file = tmp_path / "file"
    file.write_bytes(os.urandom(LARGE))
    objects = S3Objects(s3.bucket(), tmp_path / "local")
    digest = objects.put(file).digest
    together = threading.Barrier(3)

    def read(_: int) -> bytes:
        together.wait()
        return objects.path(digest).read_bytes()

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(read, range(3)))

    assert found == [file.read_bytes()] * 3


def test_an_object_of_another_key_is_no_object(s3: Place, tmp_path: Path) -> None:
    """What others keep beside the objects is neither listed nor found."""
    bucket = s3.bucket()
    for key in ("objects/readme.txt", "objects/ab/short", "WORKSPACE", "other/ab/" + "cd" * 31):
        bucket.write(key, b"not ours")
    objects = S3Objects(bucket, tmp_path)

    assert list(objects) == []
    with pytest.raises(NotFound) as raised:
        objects.get(digest_of(b"x"))
    assert raised.value.where == str(s3.address)


def test_more_keys_than_a_page_holds_are_listed(s3: Place, tmp_path: Path) -> None:
    """Page by page, each asked for where the last one ended."""
    folder = s3.file("objects")
    digests = [digest_of(str(number).encode()) for number in range(2345)]
    for number, digest in enumerate(digests):
        path = folder / digest[:2] / digest[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(str(number).encode())

    listed = digests_in(S3Objects(s3.bucket(), tmp_path))

    assert listed == sorted(digests)


def test_the_layout_is_that_of_a_folder(s3: Place, tmp_path: Path) -> None:
    """`prefix/objects/ab/cdef...`: any S3 tool can copy a bucket into a store on a disk."""
    stored = S3Objects(s3.bucket(), tmp_path).put(b"bytes")

    assert s3.file(key_of(stored.digest)).read_bytes() == b"bytes"
