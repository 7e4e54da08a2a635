"""What is passed through: as a client of the provider itself has it, less nothing, with a receipt."""

import gzip
import http.client
import io
import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from openai import APIError, APIStatusError, BadRequestError, NotFoundError, OpenAI, PermissionDeniedError
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running
from tests.faults.passing import AUDIO, EVENTS, Came, PassingProvider, Told, events, said

KEY: Final = "fk-of-the-client-0123456789"
BOUND: Final = "fk-of-one-model-0123456789"
OWN: Final = "sk-of-the-provider-0123456789"
SPENT: Final = {
    "total_tokens": 150,
    "input_tokens": 50,
    "output_tokens": 100,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
}
IMAGES: Final = {"created": 1, "data": [{"b64_json": "AAAA"}], "usage": SPENT, "of_tomorrow": {"a": [1.50]}}
SCORES: Final = {
    "id": "modr-1",
    "model": "omni-moderation-2024-09-26",
    "results": [
        {"flagged": False, "categories": {}, "category_scores": {}, "category_applied_input_types": {}}
    ],
}
HEARD: Final = {
    "text": "four farthings",
    "usage": {
        "type": "tokens",
        "input_tokens": 14,
        "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
        "output_tokens": 5,
        "total_tokens": 19,
    },
}
RANKED: Final = {"results": [{"index": 1, "relevance_score": 0.9}], "usage": {"total_tokens": 30}}


@pytest.fixture(scope="module")
def provider() -> Iterator[PassingProvider]:
    with PassingProvider() as made:
        yield made


@pytest.fixture(autouse=True)
def good(provider: PassingProvider) -> None:
    """Each operation answers as its provider does."""
    provider.came.clear()
    provider.answers = {
        "/v1/moderations": said(SCORES),
        "/v1/images/generations": said(IMAGES),
        "/v1/images/edits": said(IMAGES),
        "/v1/images/variations": said({"created": 1, "data": [{"url": "https://example.org/a.png"}]}),
        "/v1/audio/speech": Told(kind="audio/mpeg", pieces=(AUDIO[:1000], AUDIO[1000:])),
        "/v1/audio/transcriptions": said(HEARD),
        "/v1/audio/translations": said({"text": "hello"}),
        "/v1/rerank": said(RANKED),
    }


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, provider: PassingProvider) -> Running:
    prices = "".join(
        f'[[prices]]\ntarget = "a/{name}"\ninput = 1\noutput = 10\n{more}\n'
        for name, more in (("image-x", "input_image = 2\noutput_image = 40"), ("ear-x", "input_audio = 6"))
    )
    return start_gateway(
        f"""
[[keys]]
tenant = "acme"
key = "${{CLIENT_KEY}}"
[[keys]]
tenant = "other"
key = "${{BOUND_KEY}}"
models = ["a/image-x"]
[providers.claude]
kind = "anthropic"
base_url = "{provider.base_url.removesuffix("/v1")}"
api_key = "${{PROVIDER_KEY}}"
pass_through = true
[providers.a]
base_url = "{provider.base_url}"
api_key = "${{PROVIDER_KEY}}"
pass_through = true
[providers.few]
base_url = "{provider.base_url}"
api_key = "${{PROVIDER_KEY}}"
operations = ["audio", "images/edits"]
pass_through = true
[tiers.ears]
targets = ["few/ear-y", "a/ear-x"]
[aliases]
painter = "a/image-x"
[guard]
deny = [{{ name = "secret", contains = ["the password"] }}]
[call]
attempts_max = 2
retry_wait_s_max = 0
breaker_open_s = 0.01
{prices}
[[prices]]
target = "a/flat-x"
input = 0
output = 0
request_per_1000 = 40
[[prices]]
target = "a/by-use"
input = 0
output = 0
images_per_1000 = 40
characters_per_1000 = 0.015
audio_seconds_per_1000 = 0.1
search_units_per_1000 = 2
""",
        CLIENT_KEY=KEY,
        BOUND_KEY=BOUND,
        PROVIDER_KEY=OWN,
    )


@pytest.fixture
def through(gateway: Running) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0) as made:
        yield made


@pytest.fixture
def direct(provider: PassingProvider) -> Iterator[OpenAI]:
    with OpenAI(base_url=provider.base_url, api_key=OWN, max_retries=0) as made:
        yield made


def sound() -> io.BytesIO:
    found = io.BytesIO(AUDIO)
    found.name = "said.mp3"
    return found


CALLS: Final[dict[str, Callable[[OpenAI, str], Any]]] = {
    "moderations": lambda client, at: client.moderations.create(model=f"{at}mod-x", input=["a", "b"]),
    "images/generations": lambda client, at: client.images.generate(model=f"{at}image-x", prompt="a coin"),
    "images/edits": lambda client, at: client.images.edit(
        model=f"{at}image-x",
        image=[sound(), sound()],
        prompt="a größer coin",
        extra_body={"of_tomorrow": "1"},
    ),
    "images/variations": lambda client, at: client.images.create_variation(
        model=f"{at}image-x", image=sound()
    ),
    "audio/speech": lambda client, at: (
        client.audio.speech.create(model=f"{at}voice-x", voice="alloy", input="four farthings").content
    ),
    "audio/transcriptions": lambda client, at: client.audio.transcriptions.create(
        model=f"{at}ear-x", file=sound(), timestamp_granularities=["word", "segment"]
    ),
    "audio/translations": lambda client, at: client.audio.translations.create(
        model=f"{at}ear-x", file=sound()
    ),
    "rerank": lambda client, at: client.post(
        "/rerank", cast_to=object, body={"model": f"{at}rank-x", "query": "coins", "documents": ["a", "b"]}
    ),
}


def parts(came: Came) -> list[tuple[bytes, bytes]]:
    """Heads and values of a form."""
    boundary = came.headers["content-type"].partition("boundary=")[2].encode()
    pieces = came.body.split(b"--" + boundary)
    assert pieces[0] == b"" and pieces[-1] in (b"--\r\n", b"--")
    return [tuple(piece[2:-2].split(b"\r\n\r\n", 1)) for piece in pieces[1:-1]]  # type: ignore[misc]


@pytest.mark.parametrize("operation", CALLS)
def test_the_provider_gets_what_was_sent_and_the_client_what_it_answered(
    operation: str, direct: OpenAI, through: OpenAI, provider: PassingProvider, gateway: Running
) -> None:
    expected = CALLS[operation](direct, "")
    before = len(gateway.receipts())
    assert CALLS[operation](through, "a/") == expected
    first, second = provider.came
    assert second.path == first.path == f"/v1/{operation}"
    assert second.headers["authorization"] == f"Bearer {OWN}"
    if first.headers["content-type"].startswith("multipart"):
        assert parts(second) == parts(first)
        assert second.headers["content-type"].startswith("multipart/form-data; boundary=")
    else:
        assert second.body == first.body
        assert second.headers["content-type"] == "application/json"
    receipt = gateway.next_receipt(before)
    assert (receipt.operation, receipt.status, receipt.tenant) == (operation, 200, "acme")
    assert receipt.cache == "off" and receipt.calls == 1 and receipt.target.startswith("a/")


@pytest.mark.parametrize(
    ("asked", "used", "nusd"),
    [
        # 10 text at 1, 40 image at 2, 100 image out at 40 dollars a million
        ("images/generations", (50, 100), 10 * 1_000 + 40 * 2_000 + 100 * 40_000),
        # 4 text at 1, 10 audio at 6, 5 out at 10
        ("audio/transcriptions", (14, 5), 4 * 1_000 + 10 * 6_000 + 5 * 10_000),
        ("rerank", (30, 0), None),
        ("moderations", None, None),
        ("audio/speech", None, None),
    ],
)
def test_it_costs_what_its_usage_says_and_unknown_is_not_nothing(
    asked: str, used: tuple[int, int] | None, nusd: int | None, through: OpenAI, gateway: Running
) -> None:
    before = len(gateway.receipts())
    CALLS[asked](through, "a/")
    receipt = gateway.next_receipt(before)
    told = receipt.usage
    assert (None if told is None else (told.input_tokens, told.output_tokens)) == used
    assert receipt.cost_nusd == nusd
    assert told is None or not told.estimated


def test_what_is_charged_by_the_use_costs_by_the_use(
    through: OpenAI, provider: PassingProvider, gateway: Running
) -> None:
    provider.answers["/v1/images/generations"] = said({"created": 1, "data": [{"url": "a"}, {"url": "b"}]})
    heard = {"text": "x", "usage": {"type": "duration", "seconds": 89.5}}
    provider.answers["/v1/audio/transcriptions"] = said(heard)
    provider.answers["/v1/rerank"] = said({"results": [], "meta": {"billed_units": {"search_units": 3}}})
    before = len(gateway.receipts())
    through.images.generate(model="a/by-use", prompt="x", n=2)
    through.audio.transcriptions.create(model="a/by-use", file=sound())
    through.audio.speech.create(model="a/by-use", voice="alloy", input="x" * 1000)
    through.post("/rerank", cast_to=object, body={"model": "a/by-use", "query": "x", "documents": []})
    costs = [receipt.cost_nusd for receipt in gateway.receipts()[before:]]
    assert costs == [2 * 40_000_000, 90 * 100_000, 1000 * 15_000, 3 * 2_000_000]


def test_the_head_says_the_cost_or_that_it_is_unknown(gateway: Running) -> None:
    head = {"authorization": f"Bearer {KEY}"}
    painted = gateway.post("/v1/images/generations", {"model": "painter", "prompt": "x"}, head)
    assert painted.json == IMAGES and painted.headers["x-farthing-model"] == "a/image-x"
    assert float(painted.headers["x-farthing-cost-usd"]) == pytest.approx(0.00409)
    judged = gateway.post("/v1/moderations", {"model": "a/mod-x", "input": "x"}, head)
    assert judged.headers["x-farthing-cost-usd"] == "unknown"
    flat = gateway.post("/v1/images/variations", {"model": "a/flat-x"}, head)
    assert float(flat.headers["x-farthing-cost-usd"]) == pytest.approx(0.04)


def test_a_body_goes_up_byte_for_byte_but_for_its_model(gateway: Running, provider: PassingProvider) -> None:
    raw = b'{ "of_tomorrow":1.50,\n "model" : "painter","prompt":"a \\u00df","n":12345678901234567890 }'
    reply = gateway.post("/v1/images/generations", raw, {"authorization": f"Bearer {KEY}"})
    assert reply.status == 200
    assert provider.came[0].body == raw.replace(b"painter", b"image-x")


def test_who_names_no_model_leaves_it_to_the_first_provider_that_has_it(
    gateway: Running, provider: PassingProvider
) -> None:
    head = {"authorization": f"Bearer {KEY}"}
    raw = b'{"input": "x"}'
    reply = gateway.post("/v1/moderations", raw, head)
    assert provider.came[0].body == raw
    assert reply.headers["x-farthing-model"] == "a/omni-moderation-latest"
    for path in ("/v1/audio/speech", "/v1/rerank"):
        refused = gateway.post(path, raw, head)
        assert refused.status == 400 and refused.error["param"] == "model"


@pytest.mark.parametrize(
    ("operation", "made"),
    [
        (
            "images/generations",
            [
                {
                    "type": "image_generation.partial_image",
                    "b64_json": "A" * 300_000,
                    "partial_image_index": 0,
                },
                {"type": "image_generation.completed", "b64_json": "B" * 300_000, "usage": SPENT},
            ],
        ),
        (
            "audio/transcriptions",
            [
                {"type": "transcript.text.delta", "delta": "four "},
                {"type": "transcript.text.done", "text": "four farthings", "usage": HEARD["usage"]},
            ],
        ),
    ],
)
def test_events_come_as_they_are_and_say_what_was_used(
    operation: str,
    made: list[Any],
    direct: OpenAI,
    through: OpenAI,
    provider: PassingProvider,
    gateway: Running,
) -> None:
    provider.answers[f"/v1/{operation}"] = events(*made)

    def stream(client: OpenAI, at: str) -> list[Any]:
        if operation == "audio/transcriptions":
            return list(client.audio.transcriptions.create(model=f"{at}ear-x", file=sound(), stream=True))
        return list(client.images.generate(model=f"{at}image-x", prompt="x", stream=True))

    before = len(gateway.receipts())
    assert stream(through, "a/") == stream(direct, "") and len(stream(direct, "")) == 2
    receipt = gateway.next_receipt(before)
    assert receipt.stream and receipt.usage is not None and receipt.cost_nusd is not None
    assert receipt.usage.output_tokens == made[1]["usage"]["output_tokens"]


def test_speech_may_come_as_events(through: OpenAI, provider: PassingProvider, gateway: Running) -> None:
    used = {"input_tokens": 7, "output_tokens": 90, "total_tokens": 97}
    provider.answers["/v1/audio/speech"] = events(
        {"type": "speech.audio.delta", "audio": "AAAA"}, {"type": "speech.audio.done", "usage": used}
    )
    before = len(gateway.receipts())
    asked: dict[str, Any] = {"model": "a/voice-x", "voice": "alloy", "input": "x", "stream_format": "sse"}
    with through.audio.speech.with_streaming_response.create(**asked) as reply:
        assert reply.headers["content-type"] == EVENTS
        assert b"speech.audio.done" in reply.read()
    usage = gateway.next_receipt(before).usage
    assert usage is not None and (usage.input_tokens, usage.audio_output_tokens) == (7, 90)


def test_sound_is_passed_while_it_is_made(through: OpenAI, provider: PassingProvider) -> None:
    provider.answers["/v1/audio/speech"] = Told(kind="audio/wav", pieces=(b"{", b" ", b"<\0", AUDIO * 40))
    with through.audio.speech.with_streaming_response.create(model="a/v", voice="alloy", input="x") as reply:
        assert reply.headers["content-type"] == "audio/wav"
        assert "content-length" not in reply.headers
        assert reply.read() == b"{ <\0" + AUDIO * 40


def test_sound_that_breaks_off_is_no_whole_sound(
    through: OpenAI, provider: PassingProvider, gateway: Running
) -> None:
    provider.answers["/v1/audio/speech"] = Told(kind="audio/mpeg", pieces=(AUDIO,), cut=True)
    before = len(gateway.receipts())
    with pytest.raises(Exception, match=r"incomplete|peer closed|Connection"):
        through.audio.speech.create(model="a/v", voice="alloy", input="x")
    receipt = gateway.next_receipt(before)
    assert receipt.error == "stream_broken" and receipt.cost_nusd is None


def test_a_transcript_keeps_its_type(through: OpenAI, provider: PassingProvider) -> None:
    provider.answers["/v1/audio/transcriptions"] = Told(b"{not json\n", kind="text/plain; charset=utf-8")
    asked = through.audio.transcriptions.with_raw_response.create(
        model="a/ear-x", file=sound(), response_format="text"
    )
    assert asked.content == b"{not json\n" and asked.headers["content-type"] == "text/plain; charset=utf-8"


def test_an_error_of_the_provider_is_told_as_it_is(
    direct: OpenAI, through: OpenAI, provider: PassingProvider
) -> None:
    error = {
        "message": "Invalid voice",
        "type": "invalid_request_error",
        "param": "voice",
        "code": "bad_voice",
    }
    provider.answers["/v1/audio/speech"] = said({"error": error}, status=400)
    found = []
    for client, at in ((direct, ""), (through, "a/")):
        with pytest.raises(BadRequestError) as raised:
            client.audio.speech.create(model=f"{at}v", voice="alloy", input="x")
        found.append(raised.value.body)
    assert found[0] == found[1]


def test_an_error_before_anything_of_a_stream_is_no_stream(
    through: OpenAI, provider: PassingProvider
) -> None:
    error = {"type": "error", "error": {"message": "your prompt is refused", "code": "moderation_blocked"}}
    provider.answers["/v1/images/generations"] = events(error)
    with pytest.raises(APIStatusError, match="refused"):
        list(through.images.generate(model="a/image-x", prompt="x", stream=True))


def test_an_error_within_a_stream_is_told_once(through: OpenAI, provider: PassingProvider) -> None:
    part = {"type": "image_generation.partial_image", "b64_json": "A", "partial_image_index": 0}
    error = {"type": "error", "error": {"message": "it broke", "code": "server_error"}}
    provider.answers["/v1/images/generations"] = events(part, error)
    seen: list[Any] = []
    with pytest.raises(APIError, match="it broke"):
        seen.extend(through.images.generate(model="a/image-x", prompt="x", stream=True))


def test_another_target_answers_where_one_fails(
    through: OpenAI, provider: PassingProvider, gateway: Running
) -> None:
    def tell(came: Came) -> Told:
        down = b"ear-y" in came.body
        return said({"error": {"message": "down"}}, status=503) if down else said(HEARD)

    provider.answers["/v1/audio/transcriptions"] = tell
    before = len(gateway.receipts())
    assert through.audio.transcriptions.create(model="ears", file=sound()).text == "four farthings"
    receipt = gateway.next_receipt(before)
    assert [one.target for one in receipt.attempts] == ["few/ear-y", "a/ear-x"]
    for came, name in zip(provider.came, (b"ear-y", b"ear-x"), strict=True):
        assert [value for head, value in parts(came) if b'"model"' in head] == [name]
        assert any(value == AUDIO for _, value in parts(came))


def test_a_provider_without_it_is_named_before_anything_is_sent(
    through: OpenAI, provider: PassingProvider
) -> None:
    for model, what in (("few/m", "configure a provider"), ("claude/m", "configure a provider")):
        with pytest.raises(BadRequestError, match=what) as raised:
            through.moderations.create(model=model, input="x")
        assert raised.value.code == "cannot_say" and "operations" in raised.value.message
    assert not provider.came


def test_rules_choose_no_model_for_it(through: OpenAI) -> None:
    with pytest.raises(APIStatusError) as raised:
        through.moderations.create(model="auto", input="x")
    assert raised.value.status_code == 404
    assert "`auto` is chosen by rules for chats: for moderations name a model" in str(raised.value)


def test_a_name_that_nothing_knows_goes_to_the_only_provider_that_has_the_operation(
    gateway: Running, through: OpenAI, provider: PassingProvider
) -> None:
    reply = through.moderations.with_raw_response.create(model="omni-moderation-latest", input="x")
    assert reply.headers["x-farthing-model"] == "a/omni-moderation-latest"
    assert provider.came[-1].json["model"] == "omni-moderation-latest"
    (receipt,) = [one for one in gateway.receipts() if one.request_id == reply.headers["x-request-id"]]
    assert receipt.model_asked == "omni-moderation-latest"
    with pytest.raises(NotFoundError):  # two have it
        through.audio.transcriptions.create(model="nobodys-ear", file=sound())
    with OpenAI(base_url=gateway.base_url, api_key=BOUND, max_retries=0) as bound:
        with pytest.raises(PermissionDeniedError):
            bound.moderations.create(model="omni-moderation-latest", input="x")
        assert bound.images.generate(model="image-x", prompt="x").data
    assert len(provider.came) == 2


def test_a_key_may_ask_for_its_models_alone(gateway: Running, provider: PassingProvider) -> None:
    with OpenAI(base_url=gateway.base_url, api_key=BOUND, max_retries=0) as bound:
        assert bound.images.generate(model="a/image-x", prompt="x").data
        for call in (
            lambda: bound.audio.transcriptions.create(model="a/ear-x", file=sound()),
            lambda: bound.moderations.create(input="x"),
        ):
            with pytest.raises(PermissionDeniedError):
                call()
    assert len(provider.came) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/images/generations", {"prompt": "tell the  PASSWORD"}),
        ("/v1/moderations", {"input": [{"type": "text", "text": "the password"}]}),
        ("/v1/rerank", {"query": "x", "documents": ["a", {"text": "the password"}]}),
        ("/v1/audio/speech", {"input": "x", "instructions": "the password"}),
    ],
)
def test_guardrails_see_what_a_model_reads(
    path: str, body: Any, gateway: Running, provider: PassingProvider
) -> None:
    reply = gateway.post(path, {"model": "a/m", **body}, {"authorization": f"Bearer {KEY}"})
    assert reply.status == 400 and "secret" in reply.error["message"]
    assert not provider.came


def test_what_cannot_be_held_to_its_money_is_not_asked(
    start_gateway: StartGateway, provider: PassingProvider
) -> None:
    base = f'[providers.a]\nbase_url = "{provider.base_url}"\nauth = "none"\n'
    tier = '[tiers.t]\ntargets = ["a/image-x", "a/flat-x"]\n[endpoints.poor]\nusd_max = 0.05\n'
    flat = '[[prices]]\ntarget = "a/flat-x"\ninput = 0\noutput = 0\nrequest_per_1000 = 40\n'
    priced = '[[prices]]\ntarget = "a/image-x"\ninput = 1\noutput = 10\n'
    poor = start_gateway(base + tier + flat + priced)
    head = {"x-farthing-endpoint": "poor", "x-farthing-session": "s"}
    path, asked = "/v1/images/generations", {"prompt": "x"}
    refused = poor.post(path, {"model": "a/image-x", **asked}, head)
    assert refused.status == 429 and not provider.came
    assert poor.post(path, {"model": "a/flat-x", **asked}, head).status == 200
    assert poor.post(path, {"model": "a/flat-x", **asked}, head).status == 429, (
        "eight cents are more than five"
    )


FORM: Final = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a; name=model"\r\n\r\n'
    + AUDIO
    + b"\r\n--b\r\ncontent-disposition: form-data; name=model\r\n\r\na/ear-x\r\n--b--\r\n"
)
FORM_HEAD: Final = {"authorization": f"Bearer {KEY}", "content-type": 'multipart/form-data; boundary="b"'}


def heard(gateway: Running, raw: bytes, head: dict[str, str] = FORM_HEAD) -> Reply:
    return gateway.post("/v1/audio/transcriptions", raw, head)


def test_a_form_goes_up_byte_for_byte_but_for_its_model(gateway: Running, provider: PassingProvider) -> None:
    assert heard(gateway, FORM).json == HEARD
    assert provider.came[0].body == FORM.replace(b"\r\na/ear-x\r\n", b"\r\near-x\r\n")
    assert provider.came[0].headers["content-type"] == FORM_HEAD["content-type"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        FORM[:-4],
        FORM[:-9] + b"--c--",
        FORM.replace(b"--b--", b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nx\r\n--b--'),
        FORM.replace(b"name=model\r\n", b"name=other; name=model\r\n"),
        FORM.replace(b"name=model\r\n", b"name=other; name*=utf-8''model\r\n"),
        FORM.replace(b"name=model\r\n", b'name="model"; filename="m"\r\n'),
        FORM.replace(b"name=model\r\n", b"name=x\r\ncontent-disposition: form-data; name=model\r\n"),
        FORM.replace(b"name=model\r\n", b"name=x\r\n ; name=model\r\n"),
        FORM.replace(
            b"--b--", b"--b\r\nContent-Disposition: form-data; name=prompt\r\n\r\nx\r\n" * 2 + b"--b--"
        ),
        b"--b--",
        b"--b--\r\n",
        FORM.replace(b"a/ear-x", b"\xff\xfe"),
        FORM.replace(b"a/ear-x", b"x" * 2_000_000),
        FORM.replace(
            b"--b--", b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n%b\r\n--b--" % (b"x" * 600_000)
        ).replace(
            b"--b--", b"--b\r\nContent-Disposition: form-data; name=y\r\n\r\n%b\r\n--b--" % (b"x" * 600_000)
        ),
    ],
)
def test_what_is_no_form_or_two_is_refused(raw: bytes, gateway: Running, provider: PassingProvider) -> None:
    reply = heard(gateway, raw)
    assert reply.status == 400 and "form" in reply.error["message"]
    assert not provider.came


def test_a_form_without_parts_is_refused_where_the_path_names_its_model(
    gateway: Running, provider: PassingProvider
) -> None:
    path = "/openai/deployments/a%2Fear-x/audio/transcriptions?api-version=2024-10-21"
    reply = gateway.post(path, b"--b--", FORM_HEAD)
    assert reply.status == 400 and "no parts" in reply.error["message"]
    assert not provider.came


def test_a_boundary_that_can_be_read_in_two_ways_is_refused(
    gateway: Running, provider: PassingProvider
) -> None:
    head = {**FORM_HEAD, "content-type": 'multipart/form-data; boundary="\\b"'}
    reply = heard(gateway, FORM.replace(b"--b", b"--\\b") + FORM, head)
    assert reply.status == 400 and "boundary" in reply.error["message"]
    assert not provider.came


def test_a_page_of_another_site_sends_no_form_unasked(
    start_gateway: StartGateway, provider: PassingProvider
) -> None:
    base = f'[providers.a]\nbase_url = "{provider.base_url}"\nauth = "none"\n'
    keyless = start_gateway(base + '[server]\ncors_origins = ["https://good.example"]\n')
    bare = {"content-type": FORM_HEAD["content-type"]}
    raw = FORM.replace(b"a/ear-x", b"ear-x")
    assert heard(keyless, raw, {**bare, "origin": "https://evil.example"}).status == 415
    assert not provider.came
    good = heard(keyless, raw, {**bare, "origin": "https://good.example"})
    assert good.status == 200 and good.headers["access-control-allow-origin"] == "https://good.example"
    assert heard(keyless, raw, bare).status == 200


def test_twenty_five_megabytes_of_sound_pass(gateway: Running, provider: PassingProvider) -> None:
    size = 25 * 1024 * 1024
    large = FORM.replace(AUDIO, AUDIO * (size // len(AUDIO)))
    assert heard(gateway, large).json == HEARD
    assert provider.came[0].body == large.replace(b"\r\na/ear-x\r\n", b"\r\near-x\r\n")
    too_large = heard(gateway, b"x" * 34_000_000)
    assert too_large.status == 413 and "server.body_bytes_max" in too_large.error["message"]


@pytest.mark.parametrize("missing", [0, 4, 2_000])
def test_sound_that_is_cut_while_it_is_compressed_is_cut_for_the_client_too(
    gateway: Running, provider: PassingProvider, missing: int
) -> None:
    sound_of = random.Random(7).randbytes(50_000)
    packed = gzip.compress(sound_of)
    pieces = (packed[:20_000], packed[20_000 : len(packed) - missing])
    provider.answers["/v1/audio/speech"] = Told(
        kind="audio/mpeg", pieces=pieces, headers=(("content-encoding", "gzip"),)
    )
    asked = {"model": "a/voice-x", "voice": "alloy", "input": "x"}
    before = len(gateway.receipts())
    if missing:
        with pytest.raises(http.client.IncompleteRead):
            gateway.post("/v1/audio/speech", asked, {"authorization": f"Bearer {KEY}"})
    else:
        reply = gateway.post("/v1/audio/speech", asked, {"authorization": f"Bearer {KEY}"})
        assert reply.body == sound_of
    assert gateway.next_receipt(before).error == ("stream_broken" if missing else None)


def test_an_answer_too_large_is_refused_by_its_setting(gateway: Running, provider: PassingProvider) -> None:
    provider.answers["/v1/images/generations"] = Told(
        b'{"created":1,"data":[{"b64_json":"' + b"A" * 34_000_000 + b'"}]}'
    )
    reply = gateway.post(
        "/v1/images/generations", {"model": "a/image-x", "prompt": "x"}, {"authorization": f"Bearer {KEY}"}
    )
    assert reply.status == 502 and re.search("bytes|large", reply.error["message"])
    assert json.dumps(reply.error)
