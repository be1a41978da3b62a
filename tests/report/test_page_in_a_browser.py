"""The page in headless Chromium, where that is on the machine: nothing is wider than a phone, colours are legible, the
page is short before anything is unfolded, numbers open onto images, values altered by hand are noticed, and no script
fails."""

import html
import json
import re
import shutil
import subprocess

import matplotlib.pyplot as plt
import numpy as np
import pytest

from softmask import papers
from softmask.analysis.claims import judge
from softmask.config import ROOT, Config
from softmask.measure.differences import Scores
from softmask.report import figures, page, verdicts
from softmask.report.evidence import Evidence, Pictures

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update")  # fmt: skip
PROBE = """<!DOCTYPE html><meta charset="utf-8"><pre id="found"></pre>
%s
<script>
const luminance = text => {
  const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = node => {  // the first colour below that is not see-through
  for (; node; node = node.parentElement) {
    const color = node.ownerDocument.defaultView.getComputedStyle(node).backgroundColor;
    if (!/, 0\\)$/.test(color)) return color;
  }
  return "rgb(255, 255, 255)";
};
const contrast = node => {
  const [a, b] = [node.ownerDocument.defaultView.getComputedStyle(node).color, ground(node)].map(luminance);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
};
window.onload = () => setTimeout(() => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument, root = page.documentElement;
    const height = root.scrollHeight;
    const dialog = page.querySelector("dialog"), button = page.querySelector("#softgan button.number");
    button.click();
    const opened = dialog.textContent, canvases = dialog.querySelectorAll("canvas").length;
    const sort = () => [...dialog.querySelectorAll("tbody tr")].map(row => row.cells[2].textContent);
    const ascending = sort();
    dialog.querySelector("[data-sort='2']")?.click();
    const descending = sort();
    const cards = ["casgan|soft_half|lnsm|dice_consensus", "lgan|morph|lnsm|dice3d"].map(key => {
      button.dataset.key = key;
      button.click();
      dialog.querySelector("[data-image='4']")?.click();
      return [...dialog.querySelectorAll(".pictures figure")].map(card => card.textContent.replace(/\\s+/g, " "));
    });
    dialog.close();
    const shown = selector => [...page.querySelectorAll(selector)].filter(node => node.offsetParent);
    page.querySelector("button[data-verdict='holds']").click();
    const papers = new Set(shown(".claim").map(claim => claim.id.replace(/-\\d+$/, "")));
    const kept = [shown("#claims .paper").length, papers.size];
    page.querySelector("button[data-verdict='']").click();
    page.querySelectorAll("details").forEach(fold => { fold.open = true; });
    const texts = [...page.body.querySelectorAll("*")].filter(node => !node.closest("dialog, script, style") &&
      [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim()));
    return {
      height, opened, canvases, cards, ascending, descending, kept, errors: frame.contentWindow.errors,
      again: page.getElementById("recomputed").textContent,
      claim: page.querySelector("[data-claim='claim-casgan-1']").textContent,
      asked: frame.clientWidth, scroll: root.scrollWidth,
      boxes: [...page.querySelectorAll(".scroll")].filter(box => box.scrollWidth > box.clientWidth).length,
      ids: page.querySelectorAll("[id]").length, names: new Set([...page.querySelectorAll("[id]")].map(n => n.id)).size,
      contrast: Math.min(...texts.map(contrast)), texts: texts.length,
      size: Math.min(...texts.map(node => parseFloat(frame.contentWindow.getComputedStyle(node).fontSize))),
    };
  });
  document.getElementById("found").textContent = JSON.stringify(found);
}, 5000);
</script>"""
ALTERED = ("0.8123456789", "0.9123456789")
"""A value behind a claim, and what it is changed to in a copy of the page."""
TELL = "<head><script>var errors = []; onerror = message => { errors.push(message); };</script>"


@pytest.fixture
def report(tmp_path, monkeypatch):
    """A page of the committed tables and claims, a claim judged on values that are made, and one wide figure."""
    monkeypatch.setenv("SOFTMASK_OUTPUT", str(tmp_path))
    config = Config.from_parameters("cpu", "embedded")
    for part in ("tables", "claims"):
        shutil.copytree(ROOT / "results" / config.run / part, config.results / part)
    fig = plt.figure(figsize=(20, 2))
    figures.save(fig, "workbook", "labels-against-alpha", config, "A figure of the same name as a table.")
    plt.close(fig)
    ids = tuple(f"lnsm/p{i}/n0/s0" for i in range(4))
    values = {"softgan": [[0.9, 0.7, 0.8, 0.6]], "unet": [[0.5, 0.6, 0.7, 0.8]]}
    claim = papers.load("casgan").claims[0]
    images, random = tuple(f"image {i}" for i in range(60)), np.random.default_rng(0)
    compared = {}
    for key in claim.pairs[0].keys:
        made = random.normal(0.8 if key[0] == claim.pairs[0].better else 0.6, 0.05, (3, 60))
        compared[key] = Scores(images, images, made, "real", ((0.5, 0.8, 0.8, 0.8, 0.8),) * 3)
    next(iter(compared.values())).values[0, 0] = float(ALTERED[0])
    verdicts.write("casgan", [judge(claim, compared)], config)
    mask = np.zeros((64, 64), bool)
    mask[20:40, 20:40] = True
    behind = Evidence(
        {("softgan", row, "lnsm", "dice"): Scores(ids, ids, np.array(own), "embedded") for row, own in values.items()}
        | {("casgan", *key): scores for key, scores in compared.items()}
        | {
            ("casgan", "soft_half", "lnsm", "dice_consensus"): Scores(
                (*ids, "lnsm/p4/n0/s0"), (*ids, "p4"), np.array([[0.9, 0.7, 0.8, 0.6, 0.1]]), "embedded", fixed=True
            ),
            ("lgan", "morph", "lnsm", "dice3d"): Scores(("p0",), ("p0",), np.array([[0.9]]), "embedded", fixed=True),
        },
        {},
        {("softgan", "softgan", "lnsm"): dict.fromkeys(ids, mask)},
        {"lnsm": Pictures(ids, np.full((4, 64, 64), 90, np.uint8), np.stack([mask] * 4), "Simulated")},
    )
    return page.build(config, behind).read_text().replace("<head>", TELL)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_page_fits_a_phone_and_a_desk_and_is_legible(report, tmp_path):
    assert report.count(ALTERED[0]) == 1
    first, claim, rest = report.partition('id="claim-casgan-1"')
    printed = re.search(r"<strong>(\+\d+\.\d\d)</strong>", rest)[1]
    misprinted = first + claim + rest.replace(f"<strong>{printed}", "<strong>+99.00", 1)
    damaged = report.replace(ALTERED[0], "0.8,,")
    shown = [(390, report), *((1280, text) for text in (report, report.replace(*ALTERED), misprinted, damaged))]
    frames = [f'<iframe width="{w}" height="900" srcdoc="{html.escape(text)}"></iframe>' for w, text in shown]
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE % "\n".join(frames))
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=30000", "--dump-dom"]
    done = subprocess.run([*command, probe.as_uri()], capture_output=True, text=True, timeout=300, check=True)
    phone, desk, altered, misprinted, damaged = json.loads(
        html.unescape(re.search(r'<pre id="found">(.+?)</pre>', done.stdout)[1])
    )
    assert "NO LONGER AGREES: CasGAN, soft masks > CasGAN" in altered["again"]
    assert "no longer agree with what is written: CasGAN, soft masks vs CasGAN, binary" in altered["claim"]
    assert "NO LONGER AGREES: CasGAN, soft masks > CasGAN" in misprinted["again"]
    assert "the claim's own line: the page shows another number or verdict" in misprinted["claim"]
    assert "Not computed again: the values in this file are damaged" in damaged["again"]
    for result in (phone, desk):
        assert result["texts"] > 2000
        assert result["scroll"] <= result["asked"]  # wide tables scroll in their own boxes
        assert result["contrast"] >= 4.5  # WCAG 2, level AA
        assert result["size"] >= 10
        assert result["ids"] == result["names"] > 26 + 38
        assert result["errors"] == []
        assert "1 of 1 claims agree" in result["again"]
        assert "holds" in result["claim"]
        assert result["claim"].endswith("Agrees.")
        assert "Dice of U-Net on LNSM" in result["opened"]
        assert "U-Net mean 65.00 %" in result["opened"]
        assert "0.00 %" in result["opened"]
        assert "100.00 %" in result["opened"]
        assert result["kept"][0] == result["kept"][1] > 0  # no heading without a claim
        assert result["canvases"] == 3
        among = "among the 4 with pictures, of 5 images"
        chosen, worst, _, best = result["cards"][0]
        assert "this page holds pictures of 4 of these 5 images, without this one." in chosen
        assert f"Worst {among}" in worst
        assert "0.600" in worst
        assert worst.endswith("No mask of this image is recorded for soft mask after half of the iterations.")
        assert f"Best {among}" in best
        assert "0.900" in best
        assert [card.count("the value is that of a whole scan.") for card in result["cards"][1]] == [1, 1, 1]
        assert result["ascending"] == ["50.00", "60.00", "70.00", "80.00"] == result["descending"][::-1]
    assert desk["height"] < 11 * 900  # some ten screens
    assert phone["boxes"] > 10
    assert desk["boxes"] < phone["boxes"]
