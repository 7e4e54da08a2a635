"""Removes secrets and the client's own text from what others wrote: providers' errors and lines of the log.

A secret is recognised by its value: whole, in part (eight consecutive characters of a longer one), masked
as providers print it (`sk-ab***wxyz`, `...wxyz`), percent-encoded, with JSON escapes, in base64 or in
hexadecimal. Clients' keys, of which only digests are stored, are recognised by these. A prompt is
recognised by comparison with the request that the text is about.
"""

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import unquote

HIDDEN = "[redacted]"
ASKED = "[prompt]"

SECRET_CHARS_MIN = 7  # what is shorter is a placeholder of a local server (`none`, `ollama`)
PARTS_FROM_CHARS = 16  # a part of a shorter secret may be any word
PART_CHARS = 8
HELD_CHARS = 16  # of a secret, in a row, that a word holds
OUR_NAME = "farthing"  # keys have it in their names, and so have our files and variables
FORMER_MAX = 500  # secrets, and keys of clients, of configurations that are gone
ISSUED_MAX = 64  # tokens and keys that expire: a day's of several providers
FORM_CHARS = 6  # by which one in base64 or hexadecimal is looked for; none is shorter
TEXT_CHARS_MAX = 65_536  # longer ones are cut: an error body has no more
DEPTH_MAX = 32  # of an object; what lies deeper is left out
SIDE_CHARS_MAX = 64  # beside a mask that are looked at
MASKS_MAX = 50  # a text with more of them says nothing else
TOKENS_MAX = 2_000  # that are compared by digest
KEY_CHARS_MAX = 256  # of a client's
EDGES_MAX = 4  # quotes and the like on either side of one, any of which may be of it

_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}  # keeps every character in its place
_MASK = re.compile(r" ?(?:\*+|\.{2,}|…+|•+|·{2,}|[xX]{3,}|#{2,}|_{3,}|\[[^\]\n]{0,40}\]|<[^>\n]{0,40}>) ?")
_OF_KEYS = re.compile(r"[A-Za-z0-9_+/=-]+")
_ESCAPED = re.compile(r"[^\s\"'<>&?;,]+")
_OF_JSON = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_WORD = re.compile(r"[!-~]{7,512}")  # a client's key may have any character of ASCII but a space
_PIECE = re.compile(r"[A-Za-z0-9_.~+-]{7,256}")
_NAMED = re.compile(r"[=:]")  # what stands before a key may be its name
_QUOTES = "\"'`<>()[]{},;.!?"
_PLACEHOLDER = re.compile(r"[a-z_-]+")  # of words: a part of it may stand in any sentence
_USERINFO = re.compile(r"://[^/\s@]{1,512}@")
_QUERY = re.compile(
    r"([?&][a-z_.-]{0,24}(?:key|token|secret|passw(?:or)?d|signature|sig|auth|credential)[a-z_.-]{0,12}=)"
    r"[^&\s\"'<>#]+",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(r"\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)

Span = tuple[int, int]


class Redactor:
    """Knows the secrets of one process. `text` and the other readers may be called in any thread; `learn` on
    the event loop only."""

    def __init__(self, secrets: Iterable[str] = (), *, digest: Callable[[str], str] | None = None) -> None:
        """`digest` is the function that computed `digests`, by which clients' keys are recognised."""
        self._digest = digest
        self._digests: dict[str, None] = {}
        self._lasting: tuple[str, ...] = ()
        """Those that are configured last."""
        self._issued: dict[str, None] = {}
        """Those that were issued, and expire."""
        self._exact: tuple[str, ...] = ()
        self._whole: tuple[str, ...] = ()
        """Those that are not found by their parts. In lower case: providers print them as they like."""
        self._parts: frozenset[str] = frozenset()
        self._begins: frozenset[str] = frozenset()
        self._ends: frozenset[str] = frozenset()
        self._short_ends: frozenset[tuple[str, str]] = frozenset()
        """Both ends of one secret, of two or three characters and of two."""
        self._forms: dict[str, list[str]] = {}
        """What the secrets are in base64 and in hexadecimal, but for characters that depend on their
        neighbours; by how they begin."""
        self.learn(secrets)

    def learn(self, secrets: Iterable[str], digests: Iterable[str] = ()) -> None:
        """Replace the secrets to remove. The last `FORMER_MAX` earlier ones are still removed, since requests
        in progress may have begun with them."""
        now = dict.fromkeys(one for one in secrets if len(one) >= SECRET_CHARS_MIN)
        self._lasting = (*[one for one in self._lasting if one not in now][-FORMER_MAX:], *now)
        keys = dict.fromkeys(digests)
        former = [one for one in self._digests if one not in keys][-FORMER_MAX:]
        self._digests = {**dict.fromkeys(former), **keys}
        self._index()

    def learn_issued(self, secret: str) -> None:
        """Another secret to remove, one that expires: the last `ISSUED_MAX` of them are removed."""
        if len(secret) < SECRET_CHARS_MIN or secret in self._issued:
            return
        self._issued[secret] = None
        while len(self._issued) > ISSUED_MAX:
            del self._issued[next(iter(self._issued))]
        self._index()

    def _index(self) -> None:
        """Prepare what texts are searched by."""
        self._exact = tuple({**dict.fromkeys(self._lasting), **self._issued})
        forms: dict[str, list[str]] = {}
        for form in {form for one in self._exact for form in _forms(one)}:
            forms.setdefault(form[:FORM_CHARS], []).append(form)
        self._forms = forms
        known = {one.translate(_LOWER) for one in self._exact}
        in_parts = {one.translate(_LOWER) for one in self._exact if _has_parts(one)}
        self._whole = tuple(one for one in known if one not in in_parts or not _OF_KEYS.fullmatch(one))
        self._parts = frozenset(
            one[at : at + PART_CHARS] for one in in_parts for at in range(len(one) - PART_CHARS + 1)
        ) - {OUR_NAME}
        lengths = range(2, SIDE_CHARS_MAX + 1)
        self._begins = frozenset(one[:n] for one in known for n in lengths)
        self._ends = frozenset(one[-n:] for one in known for n in lengths)
        self._short_ends = frozenset((one[:n], one[-2:]) for one in known for n in (2, 3))

    def text(self, text: str) -> str:
        """`text` without secrets."""
        text = text[:TEXT_CHARS_MAX]
        return _without(text, self._spans(text), HIDDEN) if self._exact or self._digests else text

    def holds(self, text: str) -> bool:
        """Whether `text`, a word chosen by a client such as the name of a session, contains a secret. A short
        part of a secret does not count, since names of keys and of their uses are alike."""
        text = text[:TEXT_CHARS_MAX]
        lower = text.translate(_LOWER)
        if any(one.translate(_LOWER) in lower for one in self._exact):
            return True
        start = end = 0
        for at, to in self._partial(lower):
            start, end = (at if at > end else start), to
            if end - start >= HELD_CHARS:
                return True
        hidden = (self._masked(lower), self._encoded(text), self._of_clients(text))
        return any(next(spans, None) is not None for spans in hidden)

    def line(self, text: str) -> str:
        """As `text`, and without anything that looks like a secret of somebody else: credentials in URLs and
        in headers. For the log; a client is told what its provider said."""
        text = self.text(text)
        if "://" in text:
            text = _USERINFO.sub(f"://{HIDDEN}@", text)
        if "=" in text:
            text = _QUERY.sub(rf"\g<1>{HIDDEN}", text)
        return _AUTHORIZATION.sub(rf"\g<1>\g<2>{HIDDEN}", text)

    def value(self, value: Any, depth: int = 0) -> Any:
        """A JSON value without secrets, in the names of its fields too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict | list) and depth >= DEPTH_MAX:
            return None
        if isinstance(value, dict):
            return {self.text(name): self.value(inner, depth + 1) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner, depth + 1) for inner in value]
        return value

    def _spans(self, text: str) -> Iterator[Span]:
        lower = text.translate(_LOWER)
        yield from self._wholes(lower)
        yield from self._partial(lower)
        yield from self._masked(lower)
        yield from self._encoded(text)
        yield from self._of_clients(text)

    def _wholes(self, lower: str) -> Iterator[Span]:
        for secret in self._whole:
            at = lower.find(secret)
            while at >= 0:
                yield at, at + len(secret)
                at = lower.find(secret, at + 1)

    def _partial(self, lower: str) -> Iterator[Span]:
        parts = self._parts
        if not parts:
            return
        for token in _OF_KEYS.finditer(lower):
            for at in range(token.start(), token.end() - PART_CHARS + 1):
                if lower[at : at + PART_CHARS] in parts:
                    yield at, at + PART_CHARS

    def _masked(self, lower: str) -> Iterator[Span]:
        for count, mask in enumerate(_MASK.finditer(lower)):
            if count >= MASKS_MAX:
                yield 0, len(lower)
                return
            left = _ending(lower[max(0, mask.start() - SIDE_CHARS_MAX) : mask.start()])
            found = _OF_KEYS.match(lower, mask.end(), mask.end() + SIDE_CHARS_MAX)
            right = "" if found is None else found[0]
            begun = next((n for n in range(len(left), 1, -1) if left[-n:] in self._begins), 0)
            ended = next((n for n in range(len(right), 1, -1) if right[:n] in self._ends), 0)
            if begun >= 4 or ended >= 3 or (left[-begun:], right[:ended]) in self._short_ends:
                start, end = mask.start(), mask.end()
                yield (
                    start - begun if begun else start + mask[0].startswith(" "),
                    end + ended if ended else end - mask[0].endswith(" "),
                )

    def _encoded(self, text: str) -> Iterator[Span]:
        if "%" in text:
            for token in _ESCAPED.finditer(text):
                if "%" in token[0] and self._shows(unquote(token[0], "latin-1")):
                    yield token.span()
        if "\\" in text:
            for token in _ESCAPED.finditer(text):
                if "\\" in token[0] and self._shows(_OF_JSON.sub(_plain, token[0])):
                    yield token.span()
        if not self._forms:
            return
        for token in _OF_KEYS.finditer(text):
            if any(
                text.startswith(form, at, token.end())
                for at in range(token.start(), token.end() - FORM_CHARS + 1)
                for form in self._forms.get(text[at : at + FORM_CHARS], ())
            ):
                yield token.span()

    def _shows(self, decoded: str) -> bool:
        """Whether a secret, or a part of one, is visible in plain text."""
        lower = decoded.translate(_LOWER)
        return next(self._wholes(lower), None) is not None or next(self._partial(lower), None) is not None

    def _of_clients(self, text: str) -> Iterator[Span]:
        if self._digest is None or not self._digests:
            return
        for count, token in enumerate(_WORD.finditer(text)):
            if count >= TOKENS_MAX:
                yield token.start(), len(text)
                return
            for start, end in _maybe_keys(text, *token.span()):
                if self._digest(text[start:end]) in self._digests:
                    yield start, end


NO_SECRETS = Redactor()


def _plain(found: re.Match[str]) -> str:
    """The character that an escape of JSON stands for: writers may escape any, and often do `/` and `=`."""
    return chr(int(found[1], 16)) if found[1] else str(found[2])


def basic(user: str, password: str) -> str:
    """What stands for both in a header."""
    return b64encode(f"{user}:{password}".encode()).decode()


def _has_parts(secret: str) -> bool:
    """Whether a part of it tells it."""
    return len(secret) >= PARTS_FROM_CHARS and not _PLACEHOLDER.fullmatch(secret)


def _ending(text: str) -> str:
    """The characters at the end of `text` that may be of a key."""
    at = len(text)
    while at and _OF_KEYS.match(text[at - 1]):
        at -= 1
    return text[at:]


def _maybe_keys(text: str, start: int, end: int) -> Iterator[Span]:
    """What of a word may be a key: all of it, without some of the quotes around it, what follows its name,
    and each piece of letters, digits and the few signs that most keys have."""
    spans = {(start, end)}
    spans.update(
        (one.start(), one.start() + len(one[0].rstrip("."))) for one in _PIECE.finditer(text, start, end)
    )
    named = _NAMED.search(text, start, end)
    for begin in (start,) if named is None else (start, named.end()):
        word = text[begin:end]
        before = min(len(word) - len(word.lstrip(_QUOTES)), EDGES_MAX)
        after = min(len(word) - len(word.rstrip(_QUOTES)), EDGES_MAX)
        spans.update((begin + left, end - right) for left in range(before + 1) for right in range(after + 1))
    for begin, stop in spans:
        if SECRET_CHARS_MIN <= stop - begin <= KEY_CHARS_MAX:
            yield begin, stop


def _forms(secret: str) -> Iterator[str]:
    """A secret as it appears in base64, at any position in the encoded text, and in hexadecimal."""
    raw = secret.encode()
    for before in range(3):
        padded = b"\0" * before + raw
        end = len(padded) // 3 * 4  # what follows depends on the next bytes
        start = -(-before * 8 // 6)
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(padded).decode()[start:end]
    yield raw.hex()
    yield raw.hex().upper()


def _without(text: str, spans: Iterable[Span], instead: str) -> str:
    """`text` with each span replaced by `instead`; adjacent spans are merged."""
    out: list[str] = []
    at = 0
    for start, end in sorted(spans):
        if start > at or not out:
            out.append(text[at:start])
            out.append(instead)
        at = max(at, end)
    return "".join((*out, text[at:])) if out else text


# -- what was asked ----------------------------------------------------------------------------------

ASKED_CHARS_MAX = 65_536  # of a request; of a longer one no words of its errors are kept
RUN_CHARS = 10  # letters of the request in a row
RUN_CHARS_ODD = 6  # where a digit or a character beyond ASCII is among them
WORD_CHARS_MIN = 3  # of what stands in quotes
SHORT_CHARS_MIN = 4  # of a text that is shorter than a run, and all of it is there
DATA_CHARS = 4_096  # of an image or a file in the request, at either end
ESCAPE_CHARS = 6  # as in \\u00e9
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[nrt])")
_NOT_WORDS = re.compile(r"[\W_]+")
_QUOTED = re.compile(r"'([^']{1,400})'|\"([^\"]{1,400})\"|`([^`]{1,400})`|“([^”]{1,400})”|«([^»]{1,400})»")
_NAMES = frozenset({"role", "type", "model"})
"""Fields whose values are words of the interface."""
_FIELDS = frozenset(
    {
        "additionalProperties", "annotations", "arguments", "content", "data", "description", "detail",
        "enum", "file", "file_data", "filename", "format", "function", "function_call", "id", "image_url",
        "include_usage", "input_audio", "items", "json_schema", "name", "parameters", "properties", "refusal",
        "required", "role", "schema", "strict", "text", "title", "tool_call_id", "tool_calls", "type", "url",
    }
)  # fmt: skip
"""Names of parts of a request that are words of the interface themselves; others may be what was asked."""


_IDENTIFIER = re.compile(r"(?<![\w.])[A-Za-z]\w*(?:\.[A-Za-z]\w*)*")


def without_asked(text: str, body: Any, known: frozenset[str] = frozenset()) -> str | None:
    """`text` without what `body`, the JSON of a request, says: runs of `RUN_CHARS` letters and digits that
    stand in a value of it, of `RUN_CHARS_ODD` where one is a digit or not ASCII, whatever stands between them
    and in whichever case; short values whole; and what stands in quotes if it is in there. None: the request
    is too long to compare. Names in `known`, of fields, stay where they can be nothing else: in quotes, or
    with an underscore.
    """
    values = _values(body)
    if values is None:
        return None
    folded = [one for one in (_NOT_WORDS.sub("", value.casefold()) for value in values) if one]
    asked = "\n".join(folded)
    places, letters = [], []
    for place, char in enumerate(_ESCAPE.sub(_unescaped, text)):
        for one in char.casefold():
            if one.isalnum():
                places.append(place)
                letters.append(one)
    said = "".join(letters)
    found = [*_runs(said, asked), *_shorts(said, folded)]
    ends = [place + (ESCAPE_CHARS if text[place] == "\\" else 1) for place in places]
    spans = [(places[start], ends[end - 1]) for start, end in found]
    for quoted in _QUOTED.finditer(text):
        group = quoted.lastindex or 0
        inner = _NOT_WORDS.sub("", quoted[group].casefold())
        if len(inner) >= WORD_CHARS_MIN and inner in asked:
            spans.append(quoted.span(group))
    return _without(text, _beside(spans, _kept(text, known)) if known else spans, ASKED)


def _kept(text: str, known: frozenset[str]) -> list[Span]:
    """The spans in which `text` names a field of the interface."""
    return [
        found.span()
        for found in _IDENTIFIER.finditer(text)
        if found[0] in known and ("_" in found[0] or _in_quotes(text, *found.span()))
    ]


def _in_quotes(text: str, start: int, end: int) -> bool:
    return text[start - 1 : start] in ("'", '"', "`") and text[end : end + 1] == text[start - 1]


def _beside(spans: list[Span], kept: list[Span]) -> Iterator[Span]:
    """The parts of `spans` outside `kept`, which is sorted."""
    for start, end in spans:
        for first, last in kept:
            if first < end and last > start:
                if start < first:
                    yield start, first
                start = max(start, last)
        if start < end:
            yield start, end


def _unescaped(found: re.Match[str]) -> str:
    """What an escape of JSON stands for, as long as it."""
    return (chr(int(found[1], 16)) if found[1] else " ").ljust(len(found[0]))


def _runs(said: str, asked: str) -> Iterator[Span]:
    """The spans in which `said` repeats `asked`."""
    shorts = _shared(said, asked, RUN_CHARS_ODD)
    if not shorts:
        return
    longs = _shared(said, asked, RUN_CHARS)
    for start in range(len(said) - RUN_CHARS_ODD + 1):
        short = said[start : start + RUN_CHARS_ODD]
        if short not in shorts:
            continue
        if not short.isascii() or not short.isalpha():
            yield start, start + RUN_CHARS_ODD
        if said[start : start + RUN_CHARS] in longs:
            yield start, start + RUN_CHARS


def _shared(said: str, asked: str, chars: int) -> set[str]:
    """The runs of that many characters that occur in both texts. Each text is read once."""
    runs = {said[at : at + chars] for at in range(len(said) - chars + 1)}
    return runs.intersection(asked[at : at + chars] for at in range(len(asked) - chars + 1))


def _shorts(said: str, folded: list[str]) -> Iterator[Span]:
    for value in folded:
        if SHORT_CHARS_MIN <= len(value) < RUN_CHARS:
            at = said.find(value)
            while at >= 0:
                yield at, at + len(value)
                at = said.find(value, at + 1)


def _values(body: Any) -> list[str] | None:
    """Every string in a request; None: they are too long together."""
    found: list[str] = []
    left = ASKED_CHARS_MAX
    waiting: list[tuple[str, Any]] = [("", body)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.items()
            if value is not body:
                waiting += (("", key) for key in value if key not in _FIELDS)
            continue
        if isinstance(value, list):
            waiting += ((name, item) for item in value)
            continue
        if isinstance(value, bool | None) or name in _NAMES:
            continue
        text = str(value)
        if text.startswith("data:") or (name == "data" and len(text) > 2 * DATA_CHARS):
            text = text[:DATA_CHARS] + text[-DATA_CHARS:]
        left -= len(text) + 1
        if left < 0:
            return None
        found.append(text)
    return found
