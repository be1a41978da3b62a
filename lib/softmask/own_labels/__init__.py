"""Soft masks of anybody's images, from files to files: ``softmask label``.

An :class:`~softmask.own_labels.items.Item` is an image and one prior; :func:`softmask.own_labels.work.label_items`
labels many of them, in parallel, into a folder.
"""
