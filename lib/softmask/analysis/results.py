"""Tables and figures of a notebook, written with their captions and shown."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml

from softmask.analysis import finished, training
from softmask.config import BASE_SEED, Config
from softmask.data.sample import Dataset
from softmask.errors import ConfigError
from softmask.report import figures, provenance, tables, verdicts
from softmask.report.result import Cell, ResultTable
from softmask.report.tables import Shown
from softmask.report.verdicts import Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Origins = Mapping[tuple[str, str], Sequence[Any]] | Iterable[Dataset]
"""Origin of numbers: finished runs by (row, data set), or data sets."""


class Results:
    """Tables and figures of one notebook; ``seeds`` are those of random draws outside training.

    Captions, titles and units are in ``captions.yaml``. Words in braces are given with the call, except those taken
    from runs: ``{sources}`` (their data), ``{terms}`` (of the comparison) and ``{parameters}`` (of the rows).
    """

    def __init__(self, config: Config, seeds: Sequence[int] = (BASE_SEED,)) -> None:
        self.config, self.seeds = config, seeds
        self.started = time.perf_counter()

    def table(
        self,
        name: str,
        cells: Iterable[Cell],
        behind: Origins,
        *,
        units: Mapping[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
        **words: object,
    ) -> Shown:
        """Write a table and return it for display, with its outcome and caption; ``details`` are added to the table's
        JSON file. Raises ConfigError if the caption, or a word of it, is missing."""
        cells = list(cells)
        text, title, own = self._caption("tables", name, behind, words, [cell.row for cell in cells])
        paper, _, table = name.partition("/")
        return self._write(ResultTable(paper, table, title, text, cells, own | (units or {}), details or {}), behind)

    def claims(self, name: str, judged: Sequence[Verdict], behind: Origins, **words: object) -> Shown:
        """Write the table of all comparisons behind the verdicts, and return it for display, a line for each."""
        text, title, _ = self._caption("tables", name, behind, words)
        written = self._write(verdicts.table(name.partition("/")[2], title, text, judged), behind)
        return written._replace(frame=verdicts.pairs_frame(judged))

    def figure(
        self, name: str, fig: Figure | None, behind: Origins = (), *, missing: str = "", **words: object
    ) -> None:
        """Write a figure and show it with its caption; ``missing`` is the content that only the paper's figure has."""
        import matplotlib.pyplot as plt
        from IPython.display import HTML, display

        text, alt, _ = self._caption("figures", name, behind, words)
        figures.save(fig, *name.split("/"), self.config, text, alt, missing)
        if fig is not None:
            display(fig, metadata={"image/png": {"alt": alt or text}})
            display(HTML(f"<small>{escape(text)}</small>"))
            plt.close(fig)

    def _write(self, result: ResultTable, behind: Origins) -> Shown:
        """Write a table with its caption, and return it for display."""
        if isinstance(behind, Mapping):
            record = finished.provenance_of(behind, self.config, self.started)
        else:
            record = provenance.collect(self.config, behind, self.started, self.seeds)
        tables.write(result, self.config, record)
        return tables.show(result)

    def _caption(
        self, kind: str, name: str, behind: Origins, words: Mapping[str, object], rows: Iterable[str] = ()
    ) -> tuple[str, str, dict[str, str]]:
        """Return the caption with its words filled in, the title or alternative text, and the units."""
        entries = _captions()[kind]
        parent = next((stem for stem in entries if name.startswith(f"{stem}-")), "")  # ``name`` is a part of it
        entry = entries.get(name) or entries.get(parent)
        if entry is None:
            raise ConfigError(f"{name} has no caption: add one to {kind} in report/captions.yaml")
        entry = {"caption": entry} if isinstance(entry, str) else entry
        if isinstance(behind, Mapping):
            words = {
                "sources": finished.sources_of(behind),
                "terms": _captions()["terms"][self.config.profile.name],
                "parameters": training.parameters_of(behind, rows),
            } | words
        try:
            texts = [part.format_map(words) for part in (entry["caption"], entry.get("title", entry.get("alt", "")))]
        except KeyError as error:
            raise ConfigError(f"{name}: its caption has the word {error}, which the call does not give") from None
        return *texts, entry.get("units", {})


@cache
def _captions() -> dict[str, dict[str, Any]]:
    return yaml.safe_load((files("softmask.report") / "captions.yaml").read_text(encoding="utf-8"))
