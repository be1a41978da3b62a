"""Runs the notebooks in order: unchanged ones are skipped, failures are named, and the others still run.

``./run_all.sh --help`` lists the options. Modules: :mod:`.cli` (the command line), :mod:`.notebook` (what a notebook
declares), :mod:`.state` (what is remembered of earlier runs), :mod:`.digest` (what a skip depends on), :mod:`.runner`
(all notebooks), :mod:`.execute` (one notebook under papermill), :mod:`.overview` (``--list``, and the page that
JupyterLab opens on), :mod:`.bench` (the sliders of ``explore.ipynb``), :mod:`.lessons` and :mod:`.exercises` (the
course).

``--list`` must work before anything is installed: cli, notebook, state and overview import the standard library only
and run on Python 3.8.
"""
