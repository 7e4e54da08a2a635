"""The certificates under which the semantic cache of an endpoint serves: one for each language."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from farthing.brain.cache.semantic.language import ENGLISH
from farthing.config import Config
from farthing.errors import ConfigError
from farthing.guarantees.certificates import semantic_cache
from farthing.guarantees.certificates.file import AGE_MAX_S
from farthing.stats import exact_tests
from farthing.types import CertifiedLanguage, Endpoint, Semantics, replace

log = logging.getLogger("farthing.semantic")


def certified(endpoint: Endpoint, state_dir: Path, scope: semantic_cache.Scope) -> Endpoint:
    """The endpoint with the thresholds of its certificates: for English, unless it sets a threshold of its
    own, and for the other languages that it allows.

    Raises:
        ConfigError: it is `on` for English and has neither threshold nor certificate.
    """
    terms = endpoint.semantic
    if terms is None or terms.mode != "on":
        return endpoint
    others = [language for language in terms.languages if language != ENGLISH]
    held = [(language, _held(endpoint.name, language, terms, state_dir, scope)) for language in others]
    others_held = tuple(
        CertifiedLanguage(
            language=language, threshold=found.threshold, until_unix_s=found.made_unix_s + AGE_MAX_S
        )
        for language, found in held
        if found is not None
    )
    terms = replace(terms, certified=others_held)
    if ENGLISH not in terms.languages:
        terms = replace(terms, threshold=None)
    elif terms.threshold is None:
        made = _held(endpoint.name, ENGLISH, terms, state_dir, scope)
        if made is not None:
            terms = replace(terms, threshold=made.threshold, until_unix_s=made.made_unix_s + AGE_MAX_S)
    if terms.threshold is None and not others_held:
        terms = replace(terms, mode="observe")
    return replace(endpoint, semantic=terms)  # type: ignore[no-any-return]


def _held(
    endpoint: str, language: str, terms: Semantics, state_dir: Path, scope: semantic_cache.Scope
) -> semantic_cache.Certificate | None:
    """The certificate under which questions in `language` are served. None, with a line in the log: there is
    none, or it does not hold.

    Raises:
        ConfigError: there is none for English, or one cannot be read.
    """
    found = semantic_cache.load(semantic_cache.certificate_path(state_dir, endpoint, language))
    if found is None:
        if language == ENGLISH:
            raise ConfigError(
                f'endpoints.{endpoint}.cache.semantic: mode = "on" needs a threshold or a certificate; set '
                f'mode = "observe" for a while, then run `farthing calibrate cache --endpoint {endpoint}`'
            )
        log.warning("%s", _without(endpoint, language))
        return None
    reasons = semantic_cache.why_not(
        found,
        endpoint=endpoint,
        language=language,
        scope=scope,
        risk_max=terms.risk_max,
        confidence=terms.confidence,
        now_unix_s=time.time(),
    )
    least = exact_tests.upper(found.wrong, found.n, 1 - found.delta)
    if found.upper < least - 1e-6:
        reasons.append(f"{found.wrong} wrong of {found.n} bound false hits by {least:.3g}, not as it says")
    if not reasons:
        return found
    log.warning(
        "the semantic cache of '%s' only observes%s, its certificate does not hold: %s; "
        "run `farthing calibrate cache%s`",
        endpoint,
        "" if language == ENGLISH else f" in the language {language}",
        "; ".join(reasons),
        "" if language == ENGLISH else f" --endpoint {endpoint} --language {language}",
    )
    return None


def _without(endpoint: str, language: str) -> str:
    return (
        f"endpoints.{endpoint}.cache.semantic.languages: questions in {language!r} are only observed, there "
        f"is no certificate of that language; run `farthing calibrate cache --endpoint {endpoint} --language "
        f"{language} --apply` when enough are audited"
    )


def uncertified_languages(config: Config, state_dir: Path) -> tuple[str, ...]:
    """One line for each language that an endpoint allows without a certificate, whether or not it sets a
    threshold."""
    return tuple(
        _without(name, language)
        for name, endpoint in config.endpoints.items()
        for language in endpoint.cache.semantic.languages
        if endpoint.cache.semantic.mode == "on"
        and language != ENGLISH
        and not semantic_cache.certificate_path(state_dir, name, language).is_file()
    )


def made_unix_s(state_dir: Path, terms: Mapping[str, Semantics]) -> dict[str, float]:
    """When the certificates were made under which endpoints are served. If an endpoint has several, the time
    of the oldest: the endpoint returns from a trip only when all of them are newer."""
    found = {}
    for name, semantics in terms.items():
        if semantics.mode != "on":
            continue
        served: list[tuple[str, float | None]] = [
            (one.language, one.threshold) for one in semantics.certified
        ]
        if semantics.threshold is not None:
            served.append((ENGLISH, semantics.threshold))
        made = []
        for language, threshold in served:
            there = semantic_cache.load(semantic_cache.certificate_path(state_dir, name, language))
            if there is not None and (there.endpoint, there.threshold) == (name, threshold):
                made.append(there.made_unix_s)
        if served and len(made) == len(served):
            found[name] = min(made)
    return found
