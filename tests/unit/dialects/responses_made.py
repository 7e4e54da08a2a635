"""Responses as OpenAI gives them, made at random, and the events of a stream that says the same."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from tests.contract.test_provider import function_call, response, said, text_part

from farthing.dialects.responses.answers.whole import exploded
from farthing.types import Json

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
WORDS = TEXT.map(lambda text: f"w{text}")
ID = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
PAGE = st.fixed_dictionaries({
    "type": st.just("url_citation"),
    "url": WORDS,
    "title": WORDS,
    "start_index": st.integers(0, 3),
    "end_index": st.integers(3, 9),
})  # fmt: skip
ARGUMENTS = st.dictionaries(TEXT, TEXT | st.integers(-9, 9) | st.none(), max_size=3).map(json.dumps)
CONTENT = st.lists(
    st.builds(text_part, WORDS, PAGE)
    | st.builds(text_part, WORDS)
    | st.builds(lambda text: {"type": "refusal", "refusal": text}, WORDS),
    min_size=1,
    max_size=3,
)


def _texts(kind: str) -> st.SearchStrategy[list[Json]]:
    return st.lists(st.fixed_dictionaries({"type": st.just(kind), "text": WORDS}), max_size=3)


ITEM = st.one_of(
    CONTENT.map(lambda content: said(*content)),
    st.builds(function_call, ID, ID, ARGUMENTS),
    st.builds(
        lambda call, name, given: {
            "type": "custom_tool_call",
            "id": f"ctc_{call}",
            "call_id": call,
            "name": name,
            "input": given,
        },
        ID,
        ID,
        TEXT,
    ),
    st.builds(
        lambda summary, content, held: {
            "type": "reasoning",
            "id": "rs_1",
            "summary": summary,
            "encrypted_content": held,
            **({"content": content} if content else {}),
        },
        _texts("summary_text"),
        _texts("reasoning_text"),
        st.none() | WORDS,
    ),
    st.just(
        {
            "type": "web_search_call",
            "id": "ws_1",
            "status": "completed",
            "action": {"type": "search", "query": "q", "queries": ["q"]},
        }
    ),
)


@st.composite
def responses(draw: Callable[[Any], Any]) -> Json:
    """Each item and each call has an id of its own, as OpenAI's have."""
    items: list[Json] = draw(st.lists(ITEM, max_size=4))
    output = [
        {**item, **{name: f"{item[name]}_{at}" for name in ("id", "call_id") if name in item}}
        for at, item in enumerate(items)
    ]
    if draw(st.booleans()):
        return response(*output)
    reason = draw(st.sampled_from(["max_output_tokens", "content_filter"]))
    return response(*output, status="incomplete", incomplete_details={"reason": reason})


def stream_of(whole: Json, without: tuple[str, ...] = ()) -> bytes:
    """The events of `whole`, but for those whose kinds end in one of `without`."""
    events = exploded(whole)
    kept = (
        [one for one in events if not one.split(b"\n", 1)[0].decode().endswith(without)]
        if without
        else events
    )
    return b"".join(one + b"\n\n" for one in kept)
