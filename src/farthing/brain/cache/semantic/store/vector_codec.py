"""Vectors as they are written into the entries' file."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from farthing.protocols import Vector


def narrowed(vector: "Vector") -> bytes:
    """A vector as it is written: half precision, which changes a cosine by less than 0.001."""
    return np.asarray(vector, np.float16).tobytes()


def widened(written: bytes) -> "Vector":
    """A vector as it was written, of length 1 again."""
    vector = np.frombuffer(written, np.float16).astype(np.float32)
    length = float(np.sqrt(vector @ vector))
    return vector if length == 0.0 else vector / np.float32(length)
