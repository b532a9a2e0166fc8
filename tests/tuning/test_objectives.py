import types

import numpy as np
import pytest
import tensorflow as tf
from keras_tuner import Objective
from keras_tuner.oracles import RandomSearchOracle

from keras_noisyfer import CategoricalTask, ContinuousTask
from keras_noisyfer.tuning.objectives import (
    SelectionObjectives,
    annotator_agreement,
    make_objective,
    objective_directions,
)

TASKS = [
    CategoricalTask("expression", 3, annotators=3),
    ContinuousTask("affect", ("valence", "arousal"), annotators=2),
    CategoricalTask("pose", 2),
]
# Of two images. The first two heads agree on both, the third on the second.
HEADS = {
    "expression": np.array(
        [
            [[2.0, 1, 0], [9, 0, 0], [0, 0, 1]],
            [[0, 1, 0], [0, 3, 0], [-1, 0, -1]],
        ]
    ),
    # Beyond 1 counts as 1: distances 0, 0.5 and 0, 2.
    "affect": np.array([[[0.5, 0.0], [0.5, 0.5]], [[1.5, 1.0], [1.0, -1.0]]]),
    "pose": np.zeros((2, 1, 2)),
}


def make_model(tasks):
    """A model whose encoder knows the heads of images 0 and 1."""

    def encoder(images, training):
        assert training is False
        index = np.array(images)[:, 0].astype(int)
        return {"labels": {name: each[index] for name, each in HEADS.items()}}

    return types.SimpleNamespace(tasks=tasks, encoder=encoder)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_agreement_is_the_mean_over_pairs_images_and_tasks(batch_size):
    images = tf.data.Dataset.from_tensor_slices([[0.0], [1.0]])
    agreement = annotator_agreement(make_model(TASKS), images.batch(batch_size))
    expression = (1 + 3) / 6
    affect = 1 - (0.0 + 0.5 + 0.0 + 2.0) / 4 / 2
    assert agreement == pytest.approx((expression + affect) / 2)


def test_agreement_weighs_images_whatever_their_batch():
    images = tf.data.Dataset.from_tensor_slices([[0.0], [0.0], [1.0]])
    agreement = annotator_agreement(make_model(TASKS[:1]), images.batch(2))
    assert agreement == pytest.approx((1 / 3 + 1 / 3 + 1) / 3)


def test_logs_the_objectives():
    batches = tf.data.Dataset.from_tensors(([[0.0], [1.0]], 0))
    callback = SelectionObjectives(batches, targets=(2.0, 0.5))
    callback.set_model(make_model(TASKS[:1]))
    logs = {
        "generator_joint_loss": 1.5,
        "discriminator_loss": 0.75,
        "val_expression_loss": 1.25,
        "val_pose_loss": 0.5,
    }
    callback.on_epoch_end(0, logs)
    assert logs["val_consensus_loss"] == 1.25
    assert logs["joint_loss_distance"] == pytest.approx(0.75)
    assert logs["val_annotator_agreement"] == pytest.approx(4 / 6)
    # No pair of heads, no agreement.
    callback.set_model(make_model(TASKS[2:]))
    logs.pop("val_annotator_agreement")
    callback.on_epoch_end(0, logs)
    assert "val_annotator_agreement" not in logs


def test_objectives_have_names_and_directions():
    assert make_objective("val_consensus_loss").direction == "min"
    assert make_objective("val_annotator_agreement").direction == "max"
    assert objective_directions(TASKS) == {
        "val_consensus_loss": "min",
        "joint_loss_distance": "min",
        "val_annotator_agreement": "max",
        "val_loss": "min",
        "val_expression_loss": "min",
        "val_expression_accuracy": "max",
        "val_affect_loss": "min",
        "val_affect_valence_ccc": "max",
        "val_affect_arousal_ccc": "max",
        "val_affect_ccc": "max",
        "val_affect_mse": "min",
        "val_pose_loss": "min",
        "val_pose_accuracy": "max",
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("val_loss", [("val_loss", "min")]),
        (
            Objective("val_expression_accuracy", "max"),
            [("val_expression_accuracy", "max")],
        ),
        (
            ["val_expression_accuracy", Objective("val_affect_mse", "min")],
            [("val_expression_accuracy", "max"), ("val_affect_mse", "min")],
        ),
    ],
)
def test_takes_what_keras_tuner_takes(given, expected):
    oracle = RandomSearchOracle(make_objective(given, TASKS))
    for form in (given, oracle.objective):
        checked = np.ravel(make_objective(form, TASKS))
        assert [(each.name, each.direction) for each in checked] == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("val_accuracy", "must be one of .*val_pose_acc.* 'val_accuracy'$"),
        # Of the labels that were trained on, noise included.
        ("expression_accuracy", "held-out images, .*'expression_accuracy'$"),
        (Objective("loss", "min"), "held-out images, .* Received: 'loss'$"),
        (None, "held-out images, .* Received: None$"),
        ([], r"held-out images, .* Received: \[\]$"),
        (["val_loss", 3], "held-out images, .* Received: 3$"),
        ([["val_loss"]], r"held-out images, .* Received: \['val_loss'\]$"),
        (
            ["val_loss", "val_loss"],
            r"each name once. Received: \['val_loss', 'val_loss'\]$",
        ),
        (
            Objective("val_affect_ccc", "min"),
            "direction 'max' for 'val_affect_ccc'. Received: 'min'$",
        ),
    ],
)
def test_refuses_other_objectives(given, message):
    with pytest.raises(ValueError, match=f"^`objective` .*{message}"):
        make_objective(given, TASKS)
