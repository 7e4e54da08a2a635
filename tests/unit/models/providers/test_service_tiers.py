"""The service tier that the head of a reply says, or that was asked for: an answer is charged by it, whole
and streamed."""

import json
from typing import Any

import pytest
from tests.contract.test_provider import ANTHROPIC, BEDROCK, CHUNKS, GEMINI, bedrock, prompt
from tests.unit.models.providers.test_bedrock_provider import LIMIT, RAW, messages

from farthing.dialects.chat.usage import tier_shown
from farthing.dialects.faults import ProviderSaid
from farthing.errors import ProviderError
from farthing.protocols import Provider
from farthing.types import Prompt, replace

Headers = dict[bytes, bytes]
GEMINIS = b"X-Gemini-Service-Tier"
TIER, LATENCY = b"x-amzn-bedrock-service-tier", b"x-amzn-bedrock-performanceconfig-latency"


def tiers_of(provider: Provider, headers: Headers, asked: Prompt, whole: bytes, stream: bytes) -> set[str]:
    """The tiers that an answer is booked at, whole, streamed, and whole in the place of a stream."""
    replies = [provider.whole(headers, whole, asked).usage]
    for data in (stream, b""):
        decoder = provider.decoder(LIMIT, asked, headers)
        if data:
            decoder.feed(data)
            decoder.end()
        else:
            decoder.whole(whole)
        replies.append(decoder.usage)
    assert all(replies)
    return {usage.tier for usage in replies if usage is not None}


@pytest.mark.parametrize(
    ("said", "tier"), [(b"priority", "priority"), (b"Flex", "flex"), (b"standard", ""), (None, "")]
)
def test_gemini_says_it_in_the_head_of_a_reply(said: bytes | None, tier: str) -> None:
    headers = {} if said is None else {GEMINIS: said}
    assert tiers_of(GEMINI.provider, headers, prompt(), GEMINI.whole, GEMINI.stream) == {tier}


def test_the_standard_tier_in_place_of_the_one_that_was_asked_for_is_shown() -> None:
    asked = prompt(service_tier="priority")
    decoder = GEMINI.provider.decoder(LIMIT, asked, {GEMINIS: b"standard"})
    decoder.feed(GEMINI.stream)
    decoder.end()
    assert tier_shown(decoder.first_payload) == tier_shown(decoder.usage_event) == "standard"
    reply = GEMINI.provider.whole({GEMINIS: b"standard"}, GEMINI.whole, asked)
    assert tier_shown(reply.body) == "standard"


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(
    ("asked", "headers", "tier"),
    [
        ({"serviceTier": {"type": "priority"}}, {TIER: b"priority"}, "priority"),
        ({"serviceTier": {"type": "priority"}}, {TIER: b"default"}, ""),
        ({"serviceTier": {"type": "priority"}}, {}, "priority"),
        ({"performanceConfig": {"latency": "optimized"}}, {LATENCY: b"optimized"}, "optimized"),
        ({"performanceConfig": {"latency": "optimized"}}, {}, "optimized"),
        ({"performanceConfig": {"latency": "optimized"}}, {TIER: b"default"}, "optimized"),
        ({"performanceConfig": {"latency": "optimized"}}, {LATENCY: b"standard"}, ""),
        ({"serviceTier": {"type": "default"}}, {}, ""),
        ({"serviceTier": "odd", "performanceConfig": {"latency": 1}}, {TIER: b""}, ""),
        ({}, {TIER: b"flex"}, "flex"),
        ({}, {}, ""),
    ],
)
def test_claude_at_bedrock_is_charged_as_it_ran_or_was_asked(
    own: bool, asked: dict[str, Any], headers: Headers, tier: str
) -> None:
    said = messages(json.dumps({**json.loads(RAW), **asked}).encode()) if own else prompt(**asked)
    assert tiers_of(bedrock(), headers, said, ANTHROPIC.whole, CHUNKS) == {tier}


def test_converse_says_itself_what_ran() -> None:
    asked = prompt(serviceTier={"type": "priority"})
    assert tiers_of(BEDROCK.provider, {}, asked, BEDROCK.whole, BEDROCK.stream) == {""}


def test_an_answer_that_the_model_has_spoilt_is_charged_at_its_tier_too() -> None:
    usage = {"promptTokenCount": 9, "totalTokenCount": 9}
    spoilt = {"candidates": [{"finishReason": "MALFORMED_RESPONSE"}], "usageMetadata": usage}
    headers, raw = {GEMINIS: b"priority"}, json.dumps(spoilt).encode()
    with pytest.raises(ProviderError) as failed:
        GEMINI.provider.whole(headers, raw)
    decoder = GEMINI.provider.decoder(LIMIT, None, headers)
    with pytest.raises(ProviderSaid) as said:
        decoder.feed(b"data: %b\n\n" % raw)
    assert said.value.usage is not None and said.value.usage.tier == "priority"
    assert failed.value.counted == replace(said.value.usage, tier="priority")
