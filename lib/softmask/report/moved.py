"""What differs between the provenance of two tables, in words: code, data, seeds, versions, hardware, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NOTHING = "nothing that the provenance names"
HARDWARE = ("cpu", "cpu_count", "platform")


def what_moved(here: Mapping[str, Any], there: Mapping[str, Any]) -> tuple[str, ...]:
    """In words what may have moved a table from ``there`` to ``here``; both as
    :func:`softmask.report.provenance.collect` gives them, with ``runs`` where networks were trained."""
    said = [
        *_code(here, there),
        *_data(here, there),
        *_plain("seeds", here, there, ("seeds",)),
        *_plain("versions", _versions(here), _versions(there), sorted({*_versions(here), *_versions(there)})),
        *_plain("hardware", _hardware(here), _hardware(there), (*HARDWARE, "device")),
        *_plain("settings", here, there, ("profile", "recorded")),
    ]
    return tuple(said) or (NOTHING,)


def unlike(here: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    """Whether versions or hardware differ, so that sums may be rounded in another way."""
    return _versions(here) != _versions(there) or _hardware(here) != _hardware(there)


def _code(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    said = []
    commits = [str(one.get("git_commit") or "not known")[:7] for one in (there, here)]
    changes = [one.get("git_dirty") for one in (there, here)]
    if commits[0] != commits[1] or any(changes):
        words = [f"{commit}{' with changes' if dirty else ''}" for commit, dirty in zip(commits, changes, strict=True)]
        said.append(f"code: commit {words[0]} -> {words[1]}")
    ours, theirs = ({run["name"]: run["key"] for run in one.get("runs", ())} for one in (here, there))
    if ours.keys() != theirs.keys():
        said.append(f"trainings: {len(ours.keys() - theirs.keys())} new, {len(theirs.keys() - ours.keys())} gone")
    other = sum(ours[name] != theirs[name] for name in ours.keys() & theirs.keys())
    if other:
        said.append(f"trainings: {other} of {len(ours)} with other code or data")
    return said


def _data(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """A data set's fingerprint is of its content; of embedded data also of the code that draws it."""
    ours, theirs = (
        {(one.get("name"), one.get("source"), one.get("fingerprint"), one.get("n")) for one in of.get("datasets", ())}
        for of in (here, there)
    )
    names = dict.fromkeys(str(name) for name, *_ in sorted(ours ^ theirs, key=str))
    return [f"data: {', '.join(names)}"] if names else []


def _versions(provenance: Mapping[str, Any]) -> dict[str, Any]:
    return {"python": provenance.get("python"), **provenance.get("packages", {})}


def _hardware(provenance: Mapping[str, Any]) -> dict[str, Any]:
    devices = sorted({str(run.get("device")) for run in provenance.get("runs", ())})
    return {name: provenance.get(name) for name in HARDWARE} | {"device": ", ".join(devices)}


def _plain(what: str, here: Mapping[str, Any], there: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """``hardware: cpu_count 2 -> 4``, where any of ``names`` differ."""
    changes = [
        f"{'' if name == what else f'{name} '}{_words(there.get(name))} -> {_words(here.get(name))}"
        for name in names
        if here.get(name) != there.get(name)
    ]
    return [f"{what}: {', '.join(changes)}"] if changes else []


def _words(value: Any) -> str:
    if isinstance(value, list):
        return " and ".join(map(str, value))
    return "none" if value is None else str(value)
