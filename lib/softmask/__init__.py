"""Soft-mask segmentation of medical images: five papers, reproduced.

The layers import one way: ``data, phantom -> label -> nets -> train -> runs -> report``; ``measure`` and
``papers`` know arrays and numbers only. Importing :mod:`softmask` itself imports nothing heavy.
"""

__version__ = "0.1.0"
