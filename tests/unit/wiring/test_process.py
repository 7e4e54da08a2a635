"""The life of one process: its key for users, and a watcher that nothing ends."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from farthing.config import key_digest, load
from farthing.errors import ConfigError
from farthing.models.pricing.cost import cost_nusd
from farthing.stores.user_key import user_key
from farthing.types import Usage
from farthing.wiring import build
from farthing.wiring.process import Gateway

CONFIG = """
state_dir = "{state}"
[server]
port = 0
[[answers]]
name = "greeting"
phrases = ["hello"]
text = "{text}"
[providers.a]
base_url = "http://127.0.0.1:9/v1"
[tiers.cheap]
targets = ["a/small"]
"""


def test_the_key_for_users_is_made_once_and_readable_by_us_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    key = user_key(state)
    assert len(key) == 32 and user_key(state) == key
    assert [path.name for path in state.iterdir()] == ["user.key"]
    assert (state / "user.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("left", [b"", b"short"])
def test_a_key_that_was_not_written_whole_is_made_anew(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "user.key").write_bytes(left)
    key = user_key(tmp_path)
    assert len(key) == 32 and user_key(tmp_path) == key


def test_processes_that_make_the_key_at_once_have_the_same(tmp_path: Path) -> None:
    for turn in range(10):
        folder = tmp_path / str(turn)
        with ThreadPoolExecutor(8) as pool:
            keys = set(pool.map(user_key, [folder] * 8))
        assert len(keys) == 1 and len(list(folder.iterdir())) == 1


def test_where_no_key_can_be_kept_the_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="set state_dir"):
        user_key(tmp_path / "file")


@pytest.mark.slow
def test_a_storm_of_signals_is_two_reloads_and_the_last_word_counts(tmp_path: Path) -> None:
    path = tmp_path / "farthing.toml"
    path.write_text(CONFIG.format(state=tmp_path / "state", text="one"))

    async def go() -> None:
        gateway = Gateway(load(path, {}), source=path, env={})
        ready = asyncio.Event()
        running = asyncio.ensure_future(gateway.run(lambda port: ready.set()))
        await ready.wait()
        gateway._stamp = None  # what watches the file must not apply it too
        for number in range(500):
            gateway._reload_soon()
            if number == 400:
                path.write_text(CONFIG.format(state=tmp_path / "state", text="the last"))
        assert len(gateway._told) == 2
        await asyncio.gather(*gateway._told)
        assert "the last" in str(gateway._config)
        assert gateway._gauges()["reloads_applied"] <= 3
        gateway._reload_soon()
        assert len(gateway._told) == 1, "one that comes after them counts again"
        await asyncio.gather(*gateway._told)
        gateway.stop()
        assert await running == 0

    asyncio.run(go())


@pytest.mark.slow
def test_a_fault_of_ours_at_a_reload_is_logged_and_counted_and_the_next_one_is_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "farthing.toml"
    state = tmp_path / "state"
    path.write_text(CONFIG.format(state=state, text="one"))

    def reloads(gateway: Gateway) -> dict[str, float]:
        gauges = gateway._gauges()
        return {name: gauges[name] for name in ("reloads_applied", "reloads_refused")}

    async def until(gateway: Gateway, wanted: dict[str, float]) -> None:
        async with asyncio.timeout(60):
            while reloads(gateway) != wanted:  # noqa: ASYNC110  # there is no event to wait for
                await asyncio.sleep(0.02)

    async def go() -> None:
        gateway = Gateway(load(path, {}), source=path, env={})
        ready = asyncio.Event()
        running = asyncio.ensure_future(gateway.run(lambda port: ready.set()))
        await ready.wait()

        def broken(*_: object) -> None:
            raise RuntimeError("a fault of ours")

        monkeypatch.setattr("farthing.wiring.process.build", broken)
        path.write_text(CONFIG.format(state=state, text="two and more"))
        await until(gateway, {"reloads_applied": 0, "reloads_refused": 1})
        monkeypatch.setattr("farthing.wiring.process.build", build.build)
        path.write_text(CONFIG.format(state=state, text="three, and even more"))
        await until(gateway, {"reloads_applied": 1, "reloads_refused": 1})
        gateway.stop()
        assert await running == 0

    with caplog.at_level(logging.ERROR, "farthing.gateway"):
        asyncio.run(go())
    assert "RuntimeError: a fault of ours" in caplog.text and "Traceback" in caplog.text


def test_what_takes_a_restart_is_told_by_what_runs_and_not_by_the_last_reload(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, state = tmp_path / "farthing.toml", tmp_path / "state"
    as_it_runs = CONFIG.format(state=state, text="one").replace("port = 0", 'port = 0\nhost = "0.0.0.0"')
    as_it_runs = as_it_runs.replace("[server]", "[server]\nallow_keyless = true")
    moved = as_it_runs.replace("/state", "/other").replace("0.0.0.0", "127.0.0.1") + (
        '[log]\nlevel = "warning"\n[jobs]\nat_once = 7\n'
    )

    async def go() -> None:
        path.write_text(as_it_runs)
        gateway = Gateway(load(path, {}), source=path, env={})
        ready = asyncio.Event()
        running = asyncio.ensure_future(gateway.run(lambda port: ready.set()))
        await ready.wait()

        async def told(text: str) -> set[str]:
            async with gateway._reloading:  # what watches the file reads it before, or as it is from now on
                caplog.clear()
                path.write_text(text)
            await gateway.reload()
            return {
                record.getMessage().partition(" has changed since the start")[0]
                for record in caplog.records
                if record.getMessage().endswith("still has its old value: restart to apply it")
            }

        waiting = {"state_dir", "server.host", "log", "jobs.at_once"}
        assert await told(moved) == waiting
        assert await told(f"{moved}# touched\n") == waiting, "still not what runs"
        assert await told(as_it_runs) == set(), "what runs is what the file says again"
        assert await told(as_it_runs.replace("allow_keyless = true", "")) == set(), "refused: open to others"
        assert gateway._gauges()["reloads_refused"] == 1
        gateway.stop()
        assert await running == 0

    with caplog.at_level(logging.INFO, "farthing"):
        asyncio.run(go())


def test_a_file_that_says_again_where_we_listen_opens_nothing(tmp_path: Path) -> None:
    path, state = tmp_path / "farthing.toml", tmp_path / "state"
    key = f'[[keys]]\ntenant = "t"\ndigest = "{key_digest("sk-one")}"\n'
    as_it_runs = (
        CONFIG.format(state=state, text="one").replace("port = 0", 'port = 0\nhost = "0.0.0.0"') + key
    )

    async def go() -> None:
        path.write_text(as_it_runs)
        gateway = Gateway(load(path, {}), source=path, env={})
        ready = asyncio.Event()
        running = asyncio.ensure_future(gateway.run(lambda port: ready.set()))
        await ready.wait()
        for text in (as_it_runs.replace("0.0.0.0", "127.0.0.1"), as_it_runs):
            path.write_text(text)
            await gateway.reload()
        assert gateway._gauges()["reloads_refused"] == 0
        gateway.stop()
        assert await running == 0

    asyncio.run(go())


def test_the_start_and_each_reload_warn_with_the_line_in_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, state = tmp_path / "farthing.toml", tmp_path / "state"
    text = CONFIG.format(state=state, text="one")
    line = text[: text.index("targets")].count("\n") + 1
    said = "tiers.cheap.targets[0]: a/small has no known price"

    async def go() -> None:
        path.write_text(text)
        gateway = Gateway(load(path, {}), source=path, env={"FARTHING_PORT": "1"})
        ready = asyncio.Event()
        running = asyncio.ensure_future(gateway.run(lambda port: ready.set()))
        await ready.wait()
        assert f"{path}:{line}: {said}" in caplog.text
        assert "FARTHING_PORT is not read: did you mean FARTHING__SERVER__PORT?" in caplog.text
        path.write_text(f"# one line more\n{text}")
        await gateway.reload()
        assert f"{path}:{line + 1}: {said}" in caplog.text
        gateway.stop()
        assert await running == 0

    with caplog.at_level(logging.WARNING, "farthing"):
        asyncio.run(go())


def test_a_price_holds_from_the_first_minute_of_its_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "farthing.toml"
    text = CONFIG.format(state=tmp_path / "state", text="one")
    price = '[[prices]]\ntarget = "a/small"\nsince = "{}"\ninput = {}\noutput = 9\n'
    path.write_text(text + price.format("2026-05-01", 1) + price.format("2026-06-01", 2))
    day = ["2026-05-31"]
    monkeypatch.setattr("farthing.models.pricing.catalogue.today", lambda: day[0])

    def cost(gateway: Gateway) -> int | None:
        target = gateway._edge.serving.steps.money._targets("a/small")
        assert target is not None
        return cost_nusd(target.price, Usage(input_tokens=1_000_000))

    async def go() -> None:
        gateway = Gateway(load(path, {}), source=path, env={})
        ready = asyncio.Event()
        running = asyncio.ensure_future(gateway.run(lambda port: ready.set()))
        await ready.wait()
        assert cost(gateway) == 1_000_000_000
        serving = gateway._edge.serving
        day[0] = "2026-06-01"
        async with asyncio.timeout(60):
            while gateway._edge.serving is serving:  # noqa: ASYNC110  # there is no event to wait for
                await asyncio.sleep(0.02)
        assert cost(gateway) == 2_000_000_000
        assert gateway._gauges()["reloads_applied"] == 0
        serving = gateway._edge.serving
        day[0] = "2026-06-02"
        assert not serving.prices_ended(), "nothing is built anew for a day with the same prices"
        gateway.stop()
        assert await running == 0

    asyncio.run(go())
