"""Requests of Messages drawn by chance: right ones, and ones in which something is wrong."""

from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

WORDS = st.sampled_from(["", " ", "hi", "What is it?", "größer", "x" * 50, '{"a": 1}'])
MARKS = st.sampled_from([None, None, {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=4),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
SIGNATURES = st.sampled_from(["c2ln", "EqQBCgIYAhIM"])


@st.composite
def _marked(draw: st.DrawFn, value: st.SearchStrategy[Json]) -> Json:
    block = dict(draw(value))
    mark = draw(MARKS)
    if mark is not None:
        block["cache_control"] = mark
    if draw(st.integers(0, 9)) == 0:
        block["newer_field"] = draw(VALUES.filter(lambda value: value is not None))
    return block


TEXTS = _marked(st.builds(lambda text: {"type": "text", "text": text}, WORDS))
CITED = st.builds(
    lambda text: {**text, "citations": [{"type": "char_location", "cited_text": "a", "document_index": 0}]},
    TEXTS,
)
INLINE = st.sampled_from([
    {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAAAN"},
    {"type": "url", "url": "https://x.example/a.png"},
    {"type": "file", "file_id": "file_1"},
])  # fmt: skip
IMAGES = _marked(st.builds(lambda source: {"type": "image", "source": source}, INLINE))
_HELD = st.one_of(
    st.sampled_from([
        {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQKJQ=="},
        {"type": "url", "url": "https://x.example/a.pdf"},
        {"type": "text", "media_type": "text/plain", "data": "so it is"},
        {"type": "file", "file_id": "file_2"},
    ]),
    st.builds(lambda blocks: {"type": "content", "content": blocks}, st.lists(TEXTS | IMAGES, max_size=2)),
)  # fmt: skip
DOCUMENTS = _marked(
    st.builds(
        lambda source, more: {"type": "document", "source": source, **more},
        _HELD,
        st.fixed_dictionaries({}, optional={"title": st.just("plan.pdf"), "context": st.just("of May"),
                                            "citations": st.just({"enabled": True})}),
    )
)  # fmt: skip
FOUND = _marked(
    st.just({"type": "search_result", "source": "https://x.example", "title": "T",
             "content": [{"type": "text", "text": "found"}]})
)  # fmt: skip
SHOWN = st.one_of(TEXTS, IMAGES, DOCUMENTS, FOUND)
THOUGHTS = st.one_of(
    st.builds(
        lambda text, signature: {"type": "thinking", "thinking": text, "signature": signature},
        WORDS,
        SIGNATURES,
    ),
    st.builds(lambda data: {"type": "redacted_thinking", "data": data}, SIGNATURES),
)
SERVED = st.sampled_from([
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
])  # fmt: skip


@st.composite
def _turns(draw: st.DrawFn) -> list[Json]:
    """A user first, then answers and what came of their calls, in any order; instructions between."""
    messages: list[Json] = []
    calls = 0
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(st.one_of(WORDS, st.lists(SHOWN, max_size=3)))})
        if draw(st.integers(0, 4)) == 0:
            messages.append({"role": "system", "content": draw(WORDS | st.lists(TEXTS, max_size=2))})
        if draw(st.booleans()):
            break
        made = draw(st.integers(0, 3))
        blocks: list[Json] = draw(st.lists(st.one_of(TEXTS, CITED, THOUGHTS, SERVED), max_size=4))
        ids = [f"toolu_{number}" for number in range(calls, calls + made)]
        calls += made
        for call_id in ids:
            given = draw(st.dictionaries(st.text(max_size=3), VALUES, max_size=2))
            call = {"type": "tool_use", "id": call_id, "name": "look_up", "input": given}
            blocks.insert(draw(st.integers(0, len(blocks))), call)
        content: Any = blocks or "so"
        messages.append({"role": "assistant", "content": content})
        if ids:
            answers = [
                {"type": "tool_result", "tool_use_id": call_id,
                 **draw(st.fixed_dictionaries({}, optional={
                     "content": st.one_of(WORDS, st.lists(SHOWN, max_size=2)),
                     "is_error": st.booleans(),
                     "cache_control": st.just({"type": "ephemeral"})}))}
                for call_id in draw(st.permutations(ids))
            ]  # fmt: skip
            for block in draw(st.lists(SHOWN, max_size=2)):
                answers.insert(draw(st.integers(0, len(answers))), block)
            messages.append({"role": "user", "content": answers})
    return messages


TOOLS = st.lists(
    st.one_of(
        _marked(
            st.fixed_dictionaries(
                {"name": st.just("look_up"),
                 "input_schema": st.just({"type": "object", "properties": {"q": {"type": "string"}}})},
                optional={"description": WORDS, "strict": st.booleans(), "type": st.just("custom"),
                          "defer_loading": st.booleans()},
            )
        ),
        st.sampled_from([
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
            {"type": "bash_20250124", "name": "bash"},
        ]),
    ),
    max_size=2,
)  # fmt: skip
CHOICES = st.one_of(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["auto", "any", "none"])},
        optional={"disable_parallel_tool_use": st.booleans()},
    ),
    st.just({"type": "tool", "name": "look_up"}),
)
BILLING = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cch=0;"}
BODIES = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": _turns()},
    optional={
        "max_tokens": st.integers(0, 64_000),
        "system": st.one_of(
            WORDS,
            st.lists(TEXTS, max_size=2),
            st.builds(lambda more: [BILLING, *more], st.lists(TEXTS, max_size=1)),
        ),
        "tools": TOOLS,
        "tool_choice": CHOICES,
        "thinking": st.sampled_from([
            {"type": "adaptive"}, {"type": "disabled"}, {"type": "enabled", "budget_tokens": 2_048},
        ]),
        "output_config": st.sampled_from([
            {"effort": "low"}, {"effort": "max", "newer": 1},
            {"format": {"type": "json_schema", "schema": {"type": "object"}}}, {"format": {"type": "newer"}},
            {"format": {}}, {"format": {"type": "text"}}, {"format": {"type": "json_object"}},
        ]),
        "stop_sequences": st.lists(WORDS, max_size=3),
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(1, 40),
        "metadata": st.sampled_from([{"user_id": "u"}, {}, {"user_id": None}, {"user_id": "u", "newer": 1}]),
        "service_tier": st.sampled_from(["auto", "standard_only"]),
        "cache_control": st.just({"type": "ephemeral"}),
        "context_management": st.sampled_from([
            {"edits": []}, {"edits": [{"type": "clear_thinking_20251015"}]},
        ]),
        "container": st.just("c_1"),
        "mcp_servers": st.sampled_from([[], [{"type": "url", "url": "https://m.example", "name": "m"}]]),
        "newer_field": VALUES,
    },
)  # fmt: skip


def places_of(value: Any) -> list[tuple[Any, Any]]:
    """Every list or object in `value` with each of its keys."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        keys: Any = list(value)
    elif isinstance(value, list):
        keys = range(len(value))
    else:
        return found
    for key in keys:
        found.append((value, key))
        found += places_of(value[key])
    return found
