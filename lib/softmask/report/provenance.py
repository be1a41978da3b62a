"""Provenance of a number: code, data, settings, machine, time and memory. Nothing names a person or host."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from softmask.config import BASE_SEED, ROOT, Config, cache_root, output_root
from softmask.data.sample import Dataset, data_kind
from softmask.machine import cores, cpu_model, git_state, package_version, peak_memory_mb
from softmask.report.result import SOURCE_WORDS

PACKAGES = (
    *("softmask", "numpy", "scipy", "pandas", "scikit-image", "scikit-learn", "opencv-python-headless", "pymatting"),
    *("SimpleITK", "pydicom", "pylidc", "matplotlib", "torch"),
)


def collect(
    config: Config, datasets: Iterable[Dataset], started: float, seeds: Sequence[int] = (BASE_SEED,)
) -> dict[str, Any]:
    """Return the provenance of a table made from ``datasets``, as plain values for JSON.

    For each data set, ``problems`` lists damaged parts of the copy at hand, and ``left_out`` faults of the published
    set itself. Paths begin with the name of a folder, such as ``<data>``, ``<checkout>`` or ``<home>``.

    Args:
        started: ``time.perf_counter()`` when the work began.
    """
    seconds = time.perf_counter() - started
    commit, dirty = git_state(ROOT)
    content = {
        "run": config.run,
        "profile": config.profile.name,
        "recorded": config.recorded,
        "seeds": list(seeds),
        "git_commit": commit,
        "git_dirty": dirty,
        "python": platform.python_version(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "platform": " ".join(part for part in (platform.system(), platform.machine(), *platform.libc_ver()) if part),
        "cpu": cpu_model(),
        "cpu_count": cores(),
        "datasets": [
            {
                "name": data.name,
                "source": data_kind(data.name, data.source, data.origin),
                "origin": data.origin,
                "fingerprint": data.fingerprint,
                "n": len(data),
                "problems": [vars(problem) for problem in data.problems],
                "n_left_out": len(data.left_out),
                "left_out": [vars(problem) for problem in data.left_out],
            }
            for data in datasets
        ],
        "seconds": round(seconds, 2),
        "peak_memory_mb": peak_memory_mb(),
    }
    text = json.dumps(content)
    folders = {config.data_root: "data", cache_root(): "cache", output_root(): "output", ROOT: "checkout"}
    for folder in sorted({**folders, Path.home(): "home"}, key=lambda folder: -len(str(folder))):
        if str(folder) != folder.anchor:
            text = text.replace(json.dumps(str(folder))[1:-1], f"<{folders.get(folder, 'home')}>")
    return json.loads(text)


def lines(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the content of :func:`collect`, and of the ``runs`` of trained networks, as (term, description) pairs;
    none for empty content."""
    if not content:
        return []
    terms: list[tuple[str, str]] = []
    for data in content["datasets"]:
        left_out = f", {len(data['problems'])} left out" if data["problems"] else ""
        source = SOURCE_WORDS.get(data["source"], data["source"])
        images = f"{data['n']:,} images{left_out}; fingerprint {data['fingerprint']}"
        terms.append((f"data {data['name']}", f"{source}; {data['origin']}; {images}"))
    if runs := content.get("runs"):
        devices = ", ".join(sorted({run["device"] for run in runs}))
        seconds, recorded = (sum(run[key] for run in runs) for key in ("seconds", "recorded"))
        terms.append(("training", f"{len(runs)} runs, {seconds:,.0f} s on {devices}; {recorded} taken from records"))
    changes = ", with changes that are not committed" if content["git_dirty"] else ""
    versions = {"python": content["python"], **content["packages"]}
    return [
        *terms,
        ("code", f"{content['git_commit'] or 'not in a git checkout'}{changes}"),
        ("seeds", ", ".join(map(str, content["seeds"]))),
        ("machine", f"{content['cpu']}, {content['cpu_count']} cores; {content['platform']}"),
        ("cost", f"{content['seconds']} s, {content['peak_memory_mb']} MB at most"),
        ("packages", ", ".join(f"{name} {version}" for name, version in versions.items() if version)),
    ]


def what_moved(here: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, str]:
    """Return the differences between two tables' provenance, by term: code, data, seeds, machine, packages, training.

    Code with uncommitted changes always counts as different, because the changes are not recorded.
    """
    term_dicts: list[dict[str, list[str]]] = [{}, {}]
    for content, terms in zip((there, here), term_dicts, strict=True):
        for term, description in lines(content):
            terms.setdefault(term, []).extend(description.split(", "))
    moved = {}
    for term in dict.fromkeys(term for terms in term_dicts for term in terms if term not in ("training", "cost")):
        old, new = (terms.get(term, ["nothing"]) for terms in term_dicts)
        if old != new or "with changes that are not committed" in new:
            removed, added = [part for part in old if part not in new], [part for part in new if part not in old]
            moved[term] = f"{', '.join(removed or old[:1])} -> {', '.join(added or new[:1])}"
    keys = [{run["name"]: run["key"] for run in content.get("runs", ())} for content in (there, here)]
    if keys[0] != keys[1]:
        n_same = len(keys[0].items() & keys[1].items())
        moved["training runs"] = f"{len(keys[1]) - n_same} of {len(keys[1])} with other code, data or settings"
    return moved
