"""What rests on a target whose model has changed is suspended, and nothing else."""

from pathlib import Path

from tests.certified import certificate

from farthing.config import loads
from farthing.guarantees.monitor import model_changes
from farthing.guarantees.monitor.models import FILE, ModelWatch
from farthing.guarantees.monitor.routing import RouteMonitor
from farthing.guarantees.monitor.semantic_cache import SequentialBound
from farthing.guarantees.policy import versions
from farthing.guarantees.policy.applied import Policies
from farthing.guarantees.policy.versions import Author
from farthing.types import Semantics
from farthing.wiring.models import (
    ModelParts,
    semantic_targets,
    suspend_routing,
    suspend_semantic,
    watched_targets,
)

CHANGED_S = 5_000.0
NAMED = """
aliases = { good = "a/aliased", other = "expensive" }

[providers.a]
base_url = "http://127.0.0.1:1/v1"
auth = "none"

[tiers.cheap]
targets = ["a/small"]
[tiers.expensive]
targets = ["a/large", "a/other"]

[endpoints.faq]
tier = "cheap"

[endpoints.faq.quality]
judge = "a/judge"
"""
ANNA = Author(who="anna", at_unix_s=1.0)
TIERS = {"cheap": ("a/small",), "expensive": ("b/large", "c/large"), "other": ("d/other",)}


def changed(target: str, endpoint: str = "faq") -> ModelWatch:
    watch = ModelWatch(clock=lambda: CHANGED_S)
    for model in ("m-1", "m-2"):
        watch.answered(target, "m", endpoint, model, "")
    return watch


def policies(folder: Path, made_unix_s: float) -> Policies:
    versions.change(
        folder, "faq", lambda book: versions.add(book, certificate(made_unix_s=made_unix_s), ANNA)
    )
    found = Policies(versions.folder_of(folder), RouteMonitor())
    found.refresh()
    return found


def test_a_version_rests_on_every_target_of_its_two_tiers(tmp_path: Path) -> None:
    for number, (target, made_unix_s, stands) in enumerate(
        [
            ("a/small", 1_000.0, False),
            ("b/large", 1_000.0, False),
            ("c/large", 1_000.0, False),
            ("d/other", 1_000.0, True),
            ("a/small", 6_000.0, True),
        ]
    ):
        applied = policies(tmp_path / str(number), made_unix_s)
        suspended = suspend_routing(changed(target), applied, TIERS)
        assert [one.split(",")[0] for one in suspended] == ([] if stands else ["the routing policy faq@1"])
        assert applied.may_go_cheap("faq@1", ("",)) == stands, (target, made_unix_s)
        if not stands:
            assert applied.why_not_cheap("faq@1") == (
                f"since 1970-01-01 01:23 UTC {target} answers with another model, m-2 instead of m-1, which "
                "was not measured"
            )


def test_a_semantic_cache_rests_on_what_answers_its_clients() -> None:
    bound = SequentialBound()
    bound.configure({name: Semantics(mode="on", threshold=0.9) for name in ("faq", "other", "new")})
    for name, made_unix_s in (("faq", 1_000.0), ("other", 1_000.0), ("new", 6_000.0)):
        bound.certified(name, made_unix_s)
    watch = changed("a/small")
    watch.answered("a/small", "m", "new", "m-2", "")
    watch.answered("a/small", "m", "", "m-2", "")
    assert suspend_semantic(watch, bound, lambda endpoint: ("b/large",)) == []
    assert bound.allows("faq", b"p"), "a client's choice is not what the endpoint's certificate rests on"
    [suspended] = suspend_semantic(watch, bound, lambda endpoint: ("a/small",))
    assert suspended.startswith("the semantic cache of faq, ") and "--endpoint faq --apply" in suspended
    assert [bound.allows(name, b"p") for name in ("faq", "other", "new")] == [False, True, True]


def test_targets_are_watched_that_the_configuration_names() -> None:
    config = loads(NAMED, {})
    assert watched_targets(config) == {"a/small", "a/large", "a/other", "a/judge", "a/aliased"}
    assert semantic_targets(config, "faq") == ("a/small",)
    assert semantic_targets(config, "unknown") == ("a/small", "a/large", "a/other")


def test_another_identity_takes_effect_with_its_configuration(tmp_path: Path) -> None:
    parts = ModelParts()
    for identity in ("model", "fingerprint", "model"):
        parts.serve(loads(f'{NAMED}\n[call]\nmodel_identity = "{identity}"\n', {}))
        for fingerprint in ("fp_1", "fp_2"):
            parts.watch.answered("a/small", "small", "faq", "m-1", fingerprint)
            parts.watch.answered("a/pinned", "pinned", "faq", fingerprint, fingerprint)
    assert not [*parts.watch.changes()]


def test_what_is_known_outlives_the_process_and_is_read_beside_it(tmp_path: Path) -> None:
    parts = ModelParts(tmp_path)
    parts.open()
    for model in ("m-1", "m-2"):
        parts.watch.answered("a/x", "m", "faq", model, "")
    parts.save()
    again = ModelParts(tmp_path)
    again.open()
    assert [target for target, _ in again.watch.changes()] == ["a/x"]
    found = model_changes.read(tmp_path).latest_at("faq")
    assert found is not None and found[1].now == "m-2"
    (tmp_path / FILE).write_bytes(b"{")
    assert model_changes.read(tmp_path).latest_at("faq") is None
    ModelParts(tmp_path).open()
    assert not (tmp_path / FILE).exists(), "set aside"
