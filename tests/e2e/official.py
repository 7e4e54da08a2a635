"""What the official clients make of a stream that was recorded: its bytes, through their own readers."""

from typing import Any, Final

import anthropic
import httpx2 as httpx
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

ASKED: Final[Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
NOWHERE: Final = "http://127.0.0.1:9"


def message_of(stream: bytes) -> dict[str, Any]:
    """The message that `anthropic` accumulates.

    Raises:
        anthropic.AnthropicError: the stream says that something failed.
    """
    client = anthropic.Anthropic(
        api_key="none", base_url=NOWHERE, http_client=_recorded(stream), max_retries=0
    )
    with client.messages.stream(max_tokens=9, **ASKED) as reading:
        return reading.get_final_message().model_dump(mode="json", warnings=False)


def completion_of(stream: bytes) -> dict[str, Any]:
    """The completion that `openai` accumulates.

    Raises:
        openai.OpenAIError: the stream says that something failed.
    """
    client = openai.OpenAI(api_key="none", base_url=NOWHERE, http_client=_recorded(stream), max_retries=0)
    state = ChatCompletionStreamState()
    for chunk in client.chat.completions.create(stream=True, **ASKED):
        state.handle_chunk(chunk)
    return state.current_completion_snapshot.model_dump(mode="json", warnings=False)


def _recorded(stream: bytes) -> httpx.Client:
    answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    return httpx.Client(transport=httpx.MockTransport(lambda _: answer))
