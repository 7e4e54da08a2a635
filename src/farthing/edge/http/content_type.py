"""Which content types a request's body may have, and that it must not be compressed."""

from collections.abc import Callable, Mapping

from farthing.errors import UnsupportedMedia

JSON_TYPE = b"application/json"
FORM_TYPE = b"multipart/form-data"
KEYS = frozenset({b"authorization", b"x-api-key", b"api-key"})
UNASKED_TYPES = (b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain")
"""Types that a page of another site may send without a preflight (the Fetch standard's safelist)."""


def is_form(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the body says it is a form with parts."""
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower() == FORM_TYPE


def check_type(
    headers: Mapping[bytes, bytes], *, forms: bool = False, pages: Callable[[bytes], bool] | None = None
) -> None:
    """A page of another site may send some types unasked, or none, and never JSON's: so what names an origin
    has to say JSON, and nobody may say a type of those.

    Where `forms` are taken, one with parts may come from anyone that is no page; from a page that shows a
    key, which it cannot send unasked; and from those of `pages`, which says of an origin whether it may call.

    Raises:
        UnsupportedMedia: it is of another type, or compressed.
    """
    coding = headers.get(b"content-encoding", b"identity").strip().lower()
    if coding not in (b"identity", b""):
        name = coding[:40].decode("latin-1")
        raise UnsupportedMedia(f"the body is compressed ({name}), which is not read here: send it as it is")
    if forms and is_form(headers):
        origin = headers.get(b"origin")
        if origin is None or not KEYS.isdisjoint(headers) or (pages is not None and pages(origin)):
            return
        raise UnsupportedMedia(
            "a page of another site may send a form with an API key, or where server.cors_origins lists it"
        )
    said = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if said == JSON_TYPE or said.endswith(b"+json"):
        return
    if said in UNASKED_TYPES or b"origin" in headers:
        shown = said[:100].decode("latin-1") or "not said"
        raise UnsupportedMedia(
            f"the type of the body is {shown}: send it with `content-type: application/json`"
        )
