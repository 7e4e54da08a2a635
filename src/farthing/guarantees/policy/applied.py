"""The routing policies that a gateway applies: the current policy files of a folder, and their monitor.

A changed file takes effect at the next `refresh`; an invalid one changes nothing and is logged. The monitor
watches versions, not endpoints: a new version starts with a clean record, and a version that was rolled back
keeps its own. One event loop.
"""

import logging
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from msgspec import Struct

from farthing.errors import ConfigError
from farthing.guarantees.certificates.routing import goes_cheap, segments_of
from farthing.guarantees.monitor.error_rate import EndpointState
from farthing.guarantees.monitor.routing import RouteMonitor
from farthing.guarantees.policy import versions
from farthing.guarantees.policy.versions import PolicyBook, PolicyVersion, label_of
from farthing.types import Receipt, Request

UNREADABLE = "@?"
"""Replaces the version in the label of an endpoint whose file cannot be read."""
OPEN_MAX = 2_000  # audits of a version that await their loss; beyond it the oldest is given up

log = logging.getLogger("farthing.route")

Stamp = tuple[int, int, int]


class Found(Struct, frozen=True):
    """The result of reading the folder."""

    stamps: dict[Path, Stamp]
    books: dict[Path, PolicyBook | ConfigError | None]
    """The changed files: content, or why it cannot be read; None: removed meanwhile."""


class Policies:
    """Implements `RouteAudit`, and tells a router which version decides a request."""

    def __init__(
        self, folder: Path | None, watch: RouteMonitor, *, clock: Callable[[], float] = time.time
    ) -> None:
        """`folder` None: no policies. `clock` gives Unix seconds. Nothing is read before `refresh`."""
        self.generation = 0
        """Changes whenever a book changes."""
        self.applied = 0
        self.refused = 0
        """Files accepted and rejected since the start."""
        self.clock = clock
        self._folder = folder
        self.watch = watch
        self._books: dict[str, PolicyBook] = {}
        self._labels: dict[str, tuple[str, str, float, bytes]] = {}
        """Endpoint to the labels of serving and candidate, the candidate's share, and the salt of its
        draw."""
        self._broken: set[str] = set()
        """Endpoints that have a file of which no valid version was ever read."""
        self._stamps: dict[Path, Stamp] = {}
        self._refused: set[str] = set()
        """Labels whose certificate does not hold here: what is explored now concerns something else."""

    # -- books --------------------------------------------------------------------------------------

    def refresh(self) -> bool:
        """Apply the current files. Returns whether anything changed. Never raises: with an invalid file the
        endpoint keeps its previous book."""
        return self.take(self.look())

    def look(self) -> "Found | None":
        """Read the files that changed; None: none did. Only this method waits for a disk: it may run beside
        the event loop, one call at a time."""
        before, stamps = self._stamps, self._found()
        if stamps == before:
            return None
        books = {path: _read(path) for path, stamp in stamps.items() if before.get(path) != stamp}
        return Found(stamps, books)

    def take(self, found: "Found | None") -> bool:
        """Apply what `look` found. Returns whether anything changed."""
        if found is None:
            return False
        before, self._stamps = self._stamps, found.stamps
        for path in before.keys() - found.stamps.keys():
            self._broken.discard(versions.endpoint_at(path))
            if self._books.pop(versions.endpoint_at(path), None) is not None:
                log.warning("the routing policy %s is gone, its endpoint uses the configuration", path)
        for path, book in found.books.items():
            self._take(path, book)
        self._labels = {name: (name + UNREADABLE, "", 0.0, b"") for name in self._broken}
        self._labels.update({name: _labels(book) for name, book in self._books.items()})
        self.watch.follow(
            {
                label_of(name, one.number): one.certificate
                for name, book in self._books.items()
                for one in book.versions
            },
            keep=[label for label in self.watch.states() if label.rpartition("@")[0] in self._broken],
        )
        self._refused &= self.watch.states().keys()
        self.generation += 1
        return True

    def _found(self) -> dict[Path, Stamp]:
        if self._folder is None:
            return {}
        found = {}
        try:
            for path in sorted(self._folder.glob("*.json")):
                status = path.stat()
                found[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError as error:
            log.warning("%s cannot be read: %s; routing policies stay", self._folder, error.strerror)
            return self._stamps
        return found

    def _take(self, path: Path, book: PolicyBook | ConfigError | None) -> None:
        if isinstance(book, ConfigError):
            self.refused += 1
            name = versions.endpoint_at(path)
            if name in self._books:
                log.error("routing policy rejected, the last valid one stays: %s", book)
            else:
                self._broken.add(name)
                log.error("routing policy rejected, %r goes to the expensive tier: %s", name, book)
            return
        if book is None:
            return
        self.applied += 1
        self._broken.discard(book.endpoint)
        self._books[book.endpoint] = book
        trial = "" if book.candidate is None else f", version {book.candidate} decides {book.share:.1%}"
        log.info("routing policy of %r: version %d serves%s", book.endpoint, book.serving, trial)

    def book(self, endpoint: str) -> PolicyBook | None:
        """None: the endpoint uses the configuration, without a label."""
        return self._books.get(endpoint)

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(self._books)

    # -- which version ------------------------------------------------------------------------------

    def label(self, request: Request) -> str:
        """The label of the version that decides `request`; empty if its endpoint has no book.

        While two versions share the traffic, the requests of one session, or else of one user, stay with one
        version. The gateway's own requests are never on trial.
        """
        found = self._labels.get(request.endpoint.name)
        if found is None:
            return ""
        serving, candidate, share, salt = found
        if not candidate or request.own:
            return serving
        who = request.session or request.user or request.id
        key = f"{request.tenant.name}\0{who}".encode(errors="replace")
        drawn = int.from_bytes(blake2b(key, digest_size=8, salt=salt).digest()) / 2**64
        return candidate if drawn < share else serving

    def version(self, label: str) -> PolicyVersion | None:
        """The version of a label; None: the configuration, or a version that is no longer kept."""
        number = versions.number_of(label)
        book = self._books.get(label.rpartition("@")[0])
        return None if book is None or not number else book.version(number)

    def may_go_cheap(self, label: str, segments: tuple[str, ...]) -> bool:
        """True if the monitor has tripped neither for the version nor for one of the segments."""
        return self.watch.may_go_cheap(label, *segments)

    def why_not_cheap(self, label: str) -> str:
        """Why `may_go_cheap` says no."""
        return self.watch.suspension(label) or "the monitor has tripped: audits lost too much"

    def tiers_of(self, label: str) -> tuple[str, ...]:
        """The tiers that the certificate of a version is about; empty: there is no such version."""
        version = self.version(label)
        if version is None:
            return ()
        scope = version.certificate.scope
        return scope.cheap, scope.expensive

    def holds(self, label: str, *, holds: bool) -> None:
        """Set whether the certificate of a version holds here. If not, nothing of it is audited."""
        (self._refused.discard if holds else self._refused.add)(label)

    def judged_within(self, wait_s: float) -> None:
        """Set how long to wait for the loss of an audit before it is given up."""
        self.watch.wait_s = wait_s
        self.watch.waiting_max = OPEN_MAX

    def watched(self) -> dict[str, EndpointState]:
        """The monitor's state, by label."""
        return self.watch.states()

    # -- audits -------------------------------------------------------------------------------------

    def opened(self, receipt: Receipt) -> None:
        """See `protocols.RouteAudit`. Ignores what another router scored or other tiers answered."""
        label = receipt.route_policy
        version = self.version(label)
        if version is None or receipt.route_score is None or label in self._refused:
            return
        scope = version.certificate.scope
        if (receipt.route_by, receipt.explored, receipt.tier) != (scope.router, scope.cheap, scope.expensive):
            return
        segments = segments_of(receipt.task_type, receipt.domain, receipt.language)
        first, *also = segments
        safe = not goes_cheap(version.certificate, receipt.route_score, segments)
        self.watch.opened(label, receipt.request_id, first, also=also, safe=safe)

    def lost(self, request_id: str, loss: float | None) -> None:
        """See `protocols.RouteAudit`."""
        label = self.watch.awaited(request_id)
        if label is not None:  # None: never opened, or given up
            self.watch.lost(label, loss, audit=request_id)


def _labels(book: PolicyBook) -> tuple[str, str, float, bytes]:
    candidate = "" if book.candidate is None else label_of(book.endpoint, book.candidate)
    # each trial draws anew: otherwise the same clients would be the canary every time
    salt = blake2b(candidate.encode(errors="replace"), digest_size=16).digest()
    return label_of(book.endpoint, book.serving), candidate, book.share, salt


def _read(path: Path) -> PolicyBook | ConfigError | None:
    try:
        return versions.load(path)
    except ConfigError as error:
        return error
