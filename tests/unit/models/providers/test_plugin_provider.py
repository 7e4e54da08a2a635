"""What a plug-in's provider is given to map, whatever its client speaks."""

from typing import Any

import msgspec

from farthing.config import PluginProviderConfig
from farthing.dialects.chat.requests.request_writer import inner
from farthing.dialects.messages.requests.request_reader import read
from farthing.models.providers.plugin import PluginProvider
from farthing.models.transport.origin import HttpOrigin
from farthing.types import Prompt, Sent, Target

TARGET = Target(name="p/m", provider="p", model="m")


class Echo:
    """Sends what it was given."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def unsaid(self, body: dict[str, Any]) -> list[str]:
        self.asked.append(body)
        return ["stop"] if "stop" in body else []

    def request(self, body: dict[str, Any], model: str) -> tuple[str, dict[str, Any]]:
        return "/generate", body

    def answer(self, raw: bytes) -> dict[str, Any]:
        raise AssertionError

    def stream(self) -> Any:
        raise AssertionError


def test_a_client_of_messages_is_given_to_it_in_chat_completions() -> None:
    plugin = Echo()
    config = PluginProviderConfig(base_url="https://x.example", plugin="p")
    provider = PluginProvider("p", HttpOrigin("p", "x.example", 443, True), config, plugin, path="")
    mark = {"cache_control": {"type": "ephemeral"}}
    said: dict[str, Any] = {
        "model": "auto",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "S", **mark}],
        "messages": [{"role": "user", "content": "hi"}],
        "stop_sequences": ["END"],
        "top_k": 4,
        "context_management": {"edits": [{"type": "newer"}]},
    }
    form = inner(read(said))
    prompt = Prompt(
        body=form,
        input_tokens=1,
        input_tokens_bound=9,
        output_tokens_max=9,
        stream=False,
        sent=Sent(dialect="messages", raw=b"", body=said, read=form),
    )
    found = provider.unsaid(prompt, TARGET, "chat")
    assert found.names == ("top_k", "stop") and found.gave_way == ("context_management", "cache_control")
    given = {
        "model": "auto",
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "hi"}],
        "max_tokens": 9,
        "stop": ["END"],
    }
    assert plugin.asked == [given]
    assert msgspec.json.decode(provider.encode(prompt, TARGET, "chat", "req_1")[1]) == given
