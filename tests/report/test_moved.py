import pytest

from softmask.report.moved import NOTHING, unlike, what_moved

THERE = {
    "profile": "cpu",
    "recorded": False,
    "seeds": [2020],
    "git_commit": "a" * 40,
    "git_dirty": False,
    "python": "3.11.7",
    "packages": {"numpy": "2.4.6", "torch": "2.15.0"},
    "platform": "Linux",
    "cpu": "A",
    "cpu_count": 2,
    "datasets": [{"name": "lidc", "source": "real", "fingerprint": "f", "n": 5}],
    "runs": [{"name": "unet", "key": "k", "device": "cpu"}, {"name": "segnet", "key": "l", "device": "cpu"}],
    "seconds": 5.0,
    "peak_memory_mb": 300.0,
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, NOTHING),
        ({"seconds": 9.0, "peak_memory_mb": 1.0}, NOTHING),
        ({"git_commit": "b" * 40}, "code: commit aaaaaaa -> bbbbbbb"),
        ({"git_dirty": True}, "code: commit aaaaaaa -> aaaaaaa with changes"),
        ({"git_commit": None}, "code: commit aaaaaaa -> not kno"),
        ({"seeds": [2020, 2021]}, "seeds: 2020 -> 2020 and 2021"),
        ({"python": "3.12.0"}, "versions: python 3.11.7 -> 3.12.0"),
        ({"packages": {"numpy": "2.4.6", "torch": None}}, "versions: torch 2.15.0 -> none"),
        ({"cpu": "B", "cpu_count": 4}, "hardware: cpu A -> B, cpu_count 2 -> 4"),
        ({"recorded": True}, "settings: recorded False -> True"),
        ({"datasets": [{"name": "lidc", "source": "real", "fingerprint": "g", "n": 5}]}, "data: lidc"),
        ({"runs": [THERE["runs"][0] | {"key": "m"}, THERE["runs"][1]]}, "trainings: 1 of 2 with other code or data"),
        ({"runs": [*THERE["runs"], {"name": "new", "key": "n", "device": "cpu"}]}, "trainings: 1 new, 0 gone"),
        ({"runs": [one | {"device": "H100"} for one in THERE["runs"]]}, "hardware: device cpu -> H100"),
    ],
)
def test_each_cause_is_named(change, words):
    assert what_moved(THERE | change, THERE) == (words,)
    assert unlike(THERE | change, THERE) == words.startswith(("versions", "hardware"))
