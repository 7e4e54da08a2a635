"""What to do with a reply that points elsewhere (RFC 9110, 15.4).

A 307 or 308 to the same scheme, host and port is followed, once: the provider has moved its path and wants
the same request there. Anywhere else it is not, because the request carries a key and a conversation.
"""

from collections.abc import Iterator, Mapping
from urllib.parse import urljoin, urlsplit

from farthing.config.settings.providers import ENDINGS, NEVER_PASSED
from farthing.config.settings.proxy import authority
from farthing.errors import ProviderRejected
from farthing.models.transport.connection import header
from farthing.models.transport.origin import HttpOrigin
from farthing.runtime.redact import Redactor

SAME_REQUEST = (307, 308)


def redirected(
    origin: HttpOrigin, head: bytes, status: int, headers: Mapping[bytes, bytes], *, again: bool
) -> bytes:
    """The head to send instead of `head`; `again`: one redirection was followed already.

    Raises:
        ProviderRejected: the redirection must not be followed; the message names its target and the
            fix.
    """
    line, _, fields = head.partition(b"\r\n")
    method, target, _ = line.split(b" ")
    said = (header(headers, b"location") or b"").decode("latin-1")
    shown = Redactor(_credentials(fields)).text
    if not said or not (said.isascii() and said.isprintable()) or " " in said:
        raise _refused(origin, status, "it redirects without saying where")
    try:
        asked = target.decode("latin-1")
        url = urlsplit(urljoin(asked if "://" in asked else f"{origin}{asked}", said))
        host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    except ValueError:
        raise _refused(origin, status, "it redirects to what is no URL") from None
    there = f"{url.scheme}://{authority(host, port)}"
    if there != str(origin).lower():
        place = url.netloc.rpartition("@")[2][:200]
        base = next((url.path.removesuffix(end) for end in ENDINGS if url.path.endswith(end)), url.path)
        raise _refused(
            origin,
            status,
            f"it redirects to {url.scheme}://{shown(place)}, and a key is sent to no other address than its "
            f'own; if that is the provider\'s, set base_url = "{url.scheme}://{shown(place + base[:200])}"',
        )
    if status not in SAME_REQUEST:
        raise _refused(
            origin,
            status,
            f"it redirects to {shown(url.path[:200])} by a status that does not keep the request",
        )
    if again:
        raise _refused(origin, status, "it redirects again and again; correct base_url")
    path = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    return b"%b %b HTTP/1.1\r\n%b" % (method, f"{origin.form}{path}".encode(), fields)


def _refused(origin: HttpOrigin, status: int, why: str) -> ProviderRejected:
    return ProviderRejected(f"{origin.name} answered {status}: {why}", upstream_status=status)


def _credentials(fields: bytes) -> Iterator[str]:
    """The values of our headers that only the provider may see."""
    for line in fields.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(": ")
        if NEVER_PASSED.fullmatch(name.lower()) and ("auth" in name.lower() or "key" in name.lower()):
            yield value.rpartition(" ")[2]
