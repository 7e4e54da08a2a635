"""Settings that are allowed but probably a mistake: reported at start, on reload and by `farthing check`."""

from collections.abc import Iterator

from farthing.config.settings.cascade import LogprobsCheckConfig
from farthing.config.settings.gateway import Config, OpenAIProviderConfig, ResponsesConfig, RouteAdvisorConfig
from farthing.config.settings.lanes import lanes_of
from farthing.config.settings.providers import advice_of

NO_JUDGE = (
    "without a judge every rewording of an answer counts as a false hit, so a model that rewords its answers "
    "trips the monitor, and only exact hits are served; name a target as its judge"
)
ANY_PAGE = (
    '"*" without [[keys]] lets every web page that somebody on this machine opens spend your money; name the '
    "sites, or run `farthing keys new`"
)

NOTHING_STORED = (
    "no endpoint stores any response; set store_responses = true in [endpoints.NAME], or in "
    "[endpoints.default] for requests that name no endpoint"
)
NOT_MEASURED = (
    "what a session has cached is known only with measure = true, so no session stays; set that, or remove "
    "this"
)


def advice(config: Config) -> tuple[str, ...]:
    """One line per finding, with its key first and the fix last. Empty: no findings."""
    lines = [line for name, provider in config.providers.items() for line in advice_of(name, provider)]
    lines += [
        f"endpoints.{name}.cache.semantic.judge: {NO_JUDGE}"
        for name, endpoint in config.endpoints.items()
        if endpoint.cache.semantic.mode != "off" and endpoint.cache.semantic.judge is None
    ]
    if "*" in config.server.cors_origins and not config.keys:
        lines.append(f"server.cors_origins: {ANY_PAGE}")
    if config.responses != ResponsesConfig() and not _stores(config):
        lines.append(f"responses: {NOTHING_STORED}")
    if not config.prompt_cache.measure and config.prompt_cache.stay:
        lines.append(f"prompt_cache.stay: {NOT_MEASURED}")
    lines += _of_logprobs(config)
    lines += _of_hedges(config)
    lines += _of_scopes(config)
    return tuple(lines)


def _stores(config: Config) -> bool:
    return any(endpoint.store_responses for endpoint in config.endpoints.values())


def _of_logprobs(config: Config) -> Iterator[str]:
    """Log-probabilities that are wanted of providers whose dialect has none."""
    without = {
        name for name, provider in config.providers.items() if not isinstance(provider, OpenAIProviderConfig)
    }
    llm = getattr(config.route, "llm", None)
    if isinstance(llm, RouteAdvisorConfig) and llm.logprobs and llm.target.partition("/")[0] in without:
        yield (
            f"route.llm.logprobs: {llm.target} has no log-probabilities, so every question to it is refused; "
            "set it to false, or name a model of another provider"
        )
    for name, endpoint in config.endpoints.items():
        if endpoint.cascade is None:
            continue
        first = config.tiers.get(endpoint.cascade.first)
        targets = () if first is None else first.targets
        mute = [target for target in targets if target.partition("/")[0] in without]
        if mute and any(isinstance(check, LogprobsCheckConfig) for check in endpoint.cascade.checks):
            yield (
                f"endpoints.{name}.cascade.checks: {mute[0]} has no log-probabilities, so the check of them "
                "says nothing of its answers; use another check, or another first tier"
            )


def _of_hedges(config: Config) -> Iterator[str]:
    """Second calls that have nowhere to go."""
    for name, tier in config.tiers.items():
        hedges = tier.hedge == "p95" or tier.hedge_after_ms is not None
        if hedges and len(tier.targets) == 1 and _lanes(config, tier.targets[0]) == 1:
            key = "hedge" if tier.hedge is not None else "hedge_after_ms"
            yield (
                f"tiers.{name}.{key}: a second call goes to another target or address, and the tier has one; "
                "add a target, or replicas or api_keys to its provider, or remove this"
            )


def _lanes(config: Config, target: str) -> int:
    name = target.partition("/")[0]
    return len(lanes_of(name, config.providers[name]))


def _of_scopes(config: Config) -> Iterator[str]:
    """Limits on what clients with keys may ask for that the operator may not expect."""
    if not config.keys:
        return
    for name, provider in config.providers.items():
        if provider.pass_through is None and not provider.models:
            yield (
                f"providers.{name}.pass_through: with [[keys]] clients may ask only for those of its models "
                "that tiers, aliases, prices and lists of keys name, others get 404; list them in "
                f"providers.{name}.models, or set it to true, or to false where that is meant"
            )
    for index, key in enumerate(config.keys):
        endpoint = config.endpoints.get(key.endpoint or "")
        if endpoint is None or endpoint.tier is None or (key.tiers, key.models) != (None, None):
            continue
        if endpoint.tiers is None and endpoint.models is None:
            yield (
                f"keys[{index}].endpoint: this key may use no tier but {endpoint.tier}, that of its "
                "endpoint; other tiers and models are answered with 403; to change what it may use, set "
                f"endpoints.{key.endpoint}.tiers"
            )
