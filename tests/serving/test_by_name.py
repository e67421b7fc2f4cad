"""Models that are asked by name, over HTTP: pictures, texts, tensors, files, films; and predictors."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import shutil
import struct
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow
from playwright.sync_api import Browser
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from mlwright.kernel.errors import Invalid, Unavailable
from mlwright.sdk.codecs import codec_named, codecs_for
from mlwright.sdk.signature import signature
from mlwright.serving import Client, Limits, ModelSpec, ReplicaSpec, Server, start
from mlwright.versioning.signatures import signature_from
from tests.serving.conftest import DEADLINE_S, PYTHON, VERSION, Answered, ask, post, until
from tests.web import conftest as web

SOAK = os.environ.get("MLWRIGHT_SOAK") == "1"
browser = web.browser
BOUNDARY = "a-boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
PICTURES, DIGITS = load_digits(return_X_y=True)
TEXTS = ["good fun", "great fun", "bad and sad", "sad and dull"]
LIMITS = Limits(body_bytes=2**20, file_bytes=3 * 2**20, spool_bytes=6 * 2**20, rows=50)


def picture(pixels: np.ndarray, form: str = "PNG") -> bytes:
    made = io.BytesIO()
    Pillow.fromarray((pixels.reshape(8, 8) * 16).clip(0, 255).astype("uint8")).save(made, form)
    return made.getvalue()


def film(*numbers: int) -> bytes:
    """An animated GIF with a digit in each frame."""
    frames = [Pillow.open(io.BytesIO(picture(PICTURES[each]))) for each in numbers]
    made = io.BytesIO()
    frames[0].save(made, "GIF", save_all=True, append_images=frames[1:], disposal=2)
    return made.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG whose head promises many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def form(*parts: tuple[str, bytes, str, str]) -> bytes:
    """A form of (name, content, file name, media type)."""
    made = b""
    for name, content, file, kind in parts:
        made += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        made += f'; filename="{file}"'.encode() if file else b""
        made += (f"\r\nContent-Type: {kind}" if kind else "").encode() + b"\r\n\r\n" + content + b"\r\n"
    return made + f"--{BOUNDARY}--\r\n".encode()


def b64(data: bytes, kind: str = "") -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()} | ({"media_type": kind} if kind else {})


@pytest.fixture(scope="module")
def digits() -> LinearDiscriminantAnalysis:
    return LinearDiscriminantAnalysis().fit(PICTURES, DIGITS)


@pytest.fixture(scope="module")
def texts() -> Any:
    return make_pipeline(CountVectorizer(), MultinomialNB()).fit(TEXTS, ["+", "+", "-", "-"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, digits: Any, texts: Any) -> Iterator[Server]:
    """One replica with a model of each kind."""
    folder = tmp_path_factory.mktemp("by_name")
    code = folder / "code"
    (code / "reading").mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("predictors.py"), code / "reading" / "predictors.py")
    table = pd.DataFrame({"age": [20.0, 70.0]})
    asked: dict[str, tuple[Any, Any, str]] = {
        "digits": (digits, picture(PICTURES[3]), "DigitReader"),
        "texts": (texts, ["good"], ""),
        "arrays": (digits, PICTURES[:2], ""),
        "films": (digits, film(1, 2, 3), "FrameReader"),
        "sums": ({"any": 1}, {"points": [[1, 2], [3, 4]]}, "Sums"),
        "sizes": ({"any": 1}, b"abc", "Sizes"),
        "endless": ({"any": 1}, b"abc", "Endless"),
        "thumbnails": ({"any": 1}, picture(PICTURES[0]), "Thumbnail"),
        "ages": ({"any": 1}, table, "Ages"),
    }
    sys.path.insert(0, str(code))
    try:
        models = []
        for name, (model, example, predictor) in asked.items():
            path, codec = folder / name, next(codecs_for(model))
            codec.encode(model, path)
            address = f"reading.predictors:{predictor}" if predictor else ""
            told = signature(codec_named(codec.name).decode(path, "", folder), example, predictor=address)
            kept = signature_from(json.loads(json.dumps(told)))
            models.append(ModelSpec(f"{name}@1", VERSION, codec.name, str(path), kept, str(code)))
    finally:
        sys.path.remove(str(code))
    spec = ReplicaSpec(tuple(models), LIMITS)
    with start(spec, PYTHON, folder=folder / "serving") as made:
        yield made


def to(server: Server, name: str, body: Any, kind: str = "application/json", query: str = "") -> Answered:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(server.url, "POST", f"/models/{name}/predict{query}", data, {"content-type": kind})


def events(answered: Answered) -> list[tuple[str, Any]]:
    """The events of a stream: their names, and what they say."""
    assert answered.headers["content-type"] == "text/event-stream"
    found = []
    for block in answered.body.decode().split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((lines.get("event", "message"), json.loads(lines["data"])))
    return found


def problem(answered: Answered) -> tuple[int, str]:
    assert answered.headers["content-type"] == "application/problem+json"
    return answered.status, answered.json["detail"]


# Pictures.


@pytest.mark.parametrize("way", ["raw", "octets", "json", "form"])
def test_a_picture_is_read_as_in_the_pipeline(server: Server, digits: Any, way: str) -> None:
    """A PNG file as a body, as JSON or in a form is decoded by the predictor, and the model answers."""
    png = picture(PICTURES[7])

    answered = {
        "raw": lambda: to(server, "digits", png, "image/png"),
        "octets": lambda: to(server, "digits", png, "application/octet-stream"),
        "json": lambda: to(server, "digits", {"inputs": {"image": b64(png, "image/png")}}),
        "form": lambda: to(server, "digits", form(("image", png, "../../etc/passwd", "image/png")), FORM),
    }[way]()

    assert answered.status == 200, answered.body
    (shares,) = answered.json["predictions"]
    seen = (PICTURES[7].reshape(8, 8) * 16).clip(0, 255).astype("uint8").reshape(1, -1) / 16
    assert list(shares.values()) == pytest.approx(digits.predict_proba(seen)[0], rel=1e-9)
    assert answered.json["model"] == answered.headers["x-mlwright-model"] == "digits@1"
    assert answered.headers["x-mlwright-prediction-id"] == answered.json["id"]


def test_several_pictures_are_answered_in_their_order(server: Server) -> None:
    """Of a predictor that takes a list, one request may give several: in JSON, or as parts of one name."""
    pictures = [picture(PICTURES[each]) for each in (4, 9, 2)]

    listed = to(server, "digits", {"inputs": {"image": [b64(each) for each in pictures]}})
    parts = to(server, "digits", form(*[("image", each, "x.png", "image/png") for each in pictures]), FORM)

    assert listed.json["predictions"] == parts.json["predictions"]
    best = [max(each, key=each.get) for each in listed.json["predictions"]]
    assert best == [str(DIGITS[each]) for each in (4, 9, 2)]


def test_a_picture_is_answered_with_a_picture(server: Server) -> None:
    """What a predictor answers with bytes is base64 in JSON, with its media type."""
    answered = to(server, "thumbnails", picture(PICTURES[0]), "image/png")

    (told,) = answered.json["predictions"]
    assert told["media_type"] == "image/png"
    assert Pillow.open(io.BytesIO(base64.b64decode(told["b64"]))).size == (4, 4)


REFUSED: dict[str, tuple[bytes, str, int, str]] = {
    "a type that the predictor does not take": (
        picture(PICTURES[0], "GIF"),
        "image/gif",
        415,
        "the content type must be application/json, multipart/form-data or image/png, not image/gif",
    ),
    "a pickle": (b"\x80\x04N.", "application/x-pickle", 415, "application/x-pickle"),
    "another pickle": (b"\x80\x04N.", "application/python-pickle", 415, "application/python-pickle"),
    "octets that are something else": (b"\x80\x04N.", "application/octet-stream", 415, "must be image/png"),
    "another type within a form": (
        form(("image", picture(PICTURES[0], "GIF"), "x.gif", "image/gif")),
        FORM,
        415,
        "`image` must be image/png, not image/gif",
    ),
    "another type within JSON": (
        json.dumps({"inputs": {"image": b64(b"abc", "image/gif")}}).encode(),
        "application/json",
        415,
        "`image` must be image/png, not image/gif",
    ),
    "bytes that are no picture": (b"nothing", "image/png", 422, "the picture cannot be read"),
    "half of a picture": (picture(PICTURES[0])[:60], "image/png", 422, "the picture cannot be read"),
    "more pixels than are read": (bomb(7_000, 7_000), "image/png", 422, "7,000 x 7,000 pixels"),
    "a bomb": (bomb(2**31 - 1, 2**31 - 1), "image/png", 422, "pixels"),
    "what the predictor refuses": (bomb(100, 100), "image/png", 422, "a digit has 8 x 8 pixels"),
    "a form without the part": (form(("other", b"x", "", "")), FORM, 422, "`other` is not what this model"),
    "an empty form": (f"--{BOUNDARY}--\r\n".encode(), FORM, 422, "`image` is missing"),
    "a form without a boundary": (b"x", "multipart/form-data", 400, "no boundary"),
    "a form that ends too early": (form(("image", b"x", "x.png", "image/png"))[:-20], FORM, 400, "form"),
    "a last line that is cut off": (
        form(("image", picture(PICTURES[0]), "x.png", "image/png"))[:-8],
        FORM,
        400,
        "the form cannot be read",
    ),
    "no form at all": (b"x" * 1000, FORM, 400, "cannot be read"),
    "a head without end": (f"--{BOUNDARY}\r\nA: ".encode() + b"a" * 10_000, FORM, 413, "too large"),
    "a part too large": (
        form(("image", b"\0" * (4 * 2**20), "x.png", "image/png")),
        FORM,
        413,
        "`image` is larger than 3145728 bytes",
    ),
    "a body too large": (b"\0" * (4 * 2**20), "image/png", 413, "the body is larger than 3145728 bytes"),
    "more pictures than rows": (
        json.dumps({"inputs": {"image": [b64(b"x")] * 51}}).encode(),
        "application/json",
        422,
        "51 values",
    ),
    "no base64": (b'{"inputs": {"image": {"b64": "?"}}}', "application/json", 422, "base64"),
    "no object": (b'{"inputs": [1]}', "application/json", 422, "`inputs`"),
    "a name beside": (b'{"inputs": {}, "rows": []}', "application/json", 422, "`rows` is not known here"),
    "no JSON": (b"{", "application/json", 400, "not JSON"),
    "JSON too deep": (b"[" * 100_000, "application/json", 400, "nested too deeply"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused(server: Server, case: str) -> None:
    """What is wrong with a request is the client's to mend: it is told what, and the next one is answered."""
    body, kind, status, words = REFUSED[case]

    told = problem(to(server, "digits", body, kind))

    assert told[0] == status, told
    assert words in told[1]
    assert to(server, "digits", picture(PICTURES[0]), "image/png").status == 200


def test_one_bad_picture_spoils_no_other_request(server: Server) -> None:
    """Requests that may be asked about together are refused each by itself."""
    good, bad = picture(PICTURES[1]), bomb(9, 9)
    with ThreadPoolExecutor(8) as clients:
        asked = [good, bad] * 12
        answers = list(clients.map(lambda each: to(server, "digits", each, "image/png").status, asked))

    assert answers == [200, 422] * 12


def test_spoilt_requests_are_the_clients_mistake(server: Server) -> None:
    """Whatever is done to a request, it is answered or refused; nothing fails, and nobody restarts."""
    chance, png, seen = random.Random(8), picture(PICTURES[3]), set()
    requests = [
        ("digits", png, "image/png"),
        ("digits", json.dumps({"inputs": {"image": b64(png)}}).encode(), "application/json"),
        ("digits", form(("image", png, "a.png", "image/png")), FORM),
        ("sums", b'{"inputs": {"points": [[1, 2]], "scale": 2, "note": {"a": null}}}', "application/json"),
        ("sums", form(("points", b"[[1, 2]]", "", ""), ("scale", b"3", "", "")), FORM),
        ("texts", b'{"inputs": {"text": ["a", "b"]}}', "application/json"),
        ("texts", b"good", "text/plain"),
    ]
    replicas = server.pids

    for _ in range(20_000 if SOAK else 300):
        name, body, kind = chance.choice(requests)
        answered = to(server, name, spoilt(body, chance), kind)
        seen.add(answered.status)

    assert seen <= {200, 400, 413, 415, 422}
    assert {200, 400, 422} <= seen
    assert server.pids == replicas
    assert ask(server.url, "GET", "/health/ready").status == 200


def spoilt(body: bytes, chance: random.Random) -> bytes:
    """A body with some bytes changed, put in or taken out."""
    words = [
        b"[",
        b"{",
        b'"',
        b"-1",
        b"1e999",
        b"null",
        b"true",
        b"\xff",
        b"\0",
        b"9" * 20,
        b"\r\n--a-boundary",
    ]
    made = bytearray(body)
    for _ in range(chance.randint(0, 3)):
        place = chance.randrange(len(made) + 1)
        match chance.randrange(3):
            case 0:
                made[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                made[place:place] = chance.choice(words)
            case _:
                del made[place : place + chance.randint(1, 20)]
    return bytes(made)


# Files.


def test_a_large_file_lies_on_disk_and_is_gone_afterwards(server: Server) -> None:
    """A file beyond a megabyte is streamed to disk under a name of ours; after the answer nothing is left."""
    data = bytes(range(256)) * 10_000

    answered = to(server, "sizes", form(("file", data, "/etc/passwd", "application/zip")), FORM)

    (told,) = answered.json["predictions"]
    assert told["size"] == len(data)
    assert told["type"] == "application/zip"
    assert told["ours"]
    assert not _large(server)


@pytest.mark.parametrize("kind", ["application/x-pickle", "application/x-python-serialize"])
def test_a_pickle_is_no_file(server: Server, kind: str) -> None:
    """A predictor that takes any file takes no pickle, as a body or in a form."""
    raw = to(server, "sizes", b"\x80\x04N.", kind)
    part = to(server, "sizes", form(("file", b"\x80\x04N.", "x.bin", kind)), FORM)

    assert problem(raw)[0] == problem(part)[0] == 415


# Texts and tensors, without a predictor.


def test_texts_are_classified(server: Server, texts: Any) -> None:
    """A pipeline that was fitted on texts is asked with one or several, as JSON, text or a form."""
    answered = [
        to(server, "texts", {"inputs": {"text": TEXTS}}, query="?proba=1"),
        to(server, "texts", {"inputs": {"text": TEXTS[0]}}),
        to(server, "texts", TEXTS[0].encode(), "text/plain; charset=utf-8"),
        to(server, "texts", form(("text", TEXTS[0].encode(), "", "")), FORM),
    ]

    assert [each.json["predictions"] for each in answered] == [["+", "+", "-", "-"], ["+"], ["+"], ["+"]]
    shares = np.array([[each["+"], each["-"]] for each in answered[0].json["probabilities"]])
    assert np.allclose(shares, texts.predict_proba(TEXTS))


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ({"inputs": {"text": 5}}, "application/json", "`text` must be text, not the number 5"),
        ({"inputs": {"text": ["a", None]}}, "application/json", "`text` at 1 must be text, not null"),
        ({"inputs": {"text": []}}, "application/json", "`text` holds 0 values"),
        ({"inputs": {"txt": "a"}}, "application/json", "did you mean"),
        (b"\xff", "text/plain", "must be UTF-8"),
    ],
)
def test_what_is_no_text_is_named(server: Server, body: Any, kind: str, words: str) -> None:
    """A request that gives something else is told what, and where."""
    status, detail = problem(to(server, "texts", body, kind))

    assert (status, words in detail) == (422, True), detail


def test_an_array_is_answered_row_by_row(server: Server, digits: Any) -> None:
    """A model that was fitted on an array is asked with lists of numbers: one row, or several."""
    several = to(server, "arrays", {"inputs": {"array": PICTURES[:5].tolist()}}, query="?proba=1")
    one = to(server, "arrays", {"inputs": {"array": PICTURES[0].tolist()}})

    assert several.json["predictions"] == digits.predict(PICTURES[:5]).tolist()
    assert one.json["predictions"] == several.json["predictions"][:1]
    assert len(several.json["probabilities"][0]) == 10


@pytest.mark.parametrize(
    ("array", "words"),
    [
        ([1.0, 2.0], "must be float64 of shape [64], not of shape [2]"),
        ([[1.0] * 64, [1.0] * 63], "its lists have different lengths"),
        ([["1"] * 64], "lists of numbers"),
        ([None] * 64, "lists of numbers"),
        (5, "not of shape []"),
        ([[0.0] * 64] * 51, "51 values"),
        ([], "not of shape [0]"),
    ],
)
def test_an_array_of_another_shape_is_refused(server: Server, array: Any, words: str) -> None:
    """A tensor is held against its type and shape before the model sees it."""
    status, detail = problem(to(server, "arrays", {"inputs": {"array": array}}))

    assert (status, words in detail) == (422, True), detail


def test_a_predictor_gets_what_its_types_say(server: Server) -> None:
    """Tensors have their type, defaults stand in for what is not given, and JSON is passed as it is."""
    full = to(server, "sums", {"inputs": {"points": [[1, 2], [3, 4]], "scale": 2, "note": {"a": [1, None]}}})
    short = to(server, "sums", {"inputs": {"points": [[1, 2]]}})
    fields = to(server, "sums", form(("points", b"[[1, 2]]", "", ""), ("scale", b"3", "", "")), FORM)

    assert full.json["predictions"] == [{"sum": [8.0, 12.0], "dtype": "float32", "note": {"a": [1, None]}}]
    assert short.json["predictions"] == [{"sum": [1.0, 2.0], "dtype": "float32", "note": None}]
    assert fields.json["predictions"][0]["sum"] == [3.0, 6.0]


def test_a_predictor_of_a_table_is_asked_as_a_table(server: Server) -> None:
    """One that takes a table has columns, and answers each row."""
    answered = to(server, "ages", {"rows": [{"age": 20}, {"age": 60}]})
    wrong = to(server, "ages", {"rows": [{"age": "old"}]})

    assert answered.json["predictions"] == [{"old": False}, {"old": True}]
    assert problem(wrong)[0] == 422


# Films, frame by frame.


@pytest.mark.parametrize("way", ["raw", "form"])
def test_a_film_is_answered_frame_by_frame(server: Server, digits: Any, way: str) -> None:
    """An uploaded video is answered by an event for each frame, then an end that says which model it was."""
    numbers = (4, 0, 8, 3)

    if way == "raw":
        answered = to(server, "films", film(*numbers), "image/gif")
    else:
        answered = to(server, "films", form(("video", film(*numbers), "f.gif", "image/gif")), FORM)

    *frames, end = events(answered)
    assert [each["frame"] for _, each in frames] == [0, 1, 2, 3]
    assert [each["digit"] for _, each in frames] == digits.predict(PICTURES[list(numbers)]).tolist()
    assert end[0] == "end"
    assert end[1] == {"model": "films@1", "id": answered.headers["x-mlwright-prediction-id"]}


def test_other_values_stand_behind_the_question_mark(server: Server) -> None:
    """Beside a raw body, numbers that the predictor takes are in the query; others are refused."""
    two = to(server, "films", film(5, 0, 8, 3), "image/gif", "?every=2")
    wrong = to(server, "films", film(5), "image/gif", "?every=often")
    unknown = to(server, "films", film(5), "image/gif", "?evry=2")

    assert [each["frame"] for _, each in events(two)[:-1]] == [0, 2]
    assert problem(wrong)[0] == problem(unknown)[0] == 422


def test_an_error_within_a_stream_is_its_last_event(server: Server) -> None:
    """What fails behind the first piece is told as an event `error`; what fails before has a status."""
    later = to(server, "films", film(5, 0, 8), "image/gif", "?until=2")
    at_once = to(server, "films", film(5, 0, 8), "image/gif", "?until=0")
    no_film = to(server, "films", b"nothing", "video/mp4")

    assert [name for name, _ in events(later)] == ["message", "message", "error"]
    assert "no frame 2" in events(later)[-1][1]["detail"]
    assert problem(at_once)[0] == 500
    assert problem(no_film) == (422, "this is no film")


def test_a_client_that_goes_away_ends_the_stream(server: Server) -> None:
    """When nobody reads the events any more, the generator is closed, and its file removed."""
    for each in server._started.folder.rglob("closed"):
        each.unlink()
    parts = urlsplit(server.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=DEADLINE_S)

    connection.request(
        "POST", "/models/endless/predict", b"\0" * (2 * 2**20), {"content-type": "application/zip"}
    )
    first = connection.getresponse().read(10)
    files = _large(server)
    connection.close()

    assert (first, len(files)) == (b'data: "xxx', 1)
    until(lambda: bool(list(server._started.folder.rglob("closed"))) and not _large(server))
    assert to(server, "digits", picture(PICTURES[0]), "image/png").status == 200


def _large(server: Server) -> list[Path]:
    return [
        each for each in server._started.folder.rglob("*") if each.is_file() and each.stat().st_size > 2**20
    ]


# What is told of them.


def test_the_interface_names_what_each_model_takes(server: Server) -> None:
    """The OpenAPI document has the fields of JSON and of forms, files, and the types of raw bodies."""
    document = ask(server.url, "GET", "/openapi.json").json
    page = ask(server.url, "GET", "/docs").body.decode()

    films = document["paths"]["/models/films/predict"]["post"]
    digits = document["paths"]["/models/digits/predict"]["post"]["requestBody"]["content"]
    assert set(digits) == {"application/json", "multipart/form-data", "image/png"}
    assert "text/event-stream" in films["responses"]["200"]["content"]
    example = digits["application/json"]["example"]
    assert to(server, "digits", example).status == 200
    assert "image/png" in page
    assert "every" in page


def test_the_form_page_asks(server: Server, browser: Browser, tmp_path: Path) -> None:
    """At `/` there is a form for each model, which is answered: with a file, or the example as it stands."""
    (tmp_path / "film.gif").write_bytes(film(4, 0))
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))

    page.goto(f"{server.url}/")
    films = page.locator('form[data-path="models/films/predict"]')
    films.locator("input[type=file]").set_input_files(tmp_path / "film.gif")
    films.get_by_text("Ask").click()
    ages = page.locator('form[data-path="models/ages/predict"]')
    ages.get_by_text("Ask").click()

    films.locator("output", has_text="event: end").wait_for()
    ages.locator("output", has_text='"old": false').wait_for()
    assert films.locator("output").inner_text().count('"frame"') == 2
    assert said == []


def test_health_is_answered_beside(server: Server) -> None:
    """The replica is ready only after each example was answered."""
    assert ask(server.url, "GET", "/health/ready").status == 200
    assert post(server.url, {"inputs": {"image": b64(picture(PICTURES[0]))}}).status == 200


# The client of Python programs.


def test_the_client_asks_by_name(server: Server, tmp_path: Path) -> None:
    """Texts, arrays, files from the disk, bytes, and several of them; probabilities where there are some."""
    (tmp_path / "seven").write_bytes(picture(PICTURES[7]))

    with (
        Client(server.url, model="texts") as texts,
        Client(server.url, model="arrays") as arrays,
        Client(server.url, model="sums") as sums,
        Client(server.url, model="digits") as digits,
    ):
        told = texts.predict(text=["good fun", "dull"], proba=True)
        alone = texts.predict("good fun")
        rows = arrays.predict({"array": PICTURES[:3]})
        summed = sums.predict(points=np.array([[1.0, 2.0]]), scale=np.float64(2), note={"a": [1]})
        read = digits.predict(image=[tmp_path / "seven", picture(PICTURES[4])])
        only = digits.predict(tmp_path / "seven")

    assert (told.predictions, told.model) == (["+", "-"], "texts@1")
    assert told.probabilities is not None
    assert [sum(each.values()) for each in told.probabilities] == pytest.approx([1, 1])
    assert alone.predictions == ["+"]
    assert rows.predictions == DIGITS[:3].tolist()
    assert summed.predictions == [{"sum": [2.0, 4.0], "dtype": "float32", "note": {"a": [1]}}]
    assert [max(each, key=each.get) for each in read.predictions] == ["7", "4"]
    assert [max(each, key=each.get) for each in only.predictions] == ["7"]


def test_the_client_sends_what_stands_beside_a_file_as_it_is(server: Server, tmp_path: Path) -> None:
    """A text, a number or JSON in a form with a file arrive as they were given, whatever the model takes."""
    (tmp_path / "film.gif").write_bytes(film(3, 1, 4, 1))

    with Client(server.url, model="films") as client:
        every_other = [each["frame"] for each in client.stream(video=tmp_path / "film.gif", every=2)]
    with Client(server.url, model="texts") as client:
        as_file = client.predict(text=b"dull")  # of no kind of media: the bytes are its text

    assert every_other == [0, 2]
    assert as_file.predictions == ["-"]


def test_the_client_takes_pieces_as_they_come(server: Server, tmp_path: Path) -> None:
    """An iterator that knows model and id from its begin; what fails within is raised; closing ends it."""
    frames = film(3, 1, 4)

    with Client(server.url, model="films") as client:
        with client.stream(video=frames) as pieces:
            first = next(pieces)
            known = (pieces.model, pieces.id)
            rest = list(pieces)
        with pytest.raises(Unavailable, match="no frame 2"):
            list(client.stream(video=frames, until=2))
        with pytest.raises(Invalid, match="no film"):
            client.stream(video=b"GIF89a, and nothing")
        with pytest.raises(Invalid, match="in pieces"):
            client.predict(video=frames)
    with Client(server.url, model="endless") as client, client.stream(file=b"abc") as pieces:
        assert next(pieces) == "x" * 10_000
    with Client(server.url, model="sizes") as client, pytest.raises(Invalid, match="in pieces"):
        client.stream(file=b"abc")

    assert first == {"frame": 0, "digit": 3}
    assert [each["digit"] for each in rest] == [1, 4]
    assert known[0] == "films@1"
    assert known[1]


def test_a_large_file_is_never_in_the_clients_memory(server: Server, tmp_path: Path) -> None:
    """It is read as it is sent; one that the server refuses before its end is told in the server's words."""
    large, huge = tmp_path / "large", tmp_path / "huge"
    for path, size in ((large, 2 * 2**20), (huge, 64 * 2**20)):
        with path.open("wb") as file:
            file.truncate(size)

    with Client(server.url, model="sizes", retries=0) as client:
        tracemalloc.start()
        try:
            answered = client.predict(file=large)
            with pytest.raises(Invalid, match="larger than 3145728 bytes"):
                client.predict(file=huge)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        again = client.predict(file=b"abc")

    assert answered.predictions[0]["size"] == 2 * 2**20
    assert again.predictions[0]["size"] == 3
    assert peak < 2**20 + 2**19
