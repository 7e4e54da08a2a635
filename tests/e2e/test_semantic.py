"""The semantic cache in the real gateway, with the embedder and the verifier that are shipped."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import ROOT, Reply, Running, running, until
from tests.faults.provider import FaultProvider

CONFIG = """
[providers.a]
base_url = "{url}"
[tiers.cheap]
targets = ["a/first"]
[[prices]]
target = "a/first"
input = 1
output = 2
[brain]
timeout_s = 2.0
[admin]
port = 0
[endpoints.faq.cache.semantic]
mode = "on"
threshold = {threshold}
audit_share = 0.000001
tags = ["shop"]
[endpoints.look.cache.semantic]
mode = "observe"
[endpoints.checked.cache.semantic]
mode = "on"
threshold = {threshold}
audit_share = 0.000001
stale = "check"
[endpoints.german.cache.semantic]
mode = "on"
threshold = {threshold}
languages = ["en", "de"]
[[keys]]
tenant = "acme"
key = "${{ACME}}"
[[keys]]
tenant = "other"
key = "${{OTHER}}"
"""
KEYS = {"ACME": "acme-key-of-a-test", "OTHER": "other-key-of-a-test"}
ASKED = "How do I reset my password?"
ALIKE = "How do I reset my password, please?"


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    started = start_gateway(CONFIG.format(url=upstream.base_url, threshold=0.6), **KEYS)
    until(lambda: started.metric("farthing_semantic_ready") == 1)
    return started


def ask(gateway: Running, text: str, *, endpoint: str = "faq", key: str = "ACME", **more: Any) -> Reply:
    headers = {"authorization": f"Bearer {KEYS[key]}", **more.pop("headers", {})}
    return gateway.chat(text, headers=headers, model=f"farthing/{endpoint}", **more)


def cache_of(reply: Reply) -> str:
    assert reply.status == 200, reply.body
    return reply.headers["x-farthing-cache"]


def kept(gateway: Running, count: int) -> None:
    """Wait until that many entries are indexed: they are written behind the answer."""
    until(lambda: gateway.metric("farthing_semantic_entries") >= count)


def entries(gateway: Running) -> int:
    return int(gateway.metric("farthing_semantic_entries"))


def command(gateway: Running, *words: str) -> Any:
    """Run `farthing cache ... --json` beside the gateway."""
    code = "from farthing.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "cache", *words, "--config", str(gateway.config), "--json"],
        capture_output=True,
        env={
            **os.environ,
            **KEYS,
            "PYTHONPATH": str(ROOT / "src"),
            "FARTHING__STATE_DIR": str(gateway.state),
        },
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def admin_port(gateway: Running) -> int:
    line = next(line for line in gateway.logged().splitlines() if "operators at" in line)
    return int(line.rpartition(":")[2].rstrip('"}').split('"')[0])


def test_other_words_get_the_stored_answer_and_the_receipt_says_so(gateway: Running) -> None:
    before = entries(gateway)
    first = ask(gateway, ASKED)
    assert cache_of(first) == "miss"
    kept(gateway, before + 1)
    reply = ask(gateway, ALIKE)
    assert cache_of(reply) == "semantic", gateway.receipt_of(reply)
    assert reply.json["choices"][0]["message"]["content"] == f"echo: {ASKED}"
    receipt = gateway.receipt_of(reply)
    assert receipt.cost_nusd == 0
    assert receipt.cache_entry.startswith("e")
    assert receipt.similarity is not None and 0.7 < receipt.similarity < 1.0
    assert receipt.cache_probability is not None and receipt.cache_probability >= 0.6
    streamed = ask(gateway, ALIKE, stream=True)
    assert cache_of(streamed) == "semantic" and streamed.said == f"echo: {ASKED}"


def test_another_number_is_another_question(gateway: Running) -> None:
    before = entries(gateway)
    ask(gateway, "How do I cancel a plan after 14 days?")
    kept(gateway, before + 1)
    assert cache_of(ask(gateway, "How do I cancel a plan after 30 days?")) == "miss"


def test_another_tenant_or_history_never_gets_it(gateway: Running) -> None:
    before = entries(gateway)
    text = "Which documents do I need to open a shop?"
    ask(gateway, text)
    kept(gateway, before + 1)
    assert cache_of(ask(gateway, f"{text} ", key="OTHER")) == "miss"
    history = [
        {"role": "user", "content": "Tell me of shops"},
        {"role": "assistant", "content": "They sell things."},
        {"role": "user", "content": f"{text} "},
    ]
    reply = ask(gateway, text, messages=history)
    assert cache_of(reply) == "miss"
    assert gateway.receipt_of(reply).cache_entry == ""


def test_observing_says_what_would_have_been_served(gateway: Running) -> None:
    before = entries(gateway)
    ask(gateway, ASKED, endpoint="look")
    kept(gateway, before + 1)
    reply = ask(gateway, ALIKE, endpoint="look")
    assert cache_of(reply) == "miss"
    assert reply.json["choices"][0]["message"]["content"] == f"echo: {ALIKE}"
    receipt = gateway.receipt_of(reply)
    assert receipt.cache_entry and receipt.cache_probability is not None, receipt


def test_a_client_that_says_no_cache_gets_a_fresh_answer(gateway: Running) -> None:
    before = entries(gateway)
    ask(gateway, "How do I change the language of the shop?")
    kept(gateway, before + 1)
    other = "How do I change the language of the shop, please?"
    assert cache_of(ask(gateway, other)) == "semantic"
    assert cache_of(ask(gateway, other, headers={"cache-control": "no-cache"})) == "miss"
    until(lambda: entries(gateway) == before + 1)  # the fresh answer has taken the place of the old one
    reply = ask(gateway, "How do I leave the shop?", headers={"cache-control": "no-store"})
    assert cache_of(reply) != "semantic"
    ask(gateway, "Where do I find the terms of the shop?")
    kept(gateway, before + 2)  # what was to be written before it has been
    assert entries(gateway) == before + 2


ANOTHER_ANSWER = [
    ("What does == do in JavaScript?", "What does === do in JavaScript?"),
    ("Is 5<3 true or not?", "Is 5>3 true or not?"),
    ("Where do I put my résumé?", "Where do I put my resume?"),
    ("What does the version 3.1 bring?", "What does the version 3.10 bring?"),
]
NOT_KEPT = [
    ("Translate 你好", "Translate 再见"),
    ("What does 👍 mean in a chat?", "What does 👎 mean in a chat?"),
    ("What does ∀ mean in logic?", "What does ∃ mean in logic?"),
    ("เมืองหลวงของฝรั่งเศสคือที่ไหน", "วิธีทำข้าวผัด"),
    ("如何开启深色模式?", "如何关闭深色模式?"),
    ("Как открыть счёт?", "Как закрыть счёт?"),
    ("¿Cuántos años tienes?", "¿Cuántos anos tienes?"),
    ("abrir cuenta", "cerrar cuenta"),
    ("Wie aktiviere ich den dunklen Modus?", "Wie deaktiviere ich den dunklen Modus?"),
]


@pytest.mark.parametrize(("stored", "asked"), ANOTHER_ANSWER)
def test_signs_that_differ_ask_for_another_answer(gateway: Running, stored: str, asked: str) -> None:
    before = entries(gateway)
    ask(gateway, stored)
    kept(gateway, before + 1)
    reply = ask(gateway, asked)
    assert cache_of(reply) == "miss"
    assert gateway.receipt_of(reply).cache_entry, "what was stored was near, and was turned down"


def test_what_is_in_no_certified_language_or_cannot_be_read_is_neither_kept_nor_served(
    gateway: Running,
) -> None:
    before = entries(gateway)
    for stored, asked in NOT_KEPT:
        ask(gateway, stored)
        reply = ask(gateway, asked)
        assert cache_of(reply) == "miss", asked
        receipt = gateway.receipt_of(reply)
        assert (receipt.cache_entry, receipt.cache_language) == ("", ""), asked
    english = ask(gateway, "How do I add a third user to the shop?")  # behind them in the queue
    kept(gateway, before + 1)
    assert entries(gateway) == before + 1
    assert gateway.receipt_of(english).cache_language == "en"


def test_another_language_that_is_allowed_is_observed_until_it_has_a_certificate(gateway: Running) -> None:
    before = entries(gateway)
    asked = "Wie kann ich mein Konto wieder schließen?"
    ask(gateway, asked, endpoint="german")
    kept(gateway, before + 1)
    reply = ask(gateway, f"{asked} Bitte!", endpoint="german")
    assert cache_of(reply) == "miss"
    receipt = gateway.receipt_of(reply)
    assert receipt.cache_entry and receipt.cache_language == "de"
    assert "questions in 'de' are only observed" in gateway.logged()


def test_personal_questions_are_never_kept(gateway: Running) -> None:
    before = entries(gateway)
    reply = ask(gateway, "What is my account balance?")
    assert cache_of(reply) == "miss"
    ask(gateway, "How do I add a second user to the shop?")  # behind it in the queue
    kept(gateway, before + 1)
    assert entries(gateway) == before + 1


def test_the_command_line_drops_what_was_shown_and_the_gateway_serves_it_no_more(gateway: Running) -> None:
    before = entries(gateway)
    text, other = "Where do I find the size table?", "Where do I find the size table, please?"
    first = ask(gateway, text)
    kept(gateway, before + 1)
    assert cache_of(ask(gateway, other)) == "semantic"
    request_id = first.headers["x-request-id"]
    shown = command(gateway, "invalidate", "--request", request_id)
    assert isinstance(shown, dict) and shown["entries"] == 1 and shown["applied"] is False
    assert shown["examples"][0]["question"] == text
    assert cache_of(ask(gateway, other)) == "semantic", "a dry run changes nothing"
    command(gateway, "invalidate", "--request", request_id, "--apply")
    assert cache_of(ask(gateway, other)) == "miss", "at once, without a gap"
    (row, *_) = command(gateway, "log")
    assert row["what"] == {"request": request_id} and row["dropped"] == 1


def test_what_one_user_brought_in_can_be_traced_and_purged(gateway: Running) -> None:
    before = entries(gateway)
    first = ask(gateway, "How do I rent a hall?", user="mallory")
    ask(gateway, "How do I book a band?", user="jo")
    kept(gateway, before + 2)
    (found,) = command(gateway, "invalidate", "--user", "mallory", "--apply")["examples"]
    assert found["question"] == "How do I rent a hall?"
    assert found["request"] == first.headers["x-request-id"]
    assert found["user"] == gateway.receipt_of(first).user != ""
    assert cache_of(ask(gateway, "How do I rent a hall, please?")) == "miss"
    assert cache_of(ask(gateway, "How do I book a band, please?")) == "semantic"


def test_what_is_invalidated_is_not_served_to_the_very_same_words_either(gateway: Running) -> None:
    before = entries(gateway)
    text = "How do I clean a carpet?"
    ask(gateway, text)
    kept(gateway, before + 1)
    assert cache_of(ask(gateway, text)) == "exact"
    command(gateway, "invalidate", "--endpoint", "faq", "--apply")
    until(lambda: cache_of(ask(gateway, text, headers={"cache-control": "max-age=60"})) == "miss")
    operators = Running(gateway.process, admin_port(gateway), gateway.state, gateway.config, gateway.log)
    assert cache_of(ask(gateway, text)) == "exact", "the fresh answer"
    alike = "How do I clean a carpet, please?"
    until(lambda: cache_of(ask(gateway, alike)) == "semantic")  # it is kept behind the answer
    operators.post("/admin/cache/invalidate", {"select": {"endpoint": "faq"}, "apply": True})
    assert cache_of(ask(gateway, text)) == "miss", "over HTTP it is so at once"


def test_the_same_words_from_another_version_of_a_document_are_answered_anew(gateway: Running) -> None:
    text = "May I return a carpet?"
    old, new = ({"x-farthing-documents": f"returns@{version}"} for version in (1, 2))
    assert cache_of(ask(gateway, text, headers=old)) == "miss"
    assert cache_of(ask(gateway, text, headers=old)) == "exact"
    assert cache_of(ask(gateway, text, headers=new)) == "miss"


def test_where_it_is_configured_an_invalidated_entry_is_doubted_until_a_fresh_answer_agrees(
    gateway: Running,
) -> None:
    before = entries(gateway)
    text = "How do I wrap a present?"
    ask(gateway, text, endpoint="checked")
    kept(gateway, before + 1)
    done = command(gateway, "invalidate", "--endpoint", "checked", "--apply")
    assert isinstance(done, dict) and done["entries"] == 1
    assert cache_of(ask(gateway, f"{text}?", endpoint="checked")) == "miss"
    shown = command(gateway, "show")
    assert isinstance(shown, dict)
    assert next(row for row in shown["endpoints"] if row["endpoint"] == "checked")["entries"] == 1


def test_operators_invalidate_over_a_listener_of_their_own(gateway: Running) -> None:
    before = entries(gateway)
    text, other = "How do I print a label?", "How do I print a label, please?"
    ask(gateway, text)
    kept(gateway, before + 1)
    assert gateway.request("GET", "/admin/cache").status == 404, "not where clients ask"
    operators = Running(gateway.process, admin_port(gateway), gateway.state, gateway.config, gateway.log)
    shown = operators.request("GET", "/admin/cache").json
    assert {row["endpoint"] for row in shown["endpoints"]} >= {"faq"}
    path = "/admin/cache/invalidate"
    dry = operators.post(path, {"select": {"tag": "shop"}})
    assert dry.status == 200 and dry.json["applied"] is False and dry.json["entries"] >= 1
    assert operators.post(path, {"select": {}}).status == 400
    assert operators.post(path, {"select": {"colour": "red"}}).status == 400
    assert operators.post(path, {"select": {"tag": "x"}}, {"origin": "https://example.com"}).status == 403
    assert operators.request("GET", path).status == 405
    done = operators.post(path, {"select": {"tag": "shop"}, "apply": True, "who": "jo"})
    assert done.json["applied"] is True
    assert cache_of(ask(gateway, other)) == "miss"
    (row, *_) = command(gateway, "log")
    assert row["who"] == "the API: jo"


def test_connections_that_say_nothing_lock_no_operator_out(gateway: Running) -> None:
    port = admin_port(gateway)
    operators = Running(gateway.process, port, gateway.state, gateway.config, gateway.log)
    half = b"GET /admin/cache HTTP/1.1\r\nhost: localhost\r\n"
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
    try:
        for number, connection in enumerate(silent):
            if number % 2:
                connection.sendall(half)
        for _ in range(3):
            assert operators.request("GET", "/admin/cache").status == 200
        connection = silent[-1]  # came last, so it still has its place
        connection.sendall(b"\r\n")
        connection.settimeout(5)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        silent[0].settimeout(5)
        assert _ended(silent[0]), "the one that was quiet longest made room"
    finally:
        for connection in silent:
            connection.close()


def _ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True


def test_the_operators_key_is_needed_where_one_is_set(tmp_path: Path, upstream: FaultProvider) -> None:
    config = CONFIG.format(url=upstream.base_url, threshold=0.6)
    config = config.replace("[admin]\n", '[admin]\nkey = "${OPERATOR}"\n')
    with running(config, tmp_path, {**KEYS, "OPERATOR": "operators-key"}) as gateway:
        until(lambda: gateway.metric("farthing_semantic_ready") == 1)
        operators = Running(gateway.process, admin_port(gateway), gateway.state, gateway.config, gateway.log)
        for headers in ({}, {"authorization": f"Bearer {KEYS['ACME']}"}, {"authorization": "operators-key"}):
            assert operators.request("GET", "/admin/cache", headers=headers).status == 401
        right = {"authorization": "Bearer operators-key"}
        assert operators.request("GET", "/admin/cache", headers=right).status == 200
        assert "operators-key" not in gateway.logged()


def test_a_reload_turns_it_on_and_what_was_learned_observing_is_served(
    tmp_path: Path, upstream: FaultProvider
) -> None:
    on = CONFIG.format(url=upstream.base_url, threshold=0.6)
    off = on.replace('mode = "on"', 'mode = "off"').replace('mode = "observe"', 'mode = "off"')
    with running(off, tmp_path, KEYS) as gateway:

        def apply(config: str) -> None:
            before = gateway.metric("farthing_reloads_applied")
            gateway.config.write_text(config)
            until(lambda: gateway.metric("farthing_reloads_applied") > before)

        assert cache_of(ask(gateway, ASKED)) == "miss"
        assert gateway.metric("farthing_semantic_ready") == 0
        apply(on.replace('mode = "on"', 'mode = "observe"'))
        until(lambda: gateway.metric("farthing_semantic_ready") == 1)
        ask(gateway, f"{ASKED}!")
        kept(gateway, 1)
        assert cache_of(ask(gateway, ALIKE)) == "miss"
        apply(on)
        assert cache_of(ask(gateway, f"{ALIKE}!")) == "semantic"


def test_a_remote_embedder_serves_too_and_what_it_charges_is_part_of_the_cost(
    tmp_path: Path, upstream: FaultProvider
) -> None:
    config = CONFIG.format(url=upstream.base_url, threshold=0.6) + (
        '[cache.semantic.embedder]\nkind = "remote"\nprovider = "a"\nmodel = "embed"\ndims = 8\n'
        "usd_per_million = 100\n"
        '[endpoints.faq.cache]\nexact = "off"\n'
    )
    with running(config, tmp_path, KEYS) as gateway:
        until(lambda: gateway.metric("farthing_semantic_ready") == 1)
        fresh = gateway.receipt_of(ask(gateway, ASKED))
        assert fresh.embedding_nusd > 0 and fresh.cost_nusd is not None
        assert fresh.attempts[0].cost_nusd == fresh.cost_nusd - fresh.embedding_nusd
        kept(gateway, 1)
        reply = ask(gateway, ASKED)
        hit = gateway.receipt_of(reply)
        assert cache_of(reply) == "semantic", hit
        assert hit.cost_nusd == hit.embedding_nusd > 0 and hit.calls == 0


def test_a_remote_embedding_that_comes_too_late_is_charged_for_and_counted(
    tmp_path: Path, upstream: FaultProvider
) -> None:
    config = CONFIG.format(url=upstream.base_url, threshold=0.6).replace("timeout_s = 2.0", "timeout_s = 0.1")
    config += (
        '[cache.semantic.embedder]\nkind = "remote"\nprovider = "a"\nmodel = "fault:delay=0.4"\ndims = 8\n'
        "usd_per_million = 100\n"
        '[endpoints.faq.cache]\nexact = "off"\n'
    )
    with running(config, tmp_path, KEYS) as gateway:
        until(lambda: gateway.metric("farthing_semantic_ready") == 1)
        receipt = gateway.receipt_of(ask(gateway, ASKED))
        assert receipt.skipped == {"semantic": "TimeoutError"} and receipt.status == 200
        assert receipt.embedding_nusd > 0 and receipt.cost_nusd is not None
        assert receipt.attempts[0].cost_nusd == receipt.cost_nusd - receipt.embedding_nusd


def test_on_without_threshold_or_certificate_is_refused_by_name(tmp_path: Path) -> None:
    config = (
        '[providers.a]\nbase_url = "http://127.0.0.1:9/v1"\n[tiers.cheap]\ntargets = ["a/first"]\n'
        '[endpoints.faq.cache.semantic]\nmode = "on"\n'
    )
    with pytest.raises(RuntimeError, match="farthing calibrate cache"), running(config, tmp_path):
        pass


@pytest.fixture
def killed(tmp_path: Path, upstream: FaultProvider) -> Iterator[tuple[str, Path]]:
    yield CONFIG.format(url=upstream.base_url, threshold=0.6), tmp_path


def test_after_a_kill_the_file_opens_and_index_and_entries_agree(killed: tuple[str, Path]) -> None:
    config, folder = killed
    asked = 0
    for life in range(3):
        with running(config, folder, KEYS) as gateway:
            until(lambda gateway=gateway: gateway.metric("farthing_semantic_ready") == 1)  # type: ignore[misc]
            if life:
                shown = command(gateway, "show")
                assert isinstance(shown, dict) and shown["entries"] == entries(gateway) > 0
            end_s = time.monotonic() + 0.4
            while time.monotonic() < end_s:
                asked += 1
                assert ask(gateway, f"How do I mend a lamp of type number {asked}?").status == 200
            gateway.signal(signal.SIGKILL)
            gateway.process.wait(60)
    assert not list(folder.rglob("*.corrupt*"))
