"""Short version names of the deciding parts of a configuration."""

from hashlib import blake2b

import msgspec

from farthing.config.settings.gateway import (
    AnyProviderConfig,
    Config,
    EndpointSemanticConfig,
    OpenAIProviderConfig,
    TierConfig,
)
from farthing.config.settings.quality import QualityConfig
from farthing.config.show import render


def policy_version(config: Config) -> str:
    """The version of everything that decides: equal configurations, apart from secrets, have equal
    versions."""
    return blake2b(render(config).encode(), digest_size=6).hexdigest()


def answers_version(config: Config) -> str:
    """Like `policy_version`, for what can change an answer: a port, a log level, a key, the terms of the
    semantic cache, evaluation, what is stored for clients, the use of batches, further keys and replicas,
    hedging, and what goes on after a break never empty a cache."""
    endpoints = {
        name: msgspec.structs.replace(
            endpoint,
            cache=msgspec.structs.replace(endpoint.cache, semantic=EndpointSemanticConfig()),
            quality=QualityConfig(),
            store_responses=False,
            models=None,
            tiers=None,
            hedge=None,
            hedge_after_ms=None,
            continue_broken_streams=None,
        )
        for name, endpoint in config.endpoints.items()
    }
    providers = {
        name: msgspec.structs.replace(
            _as_it_answers(provider),
            batch=False,
            pass_through=None,
            api_keys=(),
            replicas=(),
            separate_accounts=False,
        )
        for name, provider in config.providers.items()
    }
    tiers = {name: TierConfig(targets=tier.targets) for name, tier in config.tiers.items()}
    deciding = Config(
        providers=providers,
        tiers=tiers,
        aliases=config.aliases,
        endpoints=endpoints,
        answers=config.answers,
        prices=config.prices,
        guard=config.guard,
        route=config.route,
        call=msgspec.structs.replace(
            config.call,
            ask_models=True,
            adaptive=True,
            model_identity="model",
            continue_broken_streams=False,
            continuations_max=1,
        ),
    )
    return policy_version(deciding)


def _as_it_answers(provider: AnyProviderConfig) -> AnyProviderConfig:
    """Without what it keeps for clients, and how it goes on with what broke off."""
    if isinstance(provider, OpenAIProviderConfig):
        return msgspec.structs.replace(provider, stored_completions=None, prefill=None)
    return provider
