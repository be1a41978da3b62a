"""Cached arrays: computed once, never from a damaged or foreign file, and never by other code."""

import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softmask.cache import cached_arrays, code_digest, digest_of_code
from softmask.errors import ConfigError
from softmask.files import sha256_of

KEY = sha256_of("one")
ARRAYS = {"numbers": np.arange(6.0), "names": np.array(["a", "bcd"]), "none": np.array([], str), "one": np.array("x")}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTMASK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def same(arrays):
    return arrays.keys() == ARRAYS.keys() and all(np.array_equal(arrays[name], ARRAYS[name]) for name in ARRAYS)


def refuse():
    raise AssertionError("built again")


def test_built_once_for_each_key(folder):
    assert same(cached_arrays("some", KEY, lambda: ARRAYS))
    assert same(cached_arrays("some", KEY, refuse))
    for name, key in (("some", sha256_of("two")), ("other", KEY)):
        with pytest.raises(AssertionError, match="built again"):
            cached_arrays(name, key, refuse)
    assert [path.name for path in folder.iterdir()] == [f"some-{KEY[:24]}.npz"]


def test_a_file_of_another_key_is_not_used(folder):
    cached_arrays("some", KEY, lambda: ARRAYS)
    other = KEY[:24] + "0" * 40  # the same file name
    assert cached_arrays("some", other, lambda: {"x": np.ones(1)}).keys() == {"x"}
    assert same(cached_arrays("some", KEY, lambda: ARRAYS))


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_built_again(folder, data):
    path = folder / f"some-{KEY[:24]}.npz"
    path.unlink(missing_ok=True)
    cached_arrays("some", KEY, lambda: ARRAYS)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert same(cached_arrays("some", KEY, lambda: ARRAYS))


def test_any_change_of_code_changes_its_digest(tmp_path):
    root = tmp_path / "package"
    (root / "inner").mkdir(parents=True)
    (root / "a.py").write_text("x = 1\n")
    (root / "inner/b.py").write_text("y = 2\n")
    seen = [digest_of_code(root)]
    shutil.copytree(root, tmp_path / "elsewhere")
    (root / "notes.txt").write_text("no code")
    assert digest_of_code(root) == digest_of_code(tmp_path / "elsewhere") == seen[0], "the place does not matter"
    (root / "inner/b.py").write_text("y = 3\n")
    seen.append(digest_of_code(root))
    (root / "inner/b.py").rename(root / "inner/c.py")
    seen.append(digest_of_code(root))
    (root / "d.py").touch()
    seen.append(digest_of_code(root))
    seen.append(digest_of_code(root, tmp_path / "elsewhere"))
    assert len(set(seen)) == 5

    with pytest.raises(ConfigError, match="no Python file"):
        digest_of_code(tmp_path / "package" / "inner" / "none")
    assert len({code_digest("data"), code_digest("label"), code_digest("data", "label")}) == 3
