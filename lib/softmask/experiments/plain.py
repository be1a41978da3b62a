"""Dataclasses to and from plain JSON values, strictly: what is read has every field, no other, and its type.

Fields with a default may be missing: what was written before they came is read as it was meant.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from softmask.errors import ConfigError, DataError

T = TypeVar("T")

_NOT_FINITE = ("nan", "inf", "-inf")


def to_plain(value: Any, defaults: bool = True) -> Any:
    """``value`` as JSON has it: dataclasses as objects, tuples as lists, NaN and infinities as text.

    ``defaults``: whether with the fields that have their default.
    """
    if is_dataclass(value):
        pairs = [(field, getattr(value, field.name)) for field in fields(value)]
        return {field.name: to_plain(item, defaults) for field, item in pairs if defaults or item != field.default}
    if isinstance(value, Mapping):
        return {str(name): to_plain(item, defaults) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item, defaults) for item in value]
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def from_plain(hint: Any, value: Any, where: str) -> Any:
    """``value``, as :func:`to_plain` gives it, as what the type ``hint`` asks for.

    Args:
        where: file and field, for the message.

    Raises:
        DataError: names the field that is missing, not known, or of another type.
    """
    if is_dataclass(hint):
        return _dataclass(hint, value, where)
    if hint is np.ndarray and isinstance(value, list):
        return np.array([item if type(item) is int else from_plain(float, item, where) for item in value])
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind is Any:
        return value
    if kind in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        return from_plain(next(one for one in inner if one is not type(None)), value, where)
    if kind is tuple and isinstance(value, list):
        if inner[-1] is Ellipsis:
            return tuple(from_plain(inner[0], item, f"{where}[{i}]") for i, item in enumerate(value))
        if len(inner) == len(value):
            return tuple(from_plain(one, item, where) for one, item in zip(inner, value, strict=True))
    if kind is float and (value in _NOT_FINITE or type(value) in (int, float)):
        try:
            return float(value)
        except OverflowError as error:  # JSON's whole numbers have no end
            raise DataError(f"{where}: {len(str(value))} digits are too many") from error
    if issubclass(kind, Mapping) and isinstance(value, dict):
        return {name: from_plain(inner[1], item, f"{where}: {name}") for name, item in value.items()}
    if type(value) is not kind:
        raise DataError(f"{where}: {str(value)[:60]!r} is no {getattr(kind, '__name__', kind)}")
    return value


def read_fields(kind: type, value: Any, where: str, besides: str = "") -> dict[str, Any]:
    """The fields of an object, each as what the dataclass ``kind`` says of its name; without the field ``besides``, and
    those that are missing and have a default. Raises DataError as :func:`from_plain` does."""
    types, wanted = get_type_hints(kind), [field for field in fields(kind) if field.name != besides]
    hints = {field.name: types[field.name] for field in wanted}
    needed = {field.name for field in wanted if field.default is MISSING}
    if not isinstance(value, dict):
        raise DataError(f"{where}: is no object with the fields {', '.join(hints)}")
    for name in sorted(needed - value.keys()):
        raise DataError(f"{where}: {name}: is missing")
    for name in sorted(value.keys() - hints.keys()):
        raise DataError(f"{where}: {name}: is no field of it")
    return {name: from_plain(hints[name], item, f"{where}: {name}") for name, item in value.items()}


def _dataclass(kind: type[T], value: Any, where: str) -> T:
    try:
        return kind(**read_fields(kind, value, where))
    except ConfigError as error:
        raise DataError(f"{where}: {error}") from error
