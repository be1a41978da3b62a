"""The training loop: what it learns, keeps, repeats and refuses."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from softmask.errors import ConfigError, TrainingError
from softmask.measure.segmentation import dice
from softmask.nets import build
from softmask.train import Settings, loop, predict, seeded, segmentation, train
from softmask.train.device import generator

DICE = (("dice", 1.0),)
SOFTGAN = (("dice", 0.5), ("soft_l1", 2.0), ("gan", 1.0))
SETTINGS = Settings(epochs=4, batch_size=4, learning_rate=5e-3, discriminator_width=4)


@pytest.fixture
def run(tiny, data, tmp_path):
    """Train a network (a fresh tiny one) with the arguments given instead of the usual ones."""

    def run(network=None, losses=DICE, label="soft_mask", settings=SETTINGS, seed=1, folder="run", data=data, **others):
        if network is None:
            with seeded(seed):
                network = tiny()
        outcome = train(network, losses, label, data, settings, seed, tmp_path / folder, name="a-run", **others)
        return network, outcome

    return run


def weights(network):
    return {name: value.numpy().tobytes() for name, value in network.state_dict().items()}


def validation_dice(network, data):
    probabilities = predict(network, data.validation.images)
    return dice(probabilities[:, 0] >= 0.5, data.validation.masks[:, 0] > 0).mean()


@pytest.mark.parametrize("losses", [DICE, SOFTGAN])
def test_learns_and_keeps_the_best_epoch(run, data, losses):
    with seeded(1):
        network = build("improved_backbone", 2)
    _, outcome = run(network, losses, settings=replace(SETTINGS, epochs=8, batch_size=2, learning_rate=1e-2))
    curves = outcome.curves
    assert curves["train_loss"][-1] < 0.9 * curves["train_loss"][0]
    assert max(curves["validation_dice"]) > 0.6
    assert outcome.best_epoch == 1 + curves["validation_dice"].index(max(curves["validation_dice"]))
    assert validation_dice(network, data) == pytest.approx(max(curves["validation_dice"]))
    assert outcome.seconds > 0


def validating(monkeypatch, *values: float):
    """Let the epochs have these validation Dice."""
    coming = iter(values)
    monkeypatch.setattr(segmentation, "validation_dice", lambda *_: next(coming))


def test_warm_up_follows_the_dice_loss_alone(run, monkeypatch):
    """As long as it lasts, training is the one without the other losses; afterwards it is not."""
    five = replace(SETTINGS, epochs=5)
    _, expected = run(losses=SOFTGAN[:1], settings=five, folder="alone")
    validating(monkeypatch, *5 * [0.0])
    _, outcome = run(losses=SOFTGAN, settings=replace(five, warmup=4), folder="warm")
    dice, usual = outcome.curves["loss_dice"], expected.curves["loss_dice"]
    assert dice[:4] == usual[:4]
    assert dice[4] != usual[4]
    assert outcome.curves["warmup"] == [1, 1, 1, 1, 0]
    assert outcome.best_epoch == 5  # the only one that followed all losses


def test_warm_up_ends_when_the_network_has_learnt_something(run, monkeypatch):
    validating(monkeypatch, 0.3, 0.7, 0.6, 0.5)  # an empty mask has 0 and foreground everywhere less than 0.3
    _, outcome = run(losses=SOFTGAN, settings=replace(SETTINGS, warmup=3))
    assert outcome.curves["warmup"] == [1, 1, 0, 0]
    assert outcome.best_epoch == 3


def test_rate_rises_after_the_warm_up(run, monkeypatch):
    validating(monkeypatch, 0.9, 0.9, 0.9, 0.9)
    settings = replace(SETTINGS, warmup=2, ramp=8)  # 4 steps in each of 4 epochs
    _, outcome = run(losses=SOFTGAN, settings=settings)
    poly = [5e-3 * (1 - step / 16) ** 0.9 for step in (0, 4, 8, 12)]
    np.testing.assert_allclose(outcome.curves["learning_rate"], np.multiply(poly, [1, 0.1, 0.55, 1]))


def test_a_training_that_finds_nothing_in_a_fifth_of_its_steps_ends_there(run, monkeypatch):
    long = replace(SETTINGS, epochs=100)  # 400 steps; 200 of them are 50 epochs
    validating(monkeypatch, *50 * [0.0], *100 * [0.9])
    _, outcome = run(settings=long)
    assert outcome.failed
    assert len(outcome.curves["validation_dice"]) == 50
    _, again = run(settings=long)  # from its checkpoint: nothing is trained
    assert again.failed
    assert again.curves == outcome.curves
    validating(monkeypatch, *49 * [0.0], 0.9, *49 * [0.0], 0.9)
    _, outcome = run(settings=long, folder="late")
    assert not outcome.failed
    assert len(outcome.curves["validation_dice"]) == 100
    validating(monkeypatch, *20 * [0.9], *100 * [0.0])  # a later collapse
    _, outcome = run(settings=long, folder="collapse")
    assert outcome.failed
    assert len(outcome.curves["validation_dice"]) == 70


def test_the_segmentors_optimiser_starts_afresh_after_the_warm_up(run, monkeypatch):
    validating(monkeypatch, *4 * [0.0])
    tasks, real = [], segmentation.fit
    monkeypatch.setattr(segmentation, "fit", lambda task, *a, **k: tasks.append(task) or real(task, *a, **k))
    run(losses=SOFTGAN, settings=replace(SETTINGS, warmup=3))
    steps = {
        name: {int(state["step"]) for state in optimiser.state.values()}
        for name, optimiser in tasks[0].objective.optimisers.items()
    }
    assert steps == {"network": {4}, "discriminator": {16}}  # 4 steps in each of 4 epochs


def test_batches_are_whole_shuffled_anew_and_hold_an_image_once():
    first, second = (loop._batches(18, SETTINGS, generator(1, "batches", epoch)) for epoch in (0, 1))
    assert first.shape == (4, 4)
    assert len(first.unique()) == 16
    assert not torch.equal(first, second)
    assert loop._batches(3, SETTINGS, generator(1, "batches", 0)).sort().values.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(("losses", "epoch"), [(DICE, 3), (SOFTGAN, 1)])
def test_an_interrupted_training_goes_on_to_the_same_result(run, losses, epoch):
    network, outcome = run(losses=losses)

    def interrupt(done, epochs, _):
        assert epochs == 4
        if done == epoch:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(losses=losses, folder="interrupted", progress=interrupt)
    seen = []

    def note(done, _, curves):
        seen.append((done, len(curves["train_loss"])))

    again, outcome_again = run(losses=losses, folder="interrupted", progress=note)
    assert seen == [(done, done) for done in range(epoch, 5)]
    assert weights(again) == weights(network)
    assert outcome_again.curves == outcome.curves
    assert outcome_again.best_epoch == outcome.best_epoch


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"settings": replace(SETTINGS, epochs=5)}, "settings"),
        ({"losses": (("dice", 2.0),)}, "losses"),
        ({"label": "binary"}, "label, data"),
        ({"seed": 2}, "seed, first weights"),
    ],
)
def test_a_checkpoint_of_another_training_is_not_used(run, tmp_path, caplog, change, what):
    run()
    network, _ = run(**change)
    assert f"with other {what}; it is kept as checkpoint.other" in caplog.text
    afresh, _ = run(**change, folder="afresh")
    assert weights(network) == weights(afresh)


def test_a_loss_that_is_nan_is_named_and_the_last_good_checkpoint_stays(run, tiny, tmp_path):
    class Failing(tiny):
        calls = 0

        def outputs(self, image):
            self.calls += self.training
            epoch_3_batch_3 = self.calls == 2 * 4 + 3
            return tuple(logits * (np.nan if epoch_3_batch_3 else 1) for logits in super().outputs(image))

    with seeded(1):
        network = Failing()
    path = tmp_path / "run" / "checkpoint.pt"
    with pytest.raises(TrainingError, match=r"a-run: epoch 3, batch 3 of 4: .* in loss_dice; the last good") as caught:
        run(network)
    assert str(path) in str(caught.value)
    seen = []
    healthy, _ = run(progress=lambda done, *_: seen.append(done))
    assert seen == [2, 3, 4]
    assert weights(healthy) == weights(run(folder="afresh")[0])


def test_weights_that_are_nan_are_named(run, tiny):
    with seeded(1):
        network = tiny()
    network.head.bias.register_hook(lambda gradient: gradient * np.nan)
    one_batch = replace(SETTINGS, batch_size=18)
    with pytest.raises(TrainingError, match=r"epoch 1, after its last batch: .* in head\.bias of the network"):
        run(network, settings=one_batch)


def test_binary_label_trains_soft_losses_on_the_masks(run, data):
    network, _ = run(losses=(("soft_l1", 1.0),), label="binary", folder="binary")
    data.train.soft["soft_mask"] = data.train.masks
    assert weights(network) == weights(run(losses=(("soft_l1", 1.0),))[0])


def test_unknown_label_is_refused_with_the_valid_ones(run):
    with pytest.raises(ConfigError, match=r"unknown label 'softmask' .*choose one of binary, soft_mask"):
        run(label="softmask")


@pytest.mark.parametrize("which", ["train", "validation"])
def test_no_images_are_refused(run, data, which):
    part = getattr(data, which)
    part.images = part.images[:0]
    with pytest.raises(ConfigError, match=f"there are no {which}.* images"):
        run()


def test_predict(tiny, data):
    network = tiny().train()
    images = data.train.images
    probabilities = predict(network, images)
    assert probabilities.shape == images.shape
    assert probabilities.dtype == np.float32
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert network.training
    np.testing.assert_allclose(predict(network.eval(), images, batch_size=5), probabilities, atol=1e-6)
    assert not network.training
    with torch.no_grad():
        np.testing.assert_allclose(torch.sigmoid(network(torch.tensor(images[:1]))), probabilities[:1], atol=1e-6)


def test_without_a_loss_of_masks_the_dice_loss_warms_up_and_is_not_reported(run):
    soft = (("soft_mse", 1.0), ("soft_l1", 100.0))
    settings = Settings(epochs=2, batch_size=4, learning_rate=5e-3, warmup=1)
    network, outcome = run(losses=soft, settings=settings)
    losses = {"train_loss", "loss_soft_mse", "loss_soft_l1"}
    assert set(outcome.curves) == losses | {"learning_rate", "validation_dice", "warmup"}
    assert outcome.best_epoch == 2
    cold, _ = run(losses=soft, settings=replace(settings, warmup=0), folder="cold")
    assert weights(cold) != weights(network)
    student = (("hard_cross_entropy", 0.3), ("soft_cross_entropy", 0.7))  # without a soft loss there is no warm-up
    assert "warmup" not in run(losses=student, settings=settings, folder="student")[1].curves


@pytest.mark.parametrize(
    ("part", "says"), [("train", "batch {} of 4: .* in training images .5."), ("validation", "validation: NaN")]
)
def test_an_image_with_nan_is_named(run, data, part, says):
    getattr(data, part).images[5, 0, 3, 3] = np.nan
    order = loop._batches(18, SETTINGS, generator(1, "batches", 0))
    batch = next(i for i, chosen in enumerate(order) if 5 in chosen) + 1
    with pytest.raises(TrainingError, match=f"a-run: epoch 1, {says.format(batch)} .*there is no checkpoint yet"):
        run()


@pytest.mark.parametrize("losses", [DICE, SOFTGAN])
def test_the_same_seed_gives_the_same_weights_another_one_others_and_a_finished_training_is_not_done_again(
    run, losses, monkeypatch
):
    state = torch.random.get_rng_state()
    (network, outcome), (again, outcome_again) = (run(losses=losses, folder=folder) for folder in ("a", "b"))
    assert weights(network) == weights(again)
    assert outcome.curves == outcome_again.curves
    assert torch.equal(torch.random.get_rng_state(), state)
    other, _ = run(losses=losses, seed=2, folder="c")
    assert weights(network) != weights(other)
    monkeypatch.setattr(segmentation.Segmentation, "step", None)
    again, outcome_again = run(losses=losses, folder="a")
    assert weights(again) == weights(network)
    assert outcome_again == outcome


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"epochs": 0}, "epochs must be positive"),
        ({"batch_size": -1}, "batch_size must be positive"),
        ({"learning_rate": math.nan}, "learning_rate must be positive"),
        ({"warmup": -1}, "warmup must be positive"),
        ({"warmup": 4}, "warmup must be below the number of epochs, 4"),
        ({"hold": 4}, "hold must be below the number of epochs, 4"),
    ],
)
def test_settings_that_make_no_training_are_refused(wrong, says):
    with pytest.raises(ConfigError, match=says):
        replace(SETTINGS, **wrong)


def test_schedule():
    assert (SETTINGS.steps(18), SETTINGS.steps(3)) == (4 * 4, 4)
    assert SETTINGS.rate(8, 16) == pytest.approx(5e-3 * 0.5**0.9)
    held = Settings(epochs=5, batch_size=4, learning_rate=0.2, power=1.0, hold=3)
    assert [held.rate(step, 10) for step in (0, 5, 6, 7, 9)] == pytest.approx([0.2, 0.2, 0.2, 0.15, 0.05])
    lowered = Settings(epochs=4, batch_size=4, learning_rate=0.2, power=1.0, warmup=2, second_rate=0.1)
    assert [lowered.rate(step, 8) for step in (0, 3, 4, 6)] == pytest.approx([0.2, 0.125, 0.01, 0.005])


def test_whole_slices_are_validated_together():
    class Always(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.logit = torch.nn.Parameter(torch.tensor(5.0))

        def forward(self, images):
            return self.logit * torch.where(images > 0.5, 1.0, -1.0)

    images = np.zeros((2, 1, 4, 4), np.float32)
    images[:, :, :2] = 1  # predicted: 8 pixels of each
    masks = np.zeros_like(images)
    masks[0, :, :2] = 1  # the second image holds nothing
    part = SimpleNamespace(images=images, masks=masks)
    assert segmentation.validation_dice(Always(), part, together=False) == pytest.approx(0.5)
    assert segmentation.validation_dice(Always(), part, together=True) == pytest.approx(2 * 8 / (16 + 8))
