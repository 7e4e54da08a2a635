"""The composition root's part for providers: how each is reached, and what `GET /v1/models` lists."""

from pathlib import Path

from farthing.brain.route.rules import RulesRouter
from farthing.config import ProviderConfig
from farthing.errors import ConfigError
from farthing.models.presets import usage_form
from farthing.models.providers.openai import OpenAIProvider
from farthing.models.targets import Targets
from farthing.models.transport.origin import HttpOrigin, parse_base_url
from farthing.types import Json


def build_provider(name: str, provider: ProviderConfig) -> OpenAIProvider:
    host, port, tls, path = parse_base_url(provider.base_url)
    origin = HttpOrigin(
        name=name,
        host=host,
        port=port,
        tls=tls,
        connections_max=provider.connections_max,
        connect_s=provider.connect_s,
        answer_bytes_max=provider.answer_bytes_max,
        ca_file=provider.ca_file,
        ca_stamp_ns=_changed_ns(provider.ca_file),
    )
    try:
        return OpenAIProvider(
            name,
            origin,
            path=path,
            api_key=None if provider.api_key is None else provider.api_key.value,
            auth=provider.auth,
            headers=provider.headers,
            include_usage=provider.include_usage,
            usage_form=usage_form(name, host),
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _changed_ns(path: Path | None) -> int:
    """When the file was last changed; 0 without one. One that cannot be read is told of when it is used."""
    try:
        return 0 if path is None else path.stat().st_mtime_ns
    except OSError:
        return 0


def list_models(router: RulesRouter, targets: Targets) -> tuple[Json, ...]:
    """`GET /v1/models`: OpenAI's fields, and what we know of price and context window."""
    listed: list[Json] = []
    for name in router.known_models():
        target = targets.configured.get(name)
        entry: Json = {"id": name, "object": "model", "created": 0, "owned_by": "farthing"}
        if target is not None:
            entry["owned_by"] = target.provider
            entry["context_window"] = target.context_tokens_max
            entry["max_output_tokens"] = target.output_tokens_max
            price = target.price
            entry["usd_per_million_tokens"] = price and {
                "input": price.input_pusd / 1_000_000,
                "output": price.output_pusd / 1_000_000,
                "cached_input": price.cached_input_pusd and price.cached_input_pusd / 1_000_000,
            }
        listed.append(entry)
    return tuple(listed)
