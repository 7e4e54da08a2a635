"""Pydantic AI's agents with its model of Anthropic: directly, through the gateway, and through the gateway
onto a provider of chat completions."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar

import pytest
from anthropic import AsyncAnthropic
from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    BinaryContent,
    ModelHTTPError,
    ModelMessage,
    ModelSettings,
    NativeOutput,
    ThinkingPart,
    ToolOutput,
)
from pydantic_ai.models.anthropic import AnthropicModel, AnthropicModelSettings
from pydantic_ai.profiles.anthropic import anthropic_model_profile
from pydantic_ai.providers.anthropic import AnthropicProvider
from tests.clients.messages_lab import FAILURES, KEY, PIXEL, THROUGH, WAYS, Failure, Place, Way, called, place
from tests.e2e.gateway import until
from tests.faults.truth import Call

pytestmark = pytest.mark.timeout(120)

T = TypeVar("T")
LOOKED: Final = "the weather of Oslo and Bergen"
SETTINGS: Final = ModelSettings(max_tokens=4_096)
PROFILE: Final = anthropic_model_profile("claude-sonnet-4-5")
"""What the client believes of our models, whose names tell it nothing."""


class Town(BaseModel):
    name: str
    people: int


def follows(call: Call) -> str | None:
    """A model that looks at two towns before it answers, where a tool lets it."""
    if call.model != "looks":
        return None
    last = call.json["messages"][-1]
    if last["role"] == "tool" or b"tool_result" in json.dumps(last).encode():
        return "calls=0,say=rain and sun,reasoning=compare,bound"
    return f"{called('weather', {'city': 'Oslo'})},calls=2,reasoning=look first,bound"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("pydantic-ai"), on_call=follows) as found:
        yield found


def run(there: Place, way: Way, name: str, journey: Callable[[AnthropicModel], Coroutine[Any, Any, T]]) -> T:
    async def travelled() -> T:
        async with AsyncAnthropic(base_url=there.base_url(way), api_key=KEY, max_retries=0) as client:
            provider = AnthropicProvider(anthropic_client=client)
            known: Any = {"provider": provider, "settings": SETTINGS, "profile": PROFILE}
            return await journey(AnthropicModel(there.model(way, name), **known))

    return asyncio.run(travelled())


def thoughts(messages: list[ModelMessage]) -> list[str]:
    return [part.content for one in messages for part in one.parts if isinstance(part, ThinkingPart)]


@pytest.mark.parametrize("way", WAYS)
def test_a_text_and_its_usage(there: Place, way: Way) -> None:
    async def journey(model: AnthropicModel) -> tuple[str, int, int]:
        result = await Agent(model, instructions="Be brief.").run("one two three")
        return result.output, result.usage.input_tokens, result.usage.output_tokens

    assert run(there, way, "fault:prompt-tokens=50", journey) == ("echo: one two three", 50, 4)


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_comes_piece_by_piece(there: Place, way: Way) -> None:
    async def journey(model: AnthropicModel) -> list[str]:
        async with Agent(model).run_stream("one two three") as answer:
            return [piece async for piece in answer.stream_text(delta=True, debounce_by=None)]

    pieces = run(there, way, "fault:gap=0.05", journey)
    assert "".join(pieces) == "echo: one two three" and len(pieces) == 4


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("way", WAYS)
def test_an_agent_with_thinking_looks_and_then_answers(there: Place, way: Way, stream: bool) -> None:
    """What it thought goes back with its signature, or the provider refuses the second call."""
    looked: list[str] = []

    def weather(city: str) -> str:
        looked.append(city)
        return "sun"

    async def journey(model: AnthropicModel) -> tuple[str, list[ModelMessage]]:
        settings = AnthropicModelSettings(
            max_tokens=4_096, anthropic_thinking={"type": "enabled", "budget_tokens": 2_000}
        )
        agent = Agent(model, tools=[weather], model_settings=settings)
        if not stream:
            result = await agent.run(LOOKED)
            return result.output, result.all_messages()
        async with agent.run_stream(LOOKED) as answer:
            return await answer.get_output(), answer.all_messages()

    said, messages = run(there, way, "looks", journey)
    assert (said, looked) == ("rain and sun", ["Oslo", "Oslo"])
    assert thoughts(messages) == ["look first", "compare"]


@pytest.mark.parametrize("output", [ToolOutput(Town), NativeOutput(Town)], ids=["tool", "native"])
@pytest.mark.parametrize("way", WAYS)
def test_a_structured_answer(there: Place, way: Way, output: Any) -> None:
    async def journey(model: AnthropicModel) -> Any:
        return (await Agent(model, output_type=output).run("a town")).output

    assert run(there, way, "good", journey) == Town(name="text", people=1)


@pytest.mark.parametrize("way", WAYS)
def test_a_picture_is_seen(there: Place, way: Way) -> None:
    async def journey(model: AnthropicModel) -> str:
        picture = BinaryContent.from_data_uri(f"data:image/png;base64,{PIXEL}")
        return (await Agent(model).run([f"seen by {way}", picture])).output

    assert run(there, way, "good", journey) == f"echo: seen by {way}"
    assert PIXEL.encode() in there.asked(f"seen by {way}").body


@pytest.mark.parametrize("failure", FAILURES, ids=lambda one: one.name)
@pytest.mark.parametrize("way", THROUGH)
def test_a_failure_raises_the_same(there: Place, way: Way, failure: Failure) -> None:
    async def journey(model: AnthropicModel) -> ModelHTTPError:
        with pytest.raises(ModelHTTPError) as raised:
            await Agent(model).run("fail")
        return raised.value

    name = f"fault:{failure.script},seed={THROUGH.index(way)}"
    direct, through = run(there, "direct", name, journey), run(there, way, name, journey)
    assert direct.status_code == failure.status
    assert through.status_code == (failure.through or failure.status)
    if failure.through is None:
        assert type(through) is type(direct)


@pytest.mark.parametrize("way", WAYS)
def test_leaving_a_stream_ends_the_providers_work(there: Place, way: Way) -> None:
    words = f"left by {way}"

    async def journey(model: AnthropicModel) -> None:
        async with Agent(model).run_stream(words) as answer:
            async for _ in answer.stream_text(delta=True, debounce_by=None):
                await answer.cancel()
                break

    run(there, way, "fault:gap=0.05,n=500", journey)
    call = there.asked(words)
    until(lambda: call.aborted)
    assert call.tokens_sent < 500
