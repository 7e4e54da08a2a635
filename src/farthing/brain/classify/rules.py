# ruff: noqa: RUF001  (letters and signs of many scripts)
"""Classify by words and form. No model, no I/O, about 10 microseconds for a chat prompt of 1 KB
(`benchmarks/brain.py`).

Only the first `HEAD_CHARS` and the last `TAIL_CHARS` characters of the user's text are read, so the cost is
bounded for a prompt of any length. The tables are in `words`.
"""

from collections.abc import Callable
from typing import Any

from farthing.brain.classify.words import (
    SUBSTRINGS,
    TASK_SYNONYMS,
    languages_by_word,
    marks_by_word,
)
from farthing.types import UNKNOWN, Json, Request, Traits

HEAD_CHARS = 2_000
TAIL_CHARS = 500
_READ_CHARS = HEAD_CHARS + TAIL_CHARS
_EDGE_WORDS = 64  # instructions are at the start or the end; the middle is material
_TAIL_WORDS = 32
_FEW_WORDS = 24  # usually enough to recognise English
_READ_WORDS = _EDGE_WORDS + _TAIL_WORDS
_TOOLS_MAX = 32  # tools whose names are read
_TASK_WEIGHT = 3
_DOMAIN_WEIGHT = 2  # one characteristic word, or two that are so only together

_MARKS = marks_by_word()
_LANGUAGES = languages_by_word()
_MARK_OF = _MARKS.__getitem__
_MARKED = frozenset(_MARKS)
_KIND_OF = {word: mark.kind for word, mark in _MARKS.items()}.__getitem__
_WEIGHING = frozenset(word for word, mark in _MARKS.items() if mark.weight or mark.domain_weight)
_TASK_OF = {word: mark.task for word, mark in _MARKS.items() if mark.weight}
_OF_DOMAINS = frozenset(word for word, mark in _MARKS.items() if mark.domain)
_ENGLISH = frozenset(word for word, languages in _LANGUAGES.items() if languages == ("en",))

# Letters in lower case. Any ASCII character that is not a letter or digit ends a word; other bytes are parts
# of UTF-8 letters.
_SPACED = bytes(b if b >= 0x80 else ord(chr(b).lower()) if chr(b).isalnum() else 0x20 for b in range(256))
# Signs between words, by their first byte: most texts have none of these.
_GENERAL_SIGNS = tuple(c.encode() for c in "’“”„…–—")
_LATIN_SIGNS = tuple(c.encode() for c in "¿¡«»")

RISKY_DOMAINS = frozenset(["legal", "medical", "financial", "compliance"])
_VERBS_OF_EFFECT = (
    "create", "update", "delete", "send", "pay", "transfer", "write", "book", "cancel", "execute", "post",
    "remove", "buy", "refund", "deploy", "run",
)  # fmt: skip

TASK_COMPLEXITY = {
    "sentiment": 0.1,
    "tag": 0.1,
    "classify": 0.15,
    "chat": 0.15,
    "faq": 0.2,
    "translate": 0.3,
    "extract": 0.3,
    "qa": 0.35,
    "rewrite": 0.35,
    "summarise": 0.35,
    "creative": 0.5,
    "other": 0.6,
    "agent_step": 0.6,
    "code": 0.65,
    "reason": 0.7,
}


def quarter_of_chars(text: str, prompt_chars: int) -> int:
    """About four characters a token in ASCII text, about two elsewhere."""
    return prompt_chars // 4 + 1 if text.isascii() else prompt_chars // 2 + 1


class RulesClassifier:
    """Describes requests by rules. `estimate_tokens(text, prompt_chars)` estimates a prompt's tokens from the
    last user message and the total number of characters."""

    immediate = True

    def __init__(self, estimate_tokens: Callable[[str, int], int] = quarter_of_chars) -> None:
        self._estimate_tokens = estimate_tokens

    async def classify(self, request: Request) -> Traits:
        return self.describe(request)

    def describe(self, request: Request) -> Traits:
        """The traits of `request`. Pure; never raises on any text."""
        text = request.text
        if len(text) > _READ_CHARS:
            text = f"{text[:HEAD_CHARS]} {text[-TAIL_CHARS:]}"
        findings = _read(text)
        language, _, domains, kinds, _ = findings
        domain = _heaviest(domains, _DOMAIN_WEIGHT, UNKNOWN) if domains else UNKNOWN
        named = request.task_type or request.endpoint.task
        task = _task_named(request) if named else _task(findings, text, request.body)
        tokens = self._estimate_tokens(request.text, request.prompt_chars) + request.media_tokens
        complexity = TASK_COMPLEXITY.get(task, 0.6)
        if "hard" in kinds:
            complexity += 0.15
        complexity += tokens / 20_000 if tokens < 4_000 else 0.2
        if request.language is not None:
            language = _language_said(request.language, language)
        return Traits(
            task=task,
            complexity=complexity if complexity < 1.0 else 1.0,
            risk=domain if domain in RISKY_DOMAINS else _risk(kinds, request.body),
            domain=domain,
            language=language,
            input_tokens=tokens,
            media_tokens=request.media_tokens,
            retrieval=request.retrieval,
            context_tokens=request.context_tokens,
        )


_Weights = dict[str, int]
# The findings from one text's words: its language, the weights of tasks and of domains, the kinds of all
# matches concatenated (tested with `in`), and the number of words.
_Said = tuple[str, _Weights, _Weights, str, int]


def _read(text: str) -> _Said:
    """Look up every word of `text`. Each counts once, however often it occurs."""
    if text.isascii():
        script = ""
        words = text.encode().translate(_SPACED).split()
    else:
        script, words = _words_beyond_ascii(text)
    count = len(words)
    tasks: _Weights = {}
    domains: _Weights = {}
    if count > _READ_WORDS:
        for word in _OF_DOMAINS.intersection(words[_EDGE_WORDS:-_TAIL_WORDS]):
            mark = _MARKS[word]
            domains[mark.domain] = domains.get(mark.domain, 0) + mark.domain_weight
        words = words[:_EDGE_WORDS] + words[-_TAIL_WORDS:]
    marked = _MARKED.intersection(words)
    kinds = "".join(map(_KIND_OF, marked))
    marks = list(map(_MARK_OF, _WEIGHING & marked))
    if script:
        found = [mark for substring, mark in SUBSTRINGS.get(script, ()) if substring in text]
        kinds += "".join([mark.kind for mark in found])
        marks += found
    for task, weight, domain, domain_weight, _ in marks:
        if weight:
            tasks[task] = tasks.get(task, 0) + weight
        if domain_weight:
            domains[domain] = domains.get(domain, 0) + domain_weight
    if tasks and words[0] in _TASK_OF:
        tasks[_TASK_OF[words[0]]] += 2  # the first word of a request is its verb
    return script or _spoken(words), tasks, domains, kinds, count


def domain_said(text: str) -> str:
    """The domain that the words of `text` name, or `unknown`. Only the first `HEAD_CHARS` are read."""
    domains = _read(text[:HEAD_CHARS])[2]
    return _heaviest(domains, _DOMAIN_WEIGHT, UNKNOWN) if domains else UNKNOWN


def _words_beyond_ascii(text: str) -> tuple[str, list[bytes]]:
    """The script of `text`, see `_script`, and its words."""
    data = text.lower().encode("utf-8", "replace")
    script = _script(data, len(text))
    return script, without_signs(data).translate(_SPACED).split()


def without_signs(data: bytes) -> bytes:
    """Replace the signs beyond ASCII that separate words by spaces."""
    if b"\xe2\x80" in data:
        for sign in _GENERAL_SIGNS:
            data = data.replace(sign, b" ")
    if b"\xc2" in data:
        for sign in _LATIN_SIGNS:
            data = data.replace(sign, b" ")
    return data


def _heaviest(weights: _Weights, enough: int, otherwise: str) -> str:
    """The name with the most weight (on a tie, the last alphabetically); `otherwise` if it is below
    `enough`."""
    weight, name = max(zip(weights.values(), weights, strict=True))
    return name if weight >= enough else otherwise


def _risk(kinds: str, body: Json) -> str:
    """The risk of a request whose domain is harmless."""
    if "personal" in kinds:
        return "personal"
    if "effect" in kinds or ("tools" in body and _changes_something(body["tools"])):
        return "side_effects"
    return "low"


def _task(findings: _Said, text: str, body: Json) -> str:
    """The task of a request for which nobody named one."""
    if _of_agent(body):
        return "agent_step"
    _, tasks, domains, kinds, words = findings
    if _holds_code(text):
        tasks["code"] = tasks.get("code", 0) + 3
    task = _heaviest(tasks, _TASK_WEIGHT, "") if tasks else ""
    return task or _task_by_shape(text, domains, kinds, words)


def _of_agent(body: Json) -> bool:
    """Whether a tool has answered last, or just before what its user adds (agents put reminders there)."""
    try:
        messages = body["messages"]
        role = messages[-1]["role"]
        if role == "user" and len(messages) > 1:
            role = messages[-2]["role"]
    except (LookupError, TypeError):
        return False  # not a chat, or its last message has no role
    return role in ("tool", "function")


def _task_by_shape(text: str, domains: _Weights, kinds: str, words: int) -> str:
    asks = "question" in kinds
    if asks or "?" in text or "？" in text or "؟" in text:
        if words <= 40 and "support" in domains:
            return "faq"
        return "chat" if words <= 12 and not asks and "greeting" in kinds else "qa"
    return "chat" if 0 < words <= 8 or (words <= 12 and "greeting" in kinds) else "other"


def _holds_code(text: str) -> bool:
    """A single character is found several times faster than a longer pattern, so it is searched first."""
    if "`" in text and "```" in text:
        return True
    if "(" in text and ("def " in text or "();" in text):
        return True
    return "<" in text and "</" in text


def _task_named(request: Request) -> str:
    """The task that the client, or else the endpoint, named.

    An unknown task from a client becomes `other`; the operator's own names stay, so that rules can use them.
    """
    named = request.task_type
    if named:
        return TASK_SYNONYMS.get(_spaced(named), "other")
    return task_of(request.endpoint.task or "")


def task_of(word: str) -> str:
    """The task that an operator's word means: one of ours, else the word itself."""
    return TASK_SYNONYMS.get(_spaced(word), word)


def _spaced(word: str) -> str:
    return " ".join(word[:64].lower().replace("_", " ").replace("-", " ").split())


def _language_said(named: str, read: str) -> str:
    """`pt-BR` -> `pt`. Anything that is not a language code is ignored."""
    code = named[:2].lower()
    return code if code.isascii() and code.isalpha() and named[2:3] in ("", "-", "_") else read


def _changes_something(tools: Any) -> bool:
    """Whether a tool's name suggests that it changes something."""
    if tools.__class__ is not list:
        return False
    for tool in tools[:_TOOLS_MAX]:
        function = tool.get("function") if tool.__class__ is dict else None
        name = function.get("name") if function.__class__ is dict else None
        if name.__class__ is str and any(verb in name.lower() for verb in _VERBS_OF_EFFECT):
            return True
    return False


def _spoken(words: list[bytes]) -> str:
    """The language of Latin or Cyrillic words, by words that are typical of few languages.

    `unknown` unless enough words indicate it, and clearly.
    """
    if _english(words[:_FEW_WORDS]):
        return "en"  # the common case, at a twentieth of the cost of counting
    words = words[:_EDGE_WORDS]
    if len(words) > _FEW_WORDS and _english(words):
        return "en"
    scores: dict[str, float] = {}
    for languages in filter(None, map(_LANGUAGES.get, words)):
        for language in languages:
            scores[language] = scores.get(language, 0.0) + 1.0 / len(languages)
    if not scores:
        return UNKNOWN
    best = max(scores, key=scores.__getitem__)
    score = scores.pop(best)
    if score < (1.5 if len(words) > 3 else 1.0) or score * 12 < len(words):
        return UNKNOWN
    return UNKNOWN if scores and max(scores.values()) * 1.15 >= score else best


def _english(words: list[bytes]) -> bool:
    count = len(_ENGLISH.intersection(words))
    return count >= 3 and count * 6 >= len(words)


# First bytes of UTF-8 sequences that belong to one script, and the language it is, or "" when several
# languages write it. A first byte never occurs inside a character, so counting bytes counts characters.
_TWO_BYTE_SCRIPTS: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("cyrillic", (b"\xd0", b"\xd1")),
    ("arabic", (b"\xd8", b"\xd9", b"\xda", b"\xdb")),
    ("el", (b"\xce", b"\xcf")),
    ("he", (b"\xd7",)),
    ("hy", (b"\xd5", b"\xd6")),
)
_THREE_BYTE_SCRIPTS: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("ko", (b"\xea", b"\xeb", b"\xec", b"\xed")),
    ("th", (b"\xe0\xb8", b"\xe0\xb9")),
    ("devanagari", (b"\xe0\xa4", b"\xe0\xa5")),
    ("bn", (b"\xe0\xa6", b"\xe0\xa7")),
    ("pa", (b"\xe0\xa8", b"\xe0\xa9")),
    ("gu", (b"\xe0\xaa", b"\xe0\xab")),
    ("ta", (b"\xe0\xae", b"\xe0\xaf")),
    ("te", (b"\xe0\xb0", b"\xe0\xb1")),
    ("kn", (b"\xe0\xb2", b"\xe0\xb3")),
    ("ml", (b"\xe0\xb4", b"\xe0\xb5")),
    ("ka", (b"\xe1\x82", b"\xe1\x83")),
)
_HAN = (b"\xe4", b"\xe5", b"\xe6", b"\xe7", b"\xe8", b"\xe9")
_KANA = (b"\xe3\x81", b"\xe3\x82", b"\xe3\x83")


def _script(data: bytes, chars: int) -> str:
    """The language of a text mainly in non-Latin letters; empty if Latin, or if only words can decide."""
    enough = max(2, chars // 4)
    beyond = len(data) - chars  # extra bytes of characters beyond ASCII: at least one each
    if beyond < enough:
        return ""
    count = data.count
    han = sum(map(count, _HAN))
    kana = sum(map(count, _KANA))
    if han + kana >= enough:
        return "ja" if kana * 10 > han else "zh"
    for name, firsts in _TWO_BYTE_SCRIPTS:
        if sum(map(count, firsts)) >= enough:
            return _within(name, data)
    for name, firsts in _THREE_BYTE_SCRIPTS:
        if sum(map(count, firsts)) >= enough:
            return _within(name, data)
    return ""


# Letters that only one of a script's languages uses, tried in order.
_CYRILLIC_LETTERS = (
    ("uk", ("і", "ї", "є", "ґ")),
    ("ru", ("ы", "э", "ё")),
    ("sr", ("ј", "љ", "њ", "ћ", "ђ")),
)
_ARABIC_LETTERS = (("ur", ("ٹ", "ڈ", "ں", "ے")), ("fa", ("پ", "چ", "ژ", "گ", "ی")))
_LETTERS = {
    name: tuple((language, tuple(c.encode() for c in letters)) for language, letters in table)
    for name, table in (("cyrillic", _CYRILLIC_LETTERS), ("arabic", _ARABIC_LETTERS))
}
_HINDI_WORDS = tuple(word.encode() for word in (" है", " के ", " में ", " क्या ", " का ", " की "))


def _within(name: str, data: bytes) -> str:
    if name == "cyrillic" or name == "arabic":
        for language, letters in _LETTERS[name]:
            if any(letter in data for letter in letters):
                return language
        return "ar" if name == "arabic" else ""
    if name == "devanagari":
        return "hi" if any(word in data for word in _HINDI_WORDS) else UNKNOWN
    return name
