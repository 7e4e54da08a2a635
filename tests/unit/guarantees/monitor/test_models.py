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
        self.suspended: tuple[str, ...] = ()
        self.watch.told = self._hear

    def _hear(self, target: str) -> tuple[str, ...]:
        self.told.append(target)
        return self.suspended

    def answers(
        self, *names: str, asked: str = "gpt-4o", fingerprint: str = "", target: str = "a/x", lane: str = ""
    ) -> int:
        """How many alarms the answers raise."""
        before = len(self.told)
        for name in names:
            self.watch.answered(target, asked, "faq", name, fingerprint, lane)
        return len(self.told) - before

    def fingerprints(self, *names: str) -> int:
        """As `answers`, of one model."""
        return sum(self.answers(OLD, fingerprint=name) for name in names)

    def days_later(self, days: float) -> None:
        self.clock.now_s += days * FORGOTTEN_S


def test_another_name_is_told_once_and_a_known_one_never(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    with caplog.at_level(logging.WARNING):
        assert world.answers(OLD, OLD, OLD) == 0 and not caplog.records
        assert world.answers(NEW, NEW, NEW) == 1
    [said] = [record.getMessage() for record in caplog.records]
    assert said == (
        f"since 1970-01-12 13:46 UTC a/x answers with another model, {NEW} instead of {OLD}, which it named "
        "since 1970-01-12 13:46 UTC; no certificate rests on it"
    )
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


def test_fingerprints_count_only_where_it_is_configured_and_are_learnt_for_a_day() -> None:
    world = World()
    assert world.fingerprints(*[f"fp_{n}" for n in range(20)]) == 0
    world.watch.serve("fingerprint", {"a/x"})
    assert world.fingerprints("fp_1", "fp_2", "fp_1", "", "fp_2") == 0, "several answer in turn"
    world.days_later(1.1)
    assert world.fingerprints("fp_2", *["fp_1", "fp_2"] * 50) == 0, "all day"
    assert world.fingerprints("fp_3", "fp_1", "fp_3") == 1
    found = world.watch.latest({"a/x"})
    assert found is not None and found[1].now == f"{OLD} fp_3"
    assert world.answers(NEW, fingerprint="fp_4") == 1, "one alarm where both change"
    assert world.answers(NEW, fingerprint="fp_5") == 0, "another model has others, which are learnt"


def test_another_identity_after_a_reload_or_a_restart_is_no_change() -> None:
    world = World()
    world.watch.serve("fingerprint", {"a/x"})
    world.fingerprints("fp_1")
    world.days_later(3)
    world.watch.serve("model", {"a/x"})
    assert world.fingerprints("fp_2", "fp_3") == 0
    world.watch.serve("fingerprint", {"a/x"})
    assert world.fingerprints("fp_2", "fp_3") == 0
    after = World()
    after.clock.now_s = world.clock.now_s
    after.watch.restore(world.watch.dump())
    after.watch.serve("model", {"a/x"})
    after.days_later(3)
    after.watch.serve("fingerprint", {"a/x"})
    assert after.fingerprints("fp_7", "fp_8") == 0
    assert after.answers(NEW, fingerprint="fp_8") == 1, "the model is known as before"


def test_only_what_is_configured_is_watched() -> None:
    world = World()
    world.watch.serve("model", {"a/x"})
    assert world.answers(OLD, NEW, target="a/whatever-a-client-names") == 0
    assert world.answers(OLD, NEW) == 1
    world.watch.serve("model", {"b/y"})
    assert world.answers("gpt-4o-2025-03-01") == 0
    assert set(world.watch._seen) == {"a/x"}


def test_each_address_is_watched_for_itself_and_its_keys_together() -> None:
    world = World()
    assert world.answers(OLD, lane="main, key 1") == 0
    assert world.answers(NEW, lane="replica eu") == 0, "it may have had another all along"
    world.days_later(30)
    assert world.answers(OLD, lane="main, key 2") == 0
    assert world.answers(NEW, lane="replica eu") == 0, "seldom asked is not changed"
    assert world.answers("gpt-4o-2025-03-01", lane="main, key 2") == 1
    assert world.answers("gpt-4o-2025-03-01", lane="main, key 1") == 0, "told once"
    assert world.answers("gpt-4o-2025-03-01", lane="replica eu") == 0
    found = world.watch.latest({"a/x"})
    assert found is not None and "at its address main" in found[1].alarm("a/x", ())


def test_two_that_answer_in_turn_now_and_then_are_soon_known() -> None:
    world = World()
    world.answers(OLD)
    told = []
    for _ in range(12):
        world.days_later(1.5)
        told.append(world.answers(NEW) + world.answers(OLD))
    assert sum(told) <= 3 and not any(told[4:])


def test_what_is_the_same_by_another_spelling_or_less_is_no_change() -> None:
    for asked, names in {
        "gpt-4o": (OLD, "gpt-4o", f"openai/{OLD}", "GPT-4o-2024-08-06", OLD),
        "prod": ("prod", "prod"),  # a deployment of Azure, a server's own name
        "prod-azure": ("gpt-4o", OLD, "gpt-4o", "prod-azure", OLD),
        "claude-sonnet-4@default": ("claude-sonnet-4@default", "claude-sonnet-4-20250514"),
        "claude-3-7-sonnet-latest": ("claude-3-7-sonnet-latest", "claude-3-7-sonnet-20250219"),
        "eu.anthropic.claude-3-haiku-20240307-v1:0": (
            "eu.anthropic.claude-3-haiku-20240307-v1:0",
            "anthropic.claude-3-haiku-20240307-v1:0",
        ),
        "gemini-2.5-flash": ("gemini-2.5-flash", "gemini-2.5-flash-preview-05-20", "models/gemini-2.5-flash"),
    }.items():
        world = World()
        assert world.answers(*names, asked=asked) == 0, asked
    world = World()
    world.answers(OLD, "gpt-4o")
    world.days_later(3)
    assert world.answers("gpt-4o", OLD) == 0, "the snapshot that it was"
    assert world.answers("gpt-4o", NEW) == 1


def test_a_smaller_model_is_no_snapshot_of_a_larger() -> None:
    for was, now in (
        ("gpt-4o", "gpt-4o-mini"),
        ("claude-opus-4", "claude-opus-4-1"),
        ("gpt-4", "gpt-4-32k"),
        ("llama-3", "llama-3-405b"),
        ("Qwen/x", "other/x"),
    ):
        assert World().answers(was, now, asked=was) == 1, now


def test_what_chooses_among_models_has_none_to_change() -> None:
    for asked in ("openrouter/auto", "model-router"):
        assert World().answers(*[f"m-{number}" for number in range(50)], asked=asked) == 0


def test_one_that_names_ever_new_ones_is_not_heard_each_day() -> None:
    world = World()
    told = []
    for day in range(5):
        told.append(world.answers(*[f"m-{day}-{number}" for number in range(40)]))
        world.days_later(0.9)
    assert told == [ALARMS_MAX, 0, 0, 0, 0]


def test_an_alarm_says_what_was_what_is_what_is_suspended_and_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.suspended = ("the semantic cache of faq (`farthing calibrate cache --endpoint faq --apply`)",)
    with caplog.at_level(logging.WARNING):
        world.answers(OLD, NEW)
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith("since 1970-01-12 13:46 UTC a/x answers with another model")
    for part in (OLD, NEW, "Suspended until it is measured again: the semantic cache of faq", "calibrate"):
        assert part in said


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
    assert len(watch._seen) == 3 and len(watch._seen["a/9"].endpoints) == 1
    watch.answered("a/9", "x", "e8", OLD, "")
    watch.answered("a/9", "x", "e7", OLD, "")
    assert len(watch._seen["a/9"].endpoints) == 2


def test_the_target_that_was_not_in_use_for_longest_is_forgotten_and_a_configured_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(models, "TARGETS_MAX", 3)
    watch = ModelWatch(clock=Clock())
    for name in ("a/0", "a/1", "a/2"):
        watch.answered(name, "x", "", OLD, "")
    watch.serve("model", {"a/0", "a/2"})
    watch.serve("model", {"a/0", "a/3"})
    watch.answered("a/3", "x", "", OLD, "")
    assert set(watch._seen) == {"a/0", "a/2", "a/3"}, "a/1 was in use before a/2"
    watch.serve("model", {"a/0", "a/3", "a/4", "a/5"})
    for name in ("a/4", "a/5"):
        watch.answered(name, "x", "", OLD, "")
    assert set(watch._seen) == {"a/0", "a/3", "a/4"}


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
