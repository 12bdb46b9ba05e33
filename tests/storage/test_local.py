"""The folder store under bad conditions: rival processes, killed writers, full disks."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import ObjectExistsError, StoreAccessError, StoreError, StoreFullError
from storage.local import LocalStore
from storage.unfinished import TEMPORARY

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


def run(code: str, *args: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def debris(folder: Path) -> list[Path]:
    return list(folder.rglob(TEMPORARY + "*"))


RIVAL = """
import os, sys
from pathlib import Path
from pipeline.errors import ObjectExistsError
from storage.local import LocalStore
store = LocalStore(Path(sys.argv[1]))
for number in range(100):
    try:
        store.put_bytes(f"a/{number}", str(os.getpid()).encode())
        print(number)
    except ObjectExistsError:
        pass
"""


def test_rival_processes_never_both_create(tmp_path: Path) -> None:
    rivals = [run(RIVAL, tmp_path) for _ in range(3)]
    won = {rival.pid: rival.communicate(timeout=60)[0].split() for rival in rivals}
    assert Counter(n for names in won.values() for n in names) == {str(n): 1 for n in range(100)}
    store = LocalStore(tmp_path)
    for pid, names in won.items():
        assert all(store.get_bytes(f"a/{name}") == str(pid).encode() for name in names)
    assert not debris(tmp_path)


def test_delete_and_create_in_the_same_folder(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)

    def churn(name: str) -> None:
        for _ in range(100):
            store.put_bytes(f"a/b/{name}", b"x")
            store.delete(f"a/b/{name}")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(churn, "xyz"))
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys
from pathlib import Path
from storage.local import LocalStore
LocalStore(Path(sys.argv[1])).put_file("videos/a/f.mp4", Path(sys.argv[2]))
"""


def test_killed_writer_leaves_nothing_visible(tmp_path: Path) -> None:
    fifo, folder = tmp_path / "fifo", tmp_path / "store"
    os.mkfifo(fifo)
    writer = run(WRITER, folder, fifo)
    with fifo.open("wb") as source:
        source.write(b"x" * 3_000_000)
        source.flush()
        writer.send_signal(signal.SIGKILL)
        writer.communicate(timeout=30)
    store = LocalStore(folder)
    assert store.head("videos/a/f.mp4") is None
    assert list(store.list_keys("")) == []
    assert len(debris(folder)) == 1
    assert store.sweep_unfinished(older_than_s=3600) == 0
    assert store.sweep_unfinished(older_than_s=0) == 1
    assert not debris(folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "nightreel-test", folder]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("may not mount a small disk here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_full_disk(small_disk: Path, tmp_path: Path) -> None:
    store = LocalStore(small_disk / "out")
    film = tmp_path / "film.mp4"
    film.write_bytes(b"x" * 2_000_000)
    store.put_bytes("first", b"y" * 1000)
    with pytest.raises(StoreFullError, match=r"videos/a/f\.mp4: no space left"):
        store.put_file("videos/a/f.mp4", film)
    assert not debris(small_disk)
    assert list(store.list_keys("")) == ["first"]
    store.put_bytes("second", b"there is room again")
    with pytest.raises(StoreFullError):
        store.put_bytes("second", b"x" * 2_000_000, overwrite=True)
    assert store.get_bytes("second") == b"there is room again"


def test_download_to_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "out")
    store.put_bytes("film", b"x" * 2_000_000)
    target = small_disk / "film"
    target.write_bytes(b"as before")
    with pytest.raises(StoreFullError):
        store.get_file("film", target)
    assert target.read_bytes() == b"as before"
    assert not debris(small_disk)


LIMITED = """
import resource, sys
from pathlib import Path
from pipeline.errors import StoreFullError
from storage.local import LocalStore
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
store = LocalStore(Path(sys.argv[1]))
try:
    store.put_bytes("big", b"x" * 200_000)
except StoreFullError as error:
    print("full", list(store.list_keys("")))
"""


def test_file_size_limit_counts_as_full(tmp_path: Path) -> None:
    assert run(LIMITED, tmp_path).communicate(timeout=30)[0] == "full []\n"
    assert not debris(tmp_path)


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    store = LocalStore(tmp_path)
    store.put_bytes("a", b"1")
    with pytest.raises(ObjectExistsError):
        store.put_bytes("a", b"2")
    assert store.get_bytes("a") == b"1"
    assert not debris(tmp_path)


def test_permission(tmp_path: Path) -> None:
    sealed = Path("/proc/nightreel")
    with pytest.raises((StoreAccessError, StoreError), match="nightreel"):
        LocalStore(sealed).check()


def test_root_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    with pytest.raises(StoreError, match="a file lies where a folder is needed"):
        LocalStore(tmp_path / "f").check()
    with pytest.raises(StoreError, match="a file lies where a folder is needed"):
        LocalStore(tmp_path).put_bytes("f/g", b"x")


def test_objects_get_the_users_mode_bits(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        LocalStore(tmp_path).put_bytes("a", b"1")
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_head_reads_what_is_there_now(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    written = store.put_bytes("a", b"film")
    (tmp_path / "a").write_bytes(b"fiLm")
    found = store.head("a")
    assert found is not None
    assert found.size_bytes == written.size_bytes
    assert found.crc32 != written.crc32
