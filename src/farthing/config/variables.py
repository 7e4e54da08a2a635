"""Warnings about `FARTHING…` variables that are not read, or that create a table that nobody wrote."""

import difflib
import re
import types
from collections.abc import Iterator, Mapping
from typing import Any, Union, get_args, get_origin

import msgspec

from farthing.config import renamed
from farthing.config.settings.gateway import Config
from farthing.config.strict import nearest, parsed, quoted

PREFIX = "FARTHING__"
CONFIG_VARIABLE = "FARTHING_CONFIG"
SHOWN_MAX = 10
_COMPARED_MAX = 100  # characters of a variable's name
_OF_AN_ORCHESTRATOR = re.compile(
    r"FARTHING(_[A-Z0-9_]+)?_(SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)"
)
"""Variables that Kubernetes and Docker set in every container for a service named `farthing`."""


def unread(env: Mapping[str, str]) -> Iterator[str]:
    """Variables that look like ours but are not, each with the name that is probably meant; at most
    `SHOWN_MAX`."""
    names = sorted(name for name, value in env.items() if _looks_ours(name, value))
    if not names:
        return
    known = {_squashed(name): name for name in _known(Config, ())}
    for name in names[:SHOWN_MAX]:
        yield f"{name} is not read: {_meant(name, known)}"
    if len(names) > SHOWN_MAX:
        yield f"and {len(names) - SHOWN_MAX} more variables that begin with FARTHING_ are not read"


def making(table: Mapping[str, Any], env: Mapping[str, str]) -> Iterator[str]:
    """Variables that create a named entry which `table`, the file as written, does not have. At most
    `SHOWN_MAX`."""
    fields = msgspec.structs.fields(Config)
    kinds = {f.name for f in fields if get_origin(f.type) is dict and _tables(get_args(f.type)[1])}
    made: dict[tuple[str, str], list[str]] = {}
    for variable in sorted(name for name in env if name.startswith(PREFIX)):
        kind, *rest = parts_of(variable)
        there = table.get(kind, {})
        if kind not in kinds or not rest or not isinstance(there, Mapping):
            continue
        if rest[0] not in (name.lower().replace("-", "_") for name in there):
            made.setdefault((kind, rest[0]), []).append(variable)
    for (kind, name), variables in list(made.items())[:SHOWN_MAX]:
        more = f" and {len(variables) - 1} more" if len(variables) > 1 else ""
        makes = "make" if more else "makes"
        there = [str(one) for one in table.get(kind, {})]
        hint = nearest(name, there) or (
            f"; there is {', '.join(map(quoted, there[:SHOWN_MAX]))}" if there else ""
        )
        yield f"{variables[0]}{more} {makes} {kind}.{name}, which the file does not have{hint}"


def old_names(env: Mapping[str, str]) -> Iterator[str]:
    """Variables that use a key's name of the last release, each with its present name."""
    for variable in sorted(name for name in env if name.startswith(PREFIX)):
        parts = parts_of(variable)
        now = renamed.current(parts)
        if now != parts:
            name = PREFIX + "__".join(now).upper()
            yield f"{variable} is called {name} now; the next release reads only that name"
        table = parsed(env[variable]) if renamed.holds_old(now) else None
        if isinstance(table, dict):
            yield from (f"{variable}: {one.told()}" for one in renamed.within(tuple(now), table)[1])


def parts_of(variable: str) -> list[str]:
    """The names of the tables and the key in a `FARTHING__…` variable, in lower case."""
    return variable.removeprefix(PREFIX).lower().split("__")


def _looks_ours(name: str, value: str) -> bool:
    if name.startswith(PREFIX) or name == CONFIG_VARIABLE or not name.upper().startswith("FARTHING_"):
        return False
    linked = name == "FARTHING_PORT" and "://" in value
    return not linked and _OF_AN_ORCHESTRATOR.fullmatch(name) is None


def _meant(name: str, known: Mapping[str, str]) -> str:
    """The fix: two underscores, capitals, or the nearest name."""
    asked = _squashed(name)
    if asked.startswith("CONFIG"):
        return f"did you mean {CONFIG_VARIABLE}?"
    ends = [one for one in known if one.endswith(asked)]  # FARTHING_PORT
    near = [asked] if asked in known else ends if len(ends) == 1 else _near(asked, known)
    if "SERVER" + asked in known and not near:
        near = ["SERVER" + asked]
    if near:
        return f"did you mean {known[near[0]]}?"
    return f"variables that are read have two underscores between their parts, as {PREFIX}SERVER__PORT"


def _near(asked: str, known: Mapping[str, str]) -> list[str]:
    return difflib.get_close_matches(asked[:_COMPARED_MAX], known, 1, 0.8)


def _squashed(name: str) -> str:
    return name.upper().removeprefix("FARTHING").replace("_", "")


def _known(kind: Any, path: tuple[str, ...]) -> Iterator[str]:
    """The variables of all keys, except those below names that the file chooses."""
    for field in msgspec.structs.fields(kind):
        here = (*path, field.name)
        tables = _tables(field.type)
        for one in tables:
            yield from _known(one, here)
        if not tables and get_origin(field.type) is not dict:
            yield PREFIX + "__".join(here).upper()


def _tables(kind: Any) -> list[type[msgspec.Struct]]:
    """The tables that a value of `kind` may be."""
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    return [one for one in kinds if isinstance(one, type) and issubclass(one, msgspec.Struct)]
