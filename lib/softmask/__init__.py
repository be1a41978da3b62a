"""Soft-mask segmentation of medical images: five papers, reproduced.

The layers import one way: ``data -> label -> nets -> train -> runs -> report``; ``measure`` and ``papers``
know arrays and numbers only. Simulated data comes from the package ``phantoms``, through the registry
:mod:`softmask.data.sources`. Importing :mod:`softmask` itself imports nothing heavy.
"""

__version__ = "0.1.0"
