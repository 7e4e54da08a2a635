"""The demo's traffic, its simulated models' answers and its client, without any process."""

import asyncio
import io
import json
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from farthing import config
from farthing.brain.route.expression import Expression
from farthing.cli.itself import own_command
from farthing.demo import children, play, show, traffic, upstream, words
from farthing.demo.client import Client, Reply
from farthing.insight.report import report as reports
from farthing.text.phrase import normalised
from farthing.types import Receipt, Usage

COUNT = 3_000


@pytest.fixture(scope="module")
def asks() -> list[traffic.Ask]:
    return traffic.plan(COUNT, speed=10.0)


def test_the_same_arguments_plan_the_same_requests(asks: list[traffic.Ask]) -> None:
    assert traffic.plan(COUNT, speed=10.0) == asks
    assert traffic.plan(COUNT, speed=10.0, seed=1) != asks


def test_requests_arrive_as_the_trace_has_them_only_faster(asks: list[traffic.Ask]) -> None:
    trace = traffic.arrivals()[:COUNT]
    assert [ask.at_s for ask in asks] == pytest.approx([one.offset_ms / 10_000 for one in trace])
    assert traffic.span_s(COUNT) == trace[-1].offset_ms / 1000


def test_after_the_end_of_the_trace_it_begins_anew() -> None:
    long = traffic.plan(len(traffic.arrivals()) + 50, speed=1.0)
    times = [ask.at_s for ask in long]
    assert times == sorted(times)
    assert traffic.span_s(len(long)) == times[-1] > traffic.arrivals()[-1].offset_ms / 1000


def test_about_half_are_streamed_and_a_third_was_asked_before(asks: list[traffic.Ask]) -> None:
    assert 0.47 < sum(ask.stream for ask in asks) / COUNT < 0.53
    seen: set[traffic.Subject] = set()
    exact = near = 0
    for ask in asks:
        if ask.subject in seen:
            exact += ask.text == ask.subject.text
            near += ask.text != ask.subject.text
        seen.add(ask.subject)
    assert 0.20 < exact / COUNT < 0.30
    assert 0.06 < near / COUNT < 0.10


def test_some_questions_are_far_more_popular_than_others(asks: list[traffic.Ask]) -> None:
    popular = Counter(ask.subject for ask in asks).most_common()
    assert popular[0][1] > 20 * popular[len(popular) // 2][1]


def test_a_respelt_question_is_the_same_question(asks: list[traffic.Ask]) -> None:
    respelt = [ask for ask in asks if ask.text != ask.subject.text]
    assert len({ask.text == ask.text.upper() for ask in respelt}) == 2
    for ask in respelt:
        assert normalised(ask.text) == normalised(ask.subject.text)
        assert words.answer(ask.text) == words.answer(ask.subject.text)


def test_delicate_questions_corporate_tenants_and_long_passages_are_among_them(
    asks: list[traffic.Ask],
) -> None:
    assert sum(any(word in ask.text for word in traffic.CARE_WORDS) for ask in asks) > 10
    assert 0.02 < sum(ask.subject.tenant == traffic.TENANTS[1] for ask in asks) / COUNT < 0.12
    long = [ask for ask in asks if len(ask.subject.system) > 4 * 200]
    assert 0.03 < len(long) / COUNT < 0.2
    assert {ask.subject.model for ask in asks} == {"auto", f"farthing/{traffic.ENDPOINT}"}


def test_every_phrase_known_by_heart_is_a_real_question_of_the_set() -> None:
    texts = {question.text for question in traffic.questions()}
    phrases = [p for group in traffic.CACHE_KEYS.values() for p in group]
    phrases += [p for _, group in traffic.FIXED.values() for p in group]
    assert not set(phrases) - texts
    assert len({normalised(phrase) for phrase in phrases}) == len(phrases)


def test_an_answer_names_the_category_and_keeps_to_its_length() -> None:
    answer = words.answer("How do I change the PIN?")
    assert answer.startswith("This is a simulated answer about change pin.")
    assert words.answer("how do i change the pin") == answer
    for question in traffic.questions():
        assert words.tokens_of(words.answer(question.text)) <= traffic.GENERATED_TOKENS_MAX
    assert "".join(words.pieces(answer)) == answer


def test_the_configuration_is_good_and_keeps_the_default_rules(tmp_path: Path) -> None:
    keys = children.keys()
    text = children.configuration(tmp_path, {"cheap": 1, "expensive": 2}, keys)
    read = config.loads(text, {}, condition=Expression)
    assert set(read.tiers) == {"cheap", "expensive"}
    assert read.route == config.RulesRouteConfig()
    assert [key.plan for key in read.keys] == ["", "enterprise"]
    assert not any(key in text for key in keys.values())
    assert {price.target: price.output for price in read.prices} == {
        "simulated-cheap/small": Decimal("2.00"),
        "simulated-expensive/large": Decimal("10.00"),
    }


# -- its client, against one of its simulated models -------------------------------------------------


def ask_simulated(ask: traffic.Ask) -> Reply:
    """What the client makes of the answer of a fast simulated model."""

    async def scene() -> Reply:
        tier = msgspec.structs.replace(upstream.TIERS["cheap"], ttft_ms=1, tokens_per_s=1e6)
        async with await asyncio.start_server(upstream.Simulated(tier).serve, "127.0.0.1", 0) as server:
            client = Client(server.sockets[0].getsockname()[1])
            reply = await client.ask(ask.body(), key="any", stream=ask.stream)
            client.close()
        return play.checked(ask, reply)

    return asyncio.run(scene())


def ask_scripted(raw: bytes, *, stream: bool) -> Reply:
    """What the client makes of the bytes `raw`."""

    async def scene() -> Reply:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(raw)
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            client = Client(server.sockets[0].getsockname()[1])
            return await client.ask(b"{}", key="any", stream=stream)

    return asyncio.run(scene())


@pytest.mark.parametrize("stream", [False, True])
def test_a_simulated_model_answers_in_openai_form(asks: list[traffic.Ask], stream: bool) -> None:
    reply = ask_simulated(next(ask for ask in asks if ask.stream == stream))
    assert reply.fault is None
    assert reply.text.startswith("This is a simulated answer about")


def test_an_answer_to_another_question_is_a_failure(asks: list[traffic.Ask]) -> None:
    ask = asks[0]
    right = ask_simulated(ask)
    wrong = msgspec.structs.replace(right, text=words.answer("Why was my transfer declined?"))
    assert play.checked(ask, right).fault is None
    assert "the wrong answer" in str(play.checked(ask, wrong).fault)


def http(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


def whole(**changes: object) -> bytes:
    answer = {
        "object": "chat.completion",
        "choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }
    return http("200 OK", json.dumps({**answer, **changes}).encode())


def test_a_right_answer_is_no_failure() -> None:
    assert ask_scripted(whole(), stream=False).fault is None


@pytest.mark.parametrize(
    ("raw", "stream", "said"),
    [
        (http("502 Bad Gateway", b'{"error": {}}'), False, "HTTP 502"),
        (whole(object="error"), False, "Invalid enum value 'error'"),
        (whole(choices=[]), False, "length >= 1"),
        (whole(usage={"prompt_tokens": 3, "completion_tokens": 0}), False, "usage is"),
        (whole(choices=[{"message": {"content": "ye"}, "finish_reason": "length"}]), False, "'length'"),
        (http("200 OK", b"data: {}\n\n"), True, "does not end with [DONE]"),
        (http("200 OK", b"data: [DONE]\n\n"), True, "finish_reason is None"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", False, "IncompleteReadError"),
        (b"nonsense\r\n\r\n", False, "no HTTP"),
    ],
)
def test_an_answer_that_is_not_what_openai_promises_is_a_failure(raw: bytes, stream: bool, said: str) -> None:
    assert said in str(ask_scripted(raw, stream=stream).fault)


# -- the semantic cache --------------------------------------------------------------------------------


def test_two_questions_of_one_intent_have_one_right_answer() -> None:
    by_intent: dict[str, set[str]] = {}
    for question in traffic.questions():
        by_intent.setdefault(question.category, set()).add(words.answer(question.text))
    assert all(len(answers) == 1 for answers in by_intent.values())
    assert len(set.union(*by_intent.values())) == len(by_intent)


@pytest.mark.parametrize("mode", ["off", "observe", "on"])
def test_the_configuration_is_good_in_each_mode_of_the_semantic_cache(
    tmp_path: Path, mode: children.SemanticMode
) -> None:
    text = children.configuration(tmp_path, {"cheap": 1, "expensive": 2}, children.keys(), mode)
    semantic = config.loads(text, {}).endpoints[traffic.ENDPOINT].cache.semantic
    assert (semantic.mode, semantic.threshold) == (mode, children.THRESHOLD)


@pytest.mark.parametrize(("cache", "wrong_hit"), [("semantic", True), ("coalesced", True), ("exact", False)])
def test_an_answer_of_another_intent_is_the_semantic_caches_error_and_nobody_elses(
    asks: list[traffic.Ask], cache: str, wrong_hit: bool
) -> None:
    ask = next(ask for ask in asks if len(play.right_answers(ask)) == 1 and ask.subject.model == "auto")
    other = next(
        words.answer(question.text)
        for question in traffic.questions()
        if words.answer(question.text) not in play.right_answers(ask)
    )
    reply = play.checked(ask, Reply(request_id="r", tier="cache", cache=cache, text=other, took_ms=1.0))
    assert reply.wrong_hit is wrong_hit and (reply.fault is None) is wrong_hit
    garbled = play.checked(ask, msgspec.structs.replace(reply, text=other[:-1], wrong_hit=False, fault=None))
    assert garbled.fault is not None and not garbled.wrong_hit


def test_wrong_hits_are_counted_and_fail_nothing() -> None:
    tally = play.Tally(planned=2)
    hit = Reply(request_id="r", tier="cache", cache="semantic", text="", took_ms=1.0)
    tally.add(hit)
    tally.add(msgspec.structs.replace(hit, wrong_hit=True))
    assert (tally.hits, tally.similar, tally.wrong_hits, tally.failed) == (2, 2, 1, 0)


def test_the_time_for_look_ups_is_many_times_what_slow_ones_took_here() -> None:
    quick = play.needed_s([10.0] * 80)
    assert quick == children.BRAIN_S == play.needed_s([])
    assert play.needed_s([10.0] * 60 + [300.0] * 20) == 3.0 > children.BRAIN_S
    assert play.needed_s([60_000.0]) == children.BRAIN_S_MAX


def played(looks: play.Looks, **changes: Any) -> play.Played:
    return play.Played(
        tally=play.Tally(planned=100, **changes),
        took_s=1.0,
        report=reports.build([], since=None, until=1.0),
        samples=[],
        complaints=[],
        folder=Path("demo"),
        without_semantic=None,
        observed_s=17.0,
        brain_s=2.5,
        looks=looks,
    )


def test_lookups_that_timed_out_are_not_questions_that_were_not_near() -> None:
    assert "no question was near enough" in show.similar(played(play.Looks(count=50)))
    late = show.similar(played(play.Looks(count=50, late=40)))
    assert "40 of 50 lookups timed out, longer than 2.5 s" in late
    assert "near enough" not in late
    both = show.similar(played(play.Looks(count=50, late=5, failed=1), similar=7, wrong_hits=1))
    assert both.startswith("7 answered, 1 wrongly")
    assert "5 of 50 lookups timed out" in both and "1 of 50 lookups failed" in both


def test_lookups_are_counted_by_what_became_of_them() -> None:
    rows = [Receipt(request_id=str(n), at_unix_s=0.0, started_s=0.0, status=200) for n in range(5)]
    for row, fault in zip(rows, ("", "TimeoutError", "StoreError", ""), strict=False):
        row.stage_ms["semantic"] = 1.0
        if fault:
            row.skipped["semantic"] = fault
    rows[3].purpose = "refresh"
    looks = play.Looks()
    assert list(looks.counted(rows)) == rows
    assert looks == play.Looks(count=3, late=1, failed=1)


def screen(width: int) -> list[str]:
    """The end of the demo in a terminal `width` columns wide."""
    receipts = [
        Receipt(
            request_id=str(n),
            at_unix_s=0.5,
            started_s=0.0,
            status=200,
            endpoint=traffic.ENDPOINT,
            tier=tier,
            cost_nusd=cost,
            baseline_nusd=5_000_000,
            baseline_target="simulated-expensive/large",
            total_ms=9.0,
            usage=Usage(input_tokens=9, output_tokens=9),
        )
        for n, (tier, cost) in enumerate([("cheap", 1_000_000), ("expensive", 5_000_000), ("cache", 0)] * 40)
    ]
    done = played(play.Looks(count=1_338, late=1_070), done=120, similar=2, wrong_hits=1)
    done = msgspec.structs.replace(done, report=reports.build(receipts, since=None, until=1.0))
    console = Console(file=io.StringIO(), width=width, highlight=False)
    show.conclude(console, done, kept=False, whole=False, command=".venv/bin/farthing")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_the_end_is_one_screen_that_leads_with_the_saving(width: int) -> None:
    lines = screen(width)
    assert lines[0].startswith("Saved $0.3600 (60.0%): 120 requests cost $0.2400, not the $0.6000")
    assert len(lines) <= 24
    assert max(map(len, lines)) <= width
    assert "".join(lines).count("…") == 0


def test_what_is_kept_is_gone_on_with_by_its_configuration() -> None:
    sample = play.Sample("Asked before", "req_1", [])
    done = msgspec.structs.replace(played(play.Looks()), samples=[sample])
    lines = list(show._how_to_go_on(done, kept=True, command="farthing"))
    config = str(done.folder / "farthing.toml")
    assert f"  farthing report --since all --config {config}" in lines
    assert f"  farthing explain req_1 --config {config}" in lines


# -- how to call it again ------------------------------------------------------------------------------


def test_the_command_to_go_on_with_is_found_from_where_the_person_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a checkout" / ".venv" / "bin"
    folder.mkdir(parents=True)
    script = folder / "farthing"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script), "demo"])
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path / "a checkout")
    assert own_command() == ".venv/bin/farthing"
    monkeypatch.chdir(tmp_path)
    assert own_command() == "'a checkout/.venv/bin/farthing'"
    monkeypatch.chdir("/")
    assert own_command() == f"'{str(script)[1:]}'"
    monkeypatch.setenv("PATH", str(folder))
    assert own_command() == "farthing"
    # A script on PATH that is another installation's is not the one that runs.
    other = tmp_path / "farthing"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert own_command() != "farthing"
    # `python -m farthing`, where no script is installed beside Python.
    monkeypatch.setattr(sys, "argv", ["/x/farthing/__main__.py", "demo"])
    monkeypatch.setattr(sys, "executable", "/opt/python")
    assert own_command().endswith("opt/python -m farthing")
