"""README and docs: links lead to files that are there, the README stays short, and numbers in sentences are the tables'
(those of the headlines are compared in ``report/test_headline.py``)."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from softmask.apply import load
from softmask.config import ROOT
from softmask.papers.audit import gains

PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file(page):
    text = re.sub(r"```.*?```|`[^`]*`", "", (ROOT / page).read_text(), flags=re.DOTALL)  # without code
    links = re.findall(r"\]\((?!https?://)([^)#]+)", text)
    assert not [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]


def test_the_readme_is_read_in_five_minutes():
    assert len((ROOT / "README.md").read_text().replace("|", " ").split()) <= 1300


def measured(table: str, row: str, metric: str, dataset: str = "lungs-2d") -> float:
    """A number of night-real's tables."""
    frame = pd.read_csv(ROOT / "results" / "night-real" / "tables" / f"{table}.csv")
    result = frame[(frame["row"] == row) & (frame["metric"] == metric) & (frame["dataset"] == dataset)]
    return float(result["ours_mean"].item())


def choice(name: str) -> list[float]:
    """Differences that the alternatives to a choice make, in night-real's table."""
    frame = pd.read_csv(ROOT / "results/night-real/tables/workbook/choices.csv")
    return frame[frame["row"].str.endswith(f". {name}") & (frame["metric"] == "difference")]["ours_mean"].tolist()


def shipped(model: str, measure: str) -> float:
    return load(model).description.measures[measure][0]


def between_doctors() -> list[float]:
    """Smallest and largest Dice of two doctors: on largest slices, on every slice, printed."""
    frame = pd.read_csv(ROOT / "results/night-real/tables/casgan/table-2.csv")
    pairs = frame["row"].str.startswith("doctor") & frame["metric"].str.startswith("dice_with_doctor")
    frame = frame[pairs & (frame["ours_mean"] < 1)]
    sets = [values["ours_mean"] for _, values in frame.groupby("dataset", sort=False)]
    printed = frame["paper_mean"].dropna()
    return [extreme for values in (*sets[:2], printed) for extreme in (values.min(), values.max())]


BEST_CRITIC = "1. LGAN regression vs U-Net (baseline) in IoU"
LABELS_COMPARED = "workbook/beyond-differences"
TREE = "accuracy of the decision tree"


def soft_mask_vs(label: str, metric: str, *ends: str, unet: bool = True) -> list[float]:
    """Return the difference of the soft mask from a label under cross entropy on LIDC, and its limits."""
    prefix = "U-Net, " if unet else ""
    row = f"{prefix}soft mask, cross entropy vs {prefix}{label} in {metric}"
    return [measured(LABELS_COMPARED, row, name, "lidc") for name in ("difference", *ends)]


GED, DICE = "generalised energy distance", "Dice with the consensus"
RAMPS, READERS = ("SVLS", "signed-distance ramp"), "mean of all readers' masks"
SAID = [
    (
        "README.md",
        "(largest gain {:.2f} points of {:.1f} %, {:.2f} to {:.2f}); thresholds with morphology reach {:.1f} %",
        lambda: [
            measured("workbook/lgan-claims-real", BEST_CRITIC, "difference"),
            100 * measured("workbook/lgan-real-slices", "baseline_unet", "mean_iou"),
            *(measured("workbook/lgan-claims-real", BEST_CRITIC, end) for end in ("low", "high")),
            100 * measured("workbook/lgan-real-slices", "morph", "mean_iou"),
        ],
    ),
    (
        "docs/findings.md",
        "has a Dice of {:.1f} with it, Gros' label {:.1f}, Kats' {:.0f}",
        lambda: [
            measured("softgan/table-4", row, "ceiling", "lidc")
            for row in ("soft_mask", "gros_interpolation", "kats_dilation")
        ],
    ),
    (
        "docs/findings.md",
        "reach a Dice of {:.1f}, {:.1f}, {:.1f} and {:.1f} on LIDC, and {:.1f}, {:.1f}, {:.1f} and {:.1f} on LNSM",
        lambda: [
            measured("softgan/table-4", row, "dice", dataset)
            for dataset in ("lidc", "lnsm")
            for row in ("no_soft_label", "kats_dilation", "gros_interpolation", "soft_mask")
        ],
    ),
    (
        "docs/findings.md",
        "better than binary masks by {:.3f} ({:.3f} to {:.3f}) with the U-Net and by {:.3f} ({:.3f} to {:.3f}) with "
        "the improved backbone",
        lambda: [
            value / 100
            for unet in (True, False)
            for value in soft_mask_vs("binary mask, cross entropy", GED, "low", "high", unet=unet)
        ],
    ),
    (
        "docs/findings.md",
        "(by {:.3f} on LIDC; by {:.3f} on LNSM, not significantly after Holm's correction), and SoftGAN better than "
        "with Kats' label (by {:.3f} and {:.3f})",
        lambda: [
            measured(LABELS_COMPARED, f"{pair} in generalised energy distance", "difference", dataset) / 100
            for pair in ("+ soft-mask loss vs no soft label", "SoftGAN vs Kats, dilation")
            for dataset in ("lidc", "lnsm")
        ],
    ),
    (
        "docs/findings.md",
        "by {:.2f} ({:.2f} to {:.2f}) and {:.2f} ({:.2f} to {:.2f}) points; with the improved backbone, the "
        "differences are {:.2f} ({:.2f} to {:.2f}) and {:.2f} ({:.2f} to {:.2f})",
        lambda: [
            -value
            for unet in (True, False)
            for label in RAMPS
            for value in soft_mask_vs(label, DICE, "high", "low", unet=unet)
        ],
    ),
    (
        "docs/findings.md",
        "worse calibrated with both networks, by {:.2f} in ECE",
        lambda: [soft_mask_vs("label smoothing", "ECE against the vote")[0] / 100],
    ),
    (
        "docs/findings.md",
        "by {:.3f} in energy distance with either network ({:.3f} to {:.3f}; {:.3f} to {:.3f})",
        lambda: [
            value / 100
            for value in (
                *soft_mask_vs(READERS, GED, "low", "high"),
                *soft_mask_vs(READERS, GED, "low", "high", unet=False)[1:],
            )
        ],
    ),
    (
        "docs/findings.md",
        "by {:.2f} ({:.2f} to {:.2f}) and {:.2f} ({:.2f} to {:.2f}) points in Dice",
        lambda: [value for unet in (True, False) for value in soft_mask_vs(READERS, DICE, "low", "high", unet=unet)],
    ),
    (
        "docs/findings.md",
        "({:.1f} for the soft mask)",
        lambda: [measured("softgan/table-4", "soft_mask", "ceiling", "lidc")],
    ),
    (
        "docs/findings.md",
        "with the consensus of {:.1f} on LIDC and {:.1f} on LNSM; GrabCut from the same mark {:.1f} and {:.1f}; the "
        "soft mask made from it, cut at one half, {:.1f} and {:.1f}, some 400 to 500 times as fast as LiteMedSAM. Most "
        "of this is GrabCut's. The U-Net, which sees no mark, has {:.1f} and {:.1f}",
        lambda: [
            measured("workbook/litemedsam", row, "dice_consensus", dataset)
            for row in ("litemedsam", "recist_grabcut", "recist_soft", "unet")
            for dataset in ("lidc", "lnsm")
        ],
    ),
    (
        "docs/findings.md",
        "GrabCut is better by {:.1f} ({:.1f} to {:.1f}) and {:.1f} ({:.1f} to {:.1f}) points, the soft mask by {:.1f} "
        "({:.1f} to {:.1f}) and {:.1f} ({:.1f} to {:.1f})",
        lambda: [
            measured("workbook/litemedsam", row, name, dataset)
            for row in ("recist_grabcut", "recist_soft")
            for dataset in ("lidc", "lnsm")
            for name in ("over_unet", "low", "high")
        ],
    ),
    (
        "docs/findings.md",
        "LiteMedSAM is worse on LIDC by {:.1f} ({:.1f} to {:.1f}) and not significantly different on LNSM ({:.1f}, "
        "{:.1f} to {:.1f})",
        lambda: [
            sign * measured("workbook/litemedsam", "litemedsam", name, dataset)
            for dataset, names, sign in (
                ("lidc", ("over_unet", "high", "low"), -1),
                ("lnsm", ("over_unet", "low", "high"), 1),
            )
            for name in names
        ],
    ),
    (
        "docs/findings.md",
        "has {:.1f} % to {:.0f} % of it over all epochs",
        lambda: [
            measured("workbook/lgan-shares", f"lgan_{critic}", "share_mean") for critic in ("regression", "product")
        ],
    ),
    (
        "docs/findings.md",
        "accuracy by {:.1f} points ({:.1f} to {:.1f}); the other five",
        lambda: [
            measured("workbook/radiomics-claims", f"1. soft mask vs binary mask in {TREE}", name, "lnsm")
            for name in ("difference", "low", "high")
        ],
    ),
    (
        "docs/findings.md",
        "the gain is {:.1f} points ({:.1f} to {:.1f}) (`workbook/radiomics-claims`)",
        lambda: [
            measured("workbook/radiomics-claims", f"2. soft mask vs dilated binary mask in {TREE}", name, "lnsm")
            for name in ("difference", "low", "high")
        ],
    ),
    (
        "docs/findings.md",
        "the Dice of two readers is {:.3f} to {:.3f}, on every slice that all four marked {:.3f} to {:.3f}; printed: "
        "{:.3f} to {:.3f}",
        lambda: between_doctors(),
    ),
    (
        "docs/findings.md",
        "is above a half on average over the epochs for four critics and falls to {:.1f} % for regression",
        lambda: [measured("workbook/lgan-shares", "lgan_regression_amplified", "share_mean")],
    ),
    (
        "docs/findings.md",
        "one seed of the U-Net gains {:.1f} points ({:.1f} to {:.1f}, over patients only), three of SoftGAN {:.1f} "
        "({:.1f} to {:.1f}; its tables have this longer training)",
        lambda: [
            measured("workbook/softgan-doubled", row, name, "lnsm")
            for row in ("unet", "softgan")
            for name in ("difference", "low", "high")
        ],
    ),
    (
        "docs/findings.md",
        "neither the U-Net nor LGAN regression gains: {:.2f} ({:.2f} to {:.2f}) and {:.2f} ({:.2f} to {:.2f})",
        lambda: [
            measured("workbook/lgan-doubled", row, name)
            for row in ("baseline_unet", "lgan_regression")
            for name in ("difference", "low", "high")
        ],
    ),
    (
        "docs/choices.md",
        "with 0.3, 0.7 and 0.9 instead, Dice of the label with the consensus of the other readers, real: "
        "{:.3f}, {:.3f} and {:.3f}",
        lambda: choice("where a soft mask is cut")[1:],
    ),
    (
        "docs/choices.md",
        "last instead of best, real: validation Dice {:.3f} (LIDC), {:.3f} (LNSM)",
        lambda: choice("which epoch is tested"),
    ),
    (
        "docs/choices.md",
        "pooled over pixels {1:+.3f}, over patients {0:.3f} (real, two doctors)",
        lambda: choice("mean of Dice")[:2],
    ),
    (
        "docs/own-images.md",
        "mean Dice with the consensus {:.3f} on 542 test slices",
        lambda: [shipped("lesion", "dice")],
    ),
    (
        "docs/own-images.md",
        "a lower Dice, {:.3f}, and the better soft masks: {:.3f} against {:.3f} in soft Dice",
        lambda: [shipped("softgan", "dice"), shipped("softgan", "soft_dice"), shipped("lesion", "soft_dice")],
    ),
]


@pytest.mark.parametrize(("page", "words", "numbers"), SAID)
def test_numbers_in_sentences_are_those_of_the_tables(page, words, numbers):
    text = " ".join((ROOT / page).read_text().replace("−", "-").split())
    assert words.format(*numbers()) in text


def test_the_critic_and_the_networks_of_these_sentences_are_the_best():
    frame = pd.read_csv(ROOT / "results/night-real/tables/workbook/lgan-claims-real.csv")
    differences = frame[(frame["metric"] == "difference") & frame["row"].str.startswith("1. ")]
    assert differences.loc[differences["ours_mean"].idxmax(), "row"] == BEST_CRITIC
    frame = pd.read_csv(ROOT / "results/night-real/tables/workbook/lgan-real-slices.csv")
    means = frame[frame["metric"] == "mean_iou"].set_index("row")["ours_mean"]
    assert means.idxmax() == "morph"
    amplified = means[means.index.str.endswith("_amplified")]
    assert all(value < means[row.removesuffix("_amplified")] for row, value in amplified.items()), "docs/findings.md"


def test_the_comparisons_of_the_soft_mask_with_other_soft_labels_are_counted():
    frame = pd.read_csv(ROOT / f"results/night-real/tables/{LABELS_COMPARED}.csv")
    frame = frame[frame["row"].str.contains("vs .*(?:Kats|Gros|label smoothing|SVLS|ramp|SoftSeg)")]
    table = frame.pivot(index=["row", "dataset"], columns="metric", values="ours_mean")
    significant = table.loc[table["p_holm"] < 0.05, "difference"]
    counts = f"better in {(significant > 0).sum()} of {len(table)}, worse in {(significant < 0).sum()}"
    assert counts in (ROOT / "docs/findings.md").read_text()


def test_the_printed_gains_that_could_be_seen():
    result = re.search(r"(\d+) have printed spreads: (\d+) of these \((\d+) %\)", gains.sentence(gains.run()))
    of, within, percent = result.groups()
    assert f"{within} of the {of} printed gains that come with a spread" in (ROOT / "docs/findings.md").read_text()
    assert f"Of {of} gains with printed spreads, {within} ({percent} %)" in (ROOT / "docs/results.md").read_text()
    within, of, printed = re.search(
        r"(\d+) of the (\d+) gains in Dice would not be significant, with the printed ones (\d+)",
        gains.sentence(gains.run()),
    ).groups()
    for page in ("docs/findings.md", "docs/results.md"):
        text = (ROOT / page).read_text()
        assert re.search(rf"{within} of the {of} gains in Dice are within .*, with the printed ones {printed}", text)
