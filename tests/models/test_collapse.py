import csv
import json
import pathlib
import types
import warnings

import pytest

from keras_noisyfer.fit_callbacks import WarnOfCollapse

RESULTS = pathlib.Path(__file__).parents[2] / "results"
BALANCED = (1.5, 1.2)


def replay(losses, warmup=0):
    """What is warned of in the course of (generator, discriminator) losses."""
    callback = WarnOfCollapse()
    callback.set_model(types.SimpleNamespace(adversarial=False))
    callback.on_train_begin()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for epoch, (gap, loss) in enumerate(losses):
            callback.model.adversarial = epoch >= warmup
            logs = {"generator_joint_loss": gap, "discriminator_loss": loss}
            callback.on_epoch_end(epoch, logs)
    return [str(each.message) for each in caught]


@pytest.mark.parametrize(
    "lost, beginning, advice",
    [
        ((14.0, 1.2), "The generator's joint loss diverges", "'auto'"),
        ((5.0, 0.05), "The discriminator has won", "use_marginal_scores"),
        ((0.1, 1.95), "The discriminator can no longer", "discriminator_steps"),
    ],
)
def test_a_lost_game_is_warned_of_once(lost, beginning, advice):
    found = replay([BALANCED, lost, lost, BALANCED, *[lost] * 9])
    assert len(found) == 1
    assert found[0].startswith(beginning) and advice in found[0]
    assert f"in epochs 5 to 7: generator_joint_loss={lost[0]:.3g}" in found[0]
    assert replay([BALANCED, lost, lost] * 4) == []


def test_a_discriminator_may_begin_to_learn():
    assert replay([(0.0, 2.0)] * 9 + [(0.1, 1.85)] * 9 + [BALANCED]) == []


def test_epochs_without_an_alternating_step_are_no_game():
    assert replay([(0.0, 0.0)] * 9) == []


def test_the_warmup_is_no_game():
    assert replay([(0.0, 0.0)] * 9 + [BALANCED] * 3, warmup=9) == []


def committed_runs():
    """Losses and warm-up of the trained GANs in results/, by file."""
    for path in sorted(RESULTS.glob("quickstart/three_ways/seed*.json")):
        content = json.loads(path.read_text())
        yield path, content["histories"]["Joint-distribution GAN"], 9
    for path in sorted(RESULTS.glob("automatic_balance/*_seed*.json")):
        yield path, json.loads(path.read_text())["history"], 9
    for path in sorted(RESULTS.glob("cifar10_small/**/history.csv")):
        rows = list(csv.DictReader(path.open()))
        history = {
            name: [float(row[name]) for row in rows]
            for name in rows[0]
            if name in ("generator_joint_loss", "discriminator_loss")
        }
        if history:
            yield path, history, 3


def test_committed_runs_that_went_wrong_are_told_from_the_others():
    found = {}
    count = 0
    for path, history, warmup in committed_runs():
        losses = zip(
            history["generator_joint_loss"],
            history["discriminator_loss"],
            strict=True,
        )
        count += 1
        warned = replay(losses, warmup)
        if warned:
            name = path.relative_to(RESULTS).as_posix()
            found[name] = [" ".join(each.split()[:3]) for each in warned]
    assert count > 30
    cells = "cifar10_small/cells"
    assert found == {
        "quickstart/three_ways/seed3.json": ["The generator's joint"],
        "automatic_balance/both_auto_seed1.json": ["The generator's joint"],
        f"{cells}/multi-label/without-marginal/seed0/history.csv": [
            "The discriminator has",
            "The generator's joint",
        ],
        f"{cells}/single-label/without-marginal/seed0/history.csv": [
            "The discriminator has",
        ],
        f"{cells}/single-label/without-decoder/seed0/history.csv": [
            "The discriminator can",
        ],
    }
