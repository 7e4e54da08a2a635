"""Plug-ins: implementations outside this repository, found by their entry points.

A distribution offers a plug-in by an entry point in one of `GROUPS`, and a configuration asks for it by
name. Only what a configuration names is loaded, when it is built: a gateway without plug-ins does not
search for any.
"""

import asyncio
import inspect
import logging
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
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
from farthing.runtime.outside import a_kind, place
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
NEEDS: Mapping[Kind, Mapping[str, tuple[str, ...]]] = {
    "router": {"route": ("request", "traits")},
    "check": {"doubt": ("draft", "ask")},
    "guardrail": {"allows": ("text",)},
    "store": {"get": ("key",), "set": ("key", "value", "ttl_s="), "aclose": ()},
    "retriever": {"retrieve": ("request", "traits")},
    "provider": {"request": ("body", "model"), "answer": ("body",), "stream": (), "unsaid": ("body",)},
}
"""The methods that an implementation of each kind must have, with what each is given. Those of a provider are
plain, all others async."""
NEAR = 0.8
"""How alike two names are of which one may be a slip for the other."""
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


class Stray(Struct, frozen=True, kw_only=True):
    """Entry points in a group whose name resembles one of Farthing's but is none: nothing reads them."""

    group: str
    meant: str
    """The group of `GROUPS` that it is most like."""
    name: str
    distribution: str


class Opened(Struct, frozen=True, kw_only=True):
    """A plug-in that is in use."""

    implementation: Any
    calls: Calls


def installed() -> list[Installed]:
    """Every plug-in installed in this environment, used or not. Loads none.

    Raises:
        ConfigError: the metadata of a distribution cannot be read.
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


def strays() -> list[Stray]:
    """The entry points of this environment whose group is a misspelling of one of `GROUPS`."""
    return sorted(
        (
            Stray(group=group, meant=meant, name=entry.name, distribution=_distribution(entry))
            for group in entry_points().groups
            if (meant := _meant(group)) is not None
            for entry in entry_points(group=group)
        ),
        key=lambda one: (one.group, one.name, one.distribution),
    )


def _meant(group: str) -> str | None:
    """The group that `group` probably means; None: it is one of ours, or resembles none of them."""
    known = tuple(GROUPS.values())
    if group in known:
        return None
    plain = group.lower().replace("-", ".").replace("_", ".")
    like = get_close_matches(plain, known, n=1, cutoff=NEAR if not plain.startswith("farthing.") else 0.0)
    return like[0] if like else None


def find(wanted: Named) -> EntryPoint:
    """The entry point, not loaded.

    Raises:
        ConfigError: no distribution here has it, several have it, or the metadata of one cannot be
            read.
    """
    group = GROUPS[wanted.kind]
    others = _entries(group)
    found = [entry for entry in others if entry.name == wanted.plugin]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(
            f'{wanted.where}: the plug-in "{wanted.plugin}" is in {_listed(found)}: uninstall all but one'
        )
    raise ConfigError(
        f'{wanted.where}: no plug-in "{wanted.plugin}" is installed in the group {group}'
        f"{_likely(wanted, others)}; installed there: {_listed(others, names=True) or 'none'}; install its "
        f"distribution into the environment of {sys.executable} (`{sys.executable} -m pip install NAME`), "
        "`farthing plugins` lists what is there"
    )


def _likely(wanted: Named, others: list[EntryPoint]) -> str:
    """Names similar to one that does not exist; empty: there are none."""
    near = get_close_matches(wanted.plugin, [entry.name for entry in others], n=1)
    said = [f'did you mean "{near[0]}"?'] if near else []
    said += [
        f"{wanted.plugin} is a {one.kind}, not a {wanted.kind}"
        for one in installed()
        if one.name == wanted.plugin and one.kind != wanted.kind
    ]
    said += [
        f'{one.distribution} has it in the group "{one.group}", which is none: it must be "{one.meant}"'
        for one in strays()
        if one.name == wanted.plugin
    ]
    return "".join(f"; {one}" for one in said[:SHOWN_MAX])


class Plugins:
    """The plug-ins of all configurations of one process. A plug-in whose settings a reload does not change
    stays open."""

    def __init__(self, state_dir: Path | None = None) -> None:
        """Searches for nothing yet."""
        self._state_dir = state_dir
        self._current: dict[str, tuple[Named, Mapping[str, tuple[Target, ...]], Opened]] = {}
        """By the key that names it."""
        self._replaced: list[Opened] = []
        """Requests that began before a reload may still be with them; closed at the end."""

    def open(self, wanted: Named, *, tiers: Mapping[str, tuple[Target, ...]] | None = None) -> Opened:
        """The plug-in that `wanted` names: the one in use if none of its settings changed.

        Raises:
            ConfigError: it is not installed, cannot be loaded, or does not have the required methods.
        """
        tiers = tiers or {}
        current = self._current.get(wanted.where)
        if current is not None and current[:2] == (wanted, tiers):
            return current[2]
        opened = self._made(wanted, tiers)
        if current is not None:
            self._replaced.append(current[2])
        self._current[wanted.where] = wanted, tiers, opened
        return opened

    def _made(self, wanted: Named, tiers: Mapping[str, tuple[Target, ...]]) -> Opened:
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
            said = f"{type(why).__name__}{place(why, {entry.module.partition('.')[0]})}: {why}"
            for secret in wanted.options.secrets():
                said = said.replace(secret, "[secret]")
            raise ConfigError(f"{whose} cannot be loaded: {said}") from why
        fault = _fault(implementation, wanted.kind)
        if fault:
            raise ConfigError(f"{whose} gave {a_kind(implementation)}, which is no {wanted.kind}: {fault}")
        log.info("%s: plug-in %s of %s", wanted.where, wanted.plugin, _told(entry))
        owners = {one.partition(".")[0] for one in (entry.module, type(implementation).__module__)}
        calls = Calls(wanted.plugin, limit=_limit(wanted), owners=owners)
        return Opened(implementation=implementation, calls=calls)

    async def aclose(self) -> None:
        """Close the plug-ins that can be closed, and log failures. A second call is harmless."""
        opened = [*self._replaced, *(one for _, _, one in self._current.values())]
        self._replaced, self._current = [], {}
        await asyncio.gather(*(one.calls.close(one.implementation) for one in opened))


async def tried(
    config: Config, state_dir: Path, tiers: Mapping[str, tuple[Target, ...]]
) -> tuple[dict[str, Any], list[str]]:
    """Create every plug-in that `config` asks for, as at a start, and close it. Returns those that work, by
    the key that names them, and what is wrong with each of the others."""
    plugins, made, faults = Plugins(state_dir), dict[str, Any](), list[str]()
    try:
        for one in named(config):
            try:
                opened = plugins.open(one, tiers=tiers if one.kind == "router" else None)
                made[one.where] = opened.implementation
            except ConfigError as why:
                faults.append(str(why))
    finally:
        await plugins.aclose()
    return made, faults


def _fault(implementation: Any, kind: Kind) -> str:
    """Why the object is not what its seam requires; empty: no fault can be seen."""
    needs = NEEDS[kind]
    lacking = [name for name in needs if not callable(getattr(implementation, name, None))]
    if lacking:
        return f"it has no {' and no '.join(lacking)}"
    unfit = (
        _unfit(getattr(implementation, name), name, given, plain=kind == "provider")
        for name, given in needs.items()
    )
    return next(filter(None, unfit), "")


def _limit(wanted: Named) -> str:
    """The setting of the time limit of its calls; empty: it has none of its own."""
    match wanted.kind:
        case "router" | "retriever" | "guardrail":
            return f"{wanted.where}.timeout_s"
        case "check":
            return f"{wanted.where.rpartition('.checks.')[0]}.within_s"
        case "store":
            return "brain.timeout_s"
        case _:
            return ""


def _unfit(method: Any, name: str, given: tuple[str, ...], *, plain: bool) -> str:
    """Why `method` cannot be called as the gateway will call it; empty: no fault can be seen."""
    function = getattr(method, "__func__", method)
    if plain and (inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)):
        return f"`{name}` is async; write `def {name}`: it maps, and waits for nothing"
    if not plain and (inspect.isasyncgenfunction(method) or _is_plain(function)):
        return f"`{name}` is not async; write `async def {name}`, and `return` in it"
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):
        return ""
    by_name = {one.removesuffix("="): None for one in given if one.endswith("=")}
    in_order = [one for one in given if not one.endswith("=")]
    try:
        signature.bind(*in_order, **by_name)
    except TypeError as why:
        return f"`{name}{signature}` must take ({', '.join(given).replace('ttl_s=', '*, ttl_s')}): {why}"
    if given == ("text",) and _takes_many(next(iter(signature.parameters.values()))):
        return (
            f"`{name}{signature}` looks as if it took a list of texts; it is called for each text by itself: "
            f"write `{name}(self, text: str)`"
        )
    return ""


def _is_plain(function: Any) -> bool:
    """Whether it is certainly a synchronous function, and not a wrapper of an asynchronous one."""
    return (
        inspect.isfunction(function)
        and not inspect.iscoroutinefunction(function)
        and not hasattr(function, "__wrapped__")
        and not function.__code__.co_freevars
    )


def _takes_many(parameter: inspect.Parameter) -> bool:
    kind = parameter.annotation
    told = kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
    many = any(word in told.lower() for word in ("list", "sequence", "iterable", "tuple", "collection"))
    return parameter.name == "texts" or (many and kind is not inspect.Parameter.empty)


def _listed(entries: list[EntryPoint], *, names: bool = False) -> str:
    said = [f"{entry.name} ({_told(entry)})" if names else _told(entry) for entry in entries]
    more = [f"and {len(said) - SHOWN_MAX} more"] if len(said) > SHOWN_MAX else []
    return ", ".join([*said[:SHOWN_MAX], *more])


def _told(entry: EntryPoint) -> str:
    return f"{_distribution(entry)} {_version(entry)}".strip()


def _entries(group: str) -> list[EntryPoint]:
    """The entry points of a group.

    Raises:
        ConfigError: those of some distribution cannot be read, whatever their group.
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
    """A field of the metadata; empty if it is missing, as after an interrupted installation."""
    try:
        about = None if distribution is None else distribution.metadata
        return about[field] or "" if about is not None and field in about else ""
    except Exception:  # noqa: BLE001  # versions of Python differ in what they raise for a missing file
        return ""


def _distribution(entry: EntryPoint) -> str:
    return _name(entry.dist)


def _version(entry: EntryPoint) -> str:
    return _stated(entry.dist, "Version")
