"""Stored chat completions through the official client: kept by their provider, known to their tenant alone,
told again, labelled, listed, deleted; and what happens where they cannot be had."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running, running, until
from tests.faults.provider import FaultProvider

from farthing.types import Receipt, Usage

KEY, TWIN_KEY, OTHER_KEY = "fk-of-acme-0123456789", "fk-of-acme-too-9876543210", "fk-of-other-0123456789"
ENV = {
    "ACME_KEY": KEY,
    "TWIN_KEY": TWIN_KEY,
    "OTHER_KEY": OTHER_KEY,
    "PROVIDER_KEY": "sk-of-the-provider-0123456789",
    "CLAUDE_KEY": "sk-ant-of-claude-0123456789",
}
NOWHERE = "chatcmpl-nobody-has-this"
ASKED = [{"role": "user", "content": "hello"}]
DB = "completions.db"
Json = dict[str, Any]


def config_of(upstream: FaultProvider, more: str = "") -> str:
    return f"""
[[keys]]
tenant = "acme"
key = "${{ACME_KEY}}"
[[keys]]
tenant = "acme"
key = "${{TWIN_KEY}}"
[[keys]]
tenant = "other"
key = "${{OTHER_KEY}}"
[providers.keeps]
base_url = "{upstream.base_url}"
api_key = "${{PROVIDER_KEY}}"
pass_through = true
stored_completions = true
[providers.unsure]
base_url = "{upstream.base_url}"
pass_through = true
[providers.claude]
kind = "anthropic"
base_url = "{upstream.base_url.removesuffix("/v1")}"
api_key = "${{CLAUDE_KEY}}"
pass_through = true
[tiers.cheap]
targets = ["keeps/good"]
[call]
breaker_open_s = 0.01
{more}
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[FaultProvider]:
    with FaultProvider() as made:
        yield made


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, provider: FaultProvider) -> Running:
    return start_gateway(config_of(provider), **ENV)


def client_of(gateway: Running, key: str = KEY) -> OpenAI:
    return OpenAI(api_key=key, base_url=gateway.base_url, max_retries=0)


@pytest.fixture(scope="module")
def client(gateway: Running) -> Iterator[OpenAI]:
    with client_of(gateway) as one:
        yield one


@pytest.fixture(scope="module")
def other(gateway: Running) -> Iterator[OpenAI]:
    with client_of(gateway, OTHER_KEY) as one:
        yield one


def made(client: OpenAI, model: str = "keeps/good", **fields: Any) -> ChatCompletion:
    answer: ChatCompletion = client.chat.completions.create(
        model=model,
        messages=ASKED,  # type: ignore[arg-type]
        store=True,
        **fields,
    )
    return answer


def ask(gateway: Running, method: str, path: str, body: Any = None, key: str = KEY) -> Reply:
    data = None if body is None else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    return gateway.request(method, path, data, headers)


def chat(gateway: Running, key: str = KEY, **fields: Any) -> Reply:
    body = {"model": "keeps/good", "messages": ASKED, "store": True, **fields}
    return gateway.post("/v1/chat/completions", body, {"authorization": f"Bearer {key}"})


def receipt_of(gateway: Running, reply: Reply) -> Receipt:
    """The one of a request that was answered."""
    id = reply.headers["x-request-id"]

    def found() -> Receipt | None:
        rows = [row for row in gateway.rows() if isinstance(row, Receipt) and row.request_id == id]
        return rows[0] if rows else None

    return until(found)


def calls(provider: FaultProvider) -> int:
    return len(provider.calls)


def backdate(gateway_dir: Path, id: str, by_s: float) -> None:
    """As if `id` had been stored earlier."""
    db = apsw.Connection(str(gateway_dir / DB))
    db.set_busy_timeout(5_000)
    db.execute("UPDATE responses SET created_s = created_s - ? WHERE id = ?", (by_s, id))
    assert db.changes() == 1
    db.close()


# -- kept, and told again ----------------------------------------------------------------------------


def test_a_completion_is_told_again_labelled_and_deleted(
    gateway: Running, client: OpenAI, provider: FaultProvider
) -> None:
    answer = made(client, metadata={"case": "one"})
    assert answer.id in provider.shelf.ids
    again = client.chat.completions.retrieve(answer.id)
    assert again.choices == answer.choices
    assert again.metadata == {"case": "one"}
    asked = client.chat.completions.messages.list(answer.id)
    assert [one.content for one in asked.data] == ["hello"]
    labelled = client.chat.completions.update(answer.id, metadata={"case": "two"})
    assert labelled.metadata == {"case": "two"}
    gone = client.chat.completions.delete(answer.id)
    assert gone.deleted
    assert gone.id == answer.id
    assert answer.id not in provider.shelf.ids
    before = calls(provider)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(answer.id)
    assert calls(provider) == before


def test_a_stream_is_known_as_soon_as_it_is_over(client: OpenAI, provider: FaultProvider) -> None:
    stream = client.chat.completions.create(
        model="keeps/good",
        messages=ASKED,  # type: ignore[arg-type]
        store=True,
        stream=True,
    )
    ids = {chunk.id for chunk in stream if isinstance(chunk, ChatCompletionChunk)}
    assert len(ids) == 1
    again = client.chat.completions.retrieve(ids.pop())
    assert again.choices[0].message.content == "echo: hello"


async def test_the_asynchronous_client_does_the_same(gateway: Running) -> None:
    async with AsyncOpenAI(api_key=KEY, base_url=gateway.base_url, max_retries=0) as client:
        answer = await client.chat.completions.create(
            model="keeps/good",
            messages=ASKED,  # type: ignore[arg-type]
            store=True,
            metadata={"by": "async"},
        )
        assert (await client.chat.completions.retrieve(answer.id)).id == answer.id
        listed = [one.id async for one in client.chat.completions.list(metadata={"by": "async"})]
        assert listed == [answer.id]
        messages = [one.content async for one in client.chat.completions.messages.list(answer.id, limit=1)]
        assert messages == ["hello"]
        await client.chat.completions.update(answer.id, metadata=None)
        assert (await client.chat.completions.delete(answer.id)).deleted


def test_what_the_provider_says_comes_as_it_said_it_with_its_headers(
    gateway: Running, provider: FaultProvider
) -> None:
    id = chat(gateway).json["id"]
    told = ask(gateway, "GET", f"/v1/chat/completions/{id}")
    call = provider.calls[-1]
    assert (call.path, call.headers["authorization"]) == (
        f"/v1/chat/completions/{id}",
        f"Bearer {ENV['PROVIDER_KEY']}",
    )
    assert b'"metadata": {}' in told.body, "spaced as the provider spaces it"
    assert told.headers["x-upstream-request-id"] == f"req_{call.id}"
    assert told.headers["x-farthing-cost-usd"] == "0.000000000"
    ask(gateway, "GET", f"/v1/chat/completions/{id}/messages?limit=1&order=asc")
    assert provider.calls[-1].query == "limit=1&order=asc"


@pytest.mark.parametrize("base", ["/v1", "", "/v1/v1", "/openai/v1"])
def test_every_base_leads_to_it(gateway: Running, base: str) -> None:
    id = chat(gateway).json["id"]
    assert ask(gateway, "GET", f"{base}/chat/completions/{id}").json["id"] == id
    assert ask(gateway, "GET", f"{base}/chat/completions/{id}/messages").status == 200
    assert ask(gateway, "GET", f"{base}/chat/completions").json["object"] == "list"
    assert ask(gateway, "GET", f"{base}/chat/completions/{id}/tools").status == 404
    assert ask(gateway, "PUT", f"{base}/chat/completions/{id}").status == 405


# -- whose they are ----------------------------------------------------------------------------------


def test_what_is_foreign_and_what_is_nowhere_are_the_same_and_nobody_is_asked(
    gateway: Running, provider: FaultProvider
) -> None:
    id = chat(gateway).json["id"]
    before = calls(provider)
    for method, below, body in (
        ("GET", "", None),
        ("POST", "", {"metadata": {"mine": "now"}}),
        ("DELETE", "", None),
        ("GET", "/messages", None),
    ):
        foreign, nowhere = (
            ask(gateway, method, f"/v1/chat/completions/{one}{below}", body, OTHER_KEY)
            for one in (id, NOWHERE)
        )
        assert foreign.status == nowhere.status == 404
        assert foreign.error["code"] == "completion_not_found"
        assert foreign.body == nowhere.body.replace(NOWHERE.encode(), id.encode())
    assert calls(provider) == before
    assert ask(gateway, "GET", f"/v1/chat/completions/{id}", key=TWIN_KEY).json["id"] == id


def test_what_lies_at_the_provider_by_other_ways_is_not_had(
    gateway: Running, provider: FaultProvider
) -> None:
    with OpenAI(api_key="any", base_url=provider.base_url) as direct:
        id = made(direct, model="good").id
    before = calls(provider)
    assert ask(gateway, "GET", f"/v1/chat/completions/{id}").status == 404
    assert ask(gateway, "GET", "/v1/chat/completions/..%2F..%2Fmodels").status == 404
    assert calls(provider) == before


# -- lists -------------------------------------------------------------------------------------------


def test_a_list_has_the_tenants_own_in_order_though_most_are_foreign(
    client: OpenAI, other: OpenAI, provider: FaultProvider
) -> None:
    for one in client.chat.completions.list(limit=100):
        client.chat.completions.delete(one.id)
    mine = []
    for number in range(7):
        mine.append(made(client, metadata={"parity": str(number % 2), "list": "yes"}).id)
        for _ in range(3):
            made(other, metadata={"parity": str(number % 2), "list": "yes"})
    page = client.chat.completions.list(limit=3)
    assert [one.id for one in page.data] == mine[:3]
    assert page.has_more
    raw = client.chat.completions.with_raw_response.list(limit=3).http_response.json()
    assert (raw["first_id"], raw["last_id"]) == (mine[0], mine[2])
    assert [one.id for one in client.chat.completions.list(limit=3)] == mine, "the client turns the pages"
    assert [one.id for one in client.chat.completions.list(limit=3, order="desc")] == mine[::-1]
    assert [one.id for one in client.chat.completions.list(after=mine[5])] == mine[6:]
    assert not client.chat.completions.list(after=mine[3], limit=3).has_more
    even = client.chat.completions.list(metadata={"parity": "0", "list": "yes"}, limit=2)
    assert [one.id for one in even] == mine[::2]
    assert client.chat.completions.list(metadata={"parity": "0", "list": "no"}).data == []
    client.chat.completions.update(mine[1], metadata={"parity": "0", "list": "yes"})
    now = [one.id for one in client.chat.completions.list(metadata={"parity": "0"})]
    assert now == [mine[0], mine[1], *mine[2::2]]
    assert len(list(client.chat.completions.list(model="good"))) == 7
    assert len(list(client.chat.completions.list(model="keeps/good"))) == 7
    assert list(client.chat.completions.list(model="another")) == []


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "order=up"])
def test_a_parameter_that_is_none_is_refused_by_name(gateway: Running, query: str) -> None:
    reply = ask(gateway, "GET", f"/v1/chat/completions?{query}")
    assert reply.status == 400
    assert reply.error["param"] == query.partition("=")[0]


def test_a_list_does_not_go_on_from_what_is_not_there(gateway: Running) -> None:
    theirs = chat(gateway, OTHER_KEY).json["id"]
    for id in (theirs, NOWHERE):
        reply = ask(gateway, "GET", f"/v1/chat/completions?after={id}")
        assert (reply.status, reply.error["param"]) == (404, "after")


@pytest.mark.slow
def test_a_list_goes_past_what_is_gone_at_the_provider(
    start_gateway: StartGateway, provider: FaultProvider
) -> None:
    gateway = start_gateway(config_of(provider), **ENV)
    ids = [chat(gateway).json["id"] for _ in range(12)]
    for id in ids[:9]:
        provider.shelf.forget(id)
    before = calls(provider)
    page = ask(gateway, "GET", "/v1/chat/completions?limit=2").json
    assert [one["id"] for one in page["data"]] == ids[9:11]
    assert (page["has_more"], page["last_id"]) == (True, ids[10])
    assert calls(provider) - before <= 2 + 50


@pytest.mark.slow
def test_a_list_that_cannot_be_completed_within_its_bound_says_that_there_is_more(
    start_gateway: StartGateway, provider: FaultProvider
) -> None:
    gateway = start_gateway(config_of(provider), **ENV)
    ids = [chat(gateway).json["id"] for _ in range(60)]
    for id in ids[:55]:
        provider.shelf.forget(id)
    before = calls(provider)
    reply = ask(gateway, "GET", "/v1/chat/completions?limit=1")
    assert (reply.status, reply.headers["x-should-retry"]) == (503, "true")
    assert calls(provider) - before == 51
    assert "there are more behind them" in reply.error["message"]


# -- what is not stored is not promised --------------------------------------------------------------


def test_the_answer_of_a_provider_that_keeps_none_is_not_said_to_be_stored(
    gateway: Running, provider: FaultProvider
) -> None:
    assert chat(gateway).headers["x-farthing-stored"] == "true"
    assert "x-farthing-stored" not in chat(gateway, store=False).headers
    unsure = chat(gateway, model="unsure/good")
    assert (unsure.status, unsure.headers["x-farthing-stored"]) == (200, "false")
    assert ask(gateway, "GET", f"/v1/chat/completions/{unsure.json['id']}").status == 404
    claude = chat(gateway, model="claude/good")
    assert claude.status == 200, claude.body
    assert (claude.status, claude.headers["x-farthing-stored"]) == (200, "false")
    assert claude.headers["x-farthing-left-out"] == "store"


@pytest.mark.parametrize("stream", [False, True])
def test_each_request_that_asks_for_it_is_stored_by_itself(
    gateway: Running, provider: FaultProvider, stream: bool
) -> None:
    """An answer from the cache, or another request's, would be the same completion once more."""
    body: Json = {"temperature": 0, "stream": stream, "messages": [{"role": "user", "content": f"{stream}"}]}
    assert chat(gateway, **body, store=False).headers["x-farthing-cache"] == "miss"
    replies = [chat(gateway, **body) for _ in range(2)]
    found = [one.events[0]["id"] if stream else one.json["id"] for one in replies]
    assert len(set(found)) == 2
    assert all(id in provider.shelf.ids for id in found)
    assert [one.headers["x-farthing-cache"] for one in replies] == ["miss", "miss"]
    assert chat(gateway, **body, store=False).headers["x-farthing-cache"] == "exact"


# -- receipts ----------------------------------------------------------------------------------------


def test_each_call_leaves_a_receipt_that_costs_nothing(gateway: Running) -> None:
    id = chat(gateway).json["id"]
    for method, below, body, operation in (
        ("GET", f"/{id}", None, "chat/retrieve"),
        ("GET", f"/{id}/messages", None, "chat/messages"),
        ("POST", f"/{id}", {"metadata": {}}, "chat/update"),
        ("GET", "?limit=1", None, "chat/list"),
        ("DELETE", f"/{id}", None, "chat/delete"),
    ):
        reply = ask(gateway, method, f"/v1/chat/completions{below}", body)
        assert reply.status == 200
        row = receipt_of(gateway, reply)
        assert row.operation == operation
        assert (row.tenant, row.status, row.cost_nusd, row.baseline_nusd) == ("acme", 200, 0, 0)
        assert row.target == "keeps/good"
        assert row.usage == Usage(input_tokens=0, output_tokens=0)
        assert [one.status for one in row.attempts] == [200] * len(row.attempts)
    nowhere = ask(gateway, "GET", f"/v1/chat/completions/{NOWHERE}")
    row = receipt_of(gateway, nowhere)
    assert (row.status, row.error, row.cost_nusd, row.attempts) == (404, "completion_not_found", 0, [])


# -- where they cannot be had ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "status"),
    [(500, 500), (503, 503), (429, 429), (401, 502)],
)
def test_a_provider_that_refuses_is_told_with_a_receipt(
    gateway: Running, provider: FaultProvider, said: int, status: int
) -> None:
    id = chat(gateway).json["id"]
    for path in (f"/{id}", "?order=desc&limit=1"):
        provider.script(f"status={said}")
        reply = ask(gateway, "GET", f"/v1/chat/completions{path}")
        assert reply.status == status
        assert ENV["PROVIDER_KEY"].encode() not in reply.body
        row = receipt_of(gateway, reply)
        assert (row.status, row.cost_nusd) == (status, 0)
        assert row.attempts[-1].error
    assert ask(gateway, "GET", f"/v1/chat/completions/{id}").status == 200


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 200), ("DELETE", 404)])
def test_a_connection_that_was_closed_meanwhile_is_tried_once_more(
    gateway: Running, provider: FaultProvider, method: str, status: int
) -> None:
    """The provider here does what it is asked before the connection ends: what was deleted is not there."""
    id = chat(gateway).json["id"]
    provider.script("reset")
    reply = ask(gateway, method, f"/v1/chat/completions/{id}", {"metadata": {}} if method == "POST" else None)
    assert reply.status == status
    first, second = receipt_of(gateway, reply).attempts
    assert (first.error, first.status, first.cost_nusd) == ("provider_unavailable", None, 0)
    assert (second.status, second.cost_nusd) == (status, 0)


@pytest.mark.slow
def test_a_provider_that_says_nothing_is_given_up(
    start_gateway: StartGateway, provider: FaultProvider
) -> None:
    keeps = "stored_completions = true\n"
    gateway = start_gateway(config_of(provider).replace(keeps, f"{keeps}whole_s = 0.3\n"), **ENV)
    id = chat(gateway).json["id"]
    provider.script("hang")
    reply = ask(gateway, "GET", f"/v1/chat/completions/{id}")
    assert reply.status == 504
    row = receipt_of(gateway, reply)
    assert (row.status, row.attempts[0].error, row.cost_nusd) == (504, "provider_timeout", 0)


@pytest.mark.parametrize(
    "script",
    ["bad=html", "bad=json", "bad=utf8", "bad=empty", "bad=type", "truncate=1,end=cut", "gzip=104857600"],
)
def test_a_provider_that_talks_nonsense_takes_no_list_and_no_gateway_with_it(
    gateway: Running, provider: FaultProvider, script: str
) -> None:
    chat(gateway)
    provider.script(script)
    reply = ask(gateway, "GET", "/v1/chat/completions?limit=1&order=desc")
    assert reply.status >= 500
    assert reply.error["message"]
    assert ask(gateway, "GET", "/v1/chat/completions?limit=1&order=desc").status == 200


@pytest.mark.slow
def test_a_provider_that_is_away_is_a_clear_error(start_gateway: StartGateway) -> None:
    with FaultProvider() as gone:
        gateway = start_gateway(config_of(gone), **ENV)
        id = chat(gateway).json["id"]
    for path in (f"/{id}", f"/{id}/messages", ""):
        reply = ask(gateway, "GET", f"/v1/chat/completions{path}")
        assert reply.status == 502
        assert "provider_unavailable" in reply.error["message"]
    assert ask(gateway, "DELETE", f"/v1/chat/completions/{id}").status == 502


@pytest.mark.slow
def test_what_its_provider_has_no_more_is_told_in_its_words_and_forgotten(
    start_gateway: StartGateway, provider: FaultProvider, tmp_path: Path
) -> None:
    with running(config_of(provider), tmp_path, ENV) as gateway:
        id = chat(gateway).json["id"]
        provider.shelf.forget(id)
        for _ in range(2):  # a provider takes a moment until it finds what it keeps
            reply = ask(gateway, "GET", f"/v1/chat/completions/{id}")
            assert (reply.status, reply.error["message"]) == (404, f"Chat completion {id} not found.")
        backdate(next(tmp_path.rglob(DB)).parent, id, 3_600)
        assert "not found." in ask(gateway, "GET", f"/v1/chat/completions/{id}").error["message"]
        before = calls(provider)
        assert ask(gateway, "GET", f"/v1/chat/completions/{id}").error["code"] == "completion_not_found"
        assert calls(provider) == before
        fresh = chat(gateway).json["id"]
        provider.shelf.forget(fresh)
        assert ask(gateway, "DELETE", f"/v1/chat/completions/{fresh}").status == 404
        assert ask(gateway, "GET", f"/v1/chat/completions/{fresh}").error["code"] == "completion_not_found"


def test_a_body_that_is_none_never_goes_up(gateway: Running, provider: FaultProvider) -> None:
    id = chat(gateway).json["id"]
    before = calls(provider)
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    address = http.client.HTTPConnection("127.0.0.1", gateway.port)
    for body in (b"", b"[]", b"{", b"x" * 70_000):
        address.request("POST", f"/v1/chat/completions/{id}", body, headers)
        reply = address.getresponse()
        assert reply.status in (400, 413), reply.read()
        reply.read()
        address.close()
    headers["content-type"] = "text/plain"
    address.request("POST", f"/v1/chat/completions/{id}", b"{}", headers)
    assert address.getresponse().status == 415
    address.close()
    assert calls(provider) == before
    wrong = ask(gateway, "POST", f"/v1/chat/completions/{id}", {"model": "x"})
    assert (wrong.status, "metadata" in wrong.error["message"]) == (400, True), (
        "the provider says what it takes"
    )


@pytest.mark.slow
def test_a_file_that_cannot_be_written_costs_the_note_and_no_answer(
    provider: FaultProvider, tmp_path: Path
) -> None:
    (tmp_path / "in-the-way").mkdir()
    more = f'[stored_completions.store]\nkind = "sqlite"\npath = "{tmp_path / "in-the-way"}"\n'
    with running(config_of(provider, more), tmp_path / "state", ENV) as gateway:
        reply = chat(gateway)
        assert (reply.status, reply.headers["x-farthing-stored"]) == (200, "false")
        assert ask(gateway, "GET", f"/v1/chat/completions/{reply.json['id']}").status == 503
        assert ask(gateway, "GET", "/v1/chat/completions").status == 503
        assert "could not be noted" in gateway.log.read_text()


# -- several addresses -------------------------------------------------------------------------------


def replicas_of(first: FaultProvider, second: FaultProvider, more: str = "") -> str:
    replica = f'[[providers.keeps.replicas]]\nbase_url = "{second.base_url}"\n'
    return config_of(first, more).replace("[providers.unsure]", f"{replica}[providers.unsure]")


@pytest.mark.slow
def test_each_is_asked_for_at_the_address_that_keeps_it_also_after_their_order_changes(
    tmp_path: Path,
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    admin = f"[admin]\nport = {port}\n"
    with FaultProvider() as one, FaultProvider() as two:
        with running(replicas_of(one, two, admin), tmp_path, ENV) as gateway:
            ids = [
                chat(gateway, messages=[{"role": "user", "content": str(n)}]).json["id"] for n in range(16)
            ]
            assert one.shelf.ids and two.shelf.ids and {*one.shelf.ids, *two.shelf.ids} == {*ids}
            theirs = chat(gateway, OTHER_KEY).json["id"]
            for id in ids[:8]:
                assert ask(gateway, "GET", f"/v1/chat/completions/{id}").json["id"] == id
            page = ask(gateway, "GET", "/v1/chat/completions?limit=100").json
            assert [entry["id"] for entry in page["data"]] == ids
            reply = ask(gateway, "DELETE", f"/v1/chat/completions/{ids[0]}")
            assert reply.status == 200 and ids[0] not in {*one.shelf.ids, *two.shelf.ids}
            assert receipt_of(gateway, reply).attempts[0].lane in ("main", "replica 2")
        with running(replicas_of(two, one, admin), tmp_path, ENV) as gateway:
            for id in ids[1:]:
                assert ask(gateway, "GET", f"/v1/chat/completions/{id}").status == 200
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            body, kind = b'{"tenant": "acme"}', {"content-type": "application/json"}
            connection.request("POST", "/admin/responses/forget", body, kind)
            done = json.loads(connection.getresponse().read())
            assert done == {"tenant": "acme", "deleted": 0, "completions": 15}
            assert (
                ask(gateway, "GET", f"/v1/chat/completions/{ids[1]}").error["code"] == "completion_not_found"
            )
            assert ask(gateway, "GET", "/v1/chat/completions").json["data"] == []
            assert ask(gateway, "GET", f"/v1/chat/completions/{theirs}", key=OTHER_KEY).status == 200


def located(upstream: FaultProvider, residency: str, endpoint: str = "patients") -> str:
    config = config_of(upstream, f'[endpoints.{endpoint}]\ntier = "cheap"\n{residency}')
    config = config.replace('key = "${ACME_KEY}"', f'key = "${{ACME_KEY}}"\nendpoint = "{endpoint}"')
    config = config.replace(
        "stored_completions = true\n", 'stored_completions = true\nregion = "us-east-1"\n'
    )
    return config.replace('targets = ["keeps/good"]', 'targets = ["keeps/good", "unsure/good"]').replace(
        "[providers.unsure]\n", '[providers.unsure]\nregion = "eu-west-1"\n'
    )


@pytest.mark.slow
def test_it_is_not_asked_for_outside_the_regions_of_its_endpoint_or_of_who_asks(
    provider: FaultProvider, tmp_path: Path
) -> None:
    def nowhere(gateway: Running, id: str, key: str) -> None:
        asked = calls(provider)
        path = f"/v1/chat/completions/{id}"
        for method, below, body in [
            ("GET", "", None),
            ("GET", "/messages", None),
            ("POST", "", {"metadata": {"a": "b"}}),
            ("DELETE", "", None),
        ]:
            reply = ask(gateway, method, path + below, body, key=key)
            assert (reply.status, reply.error["code"]) == (403, "residency")
            receipt = receipt_of(gateway, reply)
            assert receipt.skipped == {"keeps/good": "residency"} and not receipt.attempts
        assert ask(gateway, "GET", "/v1/chat/completions", key=key).json["data"] == []
        assert calls(provider) == asked

    eu = 'residency = ["eu"]'
    with running(located(provider, ""), tmp_path, ENV) as gateway:
        id = chat(gateway, model="farthing/patients").json["id"]
        assert ask(gateway, "GET", f"/v1/chat/completions/{id}", key=TWIN_KEY).status == 200
    with running(located(provider, eu), tmp_path, ENV) as gateway:
        nowhere(gateway, id, KEY)
        nowhere(gateway, id, TWIN_KEY)  # bound to no endpoint: that which made it decides
    with running(located(provider, eu, "others"), tmp_path, ENV) as gateway:
        nowhere(gateway, id, KEY)
        reply = ask(gateway, "GET", f"/v1/chat/completions/{id}", key=TWIN_KEY)
        assert reply.status == 200  # the endpoint that made it is not there any more


# -- bounds, and restarts ----------------------------------------------------------------------------


@pytest.mark.slow
def test_they_are_known_after_a_restart_with_nothing_of_what_they_say(
    provider: FaultProvider, tmp_path: Path
) -> None:
    secret = "a-word-that-nobody-else-says"
    with running(config_of(provider), tmp_path, ENV) as gateway:
        id = chat(gateway, messages=[{"role": "user", "content": secret}], metadata={"label": secret}).json[
            "id"
        ]
    with running(config_of(provider), tmp_path, ENV) as gateway:
        assert secret in ask(gateway, "GET", f"/v1/chat/completions/{id}").body.decode()
        found = ask(gateway, "GET", f"/v1/chat/completions?metadata[label]={secret}").json
        assert [one["id"] for one in found["data"]] == [id]
        files = [path for path in tmp_path.rglob(f"{DB}*") if path.is_file()]
        assert files
        assert not [path for path in files if secret.encode() in path.read_bytes()]
    without = config_of(provider).replace("stored_completions = true", "stored_completions = false")
    with running(without, tmp_path, ENV) as gateway:
        assert ask(gateway, "GET", f"/v1/chat/completions/{id}").error["code"] == "completion_not_found"
        assert ask(gateway, "GET", "/v1/chat/completions").json["data"] == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_oldest_make_room_and_another_tenant_keeps_its_own(
    start_gateway: StartGateway, provider: FaultProvider, kind: str
) -> None:
    more = f'[stored_completions.store]\nkind = "{kind}"\ncompletions_max = 6\n'
    gateway = start_gateway(config_of(provider, more), **ENV)
    theirs = chat(gateway, OTHER_KEY).json["id"]
    mine = [chat(gateway).json["id"] for _ in range(5)]
    assert gateway.metric("farthing_completions_stored") == 4
    page = ask(gateway, "GET", "/v1/chat/completions").json
    assert [one["id"] for one in page["data"]] == mine[2:]
    assert not page["has_more"]
    assert ask(gateway, "GET", f"/v1/chat/completions/{mine[0]}").status == 404
    assert ask(gateway, "GET", f"/v1/chat/completions/{theirs}", key=OTHER_KEY).status == 200


@pytest.mark.slow
def test_they_expire(start_gateway: StartGateway, provider: FaultProvider) -> None:
    gateway = start_gateway(config_of(provider, "[stored_completions]\nttl_s = 0.5\n"), **ENV)
    id = chat(gateway).json["id"]
    until(lambda: ask(gateway, "GET", f"/v1/chat/completions/{id}").status == 404)
    assert ask(gateway, "GET", f"/v1/chat/completions/{id}").error["code"] == "completion_not_found"
    assert json.loads(ask(gateway, "GET", "/v1/chat/completions").body)["data"] == []
