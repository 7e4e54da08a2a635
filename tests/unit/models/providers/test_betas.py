"""What Claude Code asks of Claude by betas, where Claude is asked by others than Anthropic."""

import dataclasses
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from tests.contract.test_provider import bedrock, origin
from tests.unit.models.providers.test_bedrock_provider import messages
from tests.unit.models.providers.test_bedrock_provider import target as of_bedrock
from tests.unit.models.providers.test_vertex_provider import CLAUDE, betas_in, claude

from farthing.config import AnthropicProviderConfig
from farthing.errors import ProviderRejected
from farthing.models.providers.anthropic.provider import AnthropicProvider
from farthing.models.providers.learnt import Lessons
from farthing.models.providers.lessons import AllLessons
from farthing.types import Json, Prompt, Target, replace

ADVANCED = "advanced-tool-use-2025-11-20"
SEARCHES, EXAMPLES = "tool-search-tool-2025-10-19", "tool-examples-2025-10-29"
TURNS, MANAGED = "per-turn-control-2026-07-01", "context-management-2025-06-27"
DEFERRED: Json = {"name": "f", "input_schema": {"type": "object"}, "defer_loading": True}
SHOWN: Json = {"name": "g", "input_schema": {"type": "object"}, "input_examples": [{}]}
PLAIN: Json = {"name": "h", "input_schema": {"type": "object"}}
SEARCH: Json = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
HI: list[Json] = [
    {"role": "user", "content": "hi"},
    {"role": "system", "content": "be brief", "output_config": {"effort": "low"}},
]


def asking(betas: str, **fields: Any) -> tuple[Prompt, tuple[tuple[str, str], ...]]:
    body = {"model": f"b/{of_bedrock().model}", "max_tokens": 9, "messages": HI, **fields}
    made = messages(json.dumps(body).encode())
    assert made.sent is not None
    told: Prompt = replace(made, sent=replace(made.sent, betas=betas))
    return told, (("anthropic-beta", betas),)


def at_bedrock(betas: str, known: tuple[str, ...] | None = None, **fields: Any) -> Json:
    prompt, passed = asking(betas, **fields)
    _, body = bedrock(betas=known).encode(prompt, of_bedrock(), "chat", "r", passed)
    told: Json = json.loads(body)
    return told


@pytest.mark.parametrize(
    ("tools", "betas"),
    [
        ([DEFERRED], [SEARCHES]),
        ([SEARCH], [SEARCHES]),
        ([SHOWN, DEFERRED], [SEARCHES, EXAMPLES]),
        ([PLAIN], None),
        (None, None),
    ],
)
def test_what_is_one_beta_at_anthropic_goes_up_by_the_names_that_others_have(
    tools: list[Json] | None, betas: list[str] | None
) -> None:
    """Claude Code defers a tool in each request; without the beta the field is refused."""
    fields: Any = {} if tools is None else {"tools": tools}
    assert at_bedrock(f"claude-code-20250219,{ADVANCED}", **fields).get("anthropic_beta") == betas
    prompt, passed = asking(ADVANCED, **fields)
    head, _ = claude().encode(prompt, CLAUDE, "chat", "r", passed)
    assert betas_in(head) == (SEARCHES if betas else None), "Vertex knows no examples"
    gone = bedrock().unsaid(prompt, of_bedrock(), "chat").gave_way
    assert not gone, "it is said by other names"


def test_a_field_goes_only_where_its_beta_does() -> None:
    """Claude Code says of single turns how much to think, which Bedrock and Vertex refuse."""
    managed = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
    told = at_bedrock(f"{TURNS},{MANAGED}", context_management=managed)
    assert told["messages"] == [HI[0], {"role": "system", "content": "be brief"}]
    assert told["context_management"] == managed and told["anthropic_beta"] == [MANAGED]
    told = at_bedrock(f"{TURNS},{MANAGED}", (TURNS,), context_management=managed)
    assert told["messages"] == HI and "context_management" not in told
    prompt, passed = asking(f"{TURNS},{MANAGED}", context_management=managed)
    _, body = claude().encode(prompt, CLAUDE, "chat", "r", passed)
    assert json.loads(body)["messages"][1] == {"role": "system", "content": "be brief"}
    gone = ("anthropic-beta.per-turn-control-2026-07-01",)
    assert claude().unsaid(prompt, CLAUDE, "chat").gave_way == gone


def test_tokens_are_counted_of_what_goes_up() -> None:
    prompt, passed = asking(TURNS)
    made = bedrock().count_call(prompt, of_bedrock(), "r", passed)
    assert made is not None
    counted = json.loads(b64decode(json.loads(made[1])["input"]["invokeModel"]["body"]))
    assert counted["messages"][1] == {"role": "system", "content": "be brief"}
    made = claude().count_call(prompt, CLAUDE, "r", passed)
    assert made is not None
    assert json.loads(made[1])["messages"][1] == {"role": "system", "content": "be brief"}


def test_a_field_that_no_beta_was_asked_for_is_the_clients_own() -> None:
    assert at_bedrock("claude-code-20250219")["messages"] == HI


def refusal(message: str, status: int = 400) -> ProviderRejected:
    said = {"message": message, "type": "invalid_request_error"}
    return ProviderRejected("refused", upstream_status=status, said=said, words=message)


FULL, WIDE = "dev-full-thinking-2025-05-14", "context-1m-2025-08-07"
NAMING = "Unexpected value(s) `{}` for the `anthropic-beta` header. Please consult our documentation."


def foundry(lessons: Lessons | None = None) -> AnthropicProvider:
    at = dataclasses.replace(origin("f"), host="some.services.ai.azure.com")
    return AnthropicProvider("f", at, AnthropicProviderConfig(), path="/v1", lessons=lessons)


ASKED: dict[str, tuple[Any, Target]] = {
    "bedrock": (lambda: bedrock(), of_bedrock()),
    "vertex": (lambda: claude(betas=(FULL, WIDE, MANAGED)), CLAUDE),
    "foundry": (foundry, CLAUDE),
}


def went_up(provider: Any, betas: str, target: Target, **fields: Any) -> list[str]:
    prompt, passed = asking(betas, **fields)
    head, body = provider.encode(prompt, target, "chat", "r", passed)
    told = betas_in(head) or ",".join(json.loads(body).get("anthropic_beta", ()))
    return told.split(",") if told else []


@pytest.mark.parametrize("where", ASKED)
def test_a_beta_that_a_refusal_names_is_left_out_from_then_on(where: str) -> None:
    make, target = ASKED[where]
    provider, asked = make(), f"{FULL},{WIDE},{MANAGED}"
    managed = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
    prompt, passed = asking(asked, context_management=managed)
    assert provider.learn(prompt, target, refusal(NAMING.format(f"{FULL}`, `{MANAGED}")))
    assert went_up(provider, asked, target, context_management=managed) == [WIDE]
    _, body = provider.encode(prompt, target, "chat", "r", passed)
    assert "context_management" not in json.loads(body), "it is refused without its beta"
    gone = provider.unsaid(prompt, target, "chat").gave_way
    assert {f"anthropic-beta.{FULL}", f"anthropic-beta.{MANAGED}"} <= set(gone)
    assert not provider.learn(prompt, target, refusal(NAMING.format(FULL))), "it is known"
    other: Target = replace(target, name="x/y", model=f"{target.model}-2")
    assert went_up(provider, asked, other) == [FULL, WIDE, MANAGED], "of one model it says nothing of others"


@pytest.mark.parametrize("where", ASKED)
def test_of_betas_of_which_none_is_named_all_are_left_out_where_they_come_together(where: str) -> None:
    make, target = ASKED[where]
    provider = make()
    prompt, _ = asking(f"{FULL},{WIDE}")
    error: Json = {"type": "invalid_request_error", "message": "invalid beta flag"}
    body = {"message": "invalid beta flag"} if where == "bedrock" else {"type": "error", "error": error}
    headers = {b"x-amzn-errortype": b"ValidationException"} if where == "bedrock" else {}
    refused = provider.failure(400, headers, json.dumps(body).encode())
    assert provider.learn(prompt, target, refused)
    assert went_up(provider, f"{FULL},{WIDE}", target) == []
    assert went_up(provider, f"{FULL},{WIDE},{MANAGED}", target) == [MANAGED]
    assert went_up(provider, WIDE, target) == [WIDE], "another client may have the one that is taken"


def test_what_is_refused_of_betas_is_learnt_from_no_other_words() -> None:
    provider, target = bedrock(), of_bedrock()
    prompt, _ = asking(f"{FULL},{WIDE}")
    for error in (
        refusal("max_tokens: must be less"),
        refusal("invalid beta flag", status=403),
        refusal(NAMING.format("files-api-2025-04-14")),
        refusal(NAMING.format(f"x{FULL}")),
    ):
        assert not provider.learn(prompt, target, error), error.words
    echoed, _ = asking(FULL, metadata={"user_id": "Invalid Beta Flag"})
    assert not provider.learn(echoed, target, refusal("metadata: invalid beta flag is no id"))
    assert provider.learn(echoed, target, refusal("invalid beta flag")), "nothing but these words is no echo"


def test_what_was_refused_of_betas_outlives_a_restart(tmp_path: Path) -> None:
    before = AllLessons(tmp_path)
    before.open()
    prompt, _ = asking(f"{FULL},my own")
    assert foundry(before.of("f", "u")).learn(asking(FULL)[0], CLAUDE, refusal("invalid beta flag"))
    assert not foundry(before.of("f", "u")).learn(prompt, CLAUDE, refusal("invalid beta flag"))
    before.save()
    after = AllLessons(tmp_path)
    after.open()
    assert went_up(foundry(after.of("f", "u")), f"{FULL},{WIDE}", CLAUDE) == [WIDE]


def test_vertex_is_asked_for_what_tools_want_although_its_client_names_no_beta() -> None:
    """At Anthropic a search among tools is none any more."""
    assert went_up(claude(), WIDE, CLAUDE, tools=[DEFERRED]) == [WIDE, SEARCHES]
