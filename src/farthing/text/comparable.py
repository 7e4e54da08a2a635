"""Whether two answers to a request can be compared. Pure and quick."""

from farthing.types import Request

_NOT_TEXT = frozenset({
    "tools", "functions", "audio", "container", "mcp_servers", "prediction", "web_search_options",
})  # fmt: skip
_AGENT_ROLES = frozenset({"tool", "function"})


def comparable(request: Request) -> bool:
    """Whether `request` asks for one plain text and shows nothing but text.

    Not comparable: tools and agent steps (asking twice would act twice, and the next step follows the first
    answer), several choices, audio, and images or files, which a judge does not see.
    """
    body = request.body
    if request.operation != "chat" or (body.get("n") or 1) != 1 or not _NOT_TEXT.isdisjoint(body):
        return False
    messages = body.get("messages")
    return isinstance(messages, list) and bool(request.text) and all(map(_plain, messages))


def _plain(message: object) -> bool:
    if not isinstance(message, dict) or message.get("role") in _AGENT_ROLES or message.get("tool_calls"):
        return False
    content = message.get("content")
    if isinstance(content, list):
        return all(isinstance(part, dict) and part.get("type") == "text" for part in content)
    return content is None or isinstance(content, str)
