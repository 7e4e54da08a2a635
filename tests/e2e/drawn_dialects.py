"""Conversations and answers drawn by chance, in no dialect, and in the words of each. All that is said has a
word of its own (`w17z`), so that it can be found on the other side."""

import dataclasses
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from hypothesis import strategies as st
from tests.e2e.cases import Door
from tests.e2e.messages_said import FUNCTION, SIGNED, TOOL, closing, named, opening

from farthing.types import Json

WORD: Final = re.compile(r"w\d+z")
Found = list[tuple[str, str]]
"""Who says what, in order: `system`, `user`, `assistant`, `call`, `result` or `image`, and a word."""


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    kind: str
    """`user`, `assistant`, or `loop`: calls and what came of them."""
    texts: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    shown: tuple[bool, ...] = ()
    """Which of the results have an image as well."""


@dataclasses.dataclass(frozen=True, slots=True)
class Talk:
    """A request."""

    system: tuple[str, ...]
    turns: tuple[Turn, ...]
    settings: tuple[str, ...]


SETTINGS: Final[dict[str, tuple[Json, Json, Json, Json]]] = {
    "stop": ({"stop": ["END"]}, {"stop_sequences": ["END"]}, {"stop": ["END"]}, {"stop_sequences": ["END"]}),
    "temperature": ({"temperature": 0.25},) * 2 + ({"temperature": 0.25},) * 2,
    "who": ({"user": "u"}, {"metadata": {"user_id": "u"}}) * 2,
    "one call": (
        {"parallel_tool_calls": False},
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    )
    * 2,
    "no call": ({"tool_choice": "none"}, {"tool_choice": {"type": "none"}}) * 2,
    "a call": ({"tool_choice": "required"}, {"tool_choice": {"type": "any"}}) * 2,
}  # fmt: skip
"""In chat and in Messages, as it is asked and as it goes up."""
ALONE: Final = ({"one call", "no call"}, {"one call", "a call"}, {"no call", "a call"})


class _Words:
    def __init__(self) -> None:
        self._count = 0

    def new(self, count: int = 1) -> tuple[str, ...]:
        start, self._count = self._count, self._count + count
        return tuple(f"w{number}z" for number in range(start, self._count))


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    words, turns = _Words(), list[Turn]()
    system = words.new(draw(st.integers(0, 2)))
    for _ in range(draw(st.integers(0, 3))):
        turns.append(Turn("user", words.new(draw(st.integers(1, 2))), words.new(draw(st.integers(0, 2)))))
        if draw(st.booleans()):
            calls = words.new(draw(st.integers(1, 3)))
            shown = tuple(draw(st.booleans()) for _ in calls)
            turns.append(Turn("loop", words.new(draw(st.integers(0, 1))), (), calls, shown))
            if draw(st.booleans()):
                continue
        turns.append(Turn("assistant", words.new()))
    if not turns or turns[-1].kind != "user":
        turns.append(Turn("user", words.new()))
    settings = draw(st.sets(st.sampled_from(sorted(SETTINGS)), max_size=3))
    if any(pair <= settings for pair in ALONE):
        settings -= {"one call", "a call"}
    return Talk(system, tuple(turns), tuple(sorted(settings)))


def url(word: str) -> str:
    return f"https://pictures.example/{word}.png"


def arguments(word: str) -> Json:
    return {"city": word}


# -- requests ----------------------------------------------------------------------------------------


def asked_in(door: Door, talk: Talk) -> Json:
    """The request, without its model."""
    body: Json = {"max_tokens": 100, "tools": [FUNCTION if door == "chat" else TOOL]}
    messages = list(_chat(talk) if door == "chat" else _messages(talk))
    if door == "messages" and talk.system:
        body["system"] = [{"type": "text", "text": word} for word in talk.system]
    body["messages"] = messages
    for name in talk.settings:
        body |= SETTINGS[name][door != "chat"]
    return body


def _chat(talk: Talk) -> Iterator[Json]:
    for word in talk.system:
        yield {"role": "system", "content": word}
    for turn in talk.turns:
        texts = [{"type": "text", "text": word} for word in turn.texts]
        if turn.kind == "user":
            yield {"role": "user", "content": [*texts, *(_picture(word) for word in turn.images)]}
        elif turn.kind == "assistant":
            yield {"role": "assistant", "content": "".join(turn.texts)}
        else:
            calls = [_call(word) for word in turn.calls]
            yield {"role": "assistant", "content": "".join(turn.texts) or None, "tool_calls": calls}
            for word, shown in zip(turn.calls, turn.shown, strict=True):
                content = [{"type": "text", "text": f"r{word}"}, *([_picture(word)] if shown else [])]
                yield {"role": "tool", "tool_call_id": f"c-{word}", "content": content}


def _picture(word: str) -> Json:
    return {"type": "image_url", "image_url": {"url": url(word)}}


def _call(word: str) -> Json:
    function = {"name": "weather", "arguments": json.dumps(arguments(word))}
    return {"id": f"c-{word}", "type": "function", "function": function}


def _messages(talk: Talk) -> Iterator[Json]:
    for turn in talk.turns:
        texts = [{"type": "text", "text": word} for word in turn.texts]
        if turn.kind == "user":
            yield {"role": "user", "content": [*texts, *(_image(word) for word in turn.images)]}
        elif turn.kind == "assistant":
            yield {"role": "assistant", "content": texts}
        else:
            yield {"role": "assistant", "content": [*texts, *(_use(word) for word in turn.calls)]}
            yield {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": f"c-{word}",
                        "content": [{"type": "text", "text": f"r{word}"}, *([_image(word)] if shown else [])],
                    }
                    for word, shown in zip(turn.calls, turn.shown, strict=True)
                ],
            }


def _image(word: str) -> Json:
    return {"type": "image", "source": {"type": "url", "url": url(word)}}


def _use(word: str) -> Json:
    return {"type": "tool_use", "id": f"c-{word}", "name": "weather", "input": arguments(word)}


def meant(talk: Talk) -> Found:
    """What it says, without the images."""
    found: Found = [("system", word) for word in talk.system]
    for turn in talk.turns:
        who = "user" if turn.kind == "user" else "assistant"
        found += [(who, word) for word in turn.texts]
        found += [("call", word) for word in turn.calls]
        found += [("result", word) for word in turn.calls]
    return found


def images_of(talk: Talk) -> list[str]:
    shown = [
        word
        for turn in talk.turns
        for word in (*turn.images, *(one for one, also in zip(turn.calls, turn.shown, strict=True) if also))
    ]
    return sorted(map(url, shown))


def said_in(door: Door, body: Json) -> Found:
    """What a request that goes up says, without the images."""
    found: Found = []
    if door == "messages":
        found += [("system", word) for word in _words(body.get("system"))]
    for message in body["messages"]:
        role = message["role"]
        if role == "tool":
            found += [("result", word) for word in _words(_texts(message["content"]))]
            continue
        content = message.get("content")
        for block in content if isinstance(content, list) else [{"type": "text", "text": content or ""}]:
            found += _of_block(role, block)
        for call in message.get("tool_calls") or ():
            assert json.loads(call["function"]["arguments"])["city"] in call["id"]
            found += [("call", word) for word in _words(call["function"]["arguments"])]
    return found


def _of_block(role: str, block: Json) -> Found:
    match block["type"]:
        case "text" if block["text"].startswith("What the tool call "):
            return []
        case "text":
            return [(role, word) for word in _words(block["text"])]
        case "tool_use":
            return [("call", word) for word in _words(block["input"])]
        case "tool_result":
            return [("result", word) for word in _words(_texts(block["content"]))]
        case _:
            return []


def _texts(content: Any) -> Any:
    """The texts of a result, without its images."""
    return [one for one in content if one["type"] == "text"] if isinstance(content, list) else content


def _words(value: Any) -> list[str]:
    return WORD.findall(json.dumps(value))


def images_in(body: Json) -> list[str]:
    return sorted(re.findall(r"https://pictures\.example/w\d+z\.png", json.dumps(body)))


# -- answers -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """An answer: what was thought, what is said, which calls are made, what it used."""

    thought: str
    text: str
    calls: tuple[str, ...]
    stop: str
    fresh: int
    read: int
    wrote: int
    output: int


DELTAS: Final[dict[str, tuple[str, str, Json]]] = {
    "thinking": ("thinking_delta", "thinking", {"thinking": "", "signature": ""}),
    "text": ("text_delta", "text", {"text": ""}),
    "tool_use": ("input_json_delta", "partial_json", {"input": {}}),
}
"""Of a block: the kind of its deltas, the field that they bring, and what it starts with."""
STOPS: Final = {"end": ("stop", "end_turn"), "length": ("length", "max_tokens")}
CALLED: Final = ("tool_calls", "tool_use")
SAYS: Final = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    calls = tuple(f"w{number}z" for number in range(draw(st.integers(0, 3))))
    text = f"t{draw(SAYS)}" if draw(st.booleans()) or not calls else ""
    return Reply(
        f"h{draw(SAYS)}" if draw(st.booleans()) else "",
        text,
        calls,
        "calls" if calls else draw(st.sampled_from(sorted(STOPS))),
        *(draw(st.integers(1, 10_000)) for _ in range(4)),
    )


def reason_of(door: Door, reply: Reply) -> str:
    return (CALLED if reply.stop == "calls" else STOPS[reply.stop])[door != "chat"]


def usage_in(door: Door, reply: Reply) -> Json:
    if door == "messages":
        return {
            "input_tokens": reply.fresh,
            "cache_read_input_tokens": reply.read,
            "cache_creation_input_tokens": reply.wrote,
            "output_tokens": reply.output,
        }
    prompt = reply.fresh + reply.read + reply.wrote
    return {
        "prompt_tokens": prompt,
        "completion_tokens": reply.output,
        "total_tokens": prompt + reply.output,
        "prompt_tokens_details": {"cached_tokens": reply.read, "cache_write_tokens": reply.wrote},
    }


def chat_message(reply: Reply) -> Json:
    told: Json = {"content": reply.text or None}
    if reply.thought:
        told["reasoning_content"] = reply.thought
    if reply.calls:
        told["tool_calls"] = [_call(word) for word in reply.calls]
    return told


def blocks(reply: Reply) -> list[Json]:
    found: list[Json] = []
    if reply.thought:
        found.append({"type": "thinking", "thinking": reply.thought, "signature": SIGNED})
    if reply.text:
        found.append({"type": "text", "text": reply.text})
    return [*found, *(_use(word) for word in reply.calls)]


def deltas(reply: Reply, cut: int) -> list[Json]:
    """Of a chat stream: pieces of `cut` characters, those of parallel calls by turns."""
    found: list[Json] = [{"reasoning_content": piece} for piece in _cut(reply.thought, cut)]
    found += [{"content": piece} for piece in _cut(reply.text, cut)]
    for at, word in enumerate(reply.calls):
        found.append(
            {"tool_calls": [{"index": at, **_call(word), "function": {"name": "weather", "arguments": ""}}]}
        )
    pieces = [_cut(json.dumps(arguments(word)), cut) for word in reply.calls]
    for turn in range(max(map(len, pieces), default=0)):
        for at, each in enumerate(pieces):
            if turn < len(each):
                found.append({"tool_calls": [{"index": at, "function": {"arguments": each[turn]}}]})
    return found


def events(reply: Reply, cut: int) -> list[bytes]:
    """Of a Messages stream."""
    found = [opening(**usage_in("messages", reply) | {"output_tokens": 1}), named("ping")]
    for index, one in enumerate(blocks(reply)):
        kind, field, empty = DELTAS[one["type"]]
        text = json.dumps(one["input"]) if one["type"] == "tool_use" else one[field]
        start = {**one, **empty}
        found.append(named("content_block_start", index=index, content_block=start))
        told: list[Json] = [{"type": kind, field: piece} for piece in _cut(text, cut)]
        if one["type"] == "thinking":
            told.append({"type": "signature_delta", "signature": SIGNED})
        found += [named("content_block_delta", index=index, delta=delta) for delta in told]
        found.append(named("content_block_stop", index=index))
    return found + closing(reason_of("messages", reply), {"output_tokens": reply.output})


def _cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def shown_in(door: Door, answer: Json) -> Json:
    """What a client has, in no dialect."""
    if door == "chat":
        choice = answer["choices"][0]
        message, usage = choice["message"], answer["usage"]
        details = usage["prompt_tokens_details"]
        read, wrote = details["cached_tokens"], details["cache_write_tokens"]
        return {
            "thought": message.get("reasoning_content") or "",
            "text": message.get("content") or "",
            "calls": [
                [call["id"], json.loads(call["function"]["arguments"])]
                for call in message.get("tool_calls") or ()
            ],
            "stop": choice["finish_reason"],
            "usage": [usage["prompt_tokens"] - read - wrote, read, wrote, usage["completion_tokens"]],
        }
    usage, content = answer["usage"], answer["content"]
    counts = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
    return {
        "thought": "".join(one["thinking"] for one in content if one["type"] == "thinking"),
        "text": "".join(one["text"] for one in content if one["type"] == "text"),
        "calls": [[one["id"], one["input"]] for one in content if one["type"] == "tool_use"],
        "stop": answer["stop_reason"],
        "usage": [usage[name] for name in counts],
    }


def shown_right(door: Door, reply: Reply) -> Json:
    return {
        "thought": reply.thought,
        "text": reply.text,
        "calls": [[f"c-{word}", arguments(word)] for word in reply.calls],
        "stop": reason_of(door, reply),
        "usage": [reply.fresh, reply.read, reply.wrote, reply.output],
    }
