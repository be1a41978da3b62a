"""Radiomics: pyradiomics' 93 features, without shape, of the pixels inside a binary or a soft mask.

``features`` what they are and how grey levels are cut, ``validation`` which regions have any, ``extraction`` over many
images, ``regions`` the regions of interest of one soft mask, ``weighted`` features with the soft mask as weight.
"""

from softmask.measure.radiomics.extraction import Features, extract
from softmask.measure.radiomics.features import FEATURES, BinCount, Bins, BinWidth
from softmask.measure.radiomics.regions import Regions, band, dilated_to, regions
from softmask.measure.radiomics.weighted import soft_first_order

__all__ = [
    "FEATURES",
    "BinCount",
    "BinWidth",
    "Bins",
    "Features",
    "Regions",
    "band",
    "dilated_to",
    "extract",
    "regions",
    "soft_first_order",
]
