"""What lets a semantic cache serve: a measured bound on its false hits, and the scope in which it holds.

`farthing calibrate cache` writes it; the gateway reads it at start and at each reload. Files are in the
folder `certificates` of the state directory: `cache-ENDPOINT.json` for questions in English,
`cache.LANGUAGE-ENDPOINT.json` for another language, and `scope.json`, in which the gateway records since when
it has run with which embedder and verifier, so that audits under others are never counted.
"""

from pathlib import Path

import msgspec
from msgspec import Struct

from farthing.guarantees.certificates import file
from farthing.stores.atomic_write import write_whole

THRESHOLD_MIN = 0.5  # below it the verifier itself rates the answer as wrong
VERSION = 1


class Scope(Struct, frozen=True, kw_only=True):
    """What determined the hits. A certificate says nothing about another scope."""

    embedder: str
    verifier: str
    cosine_min: float
    partitioning: int
    """Version of the rules that form partitions."""


class Certificate(Struct, frozen=True, kw_only=True):
    """With confidence 1 - delta, at most a share `risk_max` of hits at `threshold` and above is false."""

    version: int = VERSION
    endpoint: str
    language: str = "en"
    """Language of all audited questions. The certificate holds for no other."""
    threshold: float
    """Verifier probability from which hits are served."""
    risk_max: float
    delta: float
    n: int
    """Audited hits at `threshold` and above, made as independent as possible."""
    wrong: int
    upper: float
    """Exact binomial bound (Clopper-Pearson, one-sided) on the rate at `threshold`; at most `risk_max`. Valid
    for one look at the audits: whoever calibrates daily until a certificate is issued must use
    `upper_anytime`."""
    upper_anytime: float
    """The bound that holds however many looks came before."""
    hits: int
    """All audited hits at `threshold` and above, including repetitions."""
    hits_wrong: int
    entries: int
    """Distinct entries among them."""
    grid: tuple[float, ...]
    """Thresholds fixed before looking, safest first; tested in this order."""
    made_unix_s: float
    audited_from_unix_s: float
    audited_to_unix_s: float
    scope: Scope
    judged_by: tuple[str, ...]
    """What decided whether answers agree: `words`, or targets. The bound is on what they call false."""
    policies: tuple[str, ...]
    """Versions of the configurations under which the audits were made."""
    data_hash: str
    """Digest of the audits used."""
    later_n: int = 0
    """The last fifth of the audits by time, to check for drift, and how many were wrong."""
    later_wrong: int = 0


class RunningScope(Struct, frozen=True, kw_only=True):
    """The scope of the gateway that runs, or ran last, on a state directory."""

    scope: Scope
    since_unix_s: float


def certificate_path(state_dir: Path, endpoint: str, language: str = "en") -> Path:
    """Path of the certificate of `endpoint` for questions in `language` (two letters). Any endpoint name
    gives a safe file name."""
    return file.place(state_dir, "cache" if language == "en" else f"cache.{language}", endpoint)


def scope_path(state_dir: Path) -> Path:
    return state_dir / "certificates" / "scope.json"


def save(path: Path, certificate: Certificate) -> None:
    """Write the certificate atomically.

    Raises:
        OSError: it cannot be written.
    """
    file.save(path, certificate)


def load(path: Path) -> Certificate | None:
    """The certificate in a file; None if there is no file.

    Raises:
        ConfigError: it cannot be read.
    """
    return file.load(path, Certificate, version=VERSION, made_by="farthing calibrate cache")


def why_not(
    certificate: Certificate,
    *,
    endpoint: str,
    language: str = "en",
    scope: Scope,
    risk_max: float,
    confidence: float,
    now_unix_s: float,
) -> list[str]:
    """Why the certificate does not let `endpoint` serve questions in `language`; empty: it does."""
    reasons = []
    if certificate.endpoint != endpoint:
        reasons.append(f"it was made for the endpoint {certificate.endpoint!r}")
    if certificate.language != language:
        reasons.append(f"it was made from questions in {certificate.language!r}")
    if not THRESHOLD_MIN <= certificate.threshold <= 1:
        reasons.append(f"its threshold of {certificate.threshold:g} can never be certified")
    was = certificate.scope
    for name, then, now in (
        ("embedder", was.embedder, scope.embedder),
        ("verifier", was.verifier, scope.verifier),
        ("partitioning", str(was.partitioning), str(scope.partitioning)),
    ):
        if then != now:
            reasons.append(f"it was made with {name} {then}, now it is {now}")
    if scope.cosine_min < was.cosine_min:  # a higher one only proposes fewer candidates
        reasons.append(f"cache.semantic.cosine_min was {was.cosine_min:g}, now it is {scope.cosine_min:g}")
    if risk_max < certificate.upper:
        reasons.append(f"it bounds false hits by {certificate.upper:.3g}, but {risk_max:g} is configured")
    if confidence > 1 - certificate.delta + 1e-12:
        reasons.append(f"its confidence is {1 - certificate.delta:g}, but {confidence:g} is configured")
    return [*reasons, *file.too_old(certificate.made_unix_s, now_unix_s)]


def note_scope(state_dir: Path, scope: Scope, now_unix_s: float) -> None:
    """Record what the gateway runs with, and since when. Recording the same scope again changes nothing.

    Raises:
        OSError: it cannot be written.
    """
    path = scope_path(state_dir)
    running = running_scope(state_dir)
    if running is None or running.scope != scope:
        write_whole(path, msgspec.json.encode(RunningScope(scope=scope, since_unix_s=now_unix_s)))


def running_scope(state_dir: Path) -> RunningScope | None:
    """What the last gateway on this state directory ran with; None if none had a semantic cache, or its
    record cannot be read."""
    try:
        return msgspec.json.decode(scope_path(state_dir).read_bytes(), type=RunningScope)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
