"""Rows of the papers' tables: network, label, losses and input of each row, and the runs behind a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from softmask.config import BASE_SEED, Config
from softmask.data.splits import SECTION_FOLDS, dataset_name
from softmask.errors import unknown
from softmask.experiments.schedules import lengthened, schedule, width
from softmask.experiments.spec import (
    BY_SR,
    ENLARGED,
    HIGH_RESOLUTION,
    SOFTENED,
    TEACHER,
    TEMPERATURE,
    UNCHANGED,
    RunSpec,
)
from softmask.label.soft_labels import GEODESIC, READERS_MEAN
from softmask.nets.cascade import TRANSFERRED
from softmask.nets.classical import CLASSICAL
from softmask.nets.critics import CRITICS
from softmask.nets.registry import NETWORKS
from softmask.nets.srgan import SCALE

DICE = (("dice", 1.0),)
CROSS_ENTROPY = (("hard_cross_entropy", 1.0),)
"""Loss of LGAN, equation 6, without the critic."""
DICE_AND_CROSS_ENTROPY = (*DICE, *CROSS_ENTROPY)
"""CE-Net's own loss; with the Dice loss alone, CE-Net predicted foreground (cell) everywhere on ISBI 2012. Also used
for SegCaps, which found only half of the lung with cross entropy alone."""
SOFT_MASK_LOSS = (("dice", 0.5), ("soft_l1", 100.0))
SOFTGAN = (*SOFT_MASK_LOSS, ("gan", 1.0))
"""Losses of SoftGAN, section 3.3, and of both versions of DSNet."""
SQUARED = (("dice_squared", 0.5), *SOFTGAN[1:])
"""Losses of DSNet (TNNLS 2023) exactly as in equations 15 and 19: the Dice loss has squares in its denominator. No row
of a table uses them, because it would then also differ from its rivals in the Dice loss."""
SOFTGAN_2020_PIXELS = (("soft_mse", 1.0), ("soft_l1", 100.0))
SOFTGAN_2020 = (*SOFTGAN_2020_PIXELS, ("gan_least_squares", 1.0))
"""Losses of CasGAN, equation 2 and the text after it."""
STUDENT = (("hard_cross_entropy", 0.3), ("soft_cross_entropy", 0.7))
"""Losses of CasGAN's student, equation 5, where the soft target has the larger weight; the paper gives no values."""
SOFT_CROSS_ENTROPY = (("soft_cross_entropy", 1.0),)
DICE_SEMIMETRIC = (("dice_semimetric", 1.0),)
ADAPTIVE_WING = (("adaptive_wing", 1.0),)
"""Loss of SoftSeg."""
CONTENT = (("content", 1.0),)
SRGAN = (*CONTENT, ("adversarial", 1e-3), ("vgg54", 8e-3), ("total_variation", 2e-8))
"""Losses of CasGAN's super-resolution, section "Training details"."""
SRGAN_SMALL = tuple(("vgg22", weight) if name == "vgg54" else (name, weight) for name, weight in SRGAN)
"""The same losses in all profiles except ``full``, with the second block of VGG19, which costs a sixth of the fifth;
Ledig et al. use both blocks."""

AVERAGED, FULL_FEATURES, ENLARGED_TWICE, MAIN = "averaged", "full_features", "enlarged_twice", "main"
FORMS: Mapping[str, tuple[int, int]] = {AVERAGED: (2, 2), FULL_FEATURES: (SCALE, SCALE), ENLARGED_TWICE: (2, 1)}
"""``scale`` and ``reduction`` (:class:`softmask.experiments.spec.RunSpec`) of networks on enlarged images, by form.
:data:`AVERAGED`: super-resolved images averaged to twice the data's size, reduced to the data's size by a strided
convolution. :data:`FULL_FEATURES`: super-resolved images at full size, reduced by two strided convolutions.
:data:`ENLARGED_TWICE`: super-resolved images averaged to twice the data's size, at which the network also predicts."""
SMALL = ("smoke", "cpu")
"""Profiles in which the main form of DSNet is :data:`AVERAGED` (else :data:`FULL_FEATURES`), and one super-resolution
network serves all seeds and data sets."""


@dataclass(frozen=True)
class Method:
    """Network with its label, losses and input.

    Attributes:
        label, losses, channels: see :class:`softmask.experiments.spec.RunSpec`.
        form: one of :data:`FORMS`, for enlarged images; :data:`MAIN` for the profile's form of DSNet; None for the
            profile's scale, which a network that can do so reduces to the data's size.
        prior: row whose soft mask is used, or whose network is tested.
        trained_on: data set on which the prior is trained; None for the same data set.
    """

    network: str
    label: str = "binary"
    losses: tuple[tuple[str, float], ...] = DICE
    channels: tuple[str, ...] = ("image",)
    form: str | None = None
    prior: str | None = None
    trained_on: str | None = None


_SR, _CASCADE = ("super_resolved",), ("bilinear", "super_resolved")
_backbone = partial(Method, "improved_backbone")
_cascade = partial(Method, "softgan_2020", channels=_CASCADE)
_transfer = partial(Method, channels=TRANSFERRED, form=MAIN)
_dsnet = partial(_transfer, "dsnet", losses=SOFTGAN)
# These networks were published on larger images: the finest map of Inf-Net and of the FCN has an eighth of the image's
# height and width, the coarsest map of DeepLabv3+ a 16th, that of CE-Net a 32nd.
_twice = partial(Method, channels=("bilinear",), form=ENLARGED_TWICE)
_cenet = partial(_twice, "cenet", losses=DICE_AND_CROSS_ENTROPY)

RIVALS = ("label_smoothing", "svls", "signed_distance", GEODESIC)
"""Soft labels that are trained with cross entropy, as label smoothing, SVLS and GeoLS were. Binary masks and the soft
mask are trained with the same loss, so that these rows differ only in the label."""
BEYOND = ("soft_mask_cross_entropy", "soft_mask_dice_semimetric", "binary_cross_entropy", *RIVALS)
BEYOND += ("softseg", "temperature_scaling")
"""Rows of "soft labels beyond the papers" that are in no table of the papers; with the U-Net, ``unet_<row>``."""
ILLUSTRATED = (READERS_MEAN, "soft_mask_cross_entropy")
"""Pair of rows of "soft labels beyond the papers" that is also trained in the small profiles, on LIDC."""


def _beyond(network: str, binary: str, rectified: str) -> dict[str, Method]:
    """Return the methods of :data:`BEYOND` and of the readers' mean. ``binary`` is the row to which temperature scaling
    is applied, and ``rectified`` the network with SoftSeg's last layer."""
    return {
        "temperature_scaling": Method(UNCHANGED, TEMPERATURE, losses=(), prior=binary),
        "binary_cross_entropy": Method(network, losses=CROSS_ENTROPY),
        **{label: Method(network, label, SOFT_CROSS_ENTROPY) for label in (*RIVALS, READERS_MEAN)},
        "softseg": Method(rectified, "gros_interpolation", ADAPTIVE_WING),
        "soft_mask_cross_entropy": Method(network, "soft_mask", SOFT_CROSS_ENTROPY),
        "soft_mask_dice_semimetric": Method(network, "soft_mask", DICE_SEMIMETRIC),
    }


READINGS = (*(f"{critic}_amplified" for critic in CRITICS), "regression_reversed", "regression_reversed_amplified")
"""Variants of LGAN's critics that are in no printed table: a weight at which the critic contributes a third of the
gradient, and the regression critic with the opposite sign of both losses."""

METHODS: Mapping[str, Method] = {name: Method(name) for name in NETWORKS} | {
    # SoftGAN
    "no_soft_label": _backbone(),
    "soft_mask_loss": _backbone("soft_mask", SOFT_MASK_LOSS),
    **dict.fromkeys(("gan_loss", "softgan", "soft_mask"), _backbone("soft_mask", SOFTGAN)),
    "kats_dilation": _backbone("kats_dilation", SOFTGAN),
    "gros_interpolation": _backbone("gros_interpolation", SOFTGAN),
    # CasGAN
    "casgan_bin": _cascade("binary", SOFTGAN_2020),
    "casgan_without_sr": _cascade("soft_mask", SOFTGAN_2020, channels=("bilinear",)),
    "casgan_soft": _cascade("soft_mask", SOFTGAN_2020),
    "casgan_without_gan": _cascade("soft_mask", SOFTGAN_2020_PIXELS),
    "casgan_plusplus": _cascade("binary", SOFTGAN_2020, channels=(*_CASCADE, "prior"), prior="casgan_soft"),
    "cenet": _cenet(),
    "cenet_plusplus": _cenet(channels=("bilinear", "prior"), prior="casgan_soft"),
    "unet_student": Method("unet", TEACHER, STUDENT, prior="casgan_soft"),
    "unet_hard": Method("unet", losses=CROSS_ENTROPY),
    "graph_cut": Method("graph_cut", losses=()),
    **{name: Method(name, losses=(), prior="unet") for name in ("graph_cut_deep", "level_set_deep")},
    "casgan": Method(UNCHANGED, losses=(), prior="casgan_soft", trained_on="lnsm"),
    # DSNet, and networks compared with it
    "deeplabv3plus": _twice("deeplabv3plus"),
    "infnet": _twice("infnet"),
    "infnet_sr": _twice("infnet", channels=_SR),
    "medt_sr": Method("medt_sr", channels=_SR, form=MAIN),
    "sr_input": Method("sr_input", channels=_SR, form=MAIN),
    **dict.fromkeys(("dsnet_v1", "dsnet-v1/gan_loss"), _transfer("dsnet_v1", "soft_mask", SOFTGAN)),
    "dsnet-v1/edrfm": _transfer("dsnet_v1_edrfm"),
    "dsnet-v1/sdrfm": _transfer("dsnet_v1"),
    "dsnet-v1/soft_mask_loss": _transfer("dsnet_v1", "soft_mask", SOFT_MASK_LOSS),
    **dict.fromkeys(
        ("dsnet", *(f"dsnet-v2/{row}" for row in ("gan_loss", "soft_mask", "dtm_csf", "with_transfer"))),
        _dsnet("soft_mask"),
    ),
    "dsnet_squared": _dsnet("soft_mask", losses=SQUARED),
    **{f"dsnet_{form}": _dsnet("soft_mask", form=form) for form in FORMS},
    "dsnet-v2/backbone": _backbone(),
    **dict.fromkeys(("dsnet-v2/drtm", "dsnet-v2/no_soft_label"), _transfer("dsnet")),
    "dsnet-v2/soft_mask_loss": _dsnet("soft_mask", losses=SOFT_MASK_LOSS),
    "dsnet-v2/all_losses_binary": _dsnet("binary"),
    "dsnet-v2/kats_dilation": _dsnet("kats_dilation"),
    "dsnet-v2/gros_interpolation": _dsnet("gros_interpolation"),
    "dsnet-v2/neither": _transfer("dsnet_without_drtm", "soft_mask", SOFTGAN),
    "dsnet-v2/dtm": _transfer("dsnet_dtm", "soft_mask", SOFTGAN),
    "dsnet-v2/without_transfer": _backbone("soft_mask", SOFTGAN),
    # LGAN: its generator with one of the critics, equation 6, or a variant of one
    **dict.fromkeys(("baseline_unet", "lgan/unet"), Method("lgan_generator", losses=CROSS_ENTROPY)),
    **{
        f"lgan_{critic}": Method("lgan_generator", losses=(*CROSS_ENTROPY, (f"wasserstein_{critic}", 1.0)))
        for critic in (*CRITICS, *READINGS)
    },
    "fusion_gnet": _twice("fcn", losses=(*CROSS_ENTROPY, ("gan", 1.0))),
    "tiramisu": Method("tiramisu", losses=CROSS_ENTROPY),
    "segcaps": Method("segcaps", losses=DICE_AND_CROSS_ENTROPY),
    "morph": Method("morph", losses=()),
    # soft labels beyond the papers
    **_beyond("improved_backbone", "no_soft_label", "softseg"),
    **{f"unet_{row}": row_method for row, row_method in _beyond("unet", "unet", "unet_softseg").items()},
    "unet_soft_mask_loss": Method("unet", "soft_mask", SOFT_MASK_LOSS),
    "unet_kats_dilation": Method("unet", "kats_dilation", SOFT_MASK_LOSS),
    "unet_gros_interpolation": Method("unet", "gros_interpolation", SOFT_MASK_LOSS),
    # super-resolution
    "content_only": Method("srgan", HIGH_RESOLUTION, CONTENT),
    "srgan": Method("srgan", HIGH_RESOLUTION, SRGAN),
}
"""Methods by row, or by paper and row if the name has a special meaning in that paper. A row named after a network is
this network, trained on binary masks, with the Dice loss unless stated otherwise here."""

PUBLISHED_SIZE: Mapping[str, Mapping[str, object]] = {
    "medt": {"channels": ("bilinear",), "form": ENLARGED_TWICE},
    "medt_sr": {"form": ENLARGED_TWICE},
    "fcn": {"channels": ("image",), "form": None},
}
"""Fields of the method that the profile ``full`` changes, by network: MedT was published on images of 128 x 128 pixels,
on which a step costs nine times as much; the slices that the FCN sees have the paper's size."""

LUNGS_COMPARED = (
    *("morph", "baseline_unet"),
    *(f"lgan_{critic}" for critic in (*CRITICS, *READINGS)),
    *("fusion_gnet", "tiramisu", "segcaps"),
)
"""Rows that are compared on real slices of lungs (``lungs-2d``)."""

TESTED: Mapping[str, str] = {"lidc-500": "lnsm", "lung-ct": "lidc-lung", "lung-ct-body": "lidc-lung"}
"""Data sets used only for testing (``lidc-500``: networks beside four doctors), and the data set on which the tested
networks were trained."""

_PRINTED = {"softgan": (1, 2, 3, 4), "casgan": (1, 3, 4), "dsnet-v1": (1, 2, 3, 5)}
_PRINTED |= {"dsnet-v2": (1, 2, 3, 4, 5, 7, 8), "lgan": (2, 3, 4)}
TABLES = tuple(f"{paper}/table-{number}" for paper, numbers in _PRINTED.items() for number in numbers)
"""Tables whose rows are trained here."""

CT = "lnsm"
"""Data set on which super-resolution of general CT is trained."""

FOLDS_TRAINED = {"night": len(SECTION_FOLDS), "full": len(SECTION_FOLDS)}
"""Number of folds of ISBI 2012 that are trained, by profile; the other profiles have time only for the first fold."""

ON_REQUEST = ("promise12", "lidc-lung", "qin-lung")
"""Data sets whose real data is large, and may be missing where the other data sets are real."""


def specs(table: str, config: Config) -> dict[tuple[str, str], list[RunSpec]]:
    """Return the runs behind each (row, data set) of a printed table such as ``softgan/table-1``, in print order: one
    per seed; on ISBI 2012 one per fold (:data:`FOLDS_TRAINED`), with the first seed. Rows without method are left out.

    Raises:
        ConfigError: for a table that is not in :data:`TABLES`; the message lists them.
    """
    from softmask import papers

    if table not in TABLES:
        raise unknown("table with training runs", table, TABLES)
    paper, _, name = table.partition("/")
    keys = dict.fromkeys((cell.row, cell.dataset) for cell in papers.load(paper).table(name).cells)
    known_keys = [(row, dataset) for row, dataset in keys if name_of(row, paper) in METHODS]
    return {key: runs for row, name in known_keys for key, runs in rows_of([row], name, config, paper).items()}


def rows_of(rows: Iterable[str], dataset: str, config: Config, paper: str = "") -> dict[tuple[str, str], list[RunSpec]]:
    """Return the runs behind ``rows``, which need not be in a table, in the form of :func:`specs`."""
    dataset_seeds = [(dataset, BASE_SEED + i) for i in range(config.seeds)]
    if dataset == "isbi2012":
        dataset_seeds = [(fold, BASE_SEED) for fold in SECTION_FOLDS[: FOLDS_TRAINED.get(config.profile.name, 1)]]
    return {(row, dataset): [spec(row, name, config, seed, paper) for name, seed in dataset_seeds] for row in rows}


def labels_compared(network: str, dataset: str) -> tuple[str, ...]:
    """Return the rows of "soft labels beyond the papers" with ``improved_backbone`` or ``unet``, first the rows that
    the papers' tables also train.

    Kats' and Gros' labels and the soft mask are trained with the same loss: that of SoftGAN, for the U-Net without the
    GAN. The readers' mean is compared on LIDC only, where four readers marked all images.
    """
    rows = (*BEYOND, READERS_MEAN) if dataset == "lidc" else BEYOND
    if network == "improved_backbone":
        return ("no_soft_label", "soft_mask_loss", "softgan", "kats_dilation", "gros_interpolation", *rows)
    return ("unet", *(f"unet_{row}" for row in ("soft_mask_loss", "kats_dilation", "gros_interpolation", *rows)))


def spec(row: str, dataset: str, config: Config, seed: int = BASE_SEED, paper: str = "") -> RunSpec:
    """Return one run of a row's method on a data set (``isbi2012``: on its first fold), as the profile trains it.

    ``paper``, such as ``dsnet-v2``, selects the meaning of a row name that has different meanings in the papers. Raises
    ConfigError for a row without a method; the message lists the rows with a method.
    """
    dataset = SECTION_FOLDS[0] if dataset == "isbi2012" else dataset
    row_method, profile, source = method(row, dataset, paper), config.profile, source_of(dataset, config)
    if profile.name == "full":
        row_method = replace(row_method, **PUBLISHED_SIZE.get(row_method.network, {}))
    network, losses, channels = row_method.network, row_method.losses, row_method.channels
    plan = schedule(profile, network, dataset, paper, losses, source)
    form = row_method.form
    if form == MAIN:
        form = AVERAGED if profile.name in SMALL else FULL_FEATURES
    scale, reduction = 1, 1
    if set(ENLARGED) & set(channels):
        scale, reduction = FORMS.get(form) or (plan.scale, plan.scale if NETWORKS[network].reduces else 1)
    sr = prior = None
    if set(BY_SR) & set(channels) and profile.name in SMALL:
        sr = spec("srgan", CT, config)
    elif set(BY_SR) & set(channels):  # CasGAN trains a new one for images other than CT; DSNet takes that of CT
        is_anew = network == "softgan_2020" and dataset in (*SECTION_FOLDS, "promise12")
        sr = spec("srgan", dataset if is_anew else CT, config, seed)
    if row_method.prior:
        prior = spec(row_method.prior, row_method.trained_on or dataset, config, seed, paper)
    run = RunSpec(
        dataset=dataset,
        source=source,
        profile=profile.name,
        network=network,
        width=width(profile, network) if losses else 0,
        label=row_method.label,
        losses=SRGAN_SMALL if losses == SRGAN and profile.name != "full" else losses,
        seed=seed,
        size=plan.size,
        n_train=plan.n_train,
        settings=plan.settings,
        channels=channels,
        scale=scale,
        reduction=reduction,
        sr=sr,
        prior=prior,
    )
    return run.times(2) if profile.name == "night" and (source, run.row) in lengthened() else run


def name_of(row: str, paper: str = "") -> str:
    """Return the name in :data:`METHODS` of a paper's row."""
    return f"{paper}/{row}" if f"{paper}/{row}" in METHODS else row


def method(row: str, dataset: str, paper: str = "") -> Method:
    """Return the method of a paper's row on a data set: for data sets in :data:`TESTED`, only the test of a trained
    network. Where the reference is a binary mask, CasGAN is trained on softened masks. On ISBI 2012, where a mask of
    the whole image has a Dice of 0.88, cross entropy is added to the Dice loss, so that no network ends there."""
    name = name_of(row, paper)
    if name not in METHODS:
        raise unknown("row", row, METHODS)
    row_method = METHODS[name]
    if dataset in TESTED and row_method.network not in (UNCHANGED, *CLASSICAL):
        return Method(UNCHANGED, losses=(), prior=row, trained_on=TESTED[dataset])
    if dataset in SECTION_FOLDS and row_method.losses == DICE:
        return replace(row_method, losses=DICE_AND_CROSS_ENTROPY)
    if row_method.network == "softgan_2020" and row_method.label == "soft_mask" and dataset != "lnsm":
        return replace(row_method, label=SOFTENED)
    return row_method


def source_of(dataset: str, config: Config) -> str:
    """Return ``real`` or ``embedded``, as the configuration asks. If it leaves this open, and for :data:`ON_REQUEST`,
    real data is used if it is there. Every table names the source."""
    from softmask.data import REAL_ONLY, real_paths
    from softmask.data.sources import locate_source

    dataset = dataset_name(dataset)
    if dataset in REAL_ONLY:
        return "embedded" if locate_source(dataset, config.data_root, "embedded") else "real"
    if config.data == "embedded" or (config.data == "real" and dataset not in ON_REQUEST):
        return config.data
    return "real" if dataset in real_paths(config.data_root) else "embedded"
