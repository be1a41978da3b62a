from dataclasses import replace
from types import SimpleNamespace

import pytest

from softmask.config import BASE_SEED, PROFILES, Config
from softmask.data.splits import SECTION_FOLDS
from softmask.errors import ConfigError
from softmask.experiments import rows
from softmask.experiments.kinds import Test, kind_of
from softmask.experiments.schedules import schedule
from softmask.nets.registry import NETWORKS


@pytest.fixture
def config() -> Config:
    return Config.from_parameters("cpu", "embedded", 2)


def test_specs_are_those_of_the_printed_rows_one_per_seed(config):
    found = rows.specs("softgan/table-3", config)
    assert list(found) == [
        (row, dataset)
        for row in ("unet", "improved_backbone", "soft_mask_loss", "gan_loss")
        for dataset in ("lnsm", "lidc")
        if row in rows.METHODS
    ]
    one, two = found["gan_loss", "lidc"]
    assert (one.seed, two.seed) == (2020, 2021)
    assert (one.dataset, one.source, one.profile, one.network) == ("lidc", "embedded", "cpu", "improved_backbone")
    assert one.width == NETWORKS["improved_backbone"].cpu
    assert one.losses == (("dice", 0.5), ("soft_l1", 100.0), ("gan", 1.0))
    assert one.settings == schedule(config.profile, "improved_backbone", "lidc").settings


def test_rows_that_are_the_same_method_are_the_same_run(config):
    ablation, labels = rows.specs("softgan/table-3", config), rows.specs("softgan/table-4", config)
    assert ablation["gan_loss", "lidc"] == labels["soft_mask", "lidc"]
    assert ablation["gan_loss", "lidc"] == rows.specs("softgan/table-2", config)["softgan", "lidc"]
    assert ablation["improved_backbone", "lidc"] == labels["no_soft_label", "lidc"]
    assert labels["kats_dilation", "lidc"][0].label == "kats_dilation"


@pytest.mark.parametrize("table", rows.TABLES)
def test_one_dice_loss_for_all_rows_of_a_table(table, config):
    found = {name for specs in rows.specs(table, config).values() for name, _ in specs[0].losses}
    assert "dice_squared" not in found
    squared = rows.spec("dsnet_squared", "lnsm", config, paper="dsnet-v2")
    assert squared.losses == (("dice_squared", 0.5), ("soft_l1", 100.0), ("gan", 1.0))


def test_rows_that_two_papers_share_are_one_method():
    def method(row, paper):
        return rows.method(row, "lnsm", paper)

    assert method("backbone", "dsnet-v2") == method("improved_backbone", "softgan")
    assert method("without_transfer", "dsnet-v2") == method("softgan", "softgan")
    assert method("sr_input", "dsnet-v2") == method("sr_input", "dsnet-v1")
    assert method("unet", "dsnet-v2") == method("unet", "softgan")


def test_without_soft_label_is_the_row_before_the_soft_loss(config):
    ablation, labels = rows.specs("dsnet-v2/table-3", config), rows.specs("dsnet-v2/table-4", config)
    assert labels["no_soft_label", "lnsm"] == ablation["drtm", "lnsm"]
    assert labels["no_soft_label", "lnsm"][0].losses == (("dice", 1.0),)
    other = rows.spec("all_losses_binary", "lnsm", config, paper="dsnet-v2")
    assert (other.label, other.losses) == ("binary", labels["soft_mask", "lnsm"][0].losses)


def test_dsnet_has_three_forms_and_the_profile_says_which_is_the_main_one():
    forms = {"averaged": (2, 2), "full_features": (4, 4), "enlarged_twice": (2, 1)}
    for profile, main in (("smoke", "averaged"), ("cpu", "averaged"), ("full", "full_features")):
        config = Config.from_parameters(profile, "embedded", 1)
        found = {form: rows.spec(f"dsnet_{form}", "lnsm", config, paper="dsnet-v2") for form in forms}
        assert {form: (spec.scale, spec.reduction) for form, spec in found.items()} == forms
        assert len({spec.name for spec in found.values()}) == 3
        table = rows.specs("dsnet-v2/table-3", config)
        assert table["gan_loss", "lnsm"] == [found[main]]
        [sr_input] = table["sr_input", "lnsm"]
        assert (sr_input.scale, sr_input.reduction) == forms[main]


@pytest.mark.parametrize("profile", PROFILES)
def test_networks_of_larger_images_see_twice_the_datas_size_in_every_profile(profile):
    config = Config.from_parameters(profile, "embedded", 1)
    large = {row: rows.spec(row, "lidc-119", config) for row in ("infnet", "infnet_sr", "cenet", "cenet_plusplus")}
    assert {(spec.network, spec.scale, spec.reduction) for spec in large.values()} == {
        ("infnet", 2, 1),
        ("cenet", 2, 1),
    }
    assert [spec.channels for spec in large.values()] == [
        ("bilinear",),
        ("super_resolved",),
        ("bilinear",),
        ("bilinear", "prior"),
    ]
    plain, enlarged = (rows.spec(row, "lidc", config) for row in ("medt", "medt_sr"))
    if profile == "full":
        assert [(spec.scale, spec.reduction) for spec in (plain, enlarged)] == [(2, 1), (2, 1)]
    else:
        assert plain.channels == ("image",)
        assert enlarged.scale == enlarged.reduction > 1


@pytest.mark.parametrize("table", rows.TABLES)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_table_has_runs_in_every_profile(table, profile):
    config = Config.from_parameters(profile, "embedded")
    found = rows.specs(table, config)
    assert found
    folds = rows.FOLDS_TRAINED.get(profile, 1)
    for (_, dataset), specs in found.items():
        assert len(specs) == (folds if dataset == "isbi2012" else config.seeds)


def test_rows_without_a_method_are_left_out(config, monkeypatch):
    monkeypatch.setattr(rows, "METHODS", {"softgan": rows.METHODS["softgan"]})
    assert list(rows.specs("softgan/table-1", config)) == [("softgan", "lnsm")]


def test_unknown_names_list_the_valid_ones(config):
    with pytest.raises(ConfigError, match=r"choose one of softgan/table-1, .*dsnet-v1/table-2"):
        rows.specs("softgan/table-9", config)
    with pytest.raises(ConfigError, match=r"no method; choose one of .*gan_loss"):
        rows.spec("gan", "lidc", config)
    with pytest.raises(ConfigError, match="known: smoke, cpu, night, full"):
        schedule(SimpleNamespace(name="tiny"), "unet", "lidc")


def test_the_folds_of_isbi_2012_are_trained_as_it_is_each_with_the_first_seed(config):
    [first] = rows.rows_of(["casgan_plusplus"], "isbi2012", replace(config, seeds=3))["casgan_plusplus", "isbi2012"]
    assert first == rows.spec("casgan_plusplus", "isbi2012", config)
    assert (first.dataset, first.prior.dataset, first.seed) == ("isbi2012-fold1", "isbi2012-fold1", BASE_SEED)
    full = Config.from_parameters("full", "embedded")
    folds = rows.rows_of(["unet"], "isbi2012", full, "dsnet-v1")["unet", "isbi2012"]
    assert [(one.dataset, one.seed) for one in folds] == [(name, BASE_SEED) for name in SECTION_FOLDS]
    assert {one.settings for one in folds} == {schedule(full.profile, "unet", "isbi2012", "dsnet-v1").settings}


def test_auto_takes_real_data_where_it_is(config, monkeypatch, tmp_path):
    monkeypatch.setattr("softmask.data.found", lambda root: {"lidc": root})
    auto = Config.from_parameters("cpu", "auto", data_root=tmp_path)
    assert (rows.source_of("lidc", auto), rows.source_of("lnsm", auto)) == ("real", "embedded")
    assert rows.source_of("lidc", config) == "embedded"


def test_small_sets_train_for_more_epochs_in_the_cpu_profile(config):
    def steps(dataset, n):
        return schedule(config.profile, "unet", dataset).settings.steps(n)

    assert [steps(*one) for one in (("lidc", 387), ("lidc-119", 60), ("isbi2012", 210), ("promise12", 400))] == [
        576,
        240,
        208,
        300,
    ]


def test_dsnets_tables_have_their_own_schedule_and_records_of_other_names(config):
    ours, theirs = (rows.specs(f"{paper}/table-2", config)["unet", "lidc"][0] for paper in ("softgan", "dsnet-v2"))
    assert (ours.settings.epochs, theirs.settings.epochs) == (12, 2)
    assert ours.name != theirs.name
    assert theirs.settings.learning_rate == ours.settings.learning_rate
    assert theirs == rows.specs("dsnet-v1/table-2", config)["unet", "lidc"][0]
    sr = rows.specs("dsnet-v2/table-2", config)["dsnet", "lidc"][0].sr
    assert sr == rows.spec("srgan", rows.CT, config)
    full = Config.from_parameters("full", "embedded", 1)
    own = {"dsnet-v1": "dsnet_v1", "dsnet-v2": "dsnet"}
    first, last = (rows.specs(f"{paper}/table-2", full)[row, "lidc"][0] for paper, row in own.items())
    assert (first.settings.epochs, first.settings.batch_size) == (60, 1)
    assert (last.settings.epochs, last.settings.batch_size) == (100, 4)


def test_what_takes_an_account_may_be_simulated_though_real_data_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr("softmask.data.found", lambda root: {"lidc": root})
    real = Config.from_parameters("cpu", "real", data_root=tmp_path)
    assert [rows.source_of(name, real) for name in ("lidc", "isbi2012", "promise12")] == [
        "real",
        "real",
        "embedded",
    ]


def test_a_cascade_has_one_super_resolution_for_all_seeds_and_data_sets(config):
    first, second = (rows.spec("casgan_plusplus", "isbi2012", config, seed) for seed in (1, 2))
    assert first.sr == second.sr == first.prior.sr == rows.spec("srgan", rows.CT, config)
    assert (first.prior.seed, second.prior.seed) == (1, 2)
    assert (first.channels, first.scale) == (("bilinear", "super_resolved", "prior"), 2)
    assert (first.label, first.prior.label) == ("binary", "softened")
    assert rows.spec("casgan_soft", "lnsm", config).label == "soft_mask"
    tested = rows.spec("casgan", "lidc", config)
    assert (tested.network, tested.prior.dataset, tested.prior.label) == ("unchanged", "lnsm", "soft_mask")


def test_beside_doctors_a_network_is_tested_as_its_papers_table_trains_it(config):
    tested = rows.rows_of(["dsnet"], "lidc-500", config, "dsnet-v2")["dsnet", "lidc-500"][0]
    assert tested.network == "unchanged"
    assert tested.prior == rows.specs("dsnet-v2/table-1", config)["dsnet", "lnsm"][0]
    assert kind_of(tested) is Test


def test_small_profiles_give_each_network_its_own_learning_rate_and_full_gives_all_the_papers_own(config):
    def rates(profile):
        return {name: schedule(PROFILES[profile], name, "lidc").settings.learning_rate for name in NETWORKS}

    assert rates("cpu") == rates("smoke") == {name: entry.rate for name, entry in NETWORKS.items()}
    full = rates("full")
    assert full.pop("softgan_2020") == 2e-3  # CasGAN's own
    assert set(full.values()) == {2e-4}
