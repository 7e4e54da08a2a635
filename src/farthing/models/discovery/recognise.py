"""Recognises which model server gives certain answers, and which of its models chat. Pure functions."""

import ipaddress
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from msgspec import Struct

from farthing.config import Secret, loopback
from farthing.config.settings.proxy import authority
from farthing.models.discovery.listing import named_for_chat

Kind = Literal["ollama", "vllm", "llama-server", "lm-studio"]

MODELS_MAX = 64
CLOUD_HOST = "ollama.com"
_PRIVATE_DOMAINS = (".local", ".lan", ".internal", ".home.arpa")
_EMBEDDING_FAMILIES = frozenset(
    {
        "bert",
        "clip",
        "deberta",
        "distilbert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "modernbert",
        "mpnet",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "roberta",
        "xlm-roberta",
    }
)
"""Architectures that read and do not write. A vision model names `clip` beside the family that writes."""
_CHATS = frozenset({"chat", "completion", "generate", "llm", "text-generation", "vlm"})
_CHATS_NOT = frozenset(
    {
        "classify",
        "embed",
        "embedding",
        "embeddings",
        "image",
        "pooling",
        "rerank",
        "reranker",
        "reward",
        "score",
    }
    | {"speech", "stt", "tts", "transcription"}
)


class Place(Struct, frozen=True, kw_only=True):
    """An address at which a model server may listen."""

    host: str
    port: int
    tls: bool = False
    path: str = ""
    """What stands before every path of it, without a closing slash."""
    api_key: Secret | None = None
    """What it asks for; None: it asks for nothing."""

    @property
    def authority(self) -> str:
        return authority(self.host, self.port)

    @property
    def cloud(self) -> bool:
        """Whether it is Ollama's own service."""
        return self.host == CLOUD_HOST or self.host.endswith(f".{CLOUD_HOST}")

    @property
    def here(self) -> bool:
        """Whether it is this machine."""
        return loopback(self.host) or self.host == "host.docker.internal"

    @property
    def near(self) -> bool:
        """Whether it is this machine or one of a private network, whose owner pays no provider for it."""
        try:
            return self.here or ipaddress.ip_address(self.host).is_private
        except ValueError:
            return "." not in self.host or self.host.endswith(_PRIVATE_DOMAINS)

    @property
    def base_url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.path}/v1"


class LocalModel(Struct, frozen=True):
    name: str
    size_bytes: int = 0
    """0 when the server does not say."""
    runs_at: str = ""
    """The host that runs it, where the server only hands prompts on; empty: the server's own."""


class LocalServer(Struct, frozen=True, kw_only=True):
    kind: Kind
    place: Place
    models: tuple[LocalModel, ...]
    """Models that chat and run there, in the server's order."""
    cloud: tuple[LocalModel, ...] = ()
    """Models that chat and run elsewhere: what is asked of them leaves the server."""
    silent: tuple[str, ...] = ()
    """Models that do not chat: they embed, or do something else."""

    @property
    def port(self) -> int:
        return self.place.port

    @property
    def base_url(self) -> str:
        return self.place.base_url

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all its models."""
        return (*(model.name for model in (*self.models, *self.cloud)), *self.silent)


def recognise(place: Place, said: Mapping[str, Any]) -> LocalServer | None:
    """Which server gives these answers (path to decoded JSON); None: no model server, or Farthing itself.

    llama-server and LM Studio imitate Ollama and vLLM, so they are looked for first. What a server tells of a
    model by `/api/show` stands under that path and the model's name.
    """
    if _get_key(said.get("/version"), "name") == "farthing":
        return None
    listed = [item for item in _items(said.get("/v1/models"), "data") if isinstance(item.get("id"), str)]
    owners = {item["owned_by"] for item in listed if isinstance(item.get("owned_by"), str)}
    studio = _items(said.get("/api/v0/models"), "data")
    kinds: list[tuple[Kind, bool]] = [
        ("lm-studio", "organization_owner" in owners or any("compatibility_type" in item for item in studio)),
        ("llama-server", "llamacpp" in owners or _has(said.get("/props"), "default_generation_settings")),
        ("vllm", "vllm" in owners),
        ("ollama", is_ollama(said)),
    ]
    kind = next((name for name, fits in kinds if fits), None)
    if kind is None:
        return None
    if kind == "ollama":
        return _sorted(kind, place, [_with_shown(item, said) for item in tags(said)])
    told = {item["id"]: item for item in studio if isinstance(item.get("id"), str)}
    told |= {item["name"]: item for item in tags({"/api/tags": said.get("/v1/models")})}  # llama-server's own
    return _sorted(kind, place, [{**item, "name": item["id"], **told.get(item["id"], {})} for item in listed])


def tags(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The models that Ollama lists."""
    return [item for item in _items(said.get("/api/tags"), "models") if isinstance(item.get("name"), str)]


def is_ollama(said: Mapping[str, Any]) -> bool:
    listed = said.get("/api/tags")
    if not isinstance(_get_key(listed, "models"), list):
        return False
    fits = any("digest" in item and "name" in item for item in _items(listed, "models"))
    return fits or isinstance(_get_key(said.get("/api/version"), "version"), str)


def _with_shown(item: dict[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    shown = said.get(f"/api/show {item['name']}")
    extra = shown if isinstance(shown, dict) else {}
    return item | {key: extra[key] for key in ("capabilities", "details", "remote_host") if extra.get(key)}


def _sorted(kind: Kind, place: Place, items: list[dict[str, Any]]) -> LocalServer:
    chats, cloud, silent = [], [], []
    for item in items:
        size = item.get("size")
        model = LocalModel(item["name"], size if isinstance(size, int) else 0, _runs_at(kind, place, item))
        if not chats_by(item):
            silent.append(model.name)
        elif model.runs_at:
            cloud.append(model)
        else:
            chats.append(model)
    return LocalServer(
        kind=kind,
        place=place,
        models=tuple(chats[:MODELS_MAX]),
        cloud=tuple(cloud[:MODELS_MAX]),
        silent=tuple(silent[:MODELS_MAX]),
    )


def _runs_at(kind: Kind, place: Place, item: Mapping[str, Any]) -> str:
    """Ollama lists models of its cloud beside its own; each sign of one is enough."""
    if kind != "ollama":
        return ""
    host = item.get("remote_host")
    if isinstance(host, str) and host.strip():
        return urlsplit(host if "//" in host else f"//{host}").hostname or CLOUD_HOST
    name = item["name"].lower()
    of_cloud = name.endswith(("-cloud", ":cloud")) or bool(item.get("remote_model"))
    return CLOUD_HOST if of_cloud or place.cloud else ""


def chats_by(item: Mapping[str, Any]) -> bool:
    """Whether a model holds a conversation, decided by the most reliable statement about it: its abilities,
    its purpose, its architecture, its name."""
    for key in ("capabilities", "type", "task"):
        words = _words(item.get(key))
        if words & _CHATS:
            return True
        if words & _CHATS_NOT:
            return False
    details = item.get("details")
    family = _get_key(details, "family") or item.get("arch")
    families = _words(family) or _words(_get_key(details, "families"))
    if families and families <= _EMBEDDING_FAMILIES:
        return False
    return named_for_chat(item["name"])


def _words(value: Any) -> frozenset[str]:
    """A word or a list of words, in lower case; empty for any other shape."""
    values = value if isinstance(value, list) else [value]
    return frozenset(one.lower() for one in values if isinstance(one, str) and one)


def _get_key(answer: Any, key: str) -> Any:
    return answer.get(key) if isinstance(answer, dict) else None


def _has(answer: Any, key: str) -> bool:
    return isinstance(answer, dict) and key in answer


def _items(answer: Any, key: str) -> list[dict[str, Any]]:
    items = _get_key(answer, key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
