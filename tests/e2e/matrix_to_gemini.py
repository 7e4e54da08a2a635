"""How a request to a provider of Gemini has what clients of every dialect say: sketches for the rows of the
tables "Requests to Gemini" and "Requests of Responses to Gemini" in `docs/dialects.md`."""

from typing import Any, Final

from tests.e2e.matching import exactly, holding, like
from tests.e2e.matrix_requests import ANY, LINK
from tests.e2e.messages_said import PDF, PNG, SCHEMA

PAPER: Final = "https://papers.example/a.pdf"
PICTURE: Final = {"inlineData": {"mimeType": "image/png", "data": PNG}}
LINKED: Final = {"fileData": {"mimeType": "image/jpeg", "fileUri": LINK}}
PLAN: Final = {"inlineData": {"mimeType": "application/pdf", "data": PDF}}
SOUND: Final = {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}}
DECLARED: Final[dict[str, Any]] = {"name": "weather", "parametersJsonSchema": exactly(SCHEMA)}


def contents(*sketches: Any) -> dict[str, Any]:
    return {"contents": list(sketches)}


def parts(*found: Any) -> dict[str, Any]:
    """The parts of the one content that there is."""
    return contents({"role": "user", "parts": list(found)})


def at(place: int, *found: Any) -> dict[str, Any]:
    """The contents, of which the last one has these parts."""
    return contents(*([ANY] * place), {"parts": list(found)})


def config(**fields: Any) -> dict[str, Any]:
    return {"generationConfig": fields}


def functions(*found: Any) -> dict[str, Any]:
    return {"tools": [{"functionDeclarations": list(found)}]}


def calling(**fields: Any) -> dict[str, Any]:
    return {"toolConfig": {"functionCallingConfig": exactly(fields)}}


def call(call_id: Any, city: str = "Oslo") -> dict[str, Any]:
    return {"functionCall": exactly({"id": call_id, "name": "weather", "args": {"city": city}})}


def result(call_id: Any, **response: Any) -> dict[str, Any]:
    return {"functionResponse": {"id": call_id, "name": "weather", "response": response}}


FORM: Final = config(responseMimeType="application/json", responseJsonSchema=exactly(SCHEMA))
HAS: Final[dict[str, Any]] = {
    "instructions before all else": {"systemInstruction": {"parts": [{"text": "help"}]}, **contents(ANY)},
    "instructions between turns, in their place": contents(
        ANY, ANY, {"role": "user", "parts": [{"text": "c"}, {"text": "<system>\nlater\n</system>"}]}
    ),
    "an image in the request": parts(PICTURE),
    "a link to an image": parts(LINKED),
    "a PDF in the request": parts(PLAN),
    "a document that is text": parts({"text": holding("<document>", "the plan")}, {"text": "?"}),
    "a document of several parts": parts(ANY, {"text": "the plan"}, PICTURE, ANY),
    "a link to a document": parts({"fileData": {"mimeType": "application/pdf", "fileUri": PAPER}}),
    "sound": parts(SOUND),
    "a passage that was found": parts({"text": holding("https://a.example", "found")}),
    "an answer that is begun": contents(ANY, {"role": "model", "parts": [{"text": "Once"}]}),
    "parallel calls and their results": contents(
        ANY,
        {"role": "model", "parts": [call("a"), call("b", "Rome")]},
        {"role": "user", "parts": [result("a", output="A"), result("b", output="B")]},
    ),
    "images in a result": at(
        2, {"functionResponse": {"name": "weather", "response": {"output": "see"}, "parts": [PICTURE]}}
    ),
    "that a tool failed": at(2, result("toolu_1", error="no net")),
    "names of tools of more than 64 characters": functions({"name": like("mcp__a{42}_[0-9a-f]{16}")}),
    "ids of calls that are too long or have other signs": contents(
        ANY,
        {"parts": [{"functionCall": {"id": like("f.x:0|toolu_x{60}")}}]},
        {"parts": [{"functionResponse": {"id": like("f.x:0|toolu_x{60}")}}]},
    ),
    "tools": functions({**DECLARED, "description": "of a town"}),
    "a tool that the provider runs": {"tools": [exactly({"googleSearch": {}})]},
    "`tool_choice`: none": calling(mode="NONE"),
    "`tool_choice`: any tool": calling(mode="ANY"),
    "`tool_choice`: one tool": calling(mode="ANY", allowedFunctionNames=["weather"]),
    "`tool_choice`: some of the tools": {
        **calling(mode="VALIDATED", allowedFunctionNames=["weather"]),
        **functions(ANY, ANY),
    },
    "an answer in a JSON schema": FORM,
    "an answer in any JSON": config(responseMimeType="application/json"),
    "how much to think": config(thinkingConfig={"thinkingLevel": "HIGH"}),
    "a budget of thinking": config(thinkingConfig={"thinkingLevel": "MEDIUM"}),
    "the limit of output": config(maxOutputTokens=77),
    "stops": config(stopSequences=exactly(["END"])),
    "`temperature`, `top_p`": config(temperature=0.5),
    "`top_k`": config(topK=5),
    "`seed`": config(seed=7),
    "`frequency_penalty`, `presence_penalty`": config(frequencyPenalty=0.5),
    "a service tier": {"serviceTier": "standard"},
}
"""Of what is kept for clients of chat and of Messages."""
OF_RESPONSES: Final[dict[str, Any]] = {
    "`instructions`": HAS["instructions before all else"],
    "messages of the developer, in their place": contents(
        ANY, ANY, {"parts": [{"text": "<system>\nlater\n</system>"}, {"text": "c"}]}
    ),
    "what one answer says, thinks and calls": contents(
        ANY, {"role": "model", "parts": [{"text": "Let me look."}, call("c_1")]}, ANY
    ),
    "parallel calls and their outputs, in the order of the calls": at(
        2, result("c_1", output="4 degrees"), result("c_2", output="4 degrees")
    ),
    "an image, in the request or by a link": parts(PICTURE, LINKED),
    "a PDF in the request": parts(PLAN),
    "a link to a file": HAS["a link to a document"],
    "sound": parts(SOUND),
    "images in an output": HAS["images in a result"],
    "a compaction of the gateway": parts({"text": holding("all so far")}, ANY),
    "functions": functions(DECLARED),
    "a tool that takes free text": functions(
        {"name": "patch", "parametersJsonSchema": {"required": ["input"]}}
    ),
    "tools that an item adds": functions(DECLARED, {"name": "patch"}),
    "functions of a namespace": functions({"name": "docs__weather"}),
    "`tool_choice`: none, any tool, one tool": HAS["`tool_choice`: one tool"],
    "`tool_choice`: some of the tools": calling(mode="VALIDATED", allowedFunctionNames=["other"]),
    "an answer in a JSON schema": FORM,
    "an answer in any JSON": HAS["an answer in any JSON"],
    "`reasoning.effort`": config(thinkingConfig={"thinkingLevel": "HIGH", "includeThoughts": True}),
    "`max_output_tokens`": HAS["the limit of output"],
    "`temperature`, `top_p`": HAS["`temperature`, `top_p`"],
    "`service_tier`": HAS["a service tier"],
}
"""Of what is kept for clients of Responses."""
NAMED: Final[dict[str, tuple[str, ...]]] = {
    "one call at a time": ("parallel_tool_calls", "disable_parallel_tool_use"),
    "who asks": ("user",),
    "`safety_identifier`, `user`": ("safety_identifier",),
}
"""What else is left out, and what it is called."""
