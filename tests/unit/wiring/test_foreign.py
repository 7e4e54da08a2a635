"""The calls of plug-ins: who waits goes at once, and what does not end is ended."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from tests.asking import asked
from tests.semantic import receipt
from tests.unit.pipeline.test_optional import Allowed

from farthing.errors import Blocked, GuardrailFailed
from farthing.pipeline.optional import optional
from farthing.types import (
    CandidateAnswer,
    CheckResult,
    Json,
    Passage,
    Passages,
    Request,
    Target,
    Traits,
)
from farthing.wiring import foreign
from farthing.wiring.foreign import (
    TEXTS_AT_ONCE,
    Calls,
    ForeignCheck,
    ForeignGuardrail,
    ForeignRetriever,
    PluginFailed,
)


async def stubborn() -> None:
    """Does not end when it is cancelled."""
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3_600)


async def until(what: Callable[[], object]) -> None:
    while not what():  # noqa: ASYNC110  # what it waits for has no event
        await asyncio.sleep(0.001)


def others() -> int:
    return len(asyncio.all_tasks()) - 1


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60))


def test_a_call_that_does_not_end_is_ended_after_its_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "GRACE_S", 0.01)

    async def main() -> None:
        with pytest.raises(TimeoutError, match=r"plug-in toy: route took longer than 0\.01 s"):
            await Calls("toy").run("route", stubborn, timeout_s=0.01)
        await until(lambda: others() <= 1)

    run(main())


def test_a_call_that_tidies_up_in_time_does_so() -> None:
    tidied = []

    async def tidy() -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            await asyncio.sleep(0)
            tidied.append(True)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await Calls("toy").run("route", tidy, timeout_s=0.01)
        await until(lambda: tidied)

    run(main())


def test_too_many_that_do_not_end_and_it_is_not_called_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "LEFT_MAX", 3)
    monkeypatch.setattr(foreign, "GRACE_S", 3_600.0)

    async def main() -> None:
        calls = Calls("toy")
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await calls.run("route", stubborn, timeout_s=0.001)
        with pytest.raises(PluginFailed, match="3 earlier calls have not ended"):
            await calls.run("route", stubborn)
        await calls.close(object())
        await until(lambda: others() <= 1)

    run(main())


def test_what_one_request_left_behind_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "LEFT_MAX", 2)
    monkeypatch.setattr(foreign, "GRACE_S", 3_600.0)

    async def main() -> None:
        calls = Calls("toy")
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await calls.together("allows", [stubborn] * 8, timeout_s=0.001)
        with pytest.raises(PluginFailed, match="2 earlier calls have not ended"):
            await calls.run("allows", stubborn)
        await calls.close(object())
        await until(lambda: others() <= 1)
        assert await calls.run("allows", tidy) == 1, "and when they have ended there is room again"

    async def tidy() -> int:
        return 1

    run(main())


def test_what_a_plug_in_does_to_a_request_is_done_to_a_copy() -> None:
    request = asked("x")
    before = json.dumps(request.body)

    class Spoils:
        async def retrieve(self, request: Request, traits: Traits) -> Passages:
            request.body["messages"][0]["content"] = "spoiled"
            request.body.clear()
            return Passages()

    async def main() -> None:
        await ForeignRetriever(Spoils(), Calls("toy")).retrieve(request, Traits())

    run(main())
    assert json.dumps(request.body) == before


def test_what_a_check_left_behind_asks_nobody() -> None:
    heard = []

    async def ask(body: Json, target: str | None) -> CandidateAnswer | None:
        heard.append(target)
        return None

    left: list[asyncio.Task[Any]] = []

    class Leaves:
        name = "leaves"

        async def doubt(self, draft: Any, ask: Any) -> CheckResult:
            async def later() -> None:
                await asyncio.sleep(0.01)
                await ask({}, "after")

            left.append(asyncio.create_task(later()))
            await ask({}, "within")
            return CheckResult(reason=None)

    async def main() -> None:
        check = ForeignCheck(Leaves(), Calls("toy"), name="leaves")
        target = Target(name="a/m", provider="a", model="m")
        draft = CandidateAnswer(request=asked("x"), target=target, text="", finish_reason="stop")
        assert (await check.doubt(draft, ask)).reason is None
        await left[0]
        assert heard == ["within"]

    run(main())


@pytest.mark.parametrize(
    "passage",
    [
        Passage(text="half \ud83d", source="page"),
        Passage(text="words", source="half \ud83d"),
        Passage(text="words", source="s" * 2_001),
        Passage(text="words", source="page", tokens=True),
        Passage(text="words", source="page", tokens=-1),
    ],
)
def test_a_passage_that_cannot_be_sent_or_written_down_is_none(passage: Passage) -> None:
    class Odd:
        async def retrieve(self, request: Any, traits: Any) -> Passages:
            return Passages(passages=(passage,))

    async def main() -> None:
        with pytest.raises(TypeError, match="plug-in toy: retrieve gave "):
            await ForeignRetriever(Odd(), Calls("toy")).retrieve(asked(), Traits())

    run(main())


# -- what is said of a failure ----------------------------------------------------------------------


def failing(calls: Calls, deed: Callable[[], Coroutine[Any, Any, Any]], left_s: float = 60.0) -> None:
    """A retriever that does `deed`, as the journey runs it."""

    class Toy:
        async def retrieve(self, request: Any, traits: Any) -> Any:
            return await deed()

    async def main() -> None:
        step = ForeignRetriever(Toy(), calls).retrieve(asked(), None)  # type: ignore[arg-type]
        found = await optional("retrieve", step, Passages(), Allowed(left_s), receipt(), Passages)
        assert found == Passages()

    run(main())


def test_what_it_raises_is_told_with_the_line_of_its_own_code(caplog: pytest.LogCaptureFixture) -> None:
    async def deed() -> Any:
        return Passages([])  # type: ignore[call-arg, arg-type]

    failing(Calls("toy", owners={"tests"}), deed)
    line = deed.__code__.co_firstlineno + 1
    (said,) = caplog.messages
    assert said.startswith("step retrieve skipped: TypeError: ")
    assert said.endswith(f" (plug-in toy, retrieve at test_foreign.py:{line})")


@pytest.mark.slow
def test_a_late_one_is_told_with_its_time_and_its_setting(caplog: pytest.LogCaptureFixture) -> None:
    failing(Calls("toy", limit="endpoints.faq.retrieve.timeout_s"), stubborn, 0.01)
    assert caplog.messages == [
        "step retrieve skipped: TimeoutError: it took longer than 0.01 s (plug-in toy, retrieve; its time is "
        "endpoints.faq.retrieve.timeout_s)"
    ]


def test_an_error_that_is_raised_again_and_again_keeps_one_note() -> None:
    error = ValueError("always this one")

    async def deed() -> Any:
        raise error

    for _ in range(3):
        failing(Calls("toy"), deed)
    assert len(error.__notes__) == 1


# -- guardrails -------------------------------------------------------------------------------------


def guardrail(allows: Callable[[str], Any], timeout_s: float = 60.0) -> ForeignGuardrail:
    class Toy:
        def __init__(self) -> None:
            self.allows = allows

    return ForeignGuardrail(
        Toy(), Calls("toy", limit="guard.plugins.g.timeout_s"), name="g", message="", timeout_s=timeout_s
    )


def test_a_guardrail_sees_each_text_once_and_any_may_be_refused() -> None:
    seen: list[str] = []

    async def allows(text: str) -> bool:
        seen.append(text)
        return "bomb" not in text

    async def main() -> None:
        texts = [f"text {index}" for index in range(100)]
        await guardrail(allows).check([*texts, *texts])
        assert sorted(seen) == sorted(texts)
        for place in (0, 50, 100):
            with pytest.raises(Blocked, match='refused by the guardrail "g"'):
                await guardrail(allows).check([*texts[:place], "how to build a bomb", *texts[place:]])
        await guardrail(allows).check([])

    run(main())


def test_a_guardrail_that_waits_is_asked_about_some_texts_at_the_same_time() -> None:
    waiting, most = 0, 0

    async def allows(text: str) -> bool:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await asyncio.sleep(0.001)
        waiting -= 1
        return True

    run(guardrail(allows).check([str(index) for index in range(40)]))
    assert most == TEXTS_AT_ONCE


def test_many_texts_of_one_that_does_not_wait_do_not_hold_the_event_loop() -> None:
    turns = 0

    async def allows(text: str) -> bool:
        time.sleep(0.02)  # noqa: ASYNC251  # as it must not do, and does
        return True

    async def main() -> None:
        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(others())
        await guardrail(allows).check([str(index) for index in range(20)])
        other.cancel()
        assert turns >= 10

    run(main())


@pytest.mark.parametrize("found", [None, "yes", 1])
def test_a_guardrail_that_does_not_say_true_or_false_refuses(
    found: object, caplog: pytest.LogCaptureFixture
) -> None:
    async def allows(text: str) -> Any:
        return found

    with pytest.raises(GuardrailFailed):
        run(guardrail(allows).check(["a"]))
    (said,) = caplog.messages
    assert "guardrail g failed, and the request is refused: TypeError: plug-in toy: allows gave " in said
    assert said.endswith("expected True or False")


def test_a_failure_of_a_guardrail_is_told_with_its_line_and_never_the_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def allows(text: str) -> bool:
        raise ValueError(f"cannot read {text}")

    async def main() -> None:
        guard = guardrail(allows)
        for _ in range(3):
            with pytest.raises(GuardrailFailed) as caught:
                await guard.check(["canary-8c1f"])
            said = str(caught.value)
            assert '"g"' in said and "plug-in toy failed (ValueError)" in said and "later" not in said

    run(main())
    line = allows.__code__.co_firstlineno + 1
    assert caplog.messages == [
        "guardrail g failed, and the request is refused: ValueError: plug-in toy, allows at "
        f"test_foreign.py:{line}"
    ]
    assert "canary-8c1f" not in caplog.text


def test_a_late_guardrail_names_its_setting(caplog: pytest.LogCaptureFixture) -> None:
    async def allows(text: str) -> bool:
        await asyncio.sleep(3_600)
        return True

    with pytest.raises(GuardrailFailed):
        run(guardrail(allows, 0.01).check(["a", "b"]))
    (said,) = caplog.messages
    assert "allows took longer than 0.01 s; its time is guard.plugins.g.timeout_s" in said
