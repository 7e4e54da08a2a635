"""What is Bedrock's own beside what every provider promises (tests/contract/test_provider.py)."""

import asyncio
import json
import re
from base64 import b64decode
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

import pytest
from tests.contract.test_provider import (
    ANTHROPIC,
    BEDROCK,
    CHUNKS,
    KEY,
    TEXT,
    bedrock,
    converse,
    converse_stream,
    frame_at,
    origin,
    prompt,
    uses,
)
from tests.faults import frames
from tests.faults.shapes import faults
from tests.unit.models.providers.test_messages_as_sent import sent_of
from tests.unit.models.providers.test_sigv4 import KEYS

from farthing.config import BedrockProviderConfig, Secret
from farthing.config.settings.credentials import AwsConfig
from farthing.dialects.chat.requests.request_writer import inner
from farthing.dialects.converse.answers.answer_reader import STOPS
from farthing.dialects.converse.names import tool_name
from farthing.dialects.faults import BadStream, ProviderSaid
from farthing.dialects.messages.requests import request_reader
from farthing.dialects.told import Told
from farthing.errors import (
    KeyRejected,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from farthing.models.credentials.aws import AwsKeys
from farthing.models.credentials.renewed import Fresh
from farthing.models.providers.bedrock.provider import BedrockProvider
from farthing.models.providers.bedrock.sigv4 import Signer
from farthing.models.transport.origin import HttpOrigin
from farthing.protocols import ALL_SAID, Provider, SigningKeys
from farthing.types import Json, Prompt, Target, replace

SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123xyz"
LIMIT = 65_536
NOW = 1_767_322_645.0  # 2026-01-02T02:57:25Z


def target(model: str = SONNET) -> Target:
    return Target(name=f"b/{model}", provider="b", model=model, output_tokens_max=4_096)


class Wall:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def signing(wall: Wall, token: str | None = None) -> BedrockProvider:
    async def fetch() -> Fresh[SigningKeys]:
        return Fresh(KEYS._replace(session_token=token), 3_600.0)

    keys = AwsKeys("b: the keys of AWS", fetch, lambda: 0.0)
    asyncio.run(keys.ready(5.0))
    config = BedrockProviderConfig(region="us-east-1")
    return BedrockProvider("b", origin("b"), config, path="", keys=keys, wall=wall)


def call(provider: Provider, asked: Prompt, model: str = SONNET, **fields: Any) -> tuple[str, bytes]:
    head, body = provider.encode(asked, target(model), "chat", "req-1", **fields)
    return head.decode("latin-1"), body


def path_of(head: str) -> str:
    return head.partition(" HTTP/1.1")[0].partition(" ")[2]


def messages(raw: bytes, **fields: Any) -> Prompt:
    sent = sent_of(raw)
    stream = sent.body.get("stream") is True
    made: Prompt = replace(prompt(), body=sent.read, sent=sent, stream=stream, **fields)
    return made


RAW = (
    b'{"model":"up/claude", "max_tokens": 90,  "stream":true, '
    b'"messages":[{"role":"user","content":"hi \\u00e9"}]}'
)

# -- which call ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "stream", "operation"),
    [
        (SONNET, False, "invoke"),
        (SONNET, True, "invoke-with-response-stream"),
        ("amazon.nova-lite-v1:0", False, "converse"),
        (ARN, True, "converse-stream"),
    ],
)
def test_the_path_names_the_model_the_dialect_and_the_stream(
    model: str, stream: bool, operation: str
) -> None:
    head, body = call(bedrock(), prompt(stream=stream), model)
    assert path_of(head) == f"/v1/model/{quote(model, safe='')}/{operation}"
    assert {"model", "stream"}.isdisjoint(json.loads(body))


@pytest.mark.parametrize(
    ("model", "streams"),
    [
        ("us.meta.llama4-maverick-17b-instruct-v1:0", False),
        ("writer.palmyra-x5-v1:0", False),
        ("mistral.mistral-large-2407-v1:0", False),
        ("us.mistral.pixtral-large-2502-v1:0", False),
        ("us.deepseek.r1-v1:0", False),
        ("deepseek.v3-v1:0", True),
        ("mistral.mistral-large-3-675b-instruct", True),
        ("amazon.nova-lite-v1:0", True),
    ],
)
def test_a_model_that_calls_no_tools_in_a_stream_is_asked_for_all_at_once(model: str, streams: bool) -> None:
    tools = [{"type": "function", "function": {"name": "look"}}]
    head, _ = call(bedrock(), prompt(stream=True, tools=tools), model)
    assert path_of(head).endswith("/converse-stream") is streams
    head, _ = call(bedrock(), prompt(stream=True), model)
    assert path_of(head).endswith("/converse-stream")
    whole = converse([uses("t", "look", input={})], "tool_use")
    told = bedrock().decoder(LIMIT, prompt(stream=True, tools=tools)).whole(whole)
    assert b'"look"' in told and b"chat.completion.chunk" in told and b'"tool_calls"' in told


def test_where_no_address_is_given_it_is_that_of_the_region() -> None:
    assert BedrockProviderConfig(region="eu-west-1").base_url == (
        "https://bedrock-runtime.eu-west-1.amazonaws.com"
    )
    assert BedrockProviderConfig(region="cn-north-1").base_url.endswith(".amazonaws.com.cn")


@pytest.mark.parametrize(
    ("key", "auth", "signs"),
    [
        ("ABSKQmVkcm9ja0FQSUtleS0", None, False),
        ("bedrock-api-key-YmVkcm9jay", None, False),
        ("sk-another", None, True),
        (None, None, True),
        ("sk-another", "bearer", False),
        (None, "none", False),
    ],
)
def test_an_api_key_of_bedrock_is_sent_and_all_else_is_signed(
    key: str | None, auth: Any, signs: bool
) -> None:
    secret = None if key is None else Secret("KEY", key)
    config = BedrockProviderConfig(region="us-east-1", api_key=secret, auth=auth)
    assert config.signs == signs
    head, _ = call(BedrockProvider("b", origin("b"), config, path=""), prompt())
    assert (f"authorization: Bearer {key}\r\n" in head) == (key is not None and not signs)


# -- signatures ------------------------------------------------------------------------------------------


def recomputed(head: str, body: bytes, keys: SigningKeys, at: float) -> str:
    """The signature that a service would compute of what arrived."""
    from hashlib import sha256

    first, *lines = head[:-2].split("\r\n")
    method, path, _ = first.split(" ")
    told = dict(line.split(": ", 1) for line in lines)
    names = re.search(r"SignedHeaders=([^,]+)", told["authorization"])
    assert names is not None
    kept = [(name, told[name]) for name in names[1].split(";") if not name.startswith("x-amz-")]
    signer = Signer("us-east-1", "bedrock")
    again = signer.lines(method, path, kept, sha256(body).hexdigest(), keys, at)
    return dict(line.split(": ", 1) for line in again[:-2].split("\r\n"))["authorization"]


@pytest.mark.parametrize("token", [None, "a/token+of=a session"])
@pytest.mark.parametrize("model", [SONNET, ARN])
def test_a_call_is_signed_as_it_is_sent(model: str, token: str | None) -> None:
    provider = signing(Wall(), token)
    head, body = call(provider, prompt(), model, passed=(("openai-beta", "x"),))
    assert f"authorization: {recomputed(head, body, KEYS._replace(session_token=token), NOW)}\r\n" in head
    assert ("x-amz-security-token" in head) == (token is not None)
    assert "SignedHeaders=content-type;host;x-amz-date" in head and "openai-beta: x\r\n" in head
    listed = provider.list_head().decode()
    assert f"authorization: {recomputed(listed, b'', KEYS._replace(session_token=token), NOW)}\r\n" in listed


SKEW = {b"x-amzn-errortype": b"InvalidSignatureException"}


def test_a_clock_that_is_off_is_found_out_once_and_the_call_is_made_again() -> None:
    wall = Wall()
    provider = signing(wall)
    late = {**SKEW, b"date": formatdate(NOW + 900, usegmt=True).encode()}
    error = provider.failure(403, late, b'{"message": "Signature expired"}')
    assert isinstance(error, ProviderUnavailable) and error.again
    assert "clock is behind by 900 s" in str(error)
    head, body = call(provider, prompt())
    assert f"authorization: {recomputed(head, body, KEYS, NOW + 900)}\r\n" in head
    same_time = provider.failure(403, late, b"")
    assert same_time.again, "it was signed before the correction"
    wall.now += 120
    later = {**SKEW, b"date": formatdate(wall.now + 900, usegmt=True).encode()}
    assert isinstance(provider.failure(403, later, b""), KeyRejected), "the clock is not to blame"


@pytest.mark.parametrize("date", [b"", b"yesterday", formatdate(NOW + 5, usegmt=True).encode()])
def test_a_signature_that_is_refused_at_the_right_time_is_a_refusal_of_the_keys(date: bytes) -> None:
    provider = signing(Wall())
    error = provider.failure(403, {**SKEW, b"date": date}, b'{"message": "no, AKIDEXAMPLE"}')
    assert isinstance(error, KeyRejected) and error.told == "InvalidSignatureException"
    assert error.said is None and "AKIDEXAMPLE" not in str(error)


# -- Claude, as sent -------------------------------------------------------------------------------------


def test_a_request_of_messages_goes_up_as_it_was_sent_but_for_what_the_path_says() -> None:
    head, body = call(bedrock(), messages(RAW))
    assert path_of(head).endswith("/invoke-with-response-stream")
    assert body == (
        b'{"anthropic_version":"bedrock-2023-05-31","max_tokens": 90,'
        b'  "messages":[{"role":"user","content":"hi \\u00e9"}]}'
    ) or json.loads(body) == {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 90,
        "messages": [{"role": "user", "content": "hi é"}],
    }
    assert b'"messages":[{"role":"user","content":"hi \\u00e9"}]' in body, "the prefix stays what it was"
    assert bedrock().unsaid(messages(RAW), target(), "chat") is ALL_SAID


def test_betas_that_bedrock_knows_go_into_the_body_and_no_others() -> None:
    passed = (
        ("anthropic-beta", "context-1m-2025-08-07,claude-code-20250219, interleaved-thinking-2025-05-14"),
        ("anthropic-version", "2023-06-01"),
    )
    head, body = call(bedrock(), messages(RAW), passed=passed)
    assert "anthropic" not in head.partition("\r\n")[2]
    assert json.loads(body)["anthropic_beta"] == ["context-1m-2025-08-07", "interleaved-thinking-2025-05-14"]
    own = RAW.replace(b'{"model"', b'{"anthropic_beta":["mine"],"model"')
    _, body = call(bedrock(betas=("claude-code-20250219",)), messages(own), passed=passed)
    assert json.loads(body)["anthropic_beta"] == ["mine", "claude-code-20250219"]
    _, body = call(bedrock(), prompt(), passed=passed)
    assert "anthropic_beta" not in json.loads(body), "a client of chat means nothing by it"


def test_what_is_one_beta_at_anthropic_goes_up_by_the_names_that_bedrock_has() -> None:
    """Claude Code defers a tool in each request; without the beta Bedrock refuses the field."""
    passed = (("anthropic-beta", "claude-code-20250219,advanced-tool-use-2025-11-20"),)
    deferred = {"name": "f", "input_schema": {"type": "object"}, "defer_loading": True}
    shown = {"name": "g", "input_schema": {"type": "object"}, "input_examples": [{}]}
    search = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
    for tools, betas in (
        ([deferred], ["tool-search-tool-2025-10-19"]),
        ([search], ["tool-search-tool-2025-10-19"]),
        ([shown, deferred], ["tool-search-tool-2025-10-19", "tool-examples-2025-10-29"]),
        ([{"name": "h", "input_schema": {"type": "object"}}], None),
        (None, None),
    ):
        own = (
            RAW
            if tools is None
            else RAW.replace(b'{"model"', b'{"tools":%b,"model"' % json.dumps(tools).encode())
        )
        _, body = call(bedrock(), messages(own), passed=passed)
        assert json.loads(body).get("anthropic_beta") == betas, tools


USE: Json = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
RESULT: Json = {"type": "tool_result", "tool_use_id": "t"}
FILE: Json = {"type": "document", "source": {"type": "file", "file_id": "f"}}
URL = {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"messages": [{"role": "user", "content": [URL]}]}, ("image.source.url",)),
        (
            {
                "messages": [
                    {"role": "user", "content": "x"},
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}],
                    },
                    {
                        "role": "user",
                        "content": [{"type": "tool_result", "tool_use_id": "t", "content": [URL]}],
                    },
                ],
                "tools": [{"name": "f", "input_schema": {"type": "object"}}],
            },
            ("image.source.url",),
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "document", "source": {"type": "file", "file_id": "f"}}],
                    }
                ]
            },
            ("image.source.file_id",),
        ),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, ("tools.web_search_20250305",)),
        ({"mcp_servers": [{"type": "url", "url": "https://m.example", "name": "m"}]}, ("mcp_servers",)),
        ({"inference_geo": "us"}, ("inference_geo",)),
    ],
)
def test_what_anthropic_runs_itself_is_not_at_bedrock_and_is_named(
    fields: Json, names: tuple[str, ...]
) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}], **fields}
    asked = messages(json.dumps(body).encode())
    unsaid = bedrock().unsaid(asked, target(), "chat")
    assert unsaid.names == names and set(unsaid.reasons) == set(names)
    edited = replace(asked, body=inner(request_reader.read(body)))
    assert names[0] in bedrock().unsaid(edited, target(), "chat").names


def test_fields_that_a_client_can_do_without_give_way() -> None:
    raw = RAW.replace(b'{"model"', b'{"service_tier":"auto","model"')
    assert bedrock().unsaid(messages(raw), target(), "chat").gave_way == ("service_tier",)
    assert b"service_tier" not in call(bedrock(), messages(raw))[1]


ITSELF: Json = {
    "guardrailConfig": {"guardrailIdentifier": "abc", "guardrailVersion": "1", "trace": "enabled"},
    "performanceConfig": {"latency": "optimized"},
    "serviceTier": {"type": "flex"},
    "requestMetadata": {"team": "x"},
}
LINES = (
    "x-amzn-bedrock-guardrailidentifier: abc",
    "x-amzn-bedrock-guardrailversion: 1",
    "x-amzn-bedrock-trace: ENABLED",
    "x-amzn-bedrock-performanceconfig-latency: optimized",
    "x-amzn-bedrock-service-tier: flex",
    'x-amzn-bedrock-request-metadata: {"team":"x"}',
)


def test_what_is_asked_of_bedrock_itself_stands_in_headers_for_claude() -> None:
    own = messages(json.dumps({**json.loads(RAW), **ITSELF}).encode())
    for asked in (own, prompt(**ITSELF)):
        assert bedrock().unsaid(asked, target(), "chat") is ALL_SAID
        head, body = call(bedrock(), asked)
        assert set(LINES) <= set(head.split("\r\n")) and ITSELF.keys().isdisjoint(json.loads(body))
    for odd in ({"guardrailIdentifier": "a\r\nx: y"}, {"streamProcessingMode": "sync"}, 7):
        asked = prompt(guardrailConfig=odd)
        assert bedrock().unsaid(asked, target(), "chat").names == ("guardrailConfig",)
        assert "x: y" not in call(bedrock(), asked)[0]
        own = messages(json.dumps({**json.loads(RAW), "guardrailConfig": odd}).encode())
        assert bedrock().unsaid(own, target(), "chat").names == ("guardrailConfig",)


# -- Claude, translated ----------------------------------------------------------------------------------


def test_a_chat_is_asked_of_claude_in_messages() -> None:
    asked = prompt(max_tokens=9, reasoning_effort="low", temperature=0.5)
    _, body = call(bedrock(), asked, "anthropic.claude-opus-4-5-20251101-v1:0")
    told = json.loads(body)
    assert told["anthropic_version"] == "bedrock-2023-05-31" and told["max_tokens"] == 9
    assert told["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "What was a farthing?"}]}
    ]
    link = [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]}
    ]
    unsaid = bedrock().unsaid(prompt(messages=link), target(), "chat")
    assert unsaid.names == ("image_url",) and "send it as data" in unsaid.reasons["image_url"]


def test_a_chat_is_asked_of_all_others_in_converse() -> None:
    _, body = call(bedrock(), prompt(max_tokens=9), ARN)
    assert faults({**json.loads(body), "modelId": ARN}, "ConverseRequest") == []
    capped = replace(prompt(max_tokens=9), output_tokens_max=5, capped_by="output_tokens_max")
    assert json.loads(call(bedrock(), capped, ARN)[1])["inferenceConfig"] == {"maxTokens": 5}
    assert json.loads(call(bedrock(), capped)[1])["max_tokens"] == 5


# -- what comes back -------------------------------------------------------------------------------------


def test_an_answer_names_what_was_asked_for_and_has_an_id_of_its_own() -> None:
    asked = prompt()
    one, other = (json.loads(BEDROCK.provider.whole({}, BEDROCK.whole, asked).body) for _ in range(2))
    assert one["model"] == "auto" and one["id"].startswith("converse-") and one["id"] != other["id"]


@pytest.mark.parametrize("said", STOPS)
def test_no_answer_that_was_blocked_or_cut_ends_as_a_good_one(said: str) -> None:
    reply = BEDROCK.provider.whole({}, converse([{"text": "Co"}], said), prompt())
    expected = {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "stop"}
    blocked = said in ("guardrail_intervened", "content_filtered", "refusal")
    assert reply.finish_reason == expected.get(said, "content_filter" if blocked else "length")


def test_what_is_malformed_is_a_failed_call_that_may_be_made_again() -> None:
    with pytest.raises(ProviderUnavailable, match="answered with an error") as caught:
        BEDROCK.provider.whole({}, converse([], "malformed_tool_use"), prompt())
    error = caught.value
    assert error.again and "malformed_tool_use" in error.words and error.counted is not None


def test_the_client_sees_its_own_names_of_tools_whole_and_streamed() -> None:
    own = "docs.search/" + "x" * 60
    asked = prompt(tools=[{"type": "function", "function": {"name": own}}])
    named = tool_name(own)
    reply = BEDROCK.provider.whole({}, converse([uses("t", named, input={})], "tool_use"), asked)
    assert json.loads(reply.body)["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == own
    stream = converse_stream((uses("t", named), []), stop="tool_use")
    assert own.encode() in BEDROCK.provider.decoder(LIMIT, asked).feed(stream)


@pytest.mark.parametrize("own", ["docs-search", "9lives", "naïve", "é", "a-" * 40])
def test_nova_gets_names_of_tools_that_it_can_call_and_the_client_its_own(own: str) -> None:
    asked = prompt(tools=[{"type": "function", "function": {"name": own}}])
    body = json.loads(call(bedrock(), asked, "us.amazon.nova-pro-v1:0")[1])
    named = body["toolConfig"]["tools"][0]["toolSpec"]["name"]
    assert re.fullmatch("[a-zA-Z][a-zA-Z0-9_]{0,63}", named)
    reply = BEDROCK.provider.whole({}, converse([uses("t", named, input={})], "tool_use"), asked)
    assert json.loads(reply.body)["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == own


def read(stream: bytes, asked: Prompt, step: int) -> tuple[bytes, bytes, bytes | None]:
    """The chunks, the client's own events, and what ends them."""
    decoder = bedrock().decoder(LIMIT, asked)
    chunks, own = b"", b""
    for block in [decoder.feed(stream[at : at + step]) for at in range(0, len(stream), step)] + [
        decoder.end()
    ]:
        chunks += bytes(block)
        own += block.own if isinstance(block, Told) else b""
    assert decoder.done or decoder.ended(1)
    return chunks, own, decoder.own_end(None)


@pytest.mark.parametrize("step", [1, 100, 100_000])
def test_a_client_of_messages_gets_the_events_of_claude_as_they_came(step: int) -> None:
    chunks, own, end = read(CHUNKS, messages(RAW), step)
    assert end is not None and own + end == ANTHROPIC.stream
    assert TEXT[:7].encode() in chunks
    assert bedrock().decoder(LIMIT, messages(RAW)).tells_all("messages")


@pytest.mark.parametrize("step", [1, 100, 100_000])
def test_a_client_of_messages_gets_converse_translated(step: int) -> None:
    chunks, own, end = read(BEDROCK.stream, messages(RAW), step)
    assert (own, end) == (b"", None) and TEXT[:7].encode() in chunks
    reply = bedrock().whole({}, BEDROCK.whole, messages(RAW))
    assert reply.own is None and reply.text == TEXT
    assert bedrock().whole({}, ANTHROPIC.whole, messages(RAW)).own == ANTHROPIC.whole


def test_a_whole_answer_in_the_place_of_a_stream_is_the_client_s_own_if_it_is_claude_s() -> None:
    decoder = bedrock().decoder(LIMIT, messages(RAW))
    assert (
        isinstance(decoder.whole(ANTHROPIC.whole), Told) and decoder.own_whole(b"", None) == ANTHROPIC.whole
    )
    decoder = bedrock().decoder(LIMIT, messages(RAW))
    assert TEXT.encode() in decoder.whole(BEDROCK.whole) or decoder.done
    assert decoder.own_whole(b"", None) is None


def test_an_exception_is_an_error_event_of_messages_after_what_came() -> None:
    first = CHUNKS[: frame_at(CHUNKS, 4)[1]]
    decoder = bedrock().decoder(LIMIT, messages(RAW))
    with pytest.raises(ProviderSaid) as caught:
        decoder.feed(first + frames.exception("throttlingException", "slow down"))
    assert isinstance(caught.value.before, Told) and caught.value.before.own in ANTHROPIC.stream
    assert caught.value.own == (
        b'event: error\ndata: {"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}\n\n'
    )
    assert isinstance(bedrock().in_answer(caught.value.payload), ProviderBusy)


def test_damage_in_the_stream_of_a_client_of_messages_ends_it() -> None:
    spoilt = bytearray(CHUNKS)
    spoilt[-10] ^= 1
    with pytest.raises(BadStream, match="checksum"):
        bedrock().decoder(LIMIT, messages(RAW)).feed(bytes(spoilt))
    with pytest.raises(BadStream):
        bedrock().decoder(LIMIT, messages(RAW)).feed(frames.framed("chunk", b"{}"))


# -- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "name", "kind", "again"),
    [
        (429, "ThrottlingException", ProviderBusy, True),
        (429, "ModelNotReadyException", ProviderBusy, True),
        (400, "ValidationException", ProviderRejected, False),
        (404, "ResourceNotFoundException", ProviderRejected, False),
        (408, "ModelTimeoutException", ProviderTimeout, True),
        (424, "ModelErrorException", ProviderUnavailable, True),
        (500, "InternalServerException", ProviderUnavailable, True),
        (503, "ServiceUnavailableException", ProviderUnavailable, True),
        (403, "AccessDeniedException", KeyRejected, False),
        (403, "ExpiredTokenException", KeyRejected, False),
    ],
)
def test_an_exception_is_known_by_its_header(
    status: int, name: str, kind: type[ProviderError], again: bool
) -> None:
    told = {b"x-amzn-errortype": f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/".encode()}
    error = bedrock().failure(status, told, b'{"message": "Too many tokens this minute."}')
    assert type(error) is kind and error.again == again
    if kind is KeyRejected:
        assert error.said is None
        return
    assert error.said is not None and error.said["type"] == error.said["code"] == name
    assert error.words.endswith("Too many tokens this minute.")


def test_the_key_is_in_no_error() -> None:
    error = bedrock().failure(500, {}, json.dumps({"Message": f"no {KEY}"}).encode())
    assert KEY not in error.words and KEY not in json.dumps(error.said)


# -- counts ----------------------------------------------------------------------------------------------


def test_tokens_are_counted_of_the_model_behind_a_profile() -> None:
    for asked in (messages(RAW), prompt()):
        counted = bedrock().count_call(asked, target(), "req-1")
        assert counted is not None
        head, body = counted
        model = quote("anthropic.claude-sonnet-4-5-20250929-v1:0", safe="")
        assert path_of(head.decode()) == f"/v1/model/{model}/count-tokens"
        assert faults({**json.loads(body), "modelId": "m"}, "CountTokensRequest") == []
        inner = json.loads(b64decode(json.loads(body)["input"]["invokeModel"]["body"]))
        assert inner["anthropic_version"] and inner["max_tokens"] and "model" not in inner
    thinks = RAW.replace(b'{"model"', b'{"thinking":{"type":"enabled","budget_tokens":2048},"model"')
    bare = messages(thinks.replace(b'"max_tokens": 90,', b""))
    counted = bedrock().count_call(bare, target(), "req-1")
    assert counted is not None
    inner = json.loads(b64decode(json.loads(counted[1])["input"]["invokeModel"]["body"]))
    assert inner["max_tokens"] == 2_049, "more than is to be thought"
    assert bedrock().count_call(prompt(), target("amazon.nova-lite-v1:0"), "req-1") is None
    assert bedrock().count_call(prompt(), target(ARN), "req-1") is None


def test_models_are_listed_beside_where_they_are_called() -> None:
    config = BedrockProviderConfig(region="us-east-1", auth="none")
    runtime = HttpOrigin("b", "bedrock-runtime.us-east-1.amazonaws.com", 443, True)
    provider = BedrockProvider("b", runtime, config, path="")
    (at, models), (same, profiles) = provider.list_calls()
    assert at is same and at.host == "bedrock.us-east-1.amazonaws.com"
    for head in (models, profiles):
        assert b"host: bedrock.us-east-1.amazonaws.com\r\n" in head and b"bedrock-runtime" not in head
    signed = signing(Wall())
    (_, _), (_, listed) = signed.list_calls()
    assert path_of(listed.decode()) == "/inference-profiles?maxResults=1000"
    assert b"SignedHeaders=host;x-amz-date" in listed


def test_models_that_write_and_profiles_are_listed_by_what_they_are_called_by() -> None:
    summaries: list[Json] = [
        {"modelId": "a.m-1", "inferenceTypesSupported": ["ON_DEMAND"], "outputModalities": ["TEXT"]},
        {"modelId": "a.m-2", "inferenceTypesSupported": ["INFERENCE_PROFILE"]},
        {"modelId": "a.image", "outputModalities": ["IMAGE"]},
    ]
    profiles = [
        {"inferenceProfileId": "us.a.m-2", "inferenceProfileArn": "arn:1", "type": "SYSTEM_DEFINED"},
        {"inferenceProfileId": "abc", "inferenceProfileArn": ARN, "type": "APPLICATION"},
    ]
    told = {"modelSummaries": summaries, "inferenceProfileSummaries": profiles}
    listed = json.loads(bedrock().listed(json.dumps(told).encode()))
    assert [one["id"] for one in listed["data"]] == ["a.m-1", "us.a.m-2", ARN]
    assert json.loads(bedrock().listed(b"[]")) == {"data": []}


def test_keys_of_aws_have_a_table_of_their_own() -> None:
    config = BedrockProviderConfig(region="us-east-1", aws=AwsConfig(profile="work"))
    assert config.signs


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(
    "told",
    [
        {"usage": {"cache_read_input_tokens": 900, "cache_creation_input_tokens": 50}},
        {
            "amazon-bedrock-invocationMetrics": {
                "inputTokenCount": 7, "outputTokenCount": 5, "cacheReadInputTokenCount": 900,
                "cacheWriteInputTokenCount": 50, "invocationLatency": 3,
            }
        },
    ],
)  # fmt: skip
def test_what_went_by_the_cache_is_counted_where_the_last_event_is_first_to_tell_it(
    told: Json, own: bool
) -> None:
    started: Json = {
        "id": "m",
        "role": "assistant",
        "content": [],
        "model": "c",
        "usage": {"input_tokens": 7},
    }
    ending: Json = {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}
    wire = b"".join(
        frames.chunk({"type": kind, **fields})
        for kind, fields in zip(
            ("message_start", "message_delta", "message_stop"),
            ({"message": started}, ending, told),
            strict=True,
        )
    )
    decoder = bedrock().decoder(LIMIT, messages(RAW) if own else None)
    decoder.feed(wire)
    usage = decoder.usage
    assert usage is not None and decoder.done
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens) == (957, 5, 900)
    assert usage.cache_write_5m_tokens == 50


def test_what_was_counted_before_stays_beside_the_metrics_of_the_last_event() -> None:
    reader = bedrock().decoder(LIMIT)
    reader.feed(CHUNKS)
    metrics = {"inputTokenCount": 1, "outputTokenCount": 1, "cacheReadInputTokenCount": 3}
    begun = CHUNKS[: len(CHUNKS) - len(frames.chunk({"type": "message_stop"}))]
    again = bedrock().decoder(LIMIT)
    again.feed(begun + frames.chunk({"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}))
    assert again.usage == reader.usage
