"""A stream that is no whole answer is told as what it is, in the provider's own words where it has any."""

import asyncio
import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import openai
import pytest
from tests.conftest import StartGateway
from tests.e2e import wild
from tests.e2e.gateway import Running
from tests.e2e.wild import Read, Row, Seen, model_of
from tests.faults.exact import (
    COUNTED,
    DONE,
    HELLO,
    ROLE,
    STOP,
    Exact,
    chunk,
    event,
    say,
    streamed,
    whole,
)
from tests.faults.provider import FaultProvider

GAP_S: Final = 0.05  # so that the client has seen the first words before the rest comes
WORDS: Final = "Rate limit exceeded: 20 a day"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An error as a provider puts it into a stream."""

    wire: Any
    message: str = WORDS
    type: str | None = None
    code: Any = None
    silent: bool = False
    """The official client takes it for a chunk and tells nobody."""


def named(value: Any) -> bytes:
    return event(value, b"event: error")


FORMS: dict[str, Told] = {
    "as OpenAI": Told(
        wire={"error": {"message": WORDS, "type": "requests", "param": None, "code": "rate_limit_exceeded"}},
        type="requests",
        code="rate_limit_exceeded",
    ),
    "with a number for its code": Told(wire={"error": {"message": WORDS, "code": 429}}, code=429),
    "with a string of a number": Told(wire={"error": {"message": WORDS, "code": "429"}}, code="429"),
    "beside its choices": Told(
        wire=chunk({"content": ""}, "error", error={"message": WORDS, "code": 502}), code=502
    ),
    "as one text": Told(wire={"error": WORDS}, silent=False),
    "named, as OpenAI": Told(wire=named({"error": {"message": WORDS, "type": "requests"}}), type="requests"),
    "named, bare": Told(
        wire=named({"message": WORDS, "type": "server_error"}), type="server_error", silent=True
    ),
    "named, in plain words": Told(wire=named(WORDS.encode()), silent=True),
    "as older vLLM": Told(
        wire={"object": "error", "message": WORDS, "type": "TooManyRequests", "param": None, "code": 429},
        type="TooManyRequests",
        code=429,
        silent=True,
    ),
    "as Anthropic": Told(
        wire={"type": "error", "error": {"type": "overloaded_error", "message": WORDS}},
        type="overloaded_error",
    ),
    "named, as Anthropic": Told(
        wire=named({"type": "error", "error": {"type": "overloaded_error", "message": WORDS}}),
        type="overloaded_error",
    ),
    "as FastAPI": Told(wire={"detail": WORDS}, silent=True),
    "with error_code": Told(wire={"error_code": 18, "error_msg": WORDS}, code=18, silent=True),
    "as DashScope": Told(
        wire={"code": "Throttling", "message": WORDS, "request_id": "r"}, code="Throttling", silent=True
    ),
    "as Gemini, in a list": Told(
        wire=event([{"error": {"code": 429, "message": WORDS, "status": "RESOURCE_EXHAUSTED"}}]),
        code=429,
        silent=True,
    ),
    "a message in a message": Told(wire={"error": {"message": {"text": WORDS}, "type": "x"}}, type="x"),
}

BEFORE: dict[str, tuple[Any, ...]] = {
    "first": (),
    "after a comment": (b": OPENROUTER PROCESSING\n\n",),
    "after the role": (ROLE,),
    "after words": (ROLE, *say("hel")),
    "after reasoning": (ROLE, chunk({"reasoning": "hm"})),
    "after a finish": (*HELLO, STOP),
}
SEEN_BEFORE: Final = {"after words": "hel", "after a finish": "hello"}


def told_rows() -> Iterator[tuple[str, Row, Told, bool]]:
    """Name, row, error, and whether the client had seen something of the answer before it."""
    for form, told in FORMS.items():
        for place, before in BEFORE.items():
            for end in ("", " and DONE"):
                begun = place in ("after words", "after reasoning", "after a finish")
                gap_s = GAP_S if begun else 0.0
                reply = streamed(*before, told.wire, *([DONE] if end else []), gap_s=gap_s)
                row = Row(reply=reply, text=SEEN_BEFORE.get(place, ""), error=told.message)
                yield f"an error {form}, {place}{end}", row, told, begun


TOLD: dict[str, tuple[Row, Told, bool]] = {name: rest for name, *rest in told_rows()}  # type: ignore[misc]

EVENTS: Final[tuple[Any, ...]] = (*HELLO, STOP, COUNTED, DONE)
LATE: Final[dict[str, Any]] = {"text": "hel", "direct": "silent"}
HTML: Final = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


def cut(*events: Any, **how: Any) -> Exact:
    return streamed(ROLE, *say("hel"), *events, **{"gap_s": GAP_S, **how})


BROKEN: dict[str, Row] = {
    # what came may not be all of it
    "words, then a clean end": Row(reply=cut(), **LATE),
    "words, then a clean end, by length": Row(reply=cut(framing="length"), **LATE),
    "words, then closed": Row(reply=cut(framing="close"), **LATE),
    "words and usage, then a clean end": Row(reply=cut(COUNTED), **LATE),
    "an empty finish, then a clean end": Row(reply=cut(chunk(finish="")), **LATE),
    "words, then FIN inside the chunks": Row(reply=cut(b": x\n\n", end="cut"), text="hel"),
    "words, then a reset": Row(reply=cut(b": x\n\n", end="reset"), text="hel"),
    "half an event, then a clean end": Row(reply=cut(event(say("lo")[0])[:-30]), **LATE),
    "half a finish, then a clean end": Row(
        reply=cut(*say("lo"), event(STOP)[:-9]), text="hello", direct="silent"
    ),
    "one of two choices without a finish": Row(
        reply=streamed(ROLE, *say("hel"), chunk({"content": "x"}, index=1), STOP, gap_s=GAP_S),
        text="hel",
        direct="silent",
    ),
    # what came is no answer
    "words, then half of JSON": Row(
        reply=cut(b'data: {"choices": [\n\n', *say("lo"), STOP, DONE), text="hel"
    ),
    "words, then words and half of JSON in one piece": Row(
        reply=cut(event(say("lo")[0]) + b'data: {"choices": [\n\n', DONE), text="hello"
    ),
    "words, then words and bytes that are no text in one piece": Row(
        reply=cut(event(say("lo")[0]) + b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n', DONE),
        text="hello",
    ),
    "words, then HTML": Row(reply=cut(b"data: " + HTML + b"\n\n", STOP, DONE), text="hel"),
    "words, then plain text": Row(reply=cut(b"data: internal error\n\n", DONE), text="hel"),
    "words, then bytes that are no text": Row(
        reply=cut(b'data: {"choices":[{"index":0,"delta":{"content":"\xff\xc3("}}]}\n\n', STOP, DONE),
        text="hel",
    ),
    "words, then a number": Row(reply=cut(b"data: 42\n\n", STOP, DONE), **LATE),
    # nothing of an answer came
    "nothing": Row(reply=streamed(), text="", direct="silent"),
    "nothing, closed": Row(reply=streamed(framing="close"), text="", direct="silent"),
    "no content": Row(reply=Exact(((0.0, b"HTTP/1.1 204 No Content\r\n\r\n"),)), text="", direct="silent"),
    "only DONE": Row(reply=streamed(DONE), text="", direct="silent"),
    "only a comment": Row(reply=streamed(b": keep-alive\n\n"), text="", direct="silent"),
    "only the role": Row(reply=streamed(ROLE), text="", direct="silent"),
    "only the role and DONE": Row(reply=streamed(ROLE, DONE), text="", direct="silent"),
    "only the usage": Row(reply=streamed(COUNTED, DONE), text="", direct="silent"),
    "HTML": Row(reply=whole(HTML, content_type="text/html"), text="", direct="silent"),
    "HTML called a stream": Row(
        reply=whole(HTML, content_type="text/event-stream"), text="", direct="silent"
    ),
    "an empty object": Row(reply=whole({}), text="", direct="silent"),
    "half a whole answer": Row(
        reply=whole(b'{"id":"x","choices":[{"index":0,"message":{"content":"hel'), text="", direct="silent"
    ),
}
BEGUN: Final = {name for name, row in BROKEN.items() if row.text}
ALL: dict[str, Row] = {**BROKEN, **{name: row for name, (row, _, _) in TOLD.items()}}


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider, second: FaultProvider) -> Running:
    tiers = "".join(
        f'[tiers.{model_of(name)}]\ntargets = ["up/{model_of(name)}", "b/second"]\n' for name in BROKEN
    )
    return start_gateway(f"""
[providers.up]
base_url = "{upstream.base_url}"
[providers.b]
base_url = "{second.base_url}"
[tiers.cheap]
targets = ["up/good-cheap"]
{tiers}
{wild.prices(ALL)}
[cache]
exact = "off"
""")


@pytest.fixture(scope="module")
def seen(gateway: Running, upstream: FaultProvider) -> dict[str, Seen]:
    return wild.travel(ALL, upstream, gateway, stream=True)


# -- what the provider says -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOLD)
def test_an_error_in_the_stream_arrives_in_the_providers_words(seen: dict[str, Seen], name: str) -> None:
    through, (row, told, begun) = seen[name].through, TOLD[name]
    assert isinstance(through.error, openai.APIError), through.error
    assert through.text == row.text
    assert told.message in through.error.message
    assert isinstance(through.error.body, dict)
    if begun:
        assert not isinstance(through.error, openai.APIStatusError)
        if told.type is not None:
            assert through.error.body["type"] == told.type
        if told.code is not None:
            assert str(through.error.body["code"]) == str(told.code)


@pytest.mark.parametrize("name", TOLD)
def test_the_official_client_raises_the_same_where_it_raises_at_all(seen: dict[str, Seen], name: str) -> None:
    direct, through, (_, told, begun) = seen[name].direct, seen[name].through, TOLD[name]
    if told.silent:
        assert not isinstance(direct.error, openai.APIError)
        return
    assert isinstance(direct.error, openai.APIError)
    assert isinstance(through.error, type(direct.error))
    assert through.text == direct.text
    if begun:
        assert through.error.code in (direct.error.code, direct.error.code or "stream_broken")
        assert through.error.type in (direct.error.type, direct.error.type or "provider_error")


@pytest.mark.parametrize("name", TOLD)
def test_the_receipt_keeps_the_words_too(seen: dict[str, Seen], name: str) -> None:
    receipt, (_, told, begun) = seen[name].receipt, TOLD[name]
    assert receipt is not None
    assert told.message in receipt.error_message
    assert receipt.attempts[-1].error is not None
    if begun:
        assert (receipt.status, receipt.error) == (502, "stream_broken")
        assert receipt.usage is not None and receipt.usage.estimated
        assert receipt.usage.output_tokens > 0
        assert receipt.cost_nusd is not None and receipt.cost_nusd > 0


IN_PLACE_OF: Final = (200, 400, 429, 500)
IN_PLACE: Final = [form for form, told in FORMS.items() if isinstance(told.wire, dict)]


@pytest.fixture(scope="module")
def in_place(gateway: Running, upstream: FaultProvider) -> dict[str, Read]:
    models: dict[str, Any] = {}
    for form in IN_PLACE:
        for status in IN_PLACE_OF:
            model = model_of(f"{form} {status}")
            upstream.exactly(model, whole(FORMS[form].wire, status))
            models[f"up/{model}"] = {}
    return wild.ask_all(gateway, models, stream=True)


@pytest.mark.parametrize("status", IN_PLACE_OF)
@pytest.mark.parametrize("form", IN_PLACE)
def test_an_error_in_place_of_a_stream_arrives_in_the_providers_words(
    in_place: dict[str, Read], form: str, status: int
) -> None:
    read = in_place[f"up/{model_of(f'{form} {status}')}"]
    assert isinstance(read.error, openai.APIStatusError)
    assert WORDS in read.error.message
    assert read.error.status_code == status or (status == 200 and read.error.status_code >= 400)


# -- what is missing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_is_not_whole_is_an_error(seen: dict[str, Seen], name: str) -> None:
    through, row = seen[name].through, BROKEN[name]
    assert isinstance(through.error, openai.APIError), through.error
    assert through.text == row.text
    assert not through.finish or "choices" in name
    if name in BEGUN:
        assert through.error.code == "stream_broken"
    else:
        assert isinstance(through.error, openai.InternalServerError)


@pytest.mark.parametrize("name", BROKEN)
def test_a_client_that_asks_directly_is_told_no_more(seen: dict[str, Seen], name: str) -> None:
    direct = seen[name].direct
    if BROKEN[name].direct == "silent":
        assert not isinstance(direct.error, openai.APIError)
    else:
        assert direct.error is not None


@pytest.mark.parametrize("name", BROKEN)
def test_the_receipt_says_that_it_broke(seen: dict[str, Seen], name: str) -> None:
    receipt = seen[name].receipt
    assert receipt is not None
    assert receipt.error == ("stream_broken" if name in BEGUN else "no_provider_left")
    assert receipt.status == 502
    assert receipt.error_message
    assert all(attempt.error is not None for attempt in receipt.attempts)
    if name in BEGUN:
        assert receipt.usage is not None and receipt.usage.output_tokens > 0
        assert receipt.cost_nusd is not None and receipt.cost_nusd > 0


def test_streams_that_break_stop_a_target(
    gateway: Running, upstream: FaultProvider, second: FaultProvider
) -> None:
    """After some of them in a row the second target answers, and the first is not asked any more."""
    for name, row in BROKEN.items():
        upstream.exactly(model_of(name), row.reply)
    before = Counter(call.model for call in upstream.calls)

    async def often(name: str) -> list[tuple[int, str, bool]]:
        asked = {"model": model_of(name), "messages": wild.HELLO, "stream": True}
        found = []
        for _ in range(8):
            status, body = await wild.bare(gateway.port, json.dumps(asked).encode())
            found.append((status, wild.text_of(body), wild.is_whole(body)))
        return found

    async def all_of() -> list[list[tuple[int, str, bool]]]:
        return await wild.in_turns([wild.bound(often, name) for name in BROKEN])

    answers = dict(zip(BROKEN, asyncio.run(all_of()), strict=True))
    asked = Counter(call.model for call in upstream.calls) - before
    right = (200, "echo: hello there", True)
    assert {name: rows for name, rows in answers.items() if rows[-1] != right} == {}
    assert {name: rows for name, rows in answers.items() if name not in BEGUN and set(rows) != {right}} == {}
    assert {name: asked[model_of(name)] for name in BROKEN if asked[model_of(name)] > 6} == {}


@pytest.mark.parametrize("end", ["keep", "cut", "reset"])
def test_a_stream_is_whole_from_its_finish_on_and_never_before(
    gateway: Running, upstream: FaultProvider, end: Any
) -> None:
    models: dict[str, Any] = {}
    comment: list[Any] = [b": x\n\n"] if end != "keep" else []
    for count in range(len(EVENTS) + 1):
        model = f"boundary-{end}-{count}"
        upstream.exactly(model, streamed(*EVENTS[:count], *comment, end=end, gap_s=GAP_S))
        models[f"up/{model}"] = {}
    read = list(wild.ask_all(gateway, models, stream=True).values())
    told = [found.error is None for found in read]
    whole_from = EVENTS.index(STOP) + 1
    assert told == [count >= whole_from for count in range(len(EVENTS) + 1)]
    assert [found.text for found in read] == ["", "", "hel", *["hello"] * 4]
    assert [found.finish for found in read] == [None] * whole_from + ["stop"] * (len(EVENTS) + 1 - whole_from)
