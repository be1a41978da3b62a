import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softmask.errors import ConfigError, DataError
from softmask.experiments.spec import RunSpec, from_plain
from softmask.train.loop import Settings


def test_name_is_readable_and_a_file_name(tiny):
    spec = tiny(losses=(("dice", 0.5), ("soft_l1", 100.0), ("gan", 1.0)))
    assert spec.name == str(spec) == "lidc-improved_backbone-soft_mask-0.5dice+100soft_l1+1gan-1x4-2020"


@given(
    st.builds(
        lambda seed, n_train, rate, weight, label: {
            "seed": seed,
            "n_train": n_train,
            "label": label,
            "losses": (("dice", weight),),
            "settings": Settings(3, 2, rate),
        },
        st.integers(0, 2**40),
        st.none() | st.integers(1, 10**6),
        st.floats(1e-9, 1e3),
        st.floats(1e-3, 1e3),
        st.sampled_from(["binary", "soft_mask"]),
    )
)
def test_json_round_trip(tiny, changes):
    spec = tiny(**changes)
    again = from_plain(RunSpec, json.loads(json.dumps(spec.to_json())), "spec")
    assert again == spec
    assert hash(again) == hash(spec)
    assert again.key("d", "c") == spec.key("d", "c")


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"width": 3}, {"settings": Settings(1, 4, 1e-2, power=1.0)}, {"source": "real"}]
)
def test_key_depends_on_every_field_the_data_and_the_code(tiny, changes):
    keys = {tiny().key("d", "c"), tiny(**changes).key("d", "c"), tiny().key("e", "c"), tiny().key("d", "e")}
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        ({"network": "u-net"}, "improved_backbone"),
        ({"label": "soft"}, "kats_dilation"),
        ({"losses": (("dise", 1.0),)}, "soft_l1"),
        ({"profile": "tiny"}, "smoke"),
        ({"source": "auto"}, "embedded"),
    ],
)
def test_wrong_name_answers_with_the_valid_ones(tiny, changes, valid):
    with pytest.raises(ConfigError, match=valid):
        tiny(**changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda spec: spec.pop("seed"), "f.json: seed: is missing"),
        (lambda spec: spec.update(colour=1), "f.json: colour: is no field"),
        (lambda spec: spec.update(seed="1"), "f.json: seed: '1' is no int"),
        (lambda spec: spec.update(seed=True), "f.json: seed: 'True' is no int"),
        (lambda spec: spec.update(network="gone"), "f.json: unknown network 'gone'"),
        (lambda spec: spec.update(losses=[["dice"]]), "f.json: losses"),
        (lambda spec: spec["settings"].update(epochs=1.5), "f.json: settings: epochs"),
        (lambda spec: spec.update(settings=3), "f.json: settings"),
    ],
)
def test_reading_is_strict_and_names_the_field(tiny, change, message):
    content = tiny().to_json()
    content = json.loads(json.dumps(content))
    change(content)
    with pytest.raises(DataError, match=f"^{message}"):
        from_plain(RunSpec, content, "f.json")
