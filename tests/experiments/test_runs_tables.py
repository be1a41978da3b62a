from dataclasses import replace
from types import SimpleNamespace

import pytest

from softmask.config import BASE_SEED, PROFILES, Config
from softmask.data.splits import SECTION_FOLDS
from softmask.errors import ConfigError
from softmask.experiments import rows
from softmask.experiments.kinds import evaluate, kind_of
from softmask.experiments.schedules import schedule


@pytest.fixture
def config() -> Config:
    return Config.from_parameters("cpu", "embedded", 2)


def test_dsnet_has_three_forms_and_the_profile_says_which_is_the_main_one():
    forms = {"averaged": (2, 2), "full_features": (4, 4), "enlarged_twice": (2, 1)}
    for profile, main in (("smoke", "averaged"), ("cpu", "averaged"), ("full", "full_features")):
        config = Config.from_parameters(profile, "embedded", 1)
        result = {form: rows.spec(f"dsnet_{form}", "lnsm", config, paper="dsnet-v2") for form in forms}
        assert {form: (spec.scale, spec.reduction) for form, spec in result.items()} == forms
        assert len({spec.name for spec in result.values()}) == 3
        table = rows.specs("dsnet-v2/table-3", config)
        assert table["gan_loss", "lnsm"] == [result[main]]
        [sr_input] = table["sr_input", "lnsm"]
        assert (sr_input.scale, sr_input.reduction) == forms[main]


@pytest.mark.parametrize("table", rows.TABLES)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_table_has_runs_in_every_profile(table, profile):
    config = Config.from_parameters(profile, "embedded")
    result = rows.specs(table, config)
    assert result
    folds = rows.FOLDS_TRAINED.get(profile, 1)
    for (_, dataset), specs in result.items():
        assert len(specs) == (folds if dataset == "isbi2012" else config.seeds)


def test_unknown_names_list_the_valid_ones(config):
    with pytest.raises(ConfigError, match=r"choose one of softgan/table-1, .*dsnet-v1/table-2"):
        rows.specs("softgan/table-9", config)
    with pytest.raises(ConfigError, match=r"unknown row .*choose one of .*gan_loss"):
        rows.spec("gan", "lidc", config)
    with pytest.raises(ConfigError, match="known: smoke, cpu, night, full"):
        schedule(SimpleNamespace(name="tiny"), "unet", "lidc")


def test_the_folds_of_isbi_2012_are_trained_as_it_is_each_with_the_first_seed(config):
    [first] = rows.rows_of(["casgan_plusplus"], "isbi2012", replace(config, seeds=3))["casgan_plusplus", "isbi2012"]
    assert first == rows.spec("casgan_plusplus", "isbi2012", config)
    assert (first.dataset, first.prior.dataset, first.seed) == ("isbi2012-fold1", "isbi2012-fold1", BASE_SEED)
    full = Config.from_parameters("full", "embedded")
    folds = rows.rows_of(["unet"], "isbi2012", full, "dsnet-v1")["unet", "isbi2012"]
    assert [(fold.dataset, fold.seed) for fold in folds] == [(name, BASE_SEED) for name in SECTION_FOLDS]
    assert {fold.settings for fold in folds} == {schedule(full.profile, "unet", "isbi2012", "dsnet-v1").settings}


def test_auto_takes_real_data_where_it_is(config, monkeypatch, tmp_path):
    monkeypatch.setattr("softmask.data.real_paths", lambda root: {"lidc": root})
    auto = Config.from_parameters("cpu", "auto", data_root=tmp_path)
    assert (rows.source_of("lidc", auto), rows.source_of("lnsm", auto)) == ("real", "embedded")
    assert rows.source_of("lidc", config) == "embedded"


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
    assert kind_of(tested) is evaluate


@pytest.mark.parametrize("prefix", ["", "unet_"])
def test_soft_labels_are_compared_under_one_loss_and_network(config, prefix):
    def only(row, **changes):
        return replace(rows.spec(f"{prefix}{row}", "lidc", config), **changes)

    soft_mask = only("soft_mask_cross_entropy")
    for label in (*rows.RIVALS, "readers_mean"):
        assert only(label) == replace(soft_mask, label=label)
    for row in ("soft_mask_loss", "soft_mask_dice_semimetric"):
        assert only(row, losses=soft_mask.losses) == soft_mask
    assert only("binary_cross_entropy", losses=soft_mask.losses, label="soft_mask") == soft_mask
    papers_own = ("softgan", "kats_dilation", "gros_interpolation") if not prefix else ("soft_mask_loss",)
    for row in ("kats_dilation", "gros_interpolation"):
        assert only(row, label="soft_mask") == only(papers_own[0])
    softseg = only("softseg")
    assert (softseg.label, softseg.losses) == ("gros_interpolation", (("adaptive_wing", 1.0),))
    assert softseg.settings == soft_mask.settings


@pytest.mark.parametrize(("network", "binary"), [("improved_backbone", "no_soft_label"), ("unet", "unet")])
def test_a_temperature_is_an_evaluation_of_the_binary_row(config, network, binary):
    row = "temperature_scaling" if network == "improved_backbone" else "unet_temperature_scaling"
    scaled = rows.spec(row, "lnsm", config)
    assert scaled.prior == rows.spec(binary, "lnsm", config, paper="softgan")
    assert kind_of(scaled) is evaluate
    assert not scaled.learns
    assert row in rows.labels_compared(network, "lnsm")
    assert scaled.name == f"lnsm-unchanged-temperature-after_{network}_binary-2020"


def test_the_readers_mean_is_compared_on_lidc_alone(config):
    for network, prefix in (("improved_backbone", ""), ("unet", "unet_")):
        on_lidc, on_lnsm = (rows.labels_compared(network, dataset) for dataset in ("lidc", "lnsm"))
        assert set(on_lidc) - set(on_lnsm) == {f"{prefix}readers_mean"}
        assert len(rows.rows_of(on_lidc, "lidc", config)) == 15 - bool(prefix)
    assert set(rows.ILLUSTRATED) < set(rows.labels_compared("improved_backbone", "lidc"))


@pytest.mark.parametrize(
    ("rows_of_one_run", "dataset"),
    [
        (("softgan/table-3 gan_loss", "softgan/table-4 soft_mask", "softgan/table-2 softgan"), "lidc"),
        (("softgan/table-3 improved_backbone", "softgan/table-4 no_soft_label"), "lidc"),
        (("dsnet-v2/table-3 drtm", "dsnet-v2/table-4 no_soft_label"), "lnsm"),
        (("dsnet-v1/table-2 unet", "dsnet-v2/table-2 unet"), "lidc"),
    ],
)
def test_rows_that_are_the_same_method_are_the_same_run(config, rows_of_one_run, dataset):
    pairs = [name.split() for name in rows_of_one_run]
    assert len({tuple(rows.specs(table, config)[row, dataset]) for table, row in pairs}) == 1


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (("cpu", "unet", "lidc", "softgan"), (3, 4, 3e-3)),
        (("cpu", "unet", "lidc", "dsnet-v2"), (3, 4, 3e-3)),
        (("cpu", "unet", "lidc-119", ""), (14, 4, 3e-3)),
        (("cpu", "lgan_generator", "qin-lung", "lgan"), (7, 4, 3e-3)),
        (("night", "improved_backbone", "lidc", "softgan"), (62, 8, 1e-3)),
        (("full", "softgan_2020", "lnsm", "casgan"), (70, 4, 2e-3)),
        (("full", "dsnet_v1", "lidc", "dsnet-v1"), (60, 1, 2e-4)),
        (("full", "dsnet", "lidc", "dsnet-v2"), (100, 4, 2e-4)),
        (("full", "segcaps", "qin-lung", "lgan"), (20, 8, 1e-5)),
    ],
)
def test_epochs_batch_size_and_learning_rate(place, expected):
    profile, network, dataset, paper = place
    settings = schedule(PROFILES[profile], network, dataset, paper).settings
    assert (settings.epochs, settings.batch_size, settings.learning_rate) == expected


@pytest.mark.parametrize("table", rows.TABLES)
def test_one_dice_loss_for_all_rows_of_a_table(table, config):
    names = {name for specs in rows.specs(table, config).values() for name, _ in specs[0].losses}
    assert "dice_squared" not in names
    squared = rows.spec("dsnet_squared", "lnsm", config, paper="dsnet-v2")
    assert squared.losses == (("dice_squared", 0.5), ("soft_l1", 100.0), ("gan", 1.0))


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


def test_dilations_fit_the_maps_of_deeplabv3plus_and_the_fcn_sees_the_papers_size():
    for profile, slices in (("cpu", 112), ("night", 112), ("full", 224)):
        config = Config.from_parameters(profile, "embedded", 1)
        deeplab, fcn = rows.spec("deeplabv3plus", "lnsm", config), rows.spec("fusion_gnet", "lidc-lung", config)
        assert deeplab.size * deeplab.scale == 128
        assert (fcn.size, fcn.size * fcn.scale) == (slices, 224)


def test_in_night_the_ablations_of_a_paper_have_one_width():
    config = Config.from_parameters("night", "real", 1)
    widths = {key: specs[0].width for key, specs in rows.specs("dsnet-v2/table-3", config).items()}
    assert {width for (row, _), width in widths.items() if row != "unet"} == {12}
    widths = {key: specs[0].width for key, specs in rows.specs("dsnet-v1/table-3", config).items()}
    assert {width for (row, _), width in widths.items() if row != "unet"} == {12}


def test_on_isbi_2012_no_network_is_trained_with_the_dice_loss_alone():
    config = Config.from_parameters("night", "real", 1)
    tables = ("casgan/table-3", "dsnet-v1/table-5", "dsnet-v2/table-7")
    specs = [spec for table in tables for runs in rows.specs(table, config).values() for spec in runs]
    losses = {spec.losses for spec in specs if spec.dataset in SECTION_FOLDS}
    assert losses
    assert rows.DICE not in losses
    assert {spec.losses for spec in specs if spec.dataset == "promise12" and spec.network == "medt"} == {rows.DICE}


def test_casgan_trains_its_super_resolution_anew_and_dsnet_takes_that_of_ct():
    config = Config.from_parameters("night", "real", 1)
    for dataset, own in (("promise12", "promise12"), ("isbi2012", SECTION_FOLDS[0]), ("lidc-119", rows.CT)):
        assert rows.spec("casgan_soft", dataset, config).sr.dataset == own
        assert rows.spec("dsnet", dataset, config).sr.dataset == rows.CT
