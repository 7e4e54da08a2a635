"""Keys and replicas of one provider under a virtual clock: limits of rate, outages, sessions."""

import asyncio
import random
from collections import Counter, deque

import pytest
from tests.sim.upstream import KEYS, Call, Plan, World, run

KEY_A, KEY_B = KEYS["A"], KEYS["B"]
ONE_KEY = """
[providers.p]
base_url = "http://p.test/v1"
api_key = "${A}"
[tiers.all]
targets = ["p/m"]
[route]
default = "all"
rules = []
[cache]
exact = "off"
"""
TWO_KEYS = ONE_KEY.replace('"${A}"', '"${A}"\napi_keys = ["${B}"]')
TWO_PLACES = ONE_KEY.replace(
    "[tiers.all]", '[[providers.p.replicas]]\nbase_url = "http://q.test/v1"\nregion = "eu"\n[tiers.all]'
)
P, Q = "http://p.test:80", "http://q.test:80"


class Rates:
    """Each key may make so many calls in any second."""

    def __init__(self, per_s: int, window_s: float = 1.0) -> None:
        self._per_s = per_s
        self._window_s = window_s
        self._taken: dict[str, deque[float]] = {}

    def __call__(self, call: Call) -> Plan:
        taken = self._taken.setdefault(call.key, deque())
        while taken and taken[0] <= call.began_s - self._window_s:
            taken.popleft()
        if len(taken) >= self._per_s * self._window_s:
            wait_s = taken[0] + self._window_s - call.began_s
            return Plan(429, {b"retry-after-ms": b"%d" % (wait_s * 1000 + 1)})
        taken.append(call.began_s)
        return Plan(first_s=0.05)


def taken(world: World) -> Counter[str]:
    """The good calls of each key."""
    return Counter(call.key for call in world.upstream.calls if call.status == 200)


@pytest.mark.parametrize("seed", [1, 2])
def test_two_keys_double_the_rate_that_one_allows(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    good: dict[str, int] = {}
    for name, config in (("one", ONE_KEY), ("two", TWO_KEYS)):

        async def main(world: World, name: str = name) -> None:
            await world.offered(30, 20.0, seed)
            good[name] = sum(taken(world).values())

        run(monkeypatch, config, Rates(10), main, seed)
    assert good["two"] >= 1.8 * good["one"] > 0


def test_keys_share_the_load_and_a_pause_of_one_is_no_pause_of_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main(world: World) -> None:
        receipts = await world.offered(11, 30.0)
        share = taken(world)[KEY_A] / sum(taken(world).values())
        assert 0.4 < share < 0.6
        failed = [one for one in receipts if one.status != 200]
        assert len(failed) <= 0.01 * len(receipts), "together they have room for nearly all"
        labels = {attempt.lane for one in receipts for attempt in one.attempts}
        assert labels == {"key 1", "key 2"}
        busy = [one for one in receipts if one.attempts[0].error == "provider_busy"]
        assert len(busy) > 3
        assert all(one.attempts[1].lane != one.attempts[0].lane for one in busy)

    run(monkeypatch, TWO_KEYS, Rates(10), main)


@pytest.mark.parametrize("sessions", [0, 10])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_place_that_was_down_is_used_again_within_5_s_and_nobody_sees_that_it_was(
    monkeypatch: pytest.MonkeyPatch, sessions: int, seed: int
) -> None:
    back_s = 0.0
    down = P if seed % 2 else Q

    def serve(call: Call) -> Plan:
        return Plan(503) if call.address == down and 10.0 <= call.began_s < back_s else Plan(first_s=0.05)

    back_s = random.Random(seed).uniform(12.0, 25.0)

    async def main(world: World) -> None:
        asked = [
            world.offered(1, 40.0, seed + 10 * number, session=f"s{number}") for number in range(sessions)
        ]
        asked.append(world.offered(5 if sessions else 10, 40.0, seed))
        receipts = [one for some in await asyncio.gather(*asked) for one in some]
        assert all(one.status == 200 for one in receipts)
        good = [one.began_s for one in world.upstream.calls if one.address == down and one.began_s >= back_s]
        assert min(good) <= back_s + 5.0
        bad = [one for one in world.upstream.calls if one.status == 503]
        assert len(bad) <= 5 + (back_s - 10.0) / 5.0 + 1, "until the breaker opens, then one probe at a time"

    run(monkeypatch, TWO_PLACES, serve, main, seed)


def test_who_waits_for_keys_that_all_pause_does_not_come_back_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def serve(call: Call) -> Plan:
        return Plan(429, {b"retry-after": b"2"}) if call.began_s < 2.0 else Plan(first_s=0.05)

    async def main(world: World) -> None:
        receipts = await asyncio.gather(*(world.ask() for _ in range(200)))
        assert all(one.status == 200 for one in receipts)
        good = Counter(int(call.began_s * 100) for call in world.upstream.calls if call.status == 200)
        assert max(good.values()) <= 25, "of 200, in a hundredth of a second"

    run(monkeypatch, TWO_KEYS, serve, main)


def test_a_key_that_is_refused_rests_while_the_other_answers_everybody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def serve(call: Call) -> Plan:
        return Plan(401) if call.key == KEY_A else Plan(first_s=0.05)

    async def main(world: World) -> None:
        receipts = await world.offered(10, 50.0)
        assert all(one.status == 200 for one in receipts)
        refused = [call for call in world.upstream.calls if call.status == 401]
        assert 1 <= len(refused) <= 3, "once, and it rests for a minute"

    run(monkeypatch, TWO_KEYS, serve, main)
    told = [line for line in caplog.messages if "refused the gateway's own key" in line]
    assert len(told) == 1 and "key 1" in told[0] and KEY_A not in caplog.text


def test_a_session_stays_where_its_prefix_is_warm_and_moves_only_where_it_has_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def serve(call: Call) -> Plan:
        return Plan(503) if call.address == P and 100.0 <= call.began_s < 120.0 else Plan(first_s=0.5)

    async def main(world: World) -> None:
        loop = asyncio.get_running_loop()
        seen: dict[str, list[tuple[float, str]]] = {}

        async def session(name: str) -> None:
            for _ in range(30):
                at_s = loop.time()
                receipt = await world.ask(name)
                seen.setdefault(name, []).append((at_s, receipt.attempts[-1].lane))
                await asyncio.sleep(random.uniform(5.0, 10.0))

        await asyncio.gather(*(session(f"s{number}") for number in range(20)))
        homes = Counter(turns[0][1] for turns in seen.values())
        assert set(homes) == {"main", "replica eu"} and min(homes.values()) >= 4
        probed = 0
        for turns in seen.values():
            before = {lane for at_s, lane in turns if at_s < 100.0}
            after = [lane for at_s, lane in turns if at_s > 130.0]
            assert len(before) == 1
            probed += after != after[:1] * len(after)
            if before == {"main"}:
                assert set(after) == {"replica eu"} or after.count("main") <= 1, "warm is where it went"
        assert probed <= 2, "some request has to try whether a place is back"

    run(monkeypatch, TWO_PLACES, serve, main)


def test_what_begins_alike_goes_to_one_address_until_that_has_more_than_its_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    system = {"role": "system", "content": "Be brief. " * 500}

    async def main(world: World) -> None:
        for _ in range(20):
            await world.ask(messages=[system, {"role": "user", "content": "one at a time"}])
        assert len({call.address for call in world.upstream.calls}) == 1
        await asyncio.gather(
            *(world.ask(messages=[system, {"role": "user", "content": f"{n}"}]) for n in range(40))
        )
        crowd = Counter(call.address for call in world.upstream.calls[20:])
        assert max(crowd.values()) <= 31, "three quarters, and one"

    run(monkeypatch, TWO_PLACES, lambda call: Plan(first_s=1.0), main)


def test_a_place_that_is_slower_gets_fewer_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        await world.offered(40, 60.0)
        late = [call for call in world.upstream.calls if call.began_s > 20.0]
        counts = Counter(call.address for call in late)
        assert counts[P] > 2 * counts[Q] > 0

    run(monkeypatch, TWO_PLACES, lambda call: Plan(first_s=0.2 if call.address == P else 1.0), main)
