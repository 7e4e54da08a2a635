"""An error as providers word it, in all its forms: read into OpenAI's error object. Pure functions.

No regular expressions over messages: what an error means is told by its status, type and code.
"""

import re
from typing import Any

from farthing.text.lenient_json import NotJson, read_json, write_json
from farthing.types import Json

WORDS_CHARS_MAX = 2_000
A_NAME = re.compile(r"[A-Za-z]{2,24}(?:[_.-][A-Za-z]{2,24}){0,6}")
MESSAGE_CHARS_MAX = 500  # of the words, in a line
DEPTH_MAX = 6
NESTS_MAX = 50  # of an object that may say nothing; one that is deeper says something
# Where the words stand, in the order to look: OpenAI, FastAPI, Spring, AWS, OAuth, problem details, Apigee.
WORDS = (
    "message", "detail", "error_description", "error_message", "error_msg", "error", "msg", "errors",
    "Message", "errorMessage", "description", "reason", "faultstring", "fault", "title", "text",
    "code", "type",  # where there are no others, these are
)  # fmt: skip
NESTS = ("error", "detail", "message")
"""Fields that may hold the error itself."""
SAID_OF_ERRORS = ("detail", "errors", "error_msg", "error_message", "error_description", "error_code")
"""Fields that no answer has."""
FAILED_FINISHES = frozenset({"error", "network_error", "insufficient_system_resource"})
"""Reasons to end that say that there is no answer: OpenRouter's, Z.ai's, DeepSeek's."""
MINIMAX = "base_resp"
"""Where MiniMax says how it went, with status 200: `status_code` is 0 for an answer."""


def error_object(body: bytes) -> Json | None:
    """The provider's error as OpenAI's error object, with a message in it; None: it said nothing readable.

    One that is such an object already is returned as it is, whatever else it holds.
    """
    try:
        value = read_json(body)
    except NotJson:
        try:
            value = read_json(body.decode("utf-8", "replace").encode())  # Latin-1 in a message
        except NotJson:
            words = _plain(body)
            return _as_object(words, {}) if words else None
    while isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, str):
        return _as_object(value, {}) if value.strip() else None
    if not isinstance(value, dict):
        return None
    error = value.get("error")
    if isinstance(error, dict) and isinstance(error.get("message"), str) and error["message"]:
        return error
    if _minimax(value):
        return _as_object(
            _words(value[MINIMAX].get("status_msg"), 0), {"code": value[MINIMAX]["status_code"]}
        )
    words = _words(error if isinstance(error, dict) and error else value, 0)
    if not words:
        return _named(error)
    found = value
    for _ in range(DEPTH_MAX):  # type and code stand where the words do, or around them
        nested = [found[name] for name in NESTS if isinstance(found.get(name), dict)]
        if not nested:
            break
        found = {**found, **dict.fromkeys(NESTS), **nested[0]}
    if isinstance(error, str) and error != words:
        found = {"code": error, **found}
    return _as_object(words, found)


def is_error(value: Json) -> bool:
    """Whether a JSON object that came where a chunk or an answer was to is an error. `error` with nothing in
    it, which some send with each good chunk, is none."""
    if has_words(value.get("error")) or (not value.get("choices") and _minimax(value)):
        return True
    if value.get("choices") or value.get("data") or value.get("usage") is not None:
        return False
    if value.get("object") == "error" or any(map(has_words, map(value.get, SAID_OF_ERRORS))):
        return True
    return has_words(value.get("message")) and any(value.get(name) for name in ("code", "type", "status"))


def failed_choice(choice: Json) -> bytes | None:
    """The error, as JSON, that stands in a choice with status 200; None: it ended as an answer ends, or has
    not ended. Whether it said anything before is for the caller to see."""
    error, reason = choice.get("error"), choice.get("finish_reason")
    if has_words(error):
        return write_json({"error": error})
    if isinstance(reason, str) and reason in FAILED_FINISHES:
        return write_json({"error": {"message": f"the answer ended with {reason}", "code": reason}})
    return None


def has_words(error: Any, depth: int = 0) -> bool:
    """Whether anything is said: neither null, false, 0, empty nor an object of such."""
    if isinstance(error, dict) and depth < NESTS_MAX:
        return any(has_words(inner, depth + 1) for inner in error.values())
    return bool(error)


def _minimax(value: Json) -> Json | None:
    """The error that MiniMax tells; None where it tells none."""
    said = value.get(MINIMAX)
    if not isinstance(said, dict) or not said.get("status_code"):
        return None
    words = _words(said.get("status_msg"), 0)
    return _as_object(words, {"code": said["status_code"]}) if words else None


def _named(error: Any) -> Json | None:
    """An error without words that has at least a code or a type: that is what is said."""
    if not isinstance(error, dict):
        return None
    words = next((w for name in ("code", "type") if isinstance(w := error.get(name), str) and w), "")
    return _as_object(words, error) if words else None


def words_of(said: Json | None) -> str:
    """The words of an error object in a line, after its code where that says more; empty when there are
    none."""
    if said is None:
        return ""
    words, code = " ".join(said["message"].split())[:MESSAGE_CHARS_MAX], said.get("code")
    if isinstance(code, str) and A_NAME.fullmatch(code) and code not in words:
        return f"{code}: {words}"
    return words


def _as_object(words: str, found: Json) -> Json:
    kind, code = found.get("type"), found.get("code")
    if not isinstance(code, str | int):
        code = found.get("error_code") or found.get("status")
    return {
        "message": words,
        "type": kind if isinstance(kind, str) and kind else "provider_error",
        "param": found.get("param") if isinstance(found.get("param"), str) else None,
        "code": code if isinstance(code, str | int) else None,
    }


def _words(value: Any, depth: int) -> str:
    """The first words in `value`, where words usually stand."""
    if isinstance(value, str):
        return " ".join(value.split())[:WORDS_CHARS_MAX]
    if depth >= DEPTH_MAX:
        return ""
    if isinstance(value, list):
        found = [words for item in value[:5] if (words := _words(item, depth + 1))]
        return "; ".join(found)[:WORDS_CHARS_MAX]
    if not isinstance(value, dict):
        return ""
    words = next((words for name in WORDS if (words := _words(value.get(name), depth + 1))), "")
    place = value.get("loc")  # FastAPI: which field it is about
    if words and isinstance(place, list):
        words = f"{'.'.join(map(str, place[:10]))}: {words}"
    return words


def _plain(body: bytes) -> str:
    """The words of a body that is no JSON: the text, the title of a page or else its heading, or the message
    of XML."""
    text = body.decode("utf-8", "replace").strip()
    if text.startswith("<"):
        text = next((words for tag in ("title", "h1", "message") if (words := _inside(text, tag))), "")
    words = " ".join(text.split())[:WORDS_CHARS_MAX]
    return words if words.isprintable() else ""


def _inside(page: str, tag: str) -> str:
    """What the first element of that name holds, written in any case and with any attributes."""
    lower = page.lower()
    at = lower.find(f"<{tag}")
    while at >= 0 and lower[at + len(tag) + 1 : at + len(tag) + 2] not in (">", " ", "\n", "\t", "\r"):
        at = lower.find(f"<{tag}", at + 1)
    begin = page.find(">", at) + 1 if at >= 0 else 0
    end = lower.find(f"</{tag}", begin) if begin else -1
    inner = page[begin:end] if end >= 0 else ""
    return "" if "<" in inner else inner
