"""One scripted provider that speaks Messages and chat completions, and the ways to it for a client of
Messages: directly, through a gateway onto it as what it is, and through a gateway onto it as a chat provider.

A scenario is a request and what the provider is told to do with it, and holds for every client and way.
"""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

from tests.e2e.gateway import Running, running, until
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call

Json = dict[str, Any]
Way = Literal["direct", "own", "chat"]
WAYS: Final[tuple[Way, ...]] = ("direct", "own", "chat")
THROUGH: Final[tuple[Way, ...]] = ("own", "chat")
KEY: Final = "fk-of-the-client"
PROVIDER_KEY: Final = "sk-ant-of-the-provider"
PIXEL: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PDF: Final = "JVBERi0xLjcKJSVFT0YK"
PRICES_USD: Final = {"input": 3.0, "output": 15.0, "cached_input": 0.3, "cache_write_5m": 3.75}
"""Of a million tokens, at both providers."""
PRICED: Final = "good"


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A provider and a gateway before it."""

    provider: FaultProvider
    gateway: Running

    def base_url(self, way: Way) -> str:
        """As Anthropic's clients want it: without a version."""
        return (self.provider if way == "direct" else self.gateway).base_url.removesuffix("/v1")

    def model(self, way: Way, name: str = PRICED) -> str:
        return name if way == "direct" else f"{way}/{name}"

    def asked(self, words: str) -> Call:
        """The newest call of the provider that holds these words; it may be on its way yet."""
        data = words.encode()
        return until(lambda: next((one for one in reversed(self.provider.calls) if data in one.body), None))


@contextmanager
def place(folder: Path, more: str = "", **provider: Any) -> Iterator[Place]:
    """`more`: what else the gateway's configuration says; `provider`: arguments of the `FaultProvider`."""
    with FaultProvider(**provider) as found:
        prices = "\n".join(f"{name} = {usd}" for name, usd in PRICES_USD.items())
        priced = "\n".join(f'[[prices]]\ntarget = "{way}/{PRICED}"\n{prices}' for way in THROUGH)
        config = f"""
[[keys]]
tenant = "clients"
key = "${{CLIENT_KEY}}"
[providers.own]
kind = "anthropic"
base_url = "{found.base_url.removesuffix("/v1")}"
api_key = "${{PROVIDER_KEY}}"
pass_through = true
models = ["only-own"]
[providers.chat]
base_url = "{found.base_url}"
api_key = "${{PROVIDER_KEY}}"
pass_through = true
models = ["only-chat"]
[cache]
exact = "off"
{more}
{priced}
"""
        environment = {"CLIENT_KEY": KEY, "PROVIDER_KEY": PROVIDER_KEY}
        with running(config, folder, environment) as gateway:
            yield Place(found, gateway)


# -- scenarios ---------------------------------------------------------------------------------------

WEATHER: Final[Json] = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
OSLO: Final[Json] = {"city": "Oslo", "days": 3}
ANSWER_SCHEMA: Final[Json] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "year": {"type": "integer"}},
    "required": ["name", "year"],
    "additionalProperties": False,
}


def source(kind: str, media_type: str, data: str) -> Json:
    return {"type": kind, "source": {"type": "base64", "media_type": media_type, "data": data}}


def called(tool: str, arguments: Json) -> str:
    """The script of a call of `tool`."""
    return f"tool={tool},arguments={quote(json.dumps(arguments))}"


def results(*ids: str) -> Json:
    """The turn of the user that answers calls."""
    blocks = [{"type": "tool_result", "tool_use_id": one, "content": f"sunny in {one}"} for one in ids]
    return {"role": "user", "content": blocks}


def calls(*ids: str, text: str = "") -> Json:
    blocks: list[Json] = [{"type": "text", "text": text}] if text else []
    blocks += [{"type": "tool_use", "id": one, "name": "weather", "input": OSLO} for one in ids]
    return {"role": "assistant", "content": blocks}


@dataclasses.dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    script: str = ""
    fields: Json = dataclasses.field(default_factory=dict)
    """Of the request, beside the model and what `request` gives by default."""
    lost_on_chat: frozenset[str] = frozenset()
    """What a chat provider has no word for: `signature`, `stop_sequence`."""

    def request(self, model: str) -> Json:
        usual: Json = {"max_tokens": 4_096, "messages": [{"role": "user", "content": f"what is {self.name}"}]}
        return usual | self.fields | {"model": model}

    @property
    def model(self) -> str:
        """The name that bears the script. Both dialects count alike what is told to count so."""
        return f"fault:prompt-tokens=100,stops,{self.script}".rstrip(",")


USER: Final[Json] = {"role": "user", "content": "the weather"}
SAID: Final = (
    Scenario("a text"),
    Scenario("a system text", fields={"system": [{"type": "text", "text": "Be brief."}]}),
    Scenario(
        "settings",
        fields={"stop_sequences": ["never said"], "metadata": {"user_id": "u-1"}},
    ),
    Scenario("a stop", "say=one two three four", {"stop_sequences": ["three"]}),
    Scenario("a limit", "n=50", {"max_tokens": 5}),
    Scenario("a refusal", "finish=content_filter,say=I"),
    Scenario("unusual letters", "say=caf%C3%A9 %F0%9F%98%80 %22quoted%22"),
    Scenario("a call", called("weather", OSLO), {"tools": [WEATHER]}),
    Scenario(
        "parallel calls",
        called("weather", OSLO) + ",calls=3",
        {"tools": [WEATHER], "tool_choice": {"type": "any"}},
    ),
    Scenario(
        "one call and no more",
        called("weather", OSLO) + ",calls=3",
        {"tools": [WEATHER], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    ),
    Scenario(
        "a forced call", fields={"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "weather"}}
    ),
    Scenario("no call", fields={"tools": [WEATHER], "tool_choice": {"type": "none"}}),
    Scenario(
        "results",
        "calls=0",
        {"tools": [WEATHER], "messages": [USER, calls("toolu_1", "toolu_2"), results("toolu_1", "toolu_2")]},
    ),
    Scenario(
        "an error of a tool, then a picture",
        "calls=0,say=seen",
        {
            "tools": [WEATHER],
            "messages": [
                USER,
                calls("toolu_1", "toolu_2", text="I will look."),
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "toolu_1",
                            "content": "no such city",
                            "is_error": True,
                        },
                        {
                            "type": "tool_result",
                            "tool_use_id": "toolu_2",
                            "content": [
                                {"type": "text", "text": "seen"},
                                source("image", "image/png", PIXEL),
                            ],
                        },
                        {"type": "text", "text": "go on"},
                    ],
                },
            ],
        },
    ),
    Scenario(
        "a picture and a document",
        "say=both",
        fields={
            "messages": [
                {
                    "role": "user",
                    "content": [
                        source("image", "image/png", PIXEL),
                        source("document", "application/pdf", PDF),
                        {"type": "text", "text": "what is it"},
                    ],
                }
            ]
        },
    ),
    Scenario(
        "structured output",
        fields={"output_config": {"format": {"type": "json_schema", "schema": ANSWER_SCHEMA}}},
    ),
    Scenario(
        "thinking",
        "reasoning=step by step",
        {"thinking": {"type": "enabled", "budget_tokens": 2_000}},
        frozenset({"signature"}),
    ),
    Scenario(
        "marks",
        fields={
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}],
                }
            ],
        },
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """An answer that is none, with the words of the provider."""

    name: str
    script: str
    status: int
    """As the client is told by the provider itself."""
    through: int | None = None
    """Through the gateway; None: the same."""


TOO_LONG: Final = "prompt is too long: 210000 tokens > 200000 maximum"
FAILURES: Final = (
    Failure("invalid", f"status=400,message={quote(TOO_LONG)}", 400),
    Failure("key", "status=401", 401, through=502),  # the gateway's key, not the client's
    Failure("forbidden", "status=403", 403, through=502),  # as this
    Failure("unknown model", "status=404", 404),
    Failure("too large", "status=413", 413),
    Failure("rate limit", "status=429,retry-after=61", 429),
    Failure("failed", "status=500", 500),
    Failure("overloaded", "status=529", 529),
)


# -- what is compared --------------------------------------------------------------------------------


def comparable(message: Json, lost: frozenset[str] = frozenset()) -> Json:
    """What came of a request, without what is another at each call. `lost` is left out."""
    blocks = []
    number = 0
    for block in message["content"]:
        kept = {name: value for name, value in block.items() if value is not None and name not in lost}
        if kept["type"] == "tool_use":
            number += 1
            kept["id"] = f"call {number}"
        blocks.append(kept)
    told = {name: message.get(name) for name in ("type", "role", "stop_reason", "stop_sequence")}
    return {**told, "content": blocks}


def billed(message: Json) -> tuple[int, int]:
    """Tokens of the prompt, cached ones included, and of the answer."""
    usage = message["usage"]
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return sum(usage.get(name) or 0 for name in names), usage["output_tokens"]
