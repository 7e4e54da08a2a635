"""Resolves aliases: an alias may refer to another."""

import unicodedata
from collections.abc import Container, Iterator, Mapping

from farthing.errors import ConfigError

AUTO = "auto"
ENDPOINT_PREFIX = "farthing/"
MODEL_CHARS_MAX = 512
"""The longest model name that a client may send: local servers name models by their file paths."""


def meaning_of(name: str, aliases: Mapping[str, str]) -> str:
    """The meaning of `name` after following every alias; `name` itself if it is not an alias.

    Raises:
        ConfigError: the aliases form a circle.
    """
    way = [name]
    while (goal := aliases.get(way[-1])) is not None:
        if goal in way:
            raise ConfigError(f"leads in a circle: {' -> '.join([*way, goal])}")
        way.append(goal)
    return way[-1]


def meanings(aliases: Mapping[str, str]) -> dict[str, str]:
    """Every alias with its final meaning.

    Raises:
        ConfigError: see `meaning_of`.
    """
    return {name: meaning_of(name, aliases) for name in aliases}


def alias_faults(name: str, aliases: Mapping[str, str], endpoints: Container[str]) -> Iterator[str]:
    """What is wrong with an alias, apart from its target."""
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
        yield 'a name that begins with "farthing/" can only mean an endpoint'


def fault_of_name(name: str) -> str:
    """Why `name` cannot be a model's, in words; empty if it can."""
    if not name.strip():
        return "is empty"
    if len(name) > MODEL_CHARS_MAX:
        return f"has {len(name)} characters; a name has at most {MODEL_CHARS_MAX}"
    if name != name.strip(" "):
        return f'has white space around it; write "{name.strip()}"'
    odd = "" if name.isprintable() else next(filter(_unseen, name), "")
    return (
        f"contains the character U+{ord(odd):04X}, which is not allowed in a name; remove it" if odd else ""
    )


def _unseen(char: str) -> bool:
    """Whether a character is a control or format character, or white space other than the space."""
    return unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Zs") and char != " "
