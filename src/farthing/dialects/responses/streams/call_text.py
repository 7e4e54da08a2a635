"""What a call is called with, as it comes: the arguments of a function, or the text of a custom tool.

For a custom tool the model writes the JSON of an object of one string; its text is raised out of it while it
comes, wherever a piece ends: in the name, in an escape, between the halves of a character. What is no such
object waits for its end.
"""

import re
from typing import Protocol

from farthing.dialects.responses.tools import INPUT, ClientTool, free_text
from farthing.text.lenient_json import repaired

HEAD_CHARS_MAX = 1_000  # of what has not begun as anything
_START = re.compile(rf'\s*\{{\s*"{INPUT}"\s*:\s*"')
_STOP = re.compile(r'["\\]')
_HEX = re.compile(r"[0-9a-fA-F]{4}")
_LOW = re.compile(r"\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\", "/": "/"}
_EMPTY = re.compile(r"\s*(?:\{\s*(?:\}\s*)?)?\Z")
_EMPTY_FIRST = re.compile(r"\s*\{\s*\}\s*(?=\{)")


class CallText(Protocol):
    """Feed it what the model writes; it returns what of it is to be told."""

    def feed(self, text: str) -> str:
        """What is to be told after `text` has come."""

    def end(self) -> str:
        """What is to be told when nothing more comes."""


def call_text(tool: ClientTool, *, raw: bool) -> CallText:
    """For a call of `tool`. `raw`: what the model writes is the text itself."""
    if tool.kind == "function":
        return Arguments()
    return Verbatim() if raw else Raised()


class Verbatim:
    """The text of a custom tool that its provider knows as one."""

    __slots__ = ()

    def feed(self, text: str) -> str:
        return text

    def end(self) -> str:
        return ""


class Arguments:
    """Those of a function, as they come; none are an empty object. An empty object before the real one, with
    which some servers begin, is left out."""

    __slots__ = ("_head",)

    def __init__(self) -> None:
        self._head: str | None = ""
        """What may be no more than an empty object; None: something was told."""

    def feed(self, text: str) -> str:
        if self._head is None:
            return text
        head = self._head + text
        if len(head) < HEAD_CHARS_MAX and _EMPTY.match(head):
            self._head = head
            return ""
        self._head = None
        return _EMPTY_FIRST.sub("", head, count=1)

    def end(self) -> str:
        head, self._head = self._head, None
        return "" if head is None else head.strip() or "{}"


class Raised:
    """The text in the arguments of the function that stands for a custom tool."""

    __slots__ = ("_kept", "_rest", "_state")

    def __init__(self) -> None:
        self._state = "head"
        """`head`: nothing is known yet; `text`: within the string; `over`: behind it; `other`: they are no
        such object."""
        self._rest = ""
        """What they begin with, or an escape that is not whole."""
        self._kept: list[str] = []
        """All of them, where they are no such object."""

    def feed(self, text: str) -> str:
        if self._state == "text":
            return self._text(self._rest + text)
        if self._state == "head":
            return self._begin(self._rest + text)
        if self._state == "other":
            self._kept.append(text)
        return ""

    def end(self) -> str:
        if self._state in ("head", "other"):
            return free_text("".join([*self._kept, self._rest]))
        return self._rest if self._state == "text" else ""  # an escape that was cut stays as it was written

    def _begin(self, head: str) -> str:
        found = _START.match(head)
        if found is not None:
            self._state = "text"
            return self._text(head[found.end() :])
        if len(head) > HEAD_CHARS_MAX:
            self._state = "other"
            self._kept.append(head)
            head = ""
        self._rest = head
        return ""

    def _text(self, text: str) -> str:
        """`text`, which is of the string, without its escapes."""
        self._rest = ""
        told: list[str] = []
        at = 0
        while (found := _STOP.search(text, at)) is not None:
            stop = found.start()
            told.append(text[at:stop])
            if text[stop] == '"':
                self._state = "over"
                return "".join(told)
            end = _escape_end(text, stop)
            if not end:
                self._rest = text[stop:]
                return "".join(told)
            told.append(_unescaped(text[stop:end]))
            at = end
        told.append(text[at:])
        return "".join(told)


def _escape_end(text: str, at: int) -> int:
    """Where the escape at `at` ends, with the other half of its character where it is half of one; 0: it is
    not all there."""
    if text[at + 1 : at + 2] != "u":
        return at + 2 if len(text) > at + 1 else 0
    if len(text) < at + 6:
        return 0
    code = text[at + 2 : at + 6]
    if _HEX.fullmatch(code) is None:
        return at + 2
    if not 0xD800 <= int(code, 16) < 0xDC00:
        return at + 6
    after = text[at + 6 : at + 12]
    if len(after) < 6 and "\\u".startswith(after[:2]):
        return 0
    return at + 12 if _LOW.fullmatch(after) else at + 6


def _unescaped(escape: str) -> str:
    """What one escape stands for; one that JSON does not have, for itself."""
    if len(escape) == 2:
        return _ESCAPES.get(escape[1], escape)
    return repaired("".join([chr(int(code, 16)) for code in (escape[2:6], escape[8:12]) if code]))


def whole(text: str, said: CallText) -> str:
    """What is told of `text` that came in one piece."""
    return said.feed(text) + said.end()
