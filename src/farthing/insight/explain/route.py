"""Why a request was routed as it was, what other tiers would have cost, and what was learned from it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from farthing.config import Config, lanes_of, region_at
from farthing.guarantees.certificates.routing import goes_cheap, segments_of
from farthing.guarantees.policy.versions import label_of, number_of
from farthing.insight.policies.state import PolicyStanding, standing
from farthing.insight.render.money import usd
from farthing.insight.report import token_counts
from farthing.insight.report.token_counts import TokenRatio
from farthing.ledger import read
from farthing.ledger.damage import Missing, describe_missing
from farthing.ledger.read import Row
from farthing.models.price_list import price_list
from farthing.models.pricing.cost import baseline_nusd, cost_nusd, unit_prices_usd, use_prices_usd
from farthing.types import OF_TEXT, Receipt, Signal


class OtherTier(msgspec.Struct, frozen=True, kw_only=True):
    """The price of the same tokens at a configured tier."""

    tier: str
    target: str
    """Its first target, or the one that answered."""
    cost_nusd: int | None
    """None: its price, or the number of tokens, is unknown."""
    taken: bool
    """This tier answered."""


class CallPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What a call of the request was charged by, on the day of the request."""

    call: int
    """Its number among the calls, from 1."""
    usd_per_million: dict[str, str]
    """US dollars for a million tokens of each class that it used, as decimals."""
    usd_per_1000: dict[str, str] = {}
    """US dollars for a thousand uses of what else it is charged for, as decimals; `request`: the call."""
    cost_nusd: int
    """What these come to."""
    booked_nusd: int
    """The cost that was reckoned then. Another one where the prices have changed since."""


class CallRegion(msgspec.Struct, frozen=True, kw_only=True):
    """Where a call of the request went."""

    call: int
    """Its number among the calls, from 1."""
    region: str
    """As the provider's table or its address says now; empty: neither does."""


class BackgroundJob(msgspec.Struct, frozen=True, kw_only=True):
    """An internal request of the gateway about this request."""

    request_id: str
    purpose: str
    tier: str
    target: str
    status: int
    error: str | None
    cost_nusd: int | None
    total_ms: float


class Ruled(msgspec.Struct, frozen=True, kw_only=True):
    """The version of the policy that decided, in its present state."""

    policy: str
    threshold: float | None
    """The certificate's threshold; None: the version is the configuration, or is no longer kept."""
    risk_max: float | None
    covered: bool | None
    """Whether the certificate lets a request with this score and these segments go to the cheap tier; None:
    no certificate, or no score."""
    retreated: bool | None
    """Whether the monitor keeps it with the expensive tier now; None: no audits yet."""
    serving: bool
    candidate: bool


class RouteDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known besides the receipt."""

    ruled: Ruled | None
    """None: no policy decided."""
    tiers: list[OtherTier] | None
    """None: the configuration is unknown."""
    signals: list[Signal]
    prices: list[CallPrice]
    """Of the calls that have a price; empty: none has, or the configuration is unknown."""
    jobs: list[BackgroundJob]
    regions: list[CallRegion] = []
    """Of the calls whose provider is configured; empty: none is, or the configuration is unknown."""
    token_ratios: list[TokenRatio] = []
    """How the token counts of the providers that were called compare with ours, as learned by now."""
    missing: Missing = msgspec.field(default_factory=Missing)
    """The damage in the ledger since the request; signals and background jobs about it may be lost there."""


def route_details(
    receipt: Receipt, *, ledger: Path | Sequence[Path], state_dir: Path, config: Config | None
) -> RouteDetails:
    """Read what is known about `receipt`: policy, prices of `config` on its day, signals and background jobs.

    Raises:
        ConfigError: the policy's file cannot be read.
    """
    policy = standing(state_dir, receipt.endpoint) if receipt.route_policy else None
    missing = Missing()
    signals, jobs = about(read.read_all(ledger, receipt.at_unix_s, missing), receipt)
    known = token_counts.read(state_dir)
    called = dict.fromkeys(attempt.target for attempt in receipt.attempts)
    return RouteDetails(
        ruled=None if not receipt.route_policy else ruled(receipt, policy),
        tiers=None if config is None or not config.tiers else other_tiers(receipt, config),
        signals=signals,
        prices=[] if config is None else call_prices(receipt, config),
        regions=[] if config is None else call_regions(receipt, config),
        jobs=jobs,
        token_ratios=[one for target in called for one in token_counts.of_target(known, target)],
        missing=missing,
    )


def about(rows: Iterable[Row], receipt: Receipt) -> tuple[list[Signal], list[BackgroundJob]]:
    """The signals about `receipt` from its own tenant, and its background jobs, in the order they were
    written."""
    signals, jobs = [], []
    for row in rows:
        if isinstance(row, Signal):
            if row.request_id == receipt.request_id and row.tenant == receipt.tenant:
                signals.append(row)
        elif isinstance(row, Receipt) and row.purpose and row.about == receipt.request_id:
            jobs.append(
                BackgroundJob(
                    request_id=row.request_id,
                    purpose=row.purpose,
                    tier=row.tier,
                    target=row.target,
                    status=row.status,
                    error=row.error,
                    cost_nusd=row.cost_nusd,
                    total_ms=row.total_ms,
                )
            )
    return signals, jobs


def call_prices(receipt: Receipt, config: Config) -> list[CallPrice]:
    """The unit prices of each call with a known cost and usage, by the price list and `[[prices]]`."""
    catalogue = price_list(config)
    day = _day(receipt.at_unix_s)
    found = []
    for number, attempt in enumerate(receipt.attempts, 1):
        usage = attempt.usage
        provider, _, model = attempt.target.partition("/")
        price = catalogue.price(provider, model, day)
        cost = cost_nusd(price, usage)
        booked = attempt.cost_nusd if attempt.reckoned_nusd is None else attempt.reckoned_nusd
        if price is None or usage is None or usage.passes is not None or cost is None or booked is None:
            continue
        units = {name: f"{pusd.normalize():f}" for name, pusd in unit_prices_usd(price, usage).items()}
        uses = {name: f"{one.normalize():f}" for name, one in use_prices_usd(price, usage).items()}
        found.append(
            CallPrice(
                call=number,
                usd_per_million=units,
                usd_per_1000=uses,
                cost_nusd=cost,
                booked_nusd=booked,
            )
        )
    return found


def call_regions(receipt: Receipt, config: Config) -> list[CallRegion]:
    """Where each call went, by what `config` says of the address that was called."""
    found = []
    for number, attempt in enumerate(receipt.attempts, 1):
        name, _, model = attempt.target.partition("/")
        provider = config.providers.get(name)
        for lane in () if provider is None else lanes_of(name, provider):
            if lane.label == attempt.lane:
                region = region_at(lane.config.base_url, lane.region, model)
                found.append(CallRegion(call=number, region=region))
    return found


def other_tiers(receipt: Receipt, config: Config) -> list[OtherTier]:
    """Every tier of `config` with what it would have charged on the day of the request, assuming the same
    part of the prompt in its provider's prefix cache. Empty where they could not have answered."""
    if receipt.operation not in OF_TEXT:
        return []
    catalogue = price_list(config)
    day = _day(receipt.at_unix_s)
    found = []
    for name, tier in config.tiers.items():
        taken = name == receipt.tier and bool(receipt.target)  # no target: no tier answered
        target = receipt.target if taken and receipt.target in tier.targets else tier.targets[0]
        provider, _, model = target.partition("/")
        price = catalogue.price(provider, model, day)
        cost = baseline_nusd(price, receipt.usage)
        found.append(OtherTier(tier=name, target=target, cost_nusd=cost, taken=taken))
    return found


def _day(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).date().isoformat()


def ruled(receipt: Receipt, policy: PolicyStanding | None) -> Ruled:
    """The present state of the version that decided, if it is still kept."""
    label = receipt.route_policy
    number = number_of(label)
    version = None if policy is None or number is None else policy.book.version(number)
    watch = None if policy is None or number is None else policy.watched.get(number)
    covered = None
    if version is not None and receipt.route_score is not None:
        segments = segments_of(receipt.task_type, receipt.domain, receipt.language)
        covered = goes_cheap(version.certificate, receipt.route_score, segments)
    book = None if policy is None else policy.book
    return Ruled(
        policy=label,
        threshold=None if version is None else version.certificate.threshold,
        risk_max=None if version is None else version.certificate.risk_max,
        covered=covered,
        retreated=None if watch is None else watch.retreated,
        serving=book is not None and label == label_of(book.endpoint, book.serving),
        candidate=book is not None and book.candidate == number,
    )


# -- for people -------------------------------------------------------------------------------------


def details(receipt: Receipt, found: RouteDetails) -> list[str]:
    """The lines that follow the receipt's own."""
    lines = [f"  price {one.call}  {_price(one)}" for one in found.prices]
    lines += [f"  region {one.call} {one.region}" for one in found.regions if one.region]
    lines += [f"  counts   {_counts(one)}" for one in found.token_ratios]
    lines += _decision(receipt, found.ruled)
    lines += _others(receipt, found.tiers)
    lines += [f"  learned  {_signal(one)}" for one in found.signals]
    lines += [f"  job      {_job(one)}" for one in found.jobs]
    if found.missing.places:
        lines.append(f"  damaged  signals may be missing: {describe_missing(found.missing)}")
    return lines


def _others(receipt: Receipt, tiers: list[OtherTier] | None) -> list[str]:
    if receipt.operation not in OF_TEXT or (receipt.usage is None and not receipt.calls):
        return []
    if tiers is None:
        return [
            "  others   the cost of other tiers is unknown: name the gateway's configuration with --config"
        ]
    if receipt.usage is None:
        return ["  others   what other tiers would have cost is unknown, as the tokens are"]
    return [f"  {'others' if i == 0 else '':<8} {_tier(one)}" for i, one in enumerate(tiers)]


def _decision(receipt: Receipt, rule: Ruled | None) -> list[str]:
    lines = []
    if receipt.route_by:
        lines.append(f"  scored   by {receipt.route_by}")
    if rule is not None:
        lines.append(f"  policy   {_ruled(receipt, rule)}")
    if receipt.explored:
        drawn = f"drawn with probability {receipt.propensity:.3g}"
        lines.append(f"  explored tier {receipt.explored} was asked too, in the background; {drawn}")
    return lines


def _ruled(receipt: Receipt, rule: Ruled) -> str:
    now = "serving" if rule.serving else "on trial" if rule.candidate else "no longer in use"
    text = f"{rule.policy}, {now}"
    if rule.threshold is None:
        return f"{text}: the configuration alone" if number_of(rule.policy) == 0 else f"{text}, not kept"
    text += f": cheap from score {rule.threshold:.4g} on, for a loss of at most {rule.risk_max:.3g}"
    if receipt.route_score is not None and receipt.route_score < rule.threshold:
        text += f"; {receipt.route_score:.4g} is below it"
    elif rule.covered is False:
        text += "; the certificate does not cover its kind of request"
    if rule.retreated:
        text += "; the monitor has tripped since"
    return text


def _counts(one: TokenRatio) -> str:
    return f"{one.family} counts tokens as multiples of our estimate: {token_counts.said(one)}"


def _price(one: CallPrice) -> str:
    parts = [
        f"US dollars {what}: {', '.join(f'{name} ${usd_each}' for name, usd_each in units.items())}"
        for what, units in (("per million tokens", one.usd_per_million), ("per 1,000", one.usd_per_1000))
        if units
    ]
    changed = one.cost_nusd != one.booked_nusd
    since = f"; these come to {usd(one.cost_nusd)}: the prices have changed since" if changed else ""
    return f"{'; '.join(parts)}{since}"


def _tier(one: OtherTier) -> str:
    cost = "unknown" if one.cost_nusd is None else usd(one.cost_nusd)
    return f"{one.tier} ({one.target}): {cost} for the same tokens{', answered' if one.taken else ''}"


def _signal(one: Signal) -> str:
    quality = "cannot be told" if one.quality is None else f"{one.quality:.2f} of 1"
    whose = f"the answer of {one.tier}" if one.tier else "the answer"
    beside = f" beside that of {one.other}" if one.other else ""
    by = f", by {one.by}" if one.by else ""
    turned = {True: ", the same in both orders", False: ", but another in the other order", None: ""}
    detail = f": {one.detail}" if one.detail else ""
    kind = f" {one.kind}" if one.kind else ""
    return f"{one.source}{kind} on {whose}{beside}: {quality}{by}{turned[one.consistent]}{detail}"


def _job(one: BackgroundJob) -> str:
    cost = "cost unknown" if one.cost_nusd is None else usd(one.cost_nusd)
    outcome = f"HTTP {one.status}" + (f", {one.error}" if one.error else "")
    tier = f" tier {one.tier}," if one.tier else ""
    return f"{one.purpose}:{tier} {one.target or 'no target'}, {outcome}, {cost}, {one.total_ms:.0f} ms"


def to_json(found: RouteDetails) -> Mapping[str, object]:
    """By field names, including signals, which are stored as arrays."""
    signals: Sequence[dict[str, object]] = [
        {name: getattr(one, name) for name in one.__struct_fields__} for one in found.signals
    ]
    plain: dict[str, object] = msgspec.to_builtins(msgspec.structs.replace(found, signals=[]))
    return {**plain, "signals": signals}
