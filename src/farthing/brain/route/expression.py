"""The small language of `when` in rules: parsed once at start, checked for names and types, never `eval`.

    domain in ["legal", "pricing"] or (input_tokens < 128 and not retrieval)

Names are those of `grammar.TYPES`. Literals are strings in either quote, numbers, `true`, `false`, and
lists of strings or numbers. Operators, loosest first: `or`, `and`, `not`, then one comparison of two
operands with `==  !=  <  <=  >  >=  in  not in`. `contains("phrase")` looks for a phrase in the user's
text, letter case ignored, in its first `TEXT_CHARS_MAX` characters; `contains(text, "phrase")` is the same.

An expression is compiled to nested closures over `(request, traits)`: evaluation needs no lookup by name and
cannot fail.
"""

import operator
from collections.abc import Callable
from typing import Any

from farthing.brain.route.grammar import (
    Both,
    Compare,
    Contains,
    Either,
    Name,
    Not,
    Tree,
    Value,
    Values,
    parse,
)
from farthing.types import Request, Traits

TEXT_CHARS_MAX = 16_384  # of the user's text; bounds the cost of `contains`

Evaluate = Callable[[Request, Traits], Any]

_READ: dict[str, Evaluate] = {
    "task": lambda request, traits: traits.task,
    "complexity": lambda request, traits: traits.complexity,
    "risk": lambda request, traits: traits.risk,
    "domain": lambda request, traits: traits.domain,
    "language": lambda request, traits: traits.language,
    "input_tokens": lambda request, traits: traits.input_tokens,
    "retrieval": lambda request, traits: traits.retrieval,
    "context_tokens": lambda request, traits: traits.context_tokens,
    "tenant.name": lambda request, traits: request.tenant.name,
    "tenant.plan": lambda request, traits: request.tenant.plan,
    "endpoint": lambda request, traits: request.endpoint.name,
    "model": lambda request, traits: request.model,
    "stream": lambda request, traits: request.stream,
    "operation": lambda request, traits: request.operation,
    "user_text_chars": lambda request, traits: len(request.text),
    "tools": lambda request, traits: bool(request.body.get("tools")),
}

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Expression:
    """A condition over a request and its traits."""

    __slots__ = ("holds", "text", "tree")

    def __init__(self, text: str) -> None:
        """Raises:
        ConfigError: it is invalid, or could never make sense; the message names the column.
        """
        self.text = " ".join(text.split())
        self.tree = parse(text)
        self.holds: Callable[[Request, Traits], bool] = _compiled(self.tree)
        """Whether the condition is true. Never raises, never changes anything."""


def _compiled(tree: Tree) -> Evaluate:
    match tree:
        case Name(name):
            return _READ[name]
        case Value(value):
            return lambda request, traits: value
        case Compare():
            return _compiled_compare(tree)
        case Contains(phrase):
            wanted = phrase.lower()
            return lambda request, traits: wanted in request.text[:TEXT_CHARS_MAX].lower()
        case Not(operand):
            inner = _compiled(operand)
            return lambda request, traits: not inner(request, traits)
        case Both(left, right):
            first, second = _compiled(left), _compiled(right)
            return lambda request, traits: first(request, traits) and second(request, traits)
        case Either(left, right):
            first, second = _compiled(left), _compiled(right)
            return lambda request, traits: first(request, traits) or second(request, traits)


def _compiled_compare(tree: Compare) -> Evaluate:
    read = _compiled(tree.left)
    if isinstance(tree.right, Values):
        values = frozenset(tree.right.values)
        if tree.operator == "in":
            return lambda request, traits: read(request, traits) in values
        return lambda request, traits: read(request, traits) not in values
    compare = _COMPARE[tree.operator]
    if isinstance(tree.right, Value):
        value = tree.right.value
        return lambda request, traits: compare(read(request, traits), value)
    other = _compiled(tree.right)
    return lambda request, traits: compare(read(request, traits), other(request, traits))
