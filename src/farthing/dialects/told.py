"""Events that exist in two forms at once: as the pipeline reads them, and as the client gets them.

Where a provider speaks the client's own dialect, its stream goes to the client as it comes, byte for byte.
The pipeline reads chat completion chunks all the same, so a decoder gives both: a `Told` is the chunks, and
`own` are the events that they were read from. Whoever knows nothing of it has plain bytes.
"""

from collections.abc import Sequence


class Told(bytes):
    """Chat completion chunks, which may be none, with the events of another dialect that say the same."""

    own: bytes

    def __bool__(self) -> bool:
        """Whether there is anything to send."""
        return len(self) > 0 or len(self.own) > 0


def told(chunks: bytes, own: bytes) -> Told:
    made = Told(chunks)
    made.own = own
    return made


def joined(blocks: Sequence[bytes]) -> bytes:
    """All of `blocks` in a row, in both forms where each has both; else chunks alone."""
    if not blocks:
        return b""
    if len(blocks) == 1:
        return blocks[0]
    chunks = b"".join(blocks)
    if blocks[0].__class__ is not Told or not all([block.__class__ is Told for block in blocks]):
        return chunks
    return told(chunks, b"".join([block.own for block in blocks if isinstance(block, Told)]))


def size_of(block: bytes) -> int:
    """Bytes that a block takes, in all its forms."""
    return len(block) + len(block.own) if isinstance(block, Told) else len(block)


class Resumed(bytes):
    """Chat completion chunks that go on with an answer which broke off, as the first of a continuation. As
    plain bytes they begin with the comment that says so."""

    mark: bytes
    """That comment: a whole event."""
    before: bytes
    """Of an answer that went out as its provider's own events: chunks that say all of it; else empty."""
    item: str
    """Of such an answer in Responses: the id of the item that is open."""


def resumed(chunks: bytes, mark: bytes, before: bytes, item: str) -> Resumed:
    made = Resumed(mark + chunks)
    made.mark, made.before, made.item = mark, before, item
    return made
