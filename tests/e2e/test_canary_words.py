"""Keys in every field that is a client's own word, and a prompt, while all goes well: nothing kept, shown
or counted has one of them, but where prompts are kept at rest."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.gateway import Reply, Running, running, until
from tests.e2e.test_canaries import CLIENT, NAMED, OPERATOR, OTHER, OURS, SECRETS, clean, command
from tests.faults.provider import FaultProvider

from farthing.config import AdminConfig, key_digest
from farthing.edge.operators.listener import Admin
from farthing.edge.routes import ROUTES
from farthing.stores.responses.bounds import Bounds
from farthing.stores.responses.memory import MemoryResponses
from farthing.wiring.build import operators_parts

NO_RESPONSES = MemoryResponses(Bounds(responses_max=1, bytes_max=1, response_bytes_max=1))
PROMPT = "canaryprompt how do I reset the password of Ottoline Farquharson"
ALIKE = "canaryprompt how do I reset the password of Ottoline Farquharson, please"
AT_REST = ("semantic.db", "cache.db")  # with their `-wal`, `-shm` and `.index`
NOT_OURS = ("farthing.toml", "gateway.log")
WHOLE_BODIES = "semantic.db"  # keeps bodies as they came, to ask again: their fields included
KEYS = [OURS, OTHER, CLIENT, NAMED, OPERATOR]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("words")


@pytest.fixture(scope="module")
def gateway(folder: Path, upstream: FaultProvider) -> Iterator[Running]:
    config = f"""
[log]
level = "debug"
[admin]
port = 0
key = "${{OPERATOR}}"
[brain]
timeout_s = 5.0
[cache.store]
kind = "sqlite"
[[keys]]
tenant = "t"
digest = "{key_digest(CLIENT)}"
[[keys]]
tenant = "named"
key = "${{NAMED}}"
[providers.a]
base_url = "{upstream.base_url}"
api_key = "${{OURS}}"
[providers.b]
base_url = "{upstream.base_url}"
api_key = "${{OTHER}}"
[tiers.cheap]
targets = ["a/first"]
[tiers.expensive]
targets = ["b/good"]
[[prices]]
target = "a/first"
input = 1
output = 2
[endpoints.faq.cache.semantic]
mode = "on"
threshold = 0.6
audit_share = 0.000001
[endpoints.plain]
"""
    env = {"OURS": OURS, "OTHER": OTHER, "OPERATOR": OPERATOR, "NAMED": NAMED}
    with running(config, folder, env) as started:
        until(lambda: started.metric("farthing_semantic_ready") == 1)
        yield started


def headers_of(reply: Reply) -> str:
    return json.dumps(reply.headers)


def with_words(gateway: Running, key: str) -> list[Reply]:
    """One request for each field that a client fills as it likes, `key` in it."""
    bearer = {"authorization": f"Bearer {CLIENT}"}
    asked = [{"role": "user", "content": "hello"}]
    named = [
        {"x-farthing-session": key},
        {"x-farthing-session": f"of {key}, the second"},
        {"x-farthing-task": key},
        {"x-farthing-documents": f"{key}@{key}, other"},
        {"x-farthing-endpoint": key},
        {"x-request-id": key, "user-agent": key, "x-stainless-retry-count": key, "cookie": key},
        {"cache-control": key, "referer": f"https://x.example/{key}", "accept-language": key},
    ]
    replies = [
        gateway.chat(f"{PROMPT} {number}", model=model, headers=bearer | more)
        for number, more in enumerate(named)
        for model in ("farthing/faq", "farthing/plain", "auto")
    ]
    body = {"model": "farthing/faq", "messages": asked}
    fields: list[dict[str, Any]] = [
        {"user": key},
        {"user": {"id": key}},
        {"metadata": {"tag": key, key: "x"}},
        {"safety_identifier": key, "prompt_cache_key": key},
        {"model": key},
        {"model": f"a/{key}"},
        {"model": f"farthing/{key}"},
        {"stop": key},
        {"temperature": key},
    ]
    replies += [gateway.post("/v1/chat/completions", {**body, **more}, bearer) for more in fields]
    twice = f'{{"model": "auto", "messages": [], "{key}": 1, "{key}": 2}}'.encode()
    replies.append(
        gateway.request("POST", "/v1/chat/completions", twice, bearer | {"content-type": "application/json"})
    )
    replies.append(
        gateway.post("/v1/embeddings", {"model": "auto", "input": "x", "user": key}, bearer | named[0])
    )
    asks: list[dict[str, Any]] = [
        {"user_id": key},
        {"task_type": key},
        {"metadata": {"session": key}},
        {"metadata": {"language": key}},
        {"metadata": {"documents": [key, f"{key}@2"]}},
        {"metadata": {"tenant": key}},
        {"metadata": {"endpoint": key}},
        {"metadata": {"flags": [key]}},
        {"metadata": {key: key}},
        {key: key},
    ]
    replies += [gateway.post("/v1/ask", {"text": "hello", **more}, bearer) for more in asks]
    replies.append(gateway.post("/llm-inference", {"prompt": "hello", "model_tier": key}, bearer))
    replies.append(gateway.post("/v1/feedback", {"request_id": key, "thumb": "up"}, bearer))
    replies.append(gateway.request("GET", f"/v1/models/{key}?q={key}", headers=bearer))
    return replies


def operators(gateway: Running, path: str, key: str = OPERATOR) -> Reply:
    port = re.search(r"s at 127\.0\.0\.1:(\d+)", gateway.logged())  # `operator` is a part of its key
    assert port is not None
    found = Running(gateway.process, int(port[1]), gateway.state, gateway.config, gateway.log)
    return found.request("GET", path, headers={"authorization": f"Bearer {key}"})


@pytest.mark.slow
def test_nothing_shows_a_key_that_came_as_somebodys_word_or_a_prompt_that_was_answered(
    gateway: Running, folder: Path
) -> None:
    bearer = {"authorization": f"Bearer {CLIENT}"}
    answered = [gateway.chat(text, model="farthing/faq", headers=bearer) for text in (PROMPT, PROMPT)]
    until(lambda: gateway.metric("farthing_semantic_entries") >= 1)
    answered.append(gateway.chat(ALIKE, model="farthing/faq", headers=bearer))
    assert [one.headers["x-farthing-cache"] for one in answered] == ["miss", "exact", "semantic"]
    for stream in (False, True):
        answered.append(gateway.chat(PROMPT, model="farthing/plain", headers=bearer, stream=stream))
    for reply in answered:
        assert reply.status == 200
        clean(headers_of(reply), "headers")
    for key in KEYS:
        replies = with_words(gateway, key)
        assert {200, 400, 404} <= {reply.status for reply in replies}
        for reply in replies:
            clean(headers_of(reply), f"headers of {reply.status}")
    shown(gateway)
    kept(gateway, folder)


def shown(gateway: Running) -> None:
    """Whatever is asked with GET, of clients and of operators."""
    bearer = {"authorization": f"Bearer {CLIENT}"}
    for path, methods in ROUTES.items():
        if b"GET" in methods:
            clean(gateway.request("GET", path, headers=bearer).body.decode(), path)
    for _, path, taken, _ in Admin(
        AdminConfig(), operators_parts(lambda: None, NO_RESPONSES, NO_RESPONSES)
    ).mounted():
        reply = operators(gateway, path)
        assert (reply.status == 200) == ("GET" in taken)
        clean(headers_of(reply) + reply.body.decode(), path)
        clean(operators(gateway, path, "wrong").body.decode(), f"{path} without its key")
    for path in ("/", "/metrics", f"/admin/cache?{OURS}"):
        clean(headers_of(operators(gateway, path)) + operators(gateway, path).body.decode(), path)


def kept(gateway: Running, folder: Path) -> None:
    """Logs, files, and whatever is made of them."""
    clean(gateway.logged(), "the log")
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name not in NOT_OURS and not file.name.startswith(WHOLE_BODIES):
            rests = file.name.startswith(AT_REST)
            clean(file.read_bytes().decode("latin-1"), str(file), prompt=not rests)
    ledger = ["--ledger", str(gateway.state / "ledger")]
    receipts = gateway.receipts()
    assert [one for one in receipts if one.session and one.status == 200]
    assert [one for one in receipts if one.status >= 400]
    for words in ([], ["--failed"], ["--by", "user,tenant,key"], ["--by", "model"], ["--json"]):
        clean(command(folder, "report", *words, *ledger), f"report {words}")
    for receipt in receipts[:: max(1, len(receipts) // 30)]:
        clean(command(folder, "explain", receipt.request_id, *ledger), "explain")


def test_sessions_that_are_keys_still_tell_one_from_another(gateway: Running) -> None:
    bearer = {"authorization": f"Bearer {CLIENT}"}
    found = [
        gateway.receipt_of(
            gateway.chat("who", model="farthing/plain", headers=bearer | {"x-farthing-session": session})
        ).session
        for session in (OURS, OURS, OTHER, "a session of words")
    ]
    assert found[0] == found[1] != found[2] and found[3] == "a session of words"
    assert len({*found}) == 3 and len(SECRETS) == 6
