"""Analyses of the notebooks, one module for each study: from samples or finished runs to tidy tables and figures.

The analyses build on ``data``, ``label``, ``measure`` and ``experiments``, and draw and write by means of ``report``.
"""
