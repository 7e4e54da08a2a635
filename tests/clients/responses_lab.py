"""One scripted provider that speaks Responses, chat completions and Messages, and the ways to it for a client
of Responses: directly, and through a gateway onto it as each of the three."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from tests.e2e.gateway import Running, running
from tests.faults.provider import FaultProvider

Json = dict[str, Any]
Way = Literal["direct", "own", "chat", "messages"]
WAYS: Final[tuple[Way, ...]] = ("direct", "own", "chat", "messages")
THROUGH: Final[tuple[Way, ...]] = WAYS[1:]
KINDS: Final = {"own": "responses", "chat": "openai", "messages": "anthropic"}
KEY: Final = "fk-of-the-client"
PROVIDER_KEY: Final = "sk-of-the-provider"
PRICES_USD: Final = {"input": 3.0, "output": 15.0, "cached_input": 0.3, "cache_write_5m": 3.75}
"""Of a million tokens, at each provider."""
PRICED: Final = "good"


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A provider and a gateway before it."""

    provider: FaultProvider
    gateway: Running

    def base_url(self, way: Way) -> str:
        return self.provider.base_url if way == "direct" else self.gateway.base_url

    def model(self, way: Way, name: str = PRICED) -> str:
        return name if way == "direct" else f"{way}/{name}"


@contextmanager
def place(folder: Path, more: str = "", **provider: Any) -> Iterator[Place]:
    """`more`: what else the gateway's configuration says; `provider`: arguments of the `FaultProvider`."""
    with FaultProvider(**provider) as found:
        prices = "\n".join(f"{name} = {usd}" for name, usd in PRICES_USD.items())
        configured = []
        for way, kind in KINDS.items():
            url = found.base_url.removesuffix("/v1") if kind == "anthropic" else found.base_url
            configured.append(
                f'[providers.{way}]\nkind = "{kind}"\nbase_url = "{url}"\napi_key = "${{PROVIDER_KEY}}"\n'
                f'pass_through = true\n[[prices]]\ntarget = "{way}/{PRICED}"\n{prices}'
            )
        told = "\n".join(configured)
        config = f"""
[[keys]]
tenant = "clients"
key = "${{CLIENT_KEY}}"
[cache]
exact = "off"
{told}
{more}
"""
        environment = {"CLIENT_KEY": KEY, "PROVIDER_KEY": PROVIDER_KEY}
        with running(config, folder, environment) as gateway:
            yield Place(found, gateway)
