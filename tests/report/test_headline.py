import pytest

from softmask.config import ROOT
from softmask.errors import ConfigError
from softmask.report import headline, summary
from softmask.report.contents import TableEntry
from softmask.report.result import Cell, ResultTable, join


def test_the_headlines_are_those_of_the_committed_results(committed_results):
    for name, text in headline.written().items():
        assert (ROOT / name).read_text() == text, "run python -m softmask.report.headline"


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"casgan_soft": 0.8, "unet": 0.7, "casgan_bin": 0.9}, "**0.800**, U-Net 0.700"),
        ({"casgan_soft": 0.8, "unet": 0.7, "cenet": 0.81234}, "0.800, CE-Net **0.812**"),
        ({"casgan_soft": 0.8, "casgan_bin": 0.9}, "–"),
        ({"unet": 0.8}, "–"),
        ({"casgan_soft": float("nan"), "unet": 0.8}, "–"),
    ],
)
def test_the_method_stands_beside_the_best_other_network(numbers, words):
    cells = [Cell(row, "lnsm", "dice", value, 0.1, 9, 1, "real") for row, value in numbers.items()]
    joined = tuple(join(ResultTable("casgan", "table-1", "", "", cells)))
    entry = TableEntry("casgan", "table-1", "", "values", "", "filled", joined)
    printed, ours = (summary.rivals(entry, "casgan_soft", "lnsm", "dice", mean) for mean in ("paper_mean", "ours_mean"))
    assert (headline.in_bold(printed), headline.in_bold(ours)) == ("**0.919**, CE-Net 0.913", words)


def test_only_what_is_between_the_markers_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(headline, "ROOT", tmp_path)
    (tmp_path / "README.md").write_text("before\n<\nold\n>\nafter\n")
    assert headline.inserted("README.md", "| new |", "<", ">") == "before\n<\n| new |\n>\nafter\n"
    for readme in ("", "<", ">", "><", "<><>"):
        (tmp_path / "README.md").write_text(readme)
        with pytest.raises(ConfigError, match=r"README\.md: .* put them back"):
            headline.inserted("README.md", "x", "<", ">")


def test_files_are_written_and_what_cannot_be_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(headline, "ROOT", tmp_path)
    headline.regenerate(lambda: {"a.md": "text"})
    assert (tmp_path / "a.md").read_text() == "text"
    assert "a.md" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"a\.md"):
        headline.regenerate(lambda: {"a.md/b": "text"})
