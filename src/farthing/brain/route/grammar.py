"""The syntax of `when`: text -> tokens -> a tree with checked names and types, and back to text.

The language is described in `expression`.
"""

import difflib
from decimal import Decimal
from typing import Literal, NoReturn

from msgspec import Struct

from farthing.errors import ConfigError

CHARS_MAX = 4_096  # rules are for people to read
DEPTH_MAX = 32

Type = Literal["string", "number", "boolean"]

# Every name and its type. `expression` says how each is evaluated.
TYPES: dict[str, Type] = {
    "task": "string",
    "complexity": "number",
    "risk": "string",
    "domain": "string",
    "language": "string",
    "input_tokens": "number",
    "retrieval": "boolean",
    "context_tokens": "number",
    "tenant.name": "string",
    "tenant.plan": "string",
    "endpoint": "string",
    "model": "string",
    "stream": "boolean",
    "operation": "string",
    "user_text_chars": "number",
    "tools": "boolean",
}

ORDERINGS = ("<", "<=", ">", ">=")
COMPARISONS = ("==", "!=", *ORDERINGS)

# -- the tree ---------------------------------------------------------------------------------------


class Value(Struct, frozen=True):
    value: str | int | float | bool


class Values(Struct, frozen=True):
    values: tuple[str | int | float, ...]


class Name(Struct, frozen=True):
    name: str


class Compare(Struct, frozen=True):
    operator: str
    left: "Name | Value"
    right: "Name | Value | Values"


class Contains(Struct, frozen=True):
    phrase: str


class Not(Struct, frozen=True):
    operand: "Tree"


class Both(Struct, frozen=True):
    left: "Tree"
    right: "Tree"


class Either(Struct, frozen=True):
    left: "Tree"
    right: "Tree"


Tree = Name | Value | Compare | Contains | Not | Both | Either


def show(tree: Tree | Values) -> str:
    """Write a tree so that `parse` reads the same tree again."""
    match tree:
        case Name(name):
            return name
        case Value(value):
            return _show_value(value)
        case Values(values):
            return "[" + ", ".join(map(_show_value, values)) + "]"
        case Compare(symbol, left, right):
            return f"{show(left)} {symbol} {show(right)}"
        case Contains(phrase):
            return f"contains({_show_value(phrase)})"
        case Not(operand):
            return f"not ({show(operand)})"
        case Both(left, right):
            return f"({show(left)}) and ({show(right)})"
        case Either(left, right):
            return f"({show(left)}) or ({show(right)})"


def _show_value(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, float):
        digits = format(Decimal(repr(value)), "f")  # never with an exponent, which `parse` does not accept
        return digits if "." in digits else f"{digits}.0"
    return str(value)


# -- reading ----------------------------------------------------------------------------------------


class _Token(Struct, frozen=True):
    kind: Literal["name", "string", "number", "symbol", "end"]
    text: str
    column: int
    """Counted from 1."""


_SYMBOLS = ("==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", ",")
_RESERVED = frozenset({"and", "or", "not", "in", "true", "false", "contains", "text"})


def _refuse(what: str, column: int) -> NoReturn:
    raise ConfigError(f"{what} (column {column})")


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char.isspace():
            at += 1
            continue
        token, end = _token(text, at, char)
        tokens.append(token)
        at = end
    tokens.append(_Token("end", "the end", len(text) + 1))
    return tokens


def _token(text: str, at: int, char: str) -> tuple[_Token, int]:
    if char in "\"'":
        return _string(text, at, char)
    if char.isascii() and (char.isalpha() or char == "_"):
        end = _run(text, at, "_.")
        return _Token("name", text[at:end], at + 1), end
    if char.isascii() and (char.isdigit() or char == "-"):
        end = _run(text, at + 1, "_.")
        return _Token("number", text[at:end], at + 1), end
    for symbol in _SYMBOLS:
        if text.startswith(symbol, at):
            return _Token("symbol", symbol, at + 1), at + len(symbol)
    if char == "=":
        _refuse('"=" is not a comparison: write "=="', at + 1)
    if text.startswith(("&&", "||", "!"), at):
        _refuse(f'"{char}" is not known here: write "and", "or", "not"', at + 1)
    _refuse(f"{char!r} is not known here", at + 1)


def _run(text: str, end: int, more: str) -> int:
    while end < len(text) and text[end].isascii() and (text[end].isalnum() or text[end] in more):
        end += 1
    return end


def _string(text: str, start: int, quote: str) -> tuple[_Token, int]:
    """A quoted string; a backslash takes the next character literally."""
    parts: list[str] = []
    at = start + 1
    while at < len(text):
        char = text[at]
        if char == quote:
            return _Token("string", "".join(parts), start + 1), at + 1
        if char == "\\":
            at += 1
            char = text[at : at + 1]
        parts.append(char)
        at += 1
    _refuse("the string that begins here has no closing quote", start + 1)


def parse(text: str) -> Tree:
    """Read one condition.

    Raises:
        ConfigError: invalid syntax, an unknown name (with the nearest known one), or types that never
        match.
    """
    if len(text) > CHARS_MAX:
        raise ConfigError(f"the condition has {len(text)} characters; at most {CHARS_MAX} are allowed")
    return _Parser(_tokens(text)).condition()


class _Parser:
    """Recursive descent over tokens, no deeper than `DEPTH_MAX`."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def condition(self) -> Tree:
        if self._tokens[0].kind == "end":
            _refuse("the condition is empty", 1)
        tree = self._either()
        token = self._tokens[self._at]
        if token.kind != "end":
            _refuse(f'unexpected "{token.text}" after a complete condition', token.column)
        return tree

    def _take(self, *texts: str) -> _Token | None:
        """Move past the next token if it is one of these words or symbols."""
        token = self._tokens[self._at]
        if token.kind in ("name", "symbol") and token.text in texts:
            self._at += 1
            return token
        return None

    def _need(self, text: str, why: str) -> None:
        if self._take(text) is None:
            token = self._tokens[self._at]
            _refuse(f'"{text}" is missing {why}, before "{token.text}"', token.column)

    def _either(self) -> Tree:
        tree = self._both()
        while self._take("or"):
            tree = Either(tree, self._both())
        return tree

    def _both(self) -> Tree:
        tree = self._not()
        while self._take("and"):
            tree = Both(tree, self._not())
        return tree

    def _not(self) -> Tree:
        token = self._tokens[self._at]
        self._depth += 1
        if self._depth > DEPTH_MAX:
            _refuse(f"nested deeper than {DEPTH_MAX}", token.column)
        try:
            if self._take("not"):
                return Not(self._not())
            if self._take("("):
                tree = self._either()
                self._need(")", f"for the one opened in column {token.column}")
                return tree
            if self._take("contains"):
                return self._contains()
            return self._comparison()
        finally:
            self._depth -= 1

    def _contains(self) -> Tree:
        self._need("(", "after contains")
        if self._take("text"):
            self._need(",", 'after "text"')
        token = self._tokens[self._at]
        if token.kind != "string" or not token.text:
            _refuse("contains() needs a quoted phrase that is not empty", token.column)
        self._at += 1
        self._need(")", "after the phrase")
        return Contains(token.text)

    def _comparison(self) -> Tree:
        start = self._tokens[self._at]
        left = self._operand()
        token = self._tokens[self._at]
        symbol = self._comparison_symbol()
        if symbol is None:
            return _condition_only(left, start)
        if isinstance(left, Values):
            _refuse("a list is only allowed on the right of in", start.column)
        right_token = self._tokens[self._at]
        right = self._operand()
        _check(symbol, left, right, token, right_token)
        further = self._tokens[self._at]
        if self._comparison_symbol() is not None:
            _refuse('comparisons do not chain: join two with "and"', further.column)
        return Compare(symbol, left, right)

    def _comparison_symbol(self) -> str | None:
        token = self._take("in", *COMPARISONS)
        if token is not None:
            return token.text
        if self._take("not"):
            self._need("in", 'after "not"')
            return "not in"
        return None

    def _operand(self) -> Name | Value | Values:
        token = self._tokens[self._at]
        self._at += token.kind != "end"
        if token.kind == "string":
            return Value(token.text)
        if token.kind == "number":
            return Value(_number(token))
        if token.text in ("true", "false"):
            return Value(token.text == "true")
        if token.kind == "name":
            return _name(token)
        if token.text == "[":
            return self._list(token)
        _refuse(f'a name, a string, a number or a list is missing before "{token.text}"', token.column)

    def _list(self, opening: _Token) -> Values:
        values: list[str | int | float] = []
        while not self._take("]"):
            token = self._tokens[self._at]
            operand = self._operand()
            if not isinstance(operand, Value) or isinstance(operand.value, bool):
                _refuse("a list holds strings or numbers", token.column)
            if values and isinstance(values[0], str) != isinstance(operand.value, str):
                _refuse("a list holds strings or numbers, not both", token.column)
            values.append(operand.value)
            if not self._take(","):
                self._need("]", f"for the list opened in column {opening.column}")
                break
        if not values:
            _refuse("an empty list contains nothing", opening.column)
        return Values(tuple(values))


def _number(token: _Token) -> int | float:
    digits = token.text.removeprefix("-")
    if digits.isdigit():
        return int(token.text)
    whole, _, fraction = digits.partition(".")
    if whole.isdigit() and fraction.isdigit():
        return float(token.text)
    _refuse(f'"{token.text}" is not a number', token.column)


def _name(token: _Token) -> Name:
    if token.text in TYPES:
        return Name(token.text)
    if token.text in _RESERVED:
        _refuse(f'"{token.text}" is not allowed here', token.column)
    nearest = difflib.get_close_matches(token.text, TYPES, 1)
    hint = f'did you mean "{nearest[0]}"?' if nearest else "known names: " + ", ".join(TYPES)
    _refuse(f'there is no "{token.text}": {hint}', token.column)


# -- types ------------------------------------------------------------------------------------------


def _type(operand: Name | Value | Values) -> Type:
    if isinstance(operand, Name):
        return TYPES[operand.name]
    value = operand.value if isinstance(operand, Value) else operand.values[0]
    if isinstance(value, bool):
        return "boolean"
    return "string" if isinstance(value, str) else "number"


def _condition_only(operand: Name | Value | Values, token: _Token) -> Name | Value:
    if isinstance(operand, Values) or _type(operand) != "boolean":
        _refuse(f'"{token.text}" is not a condition by itself: compare it with something', token.column)
    return operand


def _check(
    symbol: str, left: Name | Value, right: Name | Value | Values, at: _Token, right_at: _Token
) -> None:
    if isinstance(left, Value) and not isinstance(right, Name):
        _refuse("this compares two constants", at.column)
    is_list = isinstance(right, Values)
    if is_list != (symbol in ("in", "not in")):
        _refuse(f'"{symbol}" needs a {"single value" if is_list else "list"} on its right', right_at.column)
    left_type, right_type = _type(left), _type(right)
    if left_type != right_type:
        _refuse(f"a {left_type} is compared with a {right_type}", at.column)
    if symbol in ORDERINGS and left_type != "number":
        _refuse(f'"{symbol}" compares numbers, but this is a {left_type}', at.column)
