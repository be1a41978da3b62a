"""Soft-mask segmentation of medical images: five papers, reproduced.

Each subpackage imports only from those below it (docs/architecture.md). Simulated data comes from the package
``phantoms``, through the registry :mod:`softmask.data.sources`.
"""

__version__ = "0.1.0"
