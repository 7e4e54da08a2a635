"""What clients may ask of the chat completions that a provider keeps for them. The provider's words go on as
they came; the list alone is made here, for at the provider those of all tenants lie side by side.

A completion is asked for only where requests may go of the endpoint that asks, and of the one that made it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from urllib.parse import parse_qsl, quote, unquote, urlencode

import msgspec
from msgspec import Raw, Struct

from farthing.edge.http.answering import HttpRequest
from farthing.edge.http.body import read_object
from farthing.edge.http.content_type import check_type
from farthing.edge.http.paths import plain
from farthing.edge.stored_completions.notes import Kept, Notes, Wanted
from farthing.errors import InvalidRequest, NoProviderLeft, Overloaded
from farthing.models.stored_completions import Asked, StoredCompletionsCaller, Told
from farthing.types import Endpoint, Json, Receipt, Target, Tenant

LIST_MAX, LIST_USUAL = 100, 20  # of a page, as at OpenAI
CALLS_AT_ONCE = 8
CALLS_MORE = 50  # of one list, for completions that turn out to be gone
LIST_BYTES_MAX = 33_554_432
QUERY_FIELDS_MAX = 100
DEPTH_MAX, NODES_MAX = 4, 200
SETTLES_S = 120.0
"""How long a provider may take until it finds what it keeps."""
LABEL = "metadata["
CHATS = "/chat/completions"


class Asker(Struct, frozen=True):
    """Who asks."""

    tenant: Tenant
    endpoint: Endpoint


class StoredCompletions(Struct, frozen=True, kw_only=True):
    """What answers under one configuration."""

    notes: Notes
    caller: StoredCompletionsCaller
    endpoints: Mapping[str, Endpoint]
    """By their names."""

    async def retrieve(self, asker: Asker, http: HttpRequest, receipt: Receipt) -> Told:
        """The completion, as its provider has it.

        Raises, as all of these:
            UnknownCompletion: there is none of that id for this tenant. NoProviderLeft: its provider does not
                answer, or refuses. InvalidRequest: a parameter cannot be read. StoreError, Overloaded.
        """
        return await self._ask(asker, http, receipt, "GET")

    async def messages(self, asker: Asker, http: HttpRequest, receipt: Receipt) -> Told:
        """What was sent for it, a page of it. Raises: as `retrieve`."""
        query = urlencode(_query(http))
        return await self._ask(asker, http, receipt, "GET", f"/messages{query and '?'}{query}")

    async def update(self, asker: Asker, http: HttpRequest, receipt: Receipt) -> Told:
        """Change its metadata. Raises: as `retrieve`, and UnsupportedMedia."""
        check_type(http.headers)
        read_object(http.body, depth_max=DEPTH_MAX, nodes_max=NODES_MAX)
        tenant = asker.tenant.name
        told = await self._ask(asker, http, receipt, "POST", body=http.body)
        try:
            metadata = msgspec.json.decode(told.body, type=_Labelled).metadata
        except (msgspec.DecodeError, UnicodeDecodeError):
            metadata = None
        await self.notes.relabel(tenant, named(http.path), self.notes.labels_of(tenant, metadata))
        return told

    async def delete(self, asker: Asker, http: HttpRequest, receipt: Receipt) -> Told:
        """Raises: as `retrieve`."""
        told = await self._ask(asker, http, receipt, "DELETE")
        await self.notes.forget(asker.tenant.name, named(http.path))
        return told

    async def page(self, asker: Asker, http: HttpRequest, receipt: Receipt) -> Told:
        """Those of this tenant that may be asked for, each as its provider has it now.

        Raises: as `retrieve`, and
            Overloaded: all that were looked at are gone at their provider, and there are more.
        """
        tenant = asker.tenant.name
        query = _query(http)
        asked = dict(query)
        newest_first = _newest_first(asked.get("order", ""))
        limit = _limit(asked.get("limit", ""))
        labels = [
            self.notes.label_of(tenant, name[len(LABEL) : -1], value)
            for name, value in query
            if name.startswith(LABEL) and name.endswith("]")
        ]
        wanted = Wanted(model=asked.get("model", ""), labels=frozenset(labels))
        after = asked.get("after", "")
        listed = self.notes.all(
            tenant,
            wanted,
            after=after,
            newest_first=newest_first,
            may=lambda one: self.caller.may_ask(self._call_of(asker, one, "GET")),
        )
        async with aclosing(listed) as kept:
            found, more = await self._page(asker, kept, limit, receipt)
        if more and not found:
            raise Overloaded(
                "none of the completions that come next is at its provider; they are forgotten, the newest "
                f"within {SETTLES_S:g} s, and there are more behind them: ask again"
            )
        page = {
            "object": "list",
            "data": [Raw(body) for _, body in found],
            "first_id": found[0][0] if found else None,
            "last_id": found[-1][0] if found else None,
            "has_more": more,
        }
        return Told(msgspec.json.encode(page), b"")

    async def _page(
        self, asker: Asker, kept: AsyncIterator[Kept], limit: int, receipt: Receipt
    ) -> tuple[list[tuple[str, bytes]], bool]:
        """At most `limit` completions, by their ids, and whether there are more."""
        found: list[tuple[str, bytes]] = []
        size_bytes = calls = 0
        while len(found) < limit and calls < limit + CALLS_MORE and size_bytes < LIST_BYTES_MAX:
            some = await _some(kept, min(CALLS_AT_ONCE, limit - len(found)))
            if not some:
                return found, False
            calls += len(some)
            asking = (self._listed(asker, one, receipt) for one in some)
            bodies = await asyncio.gather(*asking, return_exceptions=True)  # so that none goes on by itself
            for one, body in zip(some, bodies, strict=True):
                if isinstance(body, BaseException):
                    raise body
                if body is not None:
                    found.append((one.id, body))
                    size_bytes += len(body)
        return found, bool(await _some(kept, 1))

    async def _listed(self, asker: Asker, kept: Kept, receipt: Receipt) -> bytes | None:
        """None: its provider does not have it."""
        try:
            told = await self._told(asker, kept, receipt, "GET")
        except NoProviderLeft as error:
            if error.status != 404:
                raise
            return None
        return told.body

    async def _ask(
        self,
        asker: Asker,
        http: HttpRequest,
        receipt: Receipt,
        method: str,
        below: str = "",
        body: bytes = b"",
    ) -> Told:
        kept = await self.notes.find(asker.tenant.name, named(http.path))
        return await self._told(asker, kept, receipt, method, below, body)

    async def _told(
        self, asker: Asker, kept: Kept, receipt: Receipt, method: str, below: str = "", body: bytes = b""
    ) -> Told:
        """What the provider says of it. If it does not have it any more, it is forgotten here."""
        receipt.target = kept.note.target
        try:
            return await self.caller.ask(self._call_of(asker, kept, method, below, body), receipt)
        except NoProviderLeft as error:
            settled = self.notes.clock() - kept.created_unix_s >= SETTLES_S
            if error.status == 404 and (settled or method == "DELETE"):
                await self.notes.forget(asker.tenant.name, kept.id)
            raise

    def _call_of(self, asker: Asker, kept: Kept, method: str, below: str = "", body: bytes = b"") -> Asked:
        note, made_by = kept.note, self.endpoints.get(kept.endpoint)
        return Asked(
            mark=note.mark,
            target=Target(
                name=note.target, provider=note.provider, model=note.target.removeprefix(f"{note.provider}/")
            ),
            endpoints=(asker.endpoint,) if made_by is None else (asker.endpoint, made_by),
            method=method,
            below=f"/{quote(kept.id, safe='')}{below}",
            body=body,
        )


class _Labelled(Struct):
    metadata: Json | None = None


async def _some(kept: AsyncIterator[Kept], count: int) -> list[Kept]:
    """The next `count` of them; fewer where there are no more."""
    found: list[Kept] = []
    while len(found) < count:
        one = await anext(kept, None)
        if one is None:
            break
        found.append(one)
    return found


def named(path: str) -> str:
    """The id in the path of a route of one completion."""
    below = plain(path).rpartition(f"{CHATS}/")[2]
    return unquote(below.partition("/")[0])


def _query(http: HttpRequest) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            http.query.decode("latin-1"), keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX
        )
    except ValueError:
        raise InvalidRequest("the query of the address has too many fields") from None


def _limit(said: str) -> int:
    if not said:
        return LIST_USUAL
    if not said.isascii() or not said.isdigit() or not 1 <= int(said[:9]) <= LIST_MAX:
        raise InvalidRequest(f"`limit` must be a whole number from 1 to {LIST_MAX}", param="limit")
    return int(said)


def _newest_first(order: str) -> bool:
    if order not in ("", "asc", "desc"):
        raise InvalidRequest("`order` must be asc or desc", param="order")
    return order == "desc"
