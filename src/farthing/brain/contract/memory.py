"""The contract of an endpoint or session, kept in this process.

Limits are checked before anything is spent: `reserve` opens a hold, `Hold.call` takes one call and its worst
case, `Hold.settle` replaces the worst case by the actual cost. In a session, all requests to one endpoint
share the endpoint's limits on calls and money; each request has its own deadline. Everything runs on the
event loop without an await, so checking and taking are one step.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

from farthing.errors import ContractExceeded, DeadlineExceeded
from farthing.protocols import Hold
from farthing.types import NO_TERMS, Prompt, Request, Terms, TokenCount

# A count costs milliseconds on a long prompt, so it is made only if the estimate, which is off by at most
# this factor on ordinary text, is not far below the limit.
_SURELY_FITS = 1.3
TENANTS_MAX = 1_000  # without keys a request names its own tenant, so clients choose their number
SHARED_ROOM = ""  # no key's tenant has this name


class _Account:
    """What the calls under one contract have used so far."""

    __slots__ = ("calls", "held_nusd", "holds", "spent_nusd", "used_s")

    def __init__(self) -> None:
        self.calls = 0
        self.spent_nusd = 0
        self.held_nusd = 0
        self.holds = 0
        """Requests that are not settled yet."""
        self.used_s = 0.0


class _NoLimits:
    """The hold of every request without limits: stateless, so one serves all."""

    @property
    def left_s(self) -> float | None:
        return None

    @property
    def left_nusd(self) -> int | None:
        return None

    @property
    def left_calls(self) -> int | None:
        return None

    def call(self, worst_case_nusd: int | None) -> None:
        return None

    def release(self, worst_case_nusd: int | None, cost_nusd: int | None) -> None:
        return None

    def settle(self, cost_nusd: int | None) -> None:
        return None


NO_LIMITS: Hold = _NoLimits()


class _LimitedHold:
    __slots__ = ("_account", "_clock", "_deadline_at_s", "_held_nusd", "_released_nusd", "_settled", "_terms")

    def __init__(
        self, terms: Terms, account: _Account, received_s: float, clock: Callable[[], float]
    ) -> None:
        self._terms = terms
        self._account = account
        self._clock = clock
        self._deadline_at_s = None if terms.deadline_s is None else received_s + terms.deadline_s
        self._held_nusd = 0
        self._released_nusd = 0
        """Spent by calls that have ended; already in the account."""
        self._settled = False
        account.holds += 1

    @property
    def left_s(self) -> float | None:
        return None if self._deadline_at_s is None else self._deadline_at_s - self._clock()

    @property
    def left_nusd(self) -> int | None:
        if self._terms.usd_max_nusd is None:
            return None
        return self._terms.usd_max_nusd - self._account.spent_nusd - self._account.held_nusd

    @property
    def left_calls(self) -> int | None:
        calls_max = self._terms.calls_max
        return None if calls_max is None else max(0, calls_max - self._account.calls)

    def call(self, worst_case_nusd: int | None) -> None:
        assert not self._settled, "a settled hold takes no more calls"
        terms, account = self._terms, self._account
        _check_deadline(terms, self.left_s)
        _check_calls(terms, account)
        if terms.usd_max_nusd is not None:
            _check_money(terms.usd_max_nusd, account.spent_nusd + account.held_nusd, worst_case_nusd)
        account.calls += 1
        if worst_case_nusd is not None:
            account.held_nusd += worst_case_nusd
            self._held_nusd += worst_case_nusd

    def release(self, worst_case_nusd: int | None, cost_nusd: int | None) -> None:
        if worst_case_nusd is None or cost_nusd is None or self._settled:
            return
        account = self._account
        account.held_nusd -= worst_case_nusd
        account.spent_nusd += cost_nusd
        self._held_nusd -= worst_case_nusd
        self._released_nusd += cost_nusd

    def settle(self, cost_nusd: int | None) -> None:
        if self._settled:
            return
        self._settled = True
        account = self._account
        account.holds -= 1
        account.held_nusd -= self._held_nusd
        account.spent_nusd += self._held_nusd if cost_nusd is None else cost_nusd - self._released_nusd


class MemoryContract:
    """Contracts of one process. Sessions end after `session_ttl_s` without use.

    Each tenant has room for `sessions_max` sessions. Beyond that, its least recently used session without a
    request in progress is dropped, and starts over if it comes back.
    """

    immediate = True

    def __init__(
        self,
        *,
        count: Callable[[Request, Prompt], TokenCount] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sessions_max: int = 10_000,
        session_ttl_s: float = 3_600.0,
    ) -> None:
        self._count = count
        """Counts a prompt as nearly as may be, and says how sure that is; called only if bound and estimate
        do not show that it is within `input_tokens_max`. None: the estimate decides."""
        self._clock = clock
        self._sessions_max = sessions_max
        self._session_ttl_s = session_ttl_s
        self._sessions: dict[str, OrderedDict[tuple[str, str, str], _Account]] = {}
        """By tenant, for up to `TENANTS_MAX` tenants; all others share the room of one."""

    def reserve(self, request: Request, prompt: Prompt) -> Hold:
        """See `protocols.Contract`. The hold must be settled on every path.

        Raises:
            ContractExceeded: the prompt is too long, or the session has used up its deadline, calls or
            money.
        """
        terms = request.endpoint.terms
        if terms is NO_TERMS or not _limits(terms):
            return NO_LIMITS
        bound = prompt.input_tokens_bound
        if terms.input_tokens_max is not None and (bound is None or bound > terms.input_tokens_max):
            self._check_input(request, prompt, terms.input_tokens_max)
        if terms.deadline_s is not None:
            _check_deadline(terms, request.received_s + terms.deadline_s - self._clock())
        account = _Account() if request.session is None else self._session(request, request.session)
        _check_calls(terms, account)
        if terms.usd_max_nusd is not None:
            _check_money(terms.usd_max_nusd, account.spent_nusd + account.held_nusd, 0)
        return _LimitedHold(terms, account, request.received_s, self._clock)

    def _check_input(self, request: Request, prompt: Prompt, input_tokens_max: int) -> None:
        tokens = least = prompt.input_tokens
        if tokens * _SURELY_FITS <= input_tokens_max:
            return
        if self._count is not None:
            found = self._count(request, prompt)
            tokens, least = found.tokens, found.least
        if least > input_tokens_max:
            surely = "" if least >= tokens else f", at least {least}"
            raise ContractExceeded(
                f"the prompt has about {tokens} tokens{surely}; the endpoint allows input_tokens_max = "
                f"{input_tokens_max}: shorten the messages",
                limit="input_tokens_max",
            )

    def _session(self, request: Request, session: str) -> _Account:
        now_s = self._clock()
        tenant = request.tenant.name
        room = tenant if tenant in self._sessions or len(self._sessions) < TENANTS_MAX else SHARED_ROOM
        sessions = self._sessions.get(room)
        if sessions is None:
            sessions = self._sessions[room] = OrderedDict()
        key = (tenant, request.endpoint.name, session)
        account = sessions.get(key)
        if account is not None and account.holds == 0 and now_s - account.used_s > self._session_ttl_s:
            account = None
        if account is None:
            account = sessions[key] = _Account()
        account.used_s = now_s
        sessions.move_to_end(key)
        self._make_room(sessions)
        return account

    def _make_room(self, sessions: "OrderedDict[tuple[str, str, str], _Account]") -> None:
        """Drop old sessions, oldest first, at most two per call, so that no request pays for many."""
        for _ in range(2):
            key, oldest = next(iter(sessions.items()))
            old = self._clock() - oldest.used_s > self._session_ttl_s
            if len(sessions) <= self._sessions_max and not old:
                return
            if oldest.holds:
                sessions.move_to_end(key)
            else:
                del sessions[key]


def _limits(terms: Terms) -> bool:
    """Whether any limit needs a hold: a target time is only reported, an output limit is part of the
    prompt."""
    return not (
        terms.calls_max is None
        and terms.deadline_s is None
        and terms.usd_max_nusd is None
        and terms.input_tokens_max is None
    )


def _check_deadline(terms: Terms, left_s: float | None) -> None:
    if left_s is not None and left_s <= 0:
        raise DeadlineExceeded(f"the endpoint's deadline_s = {terms.deadline_s:g} has passed")


def _check_calls(terms: Terms, account: _Account) -> None:
    if terms.calls_max is not None and account.calls >= terms.calls_max:
        raise ContractExceeded(
            f"the endpoint allows calls_max = {terms.calls_max} model calls for a request or a session, and "
            "all are used: begin another session, or have the operator raise it",
            limit="calls_max",
        )


def _check_money(usd_max_nusd: int, used_nusd: int, worst_case_nusd: int | None) -> None:
    if worst_case_nusd is None:
        raise ContractExceeded(
            "the endpoint has a usd_max and the price of the model, or of what was asked of it (a service "
            "tier, a search), is unknown: give its price under [[prices]] or choose a priced model",
            limit="usd_max",
        )
    if used_nusd + worst_case_nusd > usd_max_nusd:
        raise ContractExceeded(
            f"the endpoint allows usd_max = {usd_max_nusd / 1e9:g} for a request or a session; "
            f"{used_nusd / 1e9:g} is used or held and this call may cost {worst_case_nusd / 1e9:g}: ask for "
            "fewer tokens, begin another session, or have the operator raise it",
            limit="usd_max",
        )
