"""Names of tools, envelopes and ids of Responses, there and back."""

import pytest
from tests.pace import turns

from farthing.dialects.conversation import Reasoning
from farthing.dialects.responses import envelopes, ids
from farthing.dialects.responses.tools import ClientTool, ToolNames, arguments_of, free_text


def function(name: str) -> dict[str, object]:
    return {"type": "function", "name": name, "parameters": {}}


TOOLS = [
    {"type": "namespace", "name": "mcp docs", "tools": [function("search"), function("x" * 80)]},
    function("search"),
    function("mcp_docs__search"),
    {"type": "custom", "name": "apply_patch"},
    {"type": "web_search"},
    "none",
]


def test_each_tool_has_a_name_of_its_own_that_leads_back() -> None:
    names = ToolNames(TOOLS)
    told = [("search", "mcp docs"), ("x" * 80, "mcp docs"), ("search", ""), ("mcp_docs__search", "")]
    flat = [names.flat(*one) for one in told] + [names.flat("apply_patch")]
    assert len(set(flat)) == 5 and all(len(name) <= 64 and " " not in name for name in flat)
    assert flat[2:] == ["search", "mcp_docs__search", "apply_patch"]
    assert [names.client(name) for name in flat] == [
        *(ClientTool(name, namespace) for name, namespace in told),
        ClientTool("apply_patch", "", "custom"),
    ]


def test_a_tool_that_is_not_in_the_request_has_the_name_that_it_would_have_alone() -> None:
    assert ToolNames(None).flat("search", "mcp__docs") == "mcp__docs__search"
    assert ToolNames(TOOLS).client("other") == ClientTool("other")


@pytest.mark.parametrize("text", ["", '*** Begin\n"x"', "{}", '{"a": 1}', "é"])
def test_free_text_there_and_back(text: str) -> None:
    assert free_text(arguments_of(text)) == text


def test_names_that_come_to_the_same_take_no_longer_each_the_more_there_are() -> None:
    tools = [function(chr(0x4E00 + number)) for number in range(3_000)]
    names = ToolNames(tools)
    assert len({names.flat(chr(0x4E00 + number)) for number in range(3_000)}) == 3_000
    assert [names.flat(chr(0x4E00 + number)) for number in (0, 1, 2)] == ["_", "__2", "__3"]
    assert turns(lambda: ToolNames(tools), 1) / len(tools) < 2_000


@pytest.mark.parametrize(
    ("arguments", "text"), [('{"patch":"p"}', "p"), ('"p"', "p"), ("p {", "p {"), ('{"a":1}', '{"a":1}')]
)
def test_free_text_of_what_models_make_of_it(arguments: str, text: str) -> None:
    assert free_text(arguments) == text


@pytest.mark.parametrize(
    "block",
    [
        Reasoning("so", "", "", "chat"),
        Reasoning("First.", "c2lnQQ==", "", "messages"),
        Reasoning("", "", "abc", "messages", {"a": [1]}),
    ],
)
def test_reasoning_comes_back_as_it_was(block: Reasoning) -> None:
    assert envelopes.reasoning_of(envelopes.of_reasoning(block)) == block
    assert envelopes.summary_of(envelopes.of_reasoning(block)) is None


@pytest.mark.parametrize(
    "odd", ["", "gAAAA", "fth1.", "fth1.!!!!", "fth1.W10=", "fth1.é", "fth1.eyJ0IjoxfQ=="]
)
def test_what_is_no_envelope_of_ours_is_none(odd: str) -> None:
    assert envelopes.reasoning_of(odd) is None and envelopes.summary_of(odd) is None


def test_a_summary_comes_back_and_is_no_reasoning() -> None:
    told = envelopes.of_summary("They spoke of tea.")
    assert envelopes.summary_of(told) == "They spoke of tea." and envelopes.reasoning_of(told) is None


def test_ids_have_the_prefix_of_their_kind_and_a_bounded_length() -> None:
    response = ids.response_id("chatcmpl-" + "x" * 99)
    assert response.startswith("resp_") and len(response) == 64
    made = [ids.item_id(kind, response, 7) for kind in ids.PREFIXES]
    assert all(len(one) <= 64 for one in made) and len(set(made)) == len(made)
    assert ids.item_id("reasoning", response, 1).startswith("rs_")
