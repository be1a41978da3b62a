"""Measures of segmentations and soft masks: arrays in, numbers out."""
