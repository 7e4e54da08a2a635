"""Header lines of answers: ids, decisions, cost, and when to retry. Pure functions."""

from math import ceil

from farthing.errors import FarthingError, Overloaded, ProviderError
from farthing.models.answers import usd
from farthing.types import Receipt, saved_nusd

UPSTREAM_ID = b"x-upstream-request-id: "
JSON_HEAD = b"server: farthing\r\ncontent-type: application/json\r\n"
STREAM_HEAD = (
    b"server: farthing\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\nx-accel-buffering: no\r\n"
)
PASSED_HEAD = b"server: farthing\r\nx-accel-buffering: no\r\n"
"""For an answer that is passed on, whose content type is among its provider's lines."""
EVENTS_TYPE = b"content-type: text/event-stream"
"""Among its lines if it is an event stream."""


def id_head(request_id: str) -> bytes:
    raw = request_id.encode()
    return b"x-request-id: %b\r\nrequest-id: %b\r\n" % (raw, raw)


def with_id_of(own: ProviderError, head: bytes, request_id: str) -> bytes:
    """`head` with the provider's id of the call as `request-id`, which matches the error body that is passed
    on. `x-request-id` stays ours."""
    named = next((line for line in own.returned.split(b"\r\n") if line.startswith(UPSTREAM_ID)), b"")
    theirs = named[len(UPSTREAM_ID) :]
    if not theirs:
        return head
    return head.replace(b"\nrequest-id: %b\r\n" % request_id.encode(), b"\nrequest-id: %b\r\n" % theirs, 1)


def again_head(error: FarthingError, advised: bool | None = None) -> bytes:
    """Header lines that tell SDKs whether and when to retry. `advised`: the provider's own advice, if its
    error is passed on."""
    lines = ""
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        lines = f"retry-after: {max(1, ceil(retry_after_s))}\r\n"
        if isinstance(error, Overloaded):
            lines += f"retry-after-ms: {max(1, ceil(retry_after_s * 1000))}\r\n"
    retry = error.retry if advised is None else advised
    if retry or (retry is not None and (advised is not None or retry_after_s is None)):
        lines += f"x-should-retry: {'true' if retry else 'false'}\r\n"
    return lines.encode()


def facts_head(receipt: Receipt) -> bytes:
    """The decisions, as header lines."""
    return _facts(receipt).encode("latin-1", "replace")


def facts_and_money_head(receipt: Receipt) -> bytes:
    """Decisions, cost and savings, as header lines."""
    return (_facts(receipt) + _money(receipt)).encode("latin-1", "replace")


def money_head(receipt: Receipt) -> bytes:
    """What it cost and what it saved, as headers."""
    return _money(receipt).encode("latin-1", "replace")


def _facts(receipt: Receipt) -> str:
    """Header lines; no value can break out of its line."""
    request_id, tier, target, reason = receipt.request_id, receipt.tier, receipt.target, receipt.route_reason
    if not f"{tier}{target}{reason}".isprintable():
        tier, target, reason = _safe(tier), _safe(target), _safe(reason)
    lines = (
        f"x-request-id: {request_id}\r\nrequest-id: {request_id}\r\nx-farthing-tier: {tier}\r\n"
        f"x-farthing-model: {target}\r\nx-farthing-cache: {receipt.cache}\r\nx-farthing-reason: {reason}\r\n"
    )
    for attempt in receipt.attempts:
        if (
            attempt.left_out
            and attempt.error is None
            and attempt.target == receipt.target
            and not attempt.tier.startswith("check:")
        ):
            return f"{lines}x-farthing-left-out: {_safe(attempt.left_out)}\r\n"
    return lines


def _money(receipt: Receipt) -> str:
    """Header lines; unknown is written as unknown, never as 0."""
    cost, saved = usd(receipt.cost_nusd), usd(saved_nusd(receipt))
    lines = f"x-farthing-cost-usd: {cost or 'unknown'}\r\nx-farthing-saved-usd: {saved or 'unknown'}\r\n"
    if receipt.usage is not None and receipt.usage.estimated:
        lines += "x-farthing-usage: estimated\r\n"
    if receipt.stop_reason.startswith("limit:"):
        lines += f"x-farthing-stop: {_safe(receipt.stop_reason)}\r\n"  # it may be the provider's word
    return lines


def merged(ours: bytes, theirs: bytes) -> bytes:
    """Our header lines and a provider's, names in lower case; where both have a name, ours."""
    if not ours or not theirs:
        return ours or theirs
    names = {line.partition(b":")[0] for line in ours.split(b"\r\n")}
    kept = [line for line in theirs.split(b"\r\n") if line and line.partition(b":")[0] not in names]
    return ours + b"".join([b"%b\r\n" % line for line in kept])


def _safe(value: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in value)
