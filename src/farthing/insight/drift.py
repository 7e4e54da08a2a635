"""Drift from the ledger: builds references, and reports how current traffic differs from them."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from farthing.errors import FarthingError
from farthing.guarantees.drift.detect import (
    ALPHA,
    BLOCK,
    PSI_MIN,
    WHAT_TO_DO,
    Compared,
    Gathering,
    Reference,
    name_of,
)
from farthing.guarantees.monitor.models import ModelChange
from farthing.ledger.rows import Intent
from farthing.types import Receipt, Signal


class TooFew(FarthingError):
    """There are too few requests to know their distribution."""

    code = "too_few"


class Drift(Struct, frozen=True, kw_only=True):
    """How an endpoint's traffic differs from its reference."""

    endpoint: str
    reference: Reference
    features: list[Compared]
    drifted: list[str]
    """The features whose change is significant and more than small."""
    model_changed: str = ""
    """Which target answers with another model than at the time of the reference, in words; empty: none."""


def gather(
    rows: Iterable[Intent | Receipt | Signal], endpoint: str, *, since_unix_s: float, until_unix_s: float
) -> Gathering:
    """Take the rows of `endpoint` in [since, until), in the order they came."""
    gathering = Gathering(endpoint)
    for row in rows:
        if not isinstance(row, Intent) and since_unix_s <= row.at_unix_s < until_unix_s:
            gathering.add(row)
    return gathering


def reference(gathering: Gathering, endpoint: str, now_unix_s: float) -> Reference:
    """Raises:
    TooFew: fewer than two blocks of requests.
    """
    found = gathering.reference(now_unix_s)
    if found is None:
        raise TooFew(
            f"`{endpoint}` has {gathering.n:,} requests from different sessions in that time, and a "
            f"reference takes {2 * BLOCK:,}: use a longer --since, or wait"
        )
    return found


def drift(gathering: Gathering, then: Reference, changed: tuple[str, ModelChange] | None = None) -> Drift:
    """Compare what was gathered with `then`. One comparison overall: features divide the confidence.
    `changed`: the last change of a model that answers there."""
    found = gathering.compared(then)
    limit = ALPHA / max(1, len(found))
    drifted = [one.feature for one in found if one.worse and one.psi >= PSI_MIN and one.p_value <= limit]
    newer = changed is not None and changed[1].at_unix_s > then.until_unix_s
    return Drift(
        endpoint=then.endpoint,
        reference=then,
        features=found,
        drifted=drifted,
        model_changed=changed[1].story(changed[0]) if changed is not None and newer else "",
    )


def story(found: Drift) -> Iterator[str]:
    """The result as lines of text."""
    then = found.reference
    if found.model_changed:
        yield (
            f"{found.endpoint}: {found.model_changed}: what was measured before says nothing of it; "
            "calibrate again"
        )
    if not found.features:
        yield f"{found.endpoint}: no requests to compare with the {then.n:,} requests of the reference"
        return
    yield f"{found.endpoint}: now against {then.n:,} requests of the reference"
    width = max(len(one.feature) for one in found.features)
    for one in sorted(found.features, key=lambda one: -one.psi):
        mark = "DRIFT" if one.feature in found.drifted else "     "
        chance = f"p {one.p_value:.1g}" if one.p_value >= 1e-12 else "p < 1e-12"
        yield f"  {mark} {one.feature:<{width}}  n {one.n:>7,}  PSI {one.psi:6.3f}  {chance:<10} {one.moved}"
    for name in dict.fromkeys(name_of(feature) for feature in found.drifted):
        yield f"  {name}: {WHAT_TO_DO[name]}"
    if not found.drifted:
        yield f"  no feature changed by a PSI of {PSI_MIN} or more beyond chance"
