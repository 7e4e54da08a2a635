"""Local servers are known by their answers, within a budget, and Farthing never finds itself."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from tests.price_list import OPENAI, Listed

from farthing import config
from farthing.config import Config
from farthing.models.discovery.chosen import config_from
from farthing.models.discovery.detect import Found, Hosted, Said, detect, ollama_place, said_by
from farthing.models.discovery.recognise import LocalModel, Place, chats_by, recognise
from farthing.models.pricing.catalogue import Catalogue

OLLAMA = {
    "/api/version": {"version": "0.12.3"},
    "/api/tags": {
        "models": [
            {"name": "qwen3:14b", "model": "qwen3:14b", "size": 9_000_000_000, "digest": "ab"},
            {"name": "qwen3:4b", "model": "qwen3:4b", "size": 2_600_000_000, "digest": "cd"},
            {"name": "nomic-embed-text:latest", "model": "nomic-embed-text", "size": 1, "digest": "ef"},
        ]
    },
    "/v1/models": {"object": "list", "data": [{"id": "qwen3:14b", "object": "model", "owned_by": "library"}]},
}
VLLM = {
    "/version": {"version": "0.11.0"},
    "/v1/models": {
        "object": "list",
        "data": [{"id": "Qwen/Qwen3-8B", "object": "model", "owned_by": "vllm"}],
    },
}
LLAMA_SERVER = {
    "/props": {"default_generation_settings": {"n_ctx": 4096}, "total_slots": 1},
    "/api/tags": {"models": [{"name": "m.gguf", "digest": "", "model": "m.gguf"}]},
    "/v1/models": {"data": [{"id": "m.gguf", "object": "model", "owned_by": "llamacpp"}]},
}
LM_STUDIO = {
    "/api/v0/models": {
        "data": [
            {"id": "gemma-3-4b", "type": "llm", "compatibility_type": "gguf", "state": "loaded"},
            {"id": "nomic", "type": "embeddings", "compatibility_type": "gguf", "state": "loaded"},
        ]
    },
    "/v1/models": {
        "data": [
            {"id": "gemma-3-4b", "owned_by": "organization_owner"},
            {"id": "nomic", "owned_by": "organization_owner"},
        ]
    },
}
FARTHING = VLLM | {"/version": {"name": "farthing", "version": "0.1.0"}}

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answering(pages: Mapping[str, Any], *, delay_s: float = 0.0, chunked: bool = False) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        await asyncio.sleep(delay_s)
        status = b"200 OK" if path in pages else b"404 Not Found"
        body = json.dumps(pages.get(path, {"error": "no"})).encode()
        if chunked:
            cut = len(body) // 2
            pieces = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:cut], body[cut:]))
            writer.write(b"HTTP/1.1 %b\r\ntransfer-encoding: chunked\r\n\r\n%b0\r\n\r\n" % (status, pieces))
        else:  # and the connection is left open: its length has to be believed
            writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
            await writer.drain()
            await reader.read()
        writer.close()

    return handle


def look(
    *handlers: Handler,
    env: Mapping[str, str] | None = None,
    budget_s: float = 1.0,
    again_budget_s: float = 0.0,
    own: int = -1,
) -> Found:
    """Detect among real servers, one for each handler; `own` is the index of the one that is ourselves."""

    async def run() -> Found:
        servers = [await asyncio.start_server(handler, "127.0.0.1", 0) for handler in handlers]
        ports = [server.sockets[0].getsockname()[1] for server in servers]
        own_port = ports[own] if own >= 0 else 1
        try:
            return await detect(
                env or {}, own_port=own_port, ports=ports, budget_s=budget_s, again_budget_s=again_budget_s
            )
        finally:
            for server in servers:
                server.close()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("pages", "kind", "models"),
    [
        (OLLAMA, "ollama", ["qwen3:14b", "qwen3:4b"]),
        (VLLM, "vllm", ["Qwen/Qwen3-8B"]),
        (LLAMA_SERVER, "llama-server", ["m.gguf"]),
        (LM_STUDIO, "lm-studio", ["gemma-3-4b"]),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_each_server_is_known_by_its_answers(
    pages: Mapping[str, Any], kind: str, models: list[str], chunked: bool
) -> None:
    (server,) = look(answering(pages, chunked=chunked)).local
    assert (server.kind, [model.name for model in server.models]) == (kind, models)
    assert server.base_url == f"http://127.0.0.1:{server.port}/v1"


def test_a_server_that_is_no_model_server_is_not_found() -> None:
    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\xff nonsense\r\n\r\n[")
        writer.close()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 1_000_000)
        writer.close()

    assert not look(answering({}), answering({"/v1/models": {"data": [{"id": "x"}]}}), garbage, endless)


@pytest.mark.parametrize("answer", [None, [], "x", {"data": 1}, {"data": [1, {"id": 2}]}, {"models": {}}])
def test_answers_of_any_shape_are_survived(answer: Any) -> None:
    paths = ("/version", "/props", "/v1/models", "/api/v0/models", "/api/version", "/api/tags")
    assert recognise(Place(host="127.0.0.1", port=1), dict.fromkeys(paths, answer)) is None


def test_farthing_never_finds_itself_nor_another_of_its_kind() -> None:
    assert not look(answering(FARTHING))
    assert not look(answering(VLLM), own=0)


@pytest.mark.slow
def test_all_ports_together_take_one_budget() -> None:
    start = time.monotonic()
    found = look(*[answering(OLLAMA, delay_s=60.0)] * 4, answering(VLLM), budget_s=1.0)
    assert [server.kind for server in found.local] == ["vllm"]
    assert time.monotonic() - start < 20.0  # far below one delay, with room for a busy machine


def test_a_server_that_a_busy_machine_delays_is_asked_again() -> None:
    found = look(answering(VLLM, delay_s=0.5), budget_s=0.05, again_budget_s=30.0)
    assert [server.kind for server in found.local] == ["vllm"]


@pytest.mark.slow
def test_nobody_is_asked_again_where_somebody_was_found() -> None:
    asked = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(4))
        await asyncio.sleep(60)

    found = look(silent, answering(VLLM), budget_s=2.0, again_budget_s=30.0)
    assert [server.kind for server in found.local] == ["vllm"]
    assert len(asked) == 6  # one round of questions


def test_a_port_that_refuses_is_not_asked_again() -> None:
    began_s = time.monotonic()
    assert not asyncio.run(detect({}, own_port=-1, ports=(1, 2), again_budget_s=300.0))
    assert time.monotonic() - began_s < 60.0


def test_keys_are_found_as_the_sdks_name_them() -> None:
    found = look(env={"OPENAI_API_KEY": "sk-canary", "GOOGLE_API_KEY": "g", "GROQ_API_KEY": " "})
    assert [one.preset.name for one in found.hosted] == ["openai", "gemini"]
    assert found.hosted[0].api_key.value == "sk-canary" and "canary" not in repr(found)


def test_a_base_url_that_is_this_gateway_is_not_followed() -> None:
    env = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://localhost:8960/v1"}
    found = asyncio.run(detect(env, own_port=8960, ports=()))
    assert found.hosted[0].base_url == "https://api.openai.com/v1"
    assert "OPENAI_BASE_URL is this gateway" in found.notes[0]


@pytest.mark.parametrize("given", ["nonsense", "ftp://x/v1", "https://me:CANARY@x/v1", "http://x:port/v1"])
def test_an_address_in_the_environment_that_is_none_is_told_by_its_variable(given: str) -> None:
    found = look(env={"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": given, "GROQ_API_KEY": "g"})
    assert [one.preset.name for one in found.hosted] == ["groq"]
    (note,) = found.notes
    assert note.startswith("OPENAI_BASE_URL: ") and note.endswith("; openai is left out")
    assert "CANARY" not in note


def test_azure_needs_its_address() -> None:
    found = look(env={"AZURE_OPENAI_API_KEY": "k"})
    assert not found and "AZURE_OPENAI_ENDPOINT" in found.notes[0]
    env = {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://a.openai.azure.com"}
    chosen, lines = config_from(look(env=env), Listed("openai", {}))
    assert chosen.providers["azure"].auth == "api-key" and chosen.tiers == {}
    assert any("a deployment bears its owner's name" in line for line in lines)


def loaded_again(chosen: Config, env: Mapping[str, str]) -> Config:
    """A detected configuration is as good as a written one."""
    return config.loads(config.render(chosen), env)


def test_hosted_alone_gives_both_tiers_by_price() -> None:
    env = {"OPENAI_API_KEY": "sk-canary"}
    chosen, lines = config_from(look(env=env), Listed("openai", OPENAI))
    assert chosen.tiers["cheap"].targets == ("openai/gpt-5-nano",)
    assert chosen.tiers["expensive"].targets == ("openai/gpt-5.2",)
    assert loaded_again(chosen, env) == chosen
    text = "\n".join(lines)
    assert "found openai at https://api.openai.com/v1 (OPENAI_API_KEY)" in text and "canary" not in text
    assert lines.count("$/M is a blend: US dollars per million tokens, three of input to one of output") == 1
    assert (
        "cheap = openai/gpt-5-nano ($0.14/M): lowest price" in text and "expensive = openai/gpt-5.2" in text
    )


def test_local_models_become_the_cheap_tier_beside_a_hosted_provider() -> None:
    env = {"OPENAI_API_KEY": "k"}
    chosen, lines = config_from(look(answering(OLLAMA), env=env), Listed("openai", OPENAI))
    assert chosen.tiers["cheap"].targets == ("ollama/qwen3:4b", "ollama/qwen3:14b")
    assert chosen.tiers["expensive"].targets == ("openai/gpt-5.2",)
    assert {price.target: price.input for price in chosen.prices} == {
        "ollama/qwen3:4b": 0,
        "ollama/qwen3:14b": 0,
        "ollama/nomic-embed-text:latest": 0,  # to be asked for embeddings by name
    }
    assert any("counted as 0 (electricity is not known)" in line for line in lines)
    assert loaded_again(chosen, env) == chosen


def test_local_models_alone_are_both_tiers_small_first_and_large_first() -> None:
    chosen, lines = config_from(look(answering(OLLAMA)), Listed("openai", {}))
    assert not any("blend" in line for line in lines), "no price is shown"
    assert chosen.tiers["cheap"].targets == ("ollama/qwen3:4b", "ollama/qwen3:14b")
    assert chosen.tiers["expensive"].targets == ("ollama/qwen3:14b", "ollama/qwen3:4b")
    assert loaded_again(chosen, {}) == chosen


def test_two_servers_of_a_kind_have_two_names() -> None:
    chosen, _ = config_from(look(answering(VLLM), answering(VLLM)), Listed("openai", {}))
    assert len(chosen.providers) == 2 and len(chosen.tiers["cheap"].targets) == 2
    assert loaded_again(chosen, {}) == chosen


def test_a_server_without_a_chat_model_is_noted_and_not_used() -> None:
    found = look(answering(OLLAMA | {"/api/tags": {"models": []}}))
    assert not found and "has no chat model yet" in found.notes[0]
    assert LocalModel("x").size_bytes == 0


# -- where Ollama is ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "base_url"),
    [
        ("myhost", "http://myhost:11434/v1"),
        ("127.0.0.1:9999", "http://127.0.0.1:9999/v1"),
        (":9999", "http://127.0.0.1:9999/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0:80", "http://127.0.0.1:80/v1"),
        ("http://0.0.0.0:11434/", "http://127.0.0.1:11434/v1"),
        ("http://example.com", "http://example.com:80/v1"),
        ("https://example.com", "https://example.com:443/v1"),
        ("https://example.com/ollama/", "https://example.com:443/ollama/v1"),
        ("http://host:11434/v1", "http://host:11434/v1"),
        ("http://host:11434/api", "http://host:11434/v1"),
        ("HTTP://Host", "http://host:80/v1"),
        ("[::1]", "http://[::1]:11434/v1"),
        ("[::1]:99", "http://[::1]:99/v1"),
        ("::1", "http://[::1]:11434/v1"),
        ("[::]:11434", "http://[::1]:11434/v1"),
        ("http://[fd00::2]:11434", "http://[fd00::2]:11434/v1"),
    ],
)
def test_ollama_host_is_read_as_ollama_reads_it(given: str, base_url: str) -> None:
    assert ollama_place(given).base_url == base_url


@pytest.mark.parametrize(
    "given", ["ftp://host", "http://user:pw@host", "host:99999", "host:port", "a b", "[::1"]
)
def test_an_ollama_host_that_is_no_address_is_noted_and_left_out(given: str) -> None:
    found = look(env={"OLLAMA_HOST": given})
    assert not found and "OLLAMA_HOST is left out" in found.notes[0]


def test_whose_machine_a_server_is_on_is_known_by_its_address() -> None:
    def place(host: str) -> Place:
        return Place(host=host, port=1)

    assert all(place(host).here for host in ("127.0.0.1", "localhost", "::1", "host.docker.internal"))
    near = ("192.168.1.5", "10.0.0.1", "fd00::2", "gpu-box", "gpu.local", "gpu.lan")
    assert all(place(host).near and not place(host).here for host in near)
    assert not any(place(host).near for host in ("8.8.8.8", "gpu.example.com", "2606:4700::1"))


def test_a_server_on_another_machine_is_said_to_be_and_free_only_where_it_is_ones_own() -> None:
    def told(host: str) -> tuple[Config, str]:
        server = recognise(Place(host=host, port=11434), OLLAMA)
        assert server is not None
        chosen, lines = config_from(Found(local=(server,)), Listed("openai", {}))
        return chosen, "\n".join(lines)

    chosen, text = told("192.168.1.5")
    assert "not this machine" in text and "your own servers, counted as 0" in text and chosen.prices
    chosen, text = told("gpu.example.com")
    assert "no known price" in text and not chosen.prices
    assert chosen.tiers["cheap"].targets == ("ollama/qwen3:4b", "ollama/qwen3:14b")
    chosen, text = told("ollama.com")
    assert "runs at ollama.com: prompts leave this machine" in text and not chosen.tiers and not chosen.prices


def test_another_server_behind_the_address_of_a_provider_gives_its_first_chat_model() -> None:
    async def ask(hosted: Hosted) -> Said:
        return Said(models=("my-embedder", "my-embed-2", "my-chat", "other-chat"))

    found = asyncio.run(detect({"OPENAI_API_KEY": "k"}, own_port=1, ports=(), ask=ask))
    chosen, lines = config_from(found, Listed("openai", OPENAI))
    assert {tier.targets for tier in chosen.tiers.values()} == {("openai/my-chat",)}
    chosen_lines = [line for line in lines if "openai/my-chat (price unknown)" in line]
    assert len(chosen_lines) == 2 and not any("lowest" in one or "flagship" in one for one in chosen_lines)
    assert all("no price is known to choose by" in line for line in chosen_lines)
    assert any("both tiers ask openai/my-chat first" in line for line in lines)


def test_what_is_chosen_by_price_alone_is_not_called_a_flagship() -> None:
    async def ask(hosted: Hosted) -> Said:
        return Said(models=("gpt-4o-mini", "gpt-4o"))

    found = asyncio.run(detect({"OPENAI_API_KEY": "k"}, own_port=1, ports=(), ask=ask))
    _, lines = config_from(found, Catalogue.load())
    (cheap,) = (line for line in lines if line.startswith("cheap = "))
    (expensive,) = (line for line in lines if line.startswith("expensive = "))
    assert "openai/gpt-4o-mini ($" in cheap and cheap.endswith(": lowest price of the chat models")
    assert "openai/gpt-4o ($" in expensive and "the flagship of each" not in expensive
    assert not any("both tiers ask" in line for line in lines)


# -- what chats ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "chats"),
    [
        ({"capabilities": ["embedding"], "details": {"family": "qwen3"}}, False),
        ({"capabilities": ["completion", "tools"], "details": {"family": "bert"}, "name": "my-embed"}, True),
        ({"capabilities": ["completion", "embedding"]}, True),
        ({"capabilities": ["vision"], "details": {"family": "llama"}}, True),
        ({"capabilities": []}, True),
        ({"capabilities": "completion", "name": "bge"}, True),
        ({"capabilities": 7}, True),
        ({"details": {"family": "bert"}}, False),
        ({"details": {"family": "nomic-bert-moe"}}, False),
        ({"details": {"family": "XLM-RoBERTa"}}, False),
        ({"details": {"family": "llama", "families": ["llama", "clip"]}}, True),
        ({"details": {"family": "", "families": ["clip"]}}, False),
        ({"details": {"families": None, "family": None}, "name": "nomic-embed"}, False),
        ({"details": "bert"}, True),
        ({"type": "embeddings"}, False),
        ({"type": "vlm", "name": "embed"}, True),
        ({"type": "llm", "arch": "bert"}, True),
        ({"arch": "nomic-bert"}, False),
        ({"task": "embed"}, False),
        ({"name": "eclipse-chat:7b", "details": {"family": "qwen3"}}, True),
    ],
)
def test_the_surest_thing_that_is_said_of_a_model_decides_whether_it_chats(
    item: dict[str, Any], chats: bool
) -> None:
    assert chats_by({"name": "some-model", **item}) is chats


def tagged(*items: dict[str, Any]) -> Mapping[str, Any]:
    tags = [{"model": item["name"], "digest": "ab", "size": 1, **item} for item in items]
    return {"/api/version": {"version": "0.12"}, "/api/tags": {"models": tags}}


@pytest.mark.parametrize(
    ("item", "runs_at"),
    [
        ({"name": "gpt-oss:120b-cloud", "remote_host": "https://ollama.com:443"}, "ollama.com"),
        ({"name": "mine", "remote_host": "https://Other.example", "remote_model": "x"}, "other.example"),
        ({"name": "mine", "remote_host": "other.example:8080"}, "other.example"),
        ({"name": "mine", "remote_model": "gpt-oss:120b"}, "ollama.com"),
        ({"name": "kimi-k2:cloud"}, "ollama.com"),
        ({"name": "Qwen3-Coder:480b-CLOUD"}, "ollama.com"),
        ({"name": "mine", "remote_host": "", "remote_model": ""}, ""),
        ({"name": "cloud-chat:7b"}, ""),
        ({"name": "stratocloud:7b"}, ""),
        ({"name": "mine", "remote_host": 7}, ""),
    ],
)
def test_where_a_model_of_ollama_runs_is_known_by_each_sign(item: dict[str, Any], runs_at: str) -> None:
    server = recognise(Place(host="127.0.0.1", port=1), tagged(item))
    assert server is not None
    (model,) = (*server.models, *server.cloud)
    assert model.runs_at == runs_at and bool(server.cloud) is bool(runs_at)


def test_what_runs_elsewhere_is_in_no_tier_has_no_price_and_can_be_named() -> None:
    cloud = {"name": "gpt-oss:120b-cloud", "size": 384, "remote_host": "https://ollama.com"}
    chosen, lines = config_from(
        look(answering(tagged(cloud, {"name": "qwen3:4b", "size": 2_600_000_000}))), Listed("openai", {})
    )
    assert {name: tier.targets for name, tier in chosen.tiers.items()} == {
        "cheap": ("ollama/qwen3:4b",),
        "expensive": ("ollama/qwen3:4b",),
    }
    assert [price.target for price in chosen.prices] == ["ollama/qwen3:4b"]
    assert chosen.providers["ollama"].models == ("qwen3:4b", "gpt-oss:120b-cloud")
    assert any("prompts leave this machine" in line for line in lines)
    assert loaded_again(chosen, {}) == chosen


def test_a_server_with_models_of_the_cloud_alone_gives_no_tier() -> None:
    found = look(answering(tagged({"name": "gpt-oss:120b-cloud"})))
    chosen, lines = config_from(found, Listed("openai", {}))
    assert found and not chosen.tiers and not chosen.prices
    assert any("no tier" in line for line in lines)


def test_what_ollama_shows_of_a_model_decides_and_one_that_shows_late_is_judged_by_its_name() -> None:
    async def shows(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        pages: dict[str, Any] = dict(tagged({"name": "a"}, {"name": "late-embed"}, {"name": "late"}))
        if path == "/api/show":
            asked_for = json.loads(await reader.read(1_000))["model"]
            if asked_for != "a":
                await asyncio.sleep(60)
            pages[path] = {"capabilities": ["embedding"]}
        body = json.dumps(pages.get(path)).encode()
        status = b"200 OK" if path in pages else b"404 No"
        writer.write(b"HTTP/1.0 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))
        writer.close()

    start = time.monotonic()
    (server,) = look(shows, budget_s=0.3).local
    assert [model.name for model in server.models] == ["late"]
    assert server.silent == ("a", "late-embed")
    assert time.monotonic() - start < 30.0


def test_llama_server_says_by_capabilities_which_model_embeds() -> None:
    pages = LLAMA_SERVER | {
        "/v1/models": {
            "models": [{"name": "m.gguf", "model": "m.gguf", "capabilities": ["embedding"]}],
            "data": [{"id": "m.gguf", "owned_by": "llamacpp"}],
        }
    }
    server = recognise(Place(host="127.0.0.1", port=1), pages)
    assert server is not None and (server.models, server.silent) == ((), ("m.gguf",))


# -- what a provider says it has ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "models"),
    [
        (b'{"object":"list","data":[{"id":"a"},{"id":"b"}]}', ("a", "b")),
        (b'{"data":[{"id":"models/gemini-2.5-flash"}]}', ("gemini-2.5-flash",)),
        (b'[{"id":"a"}]', ("a",)),
        (b'{"data":[{"id":"a"},{"id":"a"},{"id":7},null,{"name":"x"},{"id":" "},{"id":"x\\u0000"}]}', ("a",)),
        (b'{"data":{}}', ()),
        (b"null", ()),
        (b"<html>", ()),
        (b"\xff\xfe", ()),
        (b"", ()),
    ],
)
def test_a_list_of_models_is_read_for_what_is_a_name_in_it(body: bytes, models: tuple[str, ...]) -> None:
    said = said_by(body)
    assert said.models == models and bool(said.why) is not bool(models)


def test_each_provider_is_asked_and_one_that_refuses_the_key_is_in_no_tier() -> None:
    async def ask(hosted: Hosted) -> Said:
        if hosted.preset.name == "groq":
            return Said(refused=True, why="401")
        return Said(models=("gpt-5-mini", "gpt-5"))

    env = {"OPENAI_API_KEY": "k", "GROQ_API_KEY": "g"}
    found = asyncio.run(detect(env, own_port=1, ports=(), ask=ask))
    refused = (
        "GROQ_API_KEY was refused (401) by groq at https://api.groq.com/openai/v1, which is in no tier: set"
    )
    assert any(note.startswith(refused) for note in found.notes)
    chosen, _ = config_from(found, Listed("openai", OPENAI))
    assert chosen.tiers["cheap"].targets == ("openai/gpt-5-mini",)
    assert chosen.tiers["expensive"].targets == ("openai/gpt-5",)
    assert chosen.providers["openai"].models == ("gpt-5-mini", "gpt-5")
    assert loaded_again(chosen, env) == chosen


def test_a_list_of_googles_is_read_without_what_cannot_be_asked_here() -> None:
    listed = {
        "models": [
            {"name": "models/gemini-x", "supportedGenerationMethods": ["generateContent", "countTokens"]},
            {"name": "models/embedding-x", "supportedGenerationMethods": ["embedContent"]},
            {"name": "models/veo-x", "supportedGenerationMethods": ["predictLongRunning"]},
            {"name": 7},
        ],
        "nextPageToken": "x",
    }
    assert said_by(json.dumps(listed).encode()).models == ("gemini-x", "embedding-x")
    at_vertex = {"publisherModels": [{"name": "publishers/google/models/gemini-x", "versionId": "1"}]}
    assert said_by(json.dumps(at_vertex).encode()).models == ("gemini-x",)
