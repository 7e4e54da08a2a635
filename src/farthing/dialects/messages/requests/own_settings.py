"""The tools and settings of a request that came as Messages, as Messages again: as the client said them.

What a model takes is the client's to know here, as it is where its bytes go up unread.
"""

from typing import Any

from farthing.dialects.conversation import Conversation, CustomTool, FunctionTool, Tool, ToolChoice
from farthing.types import Json

_MODES = {"auto": "auto", "required": "any", "none": "none", "named": "tool"}


def write_settings(body: Json, said: Conversation) -> None:
    """Add to `body` the tools of `said`, and how it is to be answered."""
    if said.tools:
        body["tools"] = [_tool(tool) for tool in said.tools]
    if said.choice.mode:
        body["tool_choice"] = _choice(said.choice)
    body.update(said.extras)
    config: Json = dict(body.pop("output_config", None) or {})
    thinking = said.thinking
    if thinking.value is not None:
        body["thinking"] = thinking.value
    if thinking.effort:
        config["effort"] = thinking.effort
    form = said.format
    if form is not None:
        config["format"] = (
            {"type": "json_schema", "schema": form.schema} if form.kind == "json_schema" else form.value
        )
    if config:
        body["output_config"] = config
    if said.stop:
        body["stop_sequences"] = list(said.stop)
    for name, value in (
        ("temperature", said.temperature),
        ("top_p", said.top_p),
        ("top_k", said.top_k),
        ("service_tier", said.service_tier),
        ("cache_control", said.cache),
    ):
        if value is not None:
            body[name] = value
    if said.user is not None:
        body.setdefault("metadata", {"user_id": said.user})


def _tool(tool: Tool) -> Json:
    if isinstance(tool, FunctionTool):
        written: Json = {"name": tool.name}
        if tool.description is not None:
            written["description"] = tool.description
        written["input_schema"] = tool.parameters or {"type": "object", "properties": {}}
        if tool.strict is not None:
            written["strict"] = tool.strict
        if tool.cache is not None:
            written["cache_control"] = tool.cache
        return {**tool.extras, **written} if tool.extras else written
    if isinstance(tool, CustomTool):  # Messages has none
        return {"name": tool.name, "input_schema": {"type": "object", "properties": {}}}
    return tool.value


def _choice(choice: ToolChoice) -> Any:
    written: Json = {**choice.extras, "type": _MODES.get(choice.mode, "auto")}
    if choice.mode == "named":
        written["name"] = choice.names[0]
    if choice.parallel is False:
        written["disable_parallel_tool_use"] = True
    return written
