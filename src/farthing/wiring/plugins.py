"""Plug-ins: implementations outside the tree, found by their entry points.

A distribution offers one by an entry point in one of `GROUPS`; a configuration asks for it by name. Only what
a configuration names is loaded, when it is built: a gateway without plug-ins looks for none.
"""

import asyncio
import logging
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from farthing.config import (
    Config,
    Options,
    PluginCheckConfig,
    PluginProviderConfig,
    PluginRouteConfig,
    PluginStoreConfig,
)
from farthing.errors import ConfigError
from farthing.protocols import PluginContext
from farthing.types import Target
from farthing.wiring.foreign import Calls

log = logging.getLogger("farthing.plugins")

Kind = Literal["router", "check", "guardrail", "store", "retriever", "provider"]

GROUPS: Mapping[Kind, str] = {
    "router": "farthing.routers",
    "check": "farthing.checks",
    "guardrail": "farthing.guardrails",
    "store": "farthing.stores",
    "retriever": "farthing.retrievers",
    "provider": "farthing.providers",
}
NEEDS: Mapping[Kind, tuple[str, ...]] = {
    "router": ("route",),
    "check": ("doubt",),
    "guardrail": ("allows",),
    "store": ("get", "set", "aclose"),
    "retriever": ("retrieve",),
    "provider": ("request", "answer", "stream", "unsaid"),
}
"""The methods that an implementation of each kind must have."""
SHOWN_MAX = 20


class Installed(Struct, frozen=True, kw_only=True):
    """A plug-in that this environment has."""

    kind: Kind
    group: str
    name: str
    distribution: str
    version: str


class Named(Struct, frozen=True, kw_only=True):
    """A plug-in that a configuration asks for."""

    kind: Kind
    plugin: str
    where: str
    """The key that names it."""
    options: Options


class Opened(Struct, frozen=True, kw_only=True):
    """A plug-in at work."""

    implementation: Any
    calls: Calls


def installed() -> list[Installed]:
    """Every plug-in of this environment, whether it is used or not. Loads none.

    Raises:
        ConfigError: what a distribution says of itself cannot be read.
    """
    return sorted(
        (
            Installed(
                kind=kind,
                group=group,
                name=entry.name,
                distribution=_distribution(entry),
                version=_version(entry),
            )
            for kind, group in GROUPS.items()
            for entry in _entries(group)
        ),
        key=lambda one: (one.group, one.name, one.distribution),
    )


def named(config: Config) -> Iterator[Named]:
    """The plug-ins that `config` asks for."""
    route, store = config.route, config.cache.store
    if isinstance(route, PluginRouteConfig):
        yield Named(kind="router", plugin=route.plugin, where="route", options=route.options)
    if isinstance(store, PluginStoreConfig):
        yield Named(kind="store", plugin=store.plugin, where="cache.store", options=store.options)
    for name, provider in config.providers.items():
        if isinstance(provider, PluginProviderConfig):
            where = f"providers.{name}"
            yield Named(kind="provider", plugin=provider.plugin, where=where, options=provider.options)
    for guard in config.guard.plugins:
        where = f"guard.plugins.{guard.name}"
        yield Named(kind="guardrail", plugin=guard.plugin, where=where, options=guard.options)
    for name, endpoint in config.endpoints.items():
        if (retrieve := endpoint.retrieve) is not None:
            where = f"endpoints.{name}.retrieve"
            yield Named(kind="retriever", plugin=retrieve.plugin, where=where, options=retrieve.options)
        for check in () if endpoint.cascade is None else endpoint.cascade.checks:
            if isinstance(check, PluginCheckConfig):
                where = f"endpoints.{name}.cascade.checks.{check.name}"
                yield Named(kind="check", plugin=check.plugin, where=where, options=check.options)


def missing(config: Config) -> Iterator[str]:
    """What `find` would refuse of the plug-ins that `config` asks for. Loads none."""
    for one in named(config):
        try:
            find(one)
        except ConfigError as why:
            yield str(why)


def find(wanted: Named) -> EntryPoint:
    """The entry point, not loaded.

    Raises:
        ConfigError: no distribution here has it, or more than one, or one of them cannot be read.
    """
    group = GROUPS[wanted.kind]
    entries = _entries(group)
    found = [entry for entry in entries if entry.name == wanted.plugin]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(
            f'{wanted.where}: the plug-in "{wanted.plugin}" is in {_listed(found)}: uninstall all but one'
        )
    raise ConfigError(
        f'{wanted.where}: no plug-in "{wanted.plugin}" is installed in the group {group}; installed there: '
        f"{_listed(entries, names=True) or 'none'}; install its distribution into the environment of "
        f"{sys.executable} (`{sys.executable} -m pip install NAME`), `farthing plugins` lists what is there"
    )


class Plugins:
    """The plug-ins of all configurations of one process. What a reload leaves as it was goes on as it is."""

    def __init__(self, state_dir: Path | None = None) -> None:
        """Nothing is looked for yet."""
        self._state_dir = state_dir
        self._current: dict[str, tuple[Named, Mapping[str, tuple[Target, ...]], Opened]] = {}
        """By the key that names it."""
        self._replaced: list[Opened] = []
        """Requests that began before a reload may still be with them; closed at the end."""

    def open(self, wanted: Named, *, tiers: Mapping[str, tuple[Target, ...]] | None = None) -> Opened:
        """The plug-in that `wanted` names: the one at work where nothing has changed about it.

        Raises:
            ConfigError: it is not installed, cannot be loaded, or is not what it is to be.
        """
        tiers = tiers or {}
        current = self._current.get(wanted.where)
        if current is not None and current[:2] == (wanted, tiers):
            return current[2]
        implementation = self._made(wanted, tiers)
        opened = Opened(implementation=implementation, calls=Calls(wanted.plugin))
        if current is not None:
            self._replaced.append(current[2])
        self._current[wanted.where] = wanted, tiers, opened
        return opened

    def _made(self, wanted: Named, tiers: Mapping[str, tuple[Target, ...]]) -> Any:
        entry = find(wanted)
        whose = f'{wanted.where}: the plug-in "{wanted.plugin}" of {_told(entry)}'
        context = PluginContext(
            name=wanted.plugin,
            where=wanted.where,
            log=logging.getLogger(f"farthing.plugins.{wanted.plugin}"),
            state_dir=self._state_dir,
            tiers=tiers,
        )
        if entry.pattern.match(entry.value) is None:
            raise ConfigError(
                f"{whose} cannot be loaded: its entry point {entry.value!r} is no `module:attribute`"
            )
        try:
            implementation = entry.load()(wanted.options.values(), context)
        except KeyboardInterrupt:
            raise
        except BaseException as why:  # of extensions in Rust, some are no `Exception`
            said = f"{type(why).__name__}: {why}"
            for secret in wanted.options.secrets():
                said = said.replace(secret, "[secret]")
            raise ConfigError(f"{whose} cannot be loaded: {said}") from why
        lacking = [name for name in NEEDS[wanted.kind] if not callable(getattr(implementation, name, None))]
        if lacking:
            raise ConfigError(
                f"{whose} gave a {type(implementation).__name__}, which is no {wanted.kind}: it has no "
                f"{' and no '.join(lacking)}"
            )
        log.info("%s: plug-in %s of %s", wanted.where, wanted.plugin, _told(entry))
        return implementation

    async def aclose(self) -> None:
        """Close those that can be closed; one that fails is logged. Safe to call twice."""
        opened = [*self._replaced, *(one for _, _, one in self._current.values())]
        self._replaced, self._current = [], {}
        await asyncio.gather(*(one.calls.close(one.implementation) for one in opened))


def _listed(entries: list[EntryPoint], *, names: bool = False) -> str:
    said = [f"{entry.name} ({_told(entry)})" if names else _told(entry) for entry in entries]
    more = [f"and {len(said) - SHOWN_MAX} more"] if len(said) > SHOWN_MAX else []
    return ", ".join([*said[:SHOWN_MAX], *more])


def _told(entry: EntryPoint) -> str:
    return f"{_distribution(entry)} {_version(entry)}".strip()


def _entries(group: str) -> list[EntryPoint]:
    """The entry points of a group.

    Raises:
        ConfigError: a distribution's cannot be read, whatever group they are of.
    """
    try:
        return list(entry_points(group=group))
    except Exception as why:
        broken = [one for one in distributions() if not _is_readable(one)]
        where = ", ".join(sorted({f"{_name(one)} in {one.locate_file('')}" for one in broken[:SHOWN_MAX]}))
        raise ConfigError(
            f"the entry points of {where or 'a distribution'} cannot be read: {type(why).__name__}: {why}; "
            "install it anew"
        ) from why


def _is_readable(distribution: Distribution) -> bool:
    try:
        return distribution.entry_points is not None
    except Exception:  # noqa: BLE001  # whatever its files hold
        return False


def _name(distribution: Distribution | None) -> str:
    return _stated(distribution, "Name") or "a distribution without a name"


def _stated(distribution: Distribution | None, field: str) -> str:
    """A field of its metadata; empty where there is none, as after an installation that was interrupted."""
    try:
        about = None if distribution is None else distribution.metadata
        return about[field] or "" if about is not None and field in about else ""
    except Exception:  # noqa: BLE001  # versions of Python differ in what they raise for a missing file
        return ""


def _distribution(entry: EntryPoint) -> str:
    return _name(entry.dist)


def _version(entry: EntryPoint) -> str:
    return _stated(entry.dist, "Version")
