"""Predictors as a project has them; the tests copy this file into the folder of its code."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image as Pillow

from mlwright import File, Image, Refused, Table, Tensor, Video, step


@step
def grey(pixels: np.ndarray) -> np.ndarray:
    """A step of the pipeline, which the predictor calls too."""
    return pixels.reshape(-1) / 16


class DigitReader:
    """Several pictures at once."""

    def load(self, model: Any) -> None:
        self.model = model
        self.batches: list[int] = []

    def decode(self, image: Annotated[Image, "image/png"]) -> np.ndarray:
        pixels = image.array("L")
        if pixels.shape != (8, 8):
            raise Refused(f"a digit has 8 x 8 pixels, and this picture {pixels.shape[1]} x {pixels.shape[0]}")
        return grey(pixels)

    def predict(self, digits: list[np.ndarray]) -> list[np.ndarray]:
        return list(self.model.predict_proba(np.stack(digits)))

    def encode(self, shares: np.ndarray) -> dict[str, float]:
        return {str(digit): float(share) for digit, share in enumerate(shares)}


class FrameReader:
    """A film, answered frame by frame."""

    def load(self, model: Any) -> None:
        self.model = model

    def predict(self, video: Video, every: int = 1, until: float | None = None) -> Iterator[dict[str, Any]]:
        assert isinstance(video.path, Path)
        try:
            with Pillow.open(video.path) as film:
                for number in range(0, film.n_frames, every):
                    if until is not None and number >= until:
                        raise ValueError(f"no frame {number}")
                    film.seek(number)
                    share = self.model.predict(grey(np.asarray(film.convert("L")))[None])
                    yield {"frame": number, "digit": int(share[0])}
        except OSError as error:
            raise Refused("this is no film") from error


class Sums:
    """Tensors, a scalar with a default, and any JSON."""

    def load(self, model: Any) -> None:
        pass

    def predict(
        self, points: Annotated[np.ndarray, Tensor("float32", -1, 2)], scale: float = 1.0, note: Any = None
    ) -> dict[str, Any]:
        return {"sum": points.sum(axis=0) * scale, "dtype": str(points.dtype), "note": note}


class Sizes:
    """Any file."""

    def load(self, model: Any) -> None:
        pass

    def predict(self, file: File) -> dict[str, Any]:
        return {"size": len(file.read()), "ours": "passwd" not in str(file.path), "type": file.media_type}


class Endless:
    """Answers until nobody listens."""

    def load(self, model: Any) -> None:
        pass

    def predict(self, file: File) -> Iterator[str]:
        try:
            while True:
                yield "x" * 10_000
        finally:
            file.path.with_name("closed").touch()


class Thumbnail:
    """A picture from a picture."""

    def load(self, model: Any) -> None:
        pass

    def predict(self, image: Image) -> Image:
        made = io.BytesIO()
        Pillow.fromarray(image.array()[::2, ::2]).save(made, "PNG")
        return Image(made.getvalue())


class Ages:
    """A table, with an answer to each row."""

    def load(self, model: Any) -> None:
        self.model = model

    def predict(self, table: Table) -> list[dict[str, Any]]:
        return [{"old": bool(age > 50)} for age in table["age"]]
