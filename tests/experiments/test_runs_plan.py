import pytest

from softmask.experiments import fit, plan
from softmask.experiments.cli import listing
from softmask.train.loop import Settings


def test_time_is_known_from_like_runs_on_a_machine_like_this(tiny, config, data_from, monkeypatch):
    data_from()
    [run] = fit([tiny()], config, jobs=1)
    seconds = run.record.provenance.seconds
    (run.folder.parent / "damaged").mkdir()
    (run.folder.parent / "damaged" / "record.json").write_text("{")  # tells no time, and is no hindrance
    like, other = plan.likeness(tiny(seed=7)), plan.likeness(tiny(settings=Settings(9, 4, 1e-2)))
    assert plan.seconds_known(config) == {like: seconds}
    assert other != like
    (run.folder / "record.json").unlink()  # the committed record tells it, too
    assert plan.seconds_known(config) == {like: seconds}
    monkeypatch.setattr(plan, "cpu_model", lambda: "another cpu")
    assert not plan.seconds_known(config)


def test_planning_prepares_nothing_and_asks_for_each_data_set_once(tiny, config, data_from, monkeypatch):
    asked = []
    data_from(lambda spec: pytest.fail("data was read"))
    monkeypatch.setattr(plan.prepare, "digest_of", lambda spec, config: asked.append(spec) or "da" * 32)
    specs = [tiny(seed=1), tiny(seed=2), tiny(dataset="lnsm")]
    assert len(plan.missing(plan.plan(specs, config))) == 3
    assert asked == [specs[0], specs[2]]


def test_the_listing_says_what_is_finished_and_what_is_missing(tiny, config, data_from, monkeypatch):
    data_from()
    specs = [tiny(seed=1), tiny(seed=2)]
    monkeypatch.setattr("softmask.experiments.cli.seconds_known", lambda config: {plan.likeness(specs[0]): 130.0})
    fit(specs[:1], config, jobs=1)
    assert listing(plan.plan(specs, config), config, 2).splitlines() == [
        f"{specs[0].name}  finished",
        f"{specs[1].name}  missing, about 2:10",
        "1 of 2 runs are missing; 2 at a time: about 2:10",
    ]
