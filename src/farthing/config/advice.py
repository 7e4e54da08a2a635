"""What is allowed and likely a mistake: told at the start, by a reload and by `farthing check`."""

from farthing.config.knobs import Config
from farthing.config.upstream import advice_of

NO_JUDGE = (
    "without a judge every rewording of an answer counts as a false hit, so a model that words its answers "
    "anew makes the endpoint retreat to exact hits; name a target as its judge"
)
ANY_PAGE = (
    '"*" without [[keys]] lets every web page that somebody on this machine opens spend your money; name the '
    "sites, or run `farthing keys new`"
)


def advice(config: Config) -> tuple[str, ...]:
    """One line for each thing, with its key first and the fix last. Empty: nothing to say."""
    lines = [line for name, provider in config.providers.items() for line in advice_of(name, provider)]
    lines += [
        f"endpoints.{name}.cache.semantic.judge: {NO_JUDGE}"
        for name, endpoint in config.endpoints.items()
        if endpoint.cache.semantic.mode != "off" and endpoint.cache.semantic.judge is None
    ]
    if "*" in config.server.cors_origins and not config.keys:
        lines.append(f"server.cors_origins: {ANY_PAGE}")
    return tuple(lines)
