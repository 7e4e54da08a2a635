"""What every AnswerCheck does. A new check is one more line in CHECKS, with an answer it doubts."""

import asyncio
from collections.abc import Callable

import pytest
from tests.asking import asked

from farthing.evaluation.checks.consistency import ConsistencyCheck
from farthing.evaluation.checks.fits_schema import SchemaCheck
from farthing.evaluation.checks.holds_pattern import RegexCheck
from farthing.evaluation.checks.logprobs import LogprobsCheck
from farthing.evaluation.checks.passes_command import CommandCheck
from farthing.evaluation.checks.plain import PlainCheck
from farthing.evaluation.checks.regex import Searcher, compiled
from farthing.evaluation.checks.threshold import Floor
from farthing.evaluation.judges.inline import JudgeCheck
from farthing.protocols import AnswerCheck, Ask
from farthing.runtime.loop_batch import in_task, is_immediate
from farthing.types import CandidateAnswer, CheckResult, Json, Target, replace
from farthing.wiring.foreign import Calls, ForeignCheck

MINI = Target(name="a/mini", provider="a", model="mini")
FLOOR = Floor(everywhere=0.5)
GOOD = CandidateAnswer(request=asked(), target=MINI, text="42", finish_reason="stop", logprobs=(-0.1,))
BAD: CandidateAnswer = replace(GOOD, text="", finish_reason="length", logprobs=(-9.0,))
SHAPED = {"response_format": {"type": "json_object"}}


class Plugged:
    """A check as a plug-in may have it: waits as any library does."""

    name = "plugged"

    async def doubt(self, draft: CandidateAnswer, ask: Ask) -> CheckResult:
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
        return CheckResult(
            reason=None if draft.text == "42" else "it is\nempty", score=1.0 if draft.text == "42" else 0.0
        )


CHECKS: dict[str, tuple[Callable[[], AnswerCheck], CandidateAnswer, CandidateAnswer]] = {
    "plain": (PlainCheck, GOOD, BAD),
    "schema": (
        SchemaCheck,
        replace(GOOD, request=asked(body=SHAPED), text="{}"),
        replace(GOOD, request=asked(body=SHAPED), text="no"),
    ),
    "regex": (
        lambda: RegexCheck(Searcher(), name="regex", pattern=compiled(r"\d"), absent=False),
        GOOD,
        BAD,
    ),
    "command": (
        lambda: CommandCheck(
            name="command", arguments=["grep", "-q", "42"], timeout_s=5, memory_bytes_max=536_870_912
        ),
        GOOD,
        BAD,
    ),
    "logprobs": (lambda: LogprobsCheck(name="logprobs", measure="mean", floor=FLOOR), GOOD, BAD),
    "consistency": (
        lambda: ConsistencyCheck(name="consistency", samples=2, temperature=0.7, compare="auto", floor=FLOOR),
        GOOD,
        replace(GOOD, text="41"),
    ),
    "judge": (lambda: JudgeCheck(name="judge", target="a/judge"), GOOD, replace(GOOD, text="41")),
    "plugin": (lambda: ForeignCheck(Plugged(), Calls("toy"), name="plugin"), GOOD, BAD),
}


async def ask(body: Json, target: str | None) -> CandidateAnswer | None:
    """Says 42, and as a judge that 42 is right."""
    if target is None:
        return GOOD
    system, shown = (str(message["content"]) for message in body["messages"])
    code = system.partition("GOOD-")[2][:8]
    word = "GOOD" if '"42"' in shown else "BAD"
    answered: CandidateAnswer = replace(GOOD, text=f"{word}-{code}")
    return answered


async def silent(body: Json, target: str | None) -> CandidateAnswer | None:
    return None


def found(name: str, draft: CandidateAnswer) -> CheckResult:
    async def run() -> CheckResult:
        check = CHECKS[name][0]()
        if not is_immediate(check):
            await in_task()  # as the cascade does
        return await check.doubt(draft, ask)

    return asyncio.run(run())


@pytest.mark.parametrize("name", CHECKS)
def test_a_good_answer_is_not_doubted_and_a_bad_one_is_with_a_reason(name: str) -> None:
    _, good, bad = CHECKS[name]
    assert found(name, good).reason is None
    reason = found(name, bad).reason
    assert reason is not None and reason.isprintable() and 0 < len(reason) <= 200


@pytest.mark.parametrize("name", CHECKS)
def test_a_score_is_from_0_to_1_and_the_better_answer_has_the_higher_one(name: str) -> None:
    _, good, bad = CHECKS[name]
    scores = found(name, good).score, found(name, bad).score
    if scores != (None, None):
        assert scores[0] is not None and scores[1] is not None and 0 <= scores[1] < scores[0] <= 1


@pytest.mark.parametrize("name", CHECKS)
def test_the_reason_holds_nothing_of_an_answers_own_words(name: str) -> None:
    bad = replace(CHECKS[name][2], text="NIGHTJAR-8c1f")
    assert "NIGHTJAR" not in str(found(name, bad).reason).upper()


@pytest.mark.parametrize("name", ["schema", "regex", "command", "logprobs", "consistency", "judge", "plain"])
def test_nobody_is_asked_about_the_call_of_a_tool(name: str) -> None:
    async def run() -> CheckResult:
        calls = replace(GOOD, text="", finish_reason="tool_calls", tool_calls=(("f", "{}"),))
        body = {"tools": [{"type": "function", "function": {"name": "f"}}]}
        return await CHECKS[name][0]().doubt(replace(calls, request=asked(body=body)), silent)

    assert asyncio.run(run()) == CheckResult(reason=None)


def test_every_check_of_the_package_is_here() -> None:
    from farthing.config.settings import cascade

    kinds = {kind.__struct_config__.tag for kind in cascade.CascadeCheckConfig.__args__}
    assert set(CHECKS) == kinds
