"""Whatever leads to an endpoint brings its contract: an alias is the endpoint in every respect."""

from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running
from tests.faults.provider import FaultProvider

ENDPOINTS = (
    "calls money input output deadline tier uncached baseline doubted vectors".split()  # noqa: SIM905
)
ALIASES = "\n".join(
    f'"gpt-{name}" = "farthing/{name}"\n"by-{name}" = "gpt-{name}"\n"farthing/old-{name}" = "by-{name}"'
    for name in ENDPOINTS
)


def ways(name: str) -> dict[str, str]:
    """How the endpoint may be named in `model`."""
    return {
        "itself": f"farthing/{name}",
        "alias": f"gpt-{name}",
        "alias of an alias": f"by-{name}",
        "other case": f"GPT-{name.title()}",
        "its old name": f"farthing/old-{name}",
    }


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(
        f"""
[providers.a]
base_url = "{upstream.base_url}"
[tiers.cheap]
targets = ["a/good-cheap"]
[tiers.expensive]
targets = ["a/good-expensive"]
[tiers.dripping]
targets = ["a/fault:gap=0.03"]
[tiers.unsure]
targets = ["a/fault:say=I don't know"]
[tiers.embedding]
targets = ["a/text-embedding-good"]
[aliases]
{ALIASES}
[endpoints.calls]
calls_max = 2
[endpoints.money]
usd_max = 0.0001
tier = "cheap"
[endpoints.input]
input_tokens_max = 20
[endpoints.output]
output_tokens_max = 4
[endpoints.deadline]
deadline_s = 0.4
tier = "dripping"
[endpoints.tier]
tier = "expensive"
[endpoints.uncached]
cache.exact = "off"
[endpoints.baseline]
baseline = "a/good-cheap"
tier = "cheap"
[endpoints.doubted]
tier = "unsure"
[endpoints.doubted.cascade]
first = "unsure"
then = "expensive"
[endpoints.vectors]
tier = "embedding"
input_tokens_max = 20
[[prices]]
target = "a/good-cheap"
input = 1
output = 2
[[prices]]
target = "a/good-expensive"
input = 10
output = 20
[[keys]]
tenant = "free"
key = "${{KEY_FREE}}"
[[keys]]
tenant = "bound"
key = "${{KEY_BOUND}}"
endpoint = "tier"
""",
        KEY_FREE="key-free",
        KEY_BOUND="key-bound",
    )


FREE = {"authorization": "Bearer key-free"}
BOUND = {"authorization": "Bearer key-bound"}


def ask(
    gateway: Running, model: str, text: str, headers: dict[str, str] | None = None, **fields: Any
) -> Reply:
    return gateway.chat(text, model=model, headers=FREE | (headers or {}), **fields)


HEADERS = ("tier", "model", "cache", "reason")


def facts(gateway: Running, reply: Reply) -> dict[str, Any]:
    """What the client and the ledger are told of a request, but for times and ids and the name it used."""
    row = gateway.receipt_of(reply)
    usage = row.usage
    return {
        "status": reply.status,
        "error": None if reply.status == 200 else reply.error,
        "headers": {name: reply.headers.get(f"x-farthing-{name}") for name in HEADERS},
        "endpoint": row.endpoint,
        "stop": row.stop_reason,
        "calls": row.calls,
        "attempts": [(attempt.target, attempt.tier) for attempt in row.attempts],
        "cost": None if usage is None or usage.estimated else row.cost_nusd,
        "baseline": row.baseline_target,
        "output": None if usage is None or usage.estimated else usage.output_tokens,
    }


@pytest.mark.parametrize("name", ENDPOINTS[:-1])
def test_an_alias_of_an_endpoint_is_that_endpoint_in_every_respect(gateway: Running, name: str) -> None:
    seen = {}
    slow = name == "deadline"
    for number, (way, model) in enumerate(ways(name).items()):
        text = f"{number} " + "many words " * (30 if name in ("input", "deadline") else 5)
        replies = [ask(gateway, model, text, max_tokens=20_000 if name == "money" else 50)]
        session = {"x-farthing-session": f"{name}-{number}"}
        replies += [ask(gateway, model, f"{text} {turn}", session) for turn in range(1 if slow else 3)]
        replies += [] if slow else [ask(gateway, model, f"{text} again") for _ in range(2)]
        seen[way] = [facts(gateway, reply) for reply in replies]
        assert all(row["endpoint"] == name for row in seen[way])
    for way, told in seen.items():
        assert told == seen["itself"], way


def test_the_limits_are_there_to_be_kept(gateway: Running) -> None:
    """What the comparison compares is no accident: each endpoint does what it is there for."""

    def fact(name: str, text: str = "hello there", **fields: Any) -> dict[str, Any]:
        return facts(gateway, ask(gateway, f"by-{name}", f"{text} of {name}", **fields))

    session = {"x-farthing-session": "counted"}
    assert [ask(gateway, "by-calls", f"q{i}", session).status for i in range(3)] == [200, 200, 429]
    spent = {"x-farthing-session": "spent"}
    assert 429 in [ask(gateway, "gpt-money", f"m{i} " + "w " * 40, spent).status for i in range(20)]
    assert fact("input", "many words " * 30)["stop"] == "limit:input_tokens_max"
    assert fact("output")["output"] == 4
    assert fact("deadline", "w " * 40)["stop"] == "limit:deadline_s"
    assert fact("tier")["headers"]["tier"] == "expensive"
    assert [fact("uncached")["headers"]["cache"] for _ in range(2)] == ["off", "off"]
    assert fact("baseline")["baseline"] == "a/good-cheap"
    assert [tier for _, tier in fact("doubted")["attempts"]] == ["unsure", "expensive"]


def test_the_answer_to_one_name_is_kept_for_the_others(gateway: Running) -> None:
    hits = [
        ask(gateway, model, "the very same", temperature=0).headers["x-farthing-cache"]
        for model in ways("tier").values()
    ]
    assert hits == ["miss", "exact", "exact", "exact", "exact"]


def test_the_ledger_keeps_the_name_that_the_client_used(gateway: Running) -> None:
    assert gateway.receipt_of(ask(gateway, "by-tier", "which name")).model_asked == "by-tier"


def test_the_target_is_asked_for_itself_and_never_for_the_alias(
    gateway: Running, upstream: FaultProvider
) -> None:
    ask(gateway, "by-tier", "who is asked")
    assert upstream.calls[-1].json["model"] == "good-expensive"


def test_an_alias_brings_the_contract_to_embeddings_too(gateway: Running) -> None:
    for model in ways("vectors").values():
        short = gateway.post("/v1/embeddings", {"model": model, "input": f"short {model}"}, FREE)
        assert short.status == 200, short.body
        assert gateway.receipt_of(short).endpoint == "vectors"


@pytest.mark.parametrize("way", ways("tier"))
def test_a_bound_key_may_use_every_name_of_its_endpoint_and_none_of_another(
    gateway: Running, way: str
) -> None:
    assert gateway.chat(f"mine {way}", model=ways("tier")[way], headers=BOUND).status == 200
    refused = gateway.chat(f"other {way}", model=ways("money")[way], headers=BOUND)
    assert (refused.status, refused.error["code"]) == (403, "permission_denied")


def test_an_alias_wins_over_the_header_as_the_endpoint_does(gateway: Running) -> None:
    header = {"x-farthing-endpoint": "money"}
    for model in ways("tier").values():
        assert gateway.receipt_of(ask(gateway, model, f"header {model}", header)).endpoint == "tier"
    assert gateway.receipt_of(ask(gateway, "auto", "header alone", header)).endpoint == "money"
    for said in ("farthing/money", "gpt-money", "by-money", "old-money"):
        named = {"x-farthing-endpoint": said}
        assert gateway.receipt_of(ask(gateway, "auto", f"header {said}", named)).endpoint == "money"
    lost = ask(gateway, "auto", "header", {"x-farthing-endpoint": "cheap"})
    assert (lost.status, lost.error["code"]) == (404, "model_not_found")
    refused = gateway.chat(headers=BOUND | {"x-farthing-endpoint": "gpt-money"})
    assert refused.status == 403
    assert gateway.chat(headers=BOUND | {"x-farthing-endpoint": "gpt-tier"}).status == 200


def test_the_native_routes_take_every_name_of_an_endpoint(gateway: Running) -> None:
    for said in ("tier", "old-tier", "farthing/tier", "gpt-tier", "by-tier"):
        body = {"text": f"native {said}", "metadata": {"endpoint": said}}
        assert gateway.receipt_of(gateway.post("/v1/ask", body, FREE)).endpoint == "tier"
        named = FREE | {"x-farthing-endpoint": said}
        reply = gateway.post("/llm-inference", {"prompt": f"inference {said}"}, named)
        row = gateway.receipt_of(reply)
        assert (row.endpoint, row.tier) == ("tier", "expensive")


def listed(gateway: Running, headers: dict[str, str]) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = gateway.request("GET", "/v1/models", headers=headers).json["data"]
    return data


def test_every_name_that_is_listed_can_be_asked_for(gateway: Running) -> None:
    for headers in (FREE, BOUND):
        names = [entry["id"] for entry in listed(gateway, headers)]
        assert len(names) == len(set(names)) and names[0] == "auto"
        for name in names:
            path, body = "/v1/chat/completions", {"messages": [{"role": "user", "content": f"to {name}"}]}
            if "vectors" in name or "embedding" in name:
                path, body = "/v1/embeddings", {"input": name}
            reply = gateway.post(path, {"model": name, **body}, headers)
            assert reply.status in (200, 429), (name, reply.body)


def test_a_bound_key_sees_the_names_of_its_own_endpoint_only(gateway: Running) -> None:
    names = {entry["id"] for entry in listed(gateway, BOUND)}
    assert {"farthing/tier", "gpt-tier", "by-tier", "auto", "expensive", "a/good-expensive"} <= names
    assert not names & {"farthing/money", "gpt-money", "by-money", "cheap", "a/good-cheap", "good-cheap"}
    assert {"farthing/money", "gpt-money"} <= {entry["id"] for entry in listed(gateway, FREE)}


def test_a_listed_model_says_whose_it_is_and_what_it_costs(gateway: Running) -> None:
    by_id = {entry["id"]: entry for entry in listed(gateway, FREE)}
    for name in ("a/good-cheap", "good-cheap"):
        assert by_id[name]["owned_by"] == "a"
        assert by_id[name]["usd_per_million_tokens"] == {"input": 1.0, "output": 2.0, "cached_input": None}
    assert by_id["by-tier"]["endpoint"] == "tier" and by_id["by-tier"]["owned_by"] == "farthing"


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("", "`model` is empty"),
        ("   ", "`model` is empty"),
        (" cheap ", 'white space around it; write "cheap"'),
        ("cheap\n", "U+000A"),
        ("che\u200bap", "U+200B"),
        ("x" * 5_000, "5000 characters"),
    ],
)
def test_what_can_be_no_name_is_refused_in_words(gateway: Running, model: str, says: str) -> None:
    for path, body in (
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
        ("/v1/embeddings", {"input": "x"}),
    ):
        reply = gateway.post(path, {"model": model, **body}, FREE)
        assert (reply.status, reply.error["param"]) == (404 if model else 400, "model")
        assert says in reply.error["message"] and len(reply.body) < 1_000


@pytest.mark.parametrize("model", [None, 7, ["auto"], {"id": "auto"}])
def test_a_model_that_is_no_text_is_refused(gateway: Running, model: Any) -> None:
    reply = gateway.chat(model=model, headers=FREE)
    assert (reply.status, reply.error["param"]) == (400, "model")
