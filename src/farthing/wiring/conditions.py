"""Finds values in rule conditions that no request can have, so that the rule applies never or always."""

import re
from collections.abc import Iterator
from difflib import get_close_matches

from farthing.brain.classify.rules import RISKY_DOMAINS, task_of
from farthing.brain.classify.words import DOMAIN_WORDS, TASK_SYNONYMS
from farthing.brain.route.expression import Expression
from farthing.brain.route.grammar import Both, Compare, Either, Name, Not, Tree, Value, Values
from farthing.config import DEFAULT_RULES, Config
from farthing.dialects.passing.operations import PASSING

KNOWN_SHOWN_MAX = 20
_LANGUAGE = re.compile(r"[a-z]{2,3}")


def unknown_words(config: Config) -> tuple[str, ...]:
    """One line for each impossible value in a condition of `config`, beginning with its key and ending with
    the fix. The conditions must have been accepted by `loads`."""
    known = _known(config)
    return tuple(
        f"{where}: {_said(name, word, known.get(name, frozenset()))}"
        for where, text in _conditions(config)
        for name, word in _compared(Expression(text).tree)
        if word not in known.get(name, (word,)) or (name == "language" and not _is_language(word))
    )


def _conditions(config: Config) -> Iterator[tuple[str, str]]:
    rules = [(f"route.rules[{index}].when", rule.when) for index, rule in enumerate(config.route.rules)]
    answers = [(f"answers[{index}].when", answer.when) for index, answer in enumerate(config.answers)]
    if config.route.rules != DEFAULT_RULES:
        yield from rules
    for where, when in answers:
        if when is not None:
            yield where, when


def _known(config: Config) -> dict[str, frozenset[str]]:
    """The values that a name can have, if they are known. A tenant without keys, and a model, may have any
    name."""
    tasks = {task_of(endpoint.task) for endpoint in config.endpoints.values() if endpoint.task}
    known: dict[str, set[str]] = {
        "task": {*TASK_SYNONYMS.values(), "unknown", *tasks},
        "domain": {*DOMAIN_WORDS, "unknown"},
        "risk": {*RISKY_DOMAINS, "personal", "side_effects", "low", "unknown"},
        "operation": {"chat", "embeddings", *map(str, PASSING)},
        "endpoint": {*config.endpoints, "default"},
    }
    if config.keys:
        known["tenant.name"] = {key.tenant for key in config.keys}
        known["tenant.plan"] = {key.plan for key in config.keys}
    return {name: frozenset(words) for name, words in known.items()}


def _compared(tree: Tree) -> Iterator[tuple[str, str]]:
    """Every name that a condition compares with a text, and the text."""
    match tree:
        case Compare(_, Name(name), Values(words)):
            yield from ((name, word) for word in words if isinstance(word, str))
        case Compare(_, Name(name), Value(str() as word)) | Compare(_, Value(str() as word), Name(name)):
            yield name, word
        case Not(operand):
            yield from _compared(operand)
        case Both(left, right) | Either(left, right):
            yield from _compared(left)
            yield from _compared(right)
        case _:
            return


def _is_language(word: str) -> bool:
    return word == "unknown" or _LANGUAGE.fullmatch(word) is not None


def _said(name: str, word: str, known: frozenset[str]) -> str:
    if name == "language":
        return f'no request has the language "{word}"; write an ISO 639-1 code such as "en", or "unknown"'
    near = [task_of(word)] if name == "task" and task_of(word) in known else []
    near = near or get_close_matches(word, sorted(known), 1, 0.5)
    listed = ", ".join(f'"{one}"' for one in sorted(known)[:KNOWN_SHOWN_MAX])
    return f'no request has the {name} "{word}"; ' + (f'write "{near[0]}"' if near else f"known: {listed}")
