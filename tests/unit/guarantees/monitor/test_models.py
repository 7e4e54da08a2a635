"""A silent change of the model behind a target: told once, remembered, and no alarm for what is none."""

import logging

import pytest

from farthing.guarantees.monitor import models
from farthing.guarantees.monitor.models import ALARMS_MAX, FORGOTTEN_S, NAMES_MAX, ModelWatch

OLD, NEW = "gpt-4o-2024-08-06", "gpt-4o-2024-11-20"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.told: list[str] = []
        self.watch = ModelWatch(clock=self.clock)
        self.watch.told = self.told.append

    def answers(self, *names: str, asked: str = "gpt-4o", fingerprint: str = "") -> int:
        """How many alarms the answers raise."""
        before = len(self.told)
        for name in names:
            self.watch.answered("a/x", asked, "faq", name, fingerprint)
        return len(self.told) - before


def test_another_name_is_told_once_and_a_known_one_never(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    with caplog.at_level(logging.WARNING):
        assert world.answers(OLD, OLD, OLD) == 0 and not caplog.records
        assert world.answers(NEW, NEW, NEW) == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"a/x answers with another model, {NEW} instead of {OLD}; what was measured on its answers says "
        "nothing of it: calibrate again"
    ]
    [(target, change)] = world.watch.changes()
    assert (target, change.was, change.now) == ("a/x", OLD, NEW)


def test_servers_that_are_replaced_one_after_the_other_are_one_change() -> None:
    world = World()
    assert world.answers(OLD, *[NEW, OLD] * 500, NEW, NEW) == 1


def test_a_model_that_returns_after_a_day_is_a_change_again() -> None:
    world = World()
    assert world.answers(OLD, NEW) == 1
    world.clock.now_s += FORGOTTEN_S + 10
    assert world.answers(OLD) == 1


def test_what_names_nothing_or_less_is_no_change() -> None:
    world = World()
    assert world.answers("", OLD, "", OLD, "gpt-4o", OLD, "gpt-4o") == 0


def test_the_first_more_exact_name_of_an_alias_is_learnt_and_the_second_is_a_change() -> None:
    world = World()
    assert world.answers("gpt-4o", OLD) == 0
    assert world.answers(NEW) == 1
    other = World()
    assert other.answers("gpt-4o", "gpt-4omni") == 1, "another model, whose name begins alike"


def test_a_snapshot_that_was_asked_for_and_is_another_one_now_is_a_change() -> None:
    world = World()
    assert world.answers(OLD, asked=OLD) == 0
    assert world.answers(NEW, asked=OLD) == 1


def test_fingerprints_count_only_where_it_is_configured() -> None:
    world = World()
    assert [world.answers(OLD, fingerprint=f"fp_{n}") for n in range(20)] == [0] * 20
    world.watch.identity = "fingerprint"
    other = World()
    other.watch.identity = "fingerprint"
    assert other.answers(OLD, fingerprint="fp_1") == 0
    assert other.answers(OLD, fingerprint="fp_2") == 1
    assert other.answers(OLD, fingerprint="fp_1") == 0


def test_a_provider_that_makes_up_names_is_heard_a_few_times_a_day(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    with caplog.at_level(logging.WARNING):
        told = world.answers(*[f"m-{number}" for number in range(1_000)])
    assert told == ALARMS_MAX and len(caplog.records) == ALARMS_MAX + 1
    assert len(world.watch._seen["a/x"].names) <= NAMES_MAX
    world.clock.now_s += FORGOTTEN_S + 10
    assert world.answers("m-new") == 1


def test_targets_and_endpoints_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "TARGETS_MAX", 3)
    monkeypatch.setattr(models, "ENDPOINTS_MAX", 2)
    watch = ModelWatch(clock=Clock())
    for number in range(10):
        watch.answered(f"a/{number}", "x", f"e{number}", OLD, "")
        watch.answered("a/0", "x", f"e{number}", OLD, "")
    assert len(watch._seen) == 3 and len(watch._seen["a/0"].endpoints) == 2


def test_it_outlives_a_restart() -> None:
    world = World()
    world.answers(OLD, NEW)
    kept = world.watch.dump()
    assert not world.watch.changed
    after = World()
    after.clock.now_s = world.clock.now_s
    after.watch.restore(kept)
    assert after.answers(OLD, NEW) == 0 and after.answers("gpt-4o-2025-03-01") == 1
    assert after.watch.latest_at("faq") is not None and after.watch.latest_at("other") is None
    with pytest.raises(ValueError):
        after.watch.restore(b'{"version": 99, "targets": {}}')


def test_the_last_of_several_changes_counts() -> None:
    world = World()
    world.answers(OLD, NEW)
    world.watch.answered("b/y", "y", "faq", "y-1", "")
    world.watch.answered("b/y", "y", "faq", "y-2", "")
    found = world.watch.latest({"a/x", "b/y"})
    assert found is not None and found[0] == "b/y"
    assert world.watch.latest({"c/z"}) is None
    families = {name: list(values) for name, _, _, values in world.watch.families({"a/x"})}
    assert families["farthing_model_changes_total"] == [({"target": "a/x"}, 1.0)]
