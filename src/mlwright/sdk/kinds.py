"""What models take and give beside plain numbers: words for annotations of a predictor, and their values.

    def predict(self, image: Image) -> dict[str, float]: ...
    def predict(self, picture: Annotated[numpy.ndarray, Tensor("uint8", 28, 28)]) -> int: ...
    def predict(self, scan: Annotated[Image, "image/png", "image/tiff"]) -> str: ...

`Text` is a `str`, a `Table` a data frame of pandas, a `Tensor` an array of NumPy. The others are bytes with
a media type, which lie in memory or in a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mlwright.kernel.errors import Invalid

Text = str
"""Text in any language."""

MAX_PIXELS = 40_000_000
"""How many pixels a picture may have to be decoded: as bytes of three colours, 120 MB."""
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
"""What Pillow may take the bytes for: its other readers are less looked after."""


class Refused(Invalid):
    """What a predictor raises for a request that it cannot answer: the client is told why, with status 422.

    Args:
        message: what is wrong with the request.
    """


class Table:
    """Rows and columns: a predictor is given a data frame of pandas, and answers each row."""

    if TYPE_CHECKING:  # to a type checker it is whatever is asked of it

        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, key: Any) -> Any: ...
        def __len__(self) -> int: ...


class Tensor:
    """An array of NumPy; inside `Annotated` its type of element and its shape.

    Args:
        dtype: as NumPy calls it: `float32`, `int64`, `uint8`, `bool`.
        shape: the length of each dimension, -1 for any.

    Raises:
        Invalid: no type that an array of numbers has, or no shape.
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, key: Any) -> Any: ...
        def __len__(self) -> int: ...

    def __init__(self, dtype: str, *shape: int) -> None:
        if dtype not in DTYPES:
            raise Invalid(f"a tensor cannot be of type {dtype!r}", hint=f"one of {', '.join(sorted(DTYPES))}")
        if any(type(length) is not int or length < -1 for length in shape):
            raise Invalid(f"{shape} is no shape of a tensor", hint='as Tensor("float32", -1, 64)')
        self.dtype = dtype
        self.shape = shape


DTYPES = frozenset(
    {"bool", "float16", "float32", "float64"}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)
"""The types of element that a tensor may have."""


class Media:
    """Bytes with a media type: what a client sent, or what a predictor answers with.

    Args:
        content: the bytes, or the file that they lie in.
        media_type: as `image/png`; by default told from the first bytes.
        folder: where a file is made if somebody asks for one; by default the system's.
    """

    media_types: ClassVar[tuple[str, ...]] = ("*/*",)
    """What a parameter of this kind takes if its annotation says nothing."""

    def __init__(self, content: bytes | Path, media_type: str = "", *, folder: Path | None = None) -> None:
        self._content = content
        self._folder = folder
        self._path = content if isinstance(content, Path) else None
        self._made = False
        self.media_type = media_type or media_type_of(self._first())

    @property
    def content(self) -> bytes | Path:
        """The bytes, or the file that they were given in."""
        return self._content

    @property
    def path(self) -> Path:
        """The file with the bytes; it lives as long as the request."""
        if self._path is None:
            assert isinstance(self._content, bytes)
            import tempfile  # 5 ms, for who wants a file

            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
                file.write(self._content)
            self._path = Path(file.name)
            self._made = True
        return self._path

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""
        return len(self._content) if isinstance(self._content, bytes) else self._content.stat().st_size

    def read(self) -> bytes:
        """All bytes."""
        return self._content if isinstance(self._content, bytes) else self._content.read_bytes()

    def discard(self) -> None:
        """Remove the file that was made for `path`, if one was."""
        if getattr(self, "_made", False) and self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path, self._made = None, False

    def _first(self) -> bytes:
        if isinstance(self._content, bytes):
            return self._content[:64]
        with self._content.open("rb") as file:
            return file.read(64)

    def __del__(self) -> None:
        self.discard()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.media_type}, {self.size_bytes} bytes>"


class Image(Media):
    """A picture."""

    media_types = tuple(f"image/{name.lower()}" for name in _FORMATS)

    def array(self, mode: str = "") -> Any:
        """The picture as an array of NumPy: (height, width), or (height, width, channels); type uint8.

        Needs Pillow and NumPy in the model's environment. Of an animation it is the first frame.

        Args:
            mode: what Pillow is to convert it to: `L` for grey, `RGB`; by default `RGB`, or `L` if it has no
                colours.

        Raises:
            Refused: it is no picture, a damaged one, or has more than `MAX_PIXELS` pixels.
            Invalid: Pillow is not installed.
        """
        import io

        try:
            import numpy
            from PIL import Image as Pillow
        except ImportError as error:
            raise Invalid(
                f"a picture cannot be read: {error}",
                hint="add it to the project's environment: mlwright environments add pillow",
            ) from error
        try:
            with Pillow.open(io.BytesIO(self.read()), formats=_FORMATS) as picture:
                _refuse_bomb(picture.size)
                plain = "L" if picture.mode in {"1", "L"} else "RGB"
                return numpy.asarray(picture.convert(mode or plain))
        except Pillow.DecompressionBombError as error:
            raise Refused(f"the picture has more than {MAX_PIXELS:,} pixels") from error
        except (OSError, SyntaxError, EOFError) as error:  # all of these are what Pillow says of bad bytes
            raise Refused("the picture cannot be read: it is damaged, or of another format") from error


def _refuse_bomb(size: tuple[int, int]) -> None:
    """A picture of a few bytes may unfold to gigabytes: its head says so before that.

    Raises:
        Refused: it does.
    """
    width, height = size
    if width * height > MAX_PIXELS:
        raise Refused(f"the picture has {width:,} x {height:,} pixels: at most {MAX_PIXELS:,} are read")


class Audio(Media):
    """Sound."""

    media_types = ("audio/*",)


class Video(Media):
    """Moving pictures; an animated GIF is one."""

    media_types = ("video/*", "image/gif")


class File(Media):
    """Any bytes; a pickle is not taken."""


MEDIA: dict[str, type[Media]] = {"image": Image, "audio": Audio, "video": Video, "file": File}
"""The classes of the kinds that have bytes, by the word that a signature has for them."""


def media_type_of(first: bytes) -> str:
    """The media type that the first bytes of a file tell; `application/octet-stream` if they tell none.

    Source: the formats' own signatures, as the WHATWG's MIME Sniffing Standard lists them.
    """
    if first[:4] == b"RIFF":
        return _RIFF.get(first[8:12], "application/octet-stream")
    if first[4:8] == b"ftyp":
        return "video/quicktime" if first[8:12] == b"qt  " else "video/mp4"
    return next((kind for magic, kind in _MAGIC if first.startswith(magic)), "application/octet-stream")


_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"%PDF-", "application/pdf"),
)


_PICKLES = ("pickle", "python-serialize", "joblib")


def is_taken(media_type: str, taken: tuple[str, ...] | list[str]) -> bool:
    """Whether a media type is one of those that are taken; `image/*` and `*/*` stand for many.

    A pickle never is, whatever is taken.
    """
    if any(word in media_type for word in _PICKLES):
        return False
    group = media_type.partition("/")[0]
    return any(each in (media_type, f"{group}/*", "*/*") for each in taken)
