"""The composition root's part for providers: how each is reached, and what `GET /v1/models` lists."""

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from farthing.brain.route.rules import RulesRouter
from farthing.config import ProviderConfig
from farthing.config.proxy import NO_PROXY, Proxy, parse_proxy, proxy_of_environment
from farthing.errors import ConfigError
from farthing.models.providers.openai import OpenAIProvider
from farthing.models.targets import Targets
from farthing.models.transport.origin import HttpOrigin, parse_base_url
from farthing.models.transport.passage import PASSED, Passage
from farthing.models.transport.trust import ca_of_environment, missing_ca_of_environment
from farthing.types import Json

log = logging.getLogger("farthing.upstreams")


def build_provider(
    name: str, provider: ProviderConfig, env: Mapping[str, str] = os.environ
) -> OpenAIProvider:
    """Raises:
    ConfigError: it cannot be reached like this; names the key or the variable.
    """
    host, port, tls, path = parse_base_url(provider.base_url)
    ca = provider.ca_file
    if ca is None and tls:
        ca = ca_of_environment(env)
        missing = missing_ca_of_environment(env)
        if missing is not None:
            log.warning("%s names %s, which is not there", missing, env[missing])
            ca = None
    origin = HttpOrigin(
        name=name,
        host=host,
        port=port,
        tls=tls,
        connections_max=provider.connections_max,
        connect_s=provider.connect_s,
        answer_bytes_max=provider.answer_bytes_max,
        ca_file=ca,
        proxy=_proxy(name, provider, env, (host, port, tls)),
        client_cert_file=provider.client_cert_file,
        client_key_file=provider.client_key_file,
        files_stamp_ns=max(map(_changed_ns, (ca, provider.client_cert_file, provider.client_key_file))),
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
            passage=Passage(provider.pass_headers, provider.return_headers, provider.headers),
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _proxy(
    name: str, provider: ProviderConfig, env: Mapping[str, str], place: tuple[str, int, bool]
) -> Proxy | None:
    """The proxy of the configuration, else of the environment; None: none."""
    try:
        if provider.proxy is None:
            return proxy_of_environment(env, *place)
        return None if provider.proxy.value == NO_PROXY else parse_proxy(provider.proxy.value)
    except ConfigError as why:
        raise ConfigError(f"providers.{name}.proxy: {why}") from None


def passed_names(providers: Iterable[ProviderConfig]) -> frozenset[bytes]:
    """The headers of clients that go up to any of them."""
    named = (name.lower().encode() for provider in providers for name in provider.pass_headers)
    return frozenset((*PASSED, *named))


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
