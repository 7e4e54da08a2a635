"""What a full disk, and what numbers and vectors of somebody's choosing, do to the index."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from farthing.stores.vector.file import IndexFile
from farthing.stores.vector.gradual import SHARD_KEYS, GradualDict
from farthing.stores.vector.lists import ListedIndex

DIMS = 16
FULL = """
import asyncio, os, resource, sys
from pathlib import Path
import numpy as np
from farthing.errors import StoreError
from farthing.stores.vector.partitions import PartitionedIndex

path = Path(sys.argv[1])
index = PartitionedIndex(384, name="test")
for key in range(100):
    index.add(b"p%d" % (key % 7), key, np.eye(384, dtype=np.float32)[key])
for room_bytes in (0, 100, 2_000, 5_000, 20_000, 30_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, resource.RLIM_INFINITY))
    try:
        asyncio.run(index.save(path, stamp="s"))
        raise SystemExit("it had no room")
    except StoreError:
        assert os.listdir(path.parent) == [], (room_bytes, os.listdir(path.parent))
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}


MEMORY = """
import gc
from pathlib import Path
import numpy as np
from farthing.stores.vector.partitions import PartitionedIndex

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

rng, index, key = np.random.default_rng(0), PartitionedIndex(384, name="test"), 0
def add(count):
    global key
    for row in rng.standard_normal((count, 384), dtype=np.float32):
        index.add(b"one" if key % 2 else b"p%d" % (key % 600), key, row)
        key += 1
add(2_000)
gc.collect()
before, reckoned = resident_bytes(), index.bytes_used
for _ in range(30):
    add(1_000)
gc.collect()
print((resident_bytes() - before) / (index.bytes_used - reckoned))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_the_memory_that_is_reckoned_is_what_the_process_takes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], check=True, capture_output=True, timeout=60, env=environment()
    )
    assert 0.85 < float(done.stdout) < 1.25, "half of it in small partitions, where it is an eighth more"


def test_wherever_the_disk_is_full_it_is_a_store_error_and_nothing_is_left(tmp_path: Path) -> None:
    """What a file still holds when it is closed is written then, and fails a second time."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "v")],
        check=False, capture_output=True, timeout=60, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()


def test_what_killed_processes_left_goes_and_what_others_are_writing_stays(tmp_path: Path) -> None:
    path = tmp_path / "odd[1].index"
    old, fresh = (path.with_name(f"{path.name}.{name}.new") for name in ("0", "1"))
    old.touch()
    fresh.touch()
    os.utime(old, (0, 0))
    file = IndexFile(path, "test", DIMS, "s")
    assert fresh.exists() and not old.exists()
    file.close()


@pytest.mark.parametrize("step", [1, 7, 64, 1_024, 1 << 20, (1 << 40) + 2])
def test_numbers_in_even_steps_are_spread_over_the_shards(step: int) -> None:
    places: GradualDict[int, int] = GradualDict()
    for number in range(60_000):
        places.set(number * step, number)
    assert all(places.get(number * step) == number for number in range(60_000))
    assert max(map(len, places._shards)) < 3 * SHARD_KEYS


def test_one_direction_many_times_takes_no_more_than_others_and_hides_none() -> None:
    """As of texts that the embedder reads alike."""
    index, other = ListedIndex(DIMS, list_max=32, scan_rows=128), np.eye(DIMS, dtype=np.float32)
    for key in range(10_000):
        index.add(key, other[0])
    assert len(index.lists()) <= 10_000 // 16 + 1
    for key in range(1, DIMS):
        index.add(10_000 + key, other[key])
    for key in range(1, DIMS):
        assert index.search(other[key], 1)[0][0] == 10_000 + key
    for key in range(10_000):
        index.remove(key)
    assert len(index) == DIMS - 1 and index.search(other[0], 1)[0][1] == pytest.approx(0.0, abs=0.01)
