"""How a request to a provider of Responses has what clients of chat completions and of Messages say: sketches
for the rows of the table "Requests" in `docs/dialects.md`."""

from typing import Any, Final

from tests.e2e.matching import GONE, exactly, holding, json_of, like, one_of
from tests.e2e.matrix_requests import ANY, LINK
from tests.e2e.messages_said import PDF, PNG, SCHEMA

IMAGE_PART: Final = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}


def items(*sketches: Any, **fields: Any) -> dict[str, Any]:
    return {"input": list(sketches), **fields}


def part(sketch: Any) -> dict[str, Any]:
    """The one part of the one message."""
    return items({"role": "user", "content": [sketch]})


def call(call_id: Any, city: str = "Oslo") -> dict[str, Any]:
    return {
        "type": "function_call",
        "call_id": call_id,
        "name": "weather",
        "arguments": json_of({"city": city}),
    }


def output(call_id: Any, sketch: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": sketch}


HAS: Final[dict[str, Any]] = {
    "instructions before all else": items(
        {"role": "system", "content": "help"}, {"role": "user"}, instructions=GONE
    ),
    "instructions between turns, in their place": items(
        ANY, ANY, ANY, {"role": "system", "content": "later"}
    ),
    "an image in the request": part(IMAGE_PART),
    "a link to an image": part({"type": "input_image", "image_url": LINK}),
    "how closely to look at an image": part({"type": "input_image", "detail": "low"}),
    "a PDF in the request": part(
        {"type": "input_file", "filename": "plan.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
    ),
    "a document that is text": {"input": [{"content": holding("<document>", "the plan", "?")}]},
    "a document of several parts": {"input": [{"content": holding("the plan", IMAGE_PART["image_url"])}]},
    "a link to a document": part({"type": "input_file", "file_url": "https://papers.example/a.pdf"}),
    "a file that was uploaded before": part({"type": "input_file", "file_id": "file-1"}),
    "a passage that was found": items({"content": holding("https://a.example", "found")}),
    "an answer that is begun": items(ANY, {"role": "assistant", "content": "Once"}),
    "parallel calls and their results": items(
        {"role": "user"}, call("a"), call("b", "Rome"), output("a", "A"), output("b", "B")
    ),
    "images in a result": items(
        {"role": "user"},
        call("toolu_1"),
        output("toolu_1", [{"type": "input_text", "text": "see"}, IMAGE_PART]),
    ),
    "that a tool failed": items(ANY, ANY, output("toolu_1", "Error: no net")),
    "names of tools of more than 64 characters": {"tools": [{"name": like("mcp__a{42}_[0-9a-f]{16}")}]},
    "ids of calls that are too long or have other signs": items(
        ANY, call(like("[a-zA-Z0-9_-]{1,64}")), output(like("[a-zA-Z0-9_-]{1,64}"), "4 degrees")
    ),
    "tools": {
        "tools": [
            {
                "type": "function",
                "name": "weather",
                "description": "of a town",
                "parameters": exactly(SCHEMA),
                "strict": False,
            }
        ]
    },
    "calls that are held to their schema": {"tools": [{"type": "function", "strict": True}]},
    "a tool that takes free text": {"tools": [exactly({"type": "custom", "name": "sh"})]},
    "`tool_choice`: none": {"tool_choice": "none", "tools": [ANY]},
    "`tool_choice`: any tool": {"tool_choice": "required"},
    "`tool_choice`: one tool": {"tool_choice": exactly({"type": "function", "name": "weather"})},
    "`tool_choice`: some of the tools": {
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [exactly({"type": "function", "name": "weather"})],
        },
        "tools": [ANY, ANY],
    },
    "one call at a time": {"parallel_tool_calls": False},
    "an answer in a JSON schema": {
        "text": {"format": {"type": "json_schema", "name": one_of("r", "answer"), "schema": exactly(SCHEMA)}}
    },
    "an answer in any JSON": {"text": {"format": exactly({"type": "json_object"})}},
    "how much to think": {"reasoning": {"effort": "high"}, "include": ["reasoning.encrypted_content"]},
    "a budget of thinking": {"reasoning": {"effort": "medium"}},
    "the limit of output": {"max_output_tokens": 77},
    "`temperature`, `top_p`": {"temperature": 0.5},
    "who asks": {"user": "u-1"},
    "other `metadata`": {"metadata": exactly({"job": "x"})},
    "a service tier": {"service_tier": "default"},
    "`verbosity`": {"text": {"verbosity": "low"}},
    "`prompt_cache_key`": {"prompt_cache_key": "k"},
}
"""Of what is kept."""
