"""What a request asks of a model, and which targets are known not to have it."""

from typing import Any

from farthing.text.asked import able, asked
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


def test_targets_that_are_known_to_lack_it_are_left_out_with_what_they_lack() -> None:
    blind, seeing = target("blind", "vision", "tools"), target("seeing")
    kept, lacking = able((blind, seeing), chat(PIXEL), media=True, output_tokens=None)
    assert kept == (seeing,) and lacking == {"blind": "vision"}
    assert able((blind, seeing), chat(), media=False, output_tokens=None) == ((blind, seeing), {})


def test_where_none_is_left_all_are_asked_since_a_list_may_be_wrong() -> None:
    blind = (target("a", "vision"), target("b", "vision"))
    assert able(blind, chat(PIXEL), media=True, output_tokens=None) == (blind, {})


def test_a_target_that_cannot_write_so_much_is_left_out() -> None:
    short, long, unknown = target("short", most=4_096), target("long", most=64_000), target("unknown")
    kept, lacking = able((short, long, unknown), chat(), media=False, output_tokens=8_000)
    assert kept == (long, unknown) and lacking == {"short": "8000 tokens of output"}
    assert able((short, long), chat(), media=False, output_tokens=4_096)[1] == {}
