"""What there is to answer with, when no configuration says so: provider keys and local servers.

A local server is known by its answers and never by its port: 8000 and 8080 are anybody's. All questions
to all ports run at once, within one budget; a server that has not answered by then is not there.
Only 127.0.0.1 is asked, with GET, and never Farthing itself.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from farthing.config import Config, PriceConfig, ProviderConfig, Secret, TierConfig, loopback
from farthing.models.presets import PRESETS, Pick, Preset, Prices, base_url, cheapest, flagship

Kind = Literal["ollama", "vllm", "llama-server", "lm-studio"]

LOCAL_HOST = "127.0.0.1"
LOCAL_PORTS = (11434, 8000, 8080, 1234)  # as Ollama, vLLM, llama-server and LM Studio come
BUDGET_S = 0.15  # a person waits for this; an answer on the loopback takes a few milliseconds
REPLY_BYTES_MAX = 65_536
MODELS_MAX = 64
TIER_TARGETS_MAX = 3

_PATHS = ("/version", "/props", "/v1/models", "/api/v0/models", "/api/version", "/api/tags")
_NOT_CHAT = re.compile(r"embed|rerank|bge-|minilm|whisper|tts|guard|clip", re.IGNORECASE)


class LocalModel(Struct, frozen=True):
    name: str
    size_bytes: int = 0
    """0 when the server does not say."""


class LocalServer(Struct, frozen=True, kw_only=True):
    kind: Kind
    port: int
    models: tuple[LocalModel, ...]
    """Models that chat, in the server's order."""

    @property
    def base_url(self) -> str:
        return f"http://{LOCAL_HOST}:{self.port}/v1"


class Hosted(Struct, frozen=True, kw_only=True):
    preset: Preset
    base_url: str
    api_key: Secret


class Found(Struct, frozen=True, kw_only=True):
    hosted: tuple[Hosted, ...] = ()
    """In the order of the presets."""
    local: tuple[LocalServer, ...] = ()
    """In the order of the ports that were asked."""
    notes: tuple[str, ...] = ()
    """What was passed over, and why."""

    def __bool__(self) -> bool:
        return bool(self.hosted or any(server.models for server in self.local))


async def detect(
    env: Mapping[str, str],
    *,
    own_port: int,
    budget_s: float = BUDGET_S,
    ports: Sequence[int] = LOCAL_PORTS,
) -> Found:
    """Look into the environment and at the local ports. Takes at most about `budget_s`; never raises."""
    hosted, notes = _hosted(env, own_port)
    answers = await asyncio.gather(*(_ask(port, budget_s) for port in ports if port != own_port))
    local = [server for port, said in answers if (server := recognise(port, said))]
    notes += [
        f"{server.kind} at {server.base_url} has no chat model yet" for server in local if not server.models
    ]
    return Found(hosted=tuple(hosted), local=tuple(local), notes=tuple(notes))


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
        if _is_own(url, own_port):
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


def _is_own(url: str, own_port: int) -> bool:
    try:
        parts = urlsplit(url)
        return parts.port == own_port and (loopback(parts.hostname or "") or parts.hostname == "0.0.0.0")
    except ValueError:
        return False


# -- the local ports --------------------------------------------------------------------------------


async def _ask(port: int, budget_s: float) -> tuple[int, dict[str, Any]]:
    """What the server on `port` says within the budget; what comes later is not waited for."""
    said: dict[str, Any] = {}

    async def keep(path: str) -> None:
        said[path] = await _get(port, path)

    tasks = [asyncio.create_task(keep(path)) for path in _PATHS]
    done, late = await asyncio.wait(tasks, timeout=budget_s)
    for task in late:
        task.cancel()
    await asyncio.gather(*done, *late, return_exceptions=True)
    return port, {path: answer for path, answer in said.items() if answer is not None}


async def _get(port: int, path: str) -> Any:
    """The JSON of a 200 reply, or None."""
    try:
        reader, writer = await asyncio.open_connection(LOCAL_HOST, port, limit=REPLY_BYTES_MAX)
    except OSError:
        return None
    try:
        writer.write(
            f"GET {path} HTTP/1.0\r\nhost: {LOCAL_HOST}:{port}\r\naccept: application/json\r\n"
            "connection: close\r\n\r\n".encode()
        )
        reply = await _read(reader)
        head, _, body = reply.partition(b"\r\n\r\n")
        if not re.match(rb"HTTP/1\.[01] 200\b", head):
            return None
        if re.search(rb"^transfer-encoding:[ \t]*chunked", head, re.IGNORECASE | re.MULTILINE):
            body = _unchunked(body)
        return msgspec.json.decode(body)
    except (OSError, msgspec.DecodeError, ValueError):
        return None
    finally:
        writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Until the end, or the cap; a server that keeps the connection open is known by its length."""
    reply = bytearray()
    while len(reply) < REPLY_BYTES_MAX:
        piece = await reader.read(REPLY_BYTES_MAX - len(reply))
        if not piece:
            break
        reply += piece
        head, found, body = bytes(reply).partition(b"\r\n\r\n")
        length = re.search(rb"^content-length:[ \t]*(\d{1,9})\r?$", head, re.IGNORECASE | re.MULTILINE)
        if found and length and len(body) >= int(length[1]):
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


def recognise(port: int, said: Mapping[str, Any]) -> LocalServer | None:
    """Which server gives these answers (path to decoded JSON); None: no model server, or Farthing itself.

    llama-server and LM Studio imitate Ollama and vLLM, so they are looked for first.
    """
    if _get_key(said.get("/version"), "name") == "farthing":
        return None
    listed = [item for item in _items(said.get("/v1/models"), "data") if isinstance(item.get("id"), str)]
    owners = {item.get("owned_by") for item in listed}
    studio = _items(said.get("/api/v0/models"), "data")
    kinds: list[tuple[Kind, bool]] = [
        ("lm-studio", "organization_owner" in owners or any("compatibility_type" in item for item in studio)),
        ("llama-server", "llamacpp" in owners or _has(said.get("/props"), "default_generation_settings")),
        ("vllm", "vllm" in owners),
        ("ollama", _is_ollama(said)),
    ]
    kind = next((name for name, fits in kinds if fits), None)
    if kind is None:
        return None
    models = _models(kind, listed, studio, said)
    chats = [model for model in models if not _NOT_CHAT.search(model.name)][:MODELS_MAX]
    return LocalServer(kind=kind, port=port, models=tuple(chats))


def _is_ollama(said: Mapping[str, Any]) -> bool:
    tags = said.get("/api/tags")
    if not isinstance(_get_key(tags, "models"), list):
        return False
    fits = any("digest" in item and "name" in item for item in _items(tags, "models"))
    return fits or isinstance(_get_key(said.get("/api/version"), "version"), str)


def _models(
    kind: Kind, listed: list[dict[str, Any]], studio: list[dict[str, Any]], said: Mapping[str, Any]
) -> list[LocalModel]:
    if kind == "ollama":
        return [
            LocalModel(item["name"], item["size"] if isinstance(item.get("size"), int) else 0)
            for item in _items(said.get("/api/tags"), "models")
            if isinstance(item.get("name"), str)
        ]
    silent = {item.get("id") for item in studio if item.get("type") == "embeddings"}
    return [LocalModel(item["id"]) for item in listed if item["id"] not in silent]


def _get_key(answer: Any, key: str) -> Any:
    return answer.get(key) if isinstance(answer, dict) else None


def _has(answer: Any, key: str) -> bool:
    return isinstance(answer, dict) and key in answer


def _items(answer: Any, key: str) -> list[dict[str, Any]]:
    items = _get_key(answer, key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


# -- from what is there to a configuration ----------------------------------------------------------


def config_from(found: Found, catalogue: Prices) -> tuple[Config, list[str]]:
    """A configuration with every provider found and the tiers `cheap` and `expensive`, and why these.

    Hosted: cheap is the lowest blended price (3:1) among each provider's current general chat models,
    expensive its flagship. Local models cost 0 here and are the cheap tier; without a hosted provider they
    are both. A tier is empty, and then absent, only when nothing found can serve it.
    """
    local = _local_providers(found)
    lines = _found_lines(found, local)
    small, large = _local_targets(local)
    picks = [(cheapest(one.preset, catalogue), flagship(one.preset, catalogue)) for one in found.hosted]
    lines += [
        f"{one.preset.name}: none of its models has a known price; call one by name, or set [tiers]"
        for one, (low, high) in zip(found.hosted, picks, strict=True)
        if low is None and high is None
    ]
    lows = sorted((pick for low, high in picks if (pick := low or high)), key=lambda pick: pick.blended_usd)
    highs = [pick for low, high in picks if (pick := high or low)]
    cheap = small or [pick.target for pick in lows]
    expensive = [pick.target for pick in highs] or large
    lines += _chosen_lines(cheap, expensive, small, lows, highs)
    tiers = {
        name: TierConfig(targets=tuple(targets[:TIER_TARGETS_MAX]))
        for name, targets in (("cheap", cheap), ("expensive", expensive))
        if targets
    }
    config = Config(
        providers=_providers(found, local),
        tiers=tiers,
        prices=_free(local),
    )
    return config, lines + list(found.notes)


def _local_providers(found: Found) -> dict[str, LocalServer]:
    """Named by kind; a second server of a kind also by its port."""
    named: dict[str, LocalServer] = {}
    for server in found.local:
        if server.models:
            named[f"{server.kind}-{server.port}" if server.kind in named else server.kind] = server
    return named


def _local_targets(local: Mapping[str, LocalServer]) -> tuple[list[str], list[str]]:
    """Smallest first and largest first, where sizes are known; else the servers' own order."""
    models = [
        (model.size_bytes, f"{name}/{model.name}")
        for name, server in local.items()
        for model in server.models
    ]
    small = sorted(models, key=lambda one: one[0])
    large = sorted(models, key=lambda one: -one[0])
    return [target for _, target in small], [target for _, target in large]


def _providers(found: Found, local: Mapping[str, LocalServer]) -> dict[str, ProviderConfig]:
    hosted = {
        one.preset.name: ProviderConfig(base_url=one.base_url, api_key=one.api_key, auth=one.preset.auth)
        for one in found.hosted
    }
    return hosted | {
        name: ProviderConfig(base_url=server.base_url, auth="none") for name, server in local.items()
    }


def _free(local: Mapping[str, LocalServer]) -> tuple[PriceConfig, ...]:
    nothing = Decimal(0)
    return tuple(
        PriceConfig(target=f"{name}/{model.name}", input=nothing, output=nothing)
        for name, server in local.items()
        for model in server.models
    )


def _found_lines(found: Found, local: Mapping[str, LocalServer]) -> list[str]:
    lines = [f"found {one.preset.name} at {one.base_url} ({one.api_key.name})" for one in found.hosted]
    for name, server in local.items():
        lines.append(f"found {name} at {server.base_url} ({_some([model.name for model in server.models])})")
    return lines


def _some(names: Sequence[str], shown_max: int = 3) -> str:
    rest = len(names) - shown_max
    return ", ".join(names[:shown_max]) + (f" and {rest} more" if rest > 0 else "")


def _chosen_lines(
    cheap: list[str], expensive: list[str], local: list[str], lows: list[Pick], highs: list[Pick]
) -> list[str]:
    lines = []
    if local:
        lines.append(f"cheap = {_some(cheap)}: local, counted as 0 (electricity is not known)")
    elif cheap:
        lines.append(f"cheap = {_priced(lows)}: lowest price of the current general chat models")
    if highs:
        lines.append(f"expensive = {_priced(highs)}: the flagship of each provider, in this order")
    elif expensive:
        lines.append(f"expensive = {_some(expensive)}: local too, since no provider key was found")
    return lines


def _priced(picks: list[Pick]) -> str:
    """Dollars per million tokens, three of input to one of output."""
    shown = [f"{pick.target} (${pick.blended_usd:.2f}/M)" for pick in picks[:TIER_TARGETS_MAX]]
    return ", ".join(shown)
