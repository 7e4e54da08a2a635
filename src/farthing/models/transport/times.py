"""The headers in which providers say how long they worked on a call, as data."""

import re
from collections.abc import Mapping
from typing import Literal

Unit = Literal["ms", "server-timing"]

TOLD_IN: Mapping[bytes, Unit] = {
    b"openai-processing-ms": "ms",  # OpenAI and what imitates it
    b"x-amzn-bedrock-invocation-latency": "ms",
    b"x-envoy-upstream-service-time": "ms",  # Azure, Anthropic, Mistral, Cohere: behind their proxy
    b"x-total-time": "ms",  # Hugging Face's servers
    b"server-timing": "server-timing",  # Google: what stands behind its front end
}
"""The best first."""
MS_MAX = 3_600_000.0
_CHARS_MAX = 512
_NUMBER = re.compile(rb"\s*(\d{1,9}(?:\.\d{1,9})?)\s*")
_OF_GOOGLE = re.compile(rb"(?:^|,)\s*gfet4t7\s*;\s*dur=(\d{1,9}(?:\.\d{1,9})?)")


def milliseconds(name: bytes, value: bytes) -> float | None:
    """What a header of `TOLD_IN` says, its name in lower case; None: nothing that can be read."""
    if value.isdigit() and len(value) < 7 and TOLD_IN[name] == "ms":  # as nearly always
        return float(value)
    if len(value) > _CHARS_MAX:
        return None
    found = _NUMBER.fullmatch(value) if TOLD_IN[name] == "ms" else _OF_GOOGLE.search(value)
    told_ms = None if found is None else float(found[1])
    return None if told_ms is None or told_ms > MS_MAX else told_ms
