"""Whether a request is one that the Messages API takes, and its words where it is not.

What is refused here was seen to be refused there; what is passed over (the fields of tools that the provider
runs itself, betas) is not checked at all.
"""

import base64
import re
from collections.abc import Callable, Collection
from typing import Any, Final

from tests.faults import messages_proof as proof
from tests.faults.messages_prompt import Turn, blocks_in, joined
from tests.faults.said import Json

FIELDS: Final = frozenset(
    """
    model messages max_tokens cache_control container diagnostics inference_geo metadata output_config
    service_tier speed stop_sequences stream system temperature thinking tool_choice tools top_k top_p
    user_profile_id workspace_id
    """.split()  # noqa: SIM905 - one name a line would be a page
)
NOT_COUNTED: Final = frozenset({
    "max_tokens", "container", "diagnostics", "inference_geo", "metadata", "service_tier", "stop_sequences",
    "stream", "temperature", "top_k", "top_p",
})  # fmt: skip
"""Fields that a count of tokens does not take."""
BLOCK_FIELDS: Final = {
    "text": {"text", "citations"},
    "image": {"source", "transformations"},
    "document": {"source", "title", "context", "citations"},
    "search_result": {"source", "title", "content", "citations"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
    "tool_use": {"id", "name", "input", "caller", "toolset_name"},
    "tool_result": {"tool_use_id", "content", "is_error", "toolset_name"},
}
"""Beside `type` and `cache_control`."""
OPTIONAL: Final = {
    "citations", "transformations", "title", "context", "caller", "toolset_name", "content", "is_error",
}  # fmt: skip
UNMARKED: Final = {"thinking", "redacted_thinking"}
"""Blocks that no mark may stand on."""
BY_ROLE: Final = {
    "user": {"text", "image", "document", "search_result", "tool_result"},
    "assistant": {"text", "thinking", "redacted_thinking", "tool_use"},
    "system": {"text"},
}
"""Blocks of the provider's own tools are passed over."""
TOOL_FIELDS: Final = frozenset({
    "type", "name", "description", "input_schema", "cache_control", "strict", "allowed_callers",
    "defer_loading", "eager_input_streaming", "input_examples",
})  # fmt: skip
IMAGE_TYPES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
MAGIC: Final = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}
TOOL_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")
TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
OWN_TOOL: Final = re.compile(r"_\d{8}$")
"""Kinds of tools that the provider runs itself end with the day they were made."""
UNSUPPORTED_IN_SCHEMAS: Final = {
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength"),
    "array": ("maxItems", "uniqueItems"),
}
MARKS_MAX: Final = 4
BUDGET_TOKENS_MIN: Final = 1_024
USER_ID_CHARS_MAX: Final = 256
VERSION: Final = re.compile(r"claude-[a-z]+-(\d)(?:-(\d{1,2}))?(?!\d)")


class Invalid(Exception):
    """The request is none that is taken; the message is the provider's."""


def check(body: Json, *, counting: bool = False, betas: bool = False) -> None:
    """`betas`: a header names some, so that fields nobody here knows are theirs.

    Raises:
        Invalid: it would be refused.
    """
    known = FIELDS - NOT_COUNTED if counting else FIELDS
    if not betas:
        _no_extras("", body, known)
    for name in ("model", "messages") if counting else ("model", "messages", "max_tokens"):
        _need(name in body, name, "Field required")
    _need(isinstance(body["model"], str) and body["model"], "model", "Input should be a valid string")
    _settings(body)
    _tools(body)
    _system(body)
    _turns(body, {"role", "content"} | ({"output_config"} if betas else set()))
    _thinking(body)
    _marks(body)
    _abilities(body)


def _need(holds: object, where: str, why: str) -> None:
    if not holds:
        raise Invalid(f"{where}: {why}" if where else why)


def _no_extras(where: str, value: Json, known: Collection[str]) -> None:
    for name in value:
        _need(name in known, f"{where}.{name}" if where else name, "Extra inputs are not permitted")


def _no_tag(kind: object) -> str:
    return f"Input tag '{kind}' found using 'type' does not match any of the expected tags"


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# -- settings ----------------------------------------------------------------------------------------


def _settings(body: Json) -> None:
    if "max_tokens" in body:
        _need(_is_int(body["max_tokens"]), "max_tokens", "Input should be a valid integer")
        _need(body["max_tokens"] >= 0, "max_tokens", "Input should be greater than or equal to 0")
    _need(isinstance(body.get("stream", False), bool), "stream", "Input should be a valid boolean")
    for name in ("temperature", "top_p"):
        value = body.get(name, 0.5)
        _need(
            isinstance(value, int | float) and not isinstance(value, bool),
            name,
            "Input should be a valid number",
        )
        _need(value >= 0, name, "Input should be greater than or equal to 0")
        _need(value <= 1, name, "Input should be less than or equal to 1")
    _need(_is_int(body.get("top_k", 1)), "top_k", "Input should be a valid integer")
    stops = body.get("stop_sequences", [])
    _need(isinstance(stops, list), "stop_sequences", "Input should be a valid list")
    for stop in stops:
        _need(isinstance(stop, str), "stop_sequences.0", "Input should be a valid string")
        _need(stop.strip(), "stop_sequences", "each stop sequence must contain non-whitespace")
    metadata = body.get("metadata", {})
    _need(isinstance(metadata, dict), "metadata", "Input should be an object")
    _no_extras("metadata", metadata, {"user_id"})
    user = metadata.get("user_id") or ""
    _need(isinstance(user, str), "metadata.user_id", "Input should be a valid string")
    longest = f"String should have at most {USER_ID_CHARS_MAX} characters"
    _need(len(user) <= USER_ID_CHARS_MAX, "metadata.user_id", longest)
    tier = body.get("service_tier", "auto")
    _need(tier in ("auto", "standard_only"), "service_tier", "Input should be 'auto' or 'standard_only'")
    config = body.get("output_config", {})
    _need(isinstance(config, dict), "output_config", "Input should be an object")
    _no_extras("output_config", config, {"effort", "format"})
    efforts = (None, "low", "medium", "high", "xhigh", "max")
    told = "Input should be 'low', 'medium', 'high', 'xhigh' or 'max'"
    _need(config.get("effort") in efforts, "output_config.effort", told)
    form = config.get("format")
    if form is not None:
        _need(isinstance(form, dict), "output_config.format", "Input should be an object")
        _no_extras("output_config.format", form, {"type", "schema"})
        _need(form.get("type") == "json_schema", "output_config.format.type", "Input should be 'json_schema'")
        _need(isinstance(form.get("schema"), dict), "output_config.format.schema", "Field required")
        _schema("output_config.format.schema", form["schema"])


def _schema(where: str, schema: Any) -> None:
    """What a schema that the answer is held to may not say."""
    if isinstance(schema, list):
        for inner in schema:
            _schema(where, inner)
    if not isinstance(schema, dict):
        return
    kind = schema.get("type")
    if kind == "object":
        told = "For 'object' type, 'additionalProperties' must be explicitly set to false"
        _need(schema.get("additionalProperties") is False, where, told)
    for name in UNSUPPORTED_IN_SCHEMAS.get(kind, ()) if isinstance(kind, str) else ():
        _need(name not in schema, where, f"For '{kind}' type, property '{name}' is not supported")
    for name in ("anyOf", "allOf", "items"):
        _schema(where, schema.get(name))
    for name in ("properties", "$defs", "definitions"):
        _schema(where, list((schema.get(name) or {}).values()))


# -- tools -------------------------------------------------------------------------------------------


def _tools(body: Json) -> None:
    tools = body.get("tools", [])
    _need(isinstance(tools, list), "tools", "Input should be a valid list")
    names = []
    for index, tool in enumerate(tools):
        _need(isinstance(tool, dict), f"tools.{index}", "Input should be an object")
        kind = tool.get("type")
        if kind in (None, "custom"):
            _tool(f"tools.{index}.custom", tool)
        else:
            _need(OWN_TOOL.search(str(kind)), f"tools.{index}", _no_tag(kind))
            _need(isinstance(tool.get("name"), str), f"tools.{index}.{kind}.name", "Field required")
        names.append(tool.get("name"))
    _need(len(set(names)) == len(names), "tools", "Tool names must be unique.")
    choice = body.get("tool_choice")
    if choice is None:
        return
    _need(tools, "tool_choice", "may only be specified while providing `tools`")
    _need(isinstance(choice, dict), "tool_choice", "Input should be an object")
    fields: dict[object, set[str]] = {"auto": set(), "any": set(), "tool": {"name"}, "none": set()}
    kind = choice.get("type")
    _need(kind in fields, "tool_choice", _no_tag(kind))
    more = set() if kind == "none" else {"disable_parallel_tool_use"}
    _no_extras(f"tool_choice.{kind}", choice, {"type"} | fields[kind] | more)
    if kind == "tool":
        _need(choice.get("name") in names, "", f"Tool '{choice.get('name')}' not found in provided tools")


def _tool(where: str, tool: Json) -> None:
    _no_extras(where, tool, TOOL_FIELDS)
    name = tool.get("name")
    _need(isinstance(name, str), f"{where}.name", "Field required")
    shape = f"String should match pattern '^{TOOL_NAME.pattern}$'"
    _need(TOOL_NAME.fullmatch(str(name)), f"{where}.name", shape)
    schema = tool.get("input_schema")
    _need(schema is not None, f"{where}.input_schema", "Field required")
    _need(isinstance(schema, dict), f"{where}.input_schema", "Input should be an object")
    assert isinstance(schema, dict)
    _need("type" in schema, f"{where}.input_schema.type", "Field required")
    _need(schema["type"] == "object", f"{where}.input_schema.type", "Input should be 'object'")
    odd = {"oneOf", "allOf", "anyOf"} & schema.keys()
    told = "input_schema does not support oneOf, allOf, or anyOf at the top level"
    _need(not odd, f"{where}.input_schema", told)
    told = "Input should be a valid string"
    _need(isinstance(tool.get("description", ""), str), f"{where}.description", told)
    if tool.get("strict"):
        _schema(f"{where}.input_schema", schema)


# -- what was said -----------------------------------------------------------------------------------


def _system(body: Json) -> None:
    system = body.get("system", "")
    _need(isinstance(system, str | list), "system", "Input should be a valid string or a list of text blocks")
    if isinstance(system, list):
        for index, block in enumerate(system):
            _block(f"system.{index}", "system", block)


def _turns(body: Json, known: Collection[str]) -> None:
    messages = body["messages"]
    _need(isinstance(messages, list), "messages", "Input should be a valid list")
    _need(messages, "messages", "at least one message is required")
    for index, message in enumerate(messages):
        where = f"messages.{index}"
        _need(isinstance(message, dict), where, "Input should be an object")
        _no_extras(where, message, known)
        role = message.get("role")
        told = f'Unexpected role "{role}". Allowed roles are "user" or "assistant".'
        _need(role in BY_ROLE, "messages", told)
        _need("content" in message, f"{where}.content", "Field required")
        last = index == len(messages) - 1
        _content(where, message, may_be_empty=last and role == "assistant")
    _need(messages[0]["role"] == "user", "messages", 'first message must use the "user" role')
    if messages[-1]["role"] == "assistant":
        texts = [one["text"] for one in blocks_in(messages[-1]["content"]) if one["type"] == "text"]
        told = "final assistant content cannot end with trailing whitespace"
        _need(not texts or texts[-1] == texts[-1].rstrip(), "messages", told)
    _calls(joined(messages))


def _content(where: str, message: Json, *, may_be_empty: bool) -> None:
    content, role = message["content"], message["role"]
    _need(isinstance(content, str | list), f"{where}.content", "Input should be a valid list")
    if not content:
        told = "all messages must have non-empty content except for the optional final assistant message"
        _need(may_be_empty, where, told)
    elif isinstance(content, str):
        _need(content.strip(), "messages", "text content blocks must contain non-whitespace text")
    else:
        for index, block in enumerate(content):
            _block(f"{where}.content.{index}", role, block)


def _block(where: str, role: str, block: Any) -> None:
    _need(isinstance(block, dict), where, "Input should be an object")
    kind = block.get("type")
    _need(isinstance(kind, str), f"{where}.type", "Field required")
    known = BLOCK_FIELDS.get(kind)
    if known is None:
        return
    place = where.partition(".")[0]
    _need(kind in BY_ROLE[role], where, f"`{kind}` blocks are not permitted in `{role}` messages")
    marked: set[str] = set() if kind in UNMARKED else {"cache_control"}
    _no_extras(f"{where}.{kind}", block, {"type"} | marked | known)
    for name in known - OPTIONAL:
        _need(name in block, f"{where}.{kind}.{name}", "Field required")
    match kind:
        case "text":
            text = block["text"]
            _need(isinstance(text, str), f"{where}.text.text", "Input should be a valid string")
            _need(text, place, "text content blocks must be non-empty")
            _need(text.strip(), place, "text content blocks must contain non-whitespace text")
        case "image" | "document":
            _source(f"{where}.{kind}.source", kind, block["source"])
        case "tool_use":
            _tool_id(f"{where}.tool_use.id", block["id"])
            told = "Input should be a valid dictionary"
            _need(isinstance(block["input"], dict), f"{where}.tool_use.input", told)
            shape = "String should have at least 1 character"
            _need(isinstance(block["name"], str) and block["name"], f"{where}.tool_use.name", shape)
        case "tool_result":
            _tool_id(f"{where}.tool_result.tool_use_id", block["tool_use_id"])
            content = block.get("content", "")
            told = "Input should be a valid list"
            _need(isinstance(content, str | list), f"{where}.tool_result.content", told)
            for index, inner in enumerate(content if isinstance(content, list) else ()):
                _block(f"{where}.tool_result.content.{index}", "user", inner)
        case "thinking":
            for name in ("thinking", "signature"):
                told = "Input should be a valid string"
                _need(isinstance(block[name], str), f"{where}.thinking.{name}", told)


def _tool_id(where: str, value: Any) -> None:
    _need(isinstance(value, str), where, "Input should be a valid string")
    _need(TOOL_ID.fullmatch(value), where, f"String should match pattern '^{TOOL_ID.pattern}$'")


def _source(where: str, kind: str, source: Any) -> None:
    _need(isinstance(source, dict), where, "Input should be an object")
    form = source.get("type")
    types = IMAGE_TYPES if kind == "image" else ("application/pdf",)
    match form:
        case "base64":
            _no_extras(f"{where}.base64", source, {"type", "media_type", "data"})
            told = "Input should be " + " or ".join(map(repr, types))
            _need(source.get("media_type") in types, f"{where}.base64.media_type", told)
            data = source.get("data")
            _need(isinstance(data, str) and data, f"{where}.base64.data", "Field required")
            _need(_is_base64(str(data)), f"{where}.base64", "invalid base64 data")
            _as_called(where, source)
        case "url":
            _no_extras(f"{where}.url", source, {"type", "url"})
            _need(isinstance(source.get("url"), str), f"{where}.url.url", "Field required")
            told = "Only HTTPS URLs are supported."
            _need(str(source["url"]).startswith("https://"), f"{where}.url.url", told)
        case "text" if kind == "document":
            _no_extras(f"{where}.text", source, {"type", "media_type", "data"})
            told = "Input should be 'text/plain'"
            _need(source.get("media_type") == "text/plain", f"{where}.text.media_type", told)
            _need(source.get("data"), f"{where}.text.data", "String should have at least 1 character")
        case "file":
            _need(isinstance(source.get("file_id"), str), f"{where}.file.file_id", "Field required")
        case "content" if kind == "document":
            return
        case _:
            _need(
                False, where, f"Input tag '{form}' found using 'type' does not match any of the expected tags"
            )


def _as_called(where: str, source: Json) -> None:
    head, called = base64.b64decode(source["data"])[:4], source["media_type"]
    found = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), called)
    told = (
        f"The image was specified using the {called} media type, but the image appears to be a {found} image"
    )
    _need(found == called, where, told)


def _is_base64(data: str) -> bool:
    try:
        return bool(base64.b64decode(data, validate=True))
    except ValueError:
        return False


# -- calls and their results -------------------------------------------------------------------------


def _calls(turns: list[Turn]) -> None:
    """Each result follows its call at once, and each call has one."""
    open_ids: list[str] = []
    for role, at, blocks in turns:
        results: list[str] = []
        for index, block in enumerate(blocks):
            if block["type"] != "tool_result":
                continue
            name, where = block["tool_use_id"], f"messages.{at}.content.{index}"
            told = (
                "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
            _need(
                name in open_ids,
                where,
                f"unexpected `tool_use_id` found in `tool_result` blocks: {name}. {told}",
            )
            told = "each tool_use must have a single result. Found multiple `tool_result` blocks with id: "
            _need(name not in results, where, told + name)
            if index == len(results):  # what stands behind other blocks counts for nothing
                results.append(name)
        missing = [name for name in open_ids if name not in results]
        told = "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
        _need(
            not missing,
            f"messages.{at}",
            "`tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(missing)}. {told}",
        )
        open_ids = (
            [block["id"] for block in blocks if block["type"] == "tool_use"] if role == "assistant" else []
        )
        told = "`tool_use` ids must be unique"
        _need(len(set(open_ids)) == len(open_ids), f"messages.{at}", told)


# -- thinking ----------------------------------------------------------------------------------------


def _thinking(body: Json) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    _need(isinstance(thinking, dict), "thinking", "Input should be an object")
    kind = thinking.get("type")
    fields: dict[object, set[str]] = {
        "enabled": {"budget_tokens", "display"},
        "adaptive": {"display"},
        "disabled": set(),
        "between_tools": set(),
    }
    _need(kind in fields, "thinking", _no_tag(kind))
    _no_extras(f"thinking.{kind}", thinking, {"type", "block_binding"} | fields[kind])
    if kind in ("enabled", "adaptive"):
        choice = (body.get("tool_choice") or {}).get("type")
        told = "Thinking may not be enabled when tool_choice forces tool use."
        _need(choice not in ("any", "tool"), "", told)
    if kind != "enabled":
        return
    budget = thinking.get("budget_tokens")
    where = "thinking.enabled.budget_tokens"
    _need(budget is not None, where, "Field required")
    _need(_is_int(budget), where, "Input should be a valid integer")
    told = f"Input should be greater than or equal to {BUDGET_TOKENS_MIN}"
    _need(budget >= BUDGET_TOKENS_MIN, where, told)
    told = "`max_tokens` must be greater than `thinking.budget_tokens`"
    _need(budget < body.get("max_tokens", budget + 1), "", told)
    told = "`temperature` may only be set to 1 when thinking is enabled"
    _need(body.get("temperature", 1) == 1, "", told)
    _need("top_k" not in body, "", "`top_k` must be unset when thinking is enabled.")
    told = "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled."
    _need(body.get("top_p", 1) >= 0.95, "", told)
    _begins_with_thinking(joined(body["messages"]))


def _begins_with_thinking(turns: list[Turn]) -> None:
    """The answer that calls tools whose results are last."""
    if len(turns) < 2 or not any(block["type"] == "tool_result" for block in turns[-1][2]):
        return
    role, at, blocks = turns[-2]
    first = blocks[0]["type"] if role == "assistant" else "thinking"
    told = (
        f"Expected `thinking` or `redacted_thinking`, but found `{first}`. When `thinking` is enabled, a "
        "final `assistant` message must start with a thinking block (preceeding the lastmost set of "
        "`tool_use` and `tool_result` blocks)."
    )
    _need(first in ("thinking", "redacted_thinking"), f"messages.{at}.content.0.type", told)


def check_own(body: Json) -> None:
    """That each block of thinking was made here.

    Raises:
        Invalid: another made it, or it was changed.
    """
    for index, message in enumerate(body["messages"]):
        for place, block in enumerate(blocks_in(message["content"])):
            where = f"messages.{index}.content.{place}"
            if block["type"] == "thinking":
                told = "Invalid `signature` in `thinking` block"
                _need(proof.is_own(block["thinking"], block["signature"]), where, told)
            elif block["type"] == "redacted_thinking":
                told = "Invalid `data` in `redacted_thinking` block"
                _need(proof.is_hidden(str(block["data"])), where, told)


def check_bound(body: Json) -> None:
    """That each block of thinking comes back behind the very values it was made for.

    Raises:
        Invalid: what stands before it was changed.
    """
    for index, message in enumerate(body["messages"]):
        bound_to = proof.before(body, index)
        for place, block in enumerate(blocks_in(message["content"])):
            if block["type"] == "thinking":
                told = "`thinking` block is bound to a different conversation"
                where = f"messages.{index}.content.{place}"
                _need(proof.is_bound(block["signature"], bound_to), where, told)


# -- marks, models -----------------------------------------------------------------------------------


def _marks(body: Json) -> None:
    marks: list[tuple[str, Any]] = []

    def look(where: str, value: Any) -> None:
        if isinstance(value, dict):
            if value.get("cache_control") is not None:
                marks.append((f"{where}.cache_control", value["cache_control"]))
            look(f"{where}.content", value.get("content"))
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                look(f"{where}.{index}", inner)

    for name in ("tools", "system", "messages"):
        look(name, body.get(name))
    if body.get("cache_control") is not None:
        marks.append(("cache_control", body["cache_control"]))
    told = f"A maximum of {MARKS_MAX} blocks with cache_control may be provided. Found {len(marks)}."
    _need(len(marks) <= MARKS_MAX, "", told)
    short = False
    for where, mark in marks:
        _need(isinstance(mark, dict), where, "Input should be an object")
        _no_extras(f"{where}.ephemeral", mark, {"type", "ttl"})
        _need(mark.get("type") == "ephemeral", where, "Input should be 'ephemeral'")
        ttl = mark.get("ttl", "5m")
        _need(ttl in ("5m", "1h"), f"{where}.ephemeral.ttl", "Input should be '5m' or '1h'")
        told = "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block."
        _need(not (short and ttl == "1h"), f"{where}.ttl", told)
        short = short or ttl == "5m"


def _abilities(body: Json) -> None:
    """What one generation of models takes and another does not; of other names nothing is known."""
    found = VERSION.search(body["model"])
    if found is None:
        return
    version = (int(found[1]), int(found[2] or 0))
    rules: list[tuple[tuple[int, int], Callable[[], bool], str]] = [
        (
            (4, 1),
            lambda: "temperature" in body and "top_p" in body,
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        ),
        (
            (4, 6),
            lambda: body["messages"][-1]["role"] == "assistant",
            "This model does not support assistant message prefill. "
            "The conversation must end with a user message.",
        ),
        (
            (4, 7),
            lambda: any(body.get(name, 1) != 1 for name in ("temperature", "top_p")) or "top_k" in body,
            "`temperature`, `top_p` and `top_k` may only be set to their defaults for this model.",
        ),
        (
            (4, 7),
            lambda: (body.get("thinking") or {}).get("type") == "enabled",
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.',
        ),
        (
            (5, 5),
            lambda: (body.get("tool_choice") or {}).get("type") in ("any", "tool"),
            "tool_choice: forced tool use is not supported for this model.",
        ),
    ]
    for since, holds, why in rules:
        if version >= since:
            _need(not holds(), "", why)
    if version < (4, 6):
        adaptive = (body.get("thinking") or {}).get("type") == "adaptive"
        _need(not adaptive, "", "adaptive thinking is not supported on this model")
    if version < (4, 5):
        effort = "effort" in (body.get("output_config") or {})
        _need(not effort, "", "This model does not support the effort parameter.")
    if version < (4, 8):
        placed = any(message["role"] == "system" for message in body["messages"])
        _need(not placed, "", "role 'system' is not supported on this model")
