"""The file in which the gateway keeps how providers' own token counts compare with ours.

Numbers only, by model: nothing of what anybody asked is in it. A lost file does no harm, it is learned anew.
"""

import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import msgspec

FILE: Final = "token-ratios.json"
VERSION: Final = 1
SAMPLES_MAX: Final = 64
"""Of one ratio; the newest stay."""
ROWS_MAX: Final = 1_024

Basis = Literal["estimate", "count"]
"""What the ratio is to: the estimate that every request gets, or a count with the vocabulary o200k_base."""
Kind = Literal["short", "latin", "other"]
"""What the prompts were: short ones, where what the chat format adds weighs; mostly ASCII; other scripts."""


_TAIL = re.compile(
    r"(?:[@:].*$)|(?:[-_](?:\d{8}|\d{4}-\d{2}-\d{2}|\d{2}-\d{4}|\d{2}-\d{2}|\d{4}|\d{3}|latest|preview|exp|stable)$)"
)
_NAME_CHARS_MAX = 80


@lru_cache(maxsize=512)
def family_of(target: str) -> str:
    """`provider/model` of a target's name, in lower case, the model without date, `-latest` and what follows
    a colon: what is taken to count alike. Without a provider, the model alone."""
    name = target.lower()[:_NAME_CHARS_MAX]
    for _ in range(3):
        cut = _TAIL.sub("", name)
        if cut == name or not cut or cut.endswith(("/", "-")):
            break
        name = cut
    return name


class Ratio(msgspec.Struct, kw_only=True):
    """The provider's own input tokens as multiples of ours, over the newest prompts of one kind."""

    family: str
    """`provider/model`, the model without its date."""
    basis: Basis
    kind: Kind
    ratio: float
    """The median."""
    low: float
    """Of 100 prompts, 5 had less."""
    high: float
    """Of 100 prompts, 5 had more."""
    samples: int
    """Prompts that were learned from, ever."""
    logs: list[float] = []
    """Natural logarithms of the newest ones, oldest first, at most `SAMPLES_MAX`."""

    @property
    def sound(self) -> bool:
        """Whether all of its numbers can be."""
        told = (self.ratio, self.low, self.high)
        return (
            all(math.isfinite(one) and one > 0 for one in told)
            and self.low <= self.ratio <= self.high
            and self.samples >= 0
            and len(self.logs) <= SAMPLES_MAX
            and all(math.isfinite(one) and abs(one) < 10 for one in self.logs)
        )

    @property
    def error_share(self) -> float:
        """The larger of the two distances to `low` and `high`, as a share of `ratio`."""
        return max(self.high / self.ratio - 1.0, 1.0 - self.low / self.ratio)


class Ratios(msgspec.Struct, kw_only=True):
    """The whole file."""

    version: int
    ratios: list[Ratio]


def encode(ratios: list[Ratio]) -> bytes:
    """The bytes of the file."""
    return msgspec.json.encode(Ratios(version=VERSION, ratios=ratios))


def decode(data: bytes) -> list[Ratio]:
    """What `encode` was given.

    Raises:
        ValueError: it is not that, or of another version.
    """
    read = msgspec.json.decode(data, type=Ratios)
    if read.version != VERSION:
        raise ValueError(f"it has version {read.version}, this Farthing reads {VERSION}")
    if len(read.ratios) > ROWS_MAX or not all(one.sound for one in read.ratios):
        raise ValueError("it has numbers that cannot be")
    return read.ratios


def load(state_dir: Path) -> list[Ratio]:
    """What a gateway on this state directory has learned; empty where there is no file, or none to read."""
    try:
        return decode((state_dir / FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
