"""Admission: sheds before any work is done. Bounds are counts of what is in progress."""

from farthing.errors import Overloaded


class Admission:
    """How many requests are in progress, and whether new ones are taken."""

    __slots__ = ("_requests_max", "draining", "in_progress", "shed")

    def __init__(self, requests_max: int) -> None:
        self._requests_max = requests_max
        self.in_progress = 0
        self.shed = 0
        """Requests turned away since the start."""
        self.draining = False

    def enter(self) -> None:
        """Count one request in; `leave` must follow.

        Raises:
            Overloaded: too many are in progress, or the gateway is going down.
        """
        if self.draining:
            self.shed += 1
            raise Overloaded("the gateway is shutting down: send this to another replica", code="draining")
        if self.in_progress >= self._requests_max:
            self.shed += 1
            raise Overloaded(f"{self._requests_max} requests are in progress: try again in a moment")
        self.in_progress += 1

    def share(self) -> float:
        """In progress, as a share of what is allowed."""
        return self.in_progress / self._requests_max

    def leave(self) -> None:
        self.in_progress -= 1

    def resize(self, requests_max: int) -> None:
        """Apply a new bound; requests in progress stay."""
        self._requests_max = requests_max
