"""What every Inspector does. There is one, of parts that each have tests of their own: here is what it hands
to which of them, and what it leaves alone."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tests.asking import asked
from tests.semantic import said

from farthing.evaluation.checks.delivered import Checked, Checking, Checks
from farthing.evaluation.feedback.inspect import Inspect, Watched
from farthing.evaluation.feedback.repeats import KEPT_MAX, REPEATED, Repeats
from farthing.ledger.memory import MemoryLedger
from farthing.protocols import Inspector
from farthing.types import CacheHit, Receipt, Request, Route, Signal, Tenant, replace

CHEAP = Route(tier="cheap", targets=(), reason="")
EXPLORED = Route(tier="expensive", targets=(), reason="", shadow=CHEAP)


class Length:
    """A test of the endpoint: an answer has at most ten characters."""

    name = "length"

    async def look(self, request: Request, text: str) -> Checked | None:
        if text == "broken":
            raise RuntimeError("a bug")
        return Checked(len(text) <= 10, "" if len(text) <= 10 else "too long")


class Heard:
    """Stands where explorers and graders do, and says whether it takes what it is given."""

    def __init__(self, takes: bool = True) -> None:
        self.heard: list[str] = []
        self.takes = takes

    def explore(self, request: Request, route: Route, answer: CacheHit, receipt: Receipt) -> bool:
        self.heard.append(request.id)
        return self.takes

    def grade(self, request: Request, answer: CacheHit, receipt: Receipt) -> bool:
        self.heard.append(request.id)
        return self.takes


class Bench:
    """An inspector on a ledger in memory."""

    def __init__(self, *, takes: bool = True, kept_max: int = KEPT_MAX, **watched: Any) -> None:
        self.ledger = MemoryLedger()
        self.explorer, self.grader = Heard(takes), Heard(takes)
        self.repeats = Repeats(self.ledger, clock_unix_s=lambda: 5.0, kept_max=kept_max)
        self.checking = Checking(self.ledger, clock_unix_s=lambda: 5.0)
        self.inspector: Inspector = Inspect(
            {"default": Watched(**watched)},
            repeats=self.repeats,
            checks=Checks({"default": [Length()]}),
            checking=self.checking,
            explore=self.explorer,
            grade=self.grader,
        )

    @property
    def signals(self) -> list[Signal]:
        return [row for row in self.ledger.rows() if isinstance(row, Signal)]

    def give(self, request: Request, text: str = "fine", route: Route = CHEAP) -> None:
        """An answer as the pipeline gives it."""
        if self.inspector.wants(request, route):
            self.inspector.inspect(request, route, said(text), receipt_of(request))

    def ask(self, text: str, at_s: float, *, answered: bool = True, **changes: Any) -> Receipt:
        """A request that is told of, then answered within a tenth of a second."""
        changes = {"session": "s", **changes}
        retry = changes.pop("client_retry", 0)
        request = asked(text, id=f"req_{at_s:g}", received_s=at_s, **changes)
        receipt = receipt_of(request, client_retry=retry)
        self.inspector.asked(request, receipt)
        if answered:
            receipt.status, receipt.total_ms = 200, 100.0
        return receipt


def receipt_of(request: Request, **changes: Any) -> Receipt:
    return Receipt(
        request_id=request.id,
        at_unix_s=1.0,
        started_s=request.received_s,
        tenant=request.tenant.name,
        endpoint=request.endpoint.name,
        target="a/one",
        **changes,
    )


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


# -- what is looked at ------------------------------------------------------------------------------


def test_answers_that_nothing_was_asked_about_are_not_kept() -> None:
    bench = Bench(reask_s=60.0)
    assert not bench.inspector.wants(asked(), CHEAP)
    assert bench.inspector.wants(asked(), EXPLORED)
    embeddings = asked(body={"input": "x"}, operation="embeddings")
    assert not Bench(check_share=1.0, judge_share=1.0).inspector.wants(embeddings, CHEAP)


def test_a_share_is_judged_and_what_was_wanted_is_what_is_judged() -> None:
    bench = Bench(judge_share=0.3)
    for number in range(1_000):
        bench.give(asked(id=f"req_{number:04x}"))
    assert 240 < len(bench.grader.heard) < 360
    wanted = [f"req_{n:04x}" for n in range(1_000) if bench.inspector.wants(asked(id=f"req_{n:04x}"), CHEAP)]
    assert wanted == bench.grader.heard


def test_an_explored_answer_goes_to_the_explorer_alone_unless_it_is_not_taken() -> None:
    taken = Bench(judge_share=1.0)
    taken.give(asked(), route=EXPLORED)
    assert (len(taken.explorer.heard), len(taken.grader.heard)) == (1, 0)
    refused = Bench(judge_share=1.0, takes=False)
    refused.give(asked(), route=EXPLORED)
    assert (len(refused.explorer.heard), len(refused.grader.heard)) == (1, 1)


def test_answers_are_put_to_the_tests_of_their_endpoint_behind_the_request() -> None:
    async def go() -> None:
        bench = Bench(check_share=1.0)
        for text in ("short", "much too long", "broken"):
            bench.give(asked(id=f"req_{text[:5]}"), text)
        assert not bench.signals  # nothing waits for it
        while len(bench.signals) < 3:  # noqa: ASYNC110  # a ledger wakes nobody
            await asyncio.sleep(0.001)
        assert [(one.source, one.kind, one.quality) for one in bench.signals] == [
            ("check", "length", 1.0),
            ("check", "length", 0.0),
            ("check", "length", None),
        ]
        assert [one.detail for one in bench.signals] == ["", "too long", "failed by a fault of ours"]
        assert bench.signals[0].target == "a/one" and bench.signals[0].tenant == "acme"
        await bench.checking.aclose()
        await bench.checking.aclose()

    run(go)


def test_more_answers_than_there_is_room_for_are_dropped_and_counted() -> None:
    async def go() -> None:
        bench = Bench(check_share=1.0)
        for number in range(250):
            bench.give(asked(id=f"req_{number}"))
        assert bench.checking.dropped == 50
        await bench.checking.aclose()

    run(go)


def test_what_waits_to_be_tested_holds_no_conversation_and_is_bounded_in_size() -> None:
    async def go() -> None:
        bench = Bench(check_share=1.0)
        schema = {"type": "json_schema", "json_schema": {"schema": {"enum": ["x" * 1_000_000]}}}
        for number in range(50):
            body = {"messages": [{"role": "user", "content": "y" * 5_000_000}], "response_format": schema}
            bench.give(asked(id=f"req_{number}", body=body))
        assert 10 < bench.checking.dropped < 25
        held = [waiting[1].body for waiting in bench.checking._waiting._queue]  # type: ignore[attr-defined]
        assert all(body == {"response_format": schema} for body in held)
        while not bench.checking._waiting.empty():  # noqa: ASYNC110  # its worker wakes nobody
            await asyncio.sleep(0.001)
        bench.give(asked(id="req_later"))
        assert bench.checking.dropped < 25
        await bench.checking.aclose()

    run(go)


# -- repeats ----------------------------------------------------------------------------------------


def test_a_question_asked_again_within_a_moment_speaks_against_the_first_answer() -> None:
    bench = Bench(reask_s=60.0)
    bench.ask("How do I get a refund?", 0.0)
    bench.ask("  how do I get a REFUND", 30.0)
    (signal,) = bench.signals
    assert (signal.request_id, signal.source, signal.quality) == ("req_0", "reask", REPEATED)
    assert (signal.tenant, signal.endpoint, signal.target) == ("acme", "default", "a/one")
    assert signal.detail == "asked again after 30 s"


def test_of_many_repeats_each_is_about_the_one_before() -> None:
    bench = Bench(reask_s=60.0)
    for at_s in (0.0, 10.0, 20.0):
        bench.ask("why?", at_s)
    assert [signal.request_id for signal in bench.signals] == ["req_0", "req_10"]


def test_what_is_no_repeat_says_nothing() -> None:
    def after(**changes: Any) -> list[Signal]:
        bench = Bench(reask_s=60.0)
        first = changes.pop("first", {})
        bench.ask("why?", 0.0, **first)
        bench.ask(changes.pop("text", "why?"), changes.pop("at_s", 10.0), **changes)
        return bench.signals

    tool = {"messages": [{"role": "user", "content": "why?"}, {"role": "tool", "content": "42"}]}
    assert len(after()) == 1
    assert not after(text="why not?")
    assert not after(at_s=60.2)
    assert not after(session="other")
    assert not after(tenant=Tenant(name="other"))
    assert not after(first={"answered": False})
    assert not after(client_retry=1)  # the SDK's own, which no person asked for
    assert not after(body=tool)
    assert not after(session=None, first={"session": None})  # nobody can be told from another
    assert len(after(session=None, user="u", first={"session": None, "user": "u"})) == 1
    assert not after(session=None, user="s")  # a user is no session of that name


def test_where_it_is_turned_off_nothing_is_remembered() -> None:
    bench = Bench(reask_s=0.0)
    bench.ask("why?", 0.0)
    bench.ask("why?", 1.0)
    assert not bench.signals and not len(bench.repeats)


def test_what_is_remembered_is_bounded_in_number_and_in_time() -> None:
    bench = Bench(reask_s=60.0, kept_max=100)
    for number in range(1_000):
        bench.ask(f"question {number}", number / 1_000)
    assert len(bench.repeats) == 100
    for number in range(60):
        bench.ask(f"later {number}", 10_000.0 + number)
    assert len(bench.repeats) <= 60


def test_a_receipt_keeps_no_text_and_neither_do_repeats() -> None:
    bench = Bench(reask_s=60.0)
    bench.ask("my secret question", 0.0)
    assert "secret" not in repr(vars(bench.repeats))


def test_an_answer_that_is_no_plain_text_is_not_tested() -> None:
    bench = Bench(check_share=1.0)
    odd = replace(said("x"), body=b'{"choices": []}')
    bench.inspector.inspect(asked(), CHEAP, odd, receipt_of(asked()))
    assert not bench.signals and not bench.checking.dropped


def test_an_endpoint_that_waits_longer_is_not_forgotten_for_one_that_waits_less() -> None:
    ledger = MemoryLedger()
    repeats = Repeats(ledger, clock_unix_s=lambda: 5.0)
    first = receipt_of(asked("why?", session="s", received_s=0.0), status=200, total_ms=1.0)
    repeats.asked(asked("why?", session="s"), first, 3_600.0)
    other = asked("how?", session="t", received_s=1_000.0)
    repeats.asked(other, receipt_of(other), 60.0)
    again = asked("why?", session="s", received_s=1_100.0)
    repeats.asked(again, receipt_of(again), 3_600.0)
    assert [row.request_id for row in ledger.rows()] == ["r-1"]
