"""Forms with files: the parts of a `multipart/form-data` body, as they come.

Source: RFC 7578. Names of files are the client's own affair: they are not looked at.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

import multipart

from mlwright.serving.problems import Problem

FORM = "multipart/form-data"
MAX_PARTS = 1000
_HEADER_BYTES = 2048


class Part:
    """One part of a form; its content must be read before the next one comes.

    Args:
        name: of the field.
        media_type: as it was declared, with its parameters; empty where none was.
    """

    def __init__(self, name: str, media_type: str, content: AsyncGenerator[bytes]) -> None:
        self.name = name
        self.media_type = media_type
        self.content = content


async def parts_of(content_type: str, pieces: AsyncIterator[bytes]) -> AsyncGenerator[Part]:
    """The parts of a form.

    Args:
        content_type: the header, with the boundary.
        pieces: the body.

    Raises:
        Problem: 400, it is no form, or ends too early; 413, it has too many parts.
    """
    try:
        _, options = multipart.parse_options_header(content_type[:1024])
        parser = multipart.PushMultipartParser(
            options.get("boundary", ""),
            max_header_size=_HEADER_BYTES,
            max_header_count=8,
            max_segment_count=MAX_PARTS,
            strict=True,
        )
    except (multipart.MultipartError, ValueError):
        raise Problem(400, "the form has no boundary in its content type") from None
    events = _events(parser, pieces)
    async for event in events:
        assert isinstance(event, multipart.MultipartSegment)
        content = _content(events)
        yield Part(str(event.name or ""), event.header("Content-Type") or "", content)
        async for _ in content:  # what nobody read
            pass


async def _events(
    parser: multipart.PushMultipartParser, pieces: AsyncIterator[bytes]
) -> AsyncGenerator[multipart.MultipartSegment | bytes | None]:
    """The beginning of each part, its bytes, and None for its end."""
    try:
        async for piece in pieces:
            if parser.closed:
                continue  # an epilogue, which is nothing
            for event in parser.parse(piece):
                yield event
        parser.close()
    except multipart.ParserLimitReached as error:
        raise Problem(413, f"the form is too large: {str(error).lower()}") from None
    except (multipart.MultipartError, ValueError) as error:
        raise Problem(400, f"the form cannot be read: {str(error).lower()}") from None


async def _content(
    events: AsyncGenerator[multipart.MultipartSegment | bytes | None],
) -> AsyncGenerator[bytes]:
    async for event in events:
        if event is None:
            return
        assert isinstance(event, bytes)
        yield event
