"""What a request asks of a model, and which targets are known not to have it."""

from typing import Any

from farthing.text.asked import asked, lacking
from farthing.types import Target

PIXEL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def chat(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}, *parts]}], **fields}


def target(name: str, *lacks: str, most: int | None = None) -> Target:
    return Target(name=name, provider="p", model=name, lacks=frozenset(lacks), output_tokens_max=most)


def test_it_is_read_from_parts_tools_and_formats() -> None:
    assert asked(chat(), media=False) == frozenset()
    assert asked(chat(PIXEL), media=True) == {"vision"}
    assert asked(chat({"type": "input_audio"}, {"type": "file"}), media=True) == {"audio_in", "documents"}
    assert asked(chat(tools=[{}]), media=False) == asked(chat(functions=[{}]), media=False) == {"tools"}
    assert asked(chat(response_format={"type": "json_schema"}), media=False) == {"structured_output"}
    assert asked(chat(response_format={"type": "text"}, tools=[]), media=False) == frozenset()


def test_odd_bodies_ask_for_nothing() -> None:
    for content in (None, 5, [5, {"type": 5}, {"type": None}, {}, "text"]):
        assert (
            asked({"messages": [{"content": content}, 7], "response_format": "x"}, media=True) == frozenset()
        )
    assert asked({"messages": "x"}, media=True) == frozenset()


def test_targets_that_are_known_to_lack_it_are_named_with_what_they_lack() -> None:
    targets = target("blind", "vision", "tools"), target("seeing")
    assert lacking(targets, chat(PIXEL), True, None) == {"blind": "vision"}
    assert lacking(targets, chat(PIXEL, tools=[{}]), True, None) == {"blind": "tools, vision"}
    assert lacking(targets, chat(), False, None) == {}
    assert lacking((targets[1],) * 2, chat(PIXEL), True, 5) == {}


def test_where_none_would_be_left_nobody_is_named_since_a_list_may_be_wrong() -> None:
    assert lacking((target("a", "vision"), target("b", "vision")), chat(PIXEL), True, None) == {}


def test_a_target_that_cannot_write_so_much_is_named() -> None:
    targets = target("short", most=4_096), target("long", most=64_000), target("unknown")
    assert lacking(targets, chat(), False, 8_000) == {"short": "8000 tokens of output"}
    assert lacking(targets, chat(), False, 4_096) == {}
    assert lacking(targets, chat(), False, None) == {}
