"""What a network's test beside readers measures, by hand on rows of pixels; and a test after temperature scaling."""

from dataclasses import replace

import numpy as np
import pytest

from softmask.errors import ConfigError, TrainingError
from softmask.experiments import fit, kinds, prepare
from softmask.experiments.prepare import Part
from softmask.measure import soft
from softmask.measure.images import DOCTORS


def masks(*pixels):
    """(N, 1, 1, 8): one row of eight pixels each."""
    made = np.zeros((len(pixels), 1, 1, 8), np.float32)
    for row, chosen in zip(made, pixels, strict=True):
        row[0, 0, list(chosen)] = 1
    return made


def part(*readers):
    """Images of which four readers marked ``readers[i][j]``: reader i, image j."""
    n = len(readers[0])
    none = np.zeros((n, 1, 1, 8), np.float32)
    references = {name: masks(*of) for name, of in zip(DOCTORS, readers, strict=True)}
    return Part(tuple(map(str, range(n))), ("p",) * n, none, none, references=references)


def test_the_consensus_of_the_others_leaves_one_doctor_out():
    test = part([(0, 1)], [(0, 1)], [(0, 1)], [(0, 1, 2, 3)])
    predicted = masks((0, 1, 2))[:, 0] > 0
    result = kinds.beside_readers(predicted, test)
    assert set(result) == set(kinds.READER_MEASURES)
    assert result["others_doctor4"] == pytest.approx([2 / 3])  # (0..3) with (0, 1)
    assert result["others_doctor1"] == pytest.approx([1.0])
    assert [float(result[f"dice_others_{doctor}"][0]) for doctor in DOCTORS] == pytest.approx([0.8] * 4)
    assert result["dice_staple"] == pytest.approx([0.8])
    assert result["staple_doctor4"] == pytest.approx([2 / 3])


def test_a_reader_outside_the_crop_leaves_nothing_to_compare():
    test = part([(0,), (0,)], [(0,), ()], [(0,), (0,)], [(0,), (0,)])
    result = kinds.beside_readers(masks((0,), (0,))[:, 0] > 0, test)
    assert all(values[0] == 1 and np.isnan(values[1]) for values in result.values())


def test_temperature_scaling_is_fitted_to_the_validation_images_and_trains_nothing(tiny, config, data_from):
    data_from()
    prior = tiny(label="binary", losses=(("dice", 1.0),))
    scaled = replace(prior, network="unchanged", width=0, label="temperature", losses=(), prior=prior)
    plain, run = fit([prior, scaled], config, jobs=1)
    data = prepare.prepare(prior, config)
    validation, test = (kinds.predict_masks(plain, part.images)[0] for part in (data.validation, data.test))
    [temperature] = run.record.curves["temperature"]
    assert temperature == pytest.approx(soft.best_temperature(validation, data.validation.masks[:, 0]), rel=1e-4)
    assert abs(temperature - 1) > 0.01  # or nothing would be tested below
    expected = soft.tempered(test, temperature)
    assert run.record.measures["brier"] == pytest.approx(soft.brier(expected, data.test.masks[:, 0]), rel=1e-3)
    shown = run.record.predictions[data.test.ids[0]]
    np.testing.assert_allclose(shown / 255, expected[0], atol=1 / 255)
    assert run.record.measures["dice"] == plain.record.measures["dice"]  # the cut stays where it is
    assert (run.record.provenance.weights, run.record.n_parameters, run.spec.learns) == (None, 0, False)


def test_no_temperature_for_validation_images_without_a_lesion(tiny, config, data_from, monkeypatch):
    data_from()
    prior = tiny(label="binary", losses=(("dice", 1.0),))
    scaled = replace(prior, network="unchanged", width=0, label="temperature", losses=(), prior=prior)
    fit([prior], config, jobs=1)
    made = prepare.prepare

    def empty(spec, config):
        data = made(spec, config)
        return replace(data, validation=replace(data.validation, masks=0 * data.validation.masks))

    monkeypatch.setattr(prepare, "prepare", empty)
    with pytest.raises(TrainingError, match="temperature cannot be fitted to images without foreground"):
        fit([scaled], config, jobs=1)


def test_only_an_unchanged_network_has_a_temperature(tiny):
    with pytest.raises(ConfigError, match="improved_backbone and the label temperature cannot be combined"):
        tiny(label="temperature")
