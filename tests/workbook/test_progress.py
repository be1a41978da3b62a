import io

import pytest

from softmask.workbook import progress
from softmask.workbook.progress import Progress, clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (7.4, "0:07"), (723, "12:03"), (3723, "1:02:03")])
def test_clock(seconds: float, text: str):
    assert clock(seconds) == text


def run(stream: io.StringIO) -> str:
    shown = Progress(3, stream)
    shown.start(2, "02_masks", 5, expected=65)
    shown.cell(4)
    shown.stop("ok, 0:01")
    return stream.getvalue()


def test_a_terminal_shows_notebook_cell_and_elapsed_in_one_line():
    text = run(Terminal())
    assert "[2/3] 02_masks  cell 4/5  0:00 of about 1:05" in text
    assert text.count("\n") == 1
    assert text.endswith("[2/3] 02_masks: ok, 0:01\n")


def test_a_file_gets_a_line_at_the_start_and_at_the_end():
    assert run(io.StringIO()).splitlines() == ["[2/3] 02_masks: 5 cells, about 1:05", "[2/3] 02_masks: ok, 0:01"]


def test_a_file_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.01)
    stream = io.StringIO()
    shown = Progress(1, stream)
    shown.start(1, "01_data", 2)
    while "cell 0/2" not in stream.getvalue():
        pass
    shown.stop("ok")
    assert stream.getvalue().splitlines()[-1] == "[1/1] 01_data: ok"
