"""Splitting a set of vectors in two."""

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from farthing.stores.vector.codes import Codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask: TypeAlias = NDArray[np.bool_]

ROUNDS = 5
SMALLER_MIN = 8  # of one half: an eighth of all; otherwise they are split evenly


def halves(codes: Codes, weights: "NDArray[np.float32]") -> "Mask":
    """The rows of the second part, by two means on the sphere that start from two distant rows. If nearly
    all are on one side, rows are ranked by how far they lean to one of the two, and split evenly. Neither
    part is ever empty."""
    rows = codes * weights[:, None]
    whole = rows.sum(0)
    first = rows[(rows @ whole).argmin()]
    means = np.stack([first, rows[(rows @ first).argmin()]])
    count = len(rows)
    for _ in range(ROUNDS):
        near = rows @ means.T
        second: Mask = near[:, 1] > near[:, 0]
        size = int(np.count_nonzero(second))
        if not SMALLER_MIN * min(size, count - size) >= count:
            break
        there = second.astype(np.float32) @ rows
        means = np.stack([unit(whole - there), unit(there)])
    else:
        return second
    leaning = (near[:, 1] - near[:, 0]).argsort(kind="stable")
    second = np.zeros(count, np.bool_)
    second[leaning[count // 2 :]] = True
    return second


def unit(row: "NDArray[np.float32]") -> "NDArray[np.float32]":
    length = np.float32(np.sqrt(row @ row))
    return row / length if length > 0 else row
