"""Paths that are not spelt as the routes are: another spelling of one, or a hint at the one that is meant.

SDKs make a path of their base URL, which may end in `/v1`, in nothing, or in what Azure wants:

    /v1/chat/completions/   /chat/completions   /v1/v1/chat/completions   /openai/v1/chat/completions
    /openai/deployments/NAME/chat/completions: the model is NAME, whatever the body says

Only the routes that take a key have other spellings: who keeps `/metrics` from strangers by its path, in a
proxy before us, has then named all of it.
"""

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import unquote_to_bytes

from farthing.edge.http.answering import HttpRequest
from farthing.errors import NoSuchRoute, NoUpgrade

Handler = TypeVar("Handler")

MODEL = "/v1/models/{id}"
MODELS = "/v1/models/"
RESPONSE = "/v1/responses/{id}"
RESPONSE_CANCEL = "/v1/responses/{id}/cancel"
RESPONSE_ITEMS = "/v1/responses/{id}/input_items"

COMPLETION = "/v1/chat/completions/{id}"
COMPLETION_MESSAGES = "/v1/chat/completions/{id}/messages"

STORED = frozenset((RESPONSE, RESPONSE_CANCEL, RESPONSE_ITEMS, COMPLETION, COMPLETION_MESSAGES))
"""The routes of what is asked for by its id."""
NOT_SERVED = {
    "/v1/messages/batches": "batches of messages are not served: send each to /v1/messages",
    "/v1/complete": "Anthropic's text completions are not served: use /v1/messages",
    "/v1/files": "files are not kept here: send their data with the request that needs them",
    "/v1/uploads": "files are not kept here: send their data with the request that needs them",
    "/v1/vector_stores": "files are not kept here, nor searched: send what is needed with the request",
    "/v1/conversations": (
        "conversations are not kept here: send their items in `input`, or continue a stored response with "
        "`previous_response_id`"
    ),
    "/v1/assistants": "assistants and threads are not served: use /v1/responses",
    "/v1/threads": "assistants and threads are not served: use /v1/responses",
    "/v1/batches": "batches are not served: send each request by itself",
    "/v1/realtime": "there are no realtime sessions: see /v1/audio/transcriptions and /v1/audio/speech",
    "/v1": "it is the base URL for SDKs, which ask below it: GET /v1/models, POST /v1/chat/completions",
}
"""Paths of other interfaces that do not exist here, nor anything below them, and what to use instead."""

SERVED = "chat is at /v1/chat/completions, /v1/messages and /v1/responses; docs/http-api.md has all paths"
"""The hint if nothing is known about the path."""

WEBSOCKET = b"sec-websocket-key"
"""Marks the head of a WebSocket request, whose `Upgrade` was removed before it comes here."""
AZURE = "/openai"
DEPLOYMENTS = "/deployments/"
DOUBLED = "/v1/v1/"

BELOW_BASE = (
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/responses",
    "/models",
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/tags",
)
"""Endings of paths that SDKs build from a wrong base URL."""
BELOW_ROOT = ("/messages", "/messages/count_tokens")
"""The same for Anthropic's SDKs, whose base URL has no `/v1`."""


def plain(path: str) -> str:
    """`path` without double slashes and without a trailing one."""
    return "/" + "/".join(part for part in path.split("/") if part)


def tolerant(path: str, served: str) -> bool:
    """Whether the route `served`, which `plain` makes of `path`, also answers to `path`."""
    return path == served or served.startswith("/v1/") or served == "/llm-inference"


def named_model(path: str) -> str:
    """The id in `/v1/models/ID`, which may hold slashes and be percent-encoded; empty where there is none."""
    for spelt in (path, *_served_as(path)[0]):
        if spelt.startswith(MODELS):
            return _decoded(spelt[len(MODELS) :])
    return ""


def _decoded(part: str) -> str:
    return unquote_to_bytes(part.encode("latin-1")).decode("utf-8", "replace")


def _served_as(path: str) -> tuple[tuple[str, str], str]:
    """The routes that `path` may mean, and the deployment it names; empty if it names none."""
    bare, deployment = plain(path), ""
    if bare.startswith(f"{AZURE}/"):
        bare = bare[len(AZURE) :]
        if bare.startswith(DEPLOYMENTS):
            name, _, rest = bare[len(DEPLOYMENTS) :].partition("/")
            bare, deployment = f"/{rest}", _decoded(name)
    while bare.startswith(DOUBLED):
        bare = bare[len(DOUBLED) - len("/v1/") :]
    return (bare, f"/v1{bare}"), deployment


def of_stored(path: str) -> str:
    """The route of one stored response or chat completion that `path` leads to; empty if there is none."""
    for route in (RESPONSE, COMPLETION):
        above = route.removesuffix("{id}")
        if path.startswith(above):
            id, *rest = path[len(above) :].split("/")
            below = "/".join((route, *rest))
            return below if id and below in STORED else ""
    return ""


def hint(path: str) -> str:
    """Why `path` does not exist, and what to use instead."""
    shown, bare = path[:200], plain(path)
    meant = (bare, *_served_as(path)[0])
    instead = NOT_SERVED.get(bare) or next(
        (
            told
            for name, told in NOT_SERVED.items()
            if name != "/v1" and any(one == name or one.startswith(f"{name}/") for one in meant)
        ),
        "",
    )
    if instead:
        return f"there is nothing at {shown}: {instead}"
    if bare.endswith(BELOW_ROOT):
        return f"there is nothing at {shown}: set the base URL of the client to http://HOST:PORT, without /v1"
    if bare.endswith(BELOW_BASE):
        return f"there is nothing at {shown}: set the base URL of the client to http://HOST:PORT/v1"
    return f"there is nothing at {shown}: {SERVED}"


def handler_of(
    http: HttpRequest, routes: Mapping[str, Mapping[bytes, Handler]], *, preflight: Handler
) -> Handler:
    """The handler of a request: by its path and method to the letter, as nearly always, else as they mean.

    Raises:
        NoSuchRoute: there is none. Says what there is instead. NoUpgrade: a WebSocket is asked for, and there
            is plain HTTP alone.
    """
    path, method = http.path, http.method
    exact = routes.get(path)
    found = None if exact is None else exact.get(method)
    if found is not None:
        return found
    headers = http.headers
    if method == b"OPTIONS" and b"origin" in headers and b"access-control-request-method" in headers:
        return preflight  # for whatever path: the page can then read why a wrong one leads to nothing
    spellings, deployment = _served_as(path)
    route = next(
        (routes[served] for served in spellings if served in routes and tolerant(path, served)), None
    )
    if route is None and named_model(path):
        route = routes[MODEL]
    if route is None:
        stored = [routes[one] for served in spellings if (one := of_stored(served))]
        route = stored[0] if stored else None
    if route is None:
        raise NoSuchRoute(hint(path))
    handler = route.get(b"GET" if method == b"HEAD" else method)
    if handler is None:
        allow = ", ".join(known.decode() for known in route) + (", HEAD" if b"GET" in route else "")
        if method == b"GET" and WEBSOCKET in headers:
            raise NoUpgrade(f"{path} has no WebSocket: send {allow} over plain HTTP", allow=allow)
        pages = "; pages of other sites may call when [server] cors_origins lists them"
        raise NoSuchRoute(f"{path} takes {allow}{pages if method == b'OPTIONS' else ''}", allow=allow)
    http.deployment = deployment
    return handler
