"""Live totals of the semantic cache: what is counted, and that errands are no requests."""

from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from farthing.ledger import semantic_metrics
from farthing.ledger.metrics import Metrics
from farthing.types import Attempt, Receipt, Usage


def receipt(**changes: object) -> Receipt:
    fields: dict[str, object] = {
        "endpoint": "faq",
        "tier": "cheap",
        "cache": "miss",
        "status": 200,
        "stage_ms": {"semantic": 1.0},
        "cost_nusd": 1_000,
        "baseline_nusd": 4_000,
        **changes,
    }
    return Receipt(request_id="r", at_unix_s=0.0, started_s=0.0, **fields)  # type: ignore[arg-type]


def samples(metrics: Metrics) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_looks_and_audits_are_counted_by_what_came_of_them() -> None:
    metrics = Metrics()
    would = {"cache_entry": "e", "cache_would_hit": True}
    for one in (
        receipt(),
        receipt(cache="semantic", cache_entry="e"),
        receipt(**would),
        receipt(**would, audit="agrees"),
        receipt(**would, audit="pending"),
        receipt(cache_entry="e"),
        receipt(skipped={"semantic": "TimeoutError"}),
        receipt(stage_ms={"classify": 1.0}),
    ):
        metrics.observe(one)
    got = samples(metrics)
    looks = {
        name: got[f"farthing_semantic_looks_total{{endpoint=faq,result={name}}}"]
        for name in ("served", "would_serve", "audited", "rejected", "none", "failed")
    }
    assert looks == {"served": 1, "would_serve": 1, "audited": 2, "rejected": 1, "none": 1, "failed": 1}
    assert got["farthing_semantic_audits_total{endpoint=faq,outcome=agrees}"] == 1
    assert got["farthing_requests_total{cache=miss,endpoint=faq,status=2xx,tier=cheap}"] == 7


def test_an_errand_is_no_request_and_its_cost_is_a_cost_against_the_saving() -> None:
    metrics = Metrics()
    metrics.observe(receipt())
    attempt = Attempt(target="x/judge", tier="cheap", started_ms=0.0)
    metrics.observe(
        receipt(
            purpose="judge", audit="differs", cost_nusd=70, attempts=[attempt], usage=Usage(input_tokens=9)
        )
    )
    metrics.observe(receipt(purpose="precompute", cost_nusd=None, baseline_nusd=9_999))
    got = samples(metrics)
    here = "{endpoint=faq,tier=cheap}"
    assert got["farthing_requests_total{cache=miss,endpoint=faq,status=2xx,tier=cheap}"] == 1
    assert got[f"farthing_request_duration_seconds_count{here}"] == 1
    assert got[f"farthing_cost_usd_total{here}"] == 1_070e-9
    assert got[f"farthing_saved_usd_total{here}"] == 2_930e-9
    assert got[f"farthing_unpriced_requests_total{here}"] == 1
    assert got["farthing_tokens_total{endpoint=faq,tier=cheap,type=input}"] == 9
    assert got["farthing_upstream_attempts_total{outcome=ok,target=x/judge}"] == 1
    assert got["farthing_jobs_total{purpose=judge}"] == 1
    assert got["farthing_job_cost_usd_total{purpose=judge}"] == 70e-9
    assert got["farthing_job_cost_usd_total{purpose=precompute}"] == 0
    assert got["farthing_semantic_audits_total{endpoint=faq,outcome=differs}"] == 1
    assert "farthing_semantic_looks_total{endpoint=faq,result=none}" in got


def test_the_state_of_the_bound_is_asked_when_it_is_shown() -> None:
    metrics = Metrics()
    states = {"faq": SimpleNamespace(retreated=False, upper=0.5)}
    metrics.semantic.states = lambda: states
    assert samples(metrics)["farthing_semantic_retreated{endpoint=faq}"] == 0
    states["faq"] = SimpleNamespace(retreated=True, upper=0.02)
    got = samples(metrics)
    assert got["farthing_semantic_retreated{endpoint=faq}"] == 1
    assert got["farthing_semantic_false_hit_upper{endpoint=faq}"] == 0.02


def test_a_cache_that_stops_helping_raises_its_alarm() -> None:
    metrics = Metrics()
    for number in range(2_000):
        metrics.observe(receipt(cache="semantic", cache_entry="e") if number % 3 == 0 else receipt())
    assert samples(metrics)["farthing_semantic_alarm{alarm=effect,endpoint=faq}"] == 0
    for _ in range(400):
        metrics.observe(receipt())
    got = samples(metrics)
    assert got["farthing_semantic_alarm{alarm=effect,endpoint=faq}"] == 1
    assert got["farthing_semantic_alarm{alarm=coverage,endpoint=faq}"] == 1
    assert got["farthing_semantic_alarm{alarm=failing,endpoint=faq}"] == 0


def test_endpoints_beyond_the_bound_are_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semantic_metrics, "SERIES_MAX", 10)
    metrics = Metrics()
    for number in range(30):
        metrics.observe(receipt(endpoint=f"e{number}"))
    assert samples(metrics)["farthing_semantic_looks_total{endpoint=other,result=none}"] == 20
