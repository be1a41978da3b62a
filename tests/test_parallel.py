"""One function over many samples: order, what is left out, what is raised."""

from __future__ import annotations

from dataclasses import replace

import pytest

from softmask.data.sample import Problem
from softmask.errors import ConfigError, DataError, LabelError
from softmask.parallel import cores, map_items, map_samples


def many(discs, changes: dict[int, Exception], n: int = 40) -> list:
    first = discs(0)
    return [changes.get(i, replace(first, patient=f"p{i}", slice=f"s{i}")) for i in range(n)]


def two_records(failing: dict[str, Exception] | None = None):
    def work(sample) -> list[dict]:  # nested, so that other processes get it by value
        if failing and sample.patient in failing:
            raise failing[sample.patient]
        return [{"id": sample.id, "part": part} for part in "ab"]

    return work


@pytest.mark.parametrize("jobs", [1, 2])
def test_records_and_problems_come_in_the_order_of_the_rows(jobs, dataset_of, discs):
    dataset = dataset_of(many(discs, {30: DataError("truncated"), 39: DataError("no reader")}))
    rows = [39, 5, 30, *range(38, 31, -1), *range(6, 30), 0]
    records = map_samples(
        two_records({"p29": LabelError("too small"), "p5": DataError("empty")}), dataset, rows, jobs=jobs
    )
    left_out = (39, 5, 30, 29)
    expected = [row for row in rows if row not in left_out]
    assert records == [{"id": f"lidc/p{row}/n0/s{row}", "part": part} for row in expected for part in "ab"]
    whys = ("no reader", "empty", "truncated", "too small")
    assert dataset.problems == [Problem(f"lidc/p{row}/n0/s{row}", why) for row, why in zip(left_out, whys, strict=True)]


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("kind", [RuntimeError, ConfigError, PermissionError])
def test_other_errors_are_raised(jobs, kind, dataset_of, discs):
    reader = kind is PermissionError
    dataset = dataset_of(many(discs, {39: kind("boom")} if reader else {}))
    with pytest.raises(kind, match="boom"):
        map_samples(two_records(None if reader else {"p25": kind("boom")}), dataset, range(40), jobs=jobs)
    assert dataset.problems == []


def test_problems_are_listed_once(dataset_of, discs, capsys):
    dataset = dataset_of([discs(0), DataError("truncated")])
    for title in ("labels", ""):
        map_samples(two_records({"p0": LabelError("too small")}), dataset, [0, 1, 1], title=title, jobs=1)
    assert [problem.why for problem in dataset.problems] == ["too small", "truncated"]
    stderr = capsys.readouterr().err
    assert "labels: 100%" in stderr
    assert "lidc: 100%" in stderr
    assert map_samples(lambda sample: [], dataset_of([discs(0)]), [], jobs=1) == []


def test_cores_are_those_this_process_may_use(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 2, 5}, raising=False)
    assert cores() == 3
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert cores() == 1


@pytest.mark.parametrize("title", ["squares", ""])
def test_items_in_order_with_a_bar_or_without(title, capfd):
    assert map_items(lambda item: item**2, [3, 1, 2], title=title, unit="number", jobs=1) == [9, 1, 4]
    assert ("100%" in capfd.readouterr().err) == bool(title)
