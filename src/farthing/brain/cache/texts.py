"""The texts of one request for embeddings, each with an entry of its own in the exact cache. Pure.

The entry is that of a request for the text alone, so that lists and single texts share theirs.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from farthing.dialects.chat.embedded import NotVectors, entries_of, one_answer, one_at
from farthing.text.lenient_json import write_json
from farthing.types import CacheHit, Request, Traits, Usage


class Texts(Struct, frozen=True):
    """The texts of one request, and what there is of them."""

    given: list[str]
    keys: Mapping[str, bytes]
    found: Mapping[str, CacheHit]
    missing: list[str]
    """Those that have to go up, each once."""

    def narrowed(self, request: Request, traits: Traits) -> tuple[Request, Traits]:
        """`request` for what is missing."""
        chars = sum(map(len, self.missing))
        share = chars / max(1, request.prompt_chars)
        body = {**request.body, "input": self.missing}
        fewer = msgspec.structs.replace(traits, input_tokens=round(traits.input_tokens * min(1.0, share)))
        return msgspec.structs.replace(request, body=body, prompt_chars=chars), fewer

    def hit(self) -> CacheHit | None:
        """The answer; None where a text is missing, or what was kept is no answer."""
        if self.missing:
            return None
        hits = [self.found[text] for text in self.keys]
        costs = [hit.cost_nusd for hit in hits]
        try:
            body = self._joined([hit.body for hit in hits], {})
        except NotVectors:
            return None
        return CacheHit(
            kind="exact",
            body=body,
            target=hits[0].target,
            usage=Usage(input_tokens=sum(hit.usage.input_tokens for hit in hits), estimated=True),
            cost_nusd=None if None in costs else sum(cost or 0 for cost in costs),
        )

    def with_found(self, body: bytes) -> bytes:
        """The answer to all, where `body` is that to what is missing: as it came where that is all.

        Raises:
            NotVectors: it does not have a vector for each.
        """
        if not self.found and len(self.missing) == len(self.given):
            return body
        fresh = entries_of(body, len(self.missing))
        return self._joined([body], dict(zip(self.missing, fresh, strict=True)))

    def new_hits(
        self, answer: bytes, target: str, usage: Usage, cost_nusd: int | None
    ) -> Iterator[tuple[bytes, CacheHit]]:
        """What to keep of `answer`, which is to all: the key of each text that was missing and the answer to
        it alone, with its share of what they cost together.

        Raises:
            NotVectors: it does not have a vector for each.
        """
        entries = dict(zip(self.given, entries_of(answer, len(self.given)), strict=True))
        frame: dict[str, Any] = msgspec.json.decode(answer, type=dict[str, Raw])
        tokens, costs = _split(usage.input_tokens, self.missing), _split(cost_nusd, self.missing)
        exact = len(self.missing) == 1 and not usage.estimated
        for text, share, cost in zip(self.missing, tokens, costs, strict=True):
            frame["data"] = Raw(b"[%b]" % one_at(0, entries[text]))
            if "usage" in frame:
                frame["usage"] = {"prompt_tokens": share, "total_tokens": share}
            used = Usage(input_tokens=share or 0, estimated=not exact)
            body = write_json(frame)
            hit = CacheHit(kind="exact", body=body, target=target, usage=used, cost_nusd=cost)
            yield self.keys[text], hit

    def _joined(self, bodies: Sequence[bytes], fresh: Mapping[str, bytes]) -> bytes:
        """Raises:
        NotVectors: an entry of the cache is none.
        """
        entries = dict(fresh)
        for text, hit in self.found.items():
            entries[text] = entries_of(hit.body, 1)[0]
        return one_answer(bodies, [entries[text] for text in self.given])


def _split(whole: int | None, texts: Sequence[str]) -> list[int | None]:
    """`whole` by the length of each text; the parts add up to it. None where it is unknown."""
    if whole is None:
        return [None] * len(texts)
    chars = sum(map(len, texts)) + len(texts)
    found: list[int | None] = []
    seen = given = 0
    for text in texts:
        seen += len(text) + 1
        until = whole * seen // chars
        found.append(until - given)
        given = until
    return found
