"""What a router may do under a policy: arms, certificates that hold or do not, the watch, exploration."""

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.asking import asked
from tests.certified import ROUTER, certificate, segment

from farthing.brain.route.gate import Decision, GateContext, PolicyGate, Scored, cheap_and_expensive
from farthing.brain.route.objective import Aim, Option
from farthing.guarantees.certificates.file import AGE_MAX_S
from farthing.guarantees.certificates.routing import RouteCertificate
from farthing.guarantees.monitor.routing import RouteMonitor
from farthing.guarantees.policy import versions
from farthing.guarantees.policy.applied import Policies
from farthing.guarantees.policy.versions import Author, PolicyBook
from farthing.types import Endpoint, Price, Receipt, Request, Route, Target, Tenant, Traits, replace

ANNA = Author(who="anna", at_unix_s=1.0)
FAQ = Endpoint(name="faq")
GROUNDS = GateContext(
    router=ROUTER, tiers={"cheap": "a/small", "expensive": "a/large"}, pair=("cheap", "expensive")
)
TRAITS = Traits(task="qa", domain="general", language="en")


def serve(folder: Path, *made: RouteCertificate, share: float | None = None, **more: object) -> PolicyBook:
    """A policy whose last version serves, or has `share` of the traffic."""

    def change(book: PolicyBook) -> PolicyBook:
        for one in made:
            book = versions.add(book, one, ANNA, **more)  # type: ignore[arg-type]
        if share is None:
            return versions.promote(book, book.last_number, ANNA)
        return versions.canary(book, book.last_number, share, ANNA)

    return versions.change(folder, made[0].endpoint, change)


class Now:
    def __init__(self, unix_s: float) -> None:
        self.unix_s = unix_s

    def __call__(self) -> float:
        return self.unix_s


def policies_of(folder: Path, *, clock: Callable[[], float] | None = None) -> Policies:
    watch = RouteMonitor(draw=lambda: 0.5)
    made = (
        Policies(versions.folder_of(folder), watch)
        if clock is None
        else Policies(versions.folder_of(folder), watch, clock=clock)
    )
    made.refresh()
    return made


def gate_of(folder: Path, gate_context: GateContext = GROUNDS, *, drawn: float = 0.99) -> PolicyGate:
    return PolicyGate(policies_of(folder), gate_context, draw=lambda: drawn)


def decision(
    gate: PolicyGate, score: float, request: Request | None = None, traits: Traits = TRAITS
) -> Decision:
    request = request or asked(endpoint=FAQ)
    return gate.rule(gate.arm(request), request, traits, score)


# -- arms -----------------------------------------------------------------------------------------------


def test_without_a_policy_the_configuration_decides_and_no_label_is_written(tmp_path: Path) -> None:
    gate = gate_of(tmp_path)
    arm = gate.arm(asked(endpoint=FAQ))
    assert (arm.label, arm.cheap, arm.expensive, arm.version) == ("", "cheap", "expensive", None)
    assert decision(gate, 0.99).cheap is None


def test_requests_of_a_session_or_user_stay_with_one_version_and_the_share_is_right(tmp_path: Path) -> None:
    serve(tmp_path, certificate(), share=0.25)
    policies = policies_of(tmp_path)
    labels = Counter(policies.label(asked(endpoint=FAQ, session=f"s{n}")) for n in range(4_000))
    assert labels.keys() == {"faq@0", "faq@1"}
    assert labels["faq@1"] / 4_000 == pytest.approx(0.25, abs=0.03)
    for n in range(50):
        same = {policies.label(asked(endpoint=FAQ, session=f"s{n}", id=f"r{i}")) for i in range(5)}
        assert len(same) == 1
        users = {policies.label(asked(endpoint=FAQ, user=f"u{n}", id=f"r{i}")) for i in range(5)}
        assert len(users) == 1
    assert policies.label(asked(session="s1")) == ""  # another endpoint


def test_the_same_session_of_another_tenant_and_another_trial_are_drawn_anew(tmp_path: Path) -> None:
    serve(tmp_path, certificate(), share=0.5)
    policies = policies_of(tmp_path)
    first = [policies.label(asked(endpoint=FAQ, session=f"s{n}")) for n in range(200)]
    other = [
        policies.label(asked(endpoint=FAQ, session=f"s{n}", tenant=Tenant(name="b"))) for n in range(200)
    ]
    assert 60 < sum(a == b for a, b in zip(first, other, strict=True)) < 140
    serve(tmp_path, certificate(), share=0.5)
    policies.refresh()
    second = [policies.label(asked(endpoint=FAQ, session=f"s{n}")) for n in range(200)]
    same = sum((a == "faq@1") == (b == "faq@2") for a, b in zip(first, second, strict=True))
    assert 60 < same < 140


# -- what the certificate allows --------------------------------------------------------------------------


def test_from_the_threshold_on_the_cheap_tier_may_answer(tmp_path: Path) -> None:
    serve(tmp_path, certificate())
    gate = gate_of(tmp_path)
    assert decision(gate, 0.8).cheap is True
    below = decision(gate, 0.799)
    assert below.cheap is False and below.reason == "faq@1: expensive, score 0.799 below 0.800"


def test_excluded_and_unmeasured_kinds_of_requests_stay_with_the_expensive_tier(tmp_path: Path) -> None:
    names = ("task=qa", "domain=general", "language=en")
    serve(
        tmp_path,
        certificate(segments=(*map(segment, names), segment("task=code", "excluded"))),
    )
    gate = gate_of(tmp_path)
    assert decision(gate, 0.9).cheap is True
    excluded = decision(gate, 0.9, traits=replace(TRAITS, task="code"))
    assert excluded.cheap is False and "task=code stays there" in excluded.reason
    strange = decision(gate, 0.9, traits=replace(TRAITS, language="fi"))
    assert strange.cheap is False and "language=fi was not measured" in strange.reason
    agent = asked(endpoint=FAQ, body={"model": "auto", "messages": asked().body["messages"], "tools": []})
    assert decision(gate, 0.9, agent).cheap is False


@pytest.mark.parametrize(
    ("changes", "gate_context", "why"),
    [
        ({}, {"router": "planted/2"}, "made with router planted/1, now it is planted/2"),
        ({}, {"tiers": {"small": "a/small", "expensive": "a/large"}}, "scores no tier 'cheap'"),
        ({}, {"tiers": {"cheap": "a/tiny", "expensive": "a/large"}}, "was a/small, now it is a/tiny"),
        ({}, {"losses_max": {"faq": 0.01}}, "bounds the loss by 0.02, but 0.01 is configured"),
        ({"made_unix_s": 1_000.0}, {}, "days old"),
    ],
)
def test_a_certificate_that_does_not_hold_sends_all_to_the_expensive_tier_and_is_told_of(
    tmp_path: Path,
    changes: dict[str, Any],
    gate_context: dict[str, object],
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    serve(tmp_path, certificate(**changes), targets={"cheap": "a/small", "expensive": "a/large"})
    gate = gate_of(tmp_path, replace(GROUNDS, **gate_context))
    with caplog.at_level(logging.WARNING):
        found = decision(gate, 1.0)
    assert found.cheap is False and why in found.reason
    assert why in caplog.text
    (state,) = gate.states()
    assert why in state.refused and (state.arm, state.number) == ("serving", 1)


def test_a_certificate_runs_out_while_the_gateway_runs(tmp_path: Path) -> None:
    made = certificate()
    serve(tmp_path, made)
    now = Now(made.made_unix_s)
    gate = PolicyGate(policies_of(tmp_path, clock=now), GROUNDS, draw=lambda: 0.99)
    assert decision(gate, 0.9).cheap is True
    now.unix_s += AGE_MAX_S + 1
    assert decision(gate, 0.9).cheap is False


# -- files that change ------------------------------------------------------------------------------------


def test_a_changed_file_counts_from_the_next_refresh_and_a_bad_one_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    policies = policies_of(tmp_path)
    gate = PolicyGate(policies, GROUNDS, draw=lambda: 0.99)
    assert not policies.refresh()
    serve(tmp_path, certificate())
    assert policies.refresh() and decision(gate, 0.9).cheap is True
    path = versions.place(tmp_path, "faq")
    good = path.read_bytes()
    path.write_bytes(good[:-20])
    assert policies.refresh() and decision(gate, 0.9).cheap is True
    assert policies.refused == 1 and "the last valid one stays" in caplog.text
    versions.place(tmp_path, "other").write_bytes(b"{}")
    policies.refresh()
    assert decision(gate, 0.9).cheap is True
    path.write_bytes(good)
    versions.change(tmp_path, "faq", lambda book: versions.rollback(book, ANNA))
    policies.refresh()
    assert decision(gate, 0.9).cheap is None and gate.arm(asked(endpoint=FAQ)).label == "faq@0"
    path.unlink()
    policies.refresh()
    assert gate.arm(asked(endpoint=FAQ)).label == ""


def test_an_endpoint_whose_file_was_never_good_goes_to_the_expensive_tier_and_forgets_no_retreat(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    serve(tmp_path, certificate())
    before = policies_of(tmp_path)
    for n in range(60):
        before.opened(explored_receipt(n))
        before.lost(f"r{n}", 1.0)
    path = versions.place(tmp_path, "faq")
    good = path.read_bytes()
    path.write_bytes(b"{")
    watch = RouteMonitor()
    watch.restore(before.watch.dump())
    policies = Policies(versions.folder_of(tmp_path), watch)
    policies.refresh()
    gate = PolicyGate(policies, GROUNDS, draw=lambda: 0.99)
    found = decision(gate, 1.0)
    assert found.cheap is False and "its policy cannot be read" in found.reason
    assert "'faq' goes to the expensive tier" in caplog.text and gate.states() == []
    path.write_bytes(good)
    policies.refresh()
    assert "the monitor has tripped" in decision(gate, 1.0).reason


# -- the watch --------------------------------------------------------------------------------------------


def explored_receipt(number: int, score: float = 0.9, label: str = "faq@1", task: str = "qa") -> Receipt:
    return Receipt(
        request_id=f"r{number}",
        at_unix_s=1.0,
        started_s=0.0,
        endpoint="faq",
        task_type=task,
        domain="general",
        language="en",
        route_score=score,
        route_policy=label,
        route_by=ROUTER,
        tier="expensive",
        explored="cheap",
    )


def test_audits_that_lose_too_much_retreat_and_good_ones_do_not(tmp_path: Path) -> None:
    serve(tmp_path, certificate())
    policies = policies_of(tmp_path)
    gate = PolicyGate(policies, GROUNDS, draw=lambda: 0.99)
    for n in range(300):
        policies.opened(explored_receipt(n))
        policies.lost(f"r{n}", 0.0)
    assert decision(gate, 0.9).cheap is True
    assert policies.watched()["faq@1"].audits == 300
    for n in range(300, 400):
        policies.opened(explored_receipt(n))
        policies.lost(f"r{n}", 1.0)
    found = decision(gate, 0.9)
    assert found.cheap is False and "the monitor has tripped" in found.reason
    (state,) = gate.states()
    assert state.watch is not None and state.watch.retreated


def test_what_stays_with_the_expensive_tier_lost_nothing_and_counts_when_it_is_judged(tmp_path: Path) -> None:
    serve(tmp_path, certificate())
    policies = policies_of(tmp_path)
    policies.opened(explored_receipt(1, score=0.5))
    assert policies.watched()["faq@1"].audits == 0
    policies.lost("r1", 1.0)  # what a judge says of a cheap answer that nobody would have got
    assert (policies.watched()["faq@1"].audits, policies.watched()["faq@1"].wrong) == (1, 0)


def test_a_judge_that_is_down_half_of_the_time_makes_no_loss_look_smaller(tmp_path: Path) -> None:
    serve(tmp_path, certificate(risk_max=0.7, segment_risk_max=0.7))
    policies = policies_of(tmp_path)
    for n in range(400):  # half go cheap and lose, half stay; of both the judge speaks every other time
        policies.opened(explored_receipt(n, score=0.9 if n % 2 else 0.1))
        policies.lost(f"r{n}", 1.0 if n % 4 < 2 else None)
    state = policies.watched()["faq@1"]
    assert (state.audits, state.wrong, state.lost) == (200, 100, 200)


def test_a_verdict_that_comes_after_its_audit_was_given_up_counts_no_more(tmp_path: Path) -> None:
    serve(tmp_path, certificate())
    now = Now(1_000.0)
    policies = Policies(versions.folder_of(tmp_path), RouteMonitor(draw=lambda: 0.5, clock=now), clock=now)
    policies.refresh()
    policies.opened(explored_receipt(1))
    now.unix_s += 1_000.0
    policies.opened(explored_receipt(2))
    policies.lost("r2", 0.0)
    assert (policies.watched()["faq@1"].lost, policies.watched()["faq@1"].audits) == (1, 1)
    policies.lost("r1", 1.0)
    assert (policies.watched()["faq@1"].wrong, policies.watched()["faq@1"].audits) == (0, 1)


def test_audits_that_wait_for_a_batch_go_on_waiting_after_a_restart(tmp_path: Path) -> None:
    serve(tmp_path, certificate())
    before = policies_of(tmp_path)
    before.judged_within(86_400.0)
    before.opened(explored_receipt(1))
    before.opened(explored_receipt(2, score=0.1))
    watch = RouteMonitor(draw=lambda: 0.5)
    watch.restore(before.watch.dump())
    policies = Policies(versions.folder_of(tmp_path), watch)
    policies.refresh()
    policies.judged_within(86_400.0)
    assert (policies.watched()["faq@1"].open, policies.watched()["faq@1"].lost) == (2, 0)
    policies.lost("r2", 1.0)
    policies.lost("r1", 1.0)
    state = policies.watched()["faq@1"]
    assert (state.audits, state.wrong, state.open, state.partitions) == (2, 1, 0, 3)


def test_what_another_router_scored_or_other_tiers_answered_is_no_audit_of_a_version(tmp_path: Path) -> None:
    serve(tmp_path, certificate())
    policies = policies_of(tmp_path)
    for n, changes in enumerate(({"route_by": "other/2"}, {"tier": "strong"}, {"explored": "small"})):
        policies.opened(replace(explored_receipt(n), **changes))
        policies.lost(f"r{n}", 1.0)
    assert policies.watched()["faq@1"].open == policies.watched()["faq@1"].audits == 0


def test_while_its_tier_has_another_target_a_version_is_not_audited(tmp_path: Path) -> None:
    serve(tmp_path, certificate(), targets={"cheap": "a/small"})
    policies = policies_of(tmp_path)
    other = replace(GROUNDS, tiers={"cheap": "b/tiny", "expensive": "a/large"})
    for gate_context, audits in ((other, 0), (GROUNDS, 1)):
        decision(PolicyGate(policies, gate_context, draw=lambda: 0.99), 0.9)
        policies.opened(explored_receipt(audits))
        policies.lost(f"r{audits}", 1.0)
        assert policies.watched()["faq@1"].audits == audits


def test_a_request_of_several_kinds_counts_once_for_the_version_and_once_in_each(tmp_path: Path) -> None:
    serve(tmp_path, certificate())
    policies = policies_of(tmp_path)
    for n in range(40):
        policies.opened(explored_receipt(n, task="code"))
        policies.lost(f"r{n}", 1.0)
        policies.opened(explored_receipt(1_000 + n, score=0.1))
        policies.lost(f"r{1_000 + n}", 0.0)
    state = policies.watched()["faq@1"]
    assert state.partitions == 4  # task=code, task=qa, and one domain and language
    assert not policies.may_go_cheap("faq@1", ("task=code", "domain=general", "language=en"))


def test_audits_without_a_policy_or_a_score_or_never_opened_change_nothing(tmp_path: Path) -> None:
    serve(tmp_path, certificate())
    policies = policies_of(tmp_path)
    policies.opened(explored_receipt(1, label=""))
    policies.opened(explored_receipt(2, label="faq@0"))
    policies.opened(replace(explored_receipt(3), route_score=None))
    policies.lost("r1", 1.0)
    policies.lost("never", None)
    assert policies.watched()["faq@1"].audits == 0


def test_a_new_version_begins_with_a_clean_record_and_the_old_one_keeps_its_own(tmp_path: Path) -> None:
    serve(tmp_path, certificate())
    policies = policies_of(tmp_path)
    gate = PolicyGate(policies, GROUNDS, draw=lambda: 0.99)
    for n in range(60):
        policies.opened(explored_receipt(n))
        policies.lost(f"r{n}", 1.0)
    assert decision(gate, 0.9).cheap is False
    serve(tmp_path, certificate())
    policies.refresh()
    assert decision(gate, 0.9).cheap is True
    versions.change(tmp_path, "faq", lambda book: versions.rollback(book, ANNA))
    policies.refresh()
    assert decision(gate, 0.9).cheap is False


def test_losses_that_are_judged_at_night_count_in_the_order_of_drawing(tmp_path: Path) -> None:
    serve(tmp_path, certificate())
    now = Now(1_000.0)
    watch = RouteMonitor(draw=lambda: 0.5, clock=now)
    policies = Policies(versions.folder_of(tmp_path), watch, clock=now)
    policies.refresh()
    policies.judged_within(86_400.0)
    for n in range(600):
        policies.opened(explored_receipt(n))
        policies.opened(explored_receipt(10_000 + n, score=0.1))
    now.unix_s += 50_000.0
    assert (policies.watched()["faq@1"].open, policies.watched()["faq@1"].audits) == (1_200, 0)
    for n in range(600):
        policies.lost(f"r{n}", 0.0)
        policies.lost(f"r{10_000 + n}", 0.0)
    assert (policies.watched()["faq@1"].lost, policies.watched()["faq@1"].audits) == (0, 1_200)


# -- exploration ------------------------------------------------------------------------------------------

DEAR = Target(name="a/large", provider="a", model="large")
SMALL = Target(name="a/small", provider="a", model="small")


def to_tier(tier: str, traits: Traits) -> Route:
    return Route(tier=tier, targets=(SMALL if tier == "cheap" else DEAR,), reason=f"tier {tier}")


def routed(gate: PolicyGate, score: float, *, cheap: Option | None = None) -> Route:
    request = asked(endpoint=FAQ)
    scored = Scored(
        score=score,
        cheap=cheap or Option(name="cheap", probability=score),
        expensive=Option(name="expensive", probability=1.0, default=True),
        aim=Aim(threshold=0.9),
    )
    return gate.route(
        gate.arm(request),
        request,
        TRAITS,
        scored,
        to_tier=to_tier,
        otherwise=lambda: ("cheap", "as configured"),
    )


@pytest.mark.parametrize("under_policy", [False, True])
def test_an_explored_request_gets_the_expensive_answer_and_the_cheap_tier_is_its_shadow(
    tmp_path: Path, under_policy: bool
) -> None:
    if under_policy:
        serve(tmp_path, certificate())
    gate = gate_of(tmp_path, replace(GROUNDS, explore_share=0.02), drawn=0.0199)
    route = routed(gate, 0.9)
    assert route.tier == "expensive" and route.shadow is not None and route.shadow.tier == "cheap"
    assert (route.score, route.propensity, route.by) == (0.9, 0.02, ROUTER)
    assert route.policy == ("faq@1" if under_policy else "")
    assert route.reason.startswith("explored: expensive answers, cheap is asked too")


def test_what_is_not_drawn_says_with_which_probability(tmp_path: Path) -> None:
    serve(tmp_path, certificate())
    gate = gate_of(tmp_path, replace(GROUNDS, explore_shares={"faq": 0.25}), drawn=0.25)
    route = routed(gate, 0.9)
    assert (route.tier, route.propensity, route.shadow) == ("cheap", 0.75, None)
    assert route.reason == "faq@1: cheap, score 0.900 from 0.800 on, loses at most 0.02 at 0.9"


def test_a_share_of_an_endpoint_wins_and_can_be_none(tmp_path: Path) -> None:
    gate = gate_of(tmp_path, replace(GROUNDS, explore_share=1.0, explore_shares={"faq": 0.0}), drawn=0.0)
    route = routed(gate, 0.9)
    assert (route.tier, route.propensity, route.shadow) == ("cheap", 1.0, None)


def test_nothing_is_explored_that_cannot_be_compared_or_asked_now(tmp_path: Path) -> None:
    gate = gate_of(tmp_path, replace(GROUNDS, explore_share=1.0), drawn=0.0)
    resting = routed(gate, 0.9, cheap=Option(name="cheap", probability=0.9, in_cooldown=True))
    assert resting.shadow is None and resting.propensity == 1.0
    agent = asked(endpoint=FAQ, body={"model": "auto", "messages": asked().body["messages"], "tools": []})
    assert not decision(gate, 0.9, agent).explored


def test_a_tier_that_rests_is_left_out_under_a_policy_too(tmp_path: Path) -> None:
    serve(tmp_path, certificate())
    gate = gate_of(tmp_path)
    route = routed(gate, 0.9, cheap=Option(name="cheap", probability=0.9, in_cooldown=True))
    assert route.tier == "expensive" and "cheap: in a cooldown after failures" in route.reason


def test_where_the_expensive_tier_costs_less_now_it_answers(tmp_path: Path) -> None:
    serve(tmp_path, certificate())
    gate = gate_of(tmp_path)
    request = asked(endpoint=FAQ)
    scored = Scored(
        score=0.9,
        cheap=Option(name="cheap", probability=0.9, cost_nusd=5.0),
        expensive=Option(name="expensive", probability=1.0, cost_nusd=4.0, warm=True),
        aim=Aim(threshold=0.9),
    )
    arm = gate.arm(request)
    route = gate.route(arm, request, TRAITS, scored, to_tier=to_tier, otherwise=lambda: ("cheap", ""))
    assert route.tier == "expensive" and "costs less now, prompt cache warm" in route.reason


def test_the_pair_is_the_cheapest_known_tier_and_the_default_one() -> None:
    def priced(pusd: int) -> tuple[Target, ...]:
        price = Price(since="0000-00-00", input_pusd=pusd, output_pusd=pusd)
        return (Target(name=f"a/{pusd}", provider="a", model=str(pusd), price=price),)

    tiers = {"middle": priced(5), "best": priced(9), "cheap": priced(2), "free": (SMALL,)}
    assert cheap_and_expensive(tiers, "best", tiers) == ("cheap", "best")
    assert cheap_and_expensive(tiers, "best", {"middle", "best"}) == ("middle", "best")
    assert cheap_and_expensive(tiers, "best", {"middle", "cheap"}) is None
    assert cheap_and_expensive(tiers, None, tiers) is None


# -- the gateway's own requests ---------------------------------------------------------------------------


def test_the_gateways_own_requests_are_not_explored_and_go_by_what_serves(tmp_path: Path) -> None:
    serve(tmp_path, certificate(), share=0.999)
    gate_context = replace(GROUNDS, explore_shares={"faq": 1.0})
    gate = gate_of(tmp_path, gate_context, drawn=0.0)
    client = asked(endpoint=FAQ)
    own = replace(client, own=True)
    assert gate.arm(client).label == "faq@1" and gate.arm(own).label == "faq@0"
    assert decision(gate, 0.9, client).explored
    found = decision(gate, 0.9, own)
    assert not found.explored and found.propensity == 1.0


def test_a_clock_that_was_ahead_and_is_set_right_brings_a_certificate_back(tmp_path: Path) -> None:
    serve(tmp_path, certificate())
    now = Now(certificate().made_unix_s + 2 * AGE_MAX_S)
    gate = PolicyGate(policies_of(tmp_path, clock=now), GROUNDS, draw=lambda: 0.99)
    assert decision(gate, 0.9).cheap is False
    now.unix_s -= 2 * AGE_MAX_S
    assert decision(gate, 0.9).cheap is True


def test_a_kind_that_no_sample_told_is_not_asked_for_and_one_that_they_told_is(tmp_path: Path) -> None:
    serve(tmp_path, certificate(segments=(segment("task=qa"), segment("language=en"))))
    gate = gate_of(tmp_path)
    assert decision(gate, 0.9, traits=replace(TRAITS, domain="law")).cheap is True
    found = decision(gate, 0.9, traits=replace(TRAITS, language="de"))
    assert found.cheap is False and "language=de was not measured" in found.reason
    serve(tmp_path, certificate(segments=(segment("customers"),)))
    found = decision(gate_of(tmp_path), 0.9)
    assert found.cheap is False and "task=qa was not measured" in found.reason
