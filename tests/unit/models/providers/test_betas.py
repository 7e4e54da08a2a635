"""What Claude Code asks of Claude by betas, where Claude is asked by others than Anthropic."""

import json
from base64 import b64decode
from typing import Any

import pytest
from tests.contract.test_provider import bedrock
from tests.unit.models.providers.test_bedrock_provider import messages
from tests.unit.models.providers.test_bedrock_provider import target as of_bedrock
from tests.unit.models.providers.test_vertex_provider import CLAUDE, betas_in, claude

from farthing.types import Json, Prompt, replace

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
