"""Adapters for plug-ins: what a plug-in may do to a request, and what it may not.

Each call runs in a task and a context of its own. Its caller may abandon it at any time; any exception is
an ordinary failure of the step; a return value is validated before it is used. A plug-in that fails,
hangs, cancels itself or returns nonsense therefore costs its step, never the answer. Only the failure of a
guardrail refuses the request.
"""

import asyncio
import inspect
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator, Mapping, Sequence
from math import isfinite
from time import monotonic, perf_counter
from types import coroutine
from typing import Any, ClassVar

from farthing.brain.route.rules import RulesRouter
from farthing.errors import Blocked, FarthingError, GuardrailFailed, StoreError
from farthing.protocols import (
    AnswerCheck,
    Ask,
    GuardrailPlugin,
    KeyValueStore,
    Retriever,
    RouterPlugin,
)
from farthing.runtime.loop_batch import resumed
from farthing.runtime.outside import HELD_S, a_kind, note, noted, place
from farthing.runtime.seldom import Tally
from farthing.text.lenient_json import read_json, write_json
from farthing.types import (
    CandidateAnswer,
    CheckResult,
    Json,
    Passage,
    Passages,
    Request,
    Route,
    Target,
    Traits,
    replace,
)

log = logging.getLogger("farthing.plugins")

LEFT_MAX = 100
"""Calls of one plug-in that nobody waits for any more and that have not ended, those of one step of one
request counted as one. Beyond, it is not called."""
GRACE_S = 1.0
"""For a call that is cancelled to tidy up. Then it is ended where it waits."""
CLOSE_S = 5.0
TEXTS_AT_ONCE = 8
"""Of one request that a guardrail is asked about at the same time."""
TURN_S = 0.01
"""After which a guardrail that does not wait lets other requests go on, between two texts."""
TELL_EVERY_S = 10.0
REASON_CHARS_MAX = 200
SOURCE_CHARS_MAX = 2_000  # of a passage: each stands in the receipt
REFUSED_CHARS_MAX = 100


class PluginFailed(Exception):
    """A plug-in did what no step may do: it cancelled itself, tried to end the process, raised an error meant
    for the client, or has not ended earlier calls."""


class EventLoopHeld(PluginFailed):
    """A plug-in computed or slept without an await, which stopped everything else meanwhile."""


class _State:
    """The state of one call."""

    __slots__ = ("ending", "forced", "step")

    def __init__(self, step: object) -> None:
        self.step = step
        """The same for all calls that went on together."""
        self.forced = False
        """It has had its time to tidy up: it is not to go on."""
        self.ending: asyncio.TimerHandle | None = None


class Calls:
    """The calls of one plug-in, each in a task and a context of its own. Belongs to one event loop."""

    def __init__(self, name: str, *, limit: str = "", owners: Collection[str] = ()) -> None:
        """`limit` names the setting of its time limit; `owners` are its own top-level packages."""
        self.name = name
        self.limit = limit
        self._owners = owners
        self._left: dict[asyncio.Task[Any], _State] = {}
        """Called, and nobody waits for them."""
        self._left_steps: Counter[object] = Counter()
        """How many of those belong to one step of one request."""

    async def run(
        self, step: str, call: Callable[[], Awaitable[Any]], *, timeout_s: float | None = None
    ) -> Any:
        """Return the result of `call`. Cancelled or out of time, this returns at once: a call that does not
        end when it is cancelled is abandoned.

        Raises:
            Exception: that of the call; `noted` says where it was raised.
            PluginFailed: see there.
            TimeoutError: it took longer than `timeout_s`.
        """
        (found,) = await self.together(step, (call,), timeout_s=timeout_s)
        return found

    async def together(
        self,
        step: str,
        calls: Sequence[Callable[[], Awaitable[Any]]],
        *,
        timeout_s: float | None = None,
        spent_s: float = 0.0,
    ) -> list[Any]:
        """As `run`, for several calls at the same time. The first exception ends the others. `spent_s` of
        `timeout_s` have already passed."""
        if len(self._left_steps) >= LEFT_MAX:
            raise PluginFailed(
                f"plug-in {self.name}: {LEFT_MAX} earlier calls have not ended; {step} is not called"
            )
        loop = asyncio.get_running_loop()
        left_s = None if timeout_s is None else max(0.0, timeout_s - spent_s)
        begun: dict[asyncio.Task[Any], _State] = {}
        one = object()
        for call in calls:
            state = _State(one)
            begun[loop.create_task(self._guarded(step, call, state))] = state
        try:
            done, late = await asyncio.wait(begun, timeout=left_s, return_when=asyncio.FIRST_EXCEPTION)
        except asyncio.CancelledError as error:
            for task, state in begun.items():
                self._leave(task, state)
            note(error, f"plug-in {self.name}, {step}{self._limited(step)}")
            raise
        for task in late:
            self._leave(task, begun[task])
        ended = [task for task in begun if task in done]
        raised = list(filter(None, (task.exception() for task in ended if not task.cancelled())))
        if raised:
            raise raised[0]
        if any(task.cancelled() for task in ended):
            raise PluginFailed(f"plug-in {self.name}: {step} cancelled itself")
        if late:
            raise TimeoutError(
                f"plug-in {self.name}: {step} took longer than {timeout_s:g} s{self._limited(step)}"
            )
        return [task.result() for task in begun]

    def _limited(self, step: str) -> str:
        return f"; its time is {self.limit}" if self.limit and step != "aclose" else ""

    async def close(self, implementation: Any) -> None:
        """Close `implementation`, if it can be closed, and drop abandoned calls. Never raises."""
        try:
            if callable(getattr(implementation, "aclose", None)):
                await self.run("aclose", implementation.aclose, timeout_s=CLOSE_S)
        except Exception as error:  # noqa: BLE001  # the rest is to be closed all the same
            log.warning("plug-in %s was not closed: %s: %s", self.name, type(error).__name__, error)
        for task, state in tuple(self._left.items()):
            self._force(task, state)

    def wrong(self, step: str, found: object, expected: str) -> TypeError:
        """The error for a return value of the wrong type; the message does not include the value."""
        return TypeError(f"plug-in {self.name}: {step} gave {a_kind(found)}, expected {expected}")

    def wrong_part(self, step: str, part: str, found: object, expected: str) -> TypeError:
        """As `wrong`, for `part` of the returned object."""
        return TypeError(
            f"plug-in {self.name}: {step} gave something of which {part} is {a_kind(found)}, "
            f"expected {expected}"
        )

    async def _guarded(self, step: str, call: Callable[[], Awaitable[Any]], state: _State) -> Any:
        try:
            return await _watched(self._called(step, call), self._held, state)
        except StoreError:
            raise
        except FarthingError as error:
            raise PluginFailed(
                f"plug-in {self.name}: {step} raised {type(error).__name__}: {error}"
            ) from error
        except (Exception, asyncio.CancelledError):
            raise
        except BaseException as error:  # else it ends the process
            raise PluginFailed(f"plug-in {self.name}: {step} raised {type(error).__name__}") from error

    async def _called(self, step: str, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            result = call()
            if inspect.isawaitable(result):
                return await result
        except BaseException as error:
            note(error, f"plug-in {self.name}, {step}{place(error, self._owners)}")
            raise
        raise TypeError(
            f"plug-in {self.name}: {step} is no async method, it gave {a_kind(result)} at once: write "
            f"`async def {step}`"
        )

    def _held(self, held_s: float) -> EventLoopHeld:
        return EventLoopHeld(
            f"plug-in {self.name}: held the event loop for {held_s * 1000:.0f} ms: await, or use a thread"
        )

    def _leave(self, task: "asyncio.Task[Any]", state: _State) -> None:
        self._left[task] = state
        self._left_steps[state.step] += 1
        state.ending = task.get_loop().call_later(GRACE_S, self._force, task, state)
        task.add_done_callback(self._ended)
        task.cancel()

    def _force(self, task: "asyncio.Task[Any]", state: _State) -> None:
        state.forced = True
        task.cancel()

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        state = self._left.pop(task)
        self._left_steps[state.step] -= 1
        if not self._left_steps[state.step]:
            del self._left_steps[state.step]
        if state.ending is not None:
            state.ending.cancel()
        if not task.cancelled():
            task.exception()  # it was late: nobody hears of it


@coroutine
def _watched(
    work: Coroutine[Any, Any, Any], held: Callable[[float], EventLoopHeld], state: _State
) -> Generator[Any, Any, Any]:
    """Run `work`. If it blocked the event loop for longer than `HELD_S` between two awaits, its result is an
    error. Once `state` is forced, a cancelled call ends even if it ignores the cancellation."""
    longest_s = 0.0
    thrown: BaseException | None = None
    while True:
        began_s = perf_counter()
        try:
            waits_for = work.send(None) if thrown is None else work.throw(thrown)
        except StopIteration as done:
            longest_s = max(longest_s, perf_counter() - began_s)
            if longest_s > HELD_S:
                raise held(longest_s) from None
            return done.value
        finally:
            thrown = None  # its traceback leads to this frame
        longest_s = max(longest_s, perf_counter() - began_s)
        try:
            yield waits_for
        except BaseException as error:  # handed to the plug-in, which decides
            if state.forced:
                work.close()
                raise
            thrown = error


class ForeignRouter:
    """See `protocols.Router`. Asks a plug-in if no rule decides; everything else is left to the rules."""

    immediate: ClassVar[bool] = True
    """It runs what may wait in a task of its own."""

    def __init__(self, rules: RulesRouter, plugin: RouterPlugin, calls: Calls, *, wait_s: float) -> None:
        self._rules = rules
        self._plugin = plugin
        self._calls = calls
        self.wait_s = wait_s
        self._targets = {target.name: target for targets in rules.tiers.values() for target in targets}

    async def route(self, request: Request, traits: Traits) -> Route:
        """As the Protocol.

        Raises:
            UnknownModel: nothing answers to the name the client asked for, or to the tier.
            TypeError, ValueError: the plug-in gave what is no route, or one that may not be taken. What it
                raises itself.
        """
        rules = self._rules
        free = request if request.tiers is None else replace(request, tiers=None)
        if not rules.undecided(free, traits):
            return rules.choose(request, traits)
        given = _given(request)
        found = await self._calls.run("route", lambda: self._plugin.route(given, traits))
        if found is None:
            return rules.choose(request, traits)
        return self._taken(found, request, traits)

    def fallback(self, request: Request) -> Route:
        """As the rules."""
        return self._rules.fallback(request)

    def pins(self, request: Request) -> bool:
        """As the rules."""
        return self._rules.pins(request)

    def answers(self, request: Request, traits: Traits) -> bool:
        """As the rules."""
        return self._rules.answers(request, traits)

    def _taken(self, found: object, request: Request, traits: Traits) -> Route:
        """The route that is used: tier, targets, reason, score and escalation come from the plug-in, which
        has no say in the rest."""
        route = self._checked(found, request)
        then = route.escalation
        taken = Route(
            tier=route.tier,
            targets=route.targets,
            reason=f"plug-in {self._calls.name}: {_line(route.reason)}",
            escalation=None if then is None else self._escalation(then, request, traits),
            score=None if route.score is None else float(route.score),
            by="" if route.score is None else f"plug-in {self._calls.name}",
        )
        return self._rules.fit(taken, traits, request.body)

    def _escalation(self, found: object, request: Request, traits: Traits) -> Route:
        route = self._checked(found, request)
        reason = f"plug-in {self._calls.name}: escalated, {_line(route.reason)}"
        taken = Route(tier=route.tier, targets=route.targets, reason=reason)
        return self._rules.fit(taken, traits, request.body)

    def _checked(self, found: object, request: Request) -> Route:
        """Raises:
        TypeError, ValueError: as `route`.
        """
        wrong, part = self._calls.wrong, self._calls.wrong_part
        if not isinstance(found, Route):
            raise wrong("route", found, "a Route or None")
        targets: object = found.targets
        if not isinstance(targets, tuple | list):
            raise part("route", "`targets` of the Route", targets, "a list of Targets")
        if not targets:
            raise ValueError(f"plug-in {self._calls.name}: route gave a Route without targets")
        for name in ("tier", "reason"):
            if not isinstance(getattr(found, name), str):
                raise part("route", f"`{name}` of the Route", getattr(found, name), "a text")
        score: object = found.score
        if score is not None and not _is_number(score):
            raise part("route", "`score` of the Route", score, "a finite number or None")
        allowed = tuple(self._rules.tiers) if request.tiers is None else request.tiers
        self._refuse_others(found.tier, targets, {tier: self._rules.tiers[tier] for tier in allowed})
        taken: Route = replace(found, targets=tuple(targets))
        return taken

    def _refuse_others(
        self, tier: str, targets: Sequence[object], allowed: Mapping[str, tuple[Target, ...]]
    ) -> None:
        """Raises:
        TypeError, ValueError: the tier, or a target, is not one that may be chosen here.
        """
        if tier not in allowed:
            raise ValueError(
                f"plug-in {self._calls.name}: the tier {tier[:REFUSED_CHARS_MAX]!r} may not be chosen"
            )
        choice = {target for some in allowed.values() for target in map(_known, some)}
        for target in targets:
            if not isinstance(target, Target):
                raise self._calls.wrong_part("route", "one of `targets`", target, "a Target")
            if _known(target) not in choice or self._targets[target.name] != target:
                name = str(target.name)[:REFUSED_CHARS_MAX]
                raise ValueError(f"plug-in {self._calls.name}: the target {name!r} may not be chosen")


def _given(request: Request) -> Request:
    """A copy of `request` for a plug-in, so that changes to the body have no effect."""
    body = read_json(write_json(request.body))
    return replace(request, body=body, sent=None)  # type: ignore[no-any-return]


def _known(target: Target) -> str:
    return target.name


def _line(text: str) -> str:
    return " ".join(text.split())[:REASON_CHARS_MAX].encode("utf-8", "replace").decode()


def _is_number(value: object) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and isfinite(value)


def _is_whole(text: str) -> bool:
    """Whether the text has no unpaired surrogate, which can be neither sent nor written."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class ForeignCheck:
    """See `protocols.AnswerCheck`."""

    immediate: ClassVar[bool] = True

    def __init__(self, check: AnswerCheck, calls: Calls, *, name: str) -> None:
        self.name = name
        self._check = check
        self._calls = calls

    async def doubt(self, draft: CandidateAnswer, ask: Ask) -> CheckResult:
        """As the Protocol. What the plug-in asks of models ends with the check.

        Raises:
            TypeError: it gave what is no result. What it raises itself.
        """
        asking = _Asking(ask)
        given = replace(draft, request=_given(draft.request))
        try:
            found = await self._calls.run("doubt", lambda: self._check.doubt(given, asking))
        finally:
            asking.close()
        part = self._calls.wrong_part
        if not isinstance(found, CheckResult):
            raise self._calls.wrong("doubt", found, "a CheckResult")
        if found.reason is not None and not isinstance(found.reason, str):
            raise part("doubt", "`reason` of the CheckResult", found.reason, "a text or None")
        score: object = found.score
        if score is None or (isinstance(score, float | int) and 0 <= score <= 1):
            reason = None if found.reason is None else _line(found.reason)
            return CheckResult(reason=reason, score=None if score is None else float(score))
        if isinstance(score, float | int):
            raise ValueError(
                f"plug-in {self._calls.name}: doubt gave the score {score:g}, expected None or 0 to 1"
            )
        raise part("doubt", "`score` of the CheckResult", score, "None or a number from 0 to 1")


class _Asking:
    """See `protocols.Ask`. Valid only during the check: an abandoned check must not spend money."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._open = True
        self._asked: set[asyncio.Task[CandidateAnswer | None]] = set()

    async def __call__(self, body: Json, target: str | None) -> CandidateAnswer | None:
        """As the Protocol; None when the check is over."""
        if not self._open:
            return None
        task = asyncio.ensure_future(self._ask(body, target))
        self._asked.add(task)
        try:
            return await task
        finally:
            task.cancel()
            self._asked.discard(task)

    def close(self) -> None:
        """Allow no more calls, and cancel those in progress."""
        self._open = False
        for task in self._asked:
            task.cancel()


class ForeignStore:
    """See `protocols.KeyValueStore`."""

    immediate: ClassVar[bool] = True

    def __init__(self, store: KeyValueStore, calls: Calls) -> None:
        self._store = store
        self._calls = calls

    async def get(self, key: bytes) -> bytes | None:
        """As the Protocol.

        Raises:
            TypeError: it gave no bytes. What it raises itself.
        """
        found = await self._calls.run("get", lambda: self._store.get(key))
        if found is None or isinstance(found, bytes):
            return found
        raise self._calls.wrong("get", found, "bytes or None")

    async def set(self, key: bytes, value: bytes, *, ttl_s: float) -> None:
        """As the Protocol.

        Raises:
            Exception: what it raises itself.
        """
        await self._calls.run("set", lambda: self._store.set(key, value, ttl_s=ttl_s))

    async def aclose(self) -> None:
        """Does nothing: `Plugins.aclose` closes every plug-in."""


class ForeignRetriever:
    """See `protocols.Retriever`."""

    immediate: ClassVar[bool] = True

    def __init__(self, retriever: Retriever, calls: Calls) -> None:
        self._retriever = retriever
        self._calls = calls

    async def retrieve(self, request: Request, traits: Traits) -> Passages:
        """As the Protocol.

        Raises:
            TypeError: it gave what are no passages. What it raises itself.
        """
        given = _given(request)
        found = await self._calls.run("retrieve", lambda: self._retriever.retrieve(given, traits))
        part, whose = self._calls.wrong_part, f"plug-in {self._calls.name}: retrieve gave a Passage"
        if not isinstance(found, Passages):
            raise self._calls.wrong("retrieve", found, "Passages")
        passages: object = found.passages
        if not isinstance(passages, tuple | list):
            raise part("retrieve", "`passages` of the Passages", passages, "a list of Passage")
        for one in passages:
            if not isinstance(one, Passage):
                raise part("retrieve", "one of `passages`", one, "a Passage")
            for name in ("text", "source"):
                if not isinstance(getattr(one, name), str):
                    raise part("retrieve", f"`{name}` of a Passage", getattr(one, name), "a text")
                if not _is_whole(getattr(one, name)):
                    raise TypeError(f"{whose} whose `{name}` has half a surrogate pair")
            if len(one.source) > SOURCE_CHARS_MAX:
                raise TypeError(f"{whose} whose `source` has more than {SOURCE_CHARS_MAX} characters")
            if isinstance(one.tokens, bool) or not isinstance(one.tokens, int) or one.tokens < 0:
                raise part("retrieve", "`tokens` of a Passage", one.tokens, "a whole number from 0")
        return found if isinstance(passages, tuple) else Passages(passages=tuple(passages))


class ForeignGuardrail:
    """See `protocols.AsyncGuardrail`. Fails closed."""

    def __init__(
        self, guardrail: GuardrailPlugin, calls: Calls, *, name: str, message: str, timeout_s: float
    ) -> None:
        self._guardrail = guardrail
        self._calls = calls
        self._name = name
        self._message = message
        self._timeout_s = timeout_s
        self._told = Tally(TELL_EVERY_S, monotonic)

    async def check(self, texts: Sequence[str]) -> None:
        """As the Protocol. The plug-in checks each text once, several at the same time.

        Raises:
            Blocked: the plug-in refused a text.
            GuardrailFailed: the plug-in gave no verdict.
        """
        distinct = dict.fromkeys(texts)
        if not distinct:
            return
        left = deque(distinct)
        began_s = perf_counter()
        try:
            await self._calls.run("allows", lambda: self._asked(left, alone=True), timeout_s=self._timeout_s)
            if left:
                lanes = [lambda: self._asked(left)] * min(len(left), TEXTS_AT_ONCE)
                spent_s = perf_counter() - began_s
                await self._calls.together("allows", lanes, timeout_s=self._timeout_s, spent_s=spent_s)
        except _NotAllowed as error:
            if error.found is not False:
                raise self._failed(self._calls.wrong("allows", error.found, "True or False")) from None
            said = self._message or f'the request was refused by the guardrail "{self._name}"'
            raise Blocked(said) from None
        except Exception as error:
            raise self._failed(error) from error

    async def _asked(self, left: deque[str], *, alone: bool = False) -> None:
        """Ask about the texts in `left`, which others may take from too; `alone`: only until it had to wait
        for an answer, and so some can be asked for at the same time.

        Raises:
            _NotAllowed: it said something other than True of a text.
        """
        began_s = perf_counter()
        while left:
            found, waited = await self._said(left.popleft())
            if found is not True:
                raise _NotAllowed(found)
            if waited and alone:
                return
            if perf_counter() - began_s > TURN_S:
                await asyncio.sleep(0)
                began_s = perf_counter()

    async def _said(self, text: str) -> tuple[Any, bool]:
        """The plug-in's verdict on `text`, and whether it had to be awaited."""
        saying: Any = self._guardrail.allows(text)
        if inspect.iscoroutine(saying):
            try:
                waits_for = saying.send(None)
            except StopIteration as done:
                return done.value, False
            return await resumed(saying, waits_for), True
        return (await saying, True) if inspect.isawaitable(saying) else (saying, False)

    def _failed(self, error: Exception) -> GuardrailFailed:
        """The error for the client. The log also has the line that failed; the plug-in's message is left out
        of both, since it may contain the text."""
        what = f"{type(error).__name__}: {noted(error) or error}"
        unsaid = self._told.unsaid(what)
        if unsaid is not None:
            more = f" ({unsaid} more since this was last said)" if unsaid else ""
            log.error("guardrail %s failed, and the request is refused: %s%s", self._name, what, more)
        return GuardrailFailed(
            f'the guardrail "{self._name}" could not check the request, which is therefore refused: its '
            f"plug-in {self._calls.name} failed ({type(error).__name__}); the log of the gateway says where"
        )


class _NotAllowed(Exception):
    """A guardrail returned `found`, which is not True."""

    def __init__(self, found: object) -> None:
        super().__init__()
        self.found = found
