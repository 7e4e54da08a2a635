"""The format of vectors in the entries' file."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from farthing.protocols import Vector


def narrowed(vector: "Vector") -> bytes:
    """Encode a vector in half precision, which changes a cosine by less than 0.001."""
    return np.asarray(vector, np.float16).tobytes()


def widened(written: bytes) -> "Vector":
    """Decode a stored vector, normalised to length 1."""
    vector = np.frombuffer(written, np.float16).astype(np.float32)
    length = float(np.sqrt(vector @ vector))
    return vector if length == 0.0 else vector / np.float32(length)
