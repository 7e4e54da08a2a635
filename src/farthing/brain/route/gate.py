"""What a scoring router may do under an endpoint's policy, and what it must explore.

A router scores the cheap tier for a request that nothing else decides: 1 minus the expected loss of quality.
The score alone does not decide. If a version of a policy decides, the cheap tier may answer if the version's
certificate covers the request at that score and the monitor has not tripped. If the certificate does not hold
here, or the request is of a kind that was not measured, the expensive tier answers. A share of the requests
is explored: the client gets the expensive answer, and a background job asks the cheap tier, so that both can
be compared; otherwise nothing would be learned about the choice not taken.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec import Struct

from farthing.brain.route.objective import Aim, Option, choose_promised
from farthing.guarantees.certificates.file import AGE_MAX_S, AHEAD_MAX_S
from farthing.guarantees.certificates.routing import RouteScope, goes_cheap, segments_of, uncovered, why_not
from farthing.guarantees.monitor.error_rate import EndpointState
from farthing.guarantees.policy.applied import UNREADABLE, Policies
from farthing.guarantees.policy.versions import PolicyVersion, label_of
from farthing.text.comparable import comparable
from farthing.types import Request, Route, Target, Traits, replace

log = logging.getLogger("farthing.route")


class GateContext(Struct, frozen=True, kw_only=True):
    """What certificates are checked against: the router and the configuration it serves."""

    router: str
    """Name and version of the scorer; `Route.by`."""
    tiers: Mapping[str, str]
    """Each tier that the router can score, with the name of its first target."""
    pair: tuple[str, str] | None
    """The cheap and the expensive tier without a certificate; None: there are not two tiers."""
    losses_max: Mapping[str, float] = {}
    """The loss that a certificate may allow at most, by endpoint; an absent endpoint accepts any."""
    explore_share: float = 0.0
    explore_shares: Mapping[str, float] = {}
    """The same for endpoints with their own setting."""


class Arm(Struct, frozen=True, kw_only=True):
    """The policy version that decides a request."""

    label: str
    """For the receipt, `faq@3`; empty: the endpoint has no policy."""
    cheap: str
    """Tier; empty if there are not two tiers."""
    expensive: str
    version: PolicyVersion | None = None
    """None: the configuration, as written."""
    refused: str = ""
    """Why the version's certificate does not hold here; empty: it does."""


class Scored(Struct, frozen=True, kw_only=True):
    """A router's scores for a request."""

    score: float
    """The cheap tier's score: 1 minus the expected loss of quality; above 1: a gain is expected."""
    cheap: Option
    """The arm's two tiers."""
    expensive: Option
    aim: Aim


class Decision(Struct, frozen=True, kw_only=True):
    """The decision about one request."""

    explored: bool
    """The expensive tier answers, and a background job asks the cheap one."""
    cheap: bool | None
    """Whether the cheap tier may answer; None: no policy, so the router uses its own threshold."""
    propensity: float
    reason: str
    """Empty without a policy."""


class ArmState(Struct, frozen=True, kw_only=True):
    """One arm of one endpoint, for metrics and display."""

    endpoint: str
    arm: str
    """`serving` or `candidate`."""
    number: int
    share: float
    refused: str
    watch: EndpointState | None
    """None: the arm is the configuration."""


class PolicyGate:
    """Decides for one configuration; belongs to one event loop. Some 20 us a request."""

    def __init__(self, policies: Policies, gate_context: GateContext, *, draw: Callable[[], float]) -> None:
        """`draw` gives numbers in [0, 1)."""
        self.by = gate_context.router
        self._policies = policies
        self._grounds = gate_context
        self._draw = draw
        cheap, expensive = gate_context.pair or ("", "")
        self._plain = Arm(label="", cheap=cheap, expensive=expensive)
        self._arms: dict[str, Arm] = {}
        """By label; filled on demand."""
        self._generation = -1
        self._from_unix_s = self._until_unix_s = 0.0
        """The time for which the arms were judged: from then until a certificate that held expires."""

    def arm(self, request: Request) -> Arm:
        """Which version decides `request`, and between which tiers. The router must score `arm.cheap`."""
        label = self._policies.label(request)
        return self._arm(label) if label else self._plain

    def route(
        self,
        arm: Arm,
        request: Request,
        traits: Traits,
        scored: Scored,
        *,
        to_tier: Callable[[str, Traits], Route],
        otherwise: Callable[[], tuple[str, str]],
    ) -> Route:
        """The route of `request`, with everything that its receipt says about the decision. `otherwise` gives
        tier and reason if neither a policy nor exploration decides; `to_tier` is the rules'."""
        cheap, expensive = scored.cheap, scored.expensive
        well = not (cheap.in_cooldown or expensive.in_cooldown)
        decision = self.rule(arm, request, traits, scored.score, explore=well)
        if decision.explored:
            routes = to_tier(arm.expensive, traits), to_tier(arm.cheap, traits)
            return self.explored(*routes, arm, decision, scored.score)
        if decision.cheap is None:
            tier, reason = otherwise()
        else:
            option, also = choose_promised(cheap, expensive, scored.aim, allowed=decision.cheap)
            tier, reason = option.name, f"{decision.reason}; {also}" if also else decision.reason
        return self.marked(to_tier(tier, traits), arm, decision, scored.score, reason)

    def refused(self, arm: Arm, route: Route) -> Route:
        """`route`, the safe one, for a request that `arm` cannot decide because there are not two tiers."""
        refused: Route = replace(route, reason=f"{arm.label}: {route.tier}, {arm.refused}", policy=arm.label)
        return refused

    def explored(self, expensive: Route, cheap: Route, arm: Arm, decision: Decision, score: float) -> Route:
        """The route of an explored request, from the routes to its two tiers."""
        marked = self.marked(expensive, arm, decision, score, decision.reason)
        explored: Route = replace(marked, shadow=cheap)
        return explored

    def marked(self, route: Route, arm: Arm, decision: Decision, score: float, reason: str) -> Route:
        """`route` with everything that its receipt says about the decision."""
        left_out = route.reason.partition("; ")[2]  # targets whose context window is too small
        marked: Route = replace(
            route,
            reason=f"{reason}; {left_out}" if left_out else reason,
            score=score,
            by=self.by,
            policy=arm.label,
            propensity=decision.propensity,
        )
        return marked

    def rule(
        self, arm: Arm, request: Request, traits: Traits, score: float, *, explore: bool = True
    ) -> Decision:
        """Decide about `request`, whose cheap tier has `score`. Without `explore` it is never drawn for
        exploration, because one of the tiers cannot be asked now."""
        share = self._grounds.explore_shares.get(request.endpoint.name, self._grounds.explore_share)
        propensity = 1.0
        plain: bool | None = None
        if explore and share > 0.0 and arm.cheap and not request.own:
            plain = comparable(request)
            if plain:
                if self._draw() < share:
                    explanation = (
                        f"explored: {arm.expensive} answers, {arm.cheap} is asked too, to compare them"
                    )
                    return Decision(explored=True, cheap=None, propensity=share, reason=explanation)
                propensity = 1.0 - share
        if arm.refused:
            explanation = f"{arm.label}: {arm.expensive}, {arm.refused}"
            return Decision(explored=False, cheap=False, propensity=propensity, reason=explanation)
        if arm.version is None:
            return Decision(explored=False, cheap=None, propensity=propensity, reason="")
        cheap, reason = self._decided(arm, arm.version, request, traits, score, plain)
        return Decision(explored=False, cheap=cheap, propensity=propensity, reason=reason)

    def _decided(
        self,
        arm: Arm,
        version: PolicyVersion,
        request: Request,
        traits: Traits,
        score: float,
        plain: bool | None,
    ) -> tuple[bool, str]:
        """Whether the cheap tier may answer under `version`, and why, in words."""
        certificate = version.certificate
        if score < certificate.threshold:
            return False, f"{arm.label}: {arm.expensive}, score {score:.3f} below {certificate.threshold:.3f}"
        segments = segments_of(traits.task, traits.domain, traits.language)
        if not goes_cheap(certificate, score, segments):
            return False, f"{arm.label}: {arm.expensive}, {uncovered(certificate, segments)}"
        if not (comparable(request) if plain is None else plain):
            return False, f"{arm.label}: {arm.expensive}, tools, steps of agents and images were not measured"
        if not self._policies.may_go_cheap(arm.label, segments):
            return False, f"{arm.label}: {arm.expensive}, {self._policies.why_not_cheap(arm.label)}"
        return True, (
            f"{arm.label}: {arm.cheap}, score {score:.3f} from {certificate.threshold:.3f} on, "
            f"loses at most {certificate.risk_max:.3g} at {1 - certificate.delta:.3g}"
        )

    # -- certificates checked against the configuration ----------------------------------------------

    def _arm(self, label: str) -> Arm:
        policies = self._policies
        now_unix_s = policies.clock()
        in_time = self._from_unix_s <= now_unix_s <= self._until_unix_s  # a clock can be set back, too
        if policies.generation != self._generation or not in_time:
            self._generation = policies.generation
            self._from_unix_s, self._until_unix_s = now_unix_s, float("inf")
            self._arms = {}
        arm = self._arms.get(label)
        if arm is None:
            arm = self._arms[label] = self._judged(label)
        return arm

    def _judged(self, label: str) -> Arm:
        version = self._policies.version(label)
        if label.endswith(UNREADABLE):
            return replace(self._plain, label=label, refused="its policy cannot be read")  # type: ignore[no-any-return]
        if version is None:
            return replace(self._plain, label=label)  # type: ignore[no-any-return]
        now_unix_s = self._policies.clock()
        reasons = self._why_not(version, now_unix_s)
        self._policies.holds(label, holds=not reasons)
        if reasons:
            log.warning("%s sends all to the expensive tier: %s", label, "; ".join(reasons))
        made_unix_s = version.certificate.made_unix_s
        for moment in (made_unix_s - AHEAD_MAX_S, made_unix_s + AGE_MAX_S):
            if moment > now_unix_s:
                self._until_unix_s = min(self._until_unix_s, moment)
        scope = version.certificate.scope
        known = scope.cheap in self._grounds.tiers and scope.expensive in self._grounds.tiers
        return Arm(
            label=label,
            cheap=scope.cheap if known else self._plain.cheap,
            expensive=scope.expensive if known else self._plain.expensive,
            version=version,
            refused=f"its certificate does not hold: {'; '.join(reasons)}" if reasons else "",
        )

    def _why_not(self, version: PolicyVersion, now_unix_s: float) -> list[str]:
        gate_context, certificate = self._grounds, version.certificate
        scope = certificate.scope
        reasons = [
            f"the router scores no tier {tier!r}"
            for tier in (scope.cheap, scope.expensive)
            if tier not in gate_context.tiers
        ]
        reasons += [
            f"the tier {tier!r} was {then}, now it is {gate_context.tiers[tier]}"
            for tier, then in version.targets.items()
            if tier in gate_context.tiers and gate_context.tiers[tier] != then
        ]
        return reasons + why_not(
            certificate,
            scope=RouteScope(
                router=gate_context.router, cheap=scope.cheap, expensive=scope.expensive, policy=scope.policy
            ),
            risk_max=gate_context.losses_max.get(certificate.endpoint, 1.0),
            confidence=0.0,
            now_unix_s=now_unix_s,
        )

    # -- telling ------------------------------------------------------------------------------------

    def states(self) -> list[ArmState]:
        """Every arm of every endpoint that has a policy."""
        watched = self._policies.watched()
        found = []
        for name in self._policies.endpoints:
            book = self._policies.book(name)
            assert book is not None, "the endpoint has a book"
            shares = [("serving", book.serving, 1.0 - book.share)]
            if book.candidate is not None:
                shares.append(("candidate", book.candidate, book.share))
            for arm, number, share in shares:
                label = label_of(name, number)
                found.append(
                    ArmState(
                        endpoint=name,
                        arm=arm,
                        number=number,
                        share=share,
                        refused=self._arm(label).refused,
                        watch=watched.get(label),
                    )
                )
        return found


def cheap_and_expensive(
    tiers: Mapping[str, Sequence[Target]], default: str | None, known: Collection[str]
) -> tuple[str, str] | None:
    """The two tiers to compare without a certificate: the one with the lowest known price, and the default
    tier. If no price is known, the tier configured first; None: there are not two tiers."""
    others = [name for name in tiers if name in known and name != default]
    if default is None or default not in known or not others:
        return None
    return min(others, key=lambda name: _price_pusd(tiers[name][0])), default


def _price_pusd(target: Target) -> float:
    price = target.price
    return float("inf") if price is None else price.input_pusd + price.output_pusd
