"""A session's calls in order, with what became of each at its provider's prompt cache."""

from collections.abc import Iterable, Iterator

import msgspec

from farthing.errors import FarthingError
from farthing.insight.explain.request import moment
from farthing.insight.prompt_cache.plan import PlanSums, PromptCachePlan, lines
from farthing.insight.prompt_cache.words import told
from farthing.insight.render.rows import counted
from farthing.ledger.rows import Intent
from farthing.types import PromptCacheUse, Receipt, Usage

CALLS_SHOWN_MAX = 1_000


class UnknownSession(FarthingError):
    """No receipt of the ledger has this session."""

    code = "unknown_session"


class SessionCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a session."""

    request_id: str
    at_unix_s: float
    """Arrival of its request."""
    agent: str
    target: str
    tier: str
    usage: dict[str, object] | None
    prompt_cache: dict[str, object] | None
    """None: not measured."""
    story: str


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What a session called."""

    session: str
    tenants: list[str]
    requests: int
    calls: list[SessionCall]
    """The last `CALLS_SHOWN_MAX`, in order."""
    plan: PromptCachePlan


def gather(rows: Iterable[Intent | Receipt], session: str) -> Session:
    """The calls of a session.

    Raises:
        UnknownSession: no row has it.
    """
    receipts = [
        row for row in rows if isinstance(row, Receipt) and row.session == session and not row.purpose
    ]
    if not receipts:
        raise UnknownSession(
            f"no request of a session {session!r} in the ledger: `farthing report --by session` lists them; "
            "a client names its session in x-farthing-session, or in a header of its own"
        )
    receipts.sort(key=lambda row: row.at_unix_s)
    sums = PlanSums()
    for receipt in receipts:
        sums.add(receipt)
    calls = [call for receipt in receipts for call in _calls(receipt)]
    return Session(
        session=session,
        tenants=sorted({receipt.tenant for receipt in receipts}),
        requests=len(receipts),
        calls=calls[-CALLS_SHOWN_MAX:],
        plan=sums.plan("all"),
    )


def _calls(receipt: Receipt) -> Iterator[SessionCall]:
    for attempt in receipt.attempts:
        use = attempt.prompt_cache
        story = attempt.error or "not measured: too short to be cached, or by an older version"
        yield SessionCall(
            request_id=receipt.request_id,
            at_unix_s=receipt.at_unix_s,
            agent=receipt.agent,
            target=attempt.target,
            tier=attempt.tier,
            usage=_named(attempt.usage),
            prompt_cache=_named(use),
            story=story if use is None else told(use, attempt.usage),
        )


def _named(value: Usage | PromptCacheUse | None) -> dict[str, object] | None:
    return None if value is None else {name: getattr(value, name) for name in value.__struct_fields__}


def story(session: Session) -> Iterator[str]:
    """A session in lines."""
    yield (
        f"Session {session.session}, tenant {', '.join(session.tenants)}: "
        f"{counted(session.requests, 'request')}, {counted(len(session.calls), 'call')}"
    )
    for call in session.calls:
        agent = f" agent {call.agent}" if call.agent else ""
        yield f"  {moment(call.at_unix_s)} {call.request_id}{agent} {call.target}: {call.story}"
    yield from lines(session.plan)
