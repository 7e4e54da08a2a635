"""What `generateContent` takes: by the types of Google's SDK, recorded in `tests/data/gemini/types.json`, and
by its documented rules of calls, results, signatures and schemas."""

import base64
import itertools
import json
import re
from binascii import Error as NotBase64
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]
TYPES: Final[dict[str, Json]] = json.loads(
    (Path(__file__).parents[1] / "data" / "gemini" / "types.json").read_text()
)["types"]
REQUEST: Final[Json] = {
    "contents": ["#Content"],
    "systemInstruction": "#Content",
    "tools": ["#Tool"],
    "toolConfig": "#ToolConfig",
    "generationConfig": "#GenerationConfig",
    "safetySettings": ["#SafetySetting"],
    "cachedContent": "string",
    "serviceTier": "|flex|standard|priority",
    "labels": "object",
    "store": "boolean",
}
ANY: Final = "skip_thought_signature_validator"
DATA: Final = (
    "text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode",
    "codeExecutionResult", "toolCall", "toolResponse",
)  # fmt: skip
NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
STOPS_MAX: Final = 5


class Invalid(Exception):
    """Why a request is not taken."""


def check(body: Json, model: str) -> None:
    """Raises:
    Invalid: Google would refuse `body`.
    """
    of_type(body, REQUEST, "request")
    _check_contents(body)
    _check_calls(body["contents"])
    if "2.5" not in model:
        _check_signatures(body["contents"])
    for tool in body.get("tools", ()):
        for function in tool.get("functionDeclarations", ()):
            _check_function(function)
    _check_config(body, model)


def _check_contents(body: Json) -> None:
    contents = body.get("contents")
    if not contents:
        raise Invalid("contents: contents is not specified")
    if contents[0].get("role") == "model":
        raise Invalid("contents[0]: the first is of the user")
    for before, after in itertools.pairwise(contents):
        if before.get("role") == after.get("role"):
            raise Invalid("contents: two of one role in a row")
    for content in [*contents, *([body["systemInstruction"]] if "systemInstruction" in body else [])]:
        if not content.get("parts"):
            raise Invalid("contents.parts must not be empty")
        for part in content["parts"]:
            if sum(name in part for name in DATA) != 1 or part.get("text") == "":
                raise Invalid(f"a part has not one kind of data: {sorted(part)}")


def _check_config(body: Json, model: str) -> None:
    config = body.get("generationConfig", {})
    if len(config.get("stopSequences", ())) > STOPS_MAX:
        raise Invalid("stop_sequences: at most 5")
    thinking = config.get("thinkingConfig", {})
    if "thinkingLevel" in thinking and ("thinkingBudget" in thinking or "2.5" in model):
        raise Invalid("thinking_level is not supported beside thinking_budget, or by this model")
    if "responseJsonSchema" in config and config.get("responseMimeType") != "application/json":
        raise Invalid("response_json_schema needs response_mime_type application/json")
    if (
        "2.5" in model
        and config.get("responseMimeType")
        and any("functionDeclarations" in t for t in body.get("tools", ()))
    ):
        raise Invalid("Function calling with a response mime type: 'application/json' is unsupported")


def of_type(value: Any, kind: Any, where: str) -> None:
    """Raises:
    Invalid: `value` is not of `kind`, as the record of types writes it.
    """
    if isinstance(kind, list):
        if not isinstance(value, list):
            raise Invalid(f"{where}: not a list")
        for at, one in enumerate(value):
            of_type(one, kind[0], f"{where}[{at}]")
        return
    if isinstance(kind, dict) or kind.startswith("#"):
        known = kind if isinstance(kind, dict) else TYPES[kind[1:]]
        if not isinstance(value, dict):
            raise Invalid(f"{where}: not an object")
        for name, inner in value.items():
            if name not in known and not (kind == "#GenerationConfig" and name == "imageConfig"):
                raise Invalid(f'Invalid JSON payload received. Unknown name "{name}" at {where!r}')
            of_type(inner, known.get(name, "any"), f"{where}.{name}")
        return
    if kind.startswith("|"):
        good = isinstance(value, str) and value in kind.split("|")
    elif kind == "base64":
        good = isinstance(value, str) and (value == ANY or _is_base64(value))
    else:
        types: dict[str, Any] = {
            "string": str, "boolean": bool, "integer": int, "number": (int, float), "object": dict,
            "any": object,
        }  # fmt: skip
        good = isinstance(value, types[kind]) and not (
            isinstance(value, bool) and kind in ("integer", "number")
        )
    if not good:
        raise Invalid(f"{where}: {value!r} is no {kind}")


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (NotBase64, ValueError):
        return False
    return True


def _calls_of(content: Json) -> list[Json]:
    return [part["functionCall"] for part in content["parts"] if "functionCall" in part]


def _check_calls(contents: list[Json]) -> None:
    """Each step of calls is answered by as many results of the same names, and nothing else is."""
    called: list[Json] = []
    for content in contents:
        results = [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
        if results and content["role"] != "user":
            raise Invalid("a function response is of the user")
        if results or called:
            if content["role"] == "user" and len(results) != len(called):
                raise Invalid(
                    "the number of function response parts is not that of the function call parts of the "
                    "function call turn"
                )
            for call, result in zip(called, results, strict=False):
                if result.get("name") != call["name"]:
                    raise Invalid(f"function_response.name {result.get('name')!r} answers {call['name']!r}")
                if result.get("id") != call.get("id"):
                    raise Invalid("function_response.id is not that of the call")
                if not isinstance(result.get("response"), dict):
                    raise Invalid("function_response.response: not an object")
        called = _calls_of(content) if content["role"] == "model" else []


def _check_signatures(contents: list[Json]) -> None:
    """Of the current turn, which began with what the user said last, each step has its first call signed."""
    start = 0
    for at, content in enumerate(contents):
        said = [part for part in content["parts"] if "functionResponse" not in part]
        if content["role"] == "user" and said and len(said) == len(content["parts"]):
            start = at
    for content in contents[start:]:
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        if content["role"] == "model" and first is not None and not first.get("thoughtSignature"):
            name = first["functionCall"]["name"]
            raise Invalid(f"Function call `{name}` is missing a thought_signature in functionCall parts.")
    for content in contents:
        for part in content["parts"]:
            signature = part.get("thoughtSignature")
            if signature is not None and signature != ANY and not was_signed(signature):
                raise Invalid("Corrupted thought signature.")


def _check_function(function: Json) -> None:
    if not NAME.fullmatch(function.get("name", "")):
        raise Invalid(f"Invalid function name: {function.get('name')!r}")
    if "parameters" in function and "parametersJsonSchema" in function:
        raise Invalid("parameters and parameters_json_schema are exclusive")
    schema = function.get("parametersJsonSchema")
    if schema is not None and schema.get("type") != "object" and "$ref" not in schema:
        raise Invalid("parameters_json_schema: it is of an object")
    if _has_key(schema, "$schema"):
        raise Invalid("parameters_json_schema: $schema")


def _has_key(value: Any, key: str) -> bool:
    if isinstance(value, dict):
        return key in value or any(_has_key(one, key) for one in value.values())
    return isinstance(value, list) and any(_has_key(one, key) for one in value)


_MARK: Final = b"signed:"


def signature_of(what: str) -> str:
    return base64.b64encode(_MARK + what.encode()).decode()


def was_signed(signature: str) -> bool:
    return _is_base64(signature) and base64.b64decode(signature).startswith(_MARK)
