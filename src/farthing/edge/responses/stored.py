"""Stored responses: which are kept, and what clients may ask for afterwards. Providers are never asked to
store anything: the only copy is the gateway's."""

import asyncio
import secrets
from urllib.parse import parse_qsl, unquote

from farthing.dialects.responses.ids import RESPONSE
from farthing.dialects.splice import REMOVED, spliced
from farthing.edge.http.answering import HttpRequest
from farthing.edge.http.body import LARGE_BYTES
from farthing.edge.openai import Asked, Reader
from farthing.edge.responses import reading
from farthing.edge.responses.continuing import PREVIOUS
from farthing.edge.responses.items import INCLUDE_ENCRYPTED, changed, listed, page
from farthing.errors import InvalidRequest, UnknownResponse
from farthing.protocols import ResponseStore, StoredResponse
from farthing.text.lenient_json import write_json
from farthing.types import Json, Keep, Request, Sent, Tenant, replace

ID_BYTES = 24
ITEMS_MAX = 100  # of a page, as at OpenAI
ITEMS_USUAL = 20
STORE = "store"
INCLUDE = "include"
QUERY_FIELDS_MAX = 100


def read(reader: Reader, body: Json, asked: Asked) -> Request:
    """A request of Responses with what is to be kept of it.

    Raises: as `reading.read`, and
        InvalidRequest: its response shall be kept, and its endpoint keeps none.
    """
    _check(body)
    request = reading.read(reader, body, asked)
    sent = request.sent
    assert sent is not None, "a request of a dialect has what was sent"
    keep = _keep(body, request, asked.previous)
    found: Request = replace(request, sent=_sent(sent, keep))
    return found


def read_compact(reader: Reader, body: Json, asked: Asked) -> Request:
    """A request of `/responses/compact`, which may go on from a stored response. There is nothing to keep of
    it, so that nothing is said of that to its provider either. Raises: as `read`."""
    _check(body)
    request = reading.read_compact(reader, body, asked)
    sent = request.sent
    assert sent is not None, "a request of a dialect has what was sent"
    if STORE not in body:
        return request
    rest = {name: value for name, value in body.items() if name != STORE}
    raw = spliced(sent.raw, {STORE: REMOVED}, body)
    edited: Sent = replace(sent, raw=write_json(rest) if raw is None else raw, body=rest)
    found: Request = replace(request, sent=edited)
    return found


def read_counted(reader: Reader, body: Json, asked: Asked) -> Request:
    """A request whose tokens are to be counted. Raises: as `read`."""
    _check(body)
    return reading.read(reader, body, asked)


def _check(body: Json) -> None:
    """Raises:
    InvalidRequest: `store` is no truth value; or it goes on from a response whose items were not put into it,
        for the name was not found.
    """
    said = body.get(STORE)
    if said is not None and not isinstance(said, bool):
        raise InvalidRequest("`store` must be true or false", param=STORE)
    if body.get(PREVIOUS) is not None:
        raise InvalidRequest(f"write the name `{PREVIOUS}` without escapes", param=PREVIOUS)


def _keep(body: Json, request: Request, previous: str) -> Keep | None:
    said = body.get(STORE)
    endpoint = request.endpoint
    if said and not endpoint.store_responses:
        raise InvalidRequest(
            f"the endpoint `{endpoint.name}` stores no responses: leave `store` out or send false, or let "
            f"the operator set store_responses = true in [endpoints.{endpoint.name}]",
            param=STORE,
        )
    stores = endpoint.store_responses and said is not False
    if not stores and not previous:
        return None
    included = body.get(INCLUDE)
    return Keep(
        id=f"{RESPONSE}{secrets.token_hex(ID_BYTES)}" if stores else "",
        previous=previous,
        demanded=said is True,
        shows_encrypted=isinstance(included, list) and INCLUDE_ENCRYPTED in included,
    )


def _sent(sent: Sent, keep: Keep | None) -> Sent:
    """`sent`, changed so that its provider stores nothing and returns what continuing it needs."""
    changes: Json = {} if sent.body.get(STORE) is False else {STORE: False}
    if keep is not None and keep.id and not keep.shows_encrypted:
        included = sent.body.get(INCLUDE)
        changes[INCLUDE] = [*(included if isinstance(included, list) else ()), INCLUDE_ENCRYPTED]
    if not changes:
        return sent if keep is None else replace(sent, keep=keep)
    body = {**sent.body, **changes}
    raw = spliced(sent.raw, changes, sent.body)
    edited: Sent = replace(sent, raw=write_json(body) if raw is None else raw, body=body, keep=keep)
    return edited


# -- what may be asked for afterwards ---------------------------------------------------------------


async def retrieve(store: ResponseStore, tenant: Tenant, http: HttpRequest) -> bytes:
    """The response as its client was told it.

    Raises:
        UnknownResponse: it is not there for this tenant. InvalidRequest: it is asked for as a stream.
            StoreError.
    """
    asked = _query(http)
    streamed = asked.get("stream", [""])[-1].lower() not in ("", "false", "0")
    for name, wanted in (("stream", streamed), ("starting_after", "starting_after" in asked)):
        if wanted:
            raise InvalidRequest(f"a stored response is given as a whole: leave `{name}` out", param=name)
    found = await _found(store, tenant, http)
    return found.body if _shows_encrypted(asked) else told(found.body)


async def delete(store: ResponseStore, tenant: Tenant, http: HttpRequest) -> bytes:
    """Raises: UnknownResponse: it is not there for this tenant. StoreError."""
    id = named(http.path)
    if not await store.delete(tenant.name, id):
        raise UnknownResponse(id)
    return write_json({"id": id, "object": "response", "deleted": True})


async def cancel(store: ResponseStore, tenant: Tenant, http: HttpRequest) -> bytes:
    """Raises:
    InvalidRequest: only what runs in the background can be cancelled, and nothing does.
        UnknownResponse: it is not there for this tenant. StoreError.
    """
    await _found(store, tenant, http)
    raise InvalidRequest("Cannot cancel a synchronous response.")


async def input_items(store: ResponseStore, tenant: Tenant, http: HttpRequest) -> bytes:
    """A page of the items that a response was made from.

    Raises:
        InvalidRequest: a parameter cannot be read. UnknownResponse: it is not there for this tenant.
            StoreError.
    """
    asked = _query(http)
    order = asked.get("order", ["desc"])[-1]
    if order not in ("asc", "desc"):
        raise InvalidRequest("`order` must be asc or desc", param="order")
    said = asked.get("limit", [str(ITEMS_USUAL)])[-1]
    if not said.isascii() or not said.isdigit() or not 1 <= int(said[:9]) <= ITEMS_MAX:
        raise InvalidRequest(f"`limit` must be a whole number from 1 to {ITEMS_MAX}", param="limit")
    found = await _found(store, tenant, http)
    shows_encrypted = _shows_encrypted(asked)
    if len(found.items) > LARGE_BYTES:
        items = await asyncio.to_thread(listed, found.items, shows_encrypted=shows_encrypted)
    else:
        items = listed(found.items, shows_encrypted=shows_encrypted)
    after = asked.get("after", [""])[-1]
    shown = page(items, after=after, limit=int(said), newest_first=order == "desc")
    if shown is None:
        raise InvalidRequest(f"there is no item `{after[:100]}` in this response", param="after")
    return write_json(shown)


def told(response: bytes) -> bytes:
    """A response object without the encrypted content of its reasoning."""
    return changed(response, {}, shows_encrypted=False)


def named(path: str) -> str:
    """The id in the path of a stored response."""
    parts = [part for part in path.split("/") if part]
    return unquote(parts[parts.index("responses") + 1])[:100]


async def _found(store: ResponseStore, tenant: Tenant, http: HttpRequest) -> StoredResponse:
    id = named(http.path)
    found = await store.get(tenant.name, id)
    if found is None:
        raise UnknownResponse(id)
    return found


def _query(http: HttpRequest) -> dict[str, list[str]]:
    try:
        pairs = parse_qsl(http.query.decode("latin-1"), max_num_fields=QUERY_FIELDS_MAX)
    except ValueError:
        raise InvalidRequest("the query of the address has too many fields") from None
    asked: dict[str, list[str]] = {}
    for name, value in pairs:
        asked.setdefault(name.removesuffix("[]"), []).append(value)
    return asked


def _shows_encrypted(asked: dict[str, list[str]]) -> bool:
    return INCLUDE_ENCRYPTED in asked.get(INCLUDE, ())
