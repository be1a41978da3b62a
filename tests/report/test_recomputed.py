"""The page's own computation of the verdicts (``verdicts.js``, in Node) against Python's and scipy's."""

import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import stdtr, stdtrit

from softmask import papers
from softmask.analysis.claims import judge
from softmask.config import ROOT
from softmask.measure.differences import Scores
from softmask.measure.verdicts import FAILS, HOLDS, INCONCLUSIVE, NOT_FINISHED, NOT_RUN, UNDERTRAINED
from softmask.report import contents, page, verdicts
from softmask.report.evidence import Evidence, packed

NODE = shutil.which("node")
SCRIPT = ROOT / "lib" / "softmask" / "report" / "page" / "verdicts.js"
IMAGES = 80

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not on this machine")


def node(code, given):
    """What the JavaScript ``code`` gives, with ``Verdicts`` and the value ``given``."""
    program = (
        f"const Verdicts = require({json.dumps(str(SCRIPT))});"
        "const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        f"process.stdout.write(JSON.stringify((() => {{ {code} }})()));"
    )
    text = given if isinstance(given, str) else json.dumps(given)
    done = subprocess.run([NODE, "-e", program], input=text, capture_output=True, text=True, check=True, timeout=300)
    return json.loads(done.stdout)


def test_students_t_is_scipys():
    df = np.array([0.6, 1, 1.7, 2, 3.3, 4.84, 10, 53.7, 400.5, 20000])
    p, t = np.array([0.0001, 0.025, 0.3, 0.5, 0.8, 0.975, 0.9999]), np.array([-30, -4.2, -1, 0, 0.3, 2.5, 12])
    given = {"df": df.tolist(), "p": p.tolist(), "t": t.tolist()}
    own = node(
        "return given.df.map(df => [given.p.map(p => Verdicts.tQuantile(p, df)), "
        "given.t.map(t => Verdicts.tCdf(t, df))]);",
        given,
    )
    for n, (quantiles, shares) in zip(df, own, strict=True):
        assert quantiles == pytest.approx(stdtrit(n, p), rel=1e-8, abs=1e-8)
        assert shares == pytest.approx(stdtr(n, t), rel=1e-8, abs=1e-12)


def made(claim, number):
    """Scores of the rows that a claim compares: shifts of several sizes, seeds, patients, and what is missing."""
    random = np.random.default_rng(number)
    patients = tuple(f"p{place}" for place in np.sort(random.integers(0, 8 if number % 9 == 8 else 30, IMAGES)))
    ids = tuple(f"image {i}" for i in range(IMAGES))
    base = random.normal(0.7, 0.1, IMAGES)
    shifts = ([0.2, 0.0], [0.0, 0.2], [0.003, 0.0], [0.0, 0.0])[number % 4]
    result, better = {}, {pair.better for pair in claim.pairs}
    for key in dict.fromkeys(key for pair in claim.pairs for key in pair.keys):
        seeds = 1 + random.integers(3)
        values = base + shifts[key[0] not in better] + random.normal(0, 0.02, (seeds, IMAGES))
        values += random.normal(0, 0.004, (seeds, 1))
        values[0, random.integers(IMAGES, size=2)] = (np.nan, np.inf)
        curve = (0.3, 0.6, 0.8, 0.801, 0.86 if number % 7 == 6 else 0.802)
        failed = seeds + 1 if number % 13 == 12 else 0
        fixed = key[0].startswith("doctor")
        result[key] = Scores(ids, patients, values, "real", (curve,) * seeds, failed=int(failed), fixed=fixed)
    if number % 11 == 10:
        result.popitem()
    return result


@pytest.fixture
def written(config):
    """The page's data of all claims of the papers, judged by Python on values that are made, and its claims."""
    evidence, judged = {}, []
    for paper in papers.NAMES:
        own = []
        for claim in papers.load(paper).claims:
            if claim.judged:
                scores = made(claim, len(judged) + len(own))
                # rows that two claims share have other values in each: their keys are the claim's own
                renamed = {(f"{row} {len(own)}", *rest): value for (row, *rest), value in scores.items()}
                pairs = tuple(
                    replace(p, better=f"{p.better} {len(own)}", worse=p.worse and f"{p.worse} {len(own)}")
                    for p in claim.pairs
                )
                own.append(judge(replace(claim, pairs=pairs), renamed))
                evidence |= {(paper, *key): value for key, value in renamed.items()}
        verdicts.write(paper, own, config)
        judged += own
    read, result = contents.read(config.run), Evidence(evidence)
    claims = [claim for name in papers.NAMES for claim in page._claims(read, {}, result, (), name)]
    text = packed(result, page._claims_data(claims), page._constants(result))
    return json.loads(text), judged


JUDGED = """return given.claims.map(claim => {
  const again = Verdicts.judge(claim, given);
  return {verdict: again.verdict, wrong: Verdicts.disagreements(claim, again),
    ends: again.pairs.map(({difference: d}) => d && [d.mean, d.low, d.high])};
});"""


def test_every_claim_computed_again_agrees_with_python(written):
    data, judged = written
    again = node(JUDGED, data)
    assert len(again) == len(judged) > 30
    assert {verdict.verdict for verdict in judged} >= {HOLDS, FAILS, INCONCLUSIVE, UNDERTRAINED, NOT_FINISHED}
    for verdict, own in zip(judged, again, strict=True):
        assert (own["verdict"], own["wrong"]) == (verdict.verdict, [])
        for pair, ends in zip(verdict.pairs, own["ends"], strict=True):
            difference = pair.outcome.difference
            if difference is None:
                assert ends is None
                assert pair.outcome.verdict == NOT_RUN
            else:
                assert ends == pytest.approx([difference.mean, difference.low, difference.high], abs=1e-9)


def test_values_altered_by_hand_no_longer_agree(written):
    data, judged = written
    number = next(i for i, verdict in enumerate(judged) if verdict.verdict == HOLDS)
    before = node(JUDGED, data)
    key = data["claims"][number]["pairs"][0]["better"]
    row = data["scores"][data["methods"][key]]["values"][0]
    image = next(i for i, value in enumerate(row) if value is not None)
    row[image] += 0.001
    after = node(JUDGED, data)
    assert before[number]["wrong"] == []
    assert "mean" in after[number]["wrong"][0]
    unchanged = [place for place in range(len(after)) if place != number]
    assert [after[place] for place in unchanged] == [before[place] for place in unchanged]
    data["claims"][number]["verdict"] = FAILS
    assert node(JUDGED, data)[number]["wrong"][0] == f"verdict {HOLDS}, written {FAILS}"
