"""What is Vertex's own beside what every provider promises (tests/contract/test_provider.py)."""

import json
from typing import Any

import pytest
from tests.contract.test_provider import bedrock, origin, prompt
from tests.unit.models.providers.test_bedrock_provider import RAW, messages, path_of
from tests.unit.models.providers.test_bedrock_provider import target as of_bedrock

from farthing.config import Secret, VertexProviderConfig
from farthing.models.providers.vertex.claude import UNCOUNTED_BETAS, VertexClaudeProvider
from farthing.models.providers.vertex.gemini import VertexGeminiProvider
from farthing.types import Prompt, Target, replace

CLAUDE = Target(name="c/claude-x", provider="c", model="claude-x", output_tokens_max=4_096)
GEMINI = Target(name="v/gemini-x", provider="v", model="gemini-x")
SENT = "claude-code-20250219,effort-2025-11-24, context-1m-2025-08-07,prompt-caching-scope-2026-01-05"
PASSED = (("anthropic-beta", SENT), ("anthropic-version", "2023-06-01"))


def config(publisher: Any, **fields: Any) -> VertexProviderConfig:
    return VertexProviderConfig(
        project="p",
        publisher=publisher,
        auth="bearer",
        api_key=Secret("KEY", "ya29.the-token-of-tests"),
        **fields,
    )


def claude(path: str = "", **fields: Any) -> VertexClaudeProvider:
    return VertexClaudeProvider("c", origin("c"), config("anthropic", **fields), path=path)


def asking() -> Prompt:
    made = messages(RAW)
    assert made.sent is not None
    told: Prompt = replace(made, sent=replace(made.sent, betas=SENT))
    return told


def betas_in(head: bytes) -> str | None:
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
    return lines.get("anthropic-beta")


def test_betas_that_vertex_does_not_know_stay_here_and_are_said() -> None:
    head, _ = claude().encode(asking(), CLAUDE, "chat", "r", PASSED)
    assert betas_in(head) == "claude-code-20250219,context-1m-2025-08-07"
    assert b"anthropic-version: 2023-06-01" in head
    gone = ("anthropic-beta.effort-2025-11-24", "anthropic-beta.prompt-caching-scope-2026-01-05")
    assert claude().unsaid(asking(), CLAUDE, "chat").gave_way == gone


def test_with_none_that_it_knows_there_is_no_such_header() -> None:
    head, _ = claude(betas=()).encode(asking(), CLAUDE, "chat", "r", PASSED)
    assert betas_in(head) is None


def test_the_betas_that_go_up_are_the_operators_to_say() -> None:
    provider = claude(betas=("effort-2025-11-24",))
    assert betas_in(provider.encode(asking(), CLAUDE, "chat", "r", PASSED)[0]) == "effort-2025-11-24"
    assert len(provider.unsaid(asking(), CLAUDE, "chat").gave_way) == 3


def test_tokens_are_counted_with_the_betas_that_counting_knows() -> None:
    made = claude().count_call(asking(), CLAUDE, "r", PASSED)
    assert made is not None and betas_in(made[0]) == "claude-code-20250219"
    assert "context-1m-2025-08-07" in UNCOUNTED_BETAS


def test_what_a_client_of_another_dialect_sends_as_betas_is_not_meant_for_it() -> None:
    head, _ = claude().encode(prompt(), CLAUDE, "chat", "r", PASSED)
    assert b"anthropic-" not in head.split(b"\r\n", 1)[1]


def test_bedrock_says_what_stays_here_too() -> None:
    gone = bedrock().unsaid(asking(), of_bedrock(), "chat").gave_way
    assert gone[:2] == (
        "anthropic-beta.claude-code-20250219",
        "anthropic-beta.prompt-caching-scope-2026-01-05",
    )
    assert bedrock().unsaid(asking(), of_bedrock("amazon.nova-lite-v1:0"), "chat").gave_way == ()


def test_a_beta_that_is_no_name_is_not_repeated() -> None:
    made = asking()
    assert made.sent is not None
    odd: Prompt = replace(made, sent=replace(made.sent, betas="x y\u00e9,"))
    assert claude().unsaid(odd, CLAUDE, "chat").gave_way == ("anthropic-beta",)


@pytest.mark.parametrize(
    ("path", "version"),
    [("", "/v1beta1"), ("/v1", "/v1"), ("/v1beta1", "/v1beta1"), ("/inside/v1", "/inside/v1")],
)
def test_gemini_is_asked_in_the_version_of_googles_sdk_or_that_of_its_base_url(
    path: str, version: str
) -> None:
    provider = VertexGeminiProvider("v", origin("v"), config("google"), path=path)
    head, _ = provider.encode(prompt(), GEMINI, "chat", "r")
    place = "/projects/p/locations/global/publishers/google/models/gemini-x:"
    assert path_of(head.decode()).startswith(f"{version}{place}")
    listed = version.rpartition("/")[0] + "/v1beta1/publishers/google/models"
    assert path_of(provider.list_head().decode()).startswith(listed)


@pytest.mark.parametrize(("path", "version"), [("", "/v1"), ("/v1", "/v1"), ("/in/v1beta1", "/in/v1beta1")])
def test_claude_is_asked_in_the_version_of_anthropics_sdk_or_that_of_its_base_url(
    path: str, version: str
) -> None:
    provider = claude(path)
    head, body = provider.encode(prompt(), CLAUDE, "chat", "r")
    place = "/projects/p/locations/global/publishers/anthropic/models/claude-x:"
    assert path_of(head.decode()).startswith(f"{version}{place}")
    assert json.loads(body)["anthropic_version"] == "vertex-2023-10-16"
    listed = version.rpartition("/")[0] + "/v1beta1/publishers/anthropic/models"
    assert path_of(provider.list_head().decode()).startswith(listed)
