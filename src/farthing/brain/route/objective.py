"""Choose the tier that answers, by predicted quality, cost and health.

    1. Tiers in a cooldown after failures, or that would be too late, are left out while another is left.
    2. Of the others, those are good enough whose expected loss against the best of all is within the floor.
    3. Of those, the one that costs least, or answers soonest, as configured.
    4. If none is good enough, the best.

Pure: it takes what is known and returns the choice with its reason.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from farthing.types import Target

OUTPUT_TOKENS = 400
"""Assumed length of an answer without an output limit; a smaller limit replaces it."""


class Option(Struct, frozen=True, kw_only=True):
    """One tier that could answer."""

    name: str
    probability: float
    """The probability that its answer is good."""
    cost_nusd: float | None = None
    """Expected cost; None: unknown, which never counts as cheaper than a known cost."""
    default: bool = False
    """The default tier; counts as the more expensive one if prices do not decide."""
    in_cooldown: bool = False
    """All its targets are in a cooldown after failures."""
    expected_s: float | None = None
    """Seconds until the end of its answer; None: unknown, which never counts as late."""
    warm: bool = False
    """Part of the prompt is probably in its provider's prefix cache; `cost_nusd` accounts for it."""


class Aim(Struct, frozen=True, kw_only=True):
    threshold: float
    """Quality floor: 1 minus the expected loss against the best tier that is still acceptable."""
    deadline_s: float | None = None
    prefer: Literal["cost", "latency"] = "cost"


class Choice(Struct, frozen=True):
    option: Option
    score: float
    """See `scores`."""
    reason: str
    """The reason, for a choice by a model's prediction."""
    how: str
    """Why this option and no other, in a phrase."""
    without: str
    """What was left out and why, `; without ...`; empty: nothing was."""
    good: bool
    """Whether it is good enough."""


def scores(options: Sequence[Option]) -> list[float]:
    """1 minus the probability by which each falls short of the best of all, including those in a cooldown."""
    best = max(option.probability for option in options)
    return [1.0 - (best - option.probability) for option in options]


def cheap_score(cheap: Option, expensive: Option) -> float:
    """1 minus the expected loss of quality at the cheap tier; above 1 if the cheap tier is expected to be
    better, so that those requests are ranked too."""
    return 1.0 - (expensive.probability - cheap.probability)


def choose(options: Sequence[Option], aim: Aim) -> Choice:
    """The choice among `options`, at least one. On a tie, the one named first."""
    score_of = {id(option): score for option, score in zip(options, scores(options), strict=True)}
    left, without = _well(options, aim)
    good = [option for option in left if score_of[id(option)] >= aim.threshold]
    if good:
        taken = min(good, key=lambda option: _worth(option, aim, score_of[id(option)]))
    else:
        taken = max(left, key=lambda option: score_of[id(option)])
    how, score = _how(taken, score_of[id(taken)], aim, good), score_of[id(taken)]
    left_out = f"; without {', '.join(without)}" if without else ""
    reason = _predicted(taken, score, aim, how, good=taken in good) + left_out
    return Choice(taken, score, reason, how, left_out, taken in good)


def choose_promised(cheap: Option, expensive: Option, aim: Aim, *, allowed: bool) -> tuple[Option, str]:
    """The choice under a policy that has `allowed` the cheap tier or not, and what else decided, for the
    reason. The expensive tier is always good enough; a cheap tier that is not allowed answers only if the
    expensive one cannot."""
    left, without = _well((cheap, expensive), aim)
    if len(left) == 1:
        return left[0], f"without {', '.join(without)}" if without else ""
    if not allowed:
        return expensive, ""
    if aim.prefer == "latency":
        sooner = cheap.expected_s is not None and expensive.expected_s is not None
        if sooner and (expensive.expected_s or 0.0) < (cheap.expected_s or 0.0):
            return expensive, f"{expensive.name} answers sooner"
        return cheap, ""
    known = cheap.cost_nusd is not None and expensive.cost_nusd is not None
    if known and (expensive.cost_nusd or 0.0) < (cheap.cost_nusd or 0.0):
        return expensive, f"{expensive.name} costs less now" + (
            ", prompt cache warm" if expensive.warm else ""
        )
    return cheap, ""


def _well(options: Sequence[Option], aim: Aim) -> tuple[list[Option], list[str]]:
    """Options that can answer in time, and which are left out and why."""
    without = []
    left = [option for option in options if not option.in_cooldown]
    if left and len(left) < len(options):
        without += [
            f"{option.name}: in a cooldown after failures" for option in options if option.in_cooldown
        ]
    left = left or list(options)
    deadline_s = aim.deadline_s
    if deadline_s is None:
        return left, without
    late = [option for option in left if option.expected_s is not None and option.expected_s > deadline_s]
    if len(late) == len(left):
        return [min(left, key=lambda option: option.expected_s or 0.0)], [*without, "all others: later still"]
    without += [f"{option.name}: {option.expected_s:.1f} s is too late" for option in late]
    return [option for option in left if option not in late], without


def _worth(option: Option, aim: Aim, score: float) -> tuple[float, float, bool, float]:
    """Sort key: smaller is better, the most important criterion first."""
    cost = float("inf") if option.cost_nusd is None else option.cost_nusd
    if aim.prefer == "latency":
        return (
            option.expected_s or 0.0,  # unknown counts as 0: it is tried until it is known
            cost,
            option.default,
            -score,
        )
    return (cost, 0.0, option.default, -score)


def _predicted(taken: Option, score: float, aim: Aim, how: str, *, good: bool) -> str:
    prediction = f"learned: {taken.name} expected right {taken.probability:.0%}"
    loss, floor = 1.0 - score, 1.0 - aim.threshold
    if good:
        return f"{prediction}, loses {loss:.1%} of {floor:.1%} allowed; {how}"
    return f"{prediction}, {how}; it loses {loss:.1%}, over the {floor:.1%} allowed"


def _how(taken: Option, score: float, aim: Aim, good: Sequence[Option]) -> str:
    if taken not in good:
        return "the best there is"
    if len(good) == 1:
        return "no other is good enough" if score > 1.0 - 1e-9 else "the only one good enough"
    way = "soonest" if aim.prefer == "latency" else "cheapest"
    return f"{way} of {len(good)} good enough" + (", prompt cache warm" if taken.warm else "")


def cost_nusd(
    target: Target,
    *,
    input_tokens: int,
    output_tokens_max: int | None,
    warm_tokens: int,
    writes: bool = False,
) -> float | None:
    """The expected cost of a call, `warm_tokens` of which are read from a prompt cache; None if the target
    has no price. `writes`: the rest of the prompt is written to one, where that has a price."""
    price = target.price
    if price is None:
        return None
    if (
        price.long is not None
        and price.long_over_tokens is not None
        and input_tokens > price.long_over_tokens
    ):
        price = price.long
    warm_pusd = price.input_pusd if price.cached_input_pusd is None else price.cached_input_pusd
    warm_tokens = min(warm_tokens, input_tokens)
    output_tokens = OUTPUT_TOKENS if output_tokens_max is None else min(OUTPUT_TOKENS, output_tokens_max)
    fresh_pusd = price.input_pusd
    if writes and price.cache_write_pusd is not None:
        fresh_pusd = price.cache_write_pusd
    total_pusd = (input_tokens - warm_tokens) * fresh_pusd + warm_tokens * warm_pusd
    return (total_pusd + output_tokens * price.output_pusd) / 1_000
