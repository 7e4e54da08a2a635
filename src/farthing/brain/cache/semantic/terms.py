"""The terms of an endpoint in one language, and their effect on a verdict. Pure functions."""

from farthing.brain.cache.semantic.language import ENGLISH
from farthing.types import Semantics, Verdict, replace


def in_language(terms: Semantics, language: str) -> Semantics:
    """The terms for questions in `language`: English has the endpoint's own; any other language is served
    only with a certificate from its own evidence."""
    if language == ENGLISH:
        return terms
    for one in terms.certified:
        if one.language == language:
            return replace(  # type: ignore[no-any-return]
                terms, threshold=one.threshold, until_unix_s=one.until_unix_s
            )
    return replace(terms, mode="observe", threshold=None)  # type: ignore[no-any-return]


def is_watched(terms: Semantics, language: str) -> bool:
    """Whether outcomes in `language` are evidence about what the endpoint serves, or would serve. If it
    serves some languages, those that it only observes are not evidence about them."""
    return terms.mode == "observe" or in_language(terms, language).threshold is not None


def under(verdict: Verdict, terms: Semantics) -> Verdict:
    """The verdict under the endpoint's threshold, which replaces the verifier's. A miss, such as one from the
    rules, stays a miss under any threshold."""
    if terms.threshold is None or verdict.outcome == "miss":
        return verdict
    if verdict.probability >= terms.threshold:
        return replace(verdict, outcome="serve")  # type: ignore[no-any-return]
    outcome = "abstain" if verdict.outcome == "abstain" else "miss"
    return replace(verdict, outcome=outcome)  # type: ignore[no-any-return]
