"""The official SDKs for Python at models of Gemini, Vertex and Bedrock: loops of tools over several turns,
what else they ask, and errors. The provider refuses what the real ones refuse. `make test` runs of each loop
the streamed or the whole one."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel
from tests.clients.cloud_lab import CLAUDES, KEY, KINDS, Json, Place, done, place, steps_done
from tests.clients.messages_lab import PIXEL, called
from tests.faults.exact import Exact, streamed, whole
from tests.faults.truth import Call

SCHEMA: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
STEPS = 3
PICTURE: Json = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
HI: Any = [{"role": "user", "content": "a town"}]


class Town(BaseModel):
    name: str
    year: int
    tags: list[str]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("clouds"), "[call]\nattempts_max = 1\n") as found:
        yield found


@pytest.fixture(scope="module")
def messages_client(there: Place) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=there.root, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def openai_client(there: Place) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=there.base_url, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture(autouse=True)
def quiet(there: Place) -> Iterator[None]:
    yield
    there.provider.on_call = None


def thinks_and_calls(call: Call) -> str:
    """One call, then two at once, then three, thinking before each; then it says that it is done."""
    step = steps_done(call)
    if step == STEPS:
        return f"{done()},reasoning=so there"
    return f"{called('weather', {'city': 'Oslo', 'days': step})},calls={step + 1},reasoning=step {step}"


# -- loops of tools ----------------------------------------------------------------------------------


class Loop:
    """A loop in one form of a client."""

    def __init__(self, of_messages: anthropic.Anthropic, of_openai: openai.OpenAI, model: str) -> None:
        self._of_messages, self._of_openai, self._model = of_messages, of_openai, model

    def chat(self, stream: bool, *, keeps_all: bool = True) -> str:
        tool: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
        turns: list[Any] = [{"role": "system", "content": "help"}, *HI]
        asked = self._of_openai.chat.completions
        for _ in range(STEPS + 1):
            fields: Any = {"model": self._model, "messages": turns, "tools": [tool]}
            if stream:
                with asked.stream(**fields) as events:
                    answer: Any = events.get_final_completion()
            else:
                answer = asked.create(**fields)
            said = answer.choices[0].message
            calls = said.tool_calls or []
            if not calls:
                assert answer.choices[0].finish_reason == "stop"
                return said.content or ""
            assert answer.choices[0].finish_reason == "tool_calls"
            kept = said.model_dump(exclude_none=True)
            if not keeps_all:  # as frameworks do
                kept = {name: kept[name] for name in ("role", "tool_calls")} | {"content": said.content}
                for one in kept["tool_calls"]:
                    one.pop("extra_content", None)
            turns.append(kept)
            turns += [{"role": "tool", "tool_call_id": one.id, "content": "sun"} for one in reversed(calls)]
        return "it never ended"

    def chat_that_keeps_little(self, stream: bool) -> str:
        return self.chat(stream, keeps_all=False)

    def messages(self, stream: bool) -> str:
        turns: list[Any] = list(HI)
        fields: Any = {
            "model": self._model,
            "max_tokens": 4_000,
            "system": "help",
            "tools": [{"name": "weather", "input_schema": SCHEMA}],
            "thinking": {"type": "enabled", "budget_tokens": 2_000},
        }
        for _ in range(STEPS + 1):
            if stream:
                with self._of_messages.messages.stream(messages=turns, **fields) as events:
                    answer: Any = events.get_final_message()
            else:
                answer = self._of_messages.messages.create(messages=turns, **fields)
            turns.append({"role": "assistant", "content": [block.to_dict() for block in answer.content]})
            calls = [block for block in answer.content if block.type == "tool_use"]
            if not calls:
                assert answer.stop_reason == "end_turn"
                text: str = answer.content[-1].text  # as agents take it
                return text
            shown = [{"type": "text", "text": "sun"}, PICTURE]
            results = [{"type": "tool_result", "tool_use_id": one.id, "content": shown} for one in calls]
            turns.append({"role": "user", "content": results})
        return "it never ended"

    def responses(self, stream: bool) -> str:
        items: list[Any] = list(HI)
        fields: Any = {
            "model": self._model,
            "instructions": "help",
            "store": False,
            "include": ["reasoning.encrypted_content"],
            "reasoning": {"effort": "low", "summary": "auto"},
            "tools": [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}],
        }
        for _ in range(STEPS + 1):
            if stream:
                with self._of_openai.responses.stream(input=items, **fields) as events:
                    answer: Any = events.get_final_response()
            else:
                answer = self._of_openai.responses.create(input=items, **fields)
            assert answer.status == "completed"
            items += [one.to_dict() for one in answer.output]
            for item in items:
                item.pop("parsed_arguments", None)
            calls = [one for one in answer.output if one.type == "function_call"]
            if not calls:
                return str(answer.output_text)
            items += [
                {"type": "function_call_output", "call_id": one.call_id, "output": "sun"} for one in calls
            ]
        return "it never ended"


FORMS = ("chat", "chat_that_keeps_little", "messages", "responses")
LOOPS = [
    pytest.param(
        kind,
        form,
        stream,
        marks=[pytest.mark.conformance] if (at + number) % 2 != stream else [],
        id=f"{kind}-{form}-{'streamed' if stream else 'whole'}",
    )
    for at, kind in enumerate(KINDS)
    for number, form in enumerate(FORMS)
    for stream in (False, True)
]


@pytest.mark.parametrize(("kind", "form", "stream"), LOOPS)
def test_a_loop_of_tools_comes_to_its_end(
    there: Place,
    messages_client: anthropic.Anthropic,
    openai_client: openai.OpenAI,
    kind: str,
    form: str,
    stream: bool,
) -> None:
    before = len(there.provider.calls)
    there.provider.on_call = thinks_and_calls
    loop = Loop(messages_client, openai_client, KINDS[kind])
    assert getattr(loop, form)(stream) == "All done"
    assert len(there.since(before)) == STEPS + 1


# -- what else they ask ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_and_settings_are_taken(
    there: Place, messages_client: anthropic.Anthropic, openai_client: openai.OpenAI, kind: str
) -> None:
    before, model = len(there.provider.calls), KINDS[kind]
    link = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    asked: Any = [{"role": "user", "content": [{"type": "text", "text": "what"}, link]}]
    chat = openai_client.chat.completions.create(
        model=model, messages=asked, temperature=0.2, stop=["END"], max_tokens=50, seed=1
    )
    assert chat.choices[0].finish_reason == "stop"
    said: Any = messages_client.messages.create(
        model=model,
        max_tokens=50,
        system=[{"type": "text", "text": "help", "cache_control": {"type": "ephemeral"}}],
        messages=[*HI, {"role": "assistant", "content": "It is"}],
        metadata={"user_id": json.dumps({"device_id": "d"})},
    )
    assert said.content[-1].text and said.stop_reason in ("end_turn", "max_tokens")
    assert len(there.since(before)) == 2


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"nova"}))
def test_answers_have_the_form_that_is_asked_for(
    messages_client: anthropic.Anthropic, openai_client: openai.OpenAI, kind: str
) -> None:
    """Nova has none: such a request is refused by name."""
    model = KINDS[kind]
    chat = openai_client.chat.completions.parse(model=model, messages=HI, response_format=Town)
    response = openai_client.responses.parse(model=model, input="a town", text_format=Town)
    message = messages_client.messages.parse(model=model, max_tokens=900, messages=HI, output_format=Town)
    for parsed in (chat.choices[0].message.parsed, response.output_parsed, message.parsed_output):
        assert isinstance(parsed, Town)


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_counted(messages_client: anthropic.Anthropic, kind: str) -> None:
    tools: Any = [{"name": "weather", "input_schema": SCHEMA}]
    told = messages_client.messages.count_tokens(model=KINDS[kind], messages=HI, tools=tools, system="help")
    assert told.input_tokens > 0


# -- errors ------------------------------------------------------------------------------------------


def of_google(status: int, kind: str, message: str, *details: Json) -> Exact:
    return whole(
        {"error": {"code": status, "message": message, "status": kind, "details": list(details)}}, status
    )


def of_aws(status: int, kind: str, message: str) -> Exact:
    return whole({"message": message}, status, headers={"x-amzn-errortype": f"{kind}:http://internal/"})


def told_by(client: anthropic.Anthropic | openai.OpenAI, model: str, *, stream: bool) -> Any:
    """The error that a client raises."""
    with pytest.raises((anthropic.APIStatusError, openai.APIStatusError)) as found:
        if isinstance(client, anthropic.Anthropic):
            client.messages.create(model=model, max_tokens=9, messages=HI, stream=stream)
        else:
            client.chat.completions.create(model=model, messages=HI, stream=stream)
    return found.value


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"}
TOO_LONG = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
CLAUDE_THERE = "us.anthropic.claude-sonnet-4-5"
ERRORS: dict[str, tuple[str, Exact, str, int]] = {
    "a quota": ("gemini/e-1", of_google(429, "RESOURCE_EXHAUSTED", "Quota.", RETRY), "RateLimitError", 429),
    "a quota on vertex": ("vertex/e-2", of_google(429, "RESOURCE_EXHAUSTED", ""), "RateLimitError", 429),
    "no right": ("vertex/e-3", of_google(403, "PERMISSION_DENIED", "no"), "InternalServerError", 502),
    "an expired token": ("vertex/e-4", of_google(401, "UNAUTHENTICATED", "no"), "InternalServerError", 502),
    "too long": ("gemini/e-5", of_google(400, "INVALID_ARGUMENT", TOO_LONG), "BadRequestError", 400),
    "throttled": ("bedrock/e-6", of_aws(429, "ThrottlingException", "Wait."), "RateLimitError", 429),
    "expired keys": ("bedrock/e-7", of_aws(403, "ExpiredTokenException", "old"), "InternalServerError", 502),
    "no access": (
        f"bedrock/{CLAUDE_THERE}-e8", of_aws(403, "AccessDeniedException", "no"), "InternalServerError", 502,
    ),
    "no such model": (
        f"bedrock/{CLAUDE_THERE}-e9", of_aws(404, "ResourceNotFoundException", "none"), "NotFoundError", 404,
    ),
    "too long for Bedrock": (
        f"bedrock/{CLAUDE_THERE}-e10",
        of_aws(400, "ValidationException", "Input is too long for requested model."),
        "BadRequestError",
        400,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_raised_as_their_kind(
    there: Place, messages_client: anthropic.Anthropic, openai_client: openai.OpenAI, name: str
) -> None:
    model, answer, kind, status = ERRORS[name]
    there.provider.exactly(model.partition("/")[2], answer)
    for client in (messages_client, openai_client):
        for stream in (False, True):
            error = told_by(client, model, stream=stream)
            assert (type(error).__name__, error.status_code) == (kind, status), error
    if name == "a quota":
        assert error.response.headers["retry-after"] == "35"
    if name.startswith("too long"):
        assert "prompt is too long" in told_by(messages_client, model, stream=False).message


def blocked(*, said: str = "") -> Json:
    """An answer that was stopped after some words, or a prompt that was refused."""
    counts = {"promptTokenCount": 12, "totalTokenCount": 12}
    if not said:
        return {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": counts}
    content = {"role": "model", "parts": [{"text": said}]}
    return {
        "candidates": [{"content": content, "finishReason": "SAFETY", "index": 0}],
        "usageMetadata": counts,
    }


@pytest.mark.parametrize("said", ["", "I"])
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_blocked_is_an_answer_that_says_so(
    there: Place,
    messages_client: anthropic.Anthropic,
    openai_client: openai.OpenAI,
    said: str,
    stream: bool,
) -> None:
    name = f"blocked-{said}-{stream}"
    model, told = f"gemini/{name}", blocked(said=said)
    there.provider.exactly(name, streamed(told) if stream else whole(told))
    if stream:
        chunks = list(openai_client.chat.completions.create(model=model, messages=HI, stream=True))
        assert [one.choices[0].finish_reason for one in chunks if one.choices][-1] == "content_filter"
        with messages_client.messages.stream(model=model, max_tokens=9, messages=HI) as events:
            assert events.get_final_message().stop_reason == "refusal"
        *_, last = openai_client.responses.create(model=model, input="x", stream=True)
        assert last.type == "response.incomplete"
    else:
        chat = openai_client.chat.completions.create(model=model, messages=HI)
        assert (chat.choices[0].finish_reason, chat.choices[0].message.content or "") == (
            "content_filter",
            said,
        )
        message = messages_client.messages.create(model=model, max_tokens=9, messages=HI)
        assert message.stop_reason == "refusal"
        response = openai_client.responses.create(model=model, input="x")
        details = response.incomplete_details
        assert details is not None and details.reason == "content_filter"


# -- leaving, and what is long -----------------------------------------------------------------------


@pytest.mark.conformance
@pytest.mark.parametrize("kind", KINDS)
def test_leaving_a_stream_ends_the_providers_work(
    there: Place, messages_client: anthropic.Anthropic, kind: str
) -> None:
    before = len(there.provider.calls)
    there.provider.on_call = lambda call: "gap=0.02,n=2000"
    with messages_client.messages.stream(model=KINDS[kind], max_tokens=9_000, messages=HI) as events:
        for event in events:
            if event.type == "text":
                break
    (call,) = there.provider.calls[before:]
    there.provider.wait_ended(before + 1)
    assert call.aborted


@pytest.mark.conformance
@pytest.mark.parametrize("kind", KINDS)
def test_a_long_conversation_goes_up_whole(there: Place, openai_client: openai.OpenAI, kind: str) -> None:
    before = len(there.provider.calls)
    turns: Any = [
        {"role": "assistant" if at % 2 else "user", "content": f"{at} " + "word " * 2_000}
        for at in range(201)
    ]
    openai_client.chat.completions.create(model=KINDS[kind], messages=turns)
    (call,) = there.since(before)
    assert call.bytes_received > 2_000_000
    body = call.json
    assert len(body.get("contents") or body["messages"]) == 201
    assert ("anthropic_version" in body) == (kind in CLAUDES)
