"""Arithmetic that must hold within and between the five papers, on the numbers as they are printed.

Nothing is measured here. A check says what it holds the numbers against, how many sets of numbers it looked at, and
what it found; checks that find nothing are reported like the others. A finding is a statement about printed numbers,
not about anyone's conduct: a misprint, another definition, or a row carried from one table to another may be behind it,
and where a plain reading is known in which the numbers do hold, the finding names it.
"""

from __future__ import annotations

from collections.abc import Mapping

from softmask import papers
from softmask.papers.audit import between, matrices, shares, spreads, stated
from softmask.papers.audit.finding import LEVELS, MUST_HOLD, TO_EXPLAIN, Check, Finding
from softmask.papers.printed import Paper

__all__ = ["LEVELS", "MUST_HOLD", "TO_EXPLAIN", "Check", "Finding", "run"]


def run(loaded: Mapping[str, Paper] | None = None) -> list[Check]:
    """Every check on the papers' numbers; the same numbers give the same checks.

    Args:
        loaded: papers by name; default: the five. What is said in their texts (:mod:`softmask.papers.audit.stated`) is
            checked for those five only.
    """
    found = {name: papers.load(name) for name in papers.NAMES} if loaded is None else loaded
    checks = [*shares.checks(found), *spreads.checks(found), *matrices.checks(found), *between.checks(found)]
    return checks if loaded is not None else checks + stated.checks(found)
