import pytest

from softmask.experiments import fit, plan
from softmask.experiments.cli import listing
from softmask.train.loop import Settings


def known(monkeypatch, seconds) -> None:
    """``seconds``: by network, how long runs took."""
    monkeypatch.setattr(plan, "likeness", lambda spec: spec.network)
    monkeypatch.setattr(plan, "seconds_known", lambda config: seconds)


def test_missing_runs_come_longest_first_and_unknown_ones_before(tiny, config, data_from, monkeypatch):
    data_from()
    known(monkeypatch, {"unet": 5.0, "improved_backbone": 9.0})
    specs = [tiny(network="unet"), tiny(), tiny(network="unetplusplus")]
    planned = plan.plan(specs, config)
    assert [run.spec.network for run in planned] == ["unet", "improved_backbone", "unetplusplus"]
    assert [run.spec.network for run in plan.missing(planned)] == ["unetplusplus", "improved_backbone", "unet"]
    assert plan.total_seconds(plan.missing(planned), 2) is None
    assert plan.total_seconds(plan.missing(planned)[1:], 2) == 9.0  # the longest one alone takes that
    assert plan.total_seconds(plan.missing(planned)[1:], 1) == 14.0


def test_time_is_known_from_like_runs_on_a_machine_like_this(tiny, config, data_from, monkeypatch):
    data_from()
    [run] = fit([tiny()], config, jobs=1)
    seconds = run.record.provenance.seconds
    (run.folder.parent / "damaged").mkdir()
    (run.folder.parent / "damaged" / "record.json").write_text("{")  # tells no time, and is no hindrance
    like, other = tiny(seed=7), tiny(seed=7, settings=Settings(9, 4, 1e-2))
    assert plan.plan([like], config)[0].seconds == seconds
    assert plan.plan([other], config)[0].seconds is None
    (run.folder / "record.json").unlink()  # the committed record tells it, too
    assert plan.plan([like], config)[0].seconds == seconds
    monkeypatch.setattr(plan, "cpu_model", lambda: "another cpu")
    assert plan.plan([like], config)[0].seconds is None


def test_planning_prepares_nothing_and_asks_for_each_data_set_once(tiny, config, data_from, monkeypatch):
    asked = []
    data_from(lambda spec: pytest.fail("data was read"))
    monkeypatch.setattr(plan.prepare, "digest_of", lambda spec, config: asked.append(spec) or "da" * 32)
    specs = [tiny(seed=1), tiny(seed=2), tiny(dataset="lnsm")]
    assert len(plan.missing(plan.plan(specs, config))) == 3
    assert asked == [specs[0], specs[2]]


def test_the_listing_says_what_is_there_and_what_is_missing(tiny, config, data_from, monkeypatch):
    data_from()
    specs = [tiny(seed=1), tiny(seed=2)]
    known(monkeypatch, {"improved_backbone": 65.0})
    fit(specs[:1], config, jobs=1)
    assert listing(plan.plan(specs, config), 2).splitlines() == [
        f"{specs[0].name}  there",
        f"{specs[1].name}  missing  about 1:05",
        "1 of 2 runs are missing; 2 at a time: about 1:05",
    ]
    fit(specs, config, jobs=1)
    assert listing(plan.plan(specs, config), 2).endswith("nothing is missing: all 2 runs are there")
