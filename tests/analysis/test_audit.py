"""The audit as tables, what the annotations say of the doctors, and the claims against their own tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from softmask.analysis import audit
from softmask.papers.audit import MUST_HOLD, Check, Finding
from softmask.report import tables
from softmask.report.text import measured_on


def nodules(mean, n=600, spread=0.05):
    largest = np.clip(np.random.default_rng(0).normal(mean, spread, n), 0, 1)
    return pd.DataFrame({"patient": [f"p{i // 2}" for i in range(n)], "largest": largest, "least": largest - 0.1})


def test_doctors_whose_printed_agreement_the_annotations_do_not_give():
    check = audit.doctors(nodules(0.84))
    [one] = check.findings
    assert one.places == ("casgan/table-2", "dsnet-v1/table-4", "dsnet-v2/table-6")
    assert (
        "mean Dice of two doctors 0.703; over the largest slices of 600 nodules annotations give 0.83" in one.inequality
    )
    assert one.beyond == pytest.approx(13, abs=0.7)
    assert "0.73" in one.inequality.rsplit("agree least", 1)[1]  # the least agreed slices of each nodule


def test_doctors_who_agree_as_printed_are_no_finding():
    assert audit.doctors(nodules(0.703)).findings == ()


def test_every_claim_that_compares_rows_is_borne_out_by_its_own_table():
    check = audit.own_claims()
    assert check.findings == ()
    assert check.checked == 274


def test_the_tables_list_what_holds_and_what_does_not():
    checks = [
        Check("all well", "a <= b", MUST_HOLD, 7, ()),
        Check("two of three", "a <= b", "to explain", 3, (Finding(("here", "there"), "2 > 1", 1.0, "points"),) * 2),
        audit.doctors(nodules(0.84)),
    ]
    by_check = tables.to_frame(audit.check_table(checks, "real", 600)).set_index(["row", "metric"])
    assert by_check.loc[("all well", "checked"), "ours_mean"] == 7
    assert by_check.loc[("two of three", "not_as_expected"), "ours_mean"] == 2
    assert by_check.loc[("two of three", "expected"), "note"] == "a <= b. (to explain)"
    assert by_check.loc[("doctors", "checked"), "data"] == "real"
    assert by_check.loc[("all well", "checked"), "data"] == "printed"
    found = tables.show(audit.finding_table(checks, "real", 600))
    assert list(found.index) == ["1. two of three", "2. two of three", "3. doctors"]
    assert list(found.iloc[0]) == ["here · there", "2 > 1", "1 points", "none known"]


def test_a_table_of_printed_numbers_says_that_nothing_was_measured():
    made = audit.check_table([Check("all well", "a <= b", MUST_HOLD, 7, ())], "real", 600)
    assert measured_on(tables.join(made)) == "Ours: the papers' printed numbers."
