import getpass
import json
import platform
import subprocess
import time
from pathlib import Path

import pandas as pd

from softmask.config import Config
from softmask.data.sample import Dataset, Problem
from softmask.report import provenance


class Tiny(Dataset):
    name, source, origin, fingerprint = "lidc", "real", "LIDC-IDRI-slices.zip", "ab" * 32

    def __init__(self, root):
        super().__init__()
        self.index = pd.DataFrame({"patient": ["a", "b"]})
        self.add_problem("lidc/a/1/2", f"{root}/a.png is truncated; home is {Path.home()}/x")
        self.left_out.append(Problem("lidc/b", f"flagged in {root}/flags.csv"))


def collect(tmp_path, **more):
    config = Config.from_parameters("full", "real", data_root=tmp_path)
    return provenance.collect(config, [Tiny(tmp_path)], more.get("started", time.perf_counter() - 3))


def test_it_says_what_stands_behind_a_number(tmp_path):
    result = collect(tmp_path)
    expected = {"seeds": [2020], "profile": "full", "run": "full-real", "recorded": False}
    assert {name: result[name] for name in expected} == expected
    assert result["python"] == platform.python_version()
    assert 3 <= result["seconds"] < 60
    assert result["packages"]["numpy"].count(".") >= 1
    assert min(result["peak_memory_mb"], result["cpu_count"], len(result["cpu"])) >= 1
    [data] = result["datasets"]
    assert (data["name"], data["source"], data["origin"], data["n"]) == ("lidc", "real", "LIDC-IDRI-slices.zip", 2)
    assert [problem["where"] for problem in data["problems"]] == ["lidc/a/1/2"]
    assert data["n_left_out"] == 1
    assert data["left_out"] == [{"where": "lidc/b", "why": "flagged in <data>/flags.csv"}]
    assert data["fingerprint"] == "ab" * 32


def test_it_names_no_person_host_or_folder(tmp_path):
    text = json.dumps(collect(tmp_path), allow_nan=False)
    assert "<data>/a.png is truncated; home is <home>/x" in text
    assert str(tmp_path) not in text
    assert platform.node() not in text or len(platform.node()) < 4
    assert getpass.getuser() not in text or getpass.getuser() == "root"


def git(folder, *arguments):
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_git_state_knows_commit_and_changes_but_not_its_own_output(tmp_path):
    git(tmp_path, "init", "-q")
    assert provenance.git_state(tmp_path) == (None, None)  # no commit yet
    for name in ("code.py", "results/a.csv", "figures/a.png", "lib/softmask/experiments/rates.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "m")
    commit, dirty = provenance.git_state(tmp_path)
    assert len(commit) == 40
    assert dirty is False
    (tmp_path / "results" / "a.csv").write_text("2")
    (tmp_path / "figures" / "new.png").write_text("2")
    (tmp_path / "lib" / "softmask" / "experiments" / "rates.csv").write_text("2")
    assert provenance.git_state(tmp_path) == (commit, False)
    (tmp_path / "code.py").write_text("2")
    assert provenance.git_state(tmp_path) == (commit, True)


def test_git_state_outside_git_and_in_a_folder_of_another_checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.git_state(tmp_path) == (None, None)
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "m")
    (tmp_path / "inner").mkdir()
    assert provenance.git_state(tmp_path / "inner") == (None, None)
    monkeypatch.setenv("PATH", "")
    assert provenance.git_state(tmp_path) == (None, None)  # no git at all
