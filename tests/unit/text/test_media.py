"""Images, audio and files are no text: what they count, whatever is beside them."""

import base64
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.asking import ACME
from tests.pace import turns

from farthing.brain.compose import compose
from farthing.edge.openai import Asked, Reader
from farthing.models.pricing.afford import affordable
from farthing.models.tokens.chat import count_chat
from farthing.models.tokens.estimate import EstimateCounter
from farthing.text.media import measure
from farthing.text.media_headers import image_size
from farthing.text.media_rules import image_tokens
from farthing.types import DEFAULT_ENDPOINT, Price, Prompt, Request, Target, Terms, Traits

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 1024, 768) + bytes(450_000)
URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
IMAGE = {"type": "image_url", "image_url": {"url": URL}}
TEXT = {"type": "text", "text": "What is in this picture?"}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
LIMITED = Terms(input_tokens_max=4_000, usd_max_nusd=500_000_000)
PRICE = Price(since="0000-00-00", input_pusd=2_500_000, output_pusd=10_000_000)


def chat(content: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": content}], **fields}


def read(body: dict[str, Any]) -> Request:
    """As the edge reads it."""
    asked = Asked(id="r", tenant=ACME, headers={}, received_s=0.0, body_bytes=len(str(body)))
    reader = Reader({}, DEFAULT_ENDPOINT, b"key")
    return reader.embeddings(body, asked) if "input" in body else reader.chat(body, asked)


def bounded(body: dict[str, Any]) -> Prompt:
    return compose(read(body), Traits(), LIMITED)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tools": TOOLS},
        {"functions": [TOOLS[0]["function"]]},
        {"response_format": {"type": "json_object"}},
        {"tools": TOOLS, "response_format": {"type": "json_object"}},
    ],
    ids=lambda fields: "+".join(fields) or "nothing",
)
@pytest.mark.parametrize(
    "content",
    [
        [TEXT, IMAGE],
        [TEXT, {"type": "image_url", "image_url": URL}],
        [TEXT, {"type": "input_image", "image_url": URL}],
        [TEXT, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": URL[22:]}}],
        [{"type": "tool_result", "tool_use_id": "t", "content": [TEXT, IMAGE]}],
        [{"type": "invented", "inside": {"deeper": [URL]}}, TEXT],
    ],
    ids=["url", "bare-url", "input", "source", "nested", "unknown"],
)
def test_an_image_counts_by_its_size_whatever_is_beside_it(content: Any, fields: dict[str, Any]) -> None:
    request = read(chat(content, **fields))
    assert request.media_tokens == 85 + 170 * 4
    assert request.prompt_chars < 1_000
    bound = bounded(chat(content, **fields)).input_tokens_bound
    assert bound is not None and 765 < bound < 6_000


def test_an_image_in_the_result_of_a_tool_is_an_image() -> None:
    body = chat("go on", tools=TOOLS)
    body["messages"].append({"role": "tool", "tool_call_id": "c", "content": [TEXT, IMAGE]})
    request = read(body)
    assert (request.media_tokens, request.prompt_chars < 1_000) == (765, True)


def test_the_json_of_tools_is_text_beside_an_image() -> None:
    long = [{"type": "function", "function": {"name": "look", "description": "x" * 10_000}}]
    with_tools, without = read(chat([TEXT, IMAGE], tools=long)), read(chat([TEXT, IMAGE]))
    assert 10_000 < with_tools.prompt_chars - without.prompt_chars < 10_200


@pytest.mark.parametrize("content", [URL, [{"type": "text", "text": URL}]], ids=["text", "part"])
def test_a_picture_that_is_spelled_out_as_text_is_text(content: Any) -> None:
    assert measure(chat(content)).chars > 600_000
    assert read(chat(content)).media_tokens == 0


def test_text_beside_the_messages_that_nobody_reads_is_counted_where_it_is_much() -> None:
    body = chat("go on")
    body["messages"].insert(0, {"role": "assistant", "content": "", "reasoning_content": "think " * 10_000})
    assert read(body).prompt_chars > 60_000
    bound = bounded(body).input_tokens_bound
    assert bound is not None and bound > 60_000


def test_audio_counts_by_its_seconds_and_a_file_by_its_size() -> None:
    second = base64.b64encode(bytes(48_000)).decode()
    audio = {"type": "input_audio", "input_audio": {"data": second, "format": "wav"}}
    file = {"type": "file", "file": {"file_data": "data:application/pdf;base64," + second * 2}}
    assert measure(chat([audio])).media_tokens == 11
    assert measure(chat([file])).media_tokens == 2 * 2_000
    assert bounded(chat([audio])).dearer == {"media"}
    assert bounded(chat([file])).input_tokens_bound >= 1_000_000  # type: ignore[operator]
    assert measure(chat([{"type": "file", "file": {"file_id": "file-1"}}])).media_tokens == 2_000


def test_ids_of_tokens_count_one_each_and_images_of_embeddings_are_images() -> None:
    assert read({"model": "e", "input": [[1, 2, 3], [4, 5]]}).prompt_chars == 4 * 5
    assert read({"model": "e", "input": list(range(300))}).prompt_chars == 4 * 300
    assert read({"model": "e", "input": ["four", "five"]}).prompt_chars == 8
    pictured = read({"model": "e", "input": [{"image": URL}]})
    assert (pictured.media_tokens, pictured.prompt_chars < 100) == (765, True)


@pytest.mark.parametrize(
    ("size", "detail", "tokens"),
    [
        ((1024, 1024), "high", 765),
        ((2048, 4096), "high", 1_105),
        ((4096, 8192), "low", 85),
        ((64, 64), "auto", 255),
        (None, "auto", 1_105),
        (None, "low", 85),
    ],
)
def test_an_image_is_counted_as_openai_documents_it(
    size: tuple[int, int] | None, detail: str, tokens: int
) -> None:
    assert image_tokens(size, detail) == tokens


def data_url(raw: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64," + base64.b64encode(raw + bytes(64)).decode()


def jpeg(before: int) -> bytes:
    exif = b"\xff\xe1" + struct.pack(">H", before + 2) + bytes(before)
    return b"\xff\xd8" + exif + b"\xff\xc2\x00\x11\x08" + struct.pack(">HH", 480, 640)


@pytest.mark.parametrize(
    ("url", "size"),
    [
        (URL, (1024, 768)),
        (data_url(b"GIF89a" + struct.pack("<HH", 320, 200), "gif"), (320, 200)),
        (data_url(jpeg(20), "jpeg"), (640, 480)),
        (data_url(jpeg(60_000), "jpeg"), (640, 480)),
        (data_url(b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + b"\x7f\x02\0\xdf\x01\0", "webp"), (640, 480)),
        (data_url(b"RIFF\0\0\0\0WEBPVP8 " + bytes(10) + struct.pack("<HH", 640, 480), "webp"), (640, 480)),
        (data_url(b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0/" + struct.pack("<I", 639 | 479 << 14), "webp"), (640, 480)),
        ("https://example.com/cat.png", None),
        ("data:image/png;base64,????", None),
        ("data:image/png", None),
        (data_url(b"\xff\xd8\xff\xe1"), None),
        (data_url(b"\x89PNG\r\n\x1a\n"), None),
        (data_url(zlib.compress(b"neither")), None),
        ("", None),
    ],
)  # fmt: skip
def test_the_size_is_read_from_the_header_or_not_at_all(url: str, size: tuple[int, int] | None) -> None:
    assert image_size(url) == size


def test_the_bound_of_images_is_that_of_the_target() -> None:
    prompt = bounded(chat([TEXT, {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}]))
    worst = {
        model: affordable(prompt, Target(name=f"p/{model}", provider="p", model=model, price=PRICE), 10**12)[
            1
        ]
        for model in ("gpt-4o", "gpt-4o-mini")
    }
    assert worst["gpt-4o"] is not None and worst["gpt-4o-mini"] is not None
    assert worst["gpt-4o-mini"] - worst["gpt-4o"] == 50_000 * 2_500


def test_what_is_dearer_is_known_where_money_is_limited() -> None:
    body = chat(
        [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        service_tier="priority",
        web_search_options={},
    )
    assert bounded(body).dearer == {"cache_write_long", "priority", "web_search"}
    assert bounded(chat("x", service_tier="auto")).dearer == frozenset()
    assert bounded(chat("x", web_search_options=None, modalities=None)).dearer == frozenset()
    assert bounded(chat("x", service_tier="flex")).dearer == frozenset()
    assert bounded(chat("x", modalities=["text", "audio"])).dearer == {"media"}


def test_an_exact_count_has_the_images_too() -> None:
    counter = EstimateCounter()
    alone = count_chat(counter, chat([TEXT]), "gpt-4o")
    assert count_chat(counter, chat([TEXT, IMAGE], tools=TOOLS), "gpt-4o") - alone == pytest.approx(
        765, abs=80
    )


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["", "x", "data:image/png;base64,AAAA", "1h"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["url", "data", "format", "ttl", "type", "text", "detail", "source", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
KINDS = ODD | st.sampled_from(["image_url", "image", "input_audio", "audio", "file", "video", "text"])
PARTS = st.fixed_dictionaries(
    {"type": KINDS},
    optional={
        name: ODD
        for name in ("image_url", "input_audio", "file", "source", "image", "detail", "text", "cache_control")
    },
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        name: ODD
        for name in (
            "modalities",
            "audio",
            "functions",
            "response_format",
            "service_tier",
            "speed",
            "inference_geo",
            "web_search_options",
            "prompt_cache_retention",
            "prompt_cache_options",
        )
    },
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(PARTS | ODD, max_size=3), FIELDS)
def test_a_field_of_any_type_is_the_providers_to_judge_and_no_fault_of_ours(
    parts: list[Any], fields: dict[str, Any]
) -> None:
    prompt = bounded(chat(parts, **fields))
    assert prompt.input_tokens_bound is not None and prompt.input_tokens_bound > 0


@pytest.mark.parametrize("odd", [5, True, 2.5, "audio", {"audio": 1}, [5], [None]])
@pytest.mark.parametrize(
    "field", ["modalities", "audio", "functions", "response_format", "prompt_cache_options"]
)
def test_fields_of_any_type_are_measured(field: str, odd: Any) -> None:
    assert measure(chat([IMAGE, TEXT], **{field: odd})).images == 1


@pytest.mark.parametrize("kind", [{}, [], ["text"], 5, None, True])
def test_a_part_whose_type_is_no_word_is_taken_as_text(kind: Any) -> None:
    found = measure(chat([{"type": kind, "text": "hello", "cache_control": {"ttl": kind}}]))
    assert found.chars >= len("hello") and not found.media


def test_a_picture_made_of_empty_segments_takes_no_longer_than_others() -> None:
    """One body holds hundreds of them, and they are read on the loop: 9 ms each without a bound."""
    hostile = b"\xff\xd8" + b"\xff\x01\x00\x02" * 18_000
    found = "data:image/jpeg;base64," + base64.b64encode(hostile).decode()
    assert image_size(found) is None
    assert turns(lambda: image_size(found)) < 100_000
