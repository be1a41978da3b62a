import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from softmask.workbook import memory

HOLDING = """
import os, time
block = bytearray(os.urandom(1) * 60_000_000)
print("ready", flush=True)
time.sleep(60)
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")


@pytest.fixture
def holding():
    """A process that leads its own group and holds 60 MB."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "ready\n"
    yield process.pid
    process.kill()
    process.wait()
    process.stdout.close()


def test_memory_is_that_of_the_group(holding: int):
    assert 60e6 < memory.memory_of(holding) < 90e6
    assert memory.memory_of(os.getpid() + 10**6) == 0


def test_the_peak_is_seen(holding: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "EVERY", 0.01)
    groups: list[int] = []
    with memory.Peak(groups) as peak:
        groups.append(holding)
        for _ in range(500):
            if peak.bytes:
                break
            time.sleep(0.01)
    assert peak.bytes > 60e6


def process(folder: Path, group: int, **files: str) -> None:
    folder.mkdir()
    (folder / "stat").write_text(f"{folder.name} (a) b) S 1 {group} {group} 0")
    for name, content in files.items():
        (folder / name).write_text(content)


def test_shared_pages_count_once_and_what_cannot_be_read_is_left_out(tmp_path: Path):
    process(tmp_path / "10", 7, smaps_rollup="00-ff ---p\nRss: 900 kB\nPss: 300 kB\n", status="VmRSS: 900 kB\n")
    process(tmp_path / "11", 7, status="Name: x\nVmRSS: 200 kB\n")
    process(tmp_path / "12", 7)
    process(tmp_path / "13", 8, status="VmRSS: 200 kB\n")
    (tmp_path / "14").mkdir()
    (tmp_path / "14" / "stat").write_text("damaged")
    assert memory.memory_of(7, tmp_path) == 500 * 1024
