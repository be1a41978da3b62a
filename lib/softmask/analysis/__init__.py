"""What the notebooks compute, one module for one study: samples in, a tidy table of numbers out.

The analyses stand above ``data``, ``label`` and ``measure``; they draw nothing and write nothing.
"""
