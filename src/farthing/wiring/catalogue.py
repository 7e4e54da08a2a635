"""Fetches a price list, for `farthing models refresh` alone, and asks providers which models they have."""

import asyncio
import datetime
import os
from collections.abc import Collection, Iterator, Mapping
from urllib.parse import urlsplit

from farthing import __version__
from farthing.config import Config, PluginProviderConfig, lanes_of, proof_of
from farthing.config.settings.credentials import FETCHED
from farthing.config.settings.proxy import authority, proxy_of_environment
from farthing.errors import FarthingError
from farthing.models.discovery.detect import Said
from farthing.models.discovery.listing import Listing
from farthing.models.pricing.catalogue import Catalogue
from farthing.models.pricing.refreshed import BYTES_MAX, NotAList
from farthing.models.transport.http1 import Http1Transport
from farthing.models.transport.origin import HttpOrigin
from farthing.models.transport.trust import ca_of_environment
from farthing.protocols import Provider, Transport
from farthing.runtime.loop_batch import LoopBatch
from farthing.types import replace
from farthing.wiring.providers import ASK_S, LIST_BYTES_MAX, asked, build_provider

FETCH_S = 60.0
TOLD_MAX = 3
ENDS_DAYS = 30
_NOTHING = Said()

# -- a newer list -----------------------------------------------------------------------------------


async def fetched(url: str, env: Mapping[str, str] = os.environ) -> bytes:
    """What is at `url`, which begins with `https://`, in at most `FETCH_S` seconds and `BYTES_MAX` bytes.

    Raises:
        FarthingError: it cannot be had; the message says why.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    origin = HttpOrigin(
        name="catalogue_url",
        host=host,
        port=port,
        tls=True,
        answer_bytes_max=BYTES_MAX,
        ca_file=ca_of_environment(env),
        proxy=proxy_of_environment(env, host, port, True),
    )
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    head = (
        f"GET {path} HTTP/1.1\r\nhost: {authority(host, port) if parts.port else host}\r\n"
        f"user-agent: farthing/{__version__}\r\naccept: application/json\r\n"
    ).encode("latin-1")
    loop = asyncio.get_running_loop()
    transport = Http1Transport(loop, LoopBatch(loop))
    try:
        async with asyncio.timeout(FETCH_S):
            exchange = await transport.send(origin, head, b"", first_byte_s=FETCH_S, whole=True)
            body = await exchange.read(BYTES_MAX)
    except TimeoutError:
        raise NotAList(f"{url} did not answer in {FETCH_S:g} s") from None
    finally:
        await transport.aclose()
    if exchange.status != 200:
        raise NotAList(f"{url} answered with status {exchange.status}")
    return body


# -- what providers have ----------------------------------------------------------------------------


async def ask_configured(
    config: Config,
    names: Collection[str],
    env: Mapping[str, str] = os.environ,
    transport: Transport | None = None,
) -> dict[str, Said]:
    """What the providers `names` say of their models, all asked at once, within `ASK_S` seconds; not those
    whose models the configuration lists, nor plug-ins, nor those whose credentials have to be fetched. Of one
    that cannot be reached as configured it is why. Never raises. Without `transport` it opens its own."""
    said, providers = dict[str, Said](), dict[str, Provider]()
    for name in names:
        provider = config.providers[name]
        if provider.models or isinstance(provider, PluginProviderConfig) or proof_of(provider) in FETCHED:
            continue
        own = lanes_of(name, provider)[0].config
        limited = replace(own, connect_s=ASK_S, answer_bytes_max=LIST_BYTES_MAX)
        try:
            providers[name] = build_provider(name, limited, env)
        except FarthingError as why:
            said[name] = Said(why=str(why))
    loop = asyncio.get_running_loop()
    used = Http1Transport(loop, LoopBatch(loop)) if transport is None else transport
    try:
        answers = await asyncio.gather(*(asked(provider, used) for provider in providers.values()))
    finally:
        if transport is None:
            await used.aclose()
    return said | dict(zip(providers, answers, strict=True))


def in_tiers(config: Config) -> list[str]:
    """The providers whose models tiers name, in their order."""
    named = {target.partition("/")[0] for table in config.tiers.values() for target in table.targets}
    return [name for name in config.providers if name in named]


def ending(config: Config, catalogue: Catalogue, today: str) -> Iterator[str]:
    """A line for each target of a tier whose provider has announced a near day from which on it does not
    answer for it, or a past one."""
    near = (datetime.date.fromisoformat(today) + datetime.timedelta(days=ENDS_DAYS)).isoformat()
    for tier, table in config.tiers.items():
        for target in table.targets:
            provider, _, model = target.partition("/")
            known = catalogue.find(provider, model)
            if known is not None and known.retires and known.retires <= near:
                word = "has ended" if known.retires <= today else "ends"
                told = f"{target} {word} on {known.retires}, says the price list"
                yield f"tiers.{tier}.targets: {told}: name another model"


def not_there(config: Config, said: Mapping[str, Said], catalogue: Catalogue) -> Iterator[str]:
    """A line for each target of a tier that its provider does not list, and for each key that is refused.
    A provider that lists nothing, or is not asked, is not doubted: not all list what they answer for."""
    for name, answer in said.items():
        if answer.refused:
            yield f"providers.{name}: it refused our key (401) when it was asked for its models"
    for tier, table in config.tiers.items():
        for target in table.targets:
            provider, _, model = target.partition("/")
            answer = said.get(provider, _NOTHING)
            if not answer.models or Listing(provider, answer.models, catalogue).find(model) is not None:
                continue
            more = len(answer.models) - TOLD_MAX
            shown = ", ".join(answer.models[:TOLD_MAX]) + (f" and {more} more" if more > 0 else "")
            key = "" if proof_of(config.providers[provider]) == "none" else " for this key"
            yield (
                f"tiers.{tier}.targets: {provider} does not list {model}{key}, and is asked for it "
                f"all the same; it lists {shown}: `farthing models --here` shows what there is"
            )
