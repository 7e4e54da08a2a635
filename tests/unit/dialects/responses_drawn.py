"""Requests of Responses drawn by chance, and samples of every shape that OpenAI's SDK has a type for."""

import collections.abc
import typing
from collections.abc import Iterator
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from tests.unit.dialects.messages_drawn import VALUES, WORDS
from typing_extensions import is_typeddict

from farthing.dialects.conversation import Reasoning
from farthing.dialects.responses import envelopes

Json = dict[str, Any]

PNG = "iVBORw0KGgoAAAAN"
PDF = "JVBERi0xLjQKJQ=="
OURS = envelopes.of_reasoning(Reasoning("hm", "c2ln", "", "messages"))
THEIRS = "gAAAAABencrypted"


@st.composite
def _newer(draw: st.DrawFn, value: st.SearchStrategy[Json]) -> Json:
    """What is drawn, at times with a field that nobody knows."""
    found = dict(draw(value))
    if draw(st.integers(0, 9)) == 0:
        found["newer_field"] = draw(VALUES.filter(lambda value: value is not None))
    return found


TEXTS = _newer(
    st.fixed_dictionaries(
        {"type": st.just("input_text"), "text": WORDS},
        optional={"prompt_cache_breakpoint": st.just({"mode": "explicit", "ttl": "30m"})},
    )
)
IMAGES = _newer(
    st.sampled_from([
        {"type": "input_image", "image_url": "https://x.example/a.png", "detail": "auto"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "low"},
        {"type": "input_image", "file_id": "file-1", "detail": "original"},
    ])
)  # fmt: skip
FILES = _newer(
    st.sampled_from([
        {"type": "input_file", "file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"},
        {"type": "input_file", "file_data": PDF},
        {"type": "input_file", "file_url": "https://x.example/a.pdf", "detail": "low"},
        {"type": "input_file", "file_id": "file-2"},
        {"type": "input_file", "file_data": "aGk=", "filename": "a.txt"},
    ])
)  # fmt: skip
SOUNDS = st.just({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}})
SHOWN = st.one_of(TEXTS, IMAGES, FILES, SOUNDS)
SAID = st.one_of(
    _newer(st.builds(lambda text: {"type": "output_text", "text": text, "annotations": []}, WORDS)),
    st.just({
        "type": "output_text", "text": "so",
        "annotations": [{"type": "url_citation", "url": "https://x.example", "title": "T",
                         "start_index": 0, "end_index": 2}],
    }),
    st.just({"type": "refusal", "refusal": "No."}),
)  # fmt: skip
THOUGHTS = st.builds(
    lambda held, summary: {"type": "reasoning", "id": "rs_1", "summary": summary, **held},
    st.sampled_from([{}, {"encrypted_content": OURS}, {"encrypted_content": THEIRS},
                     {"content": [{"type": "reasoning_text", "text": "hm"}]}]),
    st.sampled_from([[], [{"type": "summary_text", "text": "short"}]]),
)  # fmt: skip
SERVED = st.sampled_from([
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
    {"type": "mcp_approval_response", "approval_request_id": "m_1", "approve": True},
    {"type": "compaction", "encrypted_content": THEIRS},
    {"type": "compaction", "encrypted_content": envelopes.of_summary("all so far")},
    {"type": "newer_item"},
])  # fmt: skip


@st.composite
def _items(draw: st.DrawFn) -> list[Json]:
    items: list[Json] = []
    calls = 0
    for _ in range(draw(st.integers(1, 3))):
        content = draw(st.one_of(WORDS, st.lists(SHOWN, max_size=3)))
        items.append(draw(st.sampled_from([{}, {"type": "message"}])) | {"role": "user", "content": content})
        if draw(st.integers(0, 4)) == 0:
            role = draw(st.sampled_from(["system", "developer"]))
            items.append({"role": role, "content": draw(WORDS | st.lists(TEXTS, max_size=2))})
        if draw(st.booleans()):
            break
        said = st.builds(
            lambda content: {
                "type": "message",
                "role": "assistant",
                "id": "msg_1",
                "status": "completed",
                "content": content,
            },
            st.lists(SAID, max_size=2),
        )
        items += draw(st.lists(st.one_of(THOUGHTS, said, SERVED), max_size=4))
        ids = [f"call_{number}" for number in range(calls, calls + draw(st.integers(0, 3)))]
        calls += len(ids)
        custom = draw(st.booleans())
        for call_id in ids:
            call = {"id": f"fc_{call_id}", "call_id": call_id, "status": "completed"}
            if custom:
                items.append({"type": "custom_tool_call", "name": "patch", "input": draw(WORDS), **call})
            else:
                name = draw(st.sampled_from([{"name": "look_up"}, {"name": "find", "namespace": "docs"}]))
                items.append({"type": "function_call", "arguments": '{"q": 1}', **name, **call})
        for call_id in draw(st.permutations(ids)):
            output = draw(st.one_of(WORDS, st.lists(SHOWN, max_size=2)))
            kind = "custom_tool_call_output" if custom else "function_call_output"
            items.append({"type": kind, "call_id": call_id, "output": output})
    if draw(st.integers(0, 9)) == 0:
        items.append({"type": "compaction_trigger"})
    return items


FUNCTION = {"type": "function", "name": "look_up", "parameters": {"type": "object"}, "strict": False}
TOOLS = st.lists(
    st.sampled_from([
        FUNCTION,
        {**FUNCTION, "name": "strict_one", "strict": True, "description": "d", "defer_loading": True},
        {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark",
                                                      "definition": "start: /.+/"}},
        {"type": "namespace", "name": "docs", "description": "D",
         "tools": [{"type": "function", "name": "find"}]},
        {"type": "web_search"},
    ]),
    max_size=4,
)  # fmt: skip
CHOICES = st.sampled_from([
    "auto", "none", "required", {"type": "function", "name": "look_up"}, {"type": "custom", "name": "patch"},
    {"type": "web_search_preview"}, {"type": "mcp", "server_label": "m"},
    {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "look_up"}]},
    {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "server_label": "m"}]},
])  # fmt: skip
SCHEMA = {"type": "json_schema", "name": "r", "schema": {"type": "object"}, "strict": True}
BODIES = st.fixed_dictionaries(
    {"model": st.just("m"), "input": WORDS | _items()},
    optional={
        "instructions": WORDS,
        "max_output_tokens": st.integers(1, 64_000),
        "tools": TOOLS,
        "tool_choice": CHOICES,
        "parallel_tool_calls": st.booleans(),
        "text": st.sampled_from([
            {"format": {"type": "text"}}, {"format": SCHEMA, "verbosity": "low"}, {"newer": 1},
            {"format": {"type": "json_object"}}, {"format": {"type": "newer"}}, {"verbosity": "high"},
        ]),
        "reasoning": st.sampled_from([
            {"effort": "low", "summary": "auto"}, {"effort": None}, {"context": "all_turns"}, {"newer": 1},
        ]),
        "include": st.lists(
            st.sampled_from(["reasoning.encrypted_content", "message.output_text.logprobs"]), max_size=2
        ),
        "top_logprobs": st.integers(0, 5),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "user": WORDS,
        "safety_identifier": WORDS,
        "service_tier": st.sampled_from(["auto", "default", "flex", "priority"]),
        "metadata": st.sampled_from([{}, {"a": "b"}]),
        "truncation": st.sampled_from(["auto", "disabled"]),
        "prompt_cache_key": WORDS,
        "store": st.booleans(),
        "stream_options": st.just({"include_obfuscation": False}),
        "client_metadata": st.just({"x-codex-installation-id": "i"}),
        "newer_field": VALUES,
    },
)  # fmt: skip


# -- samples of the SDK's types ------------------------------------------------------------------------------


def samples(kind: Any) -> Iterator[Any]:
    """Values of a type: of a union some of each member, of a table a full one, then one for each further
    value of each field."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Required, NotRequired, typing.Annotated):
        yield from samples(inner[0])
    elif origin is Literal:
        yield from inner
    elif origin is Union or (origin is not None and origin.__class__.__name__ == "UnionType"):
        for one in inner:
            yield from samples(one)
    elif is_typeddict(kind):
        fields = {
            name: list(samples(hint)) for name, hint in get_type_hints(kind, include_extras=True).items()
        }
        full = {name: next((one for one in found if one is not None), None) for name, found in fields.items()}
        yield full
        for name, found in fields.items():
            for value in found:
                if value is not full[name] and value != full[name]:
                    yield {**full, name: value}
    elif origin is dict or kind is dict:
        yield {"some": "x"}
    elif origin in (list, collections.abc.Iterable, collections.abc.Sequence):
        yield [next(samples(inner[0]))]
        for one in samples(inner[0]):
            yield [one]
    else:
        yield _PLAIN[kind]


_PLAIN: dict[Any, Any] = {
    str: "x", int: 1, float: 0.5, bool: True, object: {"some": "x"}, type(None): None, Any: "x",
}  # fmt: skip
