"""Live totals: what is counted, how it is written, and that nothing grows without bound."""

import asyncio
import random

import pytest
from prometheus_client.parser import text_string_to_metric_families

from farthing.ledger.memory import MemoryLedger
from farthing.ledger.metrics import SERIES_MAX, MeteredLedger, Metrics
from farthing.stats.histogram import BUCKETS, FLOOR_MS, LogHistogram
from farthing.types import Attempt, Receipt, Usage


def receipt(number: int = 0, **changes: object) -> Receipt:
    fields: dict[str, object] = {
        "endpoint": "faq",
        "tier": "cheap",
        "cache": "miss",
        "status": 200,
        "total_ms": 120.0,
        "overhead_ms": 0.2,
        "ttft_ms": 80.0,
        "usage": Usage(input_tokens=10, output_tokens=5, cached_tokens=3),
        "attempts": [Attempt(target="a/b", tier="cheap", started_ms=0.0)],
        "cost_nusd": 1_500,
        "baseline_nusd": 4_000,
        **changes,
    }
    return Receipt(request_id=f"r{number}", at_unix_s=0.0, started_s=0.0, **fields)  # type: ignore[arg-type]


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }


def test_receipts_become_the_families_that_the_documentation_names() -> None:
    metrics = Metrics(lambda: {"requests_in_flight": 3})
    metrics.observe(receipt())
    metrics.observe(receipt(cost_nusd=5_500, skipped={"classify": "TimeoutError"}))
    metrics.observe(receipt(cost_nusd=None, status=502, cache="off", ttft_ms=None))
    broken = Attempt(target="c/d", tier="cheap", started_ms=0.0, error="provider_timeout")
    metrics.observe(receipt(attempts=[broken], usage=None))
    got = samples(metrics)
    here = (("endpoint", "faq"), ("tier", "cheap"))
    missed = (("cache", "miss"), *here[:1], ("status", "2xx"), *here[1:])
    failed = (("cache", "off"), *here[:1], ("status", "5xx"), *here[1:])
    assert got["farthing_requests_total", missed] == 3
    assert got["farthing_requests_total", failed] == 1
    assert got["farthing_tokens_total", (*here, ("type", "input"))] == 30
    assert got["farthing_tokens_total", (*here, ("type", "cached_input"))] == 9
    assert got["farthing_cost_usd_total", here] == 8_500e-9
    assert got["farthing_saved_usd_total", here] == 3_500e-9
    assert got["farthing_unpriced_requests_total", here] == 1
    assert got["farthing_upstream_attempts_total", (("outcome", "ok"), ("target", "a/b"))] == 3
    assert got["farthing_upstream_attempts_total", (("outcome", "provider_timeout"), ("target", "c/d"))] == 1
    assert got["farthing_cache_lookups_total", (("endpoint", "faq"), ("result", "miss"))] == 3
    assert got["farthing_skipped_steps_total", (("step", "classify"),)] == 1
    assert got["farthing_requests_in_flight", ()] == 3
    assert got["farthing_request_duration_seconds_count", here] == 4
    assert abs(got["farthing_request_duration_seconds_sum", here] - 0.48) < 1e-9
    assert got["farthing_time_to_first_token_seconds_count", here] == 3


def test_the_saving_may_fall_below_zero() -> None:
    metrics = Metrics()
    metrics.observe(receipt(cost_nusd=9_000, baseline_nusd=1_000))
    assert samples(metrics)["farthing_saved_usd_total", (("endpoint", "faq"), ("tier", "cheap"))] == -8_000e-9


def test_histogram_buckets_grow_and_end_with_the_count() -> None:
    metrics = Metrics()
    for number in range(100):
        metrics.observe(receipt(total_ms=float(10 ** (number % 8 - 3))))
    buckets = [
        value
        for (name, _), value in sorted(
            ((key, value) for key, value in samples(metrics).items() if "duration_seconds_bucket" in key[0]),
            key=lambda item: float(dict(item[0][1])["le"]),
        )
    ]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 100
    assert len(set(buckets)) > 5


def test_a_renamed_metric_is_shown_under_its_old_name_too_which_says_so() -> None:
    metrics = Metrics(lambda: {"jobs_running": 3.0, "semantic_ready": 1.0})
    metrics.observe(receipt(purpose="judge", cost_nusd=70))
    lines = metrics.exposition().decode().splitlines()
    for old, new, labels in (
        ("farthing_errands_total", "farthing_jobs_total", '{purpose="judge"}'),
        ("farthing_errand_cost_usd_total", "farthing_job_cost_usd_total", '{purpose="judge"}'),
        ("farthing_errands_running", "farthing_jobs_running", ""),
    ):
        (shown,) = (line for line in lines if line.startswith(f"{new}{labels} "))
        assert not shown.endswith(" 0") and shown.replace(new, old) in lines
        assert f"# HELP {old} Deprecated, gone in the next release: use {new}." in lines
    assert sum("semantic_ready" in line for line in lines) == 3


@pytest.mark.slow
def test_label_sets_are_bounded_and_hold_no_tenant_user_or_id() -> None:
    metrics = Metrics()
    for number in range(3 * SERIES_MAX):
        attempt = Attempt(target=f"t{number}", tier="x", started_ms=0.0)
        metrics.observe(
            receipt(
                number,
                endpoint=f"e{number}",
                tenant="secret-tenant",
                user="secret-user",
                skipped={f"s{number}": "E"},
                attempts=[attempt],
            )
        )
    text = metrics.exposition().decode()
    assert "secret" not in text and "r17" not in text
    got = samples(metrics)
    requests = [value for (name, _), value in got.items() if name == "farthing_requests_total"]
    assert sum(requests) == 3 * SERIES_MAX
    assert len(requests) <= SERIES_MAX + 25  # `other`, by kind of the cache and class of status
    attempts = [value for (name, _), value in got.items() if name == "farthing_upstream_attempts_total"]
    assert sum(attempts) == 3 * SERIES_MAX and len(attempts) <= SERIES_MAX + 1


def test_models_that_clients_make_up_push_no_configured_target_out() -> None:
    metrics = Metrics()
    metrics.targets = {"a/real"}
    for number in range(2 * SERIES_MAX):
        made_up = Attempt(target=f"a/made-up-{number}", tier="", started_ms=0.0)
        metrics.observe(receipt(number, attempts=[made_up]))
    metrics.observe(receipt(attempts=[Attempt(target="a/real", tier="", started_ms=0.0)]))
    name = "farthing_upstream_attempts_total"
    assert {key: value for key, value in samples(metrics).items() if key[0] == name} == {
        (name, (("outcome", "ok"), ("target", "other"))): 2 * SERIES_MAX,
        (name, (("outcome", "ok"), ("target", "a/real"))): 1,
    }


def test_what_is_doubtful_in_one_answer_is_no_label() -> None:
    metrics = Metrics()
    for number in range(2 * SERIES_MAX):
        error = f"low_confidence:mean logprob -2.{number}"
        metrics.observe(receipt(attempts=[Attempt(target="a/b", tier="", started_ms=0.0, error=error)]))
    assert metrics.exposition().count(b"farthing_upstream_attempts_total{") == 1


def test_targets_that_were_passed_over_are_counted_by_why() -> None:
    metrics = Metrics()
    for number, why in enumerate(("paused 29.8 s", "paused 1.0 s", "full", "residency")):
        metrics.observe(receipt(number, skipped={f"p{number}/m": why}))
    got = samples(metrics)
    found = {labels[0][1]: n for (name, labels), n in got.items() if name == "farthing_skipped_steps_total"}
    assert found == {"paused": 2, "full": 1, "cannot_say": 1}


def test_labels_are_escaped() -> None:
    metrics = Metrics()
    metrics.observe(receipt(endpoint='a"b\\c\nd'))
    assert ("farthing_cost_usd_total", (("endpoint", 'a"b\\c\nd'), ("tier", "cheap"))) in samples(metrics)


def test_a_metered_ledger_keeps_and_counts_the_same_rows() -> None:
    book, metrics = MemoryLedger(), Metrics()
    metered = MeteredLedger(book, metrics)
    metered.intend(receipt(), "a/b")
    metered.record(receipt())
    asyncio.run(metered.aclose())
    assert len(list(book.rows())) == 2
    assert (
        sum(value for (name, _), value in samples(metrics).items() if name == "farthing_requests_total") == 1
    )


def test_quantiles_are_within_two_and_a_half_percent() -> None:
    rng = random.Random(1)
    values = [rng.lognormvariate(4, 2) for _ in range(20_000)]
    histogram = LogHistogram()
    for value in values:
        histogram.add(value)
    ordered = sorted(values)
    for share in (0.01, 0.5, 0.9, 0.99):
        exact = ordered[round(share * len(ordered)) - 1]
        got = histogram.quantile_ms(share)
        assert got is not None and abs(got / exact - 1) < 0.026


def test_extreme_durations_land_in_the_outer_buckets() -> None:
    histogram = LogHistogram()
    for value in (0.0, -1.0, FLOOR_MS, 1e12, 1e300):
        histogram.add(value)
    assert histogram.counts[0] == 3 and histogram.counts[BUCKETS - 1] == 2
    assert histogram.cumulative()[-1][1] == 3
    assert LogHistogram().quantile_ms(0.5) is None
