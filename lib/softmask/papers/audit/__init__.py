"""Arithmetic checks within and between the five papers, on the numbers as they are printed.

Checks without findings are reported like the others. A finding is a statement about printed numbers, not about
anyone's conduct: it may be a misprint, and if a benign explanation is known, the finding states it.
"""

from __future__ import annotations

from softmask import papers
from softmask.papers.audit import spreads, tables
from softmask.papers.audit.check import CHECKS, MUST_HOLD, TO_EXPLAIN, Check, Finding

__all__ = ["CHECKS", "MUST_HOLD", "TO_EXPLAIN", "Check", "Finding", "run", "spreads", "tables"]
"""The modules are imported to register their checks, in the order of the report."""


def run() -> list[Check]:
    """Return the results of all checks on the numbers of the five papers."""
    loaded = {name: papers.load(name) for name in papers.NAMES}
    return [check(loaded) for check in CHECKS.values()]
