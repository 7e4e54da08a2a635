"""How a request to Converse has what clients of chat completions and of Messages say: sketches for the rows
of the table "Requests to Converse" in `docs/dialects.md`, which are those of "Requests"."""

from typing import Any, Final

from tests.e2e.matching import GONE, exactly, holding, like
from tests.e2e.matrix_requests import ANY
from tests.e2e.messages_said import PDF, PNG, SCHEMA

POINT: Final = exactly({"cachePoint": {"type": "default"}})
IMAGE: Final = {"image": {"format": "png", "source": {"bytes": PNG}}}


def turn(*blocks: Any) -> dict[str, Any]:
    """The one message."""
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def call(call_id: Any, city: str = "Oslo") -> dict[str, Any]:
    return {"toolUse": {"toolUseId": call_id, "name": "weather", "input": {"city": city}}}


def result(call_id: Any, *blocks: Any) -> dict[str, Any]:
    return {"toolResult": {"toolUseId": call_id, "content": list(blocks)}}


def after_call(*blocks: Any) -> dict[str, Any]:
    return {"messages": [ANY, ANY, {"role": "user", "content": list(blocks)}]}


HAS: Final[dict[str, Any]] = {
    "instructions before all else": {"system": [{"text": "help"}], "messages": [{"role": "user"}]},
    "instructions between turns, in their place": {
        "messages": [ANY, ANY, {"content": [{"text": "c"}, {"text": "<system>\nlater\n</system>"}]}]
    },
    "an image in the request": turn(IMAGE),
    "a PDF in the request": turn(
        {"document": {"format": "pdf", "name": "plan", "source": {"bytes": PDF}}}, {"text": "."}
    ),
    "a document that is text": turn(
        {"document": {"format": "txt", "name": "document", "source": {"bytes": "dGhlIHBsYW4="}}},
        {"text": "?"},
    ),
    "sound": turn({"audio": {"format": "wav", "source": {"bytes": "UklGRg=="}}}),
    "a passage that was found": turn(
        {"searchResult": {"source": "https://a.example", "title": "T", "content": [{"text": "found"}]}}
    ),
    "an answer that is begun": {"messages": [ANY, {"role": "assistant", "content": [{"text": "Once"}]}]},
    "parallel calls and their results": {
        "messages": [
            ANY,
            {"content": [call("a"), call("b", "Rome")]},
            {"content": [result("a", {"text": "A"}), result("b", {"text": "B"})]},
        ]
    },
    "images in a result": after_call(result("toolu_1", {"text": "see"}, IMAGE)),
    "that a tool failed": after_call({"toolResult": {"status": "error", "content": [{"text": "no net"}]}}),
    "names of tools of more than 64 characters": {
        "toolConfig": {"tools": [{"toolSpec": {"name": like("mcp__a{42}_[0-9a-f]{16}")}}]}
    },
    "ids of calls that are too long or have other signs": {
        "messages": [
            ANY,
            {"content": [call(like("[a-zA-Z0-9_-]{1,64}"))]},
            {"content": [{"toolResult": {"toolUseId": like("[a-zA-Z0-9_-]{1,64}")}}]},
        ]
    },
    "cache marks on parts, results and tools": turn(
        {"text": "q"}, exactly({"cachePoint": {"type": "default"}})
    ),
    "tools": {
        "toolConfig": {
            "tools": [
                {
                    "toolSpec": {
                        "name": "weather",
                        "description": "of a town",
                        "inputSchema": {"json": exactly(SCHEMA)},
                    }
                }
            ]
        }
    },
    "calls that are held to their schema": {"toolConfig": {"tools": [{"toolSpec": {"strict": True}}]}},
    "`tool_choice`: none": {"toolConfig": GONE},
    "`tool_choice`: any tool": {"toolConfig": {"toolChoice": exactly({"any": {}})}},
    "`tool_choice`: one tool": {"toolConfig": {"toolChoice": exactly({"tool": {"name": "weather"}})}},
    "`tool_choice`: some of the tools": {"toolConfig": {"tools": [{"toolSpec": {"name": "weather"}}]}},
    "an answer in a JSON schema": {
        "outputConfig": {
            "textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": holding("city")}}}
        }
    },
    "how much to think": {"outputConfig": {"effort": "high"}},
    "a budget of thinking": {"outputConfig": {"effort": "medium"}},
    "the limit of output": {"inferenceConfig": {"maxTokens": 77}},
    "stops": {"inferenceConfig": {"stopSequences": exactly(["END"])}},
    "`temperature`, `top_p`": {"inferenceConfig": {"temperature": 0.5}},
    "who asks": {"requestMetadata": exactly({"user": "u-1"})},
    "a service tier": {"serviceTier": GONE},
    "a cache mark on the whole": turn(ANY, POINT),
    "citations of documents": {
        "messages": [{"content": [{"document": {"citations": exactly({"enabled": True})}}, ANY]}]
    },
}
"""Of what is kept."""
NAMES: Final[dict[str, tuple[str, ...]]] = {
    "how closely to look at an image": ("image_url",),
    "a link to an image": ("image_url", "image"),
    "a document of several parts": ("document",),
    "a link to a document": ("document", "file"),
    "one call at a time": ("parallel_tool_calls", "disable_parallel_tool_use"),
    "a passage that was found": ("search_result",),
}
"""What is called otherwise than where other dialects refuse it."""
