import pytest

from softmask import papers
from softmask.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("rows", "unetplusplus", "U-Net++"),
        ("rows", "my_network", "my network"),
        ("metrics", "dice", "Dice"),
        ("metrics", "dice_with_doctor2", "Dice with doctor 2"),
        ("datasets", "lnsm", "LNSM"),
        ("papers", "workbook", "This workbook"),
    ],
)
def test_names_for_people(kind, name, words):
    assert papers.display(kind, name) == words


def test_an_unknown_kind_is_an_error():
    with pytest.raises(ConfigError, match="papers, datasets"):
        papers.display("colours", "red")


def test_two_rows_of_one_table_never_look_alike():
    for name in papers.NAMES:
        for table in papers.load(name).tables.values():
            assert len({papers.display("rows", row) for row in table.rows}) == len(table.rows)
