"""What a request of Responses can say, and how other dialects say it: the rows of the table "Requests of
Responses" in `docs/dialects.md`."""

from typing import Any, Final

from tests.e2e.matching import exactly, holding, kinds, like, text_of
from tests.e2e.matrix import Said, Thing
from tests.e2e.matrix_requests import (
    ANY,
    FILE,
    IMAGE,
    LINK,
    MARK,
    OPUS,
    OWN_FILE,
    OWN_IMAGE,
    SOUND,
    at,
    parts,
)
from tests.e2e.messages_said import HIDDEN, PDF, PNG, SCHEMA, SIGNED

from farthing.dialects.conversation import Reasoning
from farthing.dialects.responses import envelopes

Json = dict[str, Any]
FUNCTION: Final[Json] = {
    "type": "function", "name": "weather", "description": "of a town", "parameters": SCHEMA, "strict": False,
}  # fmt: skip
CUSTOM: Final[Json] = {"type": "custom", "name": "patch", "description": "edits"}
CALL: Final[Json] = {
    "type": "function_call",
    "call_id": "c_1",
    "name": "weather",
    "arguments": '{"city": "Oslo"}',
}
OUTPUT: Final[Json] = {"type": "function_call_output", "call_id": "c_1", "output": "4 degrees"}
FORM: Final[Json] = {"type": "json_schema", "name": "r", "schema": SCHEMA, "strict": True}


def asks(*items: Any, **fields: Any) -> Said:
    return Said(asks={"input": list(items) or "hello", **fields}, kept=None)


def user(*content: Any) -> Json:
    return {"role": "user", "content": list(content)}


def said(text: str, **fields: Any) -> Json:
    content = [{"type": "output_text", "text": text, "annotations": [], **fields}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}


def words(text: str, **fields: Any) -> Json:
    return {"type": "input_text", "text": text, **fields}


def thought(block: Reasoning) -> Json:
    held = envelopes.of_reasoning(block)
    return {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": held}


def tools(*items: Any, **fields: Any) -> Said:
    return asks(*items, **{"tools": [FUNCTION], **fields})


CONTENT: dict[str, Thing] = {
    "`instructions`": Thing(
        responses=asks(instructions="help"),
        chat_has={"messages": [{"role": "system", "content": "help"}, ANY]},
        messages_has={"system": holding("help"), "messages": [{"role": "user"}]},
    ),
    "messages of the developer, in their place": Thing(
        responses=asks(
            user(words("a")), said("b"), {"role": "developer", "content": "later"}, user(words("c"))
        ),
        chat_has={"messages": [ANY, ANY, {"role": "system", "content": "later"}, ANY]},
        messages_has={"messages": [ANY, ANY, {"content": holding("later", "c")}]},
    ),
    "what one answer says, thinks and calls": Thing(
        responses=tools(user(words("a")), said("Let me look."), CALL, OUTPUT),
        chat_has={
            "messages": [ANY, {"content": text_of("Let me look."), "tool_calls": [{"id": "c_1"}]}, ANY]
        },
        messages_has={"messages": [ANY, {"content": kinds("text", "tool_use")}, ANY]},
    ),
    "parallel calls and their outputs, in the order of the calls": Thing(
        responses=tools(
            user(words("a")), CALL, {**CALL, "call_id": "c_2"}, {**OUTPUT, "call_id": "c_2"}, OUTPUT
        ),
        chat_has={"messages": [ANY, ANY, {"tool_call_id": "c_1"}, {"tool_call_id": "c_2"}]},
        messages_has=at(2, {"content": [{"tool_use_id": "c_1"}, {"tool_use_id": "c_2"}]}),
    ),
    "an image, in the request or by a link": Thing(
        responses=asks(
            user(
                {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
                {"type": "input_image", "image_url": LINK, "detail": "auto"},
            )
        ),
        chat_has=parts(IMAGE, {"type": "image_url", "image_url": {"url": LINK}}),
        messages_has=parts(OWN_IMAGE, {"type": "image", "source": {"type": "url", "url": LINK}}),
    ),
    "how closely to look at an image": Thing(
        responses=asks(user({"type": "input_image", "image_url": LINK, "detail": "low"})),
        chat_has=holding("detail", "low"),
        names=("input_image.detail",),
    ),
    "a PDF in the request": Thing(
        responses=asks(
            user(
                {
                    "type": "input_file",
                    "filename": "plan.pdf",
                    "file_data": f"data:application/pdf;base64,{PDF}",
                }
            )
        ),
        chat_has=parts(FILE),
        messages_has=parts(OWN_FILE),
    ),
    "a link to a file": Thing(
        responses=asks(user({"type": "input_file", "file_url": "https://papers.example/a.pdf"})),
        messages_has=holding("papers.example"),
        names=("input_file.file_url",),
    ),
    "a file that was uploaded before": Thing(
        responses=asks(user({"type": "input_file", "file_id": "file-1"})), names=("input_file.file_id",)
    ),
    "sound": Thing(
        responses=asks(user({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}})),
        chat_has=parts(SOUND),
        names=("input_audio",),
    ),
    "images in an output": Thing(
        responses=tools(
            user(words("a")),
            CALL,
            {
                **OUTPUT,
                "output": [
                    words("see"),
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
                ],
            },
        ),
        chat_has={"messages": [ANY, ANY, {"content": holding("see")}, {"content": holding("c_1", PNG)}]},
        messages_has=at(2, {"content": [{"content": [{"text": "see"}, OWN_IMAGE]}]}),
    ),
    "thinking of Claude with its signature": Thing(
        responses=asks(
            user(words("a")),
            thought(Reasoning("hm", SIGNED, "", "messages")),
            thought(Reasoning("", "", HIDDEN, "messages")),
            said("b"),
            user(words("c")),
        ),
        messages_has=at(1, {"content": [{"thinking": "hm", "signature": SIGNED}, {"data": HIDDEN}, ANY]})
        | {
            "messages": [
                ANY,
                {"content": [{"thinking": "hm", "signature": SIGNED}, {"data": HIDDEN}, ANY]},
                ANY,
            ]
        },
        names=("input.reasoning",),
    ),
    "`reasoning_content` of a chat server": Thing(
        responses=asks(user(words("a")), thought(Reasoning("hm", maker="chat")), said("b"), user(words("c"))),
        chat_has={"messages": [ANY, {"reasoning_content": "hm"}, ANY]},
        names=("input.reasoning",),
    ),
    "reasoning that a provider of Responses encrypted": Thing(
        responses=asks(
            user(words("a")),
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"},
            said("b"),
            user(words("c")),
        ),
        names=("input.reasoning",),
    ),
    "a compaction of the gateway": Thing(
        responses=asks(
            {"type": "compaction", "encrypted_content": envelopes.of_summary("all so far")}, user(words("c"))
        ),
        chat_has={"messages": [{"role": "user", "content": holding("all so far")}, ANY]},
        messages_has=holding("all so far"),
    ),
    "a compaction of a provider": Thing(
        responses=asks({"type": "compaction", "encrypted_content": "gAAAA"}, user(words("c"))),
        names=("compaction",),
    ),
    "annotations in the history": Thing(
        responses=asks(
            user(words("a")),
            said(
                "b",
                annotations=[
                    {"type": "url_citation", "url": LINK, "title": "T", "start_index": 0, "end_index": 1}
                ],
            ),
            user(words("c")),
        ),
        names=("input.annotations",),
    ),
    "what the provider searched or ran itself": Thing(
        responses=asks(
            user(words("a")),
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
            said("b"),
            user(words("c")),
        ),
        names=("web_search_call",),
    ),
    "marks for a prefix cache": Thing(
        responses=asks(user(words("a", prompt_cache_breakpoint={"mode": "explicit"}))),
        messages_has=parts({"cache_control": exactly(MARK)}),
        names=("prompt_cache_breakpoint",),
    ),
}

SETTINGS: dict[str, Thing] = {
    "functions": Thing(
        responses=tools(),
        chat_has={
            "tools": [{"type": "function", "function": {"name": "weather", "parameters": exactly(SCHEMA)}}]
        },
        messages_has={"tools": [{"name": "weather", "input_schema": exactly(SCHEMA)}]},
    ),
    "a tool that takes free text": Thing(
        responses=asks(tools=[CUSTOM]),
        chat_has={"tools": [{"function": {"name": "patch", "parameters": {"required": ["input"]}}}]},
        messages_has={"tools": [{"name": "patch", "input_schema": {"required": ["input"]}}]},
    ),
    "tools that an item adds": Thing(
        responses=tools(
            {"type": "additional_tools", "role": "developer", "tools": [FUNCTION, CUSTOM]}, user(words("a"))
        ),
        chat_has={
            "tools": [{"function": {"name": "weather"}}, {"function": {"name": "patch"}}],
            "messages": [ANY],
        },
        messages_has={"tools": [{"name": "weather"}, {"name": "patch"}], "messages": [ANY]},
    ),
    "functions of a namespace": Thing(
        responses=asks(
            tools=[{"type": "namespace", "name": "docs", "description": "d", "tools": [FUNCTION]}]
        ),
        chat_has={"tools": [{"function": {"name": like("docs__weather")}}]},
        messages_has={"tools": [{"name": like("docs__weather")}]},
    ),
    "a tool that the provider runs": Thing(
        responses=asks(tools=[{"type": "web_search"}]), names=("tools.web_search",)
    ),
    "`tool_choice`: none, any tool, one tool": Thing(
        responses=tools(tool_choice={"type": "function", "name": "weather"}),
        chat_has={"tool_choice": exactly({"type": "function", "function": {"name": "weather"}})},
        messages_has={"tool_choice": exactly({"type": "tool", "name": "weather"})},
    ),
    "`tool_choice`: some of the tools": Thing(
        responses=asks(
            tools=[FUNCTION, {**FUNCTION, "name": "other"}],
            tool_choice={
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "other"}],
            },
        ),
        chat_has={"tools": [{"function": {"name": "other"}}], "tool_choice": "auto"},
        names=("tool_choice",),
    ),
    "one call at a time": Thing(
        responses=tools(parallel_tool_calls=False),
        chat_has={"parallel_tool_calls": False},
        messages_has={"tool_choice": {"disable_parallel_tool_use": True}},
    ),
    "an answer in a JSON schema": Thing(
        responses=asks(text={"format": FORM}),
        chat_has={
            "response_format": {"json_schema": {"name": "r", "strict": True, "schema": exactly(SCHEMA)}}
        },
        messages_has={"output_config": {"format": {"type": "json_schema", "schema": {"required": ["city"]}}}},
        model=OPUS,
    ),
    "an answer in any JSON": Thing(
        responses=asks(text={"format": {"type": "json_object"}}),
        chat_has={"response_format": {"type": "json_object"}},
        names=("text.format",),
    ),
    "`text.verbosity`": Thing(responses=asks(text={"verbosity": "low"}), names=("text.verbosity",)),
    "`reasoning.effort`": Thing(
        responses=asks(reasoning={"effort": "high", "summary": "auto"}, max_output_tokens=9_000),
        chat_has={"reasoning_effort": "high"},
        messages_has={"output_config": {"effort": "high"}},
        model=OPUS,
    ),
    "`max_output_tokens`": Thing(
        responses=asks(max_output_tokens=77), chat_has={"max_tokens": 77}, messages_has={"max_tokens": 77}
    ),
    "`temperature`, `top_p`": Thing(
        responses=asks(temperature=0.5), chat_has={"temperature": 0.5}, messages_has={"temperature": 0.5}
    ),
    "the probability of each token": Thing(
        responses=asks(top_logprobs=2),
        chat_has={"logprobs": True, "top_logprobs": 2},
        names=("top_logprobs",),
    ),
    "`safety_identifier`, `user`": Thing(
        responses=asks(safety_identifier="u-1"),
        chat_has={"user": "u-1"},
        messages_has={"metadata": exactly({"user_id": "u-1"})},
    ),
    "`service_tier`": Thing(
        responses=asks(service_tier="default"),
        chat_has={"service_tier": "default"},
        messages_has={"service_tier": "standard_only"},
    ),
    "`metadata`": Thing(responses=asks(metadata={"job": "x"}), names=("metadata",)),
    "`prompt_cache_key`, `prompt_cache_retention`, `prompt_cache_options`": Thing(
        responses=asks(prompt_cache_key="k"), names=("prompt_cache_key",)
    ),
    "`truncation`, `max_tool_calls`, `context_management`": Thing(
        responses=asks(truncation="auto"), names=("truncation",)
    ),
    "`moderation` and fields that nobody knows": Thing(
        responses=asks(a_later_field={"a": 1}), names=("a_later_field",)
    ),
    "`background`, `conversation`, `prompt`": Thing(responses=asks(background=True), names=("background",)),
}

THINGS: dict[str, Thing] = {**CONTENT, **SETTINGS}
