"""Detects what can answer if nothing is configured: provider keys and local servers.

A local server is recognised by its answers, never by its port: anybody may use 8000 or 8080. All questions
to all ports run at once within one time budget, and a server that has not answered by then is left out.
Only 127.0.0.1 and the server that `OLLAMA_HOST` names are asked, and never Farthing itself. If nothing is
found although a port did not refuse, the machine may be busy: such ports are asked once more, with more
time.
"""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from farthing.config import Secret, fault_of_base_url, fault_of_name, loopback
from farthing.models.discovery.presets import PRESETS, Preset, base_url
from farthing.models.discovery.recognise import LocalServer, Place, is_ollama, recognise, tags
from farthing.types import replace

LOCAL_HOST = "127.0.0.1"
OLLAMA_PORT = 11434
LOCAL_PORTS = (OLLAMA_PORT, 8000, 8080, 1234)  # as Ollama, vLLM, llama-server and LM Studio come
BUDGET_S = 0.15  # a person waits for this; an answer on the loopback takes a few milliseconds
AGAIN_BUDGET_S = 2.0  # where nobody was found
FAR_BUDGET_S = 2.0  # for a server that a variable names on another machine
SHOW_BUDGET_S = 0.5  # for what Ollama tells of each of its models
SHOWN_MAX = 64
SHOWN_AT_ONCE = 8
REPLY_BYTES_MAX = 1_048_576

_PATHS = ("/version", "/props", "/v1/models", "/api/v0/models", "/api/version", "/api/tags")


class Said(Struct, frozen=True, kw_only=True):
    """A provider's answer to a request for its models."""

    models: tuple[str, ...] = ()
    kinds: Mapping[str, str] = {}
    """What a model is, where its name is its owner's own: a deployment."""
    refused: bool = False
    """It does not know the key."""
    why: str = ""
    """Why it named no models; empty when it did."""


_METHODS = frozenset({"generateContent", "batchEmbedContents", "embedContent"})
"""What a model at Google can be asked for here."""


def said_by(body: bytes) -> Said:
    """Reads a provider's list of models, which has OpenAI's form or Google's; other fields are ignored."""
    try:
        listed = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Said(why="its list is not JSON")
    items = _of_google(listed) if isinstance(listed, dict) and "data" not in listed else listed
    items = items.get("data") if isinstance(items, dict) else items
    models: dict[str, str] = {}
    for item in items if isinstance(items, list) else []:
        name = item.get("id") if isinstance(item, dict) else None
        if isinstance(name, str) and not fault_of_name(name):
            name = name.removeprefix("models/")  # as Gemini lists them
            kind = item.get("model")
            models[name] = kind if isinstance(kind, str) and item.get("object") == "deployment" else name
    kinds = {name: kind for name, kind in models.items() if name != kind}
    return Said(models=tuple(models), kinds=kinds, why="" if models else "its list names no model")


def _of_google(listed: dict[str, Any]) -> Any:
    """The models of a list of Google's that answer or embed, as OpenAI lists them; what is none as it is."""
    for name in ("models", "publisherModels"):
        items = listed.get(name)
        if isinstance(items, list):
            return [
                {"id": item["name"].rpartition("models/")[2]}
                for item in items
                if isinstance(item, dict) and isinstance(item.get("name"), str) and _can_be_asked(item)
            ]
    return listed


def _can_be_asked(model: dict[str, Any]) -> bool:
    """Whether there is a way here to ask a model that Google lists; one of which nothing is said may be."""
    methods = model.get("supportedGenerationMethods")
    return not isinstance(methods, list) or not _METHODS.isdisjoint(map(str, methods))


class Hosted(Struct, frozen=True, kw_only=True):
    preset: Preset
    base_url: str
    api_key: Secret
    said: Said | None = None
    """None: it was not asked."""


Ask = Callable[[Hosted], Awaitable[Said]]


class Found(Struct, frozen=True, kw_only=True):
    hosted: tuple[Hosted, ...] = ()
    """In the order of the presets."""
    local: tuple[LocalServer, ...] = ()
    """In the order of the ports that were asked."""
    notes: tuple[str, ...] = ()
    """What was passed over, and why."""

    def __bool__(self) -> bool:
        """Whether anything can answer."""
        asked = any(one.said is None or not one.said.refused for one in self.hosted)
        return asked or any(server.models or server.cloud for server in self.local)


async def detect(
    env: Mapping[str, str],
    *,
    own_port: int,
    budget_s: float = BUDGET_S,
    again_budget_s: float = AGAIN_BUDGET_S,
    ports: Sequence[int] = LOCAL_PORTS,
    ask: Ask | None = None,
) -> Found:
    """Look in the environment and at the local ports, and call `ask` for each provider whose key is there
    (None: for none). Waits up to about `budget_s` seconds, and `again_budget_s` more if nothing answered
    but a port did not refuse; a little longer for Ollama's details of its models and for a server on
    another machine. `ask` runs meanwhile. Never raises."""
    hosted, notes = _hosted(env, own_port)
    places = [Place(host=LOCAL_HOST, port=port) for port in ports]
    named, fault = _ollama_host(env)
    if fault:
        notes.append(fault)
    if named is not None:
        alike = [
            place for place in places if place.port == named.port and loopback(named.host) and not named.path
        ]
        places = [named, *(place for place in places if place not in alike)]
    others = [place for place in places if not _is_own(place, own_port)]
    servers, answered = await asyncio.gather(
        _servers(others, budget_s, again_budget_s), _ask_all(hosted, ask)
    )
    if (
        named is not None
        and named not in [server.place for server in servers]
        and not _is_own(named, own_port)
    ):
        notes.append(f"OLLAMA_HOST: no model server answers at {named.base_url.removesuffix('/v1')}")
    notes += [
        f"{one.api_key.name} was refused (401) by {one.preset.name} at {one.base_url}, which is in no tier: "
        "set the variable to a key that is valid there, or unset it"
        for one in answered
        if one.said is not None and one.said.refused
    ]
    notes += [
        f"{server.kind} at {server.base_url} has no chat model yet"
        for server in servers
        if not _chats(server)
    ]
    return Found(hosted=tuple(answered), local=tuple(servers), notes=tuple(notes))


def _chats(server: LocalServer) -> bool:
    return bool(server.models or server.cloud)


async def _ask_all(hosted: list[Hosted], ask: Ask | None) -> list[Hosted]:
    if ask is None:
        return hosted
    said = await asyncio.gather(*(ask(one) for one in hosted))
    return [replace(one, said=answer) for one, answer in zip(hosted, said, strict=True)]


# -- the environment --------------------------------------------------------------------------------


def _hosted(env: Mapping[str, str], own_port: int) -> tuple[list[Hosted], list[str]]:
    hosted: list[Hosted] = []
    notes: list[str] = []
    for preset in PRESETS:
        variable = next((name for name in preset.key_variables if env.get(name, "").strip()), None)
        if variable is None:
            continue
        url = base_url(preset, env)
        if not url:
            notes.append(f"{variable} is set without {preset.url_variables[0]}: {preset.name} is left out")
            continue
        fault = fault_of_base_url(url)
        if fault:
            given = next(name for name in preset.url_variables if env.get(name, "").strip())
            notes.append(f"{given}: {fault}; {preset.name} is left out")
            continue
        if _is_own_url(url, own_port):
            # The client's own setting, exported for both: following it would be asking ourselves.
            notes.append(
                f"{preset.url_variables[0]} is this gateway; {preset.name} is asked at its own address"
            )
            url = preset.base_url
        if not url:
            continue
        secret = Secret(variable, env[variable].strip())
        hosted.append(Hosted(preset=preset, base_url=url, api_key=secret))
    return hosted, notes


def _is_own_url(url: str, own_port: int) -> bool:
    try:
        parts = urlsplit(url)
        return parts.port == own_port and (loopback(parts.hostname or "") or parts.hostname == "0.0.0.0")
    except ValueError:
        return False


def _is_own(place: Place, own_port: int) -> bool:
    return place.port == own_port and loopback(place.host)


def _ollama_host(env: Mapping[str, str]) -> tuple[Place | None, str]:
    """The address in `OLLAMA_HOST`, and what is wrong with it, in words."""
    given = env.get("OLLAMA_HOST", "").strip().strip("\"'").strip()
    if not given:
        return None, ""
    try:
        place = ollama_place(given)
        key = env.get("OLLAMA_API_KEY", "").strip()
        return (replace(place, api_key=Secret("OLLAMA_API_KEY", key)) if key and place.cloud else place), ""
    except ValueError as why:
        return None, f"OLLAMA_HOST is left out: {why}"


def ollama_place(given: str) -> Place:
    """As Ollama's own client reads it: `host`, `host:port`, `:port`, an URL, an address of version 6 with or
    without brackets. A server that listens everywhere is asked on this machine.

    Raises:
        ValueError: it is no address; says why.
    """
    scheme, found, rest = given.partition("://")
    if not found:
        scheme, rest = "", given
    if scheme.lower() not in ("", "http", "https"):
        raise ValueError(f'"{scheme}" is neither http nor https')
    if rest.count(":") > 1 and not rest.startswith("["):
        rest = f"[{rest}]"  # an address of version 6 as the shell shows it
    parts = urlsplit(f"//{rest}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("an address without user, password and query is expected")
    usual = {"http": 80, "https": 443}.get(scheme.lower(), OLLAMA_PORT)
    host = {"": LOCAL_HOST, "0.0.0.0": LOCAL_HOST, "::": "::1"}.get(parts.hostname or "", parts.hostname)
    if host is None or not host.isascii() or any(char.isspace() for char in host):
        raise ValueError(f'"{given[:100]}" is no address')
    path = parts.path.rstrip("/").removesuffix("/v1").removesuffix("/api")
    return Place(
        host=host,
        port=parts.port or usual,
        tls=scheme.lower() == "https",
        path=path,
    )


# -- the local ports --------------------------------------------------------------------------------


async def _servers(places: Sequence[Place], budget_s: float, again_budget_s: float) -> list[LocalServer]:
    """The servers at `places`, in their order."""
    late: list[Place] = []
    found = await asyncio.gather(*(_local(place, budget_s, late) for place in places))
    if late and not any(found):
        found = await asyncio.gather(*(_local(place, again_budget_s, []) for place in late))
    return [server for server in found if server is not None]


async def _local(place: Place, budget_s: float, late: list[Place]) -> LocalServer | None:
    """The server at `place`; None: there is none, or it did not identify itself in time. In the second case
    it is added to `late`, unless it refused the connection."""
    near = loopback(place.host)
    questions = {path: (path, None) for path in _PATHS}
    said, in_time = await _gathered(questions, place, budget_s if near else FAR_BUDGET_S)
    if is_ollama(said):
        names = [item["name"] for item in tags(said) if not item.get("capabilities")][:SHOWN_MAX]
        shows = {f"/api/show {name}": ("/api/show", {"model": name, "name": name}) for name in names}
        shown, _ = await _gathered(shows, place, SHOW_BUDGET_S if near else FAR_BUDGET_S)
        said |= shown
    server = recognise(place, said)
    if server is None and near and not in_time:
        late.append(place)
    return server


async def _gathered(
    questions: Mapping[str, tuple[str, Any]], place: Place, budget_s: float
) -> tuple[dict[str, Any], bool]:
    """The answers of `place` to each question within the budget, and whether all had ended by then. Later
    answers are not awaited."""
    said: dict[str, Any] = {}
    turn = asyncio.Semaphore(SHOWN_AT_ONCE)

    async def keep(name: str, path: str, body: Any) -> None:
        async with turn:
            said[name] = await _call(place, path, body)

    tasks = [asyncio.create_task(keep(name, *question)) for name, question in questions.items()]
    late: set[asyncio.Task[None]] = set()
    if tasks:
        done, late = await asyncio.wait(tasks, timeout=budget_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*done, *late, return_exceptions=True)
    return {name: answer for name, answer in said.items() if answer is not None}, not late


async def _call(place: Place, path: str, body: Any) -> Any:
    """The JSON of a 200 reply to a GET, or to a POST of `body`; or None."""
    try:
        context = ssl.create_default_context() if place.tls else None
        reader, writer = await asyncio.open_connection(
            place.host, place.port, limit=REPLY_BYTES_MAX, ssl=context
        )
    except OSError:
        return None
    try:
        writer.write(_request(place, path, body))
        reply = await _read(reader)
        head, _, content = reply.partition(b"\r\n\r\n")
        if not re.match(rb"HTTP/1\.[01] 200\b", head):
            return None
        if re.search(rb"^transfer-encoding:[ \t]*chunked", head, re.IGNORECASE | re.MULTILINE):
            content = _unchunked(content)
        return msgspec.json.decode(content)
    except (OSError, msgspec.DecodeError, ValueError):
        return None
    finally:
        writer.transport.abort()


def _request(place: Place, path: str, body: Any) -> bytes:
    method = "GET" if body is None else "POST"
    head = f"{method} {place.path}{path} HTTP/1.0\r\nhost: {place.authority}\r\naccept: application/json\r\n"
    if body is None:
        return f"{head}connection: close\r\n\r\n".encode()
    content = msgspec.json.encode(body)
    told = f"content-type: application/json\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
    return f"{head}{told}".encode() + content


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Read until the end or the cap; if the server keeps the connection open, the length decides."""
    reply = bytearray()
    head_end, length = -1, None
    while len(reply) < REPLY_BYTES_MAX:
        piece = await reader.read(REPLY_BYTES_MAX - len(reply))
        if not piece:
            break
        reply += piece
        if head_end < 0:
            head_end = reply.find(b"\r\n\r\n")
            head = bytes(reply[: max(0, head_end) + 2])
            length = re.search(rb"^content-length:[ \t]*(\d{1,9})\r?$", head, re.IGNORECASE | re.MULTILINE)
        if head_end >= 0 and length and len(reply) - head_end - 4 >= int(length[1]):
            break
    return bytes(reply)


def _unchunked(body: bytes) -> bytes:
    """Raises ValueError when a chunk's size is no number."""
    out = bytearray()
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        if length <= 0:
            break
        out += rest[:length]
        body = rest[length + 2 :]
    return bytes(out)
