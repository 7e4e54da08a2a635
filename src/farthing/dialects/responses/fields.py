"""Fields of a request of Responses that other dialects lack: what each may come to, and what it is called.

The form of the pipeline is noted, while it is written in another dialect, by the names of that form or of
Messages; `NAMES` has those of Responses for them.
"""

from typing import Any

from farthing.types import Json

GIVES_WAY = frozenset({
    "background_options", "client_metadata", "context_management", "image.context_compression",
    "max_tool_calls", "metadata", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
    "reasoning.context", "reasoning.mode", "truncation", "verbosity",
})  # fmt: skip
"""Fields that do not change what the client gets, or not so that it would mind. Tools that a provider runs,
whose calls `max_tool_calls` counts, go to no provider of another dialect."""
LACKED = frozenset({
    "input_audio", "input_file", "input_file.file_id", "input_file.file_url", "input_image",
    "input_image.file_id", "text.format", "top_logprobs",
})  # fmt: skip
"""What may be named as unsaid in the words of Responses, beside tools and items by their types, and fields
that nobody knows."""
NAMES = {
    "cache_control": "prompt_cache_breakpoint",
    "document": "input_file",
    "document.source.file_id": "input_file.file_id",
    "document.source.url": "input_file.file_url",
    "image": "input_image",
    "image.source.file_id": "input_image.file_id",
    "image_url.detail": "input_image.detail",
    "max_tokens": "max_output_tokens",
    "messages.": "input.",
    "messages.citations": "input.annotations",
    "messages.thinking": "input.reasoning",
    "output_config.effort": "reasoning.effort",
    "output_config.format": "text.format",
    "verbosity": "text.verbosity",
}
"""What Responses calls what is noted in the words of Messages; a name that ends in a dot is that of all that
begins so."""

CODEX = "x-codex-"
"""How names in the `client_metadata` of Codex begin."""


_OFFERED = frozenset({"image_generation", "tool_search", "web_search"})


def is_offered_unasked(tool: Json, client_metadata: Any) -> bool:
    """Whether a tool that only Responses has gives way: Codex offers a search with every request, and with
    some of its models images and a search among tools, whether its user wants them or not, and works without
    them."""
    if tool.get("type") not in _OFFERED or not isinstance(client_metadata, dict):
        return False
    return any(name.startswith(CODEX) for name in client_metadata)
