"""A reload never opens a gateway: what is shut stays shut until somebody says that it is meant."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from tests.e2e.gateway import Running, running, until
from tests.faults.provider import FaultProvider

from farthing.config import key_digest

KEY = f'[[keys]]\ntenant = "t"\ndigest = "{key_digest("sk-good")}"\n'
GOOD = {"authorization": "Bearer sk-good"}


def provider(upstream: FaultProvider) -> str:
    return f'[providers.a]\nbase_url = "{upstream.base_url}"\n[tiers.cheap]\ntargets = ["a/good"]\n'


def write_and_signal(gateway: Running, text: str) -> None:
    gateway.config.write_text(text)
    os.kill(gateway.process.pid, signal.SIGHUP)


def refused(gateway: Running, text: str, why: str, *, by_signal: bool = True) -> None:
    """Write `text` and wait until it is refused for the reason `why`."""
    before = gateway.metric("farthing_reloads_refused")
    if by_signal:
        write_and_signal(gateway, text)
    else:
        gateway.config.write_text(text)
    until(lambda: gateway.metric("farthing_reloads_refused") > before)
    told = {"status": "ok", "reload": "refused", "reason": why}
    until(lambda: (reply := gateway.request("GET", "/readyz")).status == 200 and reply.json == told)
    assert gateway.metric("farthing_config_stale") == 1.0


def applied(gateway: Running, text: str) -> None:
    before = gateway.metric("farthing_reloads_applied")
    write_and_signal(gateway, text)
    until(lambda: gateway.metric("farthing_reloads_applied") > before)
    assert gateway.request("GET", "/readyz").json == {"status": "ok"}
    assert gateway.metric("farthing_config_stale") == 0.0


@pytest.mark.parametrize("by_signal", [True, False], ids=["signal", "watched"])
def test_a_file_without_keys_is_refused_while_there_are_keys(
    upstream: FaultProvider, tmp_path: Path, by_signal: bool
) -> None:
    rest = provider(upstream)
    with running(KEY + rest, tmp_path) as gateway:
        refused(gateway, rest, "keys_gone", by_signal=by_signal)
        assert gateway.chat().status == 401
        assert gateway.chat(headers=GOOD).status == 200
        assert gateway.metric("farthing_reloads_refused_open") >= 1.0
        assert "reload refused" in gateway.logged() and "no key is left" in gateway.logged()
        applied(gateway, KEY.replace('"t"', '"u"') + rest)
        assert gateway.chat().status == 401
        applied(gateway, "[server]\nallow_keyless = true\n" + rest)
        assert gateway.chat().status == 200


def test_a_file_without_hosts_is_refused_while_there_are_some(
    upstream: FaultProvider, tmp_path: Path
) -> None:
    rest = provider(upstream)
    hosts = '[server]\nhosts = ["127.0.0.1", "llm.example"]\n'
    with running(hosts + rest, tmp_path) as gateway:
        refused(gateway, rest, "hosts_gone")
        assert gateway.chat(headers={"host": "evil.example"}).status == 400
        applied(gateway, hosts.replace("llm.example", "other.example") + rest)
        assert gateway.chat(headers={"host": "llm.example"}).status == 400
        assert gateway.chat(headers={"host": "other.example"}).status == 200


def test_a_key_that_stays_keeps_its_limits(upstream: FaultProvider, tmp_path: Path) -> None:
    """The last line of a file that was cut at the end of a line may be the list of the last key."""
    rest = provider(upstream)
    for limit in ('tiers = ["cheap"]', 'models = ["cheap"]', "requests_per_minute = 600"):
        with running(f"{rest}{KEY}{limit}\n", tmp_path) as gateway:
            refused(gateway, f"{rest}{KEY}", "scope_gone")
            applied(gateway, f"{rest}{KEY}{limit.replace('600', '700')}\n# more\n")
            applied(gateway, f"[server]\nallow_keyless = true\n{rest}{KEY}")


@pytest.mark.parametrize("key", [KEY, ""], ids=["keys", "no keys"])
def test_a_wider_address_is_refused(upstream: FaultProvider, tmp_path: Path, key: str) -> None:
    rest = provider(upstream)
    with running(key + rest, tmp_path) as gateway:
        for host in ("0.0.0.0", "::"):
            why = "host_widened" if key else "not_good"
            refused(gateway, f'[server]\nhost = "{host}"\n{key}{rest}', why)


def test_half_a_file_is_refused_wherever_it_is_cut(upstream: FaultProvider, tmp_path: Path) -> None:
    """The keys stand last, so that every cut takes some of them."""
    second = KEY.replace(key_digest("sk-good"), key_digest("sk-b"))
    text = f'{provider(upstream)}{KEY}{second}tiers = ["cheap"]\n'
    with running(text, tmp_path) as gateway:
        start = text.index("[[keys]]")
        for cut in range(start - 1, len(text), 7):
            if text[cut - 1] != "\n":
                before = gateway.metric("farthing_reloads_refused")
                write_and_signal(gateway, text[:cut])
                until(lambda: gateway.metric("farthing_reloads_refused") > before)  # noqa: B023
            assert gateway.chat().status == 401, text[:cut]
        refused(gateway, text[:-1], "half_written")
        refused(gateway, text[:start], "keys_gone")
        refused(gateway, "", "half_written")
        applied(gateway, text)


def test_a_file_that_is_being_written_is_not_read(upstream: FaultProvider, tmp_path: Path) -> None:
    """Whole lines come one after another; a signal in between finds a valid file without the keys."""
    rest = provider(upstream)
    with running(KEY + rest, tmp_path) as gateway:
        done = threading.Event()

        def write() -> None:
            with gateway.config.open("w") as file:
                for line in (rest + KEY).splitlines(keepends=True):
                    file.write(line)
                    file.flush()
                    time.sleep(0.005)
            done.set()

        writing = threading.Thread(target=write)
        writing.start()
        while not done.is_set():
            os.kill(gateway.process.pid, signal.SIGHUP)
            assert gateway.chat().status == 401
        writing.join()
        until(lambda: gateway.request("GET", "/readyz").json == {"status": "ok"})
        assert gateway.chat(headers=GOOD).status == 200 and gateway.chat().status == 401
