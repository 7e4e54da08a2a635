"""Arrays of vectors. For type checkers alone: numpy comes with an extra, nothing needs it to run."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float32]
"""Shape (dims,), of length 1."""
Vectors: TypeAlias = NDArray[np.float32]
"""Shape (n, dims), each row of length 1."""
Keys: TypeAlias = NDArray[np.int64]
"""Shape (n,)."""
