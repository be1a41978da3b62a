"""The long training: committed records count, rates are searched once, failed runs are restarted, groups in order."""

import fcntl
from dataclasses import replace

import pytest

from softmask.config import Config
from softmask.errors import DataError, TrainingError
from softmask.experiments import fit, kinds, night, plan, schedules, store
from softmask.experiments import run as running
from softmask.experiments.store import Record
from softmask.train import checkpoints
from softmask.train.loop import Settings


@pytest.fixture
def long(config) -> Config:
    """The small profile, as if it trained for hours."""
    return replace(config, profile=replace(config.profile, long=True))


@pytest.fixture
def new_machine(monkeypatch, tmp_path):
    """Call it, and the store is empty."""
    return lambda: monkeypatch.setenv("SOFTMASK_RUNS", str(tmp_path / "another store"))


def test_a_committed_record_counts_as_a_finished_run_on_a_new_machine(tiny, long, data_from, new_machine):
    data_from()
    [run] = fit([tiny()], long, jobs=1)
    new_machine()
    data_from(lambda spec: pytest.fail("trained again"))
    [again] = fit([tiny()], long, jobs=1)
    assert again.record.to_json() == run.record.to_json()
    assert again.folder is None


def test_of_recorded_runs_only_those_are_trained_again_whose_weights_a_missing_run_needs(
    tiny, long, data_from, new_machine
):
    data_from()
    prior, other = tiny(seed=1), tiny(seed=2)
    follower = tiny(seed=3, label="teacher", losses=(("soft_cross_entropy", 1.0),), prior=prior)
    fit([prior, other], long, jobs=1)
    new_machine()
    assert not plan.missing(plan.plan([prior, other], long))
    assert {run.spec for run in plan.missing(plan.plan([prior, other, follower], long))} == {prior, follower}
    runs = fit([prior, other, follower], long, jobs=1)
    assert [run.folder is None for run in runs] == [False, True, False]


class TestSuperResolution:
    """Its weights lie beside the record, so that networks that build on it can be trained on another machine."""

    @pytest.fixture
    def runs(self, tiny, long, data_from, new_machine):
        """A super-resolution network, trained on another machine, and a run that builds on it."""
        data_from()
        sr = tiny(network="srgan", width=2, label="high_resolution", losses=(("content", 1.0),))
        [trained_run] = fit([sr], long, jobs=1)
        new_machine()
        return trained_run, tiny(channels=("bilinear", "super_resolved"), network="softgan_2020", sr=sr, scale=4)

    def test_it_is_not_trained_again(self, runs, long):
        trained_run, follower = runs
        assert [run.spec for run in plan.missing(plan.plan([follower], long))] == [follower]
        [run] = fit([follower], long, jobs=1)
        [need] = run.needs
        assert need.record.to_json() == trained_run.record.to_json()
        for name, tensor in need.network().state_dict().items():
            assert tensor.equal(trained_run.network().state_dict()[name])

    def test_it_is_trained_again_if_the_weights_are_not_those_of_the_record(self, runs, long):
        trained_run, follower = runs
        path = plan.weights_path(trained_run.spec, long)
        path.write_bytes(path.read_bytes()[:-4] + bytes(4))
        with pytest.warns(UserWarning, match="not the weights of its record"):
            assert len(plan.missing(plan.plan([follower], long))) == 2
        path.unlink()
        assert len(plan.missing(plan.plan([follower], long))) == 2

    def test_profiles_of_minutes_keep_no_weights(self, tiny, config, data_from):
        data_from()
        fit([tiny(network="srgan", width=2, label="high_resolution", losses=(("content", 1.0),))], config, jobs=1)
        assert not list(plan.records_folder(config).glob("*.safetensors"))


def test_a_record_of_other_numerics_or_a_damaged_one_does_not_count(tiny, long, data_from, new_machine):
    data_from()
    [run] = fit([tiny()], long, jobs=1)
    new_machine()
    path = plan.records_folder(long) / f"{tiny().name}.json"
    record = run.record
    path.write_text(replace(record, provenance=replace(record.provenance, numerics=0)).to_json())
    assert plan.missing(plan.plan([tiny()], long))
    path.write_text(record.to_json()[:-20])
    with pytest.warns(UserWarning, match="no JSON"):
        assert plan.missing(plan.plan([tiny()], long))


def test_each_record_is_published_when_its_run_ends(tiny, long, data_from, monkeypatch):
    """So that a kill between two runs loses nothing."""
    data_from()
    published = []
    monkeypatch.setattr(running, "publish", lambda run, config: published.append(run.spec.seed))
    perform_all = running.perform_all

    def watched(*arguments):
        for number, result in enumerate(perform_all(*arguments)):
            assert len(published) == before + number
            yield result

    monkeypatch.setattr(running, "perform_all", watched)
    before = 0
    fit([tiny(seed=1), tiny(seed=2)], long, jobs=1)
    assert len(published) == 2
    before = 4  # those of finished runs first: the kill may have come just before
    fit([tiny(seed=1), tiny(seed=2), tiny(seed=3)], long, jobs=1)
    assert published[2:] == [1, 2, 3]


class TestFailedStart:
    def test_it_is_begun_once_more_with_another_seed(self, tiny, config, data_from, monkeypatch):
        data_from()
        seeds, real = [], kinds.train
        outcomes = iter([True, False])

        def train(*arguments, **more):
            seeds.append(arguments[5])
            return replace(real(*arguments, **more), failed=next(outcomes))

        monkeypatch.setattr(kinds, "train", train)
        [run] = fit([tiny(seed=1)], config, jobs=1)
        assert seeds == [1, 1 + kinds.ANOTHER_SEED]
        assert not run.record.failed
        assert len(run.record.failures) == 1
        assert "validation_dice" in run.record.failures[0]
        assert run.record.spec.seed == 1
        assert not (run.folder / store.AGAIN).exists()

    def test_a_second_failure_is_recorded_and_the_run_is_not_tried_again(self, tiny, config, data_from, monkeypatch):
        data_from()
        real, calls = kinds.train, []

        def train(*arguments, **more):
            calls.append(arguments[5])
            return replace(real(*arguments, **more), failed=True)

        monkeypatch.setattr(kinds, "train", train)
        [run] = fit([tiny()], config, jobs=1)
        assert run.record.failed
        assert len(run.record.failures) == 2
        again = Record.read(run.folder / store.RECORD)
        assert again.failed
        assert again.to_json() == run.record.to_json()
        fit([tiny()], config, jobs=1)
        assert len(calls) == 2

    def test_an_interrupted_second_attempt_goes_on(self, tiny, config, data_from, monkeypatch):
        data_from()
        spec = tiny(settings=Settings(epochs=3, batch_size=4, learning_rate=1e-2))
        real, calls = kinds.train, []

        def train(*arguments, **more):
            calls.append(arguments[5])
            outcome = real(*arguments, **more)
            if len(calls) == 2:
                raise OSError("the machine goes down")
            return replace(outcome, failed=arguments[5] == spec.seed)

        monkeypatch.setattr(kinds, "train", train)
        with pytest.raises(Exception, match="goes down"):
            fit([spec], config, jobs=1)
        epochs = []
        monkeypatch.setattr(store, "write_progress", lambda folder, done: epochs.append(done))
        [run] = fit([spec], config, jobs=1)
        assert calls == [spec.seed, spec.seed + 1000] * 2
        assert epochs == [3, 3], "both attempts come from their checkpoints: no epoch is trained again"
        assert len(run.record.failures) == 1


class TestRates:
    @pytest.fixture(autouse=True)
    def _table(self, monkeypatch, tmp_path):
        monkeypatch.setattr(schedules, "TABLE", tmp_path / "rates.csv")

    def test_each_network_loss_and_data_set_is_tried_at_four_rates_once(self, tiny, config, data_from):
        data_from()
        settings = Settings(epochs=4, batch_size=4, learning_rate=1e-2, warmup=1, ramp=2)
        specs = [
            tiny(seed=seed, label=label, settings=settings) for seed in (1, 2) for label in ("soft_mask", "binary")
        ]
        tried = [night.try_rate(spec, config) for spec in night.untried(specs)]
        for trial in tried:
            schedules.add_trial(trial)
        assert sorted(item.rate for item in tried) == sorted(schedules.RATES)
        assert not night.untried(specs)
        assert sorted(schedules.trials(), key=lambda one: one.rate) == sorted(tried, key=lambda one: one.rate)
        best = max(tried, key=lambda one: (one.validation_dice, -one.rate))
        for source, width, rate in (("embedded", 2, best.rate), ("embedded", 3, None), ("real", 2, None)):
            subject = schedules.subject_of(source, "lidc", "improved_backbone", width, specs[0].losses)
            assert schedules.best_rate(subject) == rate
        assert len(night.untried([tiny(losses=(("dice", 1.0),), label="binary")])) == 4

    def test_a_full_disk_is_not_a_result_of_the_rate(self, tiny, config, data_from, monkeypatch):
        data_from()

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(checkpoints, "write_atomic", full)
        with pytest.raises(TrainingError, match="No space left"):
            night.try_rate(tiny(), config)

    def test_numbers_that_are_not_finite_are(self, tiny, config, data_from, monkeypatch):
        data_from()
        settings = Settings(epochs=2, batch_size=4, learning_rate=1e38)
        assert night.try_rate(tiny(settings=settings), config).validation_dice == 0

    def test_a_rate_is_chosen_only_when_all_are_tried(self):
        subject = schedules.subject_of("real", "lidc", "unet", 16, (("dice", 1.0),))
        for rate in schedules.RATES:
            assert schedules.best_rate(subject) is None
            schedules.add_trial(schedules.Trial(*subject, rate, 0.9, 1.0))
        assert schedules.best_rate(subject) == min(schedules.RATES)

    def test_a_damaged_table_names_its_line(self):
        schedules.add_trial(schedules.Trial("real", "lidc", "unet", 16, "1dice", 0.001, 0.9, 1.0))
        schedules.TABLE.write_text(schedules.TABLE.read_text().replace("0.001", "fast"))
        with pytest.raises(DataError, match=r"rates\.csv, line 2: not a line of tried rates .*fast"):
            schedules.trials()


class TestLonger:
    @pytest.fixture(autouse=True)
    def _table(self, monkeypatch, tmp_path):
        monkeypatch.setattr(schedules, "LONGER", tmp_path / "longer.csv")

    @pytest.fixture
    def curves(self, tiny, long, data_from):
        """Call it with a curve of validation Dice for each seed: their runs, with records of these curves."""
        data_from()

        def recorded(*values):
            settings = Settings(epochs=10, batch_size=4, learning_rate=1e-2)
            runs = fit([tiny(seed=seed, settings=settings) for seed in range(len(values))], long, jobs=1)
            for run, curve in zip(runs, values, strict=True):
                record = replace(run.record, curves=run.record.curves | {"validation_dice": curve})
                (plan.records_folder(long) / f"{run.spec.name}.json").write_text(record.to_json())
            return [run.spec for run in runs]

        return recorded

    def test_a_row_that_rises_on_the_mean_over_its_seeds_is_named_once_all_are_finished(self, curves, tiny, long):
        rises = [0.5 + 0.01 * epoch for epoch in range(10)]
        specs = curves(rises, [0.8] * 10)
        [(row, (rise, runs))] = night.rising(specs, long).items()
        assert row == ("embedded", specs[0].name.rpartition("-")[0])
        assert rise == pytest.approx((0.02 + 0) / 2)
        assert runs == specs
        assert not night.rising([*specs, replace(specs[0], seed=7)], long), "one of its seeds is not finished"

    def test_a_flat_row_and_one_that_is_trained_twice_as_long_already_are_not(self, curves, long):
        specs = curves([0.8] * 10, [0.8] * 9 + [0.801])
        assert not night.rising(specs, long)
        specs = curves(*2 * [[0.5 + 0.01 * epoch for epoch in range(10)]])
        assert not night.rising([*specs, *(spec.times(1 / 2) for spec in specs)], long)
        schedules.add_lengthened({("embedded", specs[0].times(1 / 2).row): 0.01})
        assert not night.rising(specs, long)

    def test_a_row_known_to_rise_is_not_judged_again_by_the_one_seed_that_is_left_of_it(self, curves, long):
        specs = curves([0.5 + 0.02 * epoch for epoch in range(10)], [0.8] * 10)
        assert night.rising(specs, long)
        schedules.add_lengthened({("embedded", specs[0].row): 0.02})
        assert not night.rising([specs[0], specs[0].times(2)], long)

    def test_such_rows_are_trained_twice_as_long_in_every_table(self):
        config = Config.from_parameters("night", "embedded")
        groups = night.groups(config)
        name = "lnsm-improved_backbone-soft_mask-0.5dice+100soft_l1+1gan-24x8"
        schedules.add_lengthened({("embedded", name): 0.0077})
        assert schedules.lengthened() == {("embedded", name): 0.0077}
        changed = {spec for runs in night.groups(config).values() for spec in runs}
        before = {spec for runs in groups.values() for spec in runs}
        new = changed - before
        assert before <= changed  # the shorter runs stay, as the pairs that show what training twice as long gains
        assert {spec.name for spec in new} == {f"{name.replace('24x8', '48x8')}-{seed}" for seed in (2021, 2022)}
        [softgan] = [group for group in night.GROUPS if group.title == "SoftGAN"]
        pairs = night.doubled(softgan, config)
        assert [spec.settings.epochs for spec in pairs["softgan", "lnsm"]] == [24, 24, 24, 48, 48, 48]
        assert [spec.settings.epochs for spec in pairs["softgan", "lidc"]] == [62, 124]
        schedules.LONGER.write_text("source,row\n")
        assert not schedules.lengthened()
        schedules.LONGER.write_text("source,row,rise\nreal,a,much\n")
        with pytest.raises(DataError, match=r"longer\.csv: not a table of source, row and rise .*much"):
            schedules.lengthened()


def test_groups_come_in_order_and_each_run_once():
    result = night.groups(Config.from_parameters("night", "embedded"))
    assert list(result)[:3] == ["SoftGAN", "lungs on real slices", "super-resolution"]
    assert list(result)[7:9] == ["DSNet", "CasGAN"]
    specs = [spec for of in result.values() for spec in of]
    assert len(set(specs)) == len(specs)
    softgan = result["SoftGAN"]
    assert len(softgan) == 6 * 2 * 3 + 4  # rows, data sets, seeds; and four that are trained twice as long
    epochs = {(spec.dataset, spec.settings.epochs) for spec in softgan}
    assert epochs == {("lidc", 62), ("lidc", 124), ("lnsm", 24), ("lnsm", 48)}


def test_soft_labels_beyond_the_papers_share_runs_with_their_tables():
    result = night.groups(Config.from_parameters("night", "embedded"))
    titles = [title for title in result if title.startswith("soft labels beyond the papers, ")]
    trained = [[spec for spec in result[title] if spec.learns] for title in titles]
    # by three seeds: nine rows and the readers' mean on LIDC, without those of SoftGAN's tables; three more under the
    # U-Net; and a temperature, which trains nothing
    assert [len(specs) for specs in trained] == [3 * 12, 3 * 9, 3 * 11, 3 * 8]
    assert all(len(result[title]) == len(specs) + 3 for title, specs in zip(titles, trained, strict=True))
    shared = {"0.5dice+100soft_l1+1gan", "1dice"}
    names = [spec.name for specs in trained for spec in specs]
    assert not any(f"improved_backbone-{label}-{losses}-" in name for name in names for label in ("soft_mask", "binary")
                   for losses in shared)  # fmt: skip


def test_progress_in_words(tiny, long, data_from):
    data_from()
    before = night.progress([tiny(seed=1), tiny(seed=2)], long)
    assert before == "0 of 2 runs finished; 0.0 core-hours done, time left not known yet"
    fit([tiny(seed=1)], long, jobs=1)
    assert night.progress([tiny(seed=1), tiny(seed=2)], long).startswith("1 of 2 runs finished; 0.0 core-hours")


def test_two_processes_do_not_search_and_train_the_same(config, monkeypatch):
    def try_lock(*_):
        with (store.root() / "night" / "lock").open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return 0

    monkeypatch.setattr(night, "_run", try_lock)
    monkeypatch.setattr(night.os, "nice", lambda increment: 0)
    assert night.run(config) == 0
