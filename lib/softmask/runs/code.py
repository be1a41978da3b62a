"""The version of the code that a run passes through, so that a run is trained again when that changes, and only then.

What counts is read from the sources: the network's module, the module of the run's kind, and whatever of softmask those
import, inside functions too (the training loop, the measures, this package's own arithmetic). Wording does not count
(comments, docstrings), nor do other networks: adding one leaves every finished run as it is. What a run builds on has a
version of its own.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from pathlib import Path

from softmask.files import sha256_of
from softmask.nets import perceptual
from softmask.nets.classical import CLASSICAL
from softmask.nets.registry import entry
from softmask.runs.spec import RunSpec

PACKAGE = Path(__file__).resolve().parents[1]

ROOTS = ("softmask.runs.single",)
"""What every run passes through, besides the module of its kind (:attr:`softmask.runs.spec.RunSpec.kind`)."""
ONLY_ADVERSARIAL = ("softmask.train.adversarial", "softmask.nets.softgan")
"""What the training loop needs for the discriminator; of no account where there is none."""
ONLY_WASSERSTEIN = ("softmask.train.wasserstein", "softmask.nets.critics")
"""What it needs for a critic."""
ONLY_LUNGS = ("softmask.measure.lungs",)
"""Of no account where other things are sought."""
ONLY_UPSCALING = (
    "softmask.train.super_resolution",
    "softmask.measure.resolution",
    "softmask.nets.perceptual",
    "softmask.nets.srgan",
)
"""Of no account where nothing is super-resolved."""
ONLY_CLASSICAL = ("softmask.nets.classical",)

PASSIVE = (
    "softmask.config",  # what decides a result of it is in the spec
    "softmask.errors",
    "softmask.files",
    "softmask.machine",
    "softmask.nets",  # the list of networks; the one that is used is a root
    "softmask.nets.registry",
    "softmask.cache",
    "softmask.runs",  # how runs are kept and shared out
    "softmask.runs.plain",
    "softmask.runs.prepared",  # in the data's digest
    "softmask.runs.record",
    "softmask.runs.spec",
)
"""Modules that decide no number, or whose decisions are in the spec or in the data's digest."""


def code_digest(spec: RunSpec, package: Path = PACKAGE) -> str:
    """Hex digest of the code behind ``spec``, over the syntax trees of all modules it passes through."""
    where = CLASSICAL.get(spec.network) or (entry(spec.network).where if spec.learns else "")
    network = (f"softmask.nets.{where.partition(':')[0]}",) if where else ()
    modules = dict(
        sorted((closure(network, package) | closure((*ROOTS, spec.kind), package, of_no_account(spec))).items())
    )
    weights = [_features(name) for name, _ in spec.losses if name in perceptual.LAYERS]
    return sha256_of(where, *(part for name, path in modules.items() for part in (name, _scan(path)[0])), *weights)


@lru_cache
def _features(layer: str) -> str:
    """Hex digest of the weights of a perceptual loss: they are a file of the user's, or made from a seed."""
    return perceptual.Perceptual(layer).digest()


def of_no_account(spec: RunSpec) -> tuple[str, ...]:
    """Modules that the roots import and that ``spec`` does not pass through."""
    needed = {ONLY_ADVERSARIAL: spec.adversarial, ONLY_CLASSICAL: spec.network in CLASSICAL}
    needed |= {ONLY_WASSERSTEIN: spec.wasserstein, ONLY_LUNGS: spec.of_lungs}
    needed[ONLY_UPSCALING] = spec.upscales or spec.sr is not None
    return tuple(module for modules, used in needed.items() if not used for module in modules)


def closure(roots: tuple[str, ...], package: Path = PACKAGE, skip: tuple[str, ...] = ()) -> dict[str, Path]:
    """The modules of softmask that ``roots`` import, directly or not, with their files.

    :data:`PASSIVE` modules and those of ``skip`` are left out, with what only they import.
    """
    found: dict[str, Path] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        path = _file(name, package)
        if path is None or name in found or name in PASSIVE or name in skip:
            continue
        found[name] = path
        waiting += _scan(path)[1]
    return found


def _file(module: str, package: Path) -> Path | None:
    """The module's source; None for a name that is no module of softmask."""
    top, *parts = module.split(".")
    place = package.joinpath(*parts)
    candidates = (place / "__init__.py", place.parent / f"{place.name}.py") if parts else (package / "__init__.py",)
    return next((path for path in candidates if path.is_file()), None) if top == "softmask" else None


def _scan(path: Path) -> tuple[str, tuple[str, ...]]:
    stat = path.stat()
    return _parsed(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=512)
def _parsed(path: Path, mtime_ns: int, size: int) -> tuple[str, tuple[str, ...]]:
    """(digest of the module's syntax tree without wording, the names it may import)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imported += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for block in ("body", "orelse", "finalbody"):
            statements = getattr(node, block, None)
            if isinstance(statements, list):
                setattr(node, block, [one for one in statements if not _wording(one)])
    return sha256_of(ast.dump(tree)), tuple(imported)


def _wording(statement: ast.stmt) -> bool:
    """Whether it is a bare string: a docstring, or the words below a constant."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
