"""LangChain's own standard tests of chat models, by way of `langchain-anthropic`: directly, through the
gateway, and through the gateway onto a provider of chat completions."""

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from tests.clients.messages_lab import KEY, PDF, PIXEL, Place, Way, place
from tests.faults.truth import Call

pytestmark = pytest.mark.timeout(120)

ARGUMENTS = {
    "magic_function": {"input": 3},
    "magic_function_no_args": {},
    "my_adder_tool": {"a": 1, "b": 2},
    "unicode_customer": {"customer_name": "你好 こんにちは", "description": "both"},
}
"""What the tests want some of their tools to be called with."""


def called(call: Call) -> str | None:
    """A model that calls its first tool, and says something when it has the result. The thinking that the
    tests send was signed by a real one."""
    if not call.path.endswith(("/messages", "/completions")):
        return None
    body = call.json
    tools = [tool.get("name") or tool["function"]["name"] for tool in body.get("tools") or ()]
    last = body["messages"][-1]
    blocks = last["content"] if isinstance(last["content"], list) else ()
    answered = last["role"] == "tool" or any(one["type"] == "tool_result" for one in blocks)
    if not tools or answered:
        return "foreign,calls=0,say=All is well"
    if tools[0] in ARGUMENTS:
        return f"foreign,tool={tools[0]},arguments={quote(json.dumps(ARGUMENTS[tools[0]]))}"
    return f"foreign,tool={tools[0]}"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("langchain-anthropic"), on_call=called) as found:
        yield found


@pytest.fixture(autouse=True)
def downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures and documents that the tests fetch from the web, from here."""

    def get(url: str, **_: Any) -> httpx.Response:
        return httpx.Response(200, content=base64.b64decode(PDF if url.endswith(".pdf") else PIXEL))

    monkeypatch.setattr(httpx, "get", get)


class Standard(ChatModelIntegrationTests):
    way: Way
    there: Place

    @pytest.fixture(autouse=True)
    def _found(self, there: Place) -> None:
        type(self).there = there

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatAnthropic

    @property
    def chat_model_params(self) -> dict[str, Any]:
        found = {"base_url": self.there.base_url(self.way), "api_key": KEY, "max_retries": 0}
        return found | {"model": self.there.model(self.way), "max_tokens": 1_000}

    @property
    def model_override_value(self) -> str:
        return f"only-{self.way}"  # which needs no provider before it: the answer is to bear this very name

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True


class TestDirectly(Standard):
    way = "direct"


class TestThroughTheGateway(Standard):
    way = "own"


class TestOntoChatCompletions(Standard):
    way = "chat"
