"""Who uses a state directory is seen by whoever comes after, and by nobody once it has gone."""

import os
import subprocess
import sys
from pathlib import Path

from farthing.stores.presence import USERS_MAX, Presence, User

HOLDS = """
import sys
from pathlib import Path
from farthing.stores.presence import Presence, User
Presence(Path(sys.argv[1])).enter(User(pid=7, address="127.0.0.1:1"))
print("in", flush=True)
sys.stdin.read()
"""


def test_who_comes_second_sees_the_first_and_who_comes_third_sees_both(tmp_path: Path) -> None:
    one, two, three, four = (Presence(tmp_path) for _ in range(4))
    first, second = User(pid=1, address="127.0.0.1:1"), User(pid=2, address="127.0.0.1:2")
    assert one.enter(first) == []
    assert two.enter(second) == [first]
    one.leave()
    one.leave()
    assert three.enter(User(pid=3)) == [second], "the place of the first was free, and it is not seen"
    assert four.enter(User(pid=4)) == [User(pid=3), second]
    assert str(second) == "process 2 at 127.0.0.1:2" and "does not say" in str(User())
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o077 == 0


def test_a_process_that_was_killed_is_not_seen(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == b"in\n"
        looking = Presence(tmp_path)
        assert looking.enter(User(pid=1)) == [User(pid=7, address="127.0.0.1:1")]
        looking.leave()
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    assert Presence(tmp_path).enter(User(pid=1)) == []


def test_a_note_that_cannot_be_read_is_a_process_of_no_name(tmp_path: Path) -> None:
    held = Presence(tmp_path)
    held.enter(User(pid=2))
    for path in tmp_path.iterdir():
        path.write_bytes(b"\xff{")
    assert Presence(tmp_path).enter(User(pid=3)) == [User()]
    held.leave()


def test_a_directory_of_many_is_no_fault(tmp_path: Path) -> None:
    all_of_them = [Presence(tmp_path) for _ in range(USERS_MAX + 1)]
    for number, one in enumerate(all_of_them):
        assert len(one.enter(User(pid=number))) == number
    assert len(os.listdir(tmp_path)) == USERS_MAX


def test_a_file_that_cannot_be_taken_is_passed_over(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("dear")
    (tmp_path / "gateway-0.lock").symlink_to(victim)
    (tmp_path / "gateway-1.lock").mkdir()
    first, second = Presence(tmp_path), Presence(tmp_path)
    assert first.enter(User(pid=1)) == []
    assert second.enter(User(pid=2)) == [User(pid=1)]
    assert victim.read_text() == "dear"
