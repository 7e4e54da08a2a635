"""What each family counts for images, audio, video and documents, by the numbers that providers publish."""

import base64
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pace import turns

from farthing.models.tokens.chat import count_chat
from farthing.models.tokens.estimate import EstimateCounter
from farthing.text.media import FILE_TOKENS_MAX, UNSEEN_TOKENS, Measure, measure
from farthing.text.media_headers import image_size, pdf_pages, video_seconds, wav_seconds
from farthing.text.media_rules import image_tokens_max, rules_of


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o-2024-08-06", "gpt-4"),
        ("openai/gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4.1", "gpt-4"),
        ("gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"),
        ("gpt-4.1-nano", "gpt-4.1-nano"),
        ("o3", "o1, o3"),
        ("o1-pro", "o1, o3"),
        ("o4-mini", "o4-mini"),
        ("gpt-5", "gpt-5"),
        ("gpt-5-mini", "gpt-5-mini"),
        ("gpt-5.2", "gpt-5.2"),
        ("gpt-5.6", "gpt-5.4 and later"),
        ("claude-3-5-sonnet-20241022", "claude"),
        ("anthropic.claude-sonnet-4-20250514-v1:0", "claude"),
        ("claude-sonnet-4-6", "claude"),
        ("claude-opus-4-7", "claude from 4.7"),
        ("vertex/claude-opus-5@20260801", "claude from 4.7"),
        ("claude-opus-4.8", "claude from 4.7"),
        ("gemini-2.5-pro", "gemini"),
        ("models/gemini-3-flash-preview", "gemini from 3"),
        ("qwen2.5-vl-72b-instruct", "qwen"),
        ("qwen3-vl-plus", "qwen from 3"),
        ("pixtral-12b-2409", "pixtral 12b"),
        ("mistral-medium-latest", "mistral"),
        ("grok-4-fast", "grok"),
        ("llama-4-maverick", "other"),
        ("", "other"),
    ],
)
def test_the_family_is_told_by_the_name(model: str, family: str) -> None:
    assert rules_of(model).family == family


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        ("gpt-4o", (1024, 1024), "high", 765),
        ("gpt-4o", (2048, 4096), "high", 1_105),
        ("gpt-4o", (4096, 8192), "low", 85),
        ("gpt-4o-mini", (1024, 1024), "high", 2_833 + 4 * 5_667),
        ("o1", (1024, 1024), "high", 75 + 4 * 150),
        ("gpt-5", (1024, 1024), "auto", 70 + 4 * 140),
        ("gpt-4.1-mini", (1024, 1024), "auto", round(1_024 * 1.62)),
        ("o4-mini", (1800, 2400), "auto", round(1_452 * 1.72)),  # the example of OpenAI's guide
        ("gpt-5.6", (6000, 6000), "original", round(10_000 * 1.2)),
        ("claude-sonnet-4-5", (200, 200), "auto", 64),
        ("claude-sonnet-4-5", (1000, 1000), "auto", 1_296),
        ("claude-sonnet-4-5", (1092, 1092), "auto", 1_521),
        ("claude-sonnet-4-5", (8000, 8000), "auto", 1_568),
        ("claude-opus-4-7", (1920, 1080), "auto", 2_691),
        ("claude-opus-4-7", (8000, 8000), "auto", 4_784),
        ("gemini-2.5-flash", (384, 384), "auto", 258),
        ("gemini-2.5-flash", (960, 540), "auto", 6 * 258),  # the example of Google's guide
        ("gemini-3-pro", (960, 540), "auto", 1_120),
        ("qwen2.5-vl-7b", (1120, 560), "auto", 40 * 20 + 2),
        ("pixtral-12b", (1024, 1024), "auto", 64 * 65),
        ("grok-4", (448, 448), "auto", 512),
        ("llama-4", (1024, 1024), "auto", 765),
    ],
)
def test_an_image_counts_what_its_provider_says(
    model: str, size: tuple[int, int], detail: str, tokens: int
) -> None:
    assert rules_of(model).image(size, detail) == tokens


MODELS = ["gpt-4o", "gpt-4.1-nano", "o1", "gpt-5.6", "claude-3-opus", "claude-opus-5", "gemini-2.0-flash"]
MODELS += ["gemini-3-pro", "qwen2.5-vl", "qwen3-vl", "pixtral-12b", "pixtral-large", "grok-4", "llama-4"]


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 99_999), st.integers(1, 99_999), st.sampled_from(MODELS))
def test_an_image_of_any_size_counts_something_and_no_more_than_the_bound(
    width: int, height: int, model: str
) -> None:
    for detail in ("auto", "low", "high", "original", "?"):
        tokens = rules_of(model).image((width, height), detail)
        assert 0 < tokens <= max(12_000, image_tokens_max((width, height)))
    assert 0 < rules_of(model).image(None, "auto") <= image_tokens_max(None)


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def wav(seconds: float, rate: int = 16_000, claims: int | None = None) -> bytes:
    data = bytes(int(seconds * rate) * 2)
    head = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate, rate * 2, 2, 16)
    size = len(data) if claims is None else claims
    return b"RIFF" + struct.pack("<I", size) + b"WAVE" + head + b"data" + struct.pack("<I", size) + data


def mp4(seconds: int, before: int = 0) -> bytes:
    mvhd = b"mvhd" + bytes(12) + struct.pack(">II", 1_000, seconds * 1_000) + bytes(80)
    return struct.pack(">I", 24) + b"ftypisom" + bytes(12) + bytes(before) + mvhd


def pdf(pages: int, before: int = 0, linear: bool = False) -> bytes:
    first = b"1 0 obj <</Linearized 1/L 9/O 5/N %d>>\n" % pages if linear else b""
    tree = b"2 0 obj\n<< /Type /Pages /Kids [] /Count %d >>\nendobj\n" % pages
    inner = b"3 0 obj\n<< /Count 1 /Type/Pages >>\nendobj\n"
    return b"%PDF-1.7\n" + first + bytes(before) + inner + (b"" if linear else tree) + bytes(200 * pages)


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (wav(3.0), 3.0),
        (wav(2.0, 8_000), 2.0),
        (wav(1.0, claims=0), 1.0),
        (wav(1.0, claims=0xFFFFFFFF), 1.0),
        (wav(1.0)[:30], None),
        (b"RIFF", None),
        (b"", None),
    ],
)
def test_a_wav_is_as_long_as_the_data_that_is_there(raw: bytes, seconds: float | None) -> None:
    found = wav_seconds(encoded(raw))
    assert found == (None if seconds is None else pytest.approx(seconds, rel=0.01))


@pytest.mark.parametrize(
    ("raw", "seconds"), [(mp4(90), 90.0), (mp4(7, 300_000), 7.0), (mp4(0), None), (b"x" * 99, None)]
)
def test_a_video_says_how_long_it_is_at_an_end(raw: bytes, seconds: float | None) -> None:
    assert video_seconds("data:video/mp4;base64," + encoded(raw)) == seconds


@pytest.mark.parametrize(
    ("raw", "pages"),
    [
        (pdf(12), 12),
        (pdf(40, 500_000)[:-6_000], 40),
        (pdf(7, linear=True), 7),
        (pdf(1)[:300], 1),
        (b"%PDF-1.7\n<< /Type /Pages /Count 999999 >>", None),  # more than its bytes can be
        (b"%PDF-1.7\n<< /Type /Outlines /Count 5 >>", None),
        (b"%PDF-1.7\n" + bytes(5_000), None),
        (b"GIF89a", None),
    ],
)
def test_a_pdf_says_how_many_pages_it_has(raw: bytes, pages: int | None) -> None:
    assert pdf_pages("data:application/pdf;base64," + encoded(raw)) == pages


def chat(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def of(model: str, *parts: Any) -> Measure:
    return measure(chat(*parts), rules_of(model))


PDF = {
    "type": "file",
    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64," + encoded(pdf(10))},
}


def test_a_document_counts_by_its_pages_and_audio_and_video_by_their_seconds() -> None:
    assert of("claude-opus-4-1", PDF).media_tokens == 23_000
    assert of("gemini-2.5-pro", PDF).media_tokens == 2_580
    sound = {"type": "input_audio", "input_audio": {"data": encoded(wav(10)), "format": "wav"}}
    assert of("gpt-4o-audio-preview", sound).media_tokens == 101
    assert of("gemini-2.5-pro", sound).media_tokens == 321
    film = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64," + encoded(mp4(60))}}
    assert of("gemini-2.5-pro", film).media_tokens == 60 * 263 + 1
    assert of("gemini-3-pro", film).media_tokens == 60 * 102 + 1


SOURCE = {"type": "base64", "media_type": "application/pdf", "data": encoded(pdf(10))}


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        ({"type": "document", "source": SOURCE, "title": "A title"}, 23_000),
        ({"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}, UNSEEN_TOKENS),
        ({"type": "document", "source": {"type": "file", "file_id": "file_1"}}, UNSEEN_TOKENS),
        ({"type": "file", "file": {"file_id": "file_1"}}, UNSEEN_TOKENS),
        ({"type": "file", "file": {"file_url": "https://example.com/a.pdf"}}, UNSEEN_TOKENS),
        ({"type": "document", "source": {"type": "text", "data": "x" * 4_000}}, 0),
        ({"type": "document", "text": "x" * 4_000, "title": "A title"}, 0),
        ({"type": "document", "content": [{"type": "text", "text": "x" * 4_000}]}, 0),
        ({"type": "document", "content": "data:image/png;base64," + "x" * 4_000}, 0),
        ({"type": "image_url", "image_url": {"file_id": "file_1"}}, 1_568),
        ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, 1_568),
        ({"type": "redacted_thinking", "data": "A" * 4_000}, 750),
        ({"type": "thinking", "thinking": "x" * 4_000, "signature": "A" * 400}, 75),
        ({"type": "file", "file": {"file_data": "data:text/csv;base64," + encoded(b"a,b\n" * 1_000)}}, 1_001),
    ],
)  # fmt: skip
def test_every_form_of_a_document_is_counted_as_what_it_is(part: dict[str, Any], tokens: int) -> None:
    found = of("claude-opus-4-1", part)
    assert found.media_tokens == tokens
    assert found.chars < 4_200
    assert (found.chars > 4_000) is ("x" * 4_000 in str(part))
    in_result = {"role": "tool", "tool_call_id": "c", "content": [part, {"type": "text", "text": "so"}]}
    assert measure({"messages": [in_result]}, rules_of("claude-opus-4-1")).media_tokens == tokens


def test_an_exact_count_counts_text_wherever_it_stands() -> None:
    counter = EstimateCounter()
    empty = count_chat(counter, chat(), "claude-opus-4-1")
    text = "some words " * 100
    forms: list[Any] = [
        {"type": "text", "text": text},
        {"type": "document", "text": text},
        {"type": "document", "content": [{"type": "text", "text": text}]},
        {"type": "document", "source": {"type": "text", "data": text}},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": text}]},
    ]
    for form in forms:
        assert 150 < count_chat(counter, chat(form), "claude-opus-4-1") - empty < 300
    thought = {
        "role": "assistant",
        "content": "",
        "thinking_blocks": [{"type": "thinking", "thinking": text}],
    }
    assert 150 < count_chat(counter, {"messages": [thought]}, "claude-opus-4-1") - empty < 300


HEADS = [
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"\xff\xd8\xff",
    b"RIFF\0\0\0\0WEBP",
    b"RIFF\0\0\0\0WAVE",
    b"%PDF-1.7",
]
HEADS += [b"\0\0\0\x18ftypisom", b""]
RAW = st.tuples(st.sampled_from(HEADS), st.binary(max_size=200)).map(b"".join).map(encoded)
DATA = st.one_of(RAW, RAW.map("data:application/octet-stream;base64,{}".format), st.text(max_size=40))
KINDS = [
    "image_url",
    "image",
    "input_audio",
    "document",
    "file",
    "video_url",
    "redacted_thinking",
    "audio_url",
]
ODD = st.one_of(st.none(), st.integers(), DATA, st.lists(DATA, max_size=2))
INNER = st.dictionaries(
    st.sampled_from(["url", "data", "file_data", "type", "media_type", "format", "file_id", "content"]), ODD
)
PARTS = st.dictionaries(
    st.sampled_from(["source", "image_url", "input_audio", "file", "text", "content", "data", "signature"]),
    st.one_of(ODD, INNER),
)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(PARTS, st.sampled_from(KINDS), st.sampled_from(MODELS))
def test_data_of_any_kind_counts_between_its_bounds(part: dict[str, Any], kind: str, model: str) -> None:
    found = of(model, {**part, "type": kind})
    assert 0 <= found.media_tokens_low <= found.media_tokens + 1
    assert found.media_tokens <= found.media_tokens_high + 1 <= found.media_tokens_bound + 2
    assert found.media_tokens_bound <= found.media_tokens_max + 1
    assert found.media_tokens_max <= 4 * FILE_TOKENS_MAX


@pytest.mark.parametrize(
    "raw",
    [
        b"%PDF-1.7" + b"/Linearized" * 400_000,
        b"%PDF-1.7" + b"<</Type /Pages " * 300_000,
        b"%PDF-1.7" + b"/Type /Pages /Count 9 " * 200_000,
        b"%PDF-1.7" + b"<<" * 2_000_000,
        b"\0\0\0\x18ftyp" + b"mvhd" * 1_000_000,
        b"RIFF\0\0\0\0WAVE" + b"LIST\0\0\0\0" * 500_000,
        b"\xff\xd8\xff" + b"\xff\x01\x00\x02" * 1_000_000,
        b"\x89PNG\r\n\x1a\n" + bytes(4_000_000),
    ],
    ids=["linear", "nodes", "counts", "dicts", "boxes", "chunks", "segments", "png"],
)
def test_no_data_holds_the_loop_for_long(raw: bytes) -> None:
    """Turns of an empty loop, some 20 ns each: at most 2 ms, whatever its megabytes are."""
    part = {"type": "file", "file": {"file_data": encoded(raw)}}
    assert turns(lambda: of("claude-opus-4-1", part)) < 100_000
    assert turns(lambda: image_size(encoded(b"") + part["file"]["file_data"])) < 100_000  # type: ignore[index]


def test_a_wav_whose_stated_rate_lies_is_as_long_as_it_plays() -> None:
    raw = bytearray(wav(2.0))
    at = raw.index(b"fmt ") + 16
    raw[at : at + 4] = struct.pack("<I", 4_000_000_000)
    assert wav_seconds(encoded(bytes(raw))) == pytest.approx(2.0)
