"""Two things that `tomllib` does not do: find the line of a key, and write TOML.

Both are pure. `lines` reads text that `tomllib` has already accepted, so it validates nothing itself.
"""

import re
from decimal import Decimal
from typing import Any

Path = tuple[str | int, ...]
"""The path of a value: keys of tables and indices of arrays, outermost first."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")' r"|'''.*?'{3,5}(?!')" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'", re.DOTALL
)
_BARE = re.compile(r"[^,\]}#\n]*")
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


def lines(text: str) -> dict[Path, int]:
    """Map every table, key and array element of valid TOML to the line, from 1, that it starts on."""
    return _Lines(text).read()


class _Lines:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.found: dict[Path, int] = {}
        self.tables: dict[Path, int] = {}
        """Arrays of tables, with their number of elements so far."""

    def read(self) -> dict[Path, int]:
        table: Path = ()
        self._match(_BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._match(_BLANK)
        return self.found

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise AssertionError(f"line {self.line}: lines() is for text that tomllib accepts")
        self.at = found.end()
        self.line += found[0].count("\n")
        return found[0]

    def _header(self) -> Path:
        """`[a.b]` or `[[a.b]]`: the table of the keys below."""
        double = self.text.startswith("[[", self.at)
        self.at += 2 if double else 1
        line = self.line
        self._match(_BLANK)
        path = self._inside(self._key(), line, last=not double)
        self._match(_BLANK)
        self.at += 2 if double else 1
        if double:
            index = self.tables.get(path, 0)
            self.tables[path] = index + 1
            path = (*path, index)
        self.found.setdefault(path, line)
        return path

    def _inside(self, key: Path, line: int, *, last: bool) -> Path:
        """The full path of a header: each array of tables in it means its newest element."""
        path: Path = ()
        for position, part in enumerate(key):
            path = (*path, part)
            self.found.setdefault(path, line)
            if path in self.tables and (last or position < len(key) - 1):
                path = (*path, self.tables[path] - 1)
        return path

    def _key(self) -> Path:
        parts: list[str | int] = []
        while True:
            part = self._match(_KEY)
            parts.append(_unquote(part))
            if not _DOT.match(self.text, self.at):
                return tuple(parts)
            self._match(_DOT)

    def _pair(self, table: Path) -> None:
        line = self.line
        path = table
        for part in self._key():
            path = (*path, part)
            self.found.setdefault(path, line)
        self._match(_BLANK)
        self.at += 1  # the `=`
        self._match(_BLANK)
        self._value(path)

    def _value(self, path: Path) -> None:
        match self.text[self.at]:
            case "[":
                self._items(path, "]", self._element)
            case "{":
                self._items(path, "}", lambda here, _: self._pair(here))
            case '"' | "'":
                self._match(_STRING)
            case _:
                self._match(_BARE)

    def _element(self, path: Path, index: int) -> None:
        self.found[(*path, index)] = self.line
        self._value((*path, index))

    def _items(self, path: Path, closing: str, item: Any) -> None:
        self.at += 1
        index = 0
        self._match(_BLANK)
        while self.text[self.at] != closing:
            item(path, index)
            index += 1
            self._match(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
                self._match(_BLANK)
        self.at += 1


def _unquote(part: str) -> str:
    if part[0] == "'":
        return part[1:-1]
    if part[0] != '"':
        return part
    escapes = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}

    def plain(found: re.Match[str]) -> str:
        code = found[1]
        return escapes[code] if code in escapes else chr(int(code[1:], 16))

    return re.sub(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", plain, part[1:-1])


# -- writing ----------------------------------------------------------------------------------------


def dumps(table: dict[str, Any]) -> str:
    """Write `table` as TOML that reads back equal; a None is left out.

    Accepts what TOML has: tables, lists, strings, booleans, integers, floats and Decimals.
    """
    out: list[str] = []
    _table(out, (), table)
    return "\n".join(out).strip() + "\n"


def _table(out: list[str], path: tuple[str, ...], table: dict[str, Any]) -> None:
    """Plain values first: everything after a header belongs to that header's table."""
    later: list[tuple[str, Any]] = []
    for key, value in table.items():
        if value is None:
            continue
        if isinstance(value, dict) or _is_tables(value):
            later.append((key, value))
        else:
            out.append(f"{_name(key)} = {_literal(value)}")
    for key, value in later:
        here = (*path, key)
        dotted = ".".join(map(_name, here))
        if isinstance(value, dict):
            if not value or not all(isinstance(item, dict) for item in value.values()):
                out.extend(("", f"[{dotted}]"))
            _table(out, here, value)
            continue
        for item in value:
            out.extend(("", f"[[{dotted}]]"))
            _table(out, here, item)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _name(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) else _text(key)


def _literal(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return repr(value)
        case Decimal():
            return _decimal(value)
        case str():
            return _text(value)
        case list() | tuple():
            return "[" + ", ".join(map(_literal, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{_name(key)} = {_literal(item)}" for key, item in value.items()) + "}"
        case _:
            raise TypeError(f"TOML has no {type(value).__name__}")


def _decimal(value: Decimal) -> str:
    digits = format(value, "f")
    return digits if "." in digits else digits + ".0"


def _text(value: str) -> str:
    def escaped(char: str) -> str:
        if char in '"\\':
            return "\\" + char
        named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char)
        if named is not None:
            return named
        return char if char.isprintable() else f"\\U{ord(char):08x}"

    return '"' + "".join(map(escaped, value)) + '"'
