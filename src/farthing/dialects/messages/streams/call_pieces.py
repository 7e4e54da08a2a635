"""The arguments of one call, streamed as pieces of the JSON object that Messages wants.

What looks like an object goes on as it comes. Three things that models and servers do are mended on the way,
since clients parse what they have after each piece: an empty object in front of the real one, line breaks
inside strings, and text behind the object, which goes under `INVALID_JSON`. What does not begin as an object,
and the free text of a custom call, is told whole at the end. Arguments that are cut stay cut: a call that was
never finished must not look as if it were.
"""

import re

import msgspec

from farthing.dialects.messages.answers.answer_writer import call_input
from farthing.text.lenient_json import write_json

HEAD_CHARS_MAX = 1_000  # of what begins as nothing yet
LARGE_CHARS = 1_000
_decode = msgspec.json.Decoder().decode
_BLANK_START = re.compile(r"\s*(?:\{\s*\}\s*)*")
_OBJECT_START = re.compile(r'\{\s*"')
_ODD = re.compile(r'[\x00-\x1f"\\\[\]{}]')


class CallPieces:
    """Feed it the arguments as they come; it returns what is to be told of them now."""

    __slots__ = ("_custom", "_depth", "_empty", "_escaped", "_flows", "_in_string", "_kept")

    def __init__(self, custom: bool) -> None:
        self._custom = custom
        self._flows = False
        """They are an object, of which something was told."""
        self._kept: list[str] = []
        """What was not told: what they begin with, all of them, or what comes behind the object."""
        self._depth = 0
        """Objects and lists that are open; 0, where something was told: all is but the last bracket."""
        self._in_string = False
        self._escaped = False
        """The last piece ended in a backslash within a string."""
        self._empty = True
        """They have not begun, as far as can be told."""

    @property
    def holds(self) -> bool:
        """Whether some of what came has not been told."""
        return bool(self._kept)

    def feed(self, text: str) -> str:
        """What is to be told after `text` has come."""
        if self._flows:
            if self._depth == 0:
                self._kept.append(text)
                return ""
            return self._pass(text)
        self._kept.append(text)
        return self._begin() if self._empty and not self._custom else ""

    def end(self) -> str:
        """What is to be told when nothing more comes."""
        rest = "".join(self._kept)
        self._kept.clear()
        if not self._flows:
            cut = self._empty and not self._custom
            return rest.strip() if cut else write_json(call_input(rest, self._custom)).decode()
        if self._depth:
            return ""
        return f',"INVALID_JSON":{write_json(rest).decode()}}}' if rest.strip() else "}"

    def _begin(self) -> str:
        """Find out what they are, if enough of them is there."""
        head = "".join(self._kept)
        self._kept = [head]
        blank = _BLANK_START.match(head)
        rest = head[blank.end() :] if blank is not None else head
        if _OBJECT_START.match(rest):
            self._flows = True
            self._empty = False
            self._kept = []
            return self._all(rest) if len(rest) > LARGE_CHARS else self._pass(rest)
        self._empty = (not rest or (rest[0] == "{" and not rest[1:].strip())) and len(head) < HEAD_CHARS_MAX
        return ""

    def _all(self, text: str) -> str:
        """As `_pass`, of a long text with which the arguments begin: many servers send them in one piece, and
        the parser is far quicker to say that they are one object."""
        try:
            _decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return self._pass(text)
        end = text.rindex("}")
        self._kept.append(text[end + 1 :])
        return text[:end]

    def _pass(self, text: str) -> str:
        """`text`, as a part of the object, but for the bracket that closes it and what comes behind."""
        if not text or (not self._escaped and _ODD.search(text) is None):
            return text
        told: list[str] = []
        start = 0
        skip = 1 if self._escaped else 0
        self._escaped = False
        for found in _ODD.finditer(text, skip):
            at = found.start()
            if at < skip:
                continue
            char = text[at]
            if self._in_string:
                if char == '"':
                    self._in_string = False
                elif char == "\\":
                    skip = at + 2
                    self._escaped = skip > len(text)
                elif char < " ":
                    told += (text[start:at], write_json(char).decode()[1:-1])
                    start = at + 1
            elif char == '"':
                self._in_string = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self._kept.append(text[at + 1 :])
                    return "".join([*told, text[start:at]])
        return "".join([*told, text[start:]])
