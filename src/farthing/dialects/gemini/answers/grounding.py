"""The pages that an answer rests on, as citations of what it says.

Google tells places in bytes of UTF-8, the model of a conversation in characters. What it says of a place is
believed where the words there are those that it names.
"""

from typing import Any

from farthing.types import Json

CITATIONS_MAX = 10_000
SUPPORTS_MAX = 300  # each is looked for in all of the text


def citations_of(told: Json, text: str) -> list[Json]:
    """Those of `groundingMetadata` and `citationMetadata`, each for a piece of `text`, which is all that was
    said; without a place where none is told."""
    found: list[Json] = []
    chunks = _list(told.get("groundingChunks"))
    raw = text.encode("utf-8", "replace")
    used: set[int] = set()
    for support in _list(told.get("groundingSupports"))[:SUPPORTS_MAX]:
        if support.__class__ is not dict:
            continue
        place = _place(support.get("segment"), text, raw)
        for number in _list(support.get("groundingChunkIndices")):
            if number.__class__ is int and 0 <= number < len(chunks) and len(found) < CITATIONS_MAX:
                used.add(number)
                found.append({**_page(chunks[number]), **place})
    found += [_page(chunk) for number, chunk in enumerate(chunks[:CITATIONS_MAX]) if number not in used]
    for one in (_list(told.get("citations")) + _list(told.get("citationSources")))[:SUPPORTS_MAX]:
        if one.__class__ is dict and len(found) < CITATIONS_MAX:
            found.append({**_cited(one.get("uri"), one.get("title")), **_place(one, text, raw)})
    return found[:CITATIONS_MAX]


def _page(chunk: Any) -> Json:
    """One source; its `url` is empty where it is no page."""
    for name in ("web", "maps", "image", "retrievedContext"):
        held = chunk.get(name) if chunk.__class__ is dict else None
        if held.__class__ is dict:
            return _cited(held.get("uri") or held.get("sourceUri"), held.get("title"))
    return _cited("", None)


def _cited(url: Any, title: Any) -> Json:
    """As Messages cites a page, which all writers of answers read."""
    return {
        "type": "web_search_result_location",
        "url": url if isinstance(url, str) else "",
        "title": title if isinstance(title, str) and title else None,
        "cited_text": "",
        "encrypted_index": "",
    }


def _place(segment: Any, text: str, raw: bytes) -> Json:
    """Where a piece of `text` begins and ends, in characters; empty where that is not told."""
    if segment.__class__ is not dict:
        return {}
    start: Any = segment.get("startIndex") or 0
    end: Any = segment.get("endIndex")
    words: Any = segment.get("text")
    if start.__class__ is int and end.__class__ is int and 0 <= start < end <= len(raw):
        first = len(raw[:start].decode("utf-8", "ignore"))
        last = first + len(raw[start:end].decode("utf-8", "ignore"))
        if not isinstance(words, str) or text[first:last] == words:
            return {"start_index": first, "end_index": last}
    if not isinstance(words, str) or not words or words not in text:
        return {}
    at = text.index(words)
    return {"start_index": at, "end_index": at + len(words)}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
