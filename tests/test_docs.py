"""README and docs: links lead to files that are there, and the README stays short."""

from __future__ import annotations

import re

import pytest

from softmask.config import ROOT

PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file(page):
    text = re.sub(r"```.*?```|`[^`]*`", "", (ROOT / page).read_text(), flags=re.DOTALL)  # without code
    links = re.findall(r"\]\((?!https?://)([^)#]+)", text)
    assert not [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]


def test_the_readme_is_read_in_five_minutes():
    assert len((ROOT / "README.md").read_text().replace("|", " ").split()) <= 1300
