"""The versions of an endpoint's routing policy: which one decides, which is on trial, and who changed it.

A version is a certificate (`farthing calibrate route`) and its origin. Version 0 is the configuration as
written. One version *serves*; another may be the *candidate* on a share of the traffic: a canary, or an A/B
comparison at one half. Each endpoint has one JSON file in the folder `policies` of the state directory,
written atomically. The functions here are pure: a book goes in, the changed book comes out.
"""

import fcntl
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct

from farthing.errors import ConfigError, FarthingError
from farthing.guarantees.certificates import renamed
from farthing.guarantees.certificates.routing import VERSION as certificate_version
from farthing.guarantees.certificates.routing import RouteCertificate
from farthing.stores.atomic_write import write_whole
from farthing.stores.private import make_directory, opener

FORMAT = 1
VERSIONS_MAX = 50
CHANGES_MAX = 500
PAST_MAX = 20
CONFIGURED = 0
"""The version that is the configuration alone."""


class PolicyRefused(FarthingError):
    """The requested change of a policy is not possible."""

    code = "policy_refused"


class PolicyVersion(Struct, frozen=True, kw_only=True):
    """One routing policy of an endpoint."""

    number: int
    """From 1; never reused."""
    made_unix_s: float
    note: str = ""
    certificate: RouteCertificate
    targets: dict[str, str] = {}
    """First target of the certificate's two tiers when it was added; empty: unknown then."""


class Change(Struct, frozen=True, kw_only=True):
    """One entry of the history."""

    at_unix_s: float
    who: str
    what: str


class PolicyBook(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The routing policy of one endpoint, with its history."""

    format: int = FORMAT
    endpoint: str
    versions: tuple[PolicyVersion, ...] = ()
    """Oldest first."""
    serving: int = CONFIGURED
    candidate: int | None = None
    share: float = 0.0
    """Share of the traffic that the candidate decides."""
    past: tuple[int, ...] = ()
    """Versions that served before, the latest last: a rollback returns to it."""
    last_number: int = 0
    changes: tuple[Change, ...] = ()
    """Oldest first."""

    def version(self, number: int) -> PolicyVersion | None:
        """None: it is the configuration, or no longer kept."""
        return next((one for one in self.versions if one.number == number), None)


class Author(Struct, frozen=True, kw_only=True):
    """Who changes a book, and when."""

    who: str
    at_unix_s: float


# -- changes ------------------------------------------------------------------------------------------


def add(
    book: PolicyBook,
    certificate: RouteCertificate,
    author: Author,
    *,
    note: str = "",
    targets: Mapping[str, str] | None = None,
) -> PolicyBook:
    """The book with one more version, which decides nothing yet. The oldest unused version makes room for it.

    Raises:
        PolicyRefused: the certificate belongs to another endpoint.
    """
    if certificate.endpoint != book.endpoint:
        raise PolicyRefused(f"the certificate belongs to {certificate.endpoint!r}, not to {book.endpoint!r}")
    number = book.last_number + 1
    version = PolicyVersion(
        number=number,
        made_unix_s=author.at_unix_s,
        note=note,
        certificate=certificate,
        targets=dict(targets or {}),
    )
    changed = msgspec.structs.replace(book, versions=(*book.versions, version), last_number=number)
    return _without_oldest(
        _with_change(changed, author, f"added version {number}" + (f": {note}" if note else ""))
    )


def canary(book: PolicyBook, number: int, share: float, author: Author) -> PolicyBook:
    """The book with version `number` deciding `share` of the traffic; any other candidate is dropped.

    Raises:
        PolicyRefused: there is no such version, it serves already, or the share is not between 0 and 1.
    """
    if not 0.0 < share < 1.0:
        raise PolicyRefused(f"a canary takes a share between 0 and 1, not {share:g}; `promote` gives it all")
    _known(book, number)
    if number == book.serving:
        raise PolicyRefused(f"version {number} of {book.endpoint!r} is already serving")
    changed = msgspec.structs.replace(book, candidate=number, share=share)
    return _with_change(
        changed, author, f"version {number} decides {share:.1%} beside version {book.serving}"
    )


def promote(book: PolicyBook, number: int | None, author: Author) -> PolicyBook:
    """The book with version `number` (None: the candidate) deciding everything.

    Raises:
        PolicyRefused: there is no such version, no candidate, or it serves already.
    """
    if number is None:
        if book.candidate is None:
            raise PolicyRefused(f"{book.endpoint!r} has no candidate to promote: name one with --version")
        number = book.candidate
    return _serve(book, number, author, f"version {number} serves instead of version {book.serving}")


def rollback(book: PolicyBook, author: Author, *, to: int | None = None) -> PolicyBook:
    """Undo: drop the candidate if there is one, else return to the version that served before. With `to` that
    version serves. No candidate is left in any case.

    Raises:
        PolicyRefused: there is nothing to go back to, or no such version.
    """
    if to is None and book.candidate is not None:
        changed = msgspec.structs.replace(book, candidate=None, share=0.0)
        return _with_change(
            changed, author, f"dropped candidate {book.candidate}; version {book.serving} serves"
        )
    if to is not None:
        return _serve(book, to, author, f"rolled back from version {book.serving} to {to}")
    kept = {CONFIGURED, *(one.number for one in book.versions)}
    past = [number for number in book.past if number in kept]
    while past and past[-1] == book.serving:
        past.pop()
    if not past:
        if book.serving == CONFIGURED:
            raise PolicyRefused(
                f"nothing to roll back: no version of {book.endpoint!r} serves, its configuration decides"
            )
        raise PolicyRefused(
            f"nothing to roll back to: what served {book.endpoint!r} before version {book.serving} is not "
            "kept; name a version with --to (0 is the configuration)"
        )
    back = past.pop()
    changed = msgspec.structs.replace(book, serving=back, candidate=None, share=0.0, past=tuple(past))
    return _with_change(changed, author, f"rolled back from version {book.serving} to version {back}")


def _serve(book: PolicyBook, number: int, author: Author, what: str) -> PolicyBook:
    _known(book, number)
    if number == book.serving and book.candidate is None:
        raise PolicyRefused(f"version {number} of {book.endpoint!r} is already serving")
    past = book.past if number == book.serving else (*book.past, book.serving)[-PAST_MAX:]
    changed = msgspec.structs.replace(book, serving=number, candidate=None, share=0.0, past=past)
    return _with_change(changed, author, what)


def _known(book: PolicyBook, number: int) -> None:
    if number != CONFIGURED and book.version(number) is None:
        there = ", ".join(str(one.number) for one in book.versions) or "only 0, the configuration"
        raise PolicyRefused(f"{book.endpoint!r} has no version {number}; existing versions: {there}")


def _with_change(book: PolicyBook, author: Author, what: str) -> PolicyBook:
    change = Change(at_unix_s=author.at_unix_s, who=author.who, what=what)
    changed: PolicyBook = msgspec.structs.replace(book, changes=(*book.changes, change)[-CHANGES_MAX:])
    return changed


def _without_oldest(book: PolicyBook) -> PolicyBook:
    """Make room, but keep the versions in use: serving, on trial, served last, or just added."""
    used = {book.serving, book.candidate, book.last_number, *book.past[-1:]}
    versions = list(book.versions)
    while len(versions) > VERSIONS_MAX:
        unused = next((one for one in versions if one.number not in used), versions[0])
        versions.remove(unused)
    changed: PolicyBook = msgspec.structs.replace(book, versions=tuple(versions))
    return changed


# -- labels -------------------------------------------------------------------------------------------


def label_of(endpoint: str, number: int) -> str:
    """The name of a version in receipts: `faq@3`."""
    return f"{endpoint}@{number}"


def number_of(label: str) -> int | None:
    """The version in a receipt's label; None if there is none."""
    number = label.rpartition("@")[2]
    return int(number) if "@" in label and number.isdecimal() else None


# -- files --------------------------------------------------------------------------------------------


def folder_of(state_dir: Path) -> Path:
    return state_dir / "policies"


def place(state_dir: Path, endpoint: str) -> Path:
    """Path of the book of `endpoint`. Any endpoint name gives a safe file name."""
    return folder_of(state_dir) / f"{quote(endpoint, safe='')}.json"


def endpoint_at(path: Path) -> str:
    """The endpoint whose book is at `path`."""
    return unquote(path.stem)


def load(path: Path) -> PolicyBook | None:
    """The book in a file; None if there is no file.

    Raises:
        ConfigError: it cannot be read, or its content is impossible.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"the routing policy {path} cannot be read: {error.strerror}") from error
    try:
        book = renamed.decode(data, PolicyBook)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not a routing policy: {error}") from error
    fault = _fault(book, endpoint_at(path))
    if fault:
        raise ConfigError(f"the routing policy {path} {fault}")
    return book


def save(path: Path, book: PolicyBook) -> None:
    """Write the book atomically.

    Raises:
        OSError: it cannot be written.
    """
    write_whole(path, msgspec.json.format(renamed.encode(book), indent=2) + b"\n")


def change(state_dir: Path, endpoint: str, what: Callable[[PolicyBook], PolicyBook]) -> PolicyBook:
    """Change the book of `endpoint` in its file, under a lock between processes, and return the new book.

    Raises:
        ConfigError: the file cannot be read or written.
        PolicyRefused: raised by `what`; nothing is written.
    """
    path = place(state_dir, endpoint)
    try:
        make_directory(path.parent)
        with open(path.parent / ".lock", "w", opener=opener) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            book = what(load(path) or PolicyBook(endpoint=endpoint))
            save(path, book)
    except OSError as error:
        raise ConfigError(f"cannot write the routing policy {path}: {error.strerror}") from error
    return book


def _fault(book: PolicyBook, endpoint: str) -> str:
    """What is wrong with a decoded book; empty: nothing."""
    if book.format != FORMAT:
        return f"has format {book.format}; this Farthing reads {FORMAT}"
    if book.endpoint != endpoint:
        return f"belongs to {book.endpoint!r}, but its file name says {endpoint!r}"
    numbers = [one.number for one in book.versions]
    if len(set(numbers)) < len(numbers) or any(not 0 < one <= book.last_number for one in numbers):
        return "has version numbers below 1, or duplicate ones"
    kept = {CONFIGURED, *numbers}
    if book.serving not in kept or (book.candidate is not None and book.candidate not in kept):
        return "lets a version decide that it does not contain"
    if book.candidate is not None and not 0.0 < book.share < 1.0:
        return f"gives its candidate the share {book.share:g}, which is not between 0 and 1"
    return next((fault for one in book.versions if (fault := _fault_of(one.certificate, endpoint))), "")


def _fault_of(certificate: RouteCertificate, endpoint: str) -> str:
    """What is wrong with a certificate: the monitor relies on its numbers, too."""
    if certificate.endpoint != endpoint:
        return "has a certificate for another endpoint"
    if certificate.version != certificate_version:
        return f"has a certificate of format {certificate.version}; this Farthing reads {certificate_version}"
    for name in ("risk_max", "delta", "segment_risk_max"):
        if not 0.0 < getattr(certificate, name) < 1.0:
            return f"has a certificate whose {name} is {getattr(certificate, name):g}, not between 0 and 1"
    return ""
