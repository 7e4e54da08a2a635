"""What the server answers to: routes, authentication, admission, headers, errors.

A handler is chosen by the exact path, and only where none has it `paths` looks at other spellings; a path
that leads to nothing in `ROUTES` does not exist. What is demanded hangs on the route. Everything that serves
a request under one configuration is in one `Serving`, which a reload replaces whole; a request
keeps the one it began with.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from time import time

import msgspec
from msgspec import Struct

from farthing import __version__
from farthing.config import ServerConfig
from farthing.dialects.passing.operations import DOORS, PASSING, Passing
from farthing.edge import completions, feedback, native, openai, passing
from farthing.edge.admit import Admission
from farthing.edge.auth import Keys
from farthing.edge.forms import CHAT, COMPLETIONS, PASSED, TEXT, ClientForm
from farthing.edge.http import paths
from farthing.edge.http.answering import HttpRequest, Refused
from farthing.edge.http.body import QUICK_BYTES, read_object, takes_long
from farthing.edge.http.connection import ClientConnection
from farthing.edge.http.content_type import JSON_TYPE, check_type, is_form
from farthing.edge.http.heads import (
    JSON_HEAD,
    PASSED_HEAD,
    STREAM_HEAD,
    again_head,
    facts_and_money_head,
    facts_head,
    id_head,
    merged,
    money_head,
    with_id_of,
)
from farthing.edge.http.sink import ConnectionSink
from farthing.edge.messages import models as messages_models
from farthing.edge.messages import reading as messages
from farthing.edge.messages.form import MESSAGES
from farthing.edge.openai import Asked, Reader
from farthing.edge.responses import stored
from farthing.edge.responses.continuing import NAMED, completed
from farthing.edge.responses.form import RESPONSES
from farthing.edge.responses.keeping import Keeping
from farthing.edge.stored_completions.asking import Asker, StoredCompletions
from farthing.edge.stored_completions.noting import Noting, wants_storing
from farthing.errors import (
    BodyTooLarge,
    FarthingError,
    Forbidden,
    InvalidRequest,
    NoSuchRoute,
    NoUpgrade,
    Overloaded,
    RateLimited,
    RequestError,
    Unauthenticated,
    UnknownModel,
    UnsupportedMedia,
    forget_frames,
)
from farthing.models.stored_completions import Told
from farthing.pipeline.answer import answer
from farthing.pipeline.count import Counted
from farthing.pipeline.receipt_notes import note_cancelled, note_error
from farthing.pipeline.steps import Steps
from farthing.protocols import CacheAdmin, ResponseStore
from farthing.text.lenient_json import write_json
from farthing.types import DEFAULT_ENDPOINT, Answer, Json, Keep, Receipt, Request, Tenant, Usage, replace

log = logging.getLogger("farthing.edge")
encode = msgspec.json.Encoder().encode

Parsed = asyncio.Future[Request]
StoredAnswer = Callable[[ResponseStore, Tenant, HttpRequest], Awaitable[bytes]]
StoredCompletion = Callable[[StoredCompletions, Asker, HttpRequest, Receipt], Awaitable[Told]]

REFUSALS_MAX = 100
NO_TOKENS = Usage(input_tokens=0, output_tokens=0)
FEEDBACK = "/v1/feedback"
ANTHROPIC_VERSION = b"anthropic-version"
HELLO = {"name": "farthing", "status": "ok", "base_url": {"anthropic": "/", "openai": "/v1"}}
"""The answer of the bare address, which some clients request first."""
BODILESS_BYTES_MAX = 65_536  # some clients send a body with everything; nobody reads it


class Serving(Struct, frozen=True, kw_only=True):
    """What serves requests under one configuration."""

    steps: Steps
    reader: Reader
    keys: Keys
    server: ServerConfig
    models: tuple[Json, ...]
    """Configured entries of `GET /v1/models`, for keys that may ask for them."""
    more_models: Callable[[], Awaitable[tuple[Json, ...]]]
    """Further entries, as the providers list them."""
    model: Callable[[str], Json | None] = lambda name: None
    """The entry of one model, listed or not; None if no provider is known to have it."""
    named: Callable[[Tenant], tuple[Json, ...]] = lambda tenant: ()
    """Further entries for the names in a key's list."""
    targets: frozenset[str] = frozenset()
    """Names of the configured targets."""
    count: Callable[[Request], Awaitable[Counted]]
    """Counts the tokens of a request."""
    cache_admin: CacheAdmin | None = None
    """The operators' view of the semantic cache; None if there is none."""
    responses: ResponseStore
    """The stored responses."""
    responses_ttl_s: float = 0.0
    completions: StoredCompletions
    """What clients of chat completions may come back to."""
    prices_ended: Callable[[], bool] = lambda: False
    """Whether a day has begun on which some target has another price."""


class Inference(Struct, frozen=True):
    """A route that the pipeline answers."""

    read: Callable[[Reader, Json, Asked], Request] | Passing
    """Reads its requests; operations that are passed through have their own reader."""
    form: ClientForm = CHAT
    """The form that its clients read."""
    continues: bool = False
    """Its requests may continue stored responses."""
    counts: bool = False
    """It only counts tokens: no model answers, nothing is charged, and no receipt is left."""

    @property
    def takes_forms(self) -> bool:
        return isinstance(self.read, Passing) and self.read.forms


class Edge:
    """The handler of every request."""

    def __init__(
        self,
        serving: Serving,
        admission: Admission,
        *,
        metrics: Callable[[], bytes],
        clock: Callable[[], float],
    ) -> None:
        self.serving = serving
        self._admission = admission
        self._metrics = metrics
        self._clock = clock
        self._feedback = feedback.Allowances(clock)
        self._id_prefix = f"req_{int(time()):08x}{secrets.token_hex(4)}"
        self._ids = count(1)
        self.reload_refused = ""
        """Why the configuration file is not the one in use, in a word; empty if it is."""
        self._refusals: dict[Overloaded, tuple[bytes, bytes]] = {}
        """Head and body of each refusal of `Admission`, for clients of chat completions."""
        self.unauthenticated = 0
        """Requests refused for their key since the start. They leave no receipt, because anyone can send
        them."""

    async def handle(self, connection: ClientConnection, http: HttpRequest) -> None:
        """Answer one request. Never raises: an unexpected error is logged and answered with 500."""
        self._admission.coming -= 1
        request_id = f"{self._id_prefix}{next(self._ids):06x}"
        keep_alive = http.keep_alive
        try:
            handler = paths.handler_of(http, ROUTES, preflight=Edge.preflight)
            if isinstance(handler, Inference):
                if not await self._infer(connection, http, request_id, handler):
                    keep_alive = False
            else:
                await handler(self, connection, http, request_id)
        except FarthingError as error:
            forget_frames(error)
            keep_alive = self._fail(connection, request_id, error, form_of(http)) and keep_alive
        except asyncio.CancelledError as error:
            forget_frames(error)
            keep_alive = False
            if connection.transport is not None:
                self._fail(connection, request_id, _cut(error), form_of(http))
        except Exception:
            log.exception("request %s failed by a fault of ours", request_id)
            keep_alive = False
            fault = FarthingError("an internal error; the log has the details")
            self._fail(connection, request_id, fault, form_of(http))
        connection.finish(keep_alive)

    def vet(self, connection: ClientConnection, http: HttpRequest) -> int | None:
        """How many bytes of a body are wanted after this head; None: it is refused, and the answer written.

        For a body that is still to come. What may be asked is asked again when it is here.
        """
        request_id = f"{self._id_prefix}{next(self._ids):06x}"
        serving = self.serving
        try:
            handler = paths.handler_of(http, ROUTES, preflight=Edge.preflight)
            if handler is not Edge.feedback:
                if not isinstance(handler, Inference):
                    return BODILESS_BYTES_MAX
                self._vet_room()
            self._vet_key(connection, http, request_id, serving)
        except FarthingError as error:
            self._fail(connection, request_id, error, form_of(http))
            return None
        return serving.server.body_bytes_max if isinstance(handler, Inference) else feedback.BODY_BYTES_MAX

    def _vet_room(self) -> None:
        """Raises:
        Overloaded: as `Admission.enter`, or since there is more to do than the CPU can.
        """
        admission = self._admission
        admission.enter()
        admission.leave()
        busy = admission.refusal()
        if busy is not None:
            raise Overloaded(str(busy), retry_after_s=busy.retry_after_s)

    def _vet_key(
        self, connection: ClientConnection, http: HttpRequest, request_id: str, serving: Serving
    ) -> None:
        """Raises:
        Unauthenticated, Forbidden: as `Keys.tenant`. RateLimited: the key has used all of its allowance.
        """
        tenant = self._tenant(serving, http)
        rate = serving.keys.rate(tenant)
        if rate is None:
            return
        try:
            rate.check()
        except RateLimited as error:
            connection.also += rate.headers()
            receipt = _receipt_of_unread(http, request_id, tenant)
            note_error(receipt, error)
            self._record(receipt, serving)
            raise

    def _tenant(self, serving: Serving, http: HttpRequest) -> Tenant:
        """Whose key it is.

        Raises:
            Unauthenticated, Forbidden: as `Keys.tenant`.
        """
        try:
            return serving.keys.tenant(http.headers)
        except Unauthenticated:
            self.unauthenticated += 1
            raise

    def turned_away(self, http: HttpRequest) -> Refused | None:
        """The answer to a request that is refused before any work; None: begin it. Health and metrics are
        always answered."""
        if http.method != b"POST" or http.path == FEEDBACK:
            return None
        error = self._admission.refusal()
        if error is None:
            return None
        request_id = f"{self._id_prefix}{next(self._ids):06x}"
        form = form_of(http)
        if form is not CHAT:
            status, body = form.failed(error, request_id)
            return status, JSON_HEAD + again_head(error) + id_head(request_id), body
        told = self._refusals.get(error)
        if told is None:
            if len(self._refusals) >= REFUSALS_MAX:
                self._refusals.clear()
            told = self._refusals[error] = JSON_HEAD + again_head(error), openai.error_body(error)
        return error.status, told[0] + id_head(request_id), told[1]

    def _fail(
        self,
        connection: ClientConnection,
        request_id: str,
        error: FarthingError,
        form: ClientForm,
        receipt: Receipt | None = None,
    ) -> bool:
        """Send the error with what was decided before it; True if the connection can be kept."""
        last = None if connection.last_words is None else connection.last_words(error)
        if connection.streaming:
            if last == b"":
                connection.cut()
            else:
                connection.end_stream(last or form.broken(error, request_id))
            return False
        decided = receipt is not None and receipt.route_reason
        head = facts_head(receipt) if receipt is not None and decided else id_head(request_id)
        if last:
            connection.begin_stream(STREAM_HEAD + head, last)
            connection.end_chunks()
            return True
        status, body = form.failed(error, request_id)
        own = form.own(error)
        if own is not None:
            head = with_id_of(own, head, request_id)
        lines = []
        if isinstance(error, NoSuchRoute | NoUpgrade) and error.allow:
            lines.append(f"allow: {error.allow}\r\n")
        if isinstance(error, NoUpgrade):
            lines.append("upgrade: HTTP/1.1\r\nconnection: upgrade\r\n")
        if isinstance(error, Unauthenticated):
            lines.append("www-authenticate: Bearer\r\n")
        if isinstance(error, UnsupportedMedia):
            lines.append("accept-encoding: identity\r\n")
        also = "".join(lines).encode("latin-1")
        again = again_head(error, None if own is None else own.advice)
        connection.answer(status, JSON_HEAD + head + again + also, body)
        return True

    # -- answers by the pipeline ---------------------------------------------------------------------

    async def _infer(
        self, connection: ClientConnection, http: HttpRequest, request_id: str, inference: Inference
    ) -> bool:
        """Answer by the pipeline; True if the connection can be kept."""
        admission = self._admission
        admission.enter()
        try:
            serving = self.serving
            serving.steps.ledger.admit()
            if inference.continues or len(http.body) > QUICK_BYTES:
                request = await self._read_request(connection, http, request_id, serving, inference)
            else:
                request = self._request(http, request_id, serving, inference, None, connection)
            if inference.counts:
                await self._count(connection, request, serving)
                return True
            return await self._answer(connection, http, request, serving, inference)
        finally:
            admission.leave()

    async def _read_request(
        self,
        connection: ClientConnection,
        http: HttpRequest,
        request_id: str,
        serving: Serving,
        inference: Inference,
    ) -> Request:
        """The request: read in a thread if that takes long, completed if it continues a stored response."""
        parsed, previous = None, ""
        if inference.continues and NAMED in http.body:
            parsed, previous = await self._continue(connection, http, request_id, serving, inference)
        slow = parsed is None and len(http.body) > QUICK_BYTES and not is_form(http.headers)
        if slow and takes_long(http.body):
            parsed = await self._parse_aside(http, request_id, serving, inference, previous)
        return self._request(http, request_id, serving, inference, parsed, connection, previous)

    async def _answer(
        self,
        connection: ClientConnection,
        http: HttpRequest,
        request: Request,
        serving: Serving,
        inference: Inference,
    ) -> bool:
        """Answer the request that was read; True if the connection can be kept."""
        receipt = Receipt(
            request_id=request.id,
            at_unix_s=time(),
            started_s=http.received_s,
            tenant=request.tenant.name,
            user=request.user,
            endpoint=request.endpoint.name,
            session=request.session,
            operation=request.operation,
            model_asked=request.alias or request.model,
            stream=request.stream,
            client_retry=_client_retry(http.headers),
            key=request.tenant.key,
            dialect="chat" if request.sent is None else request.sent.dialect,
            agent=request.agent,
        )
        if connection.transport is None:  # it left before its turn came: nothing is spent on it
            receipt.status, receipt.error, receipt.stop_reason = 499, "client_gone", "client_gone"
            self._record(receipt, serving)
            return True
        passes = request.operation in PASSING
        sink = ConnectionSink(connection, receipt, PASSED_HEAD if passes else STREAM_HEAD)
        keeping = None
        if request.sent is not None and request.sent.keep is not None:
            keeping = await self._keeping(sink, request, receipt, request.sent.keep, serving)
        writer = inference.form.writer(keeping or sink, request, receipt)
        if writer is not None:
            connection.last_words = writer.broken if keeping is None else keeping.breaks_off(writer)
        if passes:
            connection.last_words = sink.broken
        noting = Noting(sink) if wants_storing(request) else None
        try:
            reply = await answer(request, serving.steps, receipt, writer or noting or sink)
        except FarthingError as error:
            forget_frames(error)
            if not connection.streaming:
                sink.returned(openai.returned_of(error))
            if keeping is not None and writer is not None:
                await keeping.failed(error, writer)
            return self._fail(connection, request.id, error, inference.form, receipt)
        finally:
            if writer is not None:
                writer.close()
        if writer is not None:
            reply = writer.last(reply)
        if keeping is not None:
            reply = await keeping.finished(reply)
        head = PASSED_HEAD if passes else JSON_HEAD
        if noting is not None:
            head += await noting.finished(reply, request, receipt, serving.completions.notes)
        self._send(connection, reply, receipt, head)
        return True

    async def _continue(
        self,
        connection: ClientConnection,
        http: HttpRequest,
        request_id: str,
        serving: Serving,
        inference: Inference,
    ) -> tuple[Parsed | None, str]:
        """Complete the body of a request that continues a stored response. Returns the id of that response,
        and the error if it failed; None: it did not, or the key is invalid, which `_request` reports."""
        try:
            tenant = serving.keys.tenant(http.headers)
        except (Unauthenticated, Forbidden):
            return None, ""
        refused: Parsed = asyncio.get_running_loop().create_future()
        try:
            body, previous = await completed(http.body, serving.responses, tenant, serving.server)
            connection.hold(len(body) - len(http.body))
            http.body = body
        except FarthingError as error:
            refused.set_exception(error)
            refused.exception()  # `_request` raises it, unless something else comes first
            return refused, ""
        except asyncio.CancelledError as error:
            self._record_unread(http, request_id, tenant, serving, inference, error)
            raise
        return None, previous

    async def _keeping(
        self, sink: ConnectionSink, request: Request, receipt: Receipt, keep: Keep, serving: Serving
    ) -> Keeping:
        """Who keeps the response to `request`.

        Raises:
            StoreError: it cannot be kept, and its client demands it.
        """
        keeping = Keeping(sink, request, keep, serving.responses, serving.responses_ttl_s)
        try:
            await keeping.begin()
        except FarthingError as error:
            note_error(receipt, error)
            self._record(receipt, serving)
            raise
        except asyncio.CancelledError as error:
            note_cancelled(receipt, error)
            self._record(receipt, serving)
            raise
        return keeping

    async def _parse_aside(
        self, http: HttpRequest, request_id: str, serving: Serving, inference: Inference, previous: str
    ) -> Parsed | None:
        """Read a large body in a thread; None if the key is invalid, which `_request` reports.

        The thread is no faster, but it can be interrupted between its passes over the body, which together
        would block every other request for a tenth of a second.
        """
        try:
            tenant = serving.keys.tenant(http.headers)
        except (Unauthenticated, Forbidden):
            return None
        asked = _asked(http, request_id, tenant, previous)
        parsed = asyncio.get_running_loop().run_in_executor(None, _read, http, serving, inference, asked)
        try:
            await asyncio.wait((parsed,))
        except asyncio.CancelledError as error:
            parsed.cancel()
            self._record_unread(http, request_id, tenant, serving, inference, error)
            raise
        return parsed

    def _record_unread(
        self,
        http: HttpRequest,
        request_id: str,
        tenant: Tenant,
        serving: Serving,
        inference: Inference,
        error: asyncio.CancelledError,
    ) -> None:
        """Write the receipt of a request that ended while it was being read."""
        if inference.counts:
            return
        receipt = _receipt_of_unread(http, request_id, tenant)
        receipt.dialect = inference.form.dialect
        note_cancelled(receipt, error)
        self._record(receipt, serving)

    def _request(
        self,
        http: HttpRequest,
        request_id: str,
        serving: Serving,
        inference: Inference,
        parsed: Parsed | None,
        connection: ClientConnection,
        previous: str = "",
    ) -> Request:
        """The tenant and the request. An unreadable request of a known tenant leaves a receipt too."""
        headers = http.headers
        keys = serving.keys
        bearer, bare = headers.get(b"authorization"), headers.get(b"x-api-key")
        known = connection.known
        if known is not None and known[0] is keys and known[1] == bearer and known[2] == bare:
            tenant = known[3]
        else:
            tenant = self._tenant(serving, http)
            if (bearer is not None or bare is not None) and b"api-key" not in headers:
                connection.known = keys, bearer, bare, tenant
        try:
            rate = keys.rate(tenant)
            if rate is not None:
                also = connection.also
                connection.also = also + rate.headers()
                rate.take()
                connection.also = also + rate.headers()
            if headers.get(b"content-type") != JSON_TYPE or b"content-encoding" in headers:
                cors = connection.server.cors
                check_type(headers, forms=inference.takes_forms, pages=None if cors is None else cors.allows)
            if parsed is not None:
                return parsed.result()
            return _read(http, serving, inference, _asked(http, request_id, tenant, previous))
        except FarthingError as error:
            if inference.counts:
                raise
            receipt = _receipt_of_unread(http, request_id, tenant)
            receipt.dialect = inference.form.dialect
            receipt.model_asked = serving.reader.model_said(http.body)
            if isinstance(error, RequestError) and error.endpoint:
                receipt.endpoint = error.endpoint
            note_error(receipt, error)
            receipt.error_message = serving.reader.redact.text(receipt.error_message)
            self._record(receipt, serving)
            raise

    def _record(self, receipt: Receipt, serving: Serving) -> None:
        """Write the receipt of a request that never reached the pipeline."""
        receipt.total_ms = receipt.overhead_ms = (self._clock() - receipt.started_s) * 1000
        serving.steps.ledger.record(receipt)

    def _send(self, connection: ClientConnection, reply: Answer, receipt: Receipt, head: bytes) -> None:
        if not reply.stream:
            connection.answer(200, head + facts_and_money_head(receipt), reply.body)
        elif connection.streaming:
            connection.end_stream(reply.body)
        else:  # nothing was relayed: from the cache, or fixed
            connection.begin_stream(STREAM_HEAD + facts_and_money_head(receipt), reply.body)
            connection.end_chunks()

    async def _count(self, connection: ClientConnection, request: Request, serving: Serving) -> None:
        """Answer with the number of tokens of a request."""
        found = await serving.count(request)
        head = id_head(request.id) + (b"x-farthing-usage: estimated\r\n" if found.estimated else b"")
        told: Json = {"input_tokens": found.tokens}
        if request.sent is not None and request.sent.dialect == "responses":
            told["object"] = "response.input_tokens"
        connection.answer(200, JSON_HEAD + head, encode(told))

    # -- answers by the edge itself ------------------------------------------------------------------

    async def hello(self, connection: ClientConnection, http: HttpRequest, request_id: str) -> None:
        connection.answer(200, JSON_HEAD, encode(HELLO))

    async def models(self, connection: ClientConnection, http: HttpRequest, request_id: str) -> None:
        tenant = self.serving.keys.tenant(http.headers)
        serving = self.serving
        models = (*serving.models, *serving.named(tenant), *await serving.more_models())
        entries = visible(models, tenant, serving.reader)
        if _is_anthropics(http, serving.reader):
            body = messages_models.page(entries, http.query)
        else:
            body = encode({"object": "list", "data": entries})
        connection.answer(200, JSON_HEAD + id_head(request_id), body)

    async def model(self, connection: ClientConnection, http: HttpRequest, request_id: str) -> None:
        """Answer with one entry of the list, or of an unlisted name that may be asked for."""
        serving = self.serving
        tenant = serving.keys.tenant(http.headers)
        name = paths.named_model(http.path)
        asked = (name, name.rstrip("/"))
        known = (*serving.models, *serving.named(tenant))
        entry = next((one for one in known if one["id"] in asked), None)
        if entry is None:
            more = (one for one in await serving.more_models() if one["id"] in asked)
            entry = serving.model(name) or next(more, None)
        if entry is not None and not visible((entry,), tenant, serving.reader):
            entry = None
        if entry is None:
            raise UnknownModel(
                f"there is no model `{name[:200]}` here; GET /v1/models lists those that are", param="model"
            )
        if _is_anthropics(http, serving.reader):
            entry = messages_models.described(entry)
        connection.answer(200, JSON_HEAD + id_head(request_id), encode(entry))

    async def stored(
        self, connection: ClientConnection, http: HttpRequest, request_id: str, answer: StoredAnswer
    ) -> None:
        """Answer a request about a stored response."""
        serving = self.serving
        tenant = self._tenant(serving, http)
        rate = serving.keys.rate(tenant)
        if rate is not None:
            rate.take()
            connection.also += rate.headers()
        body = await answer(serving.responses, tenant, http)
        connection.answer(200, JSON_HEAD + id_head(request_id), body)

    async def completions(
        self,
        connection: ClientConnection,
        http: HttpRequest,
        request_id: str,
        operation: str,
        ask: StoredCompletion,
    ) -> None:
        """What a client asks of chat completions that a provider keeps for it.

        Raises:
            NoUpgrade: it wants a WebSocket, as it may for a chat.
        """
        if paths.WEBSOCKET in http.headers:
            raise NoUpgrade(f"{http.path} has no WebSocket: send POST over plain HTTP", allow="POST")
        admission = self._admission
        admission.enter()
        try:
            serving = self.serving
            serving.steps.ledger.admit()
            receipt = _receipt_of_unread(http, request_id, self._tenant(serving, http))
            receipt.operation = operation
            told = await self._asked_of_completions(connection, http, receipt, serving, ask)
        finally:
            admission.leave()
        connection.also = merged(connection.also, told.returned)
        connection.answer(200, JSON_HEAD + id_head(request_id) + money_head(receipt), told.body)

    async def _asked_of_completions(
        self,
        connection: ClientConnection,
        http: HttpRequest,
        receipt: Receipt,
        serving: Serving,
        ask: StoredCompletion,
    ) -> Told:
        """The answer, once its receipt is written. It costs nothing, and would have by any other way."""
        receipt.baseline_nusd = 0
        tenant = serving.keys.tenant(http.headers)
        try:
            rate = serving.keys.rate(tenant)
            if rate is not None:
                rate.take()
                connection.also += rate.headers()
            endpoint = serving.reader.endpoint("", http.headers, tenant)
            receipt.endpoint = endpoint.name
            told = await ask(serving.completions, Asker(tenant, endpoint), http, receipt)
            receipt.status, receipt.stop_reason = 200, "stop"
            receipt.usage = NO_TOKENS
        except FarthingError as error:
            note_error(receipt, error)
            connection.also = merged(connection.also, openai.returned_of(error))
            raise
        except asyncio.CancelledError as error:
            note_cancelled(receipt, error)
            raise
        except Exception as error:
            receipt.status, receipt.stop_reason, receipt.error = 500, "error", type(error).__name__
            raise
        finally:
            serving.steps.money.total(receipt)
            serving.steps.ledger.record(receipt)
        return told

    async def preflight(self, connection: ClientConnection, http: HttpRequest, request_id: str) -> None:
        """Answer a browser that asks whether a page may send a request; a page never sees this answer.

        Raises:
            Forbidden: its site is not in `server.cors_origins`.
        """
        cors, origin = connection.server.cors, http.headers[b"origin"]
        if cors is None or not cors.allows(origin):
            site = origin[:200].decode("latin-1")
            raise Forbidden(
                f'pages of {site} may not call: to allow them add "{site}" to server.cors_origins'
            )
        connection.answer_nothing(id_head(request_id) + cors.preflight(http.headers))

    async def feedback(self, connection: ClientConnection, http: HttpRequest, request_id: str) -> None:
        """Take feedback; it is written to the ledger before it is acknowledged."""
        serving = self.serving
        tenant = self._tenant(serving, http)
        rate = serving.keys.rate(tenant)
        if rate is not None:
            rate.take()
        self._feedback.take(tenant)
        check_type(http.headers)
        signal = feedback.read(http.body, tenant=tenant, now_unix_s=time())
        serving.steps.ledger.signal(signal, acknowledged=True)
        connection.answer(202, JSON_HEAD + id_head(request_id), encode(feedback.accepted(signal)))

    async def alive(self, connection: ClientConnection, http: HttpRequest, request_id: str) -> None:
        connection.answer(200, JSON_HEAD, b'{"status":"ok"}')

    async def ready(self, connection: ClientConnection, http: HttpRequest, request_id: str) -> None:
        if self._admission.draining:
            connection.answer(503, JSON_HEAD, b'{"status":"draining"}')
        elif self.reload_refused:
            connection.answer(
                200, JSON_HEAD, encode({"status": "ok", "reload": "refused", "reason": self.reload_refused})
            )
        else:
            connection.answer(200, JSON_HEAD, b'{"status":"ok"}')

    async def metrics(self, connection: ClientConnection, http: HttpRequest, request_id: str) -> None:
        self.serving.keys.check_host(http.headers)
        connection.also = b""  # it takes no key: no page of a browser reads it
        connection.answer(200, b"content-type: text/plain; version=0.0.4; charset=utf-8\r\n", self._metrics())

    async def version(self, connection: ClientConnection, http: HttpRequest, request_id: str) -> None:
        self.serving.keys.check_host(http.headers)
        about = {
            "name": "farthing",
            "version": __version__,
            "policy": self.serving.steps.money.policy,
            "prices": self.serving.steps.money.price_version,
        }
        connection.answer(200, JSON_HEAD, encode(about))


def visible(models: tuple[Json, ...], tenant: Tenant, reader: Reader) -> list[Json]:
    """What a key may ask for, without duplicates."""
    found: dict[str, Json] = {}
    for entry in models:
        if reader.may_ask(entry["id"], tenant):
            found.setdefault(entry["id"], entry)
    return list(found.values())


def _is_anthropics(http: HttpRequest, reader: Reader) -> bool:
    """Whether a client of Anthropic's API asks.

    Raises:
        InvalidRequest: the version it names can be none.
    """
    if ANTHROPIC_VERSION not in http.headers:
        return False
    reader.passed(http.headers)
    return True


def _asked(http: HttpRequest, request_id: str, tenant: Tenant, previous: str = "") -> Asked:
    return Asked(
        id=request_id,
        tenant=tenant,
        headers=http.headers,
        received_s=http.received_s,
        body_bytes=len(http.body),
        raw=http.body,
        query=http.query,
        previous=previous,
        deployment=http.deployment,
    )


def _read(http: HttpRequest, serving: Serving, inference: Inference, asked: Asked) -> Request:
    """What is asked. May run in any thread.

    Raises:
        RequestError: it cannot be read; names the field.
    """
    limits = serving.server
    if isinstance(inference.read, Passing):
        return passing.read(inference.read, serving.reader, asked, limits)
    body = read_object(http.body, depth_max=limits.depth_max, nodes_max=limits.nodes_max)
    if http.deployment:
        body = {**body, "model": http.deployment}
        asked = replace(asked, raw=write_json(body))  # what goes up as it was sent names that model too
    return inference.read(serving.reader, body, asked)


def _receipt_of_unread(http: HttpRequest, request_id: str, tenant: Tenant) -> Receipt:
    """The receipt of a request when only its sender is known."""
    return Receipt(
        request_id=request_id,
        at_unix_s=time(),
        started_s=http.received_s,
        tenant=tenant.name,
        endpoint=DEFAULT_ENDPOINT.name if tenant.endpoint is None else tenant.endpoint,
        client_retry=_client_retry(http.headers),
        key=tenant.key,
    )


def _client_retry(headers: Mapping[bytes, bytes]) -> int:
    """How often the client's SDK has already sent this request, by its own count."""
    said = headers.get(b"x-stainless-retry-count")
    return 0 if said is None or not said.isdigit() else int(said[:4])


def _cut(error: asyncio.CancelledError) -> FarthingError:
    """Why a request was ended whose client is still there."""
    why = error.args[0] if error.args else ""
    if why == "draining":
        return Overloaded("the gateway is shutting down and could not wait any longer", code="draining")
    return FarthingError("the request was ended")


def form_of(http: HttpRequest) -> ClientForm:
    """The form in which a client reads errors, of a request of which no more is known than its head.

    Where there is nothing, or the list of models, it goes by the header that Anthropic's clients send.
    """
    path = http.path
    if "/messages" in path and "/chat/" not in path:
        return MESSAGES
    if "/responses" in path:
        return RESPONSES
    if ANTHROPIC_VERSION in http.headers and ("/models" in path or paths.plain(path) not in ROUTES):
        return MESSAGES
    return CHAT


def refusal(status: int, message: str, http: HttpRequest) -> Refused:
    """The server's answer to a request that it refuses before any route sees it, as far as `http` tells."""
    error: FarthingError
    head = JSON_HEAD
    match status:
        case 503:
            error = Overloaded(message)
            head += again_head(error)
        case 413:
            error = BodyTooLarge(message)
        case _:
            error = InvalidRequest(message)
    error.status = status  # type: ignore[misc]  # that of HTTP
    told, body = form_of(http).failed(error, "")
    return told, head, body


def _stored(
    answer: StoredAnswer,
) -> Callable[[Edge, ClientConnection, HttpRequest, str], Awaitable[None]]:
    async def handler(edge: Edge, connection: ClientConnection, http: HttpRequest, request_id: str) -> None:
        await edge.stored(connection, http, request_id, answer)

    return handler


def _completions(
    operation: str, ask: StoredCompletion
) -> Callable[[Edge, ClientConnection, HttpRequest, str], Awaitable[None]]:
    async def handler(edge: Edge, connection: ClientConnection, http: HttpRequest, request_id: str) -> None:
        await edge.completions(connection, http, request_id, operation, ask)

    return handler


RouteHandler = Inference | Callable[[Edge, ClientConnection, HttpRequest, str], Awaitable[None]]

ROUTES: dict[str, dict[bytes, RouteHandler]] = {
    "/v1/chat/completions": {
        b"POST": Inference(Reader.chat),
        b"GET": _completions("chat/list", StoredCompletions.page),
    },
    paths.COMPLETION: {
        b"GET": _completions("chat/retrieve", StoredCompletions.retrieve),
        b"POST": _completions("chat/update", StoredCompletions.update),
        b"DELETE": _completions("chat/delete", StoredCompletions.delete),
    },
    paths.COMPLETION_MESSAGES: {b"GET": _completions("chat/messages", StoredCompletions.messages)},
    "/v1/completions": {b"POST": Inference(completions.read, COMPLETIONS)},
    "/v1/embeddings": {b"POST": Inference(Reader.embeddings)},
    "/v1/responses": {b"POST": Inference(stored.read, RESPONSES, continues=True)},
    "/v1/responses/input_tokens": {
        b"POST": Inference(stored.read_counted, RESPONSES, continues=True, counts=True)
    },
    "/v1/responses/compact": {b"POST": Inference(stored.read_compact, RESPONSES, continues=True)},
    "/v1/messages": {b"POST": Inference(messages.read, MESSAGES)},
    "/v1/messages/count_tokens": {b"POST": Inference(messages.read_counted, MESSAGES, counts=True)},
    paths.RESPONSE: {b"GET": _stored(stored.retrieve), b"DELETE": _stored(stored.delete)},
    paths.RESPONSE_CANCEL: {b"POST": _stored(stored.cancel)},
    paths.RESPONSE_ITEMS: {b"GET": _stored(stored.input_items)},
    "/v1/models": {b"GET": Edge.models},
    paths.MODEL: {b"GET": Edge.model},
    "/llm-inference": {b"POST": Inference(native.read_inference, TEXT)},
    FEEDBACK: {b"POST": Edge.feedback},
    "/v1/ask": {b"POST": Inference(native.read_ask, TEXT)},
    "/": {b"GET": Edge.hello},
    "/api/hello": {b"GET": Edge.hello},
    "/healthz": {b"GET": Edge.alive},
    "/livez": {b"GET": Edge.alive},
    "/readyz": {b"GET": Edge.ready},
    "/metrics": {b"GET": Edge.metrics},
    "/version": {b"GET": Edge.version},
}
ROUTES |= {f"/v1{one.path}": {b"POST": Inference(one, PASSED)} for one in DOORS.values()}
"""Path -> method -> handler. `docs/openapi.json` lists the same, and a test compares the two."""
