"""What an alias stands for in the end: an alias may stand for another."""

import unicodedata
from collections.abc import Container, Iterator, Mapping

from farthing.errors import ConfigError

AUTO = "auto"
ENDPOINT_PREFIX = "farthing/"
MODEL_CHARS_MAX = 512
"""Longest name of a model that a client may send: local servers name models by the paths of their files."""


def meaning_of(name: str, aliases: Mapping[str, str]) -> str:
    """What `name` comes to when every alias on the way is followed; `name` itself when it is no alias.

    Raises:
        ConfigError: the aliases lead back to where they were.
    """
    way = [name]
    while (goal := aliases.get(way[-1])) is not None:
        if goal in way:
            raise ConfigError(f"leads in a circle: {' -> '.join([*way, goal])}")
        way.append(goal)
    return way[-1]


def meanings(aliases: Mapping[str, str]) -> dict[str, str]:
    """Every alias with what it comes to.

    Raises:
        ConfigError: as `meaning_of`.
    """
    return {name: meaning_of(name, aliases) for name in aliases}


def alias_faults(name: str, aliases: Mapping[str, str], endpoints: Container[str]) -> Iterator[str]:
    """What is wrong with an alias, but for what it stands for itself."""
    fault = fault_of_name(name)
    if fault:
        yield f"the name {fault}"
    elif name == AUTO:
        yield '"auto" leaves the choice to the rules; set route.default, or choose another name'
    of_endpoint = name.startswith(ENDPOINT_PREFIX)
    if of_endpoint and name[len(ENDPOINT_PREFIX) :] in endpoints:
        yield "the name of an endpoint, which the alias would hide; choose another"
    try:
        meaning = meaning_of(name, aliases)
    except ConfigError as why:
        yield str(why)
        return
    if of_endpoint and not meaning.startswith(ENDPOINT_PREFIX):
        yield 'a name that begins with "farthing/" can only stand for an endpoint'


def fault_of_name(name: str) -> str:
    """Why `name` can be no model's, in words; empty when it can."""
    if not name.strip():
        return "is empty"
    if len(name) > MODEL_CHARS_MAX:
        return f"has {len(name)} characters; a name has at most {MODEL_CHARS_MAX}"
    if name != name.strip(" "):
        return f'has white space around it; write "{name.strip()}"'
    odd = "" if name.isprintable() else next(filter(_unseen, name), "")
    return f"holds the character U+{ord(odd):04X}, which is no part of a name; remove it" if odd else ""


def _unseen(char: str) -> bool:
    """Whether a character is a control, a mark of format or another white space than the space."""
    return unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Zs") and char != " "
