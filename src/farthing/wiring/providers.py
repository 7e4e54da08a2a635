"""Builds providers: how each is reached, and what `GET /v1/models` lists."""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from farthing.brain.route.rules import RulesRouter
from farthing.config import AnyProviderConfig, OpenAIProviderConfig, ProviderConfig
from farthing.config.settings.proxy import NO_PROXY, Proxy, parse_proxy, proxy_of_environment
from farthing.dialects.chat.embedded import InputsMax
from farthing.dialects.passing.operations import COMPLETIONS
from farthing.errors import ConfigError, FarthingError
from farthing.models.discovery.abilities import abilities_at, inputs_at, operations_at
from farthing.models.discovery.chosen import provider_of
from farthing.models.discovery.detect import Found, Hosted, Said, detect, said_by
from farthing.models.discovery.listing import can_be_asked
from farthing.models.discovery.presets import list_from, usage_form
from farthing.models.discovery.quirks import quirks_of
from farthing.models.providers.host import HostFacts
from farthing.models.providers.kinds import make
from farthing.models.providers.learnt import Lessons
from farthing.models.providers.responses.makers import Makers
from farthing.models.targets import OFFERED_MAX, Targets
from farthing.models.transport.http1 import Http1Transport
from farthing.models.transport.origin import HttpOrigin, parse_base_url
from farthing.models.transport.passage import PASSED
from farthing.models.transport.trust import ca_of_environment, missing_ca_of_environment
from farthing.protocols import Credentials, Provider, ProviderPlugin, Transport
from farthing.runtime.loop_batch import LoopBatch
from farthing.runtime.redact import Redactor
from farthing.types import Json, Operation, Target, Tenant, replace

ASK_S = 2.0  # a person waits for the start; a list of models takes a tenth of it
ASKED_S = 60.0  # between two questions for a provider's models
LIST_BYTES_MAX = 8_388_608  # OpenRouter's is half a megabyte
WHY_CHARS_MAX = 200
ISSUER_CONNECTIONS_MAX = 4

log = logging.getLogger("farthing.upstreams")


def build_provider(
    name: str,
    provider: AnyProviderConfig,
    env: Mapping[str, str] = os.environ,
    redact: Redactor | None = None,
    plugin: ProviderPlugin | None = None,
    makers: Makers | None = None,
    credentials: Credentials | None = None,
    lessons: Lessons | None = None,
) -> Provider:
    """`plugin` implements the dialect of a provider of kind `plugin`. `redact` removes secrets from its
    errors; None: only its own key is removed. `makers` remembers which provider made encrypted content;
    None: it is not remembered. `credentials`: what it is asked with, where that is no fixed key. `lessons`
    remembers what its targets refuse; None: for as long as it is there itself.

    Raises:
        ConfigError: it cannot be reached as configured; the message names the key or the variable.
    """
    host, port, tls, path = parse_base_url(provider.base_url)
    ca = _authorities(provider, tls, env)
    origin = HttpOrigin(
        name=name,
        host=host,
        port=port,
        tls=tls,
        connections_max=provider.connections_max,
        wait_s=provider.connection_wait_s,
        connect_s=provider.connect_s,
        answer_bytes_max=provider.answer_bytes_max,
        ca_file=ca,
        proxy=_proxy(name, provider, env, (host, port, tls)),
        client_cert_file=provider.client_cert_file,
        client_key_file=provider.client_key_file,
        files_stamp_ns=max(map(_changed_ns, (ca, provider.client_cert_file, provider.client_key_file))),
    )
    try:
        built = make(
            name,
            origin,
            provider,
            path=path,
            host=HostFacts(
                usage_form=usage_form(name, host),
                list_from=list_from(name),
                operations=operations_of(provider),
                quirks=quirks_of(name, host),
                inputs_max=_inputs_of(provider, host),
                cache_key=abilities_at(host).cache_key,
            ),
            plugin=plugin,
            makers=makers,
            credentials=credentials,
            lessons=lessons,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if redact is not None:
        built.redact = redact
    return built


def _authorities(provider: ProviderConfig, tls: bool, env: Mapping[str, str]) -> Path | None:
    """The authorities to trust instead of the system's; None: those."""
    if provider.ca_file is not None or not tls:
        return provider.ca_file
    missing = missing_ca_of_environment(env)
    if missing is not None:
        log.warning("%s names %s, which is not there", missing, env[missing])
        return None
    return ca_of_environment(env)


def reach_issuer(
    name: str,
    provider: AnyProviderConfig,
    url: str,
    direct: bool,
    env: Mapping[str, str] = os.environ,
) -> HttpOrigin:
    """How an issuer of credentials at `url` is reached for a provider: by its rules for proxies and
    authorities. `direct`: past any proxy, as the metadata of a machine is asked.

    Raises:
        ConfigError: it cannot be, as configured.
    """
    host, port, tls, _ = parse_base_url(url)
    ca = _authorities(provider, tls, env)
    return HttpOrigin(
        name=f"{name}: credentials",
        host=host,
        port=port,
        tls=tls,
        connections_max=ISSUER_CONNECTIONS_MAX,
        connect_s=provider.connect_s,
        ca_file=ca,
        proxy=None if direct else _proxy(name, provider, env, (host, port, tls)),
        files_stamp_ns=_changed_ns(ca),
    )


def operations_of(provider: AnyProviderConfig) -> frozenset[Operation]:
    """What a provider has of the operations that are passed through."""
    if not isinstance(provider, OpenAIProviderConfig):
        return frozenset()
    found = operations_at(parse_base_url(provider.base_url)[0], provider.operations)
    return found | {COMPLETIONS.operation} if provider.completions else found


def completes(
    providers: Mapping[str, AnyProviderConfig], aliases: Mapping[str, str], targets: Targets
) -> Callable[[str], bool]:
    """Whether a name leads to models whose providers have completions of before chat, and to no others."""
    having = {name for name, one in providers.items() if COMPLETIONS.operation in operations_of(one)}

    def asks_for_them(name: str) -> bool:
        if not having:
            return False
        meaning = aliases.get(name, name)
        found = targets.tiers.get(meaning)
        if found is None:
            known = (one for one in targets.configured.values() if meaning in (one.name, one.model))
            one = next(known, None) or targets.open(meaning)
            found = () if one is None else (one,)
        return bool(found) and all(one.provider in having for one in found)

    return asks_for_them


def _inputs_of(provider: AnyProviderConfig, host: str) -> InputsMax:
    if not isinstance(provider, OpenAIProviderConfig):
        return InputsMax()
    return inputs_at(host, provider.embeddings_inputs_max, provider.embeddings_tokens_max)


def first_with(providers: Mapping[str, AnyProviderConfig]) -> dict[Operation, str]:
    """The first provider that has each operation that is passed through."""
    found: dict[Operation, str] = {}
    for name, provider in providers.items():
        for operation in operations_of(provider):
            found.setdefault(operation, name)
    return found


def only_with(providers: Mapping[str, AnyProviderConfig]) -> dict[Operation, str]:
    """The provider that has each operation that is passed through, where no other has it."""
    count = Counter(operation for provider in providers.values() for operation in operations_of(provider))
    return {operation: name for operation, name in first_with(providers).items() if count[operation] == 1}


def _proxy(
    name: str, provider: ProviderConfig, env: Mapping[str, str], place: tuple[str, int, bool]
) -> Proxy | None:
    """The proxy of the configuration, else of the environment; None: there is none."""
    try:
        if provider.proxy is None:
            return proxy_of_environment(env, *place)
        return None if provider.proxy.value.lower() == NO_PROXY else parse_proxy(provider.proxy.value)
    except ConfigError as why:
        raise ConfigError(f"providers.{name}.proxy: {why}") from None


def passed_names(providers: Iterable[ProviderConfig]) -> frozenset[bytes]:
    """The names of the client's headers that are passed on to any provider."""
    named = (name.lower().encode() for provider in providers for name in provider.pass_headers)
    return frozenset((*PASSED, *named))


def _changed_ns(path: Path | None) -> int:
    """When the file was last changed; 0 without a file. A file that cannot be read is reported when it is
    used."""
    try:
        return 0 if path is None else path.stat().st_mtime_ns
    except OSError:
        return 0


async def ask_models(hosted: Hosted, transport: Transport) -> Said:
    """The models that a provider lists for this key, within `ASK_S` seconds. Never raises.

    Only a 401 means that the key is invalid: a key with few rights may be allowed to chat and not to list.
    """
    config = replace(provider_of(hosted), connect_s=ASK_S, answer_bytes_max=LIST_BYTES_MAX)
    try:
        provider = build_provider(hosted.preset.name, config)
    except FarthingError as error:
        return Said(why=str(error)[:WHY_CHARS_MAX])
    return await asked(provider, transport)


async def asked(provider: Provider, transport: Transport) -> Said:
    """The provider's answer to a request for its models, within `ASK_S` seconds. Never raises."""
    try:
        async with asyncio.timeout(ASK_S):
            credentials = provider.credentials
            number = 0 if credentials is None else await credentials.ready(ASK_S)
            told = [await _list(provider, transport, *call) for call in provider.list_calls()]
    except TimeoutError:
        return Said(why=f"no answer in {ASK_S:g} s")
    except FarthingError as error:
        return Said(why=str(error)[:WHY_CHARS_MAX])
    found = next((one for one in told if one.models), told[0])
    if found.refused and credentials is not None:
        credentials.refused(number)
    if len(told) == 1:
        return found
    every: Said = replace(found, models=tuple(dict.fromkeys(model for one in told for model in one.models)))
    return every


async def _list(provider: Provider, transport: Transport, origin: Any, head: bytes) -> Said:
    """The answer to one of the calls that list the models of a provider.

    Raises:
        FarthingError: there is none.
    """
    exchange = await transport.send(origin, head, b"", first_byte_s=ASK_S, whole=True)
    body = await exchange.read(LIST_BYTES_MAX)
    if exchange.status == 401:
        return Said(refused=True, why="401")
    if exchange.status != 200:
        return Said(why=f"status {exchange.status}")
    return said_by(provider.listed(body))


class LiveModels:
    """The model lists of providers whose models are not configured. They are requested all at once when a
    client wants the list, at most every `ASKED_S` seconds."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        transport: Transport,
        targets: Targets,
        known: Collection[str],
        clock: Callable[[], float],
    ) -> None:
        """`known` are the names that are listed in any case."""
        self._providers = providers
        self._transport = transport
        self._targets = targets
        self._known = frozenset(known)
        self._clock = clock
        self._asked_s = -ASKED_S
        self._asking: asyncio.Task[None] | None = None
        self._entries: tuple[Json, ...] = ()

    async def entries(self) -> tuple[Json, ...]:
        """Entries of `GET /v1/models`. If a provider does not answer in time, its last list is used."""
        if not self._providers:
            return ()
        if self._asking is None and self._clock() - self._asked_s >= ASKED_S:
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        if self._asking is not None:
            await asyncio.wait((self._asking,))
        return self._entries

    async def _ask(self) -> None:
        try:
            said = await asyncio.gather(
                *(asked(provider, self._transport) for provider in self._providers.values())
            )
            names = [
                f"{name}/{model}"
                for name, one in zip(self._providers, said, strict=True)
                for model in one.models[:OFFERED_MAX]
                if can_be_asked(model)
            ]
            if names:
                self._entries = tuple(self._described(names[:OFFERED_MAX]))
        finally:
            self._asked_s, self._asking = self._clock(), None

    def _described(self, names: Iterable[str]) -> Iterator[Json]:
        """Each model once, by its own name if that leads to it."""
        for full in dict.fromkeys(names):
            target = self._targets.get(full)
            if target is None:
                continue
            bare = target.model not in self._known and self._targets.open(target.model) == target
            name = target.model if bare else full
            if name not in self._known:
                yield _described(name, target)


async def look_around(env: Mapping[str, str], own_port: int) -> Found:
    """The providers and servers that are available, and what each offers for its key. Never raises."""
    loop = asyncio.get_running_loop()
    transport = Http1Transport(loop, LoopBatch(loop))
    try:
        return await detect(env, own_port=own_port, ask=partial(ask_models, transport=transport))
    finally:
        await transport.aclose()


def list_models(router: RulesRouter, targets: Targets) -> tuple[Json, ...]:
    """`GET /v1/models`: the names that choose by configuration, then the configured models, then what the
    providers have.

    Every id can be asked for. A model beyond the configuration is listed once, by its own name if that
    leads to it, else as `provider/model`.
    """
    listed = [_entry(name, router) for name in router.known_models() if router.leads(name)]
    known = {entry["id"] for entry in listed}
    for target in targets.offered():
        bare = target.model not in known and targets.open(target.model) == target
        name = target.model if bare else target.name
        if name not in known:
            listed.append(_described(name, target))
    return tuple(listed)


def list_named(tenant: Tenant, targets: Targets) -> tuple[Json, ...]:
    """What the list of a key names, each model by its full name; it is known by that alone."""
    names = () if tenant.scope is None else sorted(tenant.scope.names)
    found = ((name, targets.open(name)) for name in names if name not in targets.configured)
    return tuple(_described(name, one) for name, one in found if one is not None and one.name == name)


def describe_model(name: str, router: RulesRouter, targets: Targets) -> Json | None:
    """One entry as in `list_models`, also for a name that leads to a model without being listed: a dated
    name, or one of the price list. None: it leads nowhere, or to a provider that is not known to have it."""
    if name in router.known_models():
        return _entry(name, router) if router.leads(name) else None
    target = targets.open(name)
    return _described(name, target) if target is not None and targets.lists(target) else None


def _entry(name: str, router: RulesRouter) -> Json:
    target = router.target_of(name)
    if target is not None:
        return _described(name, target)
    entry: Json = {"id": name, "object": "model", "created": 0, "owned_by": "farthing"}
    endpoint = router.endpoint_of(name)
    if endpoint is not None:
        entry["endpoint"] = endpoint
    return entry


def _described(name: str, target: Target) -> Json:
    """OpenAI's fields, and what we know of price and context window."""
    price = target.price
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": target.provider,
        "context_window": target.context_tokens_max,
        "max_output_tokens": target.output_tokens_max,
        "usd_per_million_tokens": price
        and {
            "input": price.input_pusd / 1_000_000,
            "output": price.output_pusd / 1_000_000,
            "cached_input": price.cached_input_pusd and price.cached_input_pusd / 1_000_000,
        },
    }
