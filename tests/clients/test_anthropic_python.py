"""Anthropic's client for Python, sync and async: the same directly, through the gateway, and through the
gateway onto a provider of chat completions that says the same."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_tool
from pydantic import BaseModel
from tests.clients.messages_lab import (
    ANSWER_SCHEMA,
    FAILURES,
    KEY,
    OSLO,
    PDF,
    PIXEL,
    PRICED,
    PRICES_USD,
    PROVIDER_KEY,
    SAID,
    THROUGH,
    TOO_LONG,
    WEATHER,
    Failure,
    Json,
    Place,
    Scenario,
    Way,
    billed,
    called,
    comparable,
    place,
    results,
)
from tests.e2e.gateway import until
from tests.faults.truth import Call

pytestmark = pytest.mark.timeout(120)

BETA: Final = "fine-grained-tool-streaming-2025-05-14"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("anthropic-python")) as found:
        yield found


def client(there: Place, way: Way, **more: Any) -> Anthropic:
    return Anthropic(base_url=there.base_url(way), **{"api_key": KEY, "max_retries": 0, **more})


# -- what is said ------------------------------------------------------------------------------------

Ask = Callable[[Anthropic, Json], Json]


def whole(asking: Anthropic, request: Json) -> Json:
    return asking.messages.create(**request).model_dump(mode="json")


def streamed(asking: Anthropic, request: Json) -> Json:
    with asking.messages.stream(**request) as stream:
        return stream.get_final_message().model_dump(mode="json")


def beta_whole(asking: Anthropic, request: Json) -> Json:
    return asking.beta.messages.create(**request, betas=[BETA]).model_dump(mode="json")


def beta_streamed(asking: Anthropic, request: Json) -> Json:
    with asking.beta.messages.stream(**request, betas=[BETA]) as stream:
        return stream.get_final_message().model_dump(mode="json")


@pytest.mark.parametrize("way", THROUGH)
@pytest.mark.parametrize(
    "ask",
    [
        whole,
        streamed,
        pytest.param(beta_whole, marks=pytest.mark.conformance),
        pytest.param(beta_streamed, marks=pytest.mark.conformance),
    ],
)
@pytest.mark.parametrize("scenario", SAID, ids=lambda one: one.name)
def test_it_is_told_what_the_provider_says(there: Place, scenario: Scenario, ask: Ask, way: Way) -> None:
    with client(there, "direct") as asking:
        direct = ask(asking, scenario.request(scenario.model))
    with client(there, way) as asking:
        through = ask(asking, scenario.request(there.model(way, scenario.model)))
    if way == "chat":
        lost = scenario.lost_on_chat
        assert comparable(through, lost) == comparable(direct, lost)
    else:
        assert comparable(through) == comparable(direct)
        assert through["usage"] == direct["usage"] and through["model"] == direct["model"]
    assert billed(through) == billed(direct)
    got = there.provider.calls[-1].body
    assert all(shown.encode() in got for shown in (PIXEL, PDF) if shown in str(scenario.fields))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("way", THROUGH)
def test_the_async_client_is_told_the_same(there: Place, way: Way, stream: bool) -> None:
    async def told(asked: Way, scenario: Scenario) -> Json:
        async with AsyncAnthropic(base_url=there.base_url(asked), api_key=KEY, max_retries=0) as asking:
            request = scenario.request(there.model(asked, scenario.model))
            if not stream:
                return (await asking.messages.create(**request)).model_dump(mode="json")
            async with asking.messages.stream(**request) as answer:
                return (await answer.get_final_message()).model_dump(mode="json")

    async def journey() -> None:
        direct = await asyncio.gather(*(told("direct", one) for one in SAID))
        through = await asyncio.gather(*(told(way, one) for one in SAID))
        for scenario, one, other in zip(SAID, direct, through, strict=True):
            lost = scenario.lost_on_chat if way == "chat" else frozenset()
            assert comparable(other, lost) == comparable(one, lost), scenario.name

    asyncio.run(journey())


@pytest.mark.parametrize("way", THROUGH)
def test_events_of_a_stream_come_one_by_one(there: Place, way: Way) -> None:
    """The helper's own events, which a stream that is gathered first would give all at its end."""
    request = Scenario("a long text", "n=6,gap=0.1").request(there.model(way, "fault:n=6,gap=0.1"))
    seen = []
    with client(there, way) as asking, asking.messages.stream(**request) as stream:
        for text in stream.text_stream:
            seen.append(text)
            if len(seen) == 1:
                assert there.asked("a long text").end_s is None
    assert len(seen) == 6


# -- tools, schemas ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("way", ["direct", *THROUGH])
def test_a_round_of_tools_with_thinking_goes_back_and_forth(there: Place, way: Way, stream: bool) -> None:
    """What was said comes back as it was, signatures included, or the provider refuses it."""
    ask = streamed if stream else whole
    name = there.model(way, f"fault:{called('weather', OSLO)},calls=2,reasoning=look first,bound")
    request: Json = {
        "model": name,
        "max_tokens": 4_096,
        "thinking": {"type": "enabled", "budget_tokens": 2_000},
        "tools": [WEATHER],
        "messages": [{"role": "user", "content": f"the weather by {way}, {stream}"}],
    }
    with client(there, way) as asking:
        for _ in range(3):
            said = ask(asking, request)
            kinds = [block["type"] for block in said["content"]]
            assert (said["stop_reason"], kinds) == ("tool_use", ["thinking", "tool_use", "tool_use"])
            assert [one["input"] for one in said["content"][1:]] == [OSLO, OSLO]
            ids = [one["id"] for one in said["content"][1:]]
            assert len(set(ids)) == 2
            blocks = [
                {name: value for name, value in one.items() if value is not None} for one in said["content"]
            ]
            request["messages"] += [{"role": "assistant", "content": blocks}, results(*ids)]
        request["model"] = there.model(way, "fault:calls=0,say=sunny,bound,reasoning=done")
        said = ask(asking, request)
        assert said["stop_reason"] == "end_turn" and said["content"][-1]["text"] == "sunny"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("first", THROUGH)
def test_a_conversation_may_change_its_provider_and_come_back(there: Place, first: Way, stream: bool) -> None:
    """What one of them thought is refused by the other, and left out for it alone."""
    second: Way = "own" if first == "chat" else "chat"
    ask = streamed if stream else whole
    script = f"fault:models=claude,{called('weather', OSLO)},reasoning=look,bound"
    request: Json = {
        "max_tokens": 4_096,
        "thinking": {"type": "enabled", "budget_tokens": 2_000},
        "tools": [WEATHER],
        "messages": [{"role": "user", "content": f"from {first}, {stream}"}],
    }
    with client(there, "own") as asking:
        for way in (first, second, first, second):
            said = ask(asking, request | {"model": there.model(way, script)})
            assert said["stop_reason"] == "tool_use"
            blocks = [
                {name: value for name, value in one.items() if value is not None} for one in said["content"]
            ]
            request["messages"] = [
                *request["messages"],
                {"role": "assistant", "content": blocks},
                results(blocks[-1]["id"]),
            ]


@pytest.mark.parametrize("way", ["direct", *THROUGH])
def test_the_clients_own_loop_of_tools_runs(there: Place, way: Way) -> None:
    asked: list[str] = []

    @beta_tool
    def weather(city: str) -> str:
        """The weather of a city.

        Args:
            city: Its name.
        """
        asked.append(city)
        return "sun"

    def script(call: Call) -> str | None:
        if call.model != "looped":
            return None
        done = call.json["messages"][-1]["role"] == "tool" or b"tool_result" in call.body
        return "calls=0,say=sunny" if done else looked

    looked = called("weather", {"city": "Oslo"})
    there.provider.on_call = script
    try:
        with client(there, way) as asking:
            runner = asking.beta.messages.tool_runner(
                model=there.model(way, "looped"),
                max_tokens=1_000,
                tools=[weather],
                messages=[{"role": "user", "content": "What is it like in Oslo?"}],
            )
            last = runner.until_done()
    finally:
        there.provider.on_call = None
    assert asked == ["Oslo"]
    assert last.content[0].type == "text" and last.content[0].text == "sunny"


class Born(BaseModel):
    name: str
    year: int


@pytest.mark.parametrize("way", ["direct", *THROUGH])
def test_a_structured_answer_is_parsed(there: Place, way: Way) -> None:
    with client(there, way) as asking:
        messages: Any = [{"role": "user", "content": "Who?"}]
        model = there.model(way)
        said = asking.messages.parse(model=model, max_tokens=500, messages=messages, output_format=Born)
        assert said.parsed_output == Born(name="text", year=1)
        with asking.messages.stream(
            model=model, max_tokens=500, messages=messages, output_format=Born
        ) as stream:
            assert stream.get_final_message().parsed_output == Born(name="text", year=1)
    call = there.asked('"Who?"')
    if way == "chat":
        wanted = call.json["response_format"]["json_schema"]["schema"]
        assert wanted["properties"].keys() == ANSWER_SCHEMA["properties"].keys()


# -- errors ------------------------------------------------------------------------------------------


def met(there: Place, way: Way, model: str, *, stream: bool, **more: Any) -> anthropic.APIStatusError:
    request = Scenario("an error").request(there.model(way, model))
    with client(there, way, **more) as asking, pytest.raises(anthropic.APIStatusError) as raised:
        streamed(asking, request) if stream else whole(asking, request)
    return raised.value


def kind_and_words(error: anthropic.APIStatusError) -> tuple[str, str]:
    body: Any = error.body
    assert body["type"] == "error"
    return body["error"]["type"], body["error"]["message"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("way", THROUGH)
@pytest.mark.parametrize("failure", FAILURES, ids=lambda one: one.name)
def test_a_failure_raises_the_same_with_the_providers_words(
    there: Place, failure: Failure, way: Way, stream: bool
) -> None:
    lane = f"{failure.script},seed={THROUGH.index(way)}{int(stream)}"
    direct = met(there, "direct", f"fault:{lane}", stream=stream)
    through = met(there, way, f"fault:{lane}", stream=stream)
    assert direct.status_code == failure.status
    assert through.status_code == (failure.through or failure.status)
    if failure.through is not None:
        assert KEY not in str(through) and PROVIDER_KEY not in str(through)
        return
    assert type(through) is type(direct)
    (kind, words), (same_kind, same_words) = kind_and_words(direct), kind_and_words(through)
    assert same_kind == kind
    assert same_words == words if way == "own" else words in same_words
    assert through.response.headers.get("retry-after") == direct.response.headers.get("retry-after")
    assert through.request_id


def test_what_is_too_long_is_told_in_the_words_that_clients_look_for(there: Place) -> None:
    for way in THROUGH:
        error = met(there, way, f"fault:{FAILURES[0].script},seed=9", stream=True)
        assert kind_and_words(error)[1].endswith(TOO_LONG)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("way", THROUGH)
@pytest.mark.parametrize(
    "script", ["status=529,first=1", "status=500,first=1", "status=429,retry-after=1,first=1"]
)
def test_one_failure_is_nothing_to_it(there: Place, script: str, way: Way, stream: bool) -> None:
    for retries in (2, 0):  # the client's own, and where it has none the gateway's
        name = f"fault:{script},seed={retries}{int(stream)}{THROUGH.index(way)}"
        with client(there, way, max_retries=retries) as asking:
            request = Scenario("once").request(there.model(way, name))
            said = streamed(asking, request) if stream else whole(asking, request)
        assert said["content"][0]["text"] == "echo: what is once"


@pytest.mark.parametrize("way", THROUGH)
@pytest.mark.parametrize(
    "script", ["error=3,gap=0.02", "truncate=3,end=cut,gap=0.02", "truncate=3,end=clean,gap=0.02"]
)
def test_a_stream_that_breaks_is_never_taken_for_a_whole_answer(there: Place, script: str, way: Way) -> None:
    request = Scenario("broken", fields={"messages": [{"role": "user", "content": "a b c d e f"}]})
    with client(there, way) as asking, pytest.raises(anthropic.APIError) as raised:
        streamed(asking, request.request(there.model(way, f"fault:{script}")))
    assert "api_error" in str(raised.value.body) or "overloaded" in str(raised.value.body), raised.value


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_gateways_own_refusals_are_in_the_form_that_it_knows(there: Place, stream: bool) -> None:
    def refused(request: Json, **more: Any) -> anthropic.APIStatusError:
        with client(there, "own", **more) as asking, pytest.raises(anthropic.APIStatusError) as raised:
            streamed(asking, request) if stream else whole(asking, request)
        return raised.value

    good = Scenario("refused").request(there.model("own"))
    before = len(there.provider.calls)
    error = refused(good, api_key="fk-wrong")
    assert isinstance(error, anthropic.AuthenticationError)
    assert kind_and_words(error)[0] == "authentication_error"
    error = refused(good | {"model": "nobody/has-it"})
    assert isinstance(error, anthropic.NotFoundError) and kind_and_words(error)[0] == "not_found_error"
    error = refused(good | {"messages": "none"})
    assert isinstance(error, anthropic.BadRequestError)
    kind, words = kind_and_words(error)
    assert kind == "invalid_request_error" and "messages" in words
    assert len(there.provider.calls) == before


def test_a_key_may_come_as_a_token_too(there: Place) -> None:
    with client(there, "own", api_key=None, auth_token=KEY) as asking:
        said = whole(asking, Scenario("a token").request(there.model("own")))
    assert said["content"][0]["text"] == "echo: what is a token"
    headers = there.asked("what is a token").headers
    assert headers["x-api-key"] == PROVIDER_KEY and "authorization" not in headers


# -- leaving -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["direct", *THROUGH])
def test_leaving_a_stream_ends_the_providers_work(there: Place, way: Way) -> None:
    before = 0 if way == "direct" else len(there.gateway.receipts())
    request = Scenario(f"left {way}").request(there.model(way, "fault:gap=0.05,n=500"))
    with client(there, way) as asking, asking.messages.stream(**request) as stream:
        for number, _ in enumerate(stream.text_stream):
            if number == 5:
                break
    call = there.asked(f"left {way}")
    until(lambda: call.aborted)
    assert call.tokens_sent < 500
    if way != "direct":
        receipt = there.gateway.next_receipt(before)
        assert (receipt.stop_reason, receipt.status, receipt.error) == ("client_gone", 499, "client_gone")
        assert receipt.usage is not None and 5 <= (receipt.usage.output_tokens or 0) <= call.tokens_sent + 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("way", THROUGH)
def test_cancelling_the_task_ends_the_providers_work(there: Place, way: Way, stream: bool) -> None:
    words = f"cancelled {way} {stream}"
    request = Scenario(words).request(there.model(way, "fault:gap=0.05,n=500" if stream else "fault:hang"))

    async def journey() -> None:
        async with AsyncAnthropic(base_url=there.base_url(way), api_key=KEY, max_retries=0) as asking:

            async def ask() -> None:
                if not stream:
                    await asking.messages.create(**request)
                    return
                async with asking.messages.stream(**request) as answer:
                    await answer.get_final_message()

            task = asyncio.create_task(ask())
            call = await asyncio.to_thread(there.asked, words)
            if stream:
                await asyncio.to_thread(until, lambda: call.tokens_sent > 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(until, lambda: call.aborted)

    before = len(there.gateway.receipts())
    asyncio.run(journey())
    assert there.gateway.next_receipt(before).stop_reason == "client_gone"


# -- the other calls ---------------------------------------------------------------------------------


def test_tokens_are_counted(there: Place) -> None:
    request: Any = {
        "system": "Be brief.",
        "tools": [WEATHER],
        "messages": [{"role": "user", "content": "one two three four"}],
    }
    counted = {}
    for way in ("direct", *THROUGH):
        with client(there, way) as asking:
            counted[way] = asking.messages.count_tokens(model=there.model(way), **request).input_tokens
    assert counted["own"] == counted["direct"]
    assert counted["chat"] > 4  # a provider that counts nothing: the gateway's own estimate


def test_models_are_listed_and_retrieved(there: Place) -> None:
    with client(there, "own") as asking:
        listed = list(asking.models.list(limit=2))
        assert {f"{way}/{PRICED}" for way in THROUGH} <= {one.id for one in listed}
        assert all(one.type == "model" and one.display_name and one.created_at for one in listed)
        one = next(one for one in listed if one.id == f"own/{PRICED}")
        assert asking.models.retrieve(one.id) == one


# -- money -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("way", THROUGH)
def test_the_receipt_has_the_providers_tokens_and_their_price(there: Place, way: Way, stream: bool) -> None:
    before = len(there.gateway.receipts())
    scenario = Scenario(f"priced {way} {stream}")
    with client(there, way) as asking:
        request = scenario.request(there.model(way))
        said = streamed(asking, request) if stream else whole(asking, request)
    receipt = there.gateway.next_receipt(before)
    call = there.asked(scenario.name)
    assert (receipt.status, receipt.error, receipt.stop_reason) == (200, None, "stop")
    assert (receipt.tenant, receipt.target, receipt.stream) == ("clients", f"{way}/{PRICED}", stream)
    assert billed(said) == (call.prompt_tokens, call.completion_tokens)
    dollars = call.prompt_tokens * PRICES_USD["input"] + call.completion_tokens * PRICES_USD["output"]
    assert receipt.cost_nusd == round(dollars * 1_000)


def test_a_crowd_of_clients_each_gets_its_own(there: Place) -> None:
    said: dict[str, str] = {}

    def ask(name: str, way: Way) -> None:
        with client(there, way) as asking:
            said[name] = streamed(asking, Scenario(name).request(there.model(way)))["content"][0]["text"]

    threads = [
        threading.Thread(target=ask, args=(f"of {way} {number}", way))
        for number in range(8)
        for way in THROUGH
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert said == {name: f"echo: what is {name}" for name in said} and len(said) == 16
