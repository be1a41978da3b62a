"""What one simulated patient is like beside the shape of the thorax: tissues, scanner's table, disease."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Habits:
    """How often a site's patients show what, as shares of patients.

    Attributes:
        contrast: contrast agent in the blood; opacity: ground glass or consolidation at the wall;
        effusion: fluid beside a lung; dependent: dense lung at the back; emphysema: destroyed lung, often with bullae;
        scar: scars at the apex; collapse: airless lung behind the largest nodule.
    """

    contrast: float
    opacity: float
    effusion: float
    dependent: float
    emphysema: float
    scar: float
    collapse: float


HABITS = {
    "lidc-lung": Habits(0.35, 0.5, 0.2, 0.5, 0.3, 0.3, 0.15),
    "qin-lung": Habits(0.8, 0.45, 0.3, 0.45, 0.4, 0.35, 0.6),
}


@dataclass(frozen=True)
class Person:
    """One patient. Lengths in mm, values in HU.

    Attributes:
        muscle, fat: thickness of the wall's layers; breast: size, 0 for men; arms_up: where the arms are.
        blood, organ: of vessels and of liver and spleen; bone: of cortex above the usual.
        lung: of the parenchyma; gravity: its rise per mm to the back; emphysema: destroyed share.
        dependent: thickness of the dense band at the back, 0 for none.
        effusion: (right, left) greatest depth of fluid.
        scar: strength of scars at the apex.
        gas: whether the stomach holds gas; meal: level of its surface, a share of the stomach's half height.
        motion: how far diaphragm and heart moved during a rotation.
        table: kind of table (:mod:`phantoms.chest_table`); make: six numbers in [0, 1] that tell makes of it
            apart; arm_rest: whether there is one; table_gap: mm below the back.
        blanket: whether there is one; round_field: whether the scanner leaves the corners empty.
        streaks: strength of the noise that shoulders cause.
        collapse: whether the lung behind the largest nodule is airless.
    """

    muscle: float
    fat: float
    breast: float
    arms_up: bool
    blood: float
    organ: float
    bone: float
    lung: float
    gravity: float
    emphysema: float
    dependent: float
    effusion: tuple[float, float]
    scar: float
    gas: bool
    meal: float
    motion: float
    table: int
    make: tuple[float, ...]
    arm_rest: bool
    table_gap: float
    blanket: bool
    round_field: bool
    streaks: float
    collapse: bool

    @classmethod
    def draw(cls, habits: Habits, rng: np.random.Generator) -> Person:
        """A patient of a site."""

        def happens(share: float) -> bool:
            return bool(rng.uniform() < share)

        contrast = happens(habits.contrast)
        fluid = [0.0, 0.0]
        if happens(habits.effusion):
            fluid[int(rng.integers(2))] = rng.uniform(10, 45)
            if happens(0.3):
                fluid = [max(fluid) * rng.uniform(0.5, 1), max(fluid)]
        woman = happens(0.45)
        return cls(
            muscle=rng.uniform(9, 19) * (0.85 if woman else 1.1),
            fat=float(np.clip(rng.gamma(2.4, 5.5), 3, 38)),
            breast=rng.uniform(0.6, 1.25) if woman else 0.0,
            arms_up=happens(0.92),
            blood=rng.uniform(110, 290) if contrast else rng.uniform(36, 48),
            organ=rng.uniform(85, 125) if contrast else rng.uniform(45, 65),
            bone=rng.uniform(-60, 140),
            lung=rng.normal(-885, 24),
            gravity=rng.uniform(0.1, 0.6),
            emphysema=rng.uniform(0.15, 0.6) if happens(habits.emphysema) else 0.0,
            dependent=rng.uniform(4, 16) if happens(habits.dependent) else 0.0,
            effusion=(fluid[0], fluid[1]),
            scar=rng.uniform(0.4, 1.0) if happens(habits.scar) else 0.0,
            gas=happens(0.8),
            meal=rng.uniform(-0.6, 0.3),
            motion=rng.gamma(1.5, 1.2),
            table=int(rng.integers(5)),  # couches differ most among themselves
            make=tuple(rng.uniform(size=6).tolist()),
            arm_rest=happens(0.4),
            table_gap=rng.uniform(2, 20),
            blanket=happens(0.7),
            round_field=happens(0.5),
            streaks=rng.uniform(0.2, 1.2),
            collapse=happens(habits.collapse),
        )
