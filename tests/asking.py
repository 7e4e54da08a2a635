"""Requests for tests, as the edge would make them."""

from typing import Any

from farthing.types import DEFAULT_ENDPOINT, Request, Tenant, replace

ACME = Tenant(name="acme")


def asked(
    text: str = "What is a farthing?", *, body: dict[str, Any] | None = None, **changes: Any
) -> Request:
    """A chat request whose last user message is `text`; `changes` are fields of the request."""
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]} if body is None else body
    request = Request(
        id="r-1",
        tenant=ACME,
        endpoint=DEFAULT_ENDPOINT,
        operation="chat",
        model=str(body.get("model", "auto")),
        body=body,
        text=text,
        prompt_chars=len(text),
    )
    changed: Request = replace(request, **changes)
    return changed
