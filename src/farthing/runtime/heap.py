"""Returns freed memory to the operating system, by settings of the C library's allocator.

glibc keeps freed memory. It maps large blocks separately and unmaps them when they are freed, but with
each such block it raises the size from which a block counts as large, up to 32 MiB; of its heap it returns
only the free memory at the top. One hour with many images would thus set the memory of the process until
its end. `set_up` fixes that size, and `trim` returns free memory below the top as well. Other C libraries
lack these functions, and nothing is done there.
"""

import ctypes
from collections.abc import Callable

MAPPED_BYTES = 524_288
"""Blocks of this size and more are mapped apart. Smaller ones come and go all the time: mapping costs a
page fault for every 4 KiB."""
TOP_BYTES_MAX = 8_388_608
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def set_up() -> None:
    """Fix the size from which blocks are mapped separately. Call it once at the start; a second call is
    harmless."""
    mallopt = _function("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, TOP_BYTES_MAX)


def trim() -> None:
    """Return free memory to the system. Takes a few ms for each 100 MiB; meanwhile no thread can allocate."""
    malloc_trim = _function("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(TOP_BYTES_MAX)


def _function(name: str) -> Callable[..., int] | None:
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return function
