"""Requests of Messages as plain chat servers get them: each thing in its words there, or named."""

import json
from base64 import urlsafe_b64encode
from time import process_time
from typing import Any

import pytest

from farthing.dialects.chat.requests.lowered_messages import ID_CHARS_MAX, short_id
from farthing.dialects.chat.requests.lowering import USER_CHARS_MAX, lowered
from farthing.dialects.chat.requests.request_writer import inner
from farthing.dialects.gemini.signatures import ANY, told_at_call
from farthing.dialects.messages.requests.request_reader import read
from farthing.dialects.proofs import PREFIX
from farthing.dialects.written import Written
from farthing.types import Json

MARK = {"cache_control": {"type": "ephemeral"}}
TOOL = {"name": "look_up", "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}}}
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAAAN"}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQKJQ=="}


def chat(model: str = "m", **body: Any) -> Written:
    messages = body.pop("messages", [user("hi")])
    return lowered(inner(read({"model": "auto", "messages": messages, "max_tokens": 9, **body})), model=model)


def user(*content: Any) -> Json:
    return {
        "role": "user",
        "content": content[0] if content and isinstance(content[0], str) else list(content),
    }


def text(said: str, **more: Any) -> Json:
    return {"type": "text", "text": said, **more}


def call(call_id: str, **given: Any) -> Json:
    return {"type": "tool_use", "id": call_id, "name": "look_up", "input": given}


def result(call_id: str, content: Any = "4 degrees", **more: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **more}


def assistant(*blocks: Json) -> Json:
    return {"role": "assistant", "content": list(blocks)}


def called(call_id: str, arguments: str = "{}") -> Json:
    return {"id": call_id, "type": "function", "function": {"name": "look_up", "arguments": arguments}}


def tool(call_id: str, content: str) -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


MESSAGES: dict[str, tuple[list[Json], list[Json]]] = {
    "a text is a text": ([user(text("hi"))], [user("hi")]),
    "texts stay apart": ([user(text("a"), text("b"))], [user(text("a"), text("b"))]),
    "an empty text goes": ([user(text(""), text("b"))], [user("b")]),
    "results before what else is said, call by call": (
        [user("go"), assistant(text("so"), call("a", q="Oslo"), call("b")),
         user(text("and hurry"), result("b", "2"), result("a", "1"))],
        [user("go"), {"role": "assistant", "content": "so", "tool_calls": [
            called("a", '{"q":"Oslo"}'), called("b")]},
         tool("b", "2"), tool("a", "1"), user("and hurry")],
    ),
    "an instruction stays in its place": (
        [user("a"), assistant(text("b")), user("c"), {"role": "system", "content": "The date has changed."}],
        [user("a"), {"role": "assistant", "content": "b"}, user("c"),
         {"role": "system", "content": "The date has changed."}],
    ),
    "an instruction between call and result comes after it": (
        [user("a"), assistant(call("a")), {"role": "system", "content": "S"}, user(result("a", "1"))],
        [user("a"), {"role": "assistant", "content": None, "tool_calls": [called("a")]}, tool("a", "1"),
         {"role": "system", "content": "S"}],
    ),
    "what a result shows follows all results": (
        [user("a"), assistant(call("a"), call("b")),
         user(result("a", [text("seen"), {"type": "image", "source": PNG}]), result("b", "2"),
              text("well?"))],
        [user("a"), {"role": "assistant", "content": None, "tool_calls": [called("a"), called("b")]},
         tool("a", "seen"), tool("b", "2"),
         user(text("What the tool call a has shown:"),
              {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAAAN"}},
              text("well?"))],
    ),
    "a result that only shows something says where": (
        [user("a"), assistant(call("a")), user(result("a", [{"type": "image", "source": PNG}]))],
        [user("a"), {"role": "assistant", "content": None, "tool_calls": [called("a")]},
         tool("a", "What it has shown follows in the next message of the user."),
         user(text("What the tool call a has shown:"),
              {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAAAN"}})],
    ),
    "an error is one in words": (
        [user("a"), assistant(call("a"), call("b"), call("c")),
         user(result("a", "no such city", is_error=True), result("b", "Error: late", is_error=True),
              result("c", "", is_error=True))],
        [user("a"), {"role": "assistant", "content": None, "tool_calls": [
            called("a"), called("b"), called("c")]},
         tool("a", "Error: no such city"), tool("b", "Error: late"), tool("c", "Error")],
    ),
    "images by link, documents with their data": (
        [user({"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
              {"type": "document", "title": "plan.pdf", "context": "of May", "source": PDF})],
        [user({"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
              text("of May"),
              {"type": "file", "file": {"filename": "plan.pdf",
                                        "file_data": "data:application/pdf;base64,JVBERi0xLjQKJQ=="}})],
    ),
    "a document of text is text": (
        [user({"type": "document", "title": "T",
               "source": {"type": "text", "media_type": "text/plain", "data": "so it is"}},
              text("sum it up"))],
        [user(text('<document title="T">\nso it is\n</document>'), text("sum it up"))],
    ),
    "what was found is text": (
        [user({"type": "search_result", "title": "T", "source": "https://x.example",
               "content": [text("found")]})],
        [user("<search_result>\nT - https://x.example\nfound\n</search_result>")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(name: str) -> None:
    messages, expected = MESSAGES[name]
    written = chat(messages=messages)
    assert written.body["messages"] == expected
    assert written.unsaid == () == written.yielded


@pytest.mark.parametrize("nothing", [user(""), user(text(""))])
def test_who_says_nothing_is_told_to_the_server_so(nothing: Json) -> None:
    silence = {"role": "user", "content": ""}
    assert chat(messages=[nothing]).body["messages"] == [silence]
    told = chat(messages=[nothing], system="Be brief.").body["messages"]
    assert told == [{"role": "system", "content": "Be brief."}, silence]
    assert chat(messages=[user("hi"), nothing]).body["messages"] == [user("hi")]


def test_instructions_come_first_and_the_note_for_accounts_goes() -> None:
    billing = text("x-anthropic-billing-header: cc_version=2.1; cch=0;")
    written = chat(system=[billing, text("You are kind.", **MARK), text("Be brief.", **MARK)])
    assert written.body["messages"] == [
        {"role": "system", "content": "You are kind.\n\nBe brief."},
        user("hi"),
    ]
    assert written.yielded == ("x-anthropic-billing-header", "cache_control")


def thinking(budget_tokens: int) -> Json:
    return {"thinking": {"type": "enabled", "budget_tokens": budget_tokens}}


SETTINGS: dict[str, tuple[Json, Json]] = {
    "stop": ({"stop_sequences": ["###", "END"]}, {"stop": ["###", "END"]}),
    "any tool": (
        {"tools": [TOOL], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        {"tool_choice": "required", "parallel_tool_calls": False},
    ),
    "one tool": (
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "look_up"}},
        {"tool_choice": {"type": "function", "function": {"name": "look_up"}}},
    ),
    "no tool": ({"tools": [TOOL], "tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
    "as it likes": (
        {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": False}},
        {"tool_choice": "auto"},
    ),
    "a choice among no tools": ({"tool_choice": {"type": "auto"}}, {}),
    "a schema": (
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        {"response_format": {"type": "json_schema", "json_schema": {
            "name": "answer", "schema": {"type": "object"}, "strict": True}}},
    ),
    "effort": (
        {"output_config": {"effort": "medium"}, "thinking": {"type": "adaptive"}},
        {"reasoning_effort": "medium"},
    ),
    "a small budget": (thinking(2_048), {"reasoning_effort": "low"}),
    "a middling one": (thinking(8_192), {"reasoning_effort": "medium"}),
    "a large one": (thinking(8_193), {"reasoning_effort": "high"}),
    "temperature": ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
    "who asks": ({"metadata": {"user_id": "u-1"}}, {"user": "u-1"}),
    "the usual tier": ({"service_tier": "auto"}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(name: str) -> None:
    body, expected = SETTINGS[name]
    written = chat(**body)
    found = {key: value for key, value in written.body.items() if key not in ("model", "messages", "tools")}
    assert found == {"max_tokens": 9, **expected}
    assert written.unsaid == () == written.yielded


def test_tools_are_functions_with_their_schema_as_it_was() -> None:
    schema = {"type": "object", "properties": {"z": {"type": "integer"}, "b": {"type": "string"}}}
    written = chat(
        tools=[{"name": "plain", "input_schema": schema, "strict": True, "type": "custom", **MARK}]
    )
    (tool_written,) = written.body["tools"]
    assert tool_written == {
        "type": "function",
        "function": {"name": "plain", "parameters": schema, "strict": True},
    }
    assert list(tool_written["function"]["parameters"]["properties"]) == ["z", "b"]


YIELDS: dict[str, tuple[Json, tuple[str, ...]]] = {
    "thinking of earlier turns": (
        {"messages": [
            user("a"), assistant({"type": "thinking", "thinking": "hm", "signature": "s"}, text("b")),
            user("c")]},
        ("messages.thinking",),
    ),
    "where an earlier text was from": (
        {"messages": [user("a"), assistant(text("b", citations=[{"type": "char_location"}])), user("c")]},
        ("messages.citations",),
    ),
    "thinking at will": ({"thinking": {"type": "adaptive"}}, ("thinking",)),
    "edits of the context": (
        {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}, ("context_management",)
    ),
    "labels": ({"metadata": {"user_id": "u", "more": 1}}, ("metadata",)),
    "a mark at the top": (MARK, ("cache_control",)),
    "a mark on a result": (
        {"messages": [user("a"), assistant(call("a")), user(result("a", "1", **MARK))]}, ("cache_control",)
    ),
    "how a tool is found": ({"tools": [{**TOOL, "defer_loading": True}]}, ("tools.defer_loading",)),
    "what a tool may be called by": ({"tools": [{**TOOL, "allowed_callers": ["direct"]}]}, ()),
    "another tier": ({"service_tier": "standard_only"}, ("service_tier",)),
    "a newer setting of output": ({"output_config": {"newer": 1}}, ("output_config.newer",)),
    "how fast": ({"speed": "fast"}, ("speed",)),
    "who called": (
        {"messages": [user("a"), assistant({**call("1"), "caller": {"type": "code_execution_20250825"}}),
                      user(result("1", "b"))]},
        ("messages.caller",),
    ),
    "that the model called": (
        {"messages": [user("a"), assistant({**call("1"), "caller": {"type": "direct"}}),
                      user(result("1", "b"))]},
        (),
    ),
    "whose tool gave it": (
        {"messages": [user("a"), assistant(call("1")), user(result("1", "b", toolset_name="t"))]},
        ("messages.toolset_name",),
    ),
    "how an image is scaled": (
        {"messages": [user({"type": "image", "source": PNG, "transformations": []})]},
        ("messages.transformations",),
    ),
    "what is more of a thought": (
        {"messages": [user("a"), assistant({"type": "thinking", "thinking": "hm", "newer": 1}, text("b")),
                      user("c")]},
        ("messages.newer", "messages.thinking"),
    ),
    "citations of a passage": (
        {"messages": [user({"type": "search_result", "source": "s", "title": "t", "content": [text("a")],
                            "citations": {"enabled": True}})]},
        ("messages.citations",),
    ),
    "a passage that is not cited": (
        {"messages": [user({"type": "search_result", "source": "s", "title": "t", "content": [text("a")],
                            "citations": {"enabled": False}})]},
        (),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", YIELDS)
def test_what_gives_way_is_noted(name: str) -> None:
    body, yielded = YIELDS[name]
    written = chat(**body)
    assert (written.unsaid, written.yielded) == ((), yielded)


UNSAID: dict[str, tuple[Json, str]] = {
    "a tool of the provider": (
        {"tools": [{"type": "web_search_20250305", "name": "w"}]}, "tools.web_search_20250305"),
    "tools of a server": ({"mcp_servers": [{"type": "url", "url": "https://m", "name": "m"}]}, "mcp_servers"),
    "a container": ({"container": "c_1"}, "container"),
    "a prompt to warm": ({"max_tokens": 0}, "max_tokens"),
    "top_k": ({"top_k": 40}, "top_k"),
    "another form": ({"output_config": {"format": {"type": "newer"}}}, "output_config.format"),
    "a field that nobody knows": ({"newer": 1}, "newer"),
    "a beginning to go on with": ({"messages": [user("a"), assistant(text("b"))]}, "prefill"),
    "a stored image": ({"messages": [user({"type": "image", "source": {"type": "file", "file_id": "f"}})]},
                       "image.source.file_id"),
    "a stored document": (
        {"messages": [user({"type": "document", "source": {"type": "file", "file_id": "f"}})]},
        "document.source.file_id"),
    "a link to a document": (
        {"messages": [user({"type": "document", "source": {"type": "url", "url": "https://x"}})]},
        "document.source.url"),
    "citations that are wanted": (
        {"messages": [user({"type": "document", "source": PDF, "citations": {"enabled": True}})]},
        "document.citations"),
    "what a tool of the provider gave": (
        {"messages": [user("a"), assistant({"type": "server_tool_use", "id": "s", "name": "w", "input": {}},
                                           text("b")), user("c")]},
        "server_tool_use"),
    "an image in an answer": (
        {"messages": [user("a"), assistant({"type": "image", "source": PNG}, text("b")), user("c")]},
        "image"),
    "where it is worked out": ({"inference_geo": "eu"}, "inference_geo"),
    **{
        f"a field that nobody knows of {what}": ({"messages": messages}, "messages.newer")
        for what, messages in {
            "a message": [{**user("a"), "newer": 1}],
            "an instruction": [user("a"), {"role": "system", "content": "b", "newer": 1}, user("c")],
            "an answer": [user("a"), {**assistant(text("b")), "newer": 1}, user("c")],
            "a message of results": [user("a"), assistant(call("1")), {**user(result("1", "b")), "newer": 1}],
            "a text": [user(text("a", newer=1))],
            "an image": [user({"type": "image", "source": PNG, "newer": 1})],
            "a PDF": [user({"type": "document", "source": PDF, "newer": 1})],
            "a document": [user({"type": "document", "newer": 1, "source": {
                "type": "text", "media_type": "text/plain", "data": "a"}})],
            "a passage": [user({"type": "search_result", "source": "s", "title": "t", "content": [],
                                "newer": 1})],
            "a call": [user("a"), assistant({**call("1"), "newer": 1}), user(result("1", "b"))],
            "a result": [user("a"), assistant(call("1")), user(result("1", "b", newer=1))],
            "a part of a result": [user("a"), assistant(call("1")),
                                   user(result("1", [text("b", newer=1)]))],
        }.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("name", UNSAID)
def test_what_cannot_be_said_is_named_with_what_helps(name: str) -> None:
    body, unsaid = UNSAID[name]
    written = chat(**body)
    assert (written.unsaid, written.yielded) == ((unsaid,), ())
    assert unsaid in written.reasons or unsaid in ("mcp_servers", "container", "newer", "inference_geo")


def test_a_model_that_reasons_takes_effort_and_no_sampling() -> None:
    body = {
        "temperature": 0.5,
        "top_p": 1,
        "output_config": {"effort": "max"},
        "thinking": {"type": "adaptive"},
    }
    written = chat("gpt-5", **body)
    assert written.body["reasoning_effort"] == "high" and "temperature" not in written.body
    assert (written.unsaid, written.yielded) == (("temperature",), ("output_config.effort",))
    assert chat("gpt-5.2", **body).body["reasoning_effort"] == "xhigh"
    plain = chat("gpt-4o", **body)
    assert plain.body["temperature"] == 0.5 and "reasoning_effort" not in plain.body
    assert plain.yielded == ("output_config.effort",)
    assert chat("o3", thinking={"type": "adaptive"}).yielded == ()


def test_ids_of_calls_are_short_alike_in_call_and_result_and_in_every_turn() -> None:
    long = ["toolu_" + "x" * 60 + end for end in "ab"]
    written = chat(messages=[user("a"), assistant(*map(call, long)), user(*map(result, long))])
    made = [one["id"] for one in written.body["messages"][1]["tool_calls"]]
    assert made == [one["tool_call_id"] for one in written.body["messages"][2:]] == list(map(short_id, long))
    assert len(set(made)) == 2 and all(len(one) <= ID_CHARS_MAX for one in made)
    assert short_id("toolu_1") == "toolu_1"


def test_who_asks_has_a_name_that_is_short_enough_and_the_same_each_time() -> None:
    """Claude Code's is some 150 characters, of which OpenAI takes 64."""
    users = [chat(metadata={"user_id": "user_" + "0" * 150 + end}).body["user"] for end in "aba"]
    assert users[0] == users[2] != users[1]
    assert all(len(one) == USER_CHARS_MAX for one in users)


PROVING = "gemini-3-pro"


def proof(call_id: Any, said: Any = "s") -> Json:
    extra = {"google": {"thought_signature": said}} if isinstance(said, str) else said
    value = {"id": call_id, "extra_content": extra}
    signature = PREFIX + urlsafe_b64encode(json.dumps(value).encode()).decode()
    return {"type": "thinking", "thinking": "", "signature": signature}


def proven(*blocks: Json) -> list[Any]:
    """The proof at each call of this answer."""
    written = chat(PROVING, messages=[user("a"), assistant(*blocks)]).body["messages"][1]
    extras = [one.get("extra_content", {}) for one in written["tool_calls"]]
    return [extra.get("google", {}).get("thought_signature") for extra in extras]


def test_a_proof_goes_to_its_call_or_to_the_first_without_one() -> None:
    assert proven(proof("b", "2"), call("a"), call("b")) == [None, "2"]
    assert proven(proof("b", "2"), proof("lost", "1"), call("a"), call("b")) == ["1", "2"]
    assert proven(proof("a", "1"), proof("lost", "2"), call("a"), call("b")) == ["1", "2"]
    assert proven(proof("a", told_at_call("1", "g")["extra_content"]), call("a")) == [ANY], "another's"
    for odd in (None, 7, ["a"], {"a": 1}):
        assert proven(proof(odd, "1"), call("a"), call("b")) == ["1", None]


@pytest.mark.slow
def test_many_forged_proofs_cost_no_more_than_each_one() -> None:
    many = 30_000
    forged = [proof(f"{'c' if at % 2 else 'x'}{at}") for at in range(many)]
    body = inner(read({"model": "m", "max_tokens": 9, "messages": [
        user("a"), assistant(*forged, *(call(f"c{at}") for at in range(many)))]}))  # fmt: skip
    began_s = process_time()
    written = lowered(body, model=PROVING).body["messages"][1]["tool_calls"]
    assert process_time() - began_s < 8
    assert all("extra_content" in one for one in written)
