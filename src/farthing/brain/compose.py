"""Build the prompt that is sent upstream. Pure: the client's body is never changed in place.

The body goes upstream as the client sent it. The cap on the output is lowered to the endpoint's, never
raised; the provider's mapping writes it under the name its model knows.
"""

from typing import Any

from farthing.types import NO_TERMS, Prompt, Request, Terms, Traits

_MESSAGE_TOKENS_MAX = 16  # what a chat template puts around one message; 3 to 8 in those that are public
_TOOL_TOKENS_MAX = 64  # what a provider's own rendering of one tool adds to its JSON
_IMAGE_TOKENS_MAX = 20_000  # above the largest figure a provider publishes for one image at full detail
_FILE_TOKENS_MAX = 1_000_000  # audio, video and files may be anything up to the context window


def compose(request: Request, traits: Traits, terms: Terms) -> Prompt:
    """Return what to send. `terms` is the contract of the request's endpoint."""
    output_tokens_max = request.output_tokens_max
    cap = terms.output_tokens_max
    capped_by: str | None = None
    if (
        cap is not None
        and request.operation == "chat"
        and (output_tokens_max is None or output_tokens_max > cap)
    ):
        output_tokens_max, capped_by = cap, "output_tokens_max"
    bound: int | None = None
    if terms is not NO_TERMS and terms_need_bound(terms):
        bound = input_tokens_bound(request)
    return Prompt(
        body=request.body,
        input_tokens=traits.input_tokens,
        input_tokens_bound=bound,
        output_tokens_max=output_tokens_max,
        stream=request.stream,
        capped_by=capped_by,
    )


def terms_need_bound(terms: Terms) -> bool:
    """Whether a limit is checked against the most tokens the prompt can have."""
    return terms.input_tokens_max is not None or terms.usd_max_nusd is not None


def input_tokens_bound(request: Request) -> int:
    """More tokens than this the prompt cannot have: a byte-level token is at least one byte."""
    plain_chars = 0
    bound = 64
    messages = request.body.get("messages")
    if messages.__class__ is list:
        bound += _MESSAGE_TOKENS_MAX * len(messages)
        for message in messages:
            content = message.get("content") if message.__class__ is dict else None
            if content.__class__ is str:
                if content.isascii():
                    plain_chars += len(content)
            elif content.__class__ is list:
                bound += _parts_tokens_max(content)
    tools = request.body.get("tools")
    if tools.__class__ is list:
        bound += _TOOL_TOKENS_MAX * len(tools)
    chars = request.prompt_chars
    plain_chars = min(plain_chars, chars)
    return bound + plain_chars + 4 * (chars - plain_chars)  # UTF-8 has at most four bytes a character


def _parts_tokens_max(parts: list[Any]) -> int:
    bound = 0
    for part in parts:
        kind = part.get("type") if part.__class__ is dict else None
        if kind == "image_url":
            bound += _IMAGE_TOKENS_MAX
        elif kind not in ("text", "refusal"):
            bound += _FILE_TOKENS_MAX
    return bound
