"""Completes a request that continues a stored response: all items so far become its input. The earlier
`instructions` are not among them, as at OpenAI."""

import asyncio

from farthing.config import ServerConfig
from farthing.dialects.splice import REMOVED, spliced
from farthing.edge.http.body import BOM, LARGE_BYTES, QUICK_BYTES, read_object, takes_long
from farthing.edge.responses.items import items_of, joined, output_of
from farthing.errors import InvalidRequest, UnknownResponse
from farthing.protocols import ResponseStore
from farthing.text.lenient_json import write_json
from farthing.types import Json, Tenant

PREVIOUS = "previous_response_id"
NAMED = PREVIOUS.encode()
"""Found in the body of each request that names one, and in some others."""
ID_CHARS_SHOWN = 100


async def completed(
    raw: bytes, store: ResponseStore, tenant: Tenant, limits: ServerConfig
) -> tuple[bytes, str]:
    """The body `raw` with the items of the response that it goes on from, and that response's id; as it was,
    and nothing, where it goes on from none.

    Raises:
        InvalidRequest: it cannot be read, or is too long with what was before. UnknownResponse: the response
            is not there for this tenant. StoreError.
    """
    if len(raw) > QUICK_BYTES and takes_long(raw):
        body = await asyncio.to_thread(_read, raw, limits)
    else:
        body = _read(raw, limits)
    previous = body.get(PREVIOUS)
    if previous is None:
        return raw, ""
    if not isinstance(previous, str) or not previous:
        raise InvalidRequest(f"`{PREVIOUS}` must be the id of a response", param=PREVIOUS)
    if body.get("conversation") is not None:
        raise InvalidRequest(f"send `{PREVIOUS}` or `conversation`, not both", param=PREVIOUS)
    _check_input(body)
    found = await store.get(tenant.name, previous)
    if found is None:
        raise UnknownResponse(previous[:ID_CHARS_SHOWN], param=PREVIOUS)
    output = output_of(found.body)
    size = len(raw) + len(found.items) + len(output)
    if size > limits.body_bytes_max:
        raise InvalidRequest(
            f"with all that `{PREVIOUS}` stands for, the request has {size} bytes, and "
            f"{limits.body_bytes_max} may be sent: begin a new conversation, with a summary of this one, or "
            "raise server.body_bytes_max",
            param=PREVIOUS,
        )
    if size > LARGE_BYTES:
        return await asyncio.to_thread(_with_items, raw, body, found.items, output), previous
    return _with_items(raw, body, found.items, output), previous


def _read(raw: bytes, limits: ServerConfig) -> Json:
    return read_object(raw, depth_max=limits.depth_max, nodes_max=limits.nodes_max)


def _check_input(body: Json) -> None:
    given = body.get("input")
    if given is not None and not isinstance(given, str | list):
        raise InvalidRequest("`input` must be a text or a list of items", param="input")


def _with_items(raw: bytes, body: Json, items: bytes, output: bytes) -> bytes:
    """The body with the earlier items placed before its input."""
    together = joined(items, output, write_json(items_of(body.get("input"))))
    edited = spliced(raw.removeprefix(BOM), {"input": together, PREVIOUS: REMOVED}, body)
    if edited is not None:
        return edited
    return write_json({**{name: body[name] for name in body if name != PREVIOUS}, "input": together})
