"""What a key may ask for, and buy: its own lists, those of its endpoint, and what providers pass through."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import COMMAND, ROOT, Reply, Running
from tests.faults.provider import FaultProvider

from farthing.config import key_digest

CONFIG = """
[providers.a]
base_url = "{url}"
models = ["good-listed"]
[providers.open]
base_url = "{url}"
pass_through = true
[tiers.cheap]
targets = ["a/good-cheap", "a/good-spare"]
[tiers.expensive]
targets = ["a/good-expensive"]
[tiers.embedding]
targets = ["a/text-embedding-good"]
[aliases]
fast = "cheap"
best = "a/good-expensive"
smart = "auto"
help = "farthing/support"
vip = "farthing/gold"
[[prices]]
target = "a/good-priced"
input = 1
output = 2
[[route.rules]]
when = "input_tokens > 20"
tier = "expensive"
[endpoints.support]
tier = "cheap"
[endpoints.gold]
tier = "expensive"
[endpoints.rules]
[endpoints.listed]
models = ["a/good-expensive", "a/good-un*"]
[endpoints.quick]
[endpoints.quick.cascade]
first = "cheap"
then = "expensive"
streams = "skip"
[[endpoints.quick.cascade.checks]]
kind = "regex"
pattern = "never said"
[endpoints.careful]
[endpoints.careful.cascade]
first = "cheap"
then = "expensive"
[[endpoints.careful.cascade.checks]]
kind = "regex"
pattern = "never said"
"""
KEYS = {
    "free": "",
    "bound": 'endpoint = "support"',
    "bound-more": 'endpoint = "support"\nmodels = ["*"]',
    "cheap": 'tiers = ["cheap"]',
    "named": 'models = ["auto", "best", "open/*"]',
    "bare": 'models = ["good-expensive"]',
    "only": 'models = ["a/good-secret"]',
    "at-listed": 'endpoint = "listed"',
    "embeds": 'tiers = ["cheap", "embedding"]',
    "both": 'tiers = ["cheap"]\nmodels = ["a/good-expensive"]',
}
LONG = "a question of many words that the rules take for a hard one, so that it goes to the expensive tier"


def configured(url: str) -> str:
    keys = "".join(
        f'[[keys]]\ntenant = "{name}"\ndigest = "{key_digest(f"sk-{name}")}"\n{more}\n'
        for name, more in KEYS.items()
    )
    return CONFIG.format(url=url) + keys


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(configured(upstream.base_url))


def bearer(key: str, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer sk-{key}"} | {
        name.replace("_", "-"): value for name, value in more.items()
    }


def ask(gateway: Running, key: str, model: str, text: str = "short", **headers: str) -> Reply:
    return gateway.chat(f"{text} {key} {model} {headers}", model=model, headers=bearer(key, **headers))


@pytest.mark.parametrize(
    ("key", "model", "target"),
    [
        ("free", "expensive", "a/good-expensive"),
        ("free", "a/good-priced", "a/good-priced"),
        ("free", "a/good-listed", "a/good-listed"),
        ("free", "open/good-unheard-of", "open/good-unheard-of"),
        ("free", "A/GOOD-CHEAP", "a/good-cheap"),
        ("bound", "auto", "a/good-cheap"),
        ("bound", "smart", "a/good-cheap"),
        ("bound", "help", "a/good-cheap"),
        ("bound", "farthing/support", "a/good-cheap"),
        ("bound", "cheap", "a/good-cheap"),
        ("bound", "fast", "a/good-cheap"),
        ("bound", "good-spare", "a/good-spare"),
        ("bound-more", "a/good-cheap", "a/good-cheap"),
        ("cheap", "auto", "a/good-cheap"),
        ("cheap", "farthing/rules", "a/good-cheap"),
        ("cheap", "help", "a/good-cheap"),
        ("cheap", "FAST", "a/good-cheap"),
        ("named", "best", "a/good-expensive"),
        ("named", "a/good-expensive", "a/good-expensive"),
        ("named", "auto", "a/good-expensive"),
        ("named", "open/good-anything", "open/good-anything"),
        ("bare", "a/good-expensive", "a/good-expensive"),
        ("bare", "good-expensive", "a/good-expensive"),
        ("only", "a/good-secret", "a/good-secret"),
        ("at-listed", "auto", "a/good-expensive"),
        ("at-listed", "a/good-unlisted", "a/good-unlisted"),
        ("both", "a/good-expensive", "a/good-expensive"),
        ("both", "auto", "a/good-cheap"),
    ],
)
def test_what_a_key_may_ask_for_is_answered(gateway: Running, key: str, model: str, target: str) -> None:
    reply = ask(gateway, key, model, LONG)
    assert reply.status == 200, reply.body
    assert reply.headers["x-farthing-model"] == target


@pytest.mark.parametrize(
    ("key", "model", "headers"),
    [
        ("bound", "expensive", {}),
        ("bound", "EXPENSIVE", {}),
        ("bound", "a/good-expensive", {}),
        ("bound", "good-expensive", {}),
        ("bound", "best", {}),
        ("bound", "vip", {}),
        ("bound", "farthing/gold", {}),
        ("bound", "auto", {"x_farthing_endpoint": "gold"}),
        ("bound", "a/good-listed", {}),
        ("bound", "open/good-unheard-of", {}),
        ("bound", "A/Good-Expensive", {}),
        ("bound", "models/good-expensive", {}),
        ("bound-more", "expensive", {}),
        ("cheap", "expensive", {}),
        ("cheap", "best", {}),
        ("cheap", "vip", {}),
        ("cheap", "auto", {"x_farthing_endpoint": "gold"}),
        ("cheap", "smart", {"x_farthing_endpoint": "vip"}),
        ("cheap", "open/good-unheard-of", {}),
        ("named", "expensive", {}),
        ("named", "auto", {"x_farthing_endpoint": "gold"}),
        ("named", "farthing/support", {}),
        ("named", "a/good-cheap", {}),
        ("bare", "auto", {}),
        ("only", "a/good-secret2", {}),
        ("at-listed", "a/good-cheap", {}),
        ("at-listed", "expensive", {}),
        ("free", "a/good-cheap", {"x_farthing_endpoint": "listed"}),
    ],
)
def test_what_a_key_may_not_ask_for_is_refused_and_not_called(
    gateway: Running, upstream: FaultProvider, key: str, model: str, headers: dict[str, str]
) -> None:
    text = f"{LONG} refused"
    reply = ask(gateway, key, model, text, **headers)
    assert reply.status == 403, reply.body
    assert reply.error["code"] == "permission_denied"
    assert reply.error["param"] == "model" or (headers and reply.error["param"] == "x-farthing-endpoint")
    assert not [call for call in upstream.calls if text in str(call.body) and key in str(call.body)]
    if key == "at-listed" or headers.get("x_farthing_endpoint") == "listed":
        assert gateway.receipt_of(reply).endpoint == "listed"
    embedded = gateway.post("/v1/embeddings", {"model": model, "input": "x"}, bearer(key, **headers))
    assert embedded.status in (403, 404), embedded.body


def test_a_refusal_says_what_may_be_asked_for_and_nothing_else(gateway: Running) -> None:
    message = ask(gateway, "bound", "expensive").error["message"]
    assert "may ask for: " in message and "cheap" in message and "farthing/support" in message
    told = message.partition("may ask for: ")[2]
    assert "expensive" not in told and "gold" not in told and "vip" not in told
    assert ask(gateway, "bound", "no-such-model").error["message"].partition("may ask for: ")[2] == told
    assert "open/*" in ask(gateway, "named", "cheap").error["message"]


@pytest.mark.parametrize(("key", "model"), [("cheap", "auto"), ("cheap", "smart"), ("named", "auto")])
def test_a_refusal_of_an_endpoint_that_a_header_names_is_of_that_endpoint(
    gateway: Running, key: str, model: str
) -> None:
    """The name that leaves the choice to us may be asked for, without the header."""
    error = ask(gateway, key, model, x_farthing_endpoint="gold").error
    refused, _, told = error["message"].partition("it may ask for: ")
    assert "`farthing/gold`" in refused and error["param"] == "x-farthing-endpoint"
    assert "farthing/gold" not in told and "auto" in told
    embedded = gateway.post(
        "/v1/embeddings", {"model": model, "input": "x"}, bearer(key, x_farthing_endpoint="gold")
    )
    assert "`farthing/gold`" in embedded.error["message"]


@pytest.mark.parametrize("model", ["a/good-unheard-of", "A/good-unheard-of", "no-such-model"])
def test_a_name_that_nothing_knows_is_not_passed_through(gateway: Running, model: str) -> None:
    for path, body in (
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
        ("/v1/embeddings", {"input": "x"}),
    ):
        reply = gateway.post(path, {"model": model, **body}, bearer("free"))
        assert (reply.status, reply.error["code"]) == (404, "model_not_found"), model


def test_the_tier_of_an_inference_is_bound_too(gateway: Running) -> None:
    def infer(key: str, tier: str | None) -> Reply:
        body = {"prompt": f"{LONG} {key} {tier}"} | ({} if tier is None else {"model_tier": tier})
        return gateway.post("/llm-inference", body, bearer(key))

    for key in ("bound", "cheap", "both"):
        assert infer(key, "cheap").json["model"] == "a/good-cheap"
        assert infer(key, None).json["model"] == "a/good-cheap"
        refused = infer(key, "expensive")
        assert (refused.status, refused.error["param"]) == (403, "model_tier")
        assert "it may ask for: cheap" in refused.error["message"]
    assert infer("named", "cheap").status == 403
    assert infer("free", "expensive").status == 200


def test_the_endpoint_of_an_ask_is_bound_too(gateway: Running) -> None:
    def put(key: str, endpoint: str) -> Reply:
        return gateway.post(
            "/v1/ask", {"text": f"{LONG} {key}", "metadata": {"endpoint": endpoint}}, bearer(key)
        )

    assert put("bound", "support").json["model"] == "a/good-cheap"
    assert put("cheap", "rules").json["model"] == "a/good-cheap"
    for key in ("bound", "cheap", "named"):
        for endpoint in ("gold", "vip"):
            assert put(key, endpoint).status == 403


def test_an_escalation_that_the_operator_configured_goes_on(gateway: Running) -> None:
    reply = ask(gateway, "cheap", "farthing/careful", LONG)
    assert reply.status == 200
    assert [one.target for one in gateway.receipt_of(reply).attempts] == ["a/good-cheap", "a/good-expensive"]


@pytest.mark.parametrize("model", ["auto", "fast", "FAST", "farthing/quick"])
def test_a_stream_that_is_not_checked_stays_in_the_tiers_of_its_key(gateway: Running, model: str) -> None:
    """Where a cascade checks no streams they go to its second tier, though nothing has doubted the first."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": f"{LONG} streamed"}]}
    reply = gateway.post("/v1/chat/completions", body, bearer("cheap", x_farthing_endpoint="quick"))
    assert reply.status == 200 and gateway.receipt_of(reply).target == "a/good-cheap"
    free = gateway.post("/v1/chat/completions", body, bearer("free", x_farthing_endpoint="quick"))
    dear = model in ("auto", "farthing/quick")
    assert gateway.receipt_of(free).target == ("a/good-expensive" if dear else "a/good-cheap")


@pytest.mark.parametrize("model", ["sk-both", "a/sk-both", "sk-both:free"])
def test_a_key_in_place_of_a_model_is_written_nowhere(gateway: Running, model: str) -> None:
    reply = ask(gateway, "free", model, LONG)
    assert reply.status == 400 and reply.error["param"] == "model"
    assert "sk-both" not in reply.body.decode()


@pytest.mark.parametrize("field", ["models", "fallbacks"])
def test_a_limited_key_names_no_further_models(gateway: Running, field: str) -> None:
    """Some providers answer with another model of such a list where the first cannot."""
    body = {"model": "auto", field: ["good-expensive"], "messages": [{"role": "user", "content": LONG}]}
    reply = gateway.post("/v1/chat/completions", body, bearer("cheap"))
    assert reply.status == 403 and reply.error["param"] == field
    assert gateway.post("/v1/chat/completions", body, bearer("free")).status == 200


def test_answers_of_a_limited_choice_are_not_those_of_a_free_one(gateway: Running) -> None:
    """Two keys of one tenant share a cache, and a cheap answer must not stand in for a dear one."""
    body = {"model": "farthing/rules", "messages": [{"role": "user", "content": f"{LONG} shared"}]}
    first = gateway.post("/v1/chat/completions", body, bearer("cheap"))
    again = gateway.post("/v1/chat/completions", body, bearer("cheap"))
    assert [one.headers["x-farthing-cache"] for one in (first, again)] == ["miss", "exact"]


def listed(gateway: Running, key: str) -> list[str]:
    return [one["id"] for one in gateway.request("GET", "/v1/models", headers=bearer(key)).json["data"]]


@pytest.mark.parametrize("key", KEYS)
def test_exactly_what_may_be_asked_for_is_listed(gateway: Running, key: str) -> None:
    names = listed(gateway, key)
    assert names
    for name in names:
        path = "/v1/chat/completions"
        body: dict[str, Any] = {"messages": [{"role": "user", "content": f"{key} {name}"}]}
        if "embedding" in name:
            path, body = "/v1/embeddings", {"input": f"{key} {name}"}
        reply = gateway.post(path, {"model": name, **body}, bearer(key))
        assert reply.status == 200, (name, reply.body)
        one = gateway.request("GET", f"/v1/models/{name}", headers=bearer(key))
        assert one.status == 200 and one.json["id"] == name
    for name in set(listed(gateway, "free")) - set(names):
        assert gateway.request("GET", f"/v1/models/{name}", headers=bearer(key)).status == 404
        assert gateway.chat("unlisted", model=name, headers=bearer(key)).status in (403, 404), name


def test_without_keys_anything_is_passed_through(
    start_gateway: StartGateway, upstream: FaultProvider
) -> None:
    gateway = start_gateway(f'[providers.a]\nbase_url = "{upstream.base_url}"\n')
    assert gateway.chat("x", model="a/good-unheard-of").headers["x-farthing-model"] == "a/good-unheard-of"
    shut = f'[providers.a]\nbase_url = "{upstream.base_url}"\npass_through = false\n'
    assert start_gateway(shut).chat("x", model="a/good-unheard-of").status == 404


def check(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "farthing.toml"
    file.write_text(text)
    return subprocess.run(
        [*COMMAND[:-1], "check", str(file)], capture_output=True, text=True, cwd=ROOT, env=dict(os.environ)
    )


def test_check_warns_of_what_clients_may_rely_on(tmp_path: Path) -> None:
    key = f'[[keys]]\ntenant = "t"\ndigest = "{key_digest("sk")}"\n'
    provider = '[providers.a]\nbase_url = "http://127.0.0.1:9/v1"\n'
    tiers = '[tiers.cheap]\ntargets = ["a/m"]\n[tiers.expensive]\ntargets = ["a/n"]\n'
    bound = f'{key}endpoint = "support"\n{tiers}[endpoints.support]\ntier = "cheap"\n'
    said = check(bound + provider, tmp_path).stderr
    assert "providers.a.pass_through: with [[keys]]" in said and "404" in said
    assert "keys[0].endpoint: this key may use no tier but cheap" in said and "403" in said
    meant = bound + 'tiers = ["cheap"]\n' + provider + "pass_through = false\n"
    priced = "".join(f'[[prices]]\ntarget = "a/{one}"\ninput = 0\noutput = 0\n' for one in "mn")
    assert check(meant + priced, tmp_path).stderr == ""
    assert "pass_through" not in check(provider, tmp_path).stderr


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("models = []", "keys[0].models: this allows nothing"),
        ("tiers = []", "keys[0].tiers: this allows nothing"),
        ('tiers = ["chep"]', 'did you mean "cheap"?'),
        ('models = ["open*ai/x"]', 'a "*" is only allowed at the end'),
        ('models = [" x"]', "white space"),
        ('models = ["opneai/gpt-4o"]', 'unknown provider "opneai"; did you mean "openai"?'),
        ('models = ["e"]', '"e" is an endpoint; write "farthing/e"'),
        ('endpoint = "e"\ntiers = ["expensive"]', 'none of them is allowed at the endpoint "e"'),
    ],
)
def test_lists_that_cannot_be_meant_are_refused(more: str, says: str, tmp_path: Path) -> None:
    key = f'[[keys]]\ntenant = "t"\ndigest = "{key_digest("sk")}"\n{more}\n'
    rest = (
        '[providers.a]\nbase_url = "http://127.0.0.1:9/v1"\n[tiers.cheap]\ntargets = ["a/m"]\n'
        '[providers.openai]\nbase_url = "http://127.0.0.1:9/v1"\n'
        '[tiers.expensive]\ntargets = ["a/n"]\n[endpoints.e]\ntier = "cheap"\n'
    )
    found = check(key + rest, tmp_path)
    assert found.returncode == 2 and says in found.stderr, (found.stderr, sys.path[0])
