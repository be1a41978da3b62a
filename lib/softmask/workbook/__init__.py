"""Runs the notebooks in order: what is unchanged is skipped, what fails is named, the others still run.

``python -m softmask.workbook --help`` (or ``./run_all.sh --help``) tells the options. Modules: :mod:`.notebook`
(what a notebook declares), :mod:`.digest` (what a skip depends on), :mod:`.state` (what is remembered of a run),
:mod:`.execute` (one notebook under papermill), :mod:`.kernel` (its process), :mod:`.runner` (all of them),
:mod:`.progress` (the display). For people: :mod:`.start` (the page that JupyterLab opens on), :mod:`.bench` (the
sliders of ``explore.ipynb``).
"""
