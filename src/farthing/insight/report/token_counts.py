"""How providers' own token counts compare with the gateway's, from the file beside its ledger."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from farthing.insight.render.rows import counted
from farthing.stores import token_ratios
from farthing.stores.token_ratios import Basis, Kind, Ratio, family_of

SHOWN_MAX = 20
_KINDS: dict[Kind, str] = {"latin": "text", "other": "other scripts", "short": "short prompts"}


class TokenRatio(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's input tokens as multiples of ours, for one kind of prompt."""

    family: str
    """`provider/model`, the model without its date."""
    basis: Basis
    """Of what: the estimate that every prompt gets, or a count with a vocabulary."""
    kind: Kind
    ratio: float
    low: float
    """Of 100 prompts, 5 had less."""
    high: float
    """Of 100 prompts, 5 had more."""
    error_share: float
    samples: int
    """Prompts that it was learned from."""


def read(state_dir: Path) -> list[TokenRatio]:
    """What the gateway has learned, some seconds old, those that were learned from last first."""
    return [_told(one) for one in reversed(token_ratios.load(state_dir)) if one.samples]


def _told(one: Ratio) -> TokenRatio:
    return TokenRatio(
        family=one.family,
        basis=one.basis,
        kind=one.kind,
        ratio=round(one.ratio, 4),
        low=round(one.low, 4),
        high=round(one.high, 4),
        error_share=round(one.error_share, 4),
        samples=one.samples,
    )


def of_target(ratios: Sequence[TokenRatio], target: str) -> list[TokenRatio]:
    """Those of the estimate for one target."""
    family = family_of(target)
    return [one for one in ratios if one.family == family and one.basis == "estimate"]


def lines(ratios: Sequence[TokenRatio]) -> Iterator[str]:
    """One line for each family, of its estimates."""
    families = dict.fromkeys(one.family for one in ratios if one.basis == "estimate")
    for family in list(families)[:SHOWN_MAX]:
        yield f"  {family}: {'; '.join(map(said, of_target(ratios, family)))}"
    if len(families) > SHOWN_MAX:
        yield f"  and {counted(len(families) - SHOWN_MAX, 'more family', 'more families')}: see --json"


def said(one: TokenRatio) -> str:
    """The ratio, and between what it lies for nine prompts in ten."""
    prompts = counted(one.samples, "prompt")
    return f"{_KINDS[one.kind]} {one.ratio:.2f} ({one.low:.2f} to {one.high:.2f}, {prompts})"
