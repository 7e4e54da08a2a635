"""A provider whose token expires, behind the real gateway: replaced under load, with the issuer dead, by a
wrong clock, after a refusal; and what nobody may see of it."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running, until
from tests.faults.issuer import Issuer, fails

SECRET = "the-secret-of-the-application-42"
NUMBERS = count()
TOKENS = "/tenant-1/oauth2/v2.0/token"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as made:
        yield made


def before(issuer: Issuer, start_gateway: StartGateway, more: str = "") -> Running:
    return start_gateway(
        f"""
[providers.azure]
base_url = "{issuer.root}/openai/v1"
auth = "entra"
[providers.azure.entra]
tenant_id = "tenant-1"
client_id = "client-1"
client_secret = "${{APP_SECRET}}"
authority = "{issuer.root}"
[tiers.deployed]
targets = ["azure/gpt-x"]
{more}
""",
        APP_SECRET=SECRET,
    )


def asked(gateway: Running) -> Reply:
    return gateway.chat(f"hello {next(NUMBERS)}", model="azure/gpt-x")  # none is in a cache


@pytest.mark.slow
def test_tokens_are_replaced_under_load_by_one_fetch_each_and_no_request_fails(
    issuer: Issuer, start_gateway: StartGateway
) -> None:
    issuer.answers[TOKENS] = issuer.oauth(8.0)
    gateway = before(issuer, start_gateway)
    assert asked(gateway).status == 200
    end_s = time.monotonic() + 16.0

    def load(_: int) -> list[int]:
        found: list[int] = []
        while time.monotonic() < end_s:
            found.append(asked(gateway).status)
        return found

    with ThreadPoolExecutor(12) as clients:
        statuses = [status for found in clients.map(load, range(12)) for status in found]
    assert len(statuses) > 50 and set(statuses) == {200}
    assert issuer.refused == 0, "an expired token was used"
    fetches = len(issuer.calls(TOKENS))
    assert 2 <= fetches <= 6, "each lives for 8 s, and is replaced with 2 s of its life left"


@pytest.mark.slow
def test_while_the_issuer_is_dead_what_still_holds_is_used(
    issuer: Issuer, start_gateway: StartGateway
) -> None:
    issuer.answers[TOKENS] = issuer.oauth(12.0)
    gateway = before(issuer, start_gateway)
    assert asked(gateway).status == 200
    issuer.answers[TOKENS] = fails(503)
    until(lambda: asked(gateway).status == 200 and len(issuer.calls(TOKENS)) >= 3, every_s=0.2)
    issuer.answers[TOKENS] = issuer.oauth(600.0)
    until(lambda: asked(gateway).status == 200 and issuer.issued == 2, every_s=0.2)
    assert issuer.refused == 0 and "what is held is used for another" in gateway.logged()
    assert {one.status for one in gateway.receipts()} == {200}


def test_without_a_token_the_client_is_told_why_and_comes_again(
    issuer: Issuer, start_gateway: StartGateway
) -> None:
    issuer.answers[TOKENS] = fails(503, error="temporarily_unavailable")
    gateway = before(issuer, start_gateway)
    reply = asked(gateway)
    assert reply.status in (502, 503) and "Entra answered 503" in reply.error["message"]
    assert issuer.refused == 0 and not [one for one in issuer.asked if "chat" in one.path]
    assert gateway.receipt_of(reply).cost_nusd == 0
    issuer.answers[TOKENS] = issuer.oauth(600.0)
    until(lambda: asked(gateway).status == 200, every_s=0.2)


def test_a_refused_secret_is_told_to_the_operator_and_shown_to_nobody(
    issuer: Issuer, start_gateway: StartGateway
) -> None:
    words = f"AADSTS7000215: Invalid client secret provided: {SECRET}"
    issuer.answers[TOKENS] = fails(401, error="invalid_client", error_description=words)
    gateway = before(issuer, start_gateway)
    reply = asked(gateway)
    assert "the client secret is wrong: AZURE_CLIENT_SECRET" in gateway.logged()
    assert SECRET not in gateway.logged() and SECRET not in reply.body.decode()


def test_a_refused_token_is_replaced_once_for_all_and_no_request_fails(
    issuer: Issuer, start_gateway: StartGateway
) -> None:
    issuer.answers[TOKENS] = issuer.oauth(600.0)
    gateway = before(issuer, start_gateway)
    assert asked(gateway).status == 200
    issuer.valid.clear()
    with ThreadPoolExecutor(12) as clients:
        replies = list(clients.map(lambda _: asked(gateway), range(24)))
    assert {reply.status for reply in replies} == {200}
    assert len(issuer.calls(TOKENS)) == 2
    attempts = [[one.status for one in gateway.receipt_of(reply).attempts] for reply in replies]
    assert [401, 200] in attempts and all(one in ([200], [401, 200]) for one in attempts)
    assert all(gateway.receipt_of(reply).attempts[0].cost_nusd in (0, None) for reply in replies)


def test_a_token_that_lacks_a_right_is_not_fetched_for_each_request(
    issuer: Issuer, start_gateway: StartGateway
) -> None:
    issuer.answers[TOKENS] = lambda _: (
        200,
        b'{"access_token": "a-token-without-any-right", "expires_in": 600}',
    )
    gateway = before(issuer, start_gateway)
    statuses = {asked(gateway).status for _ in range(10)}
    assert statuses == {502} and len(issuer.calls(TOKENS)) == 2
    assert len([one for one in issuer.asked if "chat" in one.path]) == 11
    assert "a-token-without-any-right" not in gateway.logged()


def test_nobody_sees_a_token(issuer: Issuer, start_gateway: StartGateway) -> None:
    issuer.answers[TOKENS] = issuer.oauth(600.0)
    gateway = before(issuer, start_gateway)
    assert asked(gateway).status == 200
    token = next(iter(issuer.valid))
    issuer.valid.clear()
    issuer.answers[TOKENS] = fails(503)
    reply = asked(gateway)  # the provider repeats the token in its error
    assert reply.status != 200 and token not in reply.body.decode()
    assert token not in gateway.logged()
    for file in Path(gateway.state).rglob("*"):
        assert not file.is_file() or token.encode() not in file.read_bytes(), file


def test_a_reload_keeps_what_is_held_and_a_changed_table_fetches_anew(
    issuer: Issuer, start_gateway: StartGateway
) -> None:
    issuer.answers[TOKENS] = issuer.oauth(600.0)
    gateway = before(issuer, start_gateway)
    assert asked(gateway).status == 200
    text = gateway.config.read_text()
    gateway.config.write_text(f'{text}[aliases]\nfast = "azure/gpt-x"\n')
    until(lambda: gateway.chat(f"x {next(NUMBERS)}", model="fast").status == 200, every_s=0.1)
    assert len(issuer.calls(TOKENS)) == 1
    gateway.config.write_text(text.replace("client-1", "client-2"))
    until(lambda: asked(gateway).status == 200 and len(issuer.calls(TOKENS)) == 2, every_s=0.1)
    assert issuer.calls(TOKENS)[-1].form["client_id"] == "client-2"


def test_streams_and_embeddings_bring_the_token_too(issuer: Issuer, start_gateway: StartGateway) -> None:
    issuer.answers[TOKENS] = issuer.oauth(600.0)
    gateway = before(issuer, start_gateway)
    gateway.post("/v1/embeddings", {"model": "azure/e", "input": "a"})
    gateway.post("/v1/responses", {"model": "azure/gpt-x", "input": "a"})
    gateway.chat("x", model="azure/gpt-x", stream=True)
    calls = [one for one in issuer.asked if one.path != TOKENS]
    assert {one.path.rpartition("/")[2] for one in calls} >= {"embeddings", "completions"}
    assert all(one.headers["authorization"].removeprefix("Bearer ") in issuer.valid for one in calls)
