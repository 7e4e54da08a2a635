"""The terms of an endpoint for one language, and what they make of a verdict. Pure functions."""

from farthing.brain.cache.semantic.language import ENGLISH
from farthing.types import Semantics, Verdict, replace


def in_language(terms: Semantics, language: str) -> Semantics:
    """The terms for questions in `language`: those of English are the endpoint's own, any other needs a
    certificate of its own evidence to be served."""
    if language == ENGLISH:
        return terms
    for one in terms.certified:
        if one.language == language:
            return replace(  # type: ignore[no-any-return]
                terms, threshold=one.threshold, until_unix_s=one.until_unix_s
            )
    return replace(terms, mode="observe", threshold=None)  # type: ignore[no-any-return]


def is_watched(terms: Semantics, language: str) -> bool:
    """Whether outcomes in `language` say something of what the endpoint serves, or would: where it serves
    some languages, those that it only observes say nothing of them."""
    return terms.mode == "observe" or in_language(terms, language).threshold is not None


def under(verdict: Verdict, terms: Semantics) -> Verdict:
    """The verdict under the endpoint's threshold, which takes the place of the verifier's own. A miss, of the
    rules for one, stays a miss under any threshold."""
    if terms.threshold is None or verdict.outcome == "miss":
        return verdict
    if verdict.probability >= terms.threshold:
        return replace(verdict, outcome="serve")  # type: ignore[no-any-return]
    outcome = "abstain" if verdict.outcome == "abstain" else "miss"
    return replace(verdict, outcome=outcome)  # type: ignore[no-any-return]
