"""Arithmetic that must hold within and between the five papers, on the numbers as they are printed.

Checks that find nothing are reported like the others. A finding is a statement about printed numbers, not about
anyone's conduct: it may be a misprint, and where a benign explanation is known, the finding names it.
"""

from __future__ import annotations

from softmask import papers
from softmask.papers.audit import spreads, tables
from softmask.papers.audit.check import CHECKS, MUST_HOLD, TO_EXPLAIN, Check, Finding

__all__ = ["CHECKS", "MUST_HOLD", "TO_EXPLAIN", "Check", "Finding", "run", "spreads", "tables"]
"""The modules are imported to register their checks, in the order of the report."""


def run() -> list[Check]:
    """Return every check on the five papers' numbers."""
    loaded = {name: papers.load(name) for name in papers.NAMES}
    return [check(loaded) for check in CHECKS.values()]
