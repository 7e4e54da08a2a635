"""A request in the form of one dialect, and what that form has no word for."""

from msgspec import Struct

from farthing.types import Json


class Written(Struct, frozen=True):
    body: Json
    unsaid: tuple[str, ...] = ()
    """Names of the client's fields that are not in `body`."""
    yielded: tuple[str, ...] = ()
    """Names of those that gave way to others in this request alone."""
    reasons: dict[str, str] = {}
    """Why a name of `unsaid` cannot be said to this model and what helps; none where no model takes it."""
