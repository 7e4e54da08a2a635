"""One request as a short report, from its receipt."""

import difflib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from farthing.errors import FarthingError
from farthing.insight.explain.route import RouteDetails, details
from farthing.insight.prompt_cache import words
from farthing.insight.render.money import usd
from farthing.insight.render.rows import counted
from farthing.insight.report.report import lost
from farthing.ledger import files, read
from farthing.ledger.damage import Missing, describe_missing
from farthing.ledger.rows import Intent
from farthing.types import (
    EJECTED,
    FULL,
    HEDGE_LOST,
    OPEN,
    PAUSED,
    UNKNOWN,
    Attempt,
    Pass,
    PromptCacheUse,
    Receipt,
    Usage,
    differs,
    saved_nusd,
)

RECENT_MAX = 2_000  # receipts searched for an id similar to a mistyped one
NEAR_MAX = 3
INDENT = 11  # of the text, next to the labels
CLASSES = tuple(
    name
    for name in Usage.__struct_fields__
    if name.startswith(("cache_write", "audio", "image", "cached_audio", "cached_image"))
)

ERRORS = {HEDGE_LOST: "dropped (hedge_lost), since the other began to answer first"}
"""Errors of attempts that are told in more words."""

SKIPPED = {
    "residency": "not asked, as it does not answer within the regions of the endpoint",
    "cannot_say": "not asked, as it does not take something in the request",
    PAUSED: "not asked, as it had asked for a pause",
    OPEN: "not asked, as its breaker was open: too many of its calls had failed",
    EJECTED: "not asked, as it did much worse than others of its route",
    FULL: "not asked, as it had as many calls as it takes",
}
"""Why a target was passed over without a call, in more words."""

CACHE_STORIES = {
    "miss": "asked, had nothing",
    "exact": "answered: the same question was answered before",
    "semantic": "answered: a question with the same meaning was answered before",
    "coalesced": "shared the call of an identical request that was already running",
    "off": "not asked",
}


ASKED_ANEW = {
    "sampled": "the request asked for a sample",
    "named": "the request named a model without a temperature or a seed",
    "again": "not asked: the same session or user received this answer a moment ago, and wants another",
}


class UnknownRequest(FarthingError):
    """No row of the ledger has this id."""

    code = "unknown_request"


def find(ledger: Path | Sequence[Path], request_id: str) -> Receipt | Intent:
    """The receipt of `request_id`, or its last intent if its process died or is still working on it.

    A provider's id of one of the calls finds it too: that is what Anthropic's clients show of an error that a
    provider of Messages wrote.

    Raises:
        UnknownRequest: there is neither; the message names the nearest recent ids.
    """
    ledgers = (ledger,) if isinstance(ledger, Path) else ledger
    rows: list[Receipt | Intent] = [row for one in ledgers if (row := read.find(one, request_id)) is not None]
    if not rows:
        rows = [row for one in ledgers if (row := read.find_call(one, request_id)) is not None]
    if rows:
        return next((row for row in rows if isinstance(row, Receipt)), rows[0])
    ids = [receipt.request_id for one in ledgers for receipt in read.recent(one, RECENT_MAX)]
    missing = read.damaged(ledgers)
    damage = f"; it may be in the damaged part: {describe_missing(missing)}" if missing.places else ""
    damage += "".join(f"; it may be among these: {line}" for line in lost(files.unwritten(ledgers)))
    named = ", ".join(map(str, ledgers))
    if not ids:
        raise UnknownRequest(
            f"no request {request_id!r}: the ledger in {named} has no receipts; "
            f"name the gateway's ledger with --ledger or its configuration with --config{damage}"
        )
    near = difflib.get_close_matches(request_id, ids, NEAR_MAX, cutoff=0.7)
    hint = f"did you mean {', '.join(near)}" if near else f"the last ones are {', '.join(ids[-NEAR_MAX:])}"
    raise UnknownRequest(f"no request {request_id!r} in the ledger in {named}; {hint}{damage}")


def to_json(row: Receipt | Intent) -> dict[str, Any]:
    """`row` by field names, with `outcome` added; unknown values are null."""
    if isinstance(row, Intent):
        named = msgspec.structs.asdict(row)
        return {"outcome": "in_flight" if row.live else "unknown", **named}
    named = {"outcome": "finished", **_named(row), "saved_nusd": saved_nusd(row)}
    del named["started_s"]  # a monotonic time means nothing here
    return named


def _named(value: Any) -> Any:
    if isinstance(value, Receipt | Attempt | Usage | Pass | PromptCacheUse):
        return {name: _named(getattr(value, name)) for name in value.__struct_fields__}
    return [_named(one) for one in value] if isinstance(value, list | tuple) else value


def story(
    row: Receipt | Intent, beside: RouteDetails | None = None, missing: Missing | None = None
) -> list[str]:
    """`row` in plain lines: who asked what, the decisions and calls, cost and time, and what is known besides
    the receipt. `missing`: the damage, if no receipt was found."""
    lines = _unfinished(row, missing) if isinstance(row, Intent) else list(_lines(row))
    if beside is not None and isinstance(row, Receipt):
        lines += details(row, beside)
    return [printable(line) for line in lines]


def printable(line: str) -> str:
    """The text includes clients' and providers' strings: remove control characters, which could steer a
    terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def _unfinished(intent: Intent, missing: Missing | None) -> list[str]:
    if intent.live:
        outcome = "The call may still be in flight."
    elif missing is not None and missing.places:
        damage = describe_missing(missing)
        outcome = f"Outcome and cost are unknown: the gateway died, or the receipt is lost. {damage}"
    else:
        outcome = "The gateway died before its receipt was written: outcome and cost are unknown."
    return [
        f"Request {intent.request_id}, {moment(intent.at_unix_s)}",
        f"  call     {intent.attempt} of {intent.target} was about to be made",
        f"  outcome  {outcome}",
    ]


def _lines(receipt: Receipt) -> Iterator[str]:
    yield f"Request {receipt.request_id}, {moment(receipt.at_unix_s)}"
    if receipt.purpose:
        yield f"  job      {_job(receipt)}"
    yield f"  asked    {_asked(receipt)}"
    yield f"  is       {_traits(receipt)}"
    yield f"  cache    {_cache(receipt)}"
    if receipt.cache_entry:
        yield f"  similar  {_similar(receipt)}"
    yield f"  route    {_route(receipt)}"
    for number, attempt in enumerate(receipt.attempts, 1):
        yield f"  call {number}   {_attempt(attempt)}"
        if attempt.left_out:
            yield f"  left out {_left_out(attempt)}"
        if attempt.prompt_cache is not None:
            yield f"  prefix {number} {words.told(attempt.prompt_cache, attempt.usage)}"
        way = _way(attempt)
        if way:
            yield f"  network  {way}"
        made = _made(attempt)
        if made:
            yield f"  model    {made}"
    if not receipt.attempts:
        yield "  calls    none"
    if receipt.doubt or receipt.check_score is not None:
        yield f"  checks   {_checks(receipt)}"
    yield f"  outcome  {_outcome(receipt)}"
    yield f"  cost     {_cost(receipt)}"
    yield f"  baseline {_baseline(receipt)}"
    yield f"  time     {_time(receipt)}"
    for step, error in receipt.skipped.items():
        code, _, lasts = error.partition(" ")
        told = f"{SKIPPED[code]}; {lasts} of that were left" if code in SKIPPED and lasts else ""
        yield f"  skipped  {step}: {told or SKIPPED.get(error, error)}"
    if receipt.policy or receipt.price_version:
        policy, prices = receipt.policy or UNKNOWN, receipt.price_version or UNKNOWN
        yield f"  under    configuration {policy}, prices {prices}"


JOBS = {
    "judge": "to grade the answer to {about}",
    "judge of the cache": "to learn whether the fresh answer to {about} agrees with the stored one",
    "explore": "to see how well the other tier answers {about}, whose client already has an answer",
    "route": "to learn whether the question of {about} is easy",
    "precompute": "to have an answer before it is asked for ({about})",
    "refresh": "to see whether the stored answer {about} is still right",
}
AUDITS = {
    "agrees": "the fresh answer agrees with it",
    "differs": "the fresh answer differs: it would have been a false hit",
    "pending": "the fresh answer has other words; a judge will compare them (see the job about this id)",
}


def _similar(receipt: Receipt) -> str:
    """What the semantic cache found, and whether it was served."""
    entry = f"entry {receipt.cache_entry}"
    if receipt.cache_probability is not None:
        entry += f", right with probability {receipt.cache_probability:.4f} according to the verifier"
    if receipt.cache == "semantic":
        return f"{entry}: served"
    if not receipt.cache_would_hit:
        return f"{entry}: not served, the probability is too low"
    if receipt.audit:
        return f"{entry}: not served but audited; {AUDITS[receipt.audit]}"
    return f"{entry}: not served, though it could have been"


def _job(receipt: Receipt) -> str:
    about = receipt.about or "an entry"
    found = {"agrees": "; they agree", "differs": "; they differ"}.get(receipt.audit, "")
    of_the_cache = receipt.purpose == "judge" and (receipt.cache_entry or receipt.audit)
    why = JOBS["judge of the cache" if of_the_cache else receipt.purpose].format(about=about)
    return f"by the gateway itself, {receipt.purpose}: {why}{found}"


def _asked(receipt: Receipt) -> str:
    what = receipt.operation if receipt.dialect == "chat" else receipt.dialect
    parts = [
        f"{what} of {receipt.model_asked or 'no model'!r} at endpoint {receipt.endpoint}",
        f"tenant {receipt.tenant}" if receipt.tenant else "",
        f"key {receipt.key}" if receipt.key else "",
        f"session {receipt.session}" if receipt.session else "",
        f"agent {receipt.agent}" if receipt.agent else "",
        "streamed" if receipt.stream else "whole",
        f"retry {receipt.client_retry} of the client" if receipt.client_retry else "",
    ]
    return ", ".join(part for part in parts if part)


def _traits(receipt: Receipt) -> str:
    return (
        f"task {receipt.task_type}, complexity {receipt.complexity:.2f}, risk {receipt.risk}, "
        f"domain {receipt.domain}, language {receipt.language}"
        f"{', with retrieved passages' if receipt.rag_used else ''}"
    )


def _cache(receipt: Receipt) -> str:
    similarity = f" (similarity {receipt.similarity:.4f})" if receipt.similarity is not None else ""
    observed = "; it only observes, and would have answered" if receipt.cache_would_hit else ""
    story = CACHE_STORIES[receipt.cache]
    if receipt.asked_anew == "again":
        story = ASKED_ANEW["again"]
    elif receipt.asked_anew:
        story += f", {ASKED_ANEW[receipt.asked_anew]}"
    return f"{receipt.cache}: {story}{similarity}{observed}"


def _route(receipt: Receipt) -> str:
    why = f" ({receipt.route_reason})" if receipt.route_reason else ""
    if not receipt.tier:
        return f"{receipt.target}, which is in no tier{why}" if receipt.target else f"no tier was chosen{why}"
    target = f", {receipt.target}" if receipt.target else ""
    score = f" (score {receipt.route_score:.3f})" if receipt.route_score is not None else ""
    return f"tier {receipt.tier}{target}: {receipt.route_reason or 'no reason given'}{score}"


def _attempt(attempt: Attempt) -> str:
    parts = [
        f"{attempt.target}{f' ({attempt.tier})' if attempt.tier else ''} at {attempt.started_ms:.1f} ms",
        f"by {attempt.lane}" if attempt.lane else "",
        "beside the call before, which was slow to begin" if attempt.hedge else "",
        "to go on with the answer that broke off" if attempt.continues else "",
        f"first byte after {attempt.ttft_ms:.1f} ms" if attempt.ttft_ms is not None else "",
        f"done after {attempt.total_ms:.1f} ms" if attempt.total_ms is not None else "never done",
        f"HTTP {attempt.status}" if attempt.status is not None else "",
        ERRORS.get(attempt.error or "", attempt.error or ""),
        f"the provider's id {attempt.upstream_id}" if attempt.upstream_id else "",
        _tokens(attempt.usage) if attempt.usage is not None else "",
        _booked(attempt),
    ]
    return ", ".join(part for part in parts if part)


def _way(attempt: Attempt) -> str:
    """What of a call's time was the network's, as far as that is known."""
    parts = []
    if attempt.provider_ms is not None and attempt.network_ms is not None:
        both = attempt.provider_ms + attempt.network_ms
        share = f" ({attempt.network_ms / both:.0%})" if both else ""
        parts.append(
            f"{attempt.network_ms:.1f} ms{share}, the provider {attempt.provider_ms:.1f} ms as it says"
        )
    elif attempt.error is None and (attempt.connect_ms is not None or attempt.rtt_ms is not None):
        parts.append("its part is unknown, as the provider does not say how long it worked")
    if attempt.connect_ms is not None:
        tls = "" if attempt.tls_ms is None else f", {attempt.tls_ms:.1f} of it for TLS"
        parts.append(f"a connection was opened in {attempt.connect_ms:.1f} ms{tls}")
    if parts and attempt.rtt_ms is not None:
        parts.append(f"a round trip takes {attempt.rtt_ms:.1f} ms")
    return "; ".join(parts)


def _made(attempt: Attempt) -> str:
    """What the answer says it was made by, where that is more than was asked for."""
    asked = attempt.target.partition("/")[2]
    fingerprint = f", fingerprint {attempt.fingerprint}" if attempt.fingerprint else ""
    if not attempt.model or (attempt.model == asked and not fingerprint):
        return ""
    otherwise = f"; {asked} was asked for" if attempt.model != asked else ""
    return f"{attempt.model} answered{fingerprint}{otherwise}"


def _left_out(attempt: Attempt) -> str:
    them = "them" if "," in attempt.left_out else "it"
    return f"{attempt.left_out}: {attempt.target} does not take {them} in such a request"


def _booked(attempt: Attempt) -> str:
    """The cost booked for a call, and why it differs from our prices."""
    if attempt.unpriced:
        return f"cost unknown: no price of {attempt.unpriced}"
    if attempt.cost_nusd is None and attempt.error is None:
        missing = "the provider told no usage" if attempt.usage is None else "no price of the model"
        return f"cost unknown: {missing}"
    if attempt.usage is None or attempt.usage.told_nusd is None:
        return _money(attempt.cost_nusd)
    ours = "unknown" if attempt.reckoned_nusd is None else usd(attempt.reckoned_nusd)
    off = "; they differ by more than 1 %: correct its [[prices]]" if differs(attempt) else ""
    return f"{_money(attempt.cost_nusd)} as the provider says, {ours} by our prices{off}"


def _checks(receipt: Receipt) -> str:
    """The checks' results for the first answer, and what followed."""
    score = f"{receipt.check_by} {receipt.check_score:.3f}" if receipt.check_score is not None else ""
    if not receipt.doubt:
        return f"{score}: no doubt about the first answer"
    kept = "escalate" in receipt.skipped
    then = "delivered all the same, no better answer was available" if kept else "so it was asked again"
    return f"{f'{score}; ' if score else ''}doubted by {receipt.doubt}; {then}"


def _outcome(receipt: Receipt) -> str:
    why = f", stopped by {receipt.stop_reason}" if receipt.stop_reason else ""
    if receipt.error is None:
        return f"HTTP {receipt.status}{why}"
    message = f": {receipt.error_message}" if receipt.error_message else ""
    return f"HTTP {receipt.status}{why}, {receipt.error}{message}"


def _cost(receipt: Receipt) -> str:
    if not receipt.calls and receipt.error is not None and not receipt.cost_nusd:
        return f"{usd(0)}, nothing was called"
    embedding = f"{usd(receipt.embedding_nusd)} of it for embedding" if receipt.embedding_nusd else ""
    tokens = "tokens unknown" if receipt.usage is None and receipt.calls else _tokens(receipt.usage)
    return ", ".join(
        part
        for part in (_money(receipt.cost_nusd), embedding, counted(receipt.calls, "call"), tokens)
        if part
    )


def _baseline(receipt: Receipt) -> str:
    if receipt.error is not None and not receipt.calls:
        chosen = (
            "nothing was called" if receipt.baseline_target else "the request ended before a model was chosen"
        )
        return f"none: {chosen}"
    target = receipt.baseline_target or "none declared"
    if receipt.baseline_nusd is None:
        return f"{target}: its cost is unknown, so no saving is claimed"
    saved = saved_nusd(receipt)
    amount = f"{target} would have cost {usd(receipt.baseline_nusd)} for the same answer"
    if saved is None:
        return f"{amount}; the saving is unknown, because the cost is unknown"
    return f"{amount}: {'saved' if saved >= 0 else 'spent more by'} {usd(abs(saved))}"


def _time(receipt: Receipt) -> str:
    first = f"first byte after {receipt.ttft_ms:.1f} ms, " if receipt.ttft_ms is not None else ""
    stages = ", ".join(f"{name} {took:.2f}" for name, took in receipt.stage_ms.items())
    return (
        f"{first}{receipt.total_ms:.1f} ms in all: providers {receipt.model_ms:.1f}, "
        f"queue {receipt.queue_ms:.1f}, Farthing {receipt.overhead_ms:.2f}"
        f"{f' ({stages})' if stages else ''}"
    )


def _tokens(usage: Usage | None) -> str:
    if usage is None:
        return ""
    cached = f" ({usage.cached_tokens} cached)" if usage.cached_tokens else ""
    reasoning = f" ({usage.reasoning_tokens} reasoning)" if usage.reasoning_tokens else ""
    estimated = ", estimated" if usage.estimated else ""
    apart = [
        f"{name.removesuffix('_tokens').replace('_', ' ')} {getattr(usage, name)} tokens"
        for name in CLASSES
        if getattr(usage, name)
    ]
    apart += [f"{count} {name}" for name, count in (usage.fees or {}).items()]
    apart += _passes(usage.passes or ())
    ways = [f"at {way}" for way in (usage.tier, usage.region) if way]
    of_it = f" ({', '.join((*apart, *ways))})" if apart or ways else ""
    tokens = "token" if usage.input_tokens == 1 else "tokens"
    return f"{usage.input_tokens}{cached} {tokens} in, {usage.output_tokens}{reasoning} out{of_it}{estimated}"


def _passes(passes: Sequence[Pass]) -> Iterator[str]:
    """The runs of a model within one call: how many, and what each other model used."""
    own = sum(not one.model for one in passes)
    if own > 1:
        yield f"in {own} runs"
    for one in passes:
        if one.model:
            yield f"and {one.model} {one.usage.input_tokens} in, {one.usage.output_tokens} out"


def _money(nusd: int | None) -> str:
    return "cost unknown" if nusd is None else usd(nusd)


def moment(unix_s: float) -> str:
    """A time of day in UTC, to the millisecond."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
