"""What type a request's body may be of, and that it comes as it is."""

from collections.abc import Mapping

from farthing.errors import UnsupportedMedia

JSON_TYPE = b"application/json"
UNASKED_TYPES = (b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain")
"""Which a page of another site may send without asking for leave (the Fetch standard's safelist)."""


def check_type(headers: Mapping[bytes, bytes]) -> None:
    """A page of another site may send some types unasked, or none, and never JSON's: so what names an origin
    has to say JSON, and nobody may say a type of those.

    Raises:
        UnsupportedMedia: it is of another type, or compressed.
    """
    coding = headers.get(b"content-encoding", b"identity").strip().lower()
    if coding not in (b"identity", b""):
        name = coding[:40].decode("latin-1")
        raise UnsupportedMedia(f"the body is compressed ({name}), which is not read here: send it as it is")
    said = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if said == JSON_TYPE or said.endswith(b"+json"):
        return
    if said in UNASKED_TYPES or b"origin" in headers:
        shown = said[:100].decode("latin-1") or "not said"
        raise UnsupportedMedia(
            f"the type of the body is {shown}: send it with `content-type: application/json`"
        )
