"""Failed requests, newest first: who asked what, what was tried, and why it failed."""

import heapq
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from farthing.insight.render.rows import counted
from farthing.insight.render.tables import printable
from farthing.insight.report.aggregates import failed
from farthing.ledger.rows import Intent
from farthing.types import Receipt

if TYPE_CHECKING:
    from rich.console import RenderableType

REASON_CHARS_MAX = 200
CODES_MAX = 30
"""Codes counted separately; later ones are counted as `others`."""
NAMES_MAX = 1_000
BESIDE = (0, 0, 0, 2)
"""Indentation of the text about a failure."""


class Failure(Struct, frozen=True, kw_only=True):
    """One request whose client got an error."""

    at_unix_s: float
    request_id: str
    tenant: str
    user: str
    """Digest; empty: the client named no user."""
    key: str | None
    """None: unknown; empty: no key was needed."""
    endpoint: str
    model: str
    """As the client wrote it."""
    target: str
    """The last `provider/model` that was tried; empty: none was."""
    calls: int
    status: int
    code: str
    reason: str
    """At most `REASON_CHARS_MAX` characters; `farthing explain` shows everything."""


class Failed(Struct, frozen=True, kw_only=True):
    """The failed requests of a period."""

    ledgers: list[str]
    since_unix_s: float | None
    until_unix_s: float
    endpoint: str | None
    requests: int
    """All requests examined, failed or not."""
    failed: int
    not_shown: int
    by_code: dict[str, int]
    """The most frequent first."""
    client_gone: int
    """Clients that left before their answer; not counted as failed."""
    unknown_outcome: int
    """Requests whose process died during a call; they have no receipt, and so no code."""
    shown: list[Failure]
    """The newest requests, newest first."""
    endpoints_seen: list[str]
    """Endpoints with requests, whatever the filter; at most `NAMES_MAX`."""


def gather(
    rows: Iterable[Intent | Receipt],
    *,
    ledgers: Iterable[str],
    since: float | None,
    until: float,
    endpoint: str | None,
    rows_max: int,
) -> Failed:
    """The last `rows_max` failed requests among `rows` that arrived in [since, until), in Unix seconds."""
    newest: list[tuple[float, int, Failure]] = []
    codes: dict[str, int] = {}
    calls: dict[tuple[str, float], bool] = {}
    seen: set[str] = set()
    requests = gone = count = 0
    for row in rows:
        if row.at_unix_s >= until or (since is not None and row.at_unix_s < since):
            continue
        if isinstance(row, Intent):
            calls[row.request_id, row.at_unix_s] = row.live
            continue
        calls.pop((row.request_id, row.at_unix_s), None)
        if len(seen) < NAMES_MAX:
            seen.add(row.endpoint)
        if row.purpose or endpoint not in (None, row.endpoint):
            continue
        requests += 1
        gone += row.status == 499
        if not failed(row):
            continue
        count += 1
        code = row.error or f"http_{row.status}"
        code = code if code in codes or len(codes) < CODES_MAX else "others"
        codes[code] = codes.get(code, 0) + 1
        one = (row.at_unix_s, count, _failure(row))
        if len(newest) < rows_max:
            heapq.heappush(newest, one)
        else:
            heapq.heappushpop(newest, one)
    return Failed(
        ledgers=list(ledgers),
        since_unix_s=since,
        until_unix_s=until,
        endpoint=endpoint,
        requests=requests,
        failed=count,
        not_shown=count - len(newest),
        by_code=dict(sorted(codes.items(), key=lambda one: (-one[1], one[0]))),
        client_gone=gone,
        unknown_outcome=sum(not live for live in calls.values()),
        shown=[one for _, _, one in sorted(newest, reverse=True)],
        endpoints_seen=sorted(seen),
    )


def _failure(receipt: Receipt) -> Failure:
    reason = " ".join(receipt.error_message.split())
    if len(reason) > REASON_CHARS_MAX:
        reason = f"{reason[: REASON_CHARS_MAX - 1]}…"
    return Failure(
        at_unix_s=receipt.at_unix_s,
        request_id=receipt.request_id,
        tenant=receipt.tenant,
        user=receipt.user,
        key=receipt.key,
        endpoint=receipt.endpoint,
        model=receipt.model_asked,
        target=receipt.target or (receipt.attempts[-1].target if receipt.attempts else ""),
        calls=receipt.calls,
        status=receipt.status,
        code=receipt.error or f"http_{receipt.status}",
        reason=reason,
    )


# -- text -------------------------------------------------------------------------------------------


def render(found: Failed) -> Iterator["RenderableType"]:
    """Three lines per failure, which a terminal may wrap: names are never cut."""
    from rich.padding import Padding
    from rich.text import Text

    share = f" ({found.failed / found.requests:.1%})" if found.requests else ""
    since = "the beginning" if found.since_unix_s is None else moment(found.since_unix_s)
    only = f", endpoint {printable(found.endpoint)}" if found.endpoint is not None else ""
    yield Text(
        f"{found.failed:,} of {counted(found.requests, 'request')} failed{share} "
        f"from {since} to {moment(found.until_unix_s)}{only}",
        "bold",
    )
    if found.by_code:
        counts = ", ".join(f"{printable(code)} {count:,}" for code, count in found.by_code.items())
        yield Text(f"by code: {counts}")
    for one in found.shown:
        yield Text()
        yield Text.assemble(
            (f"{moment(one.at_unix_s)}  {one.status} {printable(one.code)}", "bold"),
            f"  {printable(one.request_id)}",
        )
        yield Padding(Text(printable(_who(one))), BESIDE)
        if one.reason:
            yield Padding(Text(printable(one.reason)), BESIDE)
    if found.shown:
        yield Text()
    if found.not_shown:
        yield Text(f"not shown: {counted(found.not_shown, 'older one')}; a higher --limit shows more")
    if found.shown:
        yield Text(f"details of one of them: farthing explain {printable(found.shown[0].request_id)}")
    if found.client_gone:
        yield Text(
            f"client gone: {counted(found.client_gone, 'request')} whose client left early, not listed"
        )
    if found.unknown_outcome:
        died = counted(found.unknown_outcome, "request")
        yield Text(f"unknown outcome: {died} whose process died during a call, not listed")


def _who(one: Failure) -> str:
    key = "key unknown" if one.key is None else f"key {one.key}" if one.key else ""
    tried = f"tried {one.target}" if one.target else "no target was tried"
    if one.calls > 1:
        tried = f"{one.calls} calls, last {one.target}"
    parts = (
        f"tenant {one.tenant}" if one.tenant else "",
        key,
        f"user {one.user}" if one.user else "",
        f"endpoint {one.endpoint}",
        f"asked for {one.model}" if one.model else "",
        tried,
    )
    return ", ".join(part for part in parts if part)


def moment(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
