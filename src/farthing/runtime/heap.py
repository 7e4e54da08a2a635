"""The allocator of the C library: what large bodies took is given back to the system when it is free.

glibc keeps freed memory for itself. It maps what is large apart and unmaps it once it is free, but raises the
bound of what counts as large, up to 32 MiB, with each such block; and in its heap it gives back only what is
at the top. So one hour with many images would decide how much the process holds until its end. Here the bound
stays where it is put, and now and then what is free below the top goes back too. Other C libraries have no
such functions and are left as they are.
"""

import ctypes
from collections.abc import Callable

MAPPED_BYTES = 524_288
"""Blocks of this size and more are mapped apart. Smaller ones come and go all the time: mapping costs a
page fault for every 4 KiB."""
TOP_BYTES_MAX = 8_388_608
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def set_up() -> None:
    """Keep the bound of what is mapped apart. Once, at the start; safe to call again."""
    mallopt = _function("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, TOP_BYTES_MAX)


def trim() -> None:
    """Give back what is free. Takes some ms for each 100 MiB of it, in which nothing can be allocated."""
    malloc_trim = _function("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(TOP_BYTES_MAX)


def _function(name: str) -> Callable[..., int] | None:
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return function
