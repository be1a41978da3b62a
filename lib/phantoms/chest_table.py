"""Painting what lies in the air around the patient: tables of several makes, mattress, arm rest, blanket.

Between a round back and a flat table, and between a table's shells, lies air that something encloses, as the chest wall
encloses the lungs. What tells them apart is the place, so tables must differ from one another as scanners' tables do.
"""

from __future__ import annotations

import numpy as np

from phantoms.chest_canvas import Canvas, enlarge
from phantoms.chest_person import Person
from phantoms.chest_shape import Build

PLATE, PLATES, SHELL, COUCH = range(4)
"""A curved plate, a flat plate over a bent one, a shell that rises at the sides, a thick flat couch on a base."""
BEHIND_NECK = 0.1
"""Level in the body down to which an arm rest reaches."""


def paint_table(canvas: Canvas, build: Build, person: Person, waves: np.ndarray, skin: np.ndarray) -> None:
    """What is painted before the body, which lies on it: HU are added to the air's."""
    top = build.depth_mm + 22 + 0.6 * person.fat + person.table_gap
    if person.blanket:
        _blanket(canvas, top, waves, skin)
    if person.table == PLATE:
        _plate(canvas, top)
    elif person.table == PLATES:
        _plates(canvas, top)
    elif person.table == SHELL:
        _shell(canvas, top)
    else:
        _couch(canvas, top, person.make)
    if person.arm_rest and canvas.t < BEHIND_NECK:
        _arm_rest(canvas, top, person.make)


def _line(canvas: Canvas, distance: np.ndarray, width: float, light: float) -> None:
    """A thin surface at ``distance`` (mm) 0, ``light`` HU above what is there."""
    canvas.hu += np.exp(-((distance / width) ** 2)) * np.float32(light)


def _blanket(canvas: Canvas, top: float, waves: np.ndarray, skin: np.ndarray) -> None:
    away = skin - 11 - 9 * waves
    line = np.exp(-((away / 1.1) ** 2)) + 0.7 * np.exp(-(((away - 6 - 4 * waves) / 1.0) ** 2))
    above = np.clip((0.75 * top - canvas.cy) / 20, 0, 1)
    canvas.hu += enlarge((150 * line * above).astype(np.float32))


def _plate(canvas: Canvas, top: float) -> None:
    """With a thin bright upper face."""
    x, y = canvas.x, canvas.y
    down = np.where(np.abs(x) < 215, y - (top + 26) + x**2 / 900, 99)
    _line(canvas, down, 1.3, 560)
    _line(canvas, down - 13, 1.0, 420)
    canvas.hu += np.where((down > 0) & (down < 13), np.float32(60), 0)


def _plates(canvas: Canvas, top: float) -> None:
    x, y = canvas.x, canvas.y
    for depth, light in ((0.0, 480.0), (15.0, 130.0), (22.0, 240.0)):
        canvas.hu += np.exp(-(((y - top - depth) / 1.1) ** 2)) * np.float32(light) * (np.abs(x) < 240)
    down = np.where(np.abs(x) < 170, y - (top + 48) + x**2 / 1400, 99)
    _line(canvas, down, 1.6, 900)


def _shell(canvas: Canvas, top: float) -> None:
    x, y = canvas.x, canvas.y
    down = np.where(np.abs(x) < 230, y - (top + 12) + x**2 / 520, 99)
    _line(canvas, down, 1.2, 420)
    _line(canvas, down - 9, 1.2, 300)


def _couch(canvas: Canvas, top: float, make: tuple[float, ...]) -> None:
    """Thin walls around foam, rails at its sides, a base some way below, a mattress on it; each make its own."""
    thick, half, below, foam, wall, soft = make
    x, y = canvas.x, canvas.y
    mattress = 60 * max(soft - 0.4, 0)  # mm; four makes in ten have none
    upper, reach = top + mattress, 190 + 80 * half
    deep = 10 + 45 * thick
    across = np.abs(x) < reach
    light = np.float32(150 + 550 * wall)
    for depth in (0.0, deep):
        canvas.hu += np.exp(-(((y - upper - depth) / 1.2) ** 2)) * light * across
    canvas.hu += np.where(across & (y > upper) & (y < upper + deep), np.float32(10 + 110 * foam), 0)
    canvas.hu += np.where(across & (y > top) & (y < upper), np.float32(25 + 110 * soft), 0)
    for side in (-1, 1):
        at = side * reach
        canvas.put(
            (at, upper + deep / 2, 16), lambda a, b, at=at: np.hypot(a - at, b - upper - deep / 2) - 6, 900 * wall
        )
    down = y - (upper + deep + 15 + 75 * below) + x**2 / (500 + 2500 * foam)
    _line(canvas, np.where(np.abs(x) < 0.85 * reach, down, 99), 1.5, 300 + 600 * wall)


def _arm_rest(canvas: Canvas, top: float, make: tuple[float, ...]) -> None:
    """Boards beside head and arms, above the table."""
    thick, half, *_, wall, soft = make
    x, y = canvas.x, canvas.y
    inner, outer, height = 45 + 50 * half, 170 + 60 * soft, 15 + 55 * thick
    across = (np.abs(x) > inner) & (np.abs(x) < outer)
    canvas.hu += np.exp(-(((y - top + height) / 1.3) ** 2)) * np.float32(200 + 600 * wall) * across
    canvas.hu += np.where(across & (y > top - height) & (y < top), np.float32(15 + 120 * soft), 0)
    canvas.hu += np.exp(-(((np.abs(x) - outer) / 1.3) ** 2)) * np.float32(400 * wall) * ((y > top - height) & (y < top))
