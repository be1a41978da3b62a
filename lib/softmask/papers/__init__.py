"""The five papers as data: their printed tables, the list of their figures, their claims; and their audit."""

from softmask.papers.claims import Claim, Pair, display
from softmask.papers.printed import NAMES, Paper, PrintedCell, PrintedTable, load, parse

__all__ = ["NAMES", "Claim", "Pair", "Paper", "PrintedCell", "PrintedTable", "display", "load", "parse"]
