import keras
import numpy as np
import pytest
from keras import ops

from keras_noisyfer.batches import Batch, label_tuples
from keras_noisyfer.mixup import Mixup, check_mixup
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

TASKS = (
    CategoricalTask("expression", 3, annotators=2),
    ContinuousTask("affect", ("valence",), annotators=2),
)
SHARE = 0.75


class FixedMixup(Mixup):
    """Mixes 3 : 1 with the next image."""

    def draw(self, batch_size):
        return ops.convert_to_tensor(SHARE), ops.roll(ops.arange(4), -1)


def make_batch(weights=None):
    labels = {
        "expression": np.array([[0, 1], [2, -1], [1, 1], [0, 2]], "int32"),
        "affect": np.array(
            [[0.1, 0.2], [-0.4, np.nan], [0.8, 0.3], [0.0, 0.5]], "float32"
        )[..., None],
    }
    images = np.arange(4, dtype="float32").reshape(4, 1, 1, 1) / 4
    if weights is not None:
        weights = {task.name: ops.convert_to_tensor(weights) for task in TASKS}
    labels = {n: ops.convert_to_tensor(each) for n, each in labels.items()}
    return Batch(ops.convert_to_tensor(images), labels, weights)


def test_images_and_values_are_mixed_and_classes_kept():
    mixed = FixedMixup()(make_batch(), TASKS)
    np.testing.assert_allclose(
        np.ravel(mixed.images), [0.0625, 0.3125, 0.5625, 0.5625]
    )
    np.testing.assert_allclose(
        mixed.labels["affect"][..., 0],
        # Missing where one of both is.
        [[-0.025, np.nan], [-0.1, np.nan], [0.6, 0.35], [0.025, 0.425]],
        atol=1e-7,
    )
    (_, own, _), (share, others, _) = mixed.parts
    assert float(share) == 0.25
    np.testing.assert_array_equal(
        own["expression"], make_batch().labels["expression"]
    )
    np.testing.assert_array_equal(
        others["expression"], [[2, -1], [1, 1], [0, 2], [0, 1]]
    )
    np.testing.assert_array_equal(own["affect"], others["affect"])


def test_networks_see_mixed_labels():
    """As one-hot vectors mixed by hand; their own prediction where one of
    both labels is missing."""
    mixed = FixedMixup()(make_batch(), TASKS)
    raw = {
        "expression": np.full((4, 2, 3), 7.0, "float32"),
        "affect": np.full((4, 2, 1), 0.7, "float32"),
    }
    _, noisy, decoder_labels = label_tuples(TASKS, mixed, raw)
    prediction, uniform = [7.0] * 3, [1 / 3] * 3
    for found, missing in ((noisy, prediction), (decoder_labels, uniform)):
        np.testing.assert_allclose(
            found["expression"],
            [
                [[0.75, 0, 0.25], missing],
                [[0, 0.25, 0.75], missing],
                [[0.25, 0.75, 0], [0, 0.75, 0.25]],
                [[1, 0, 0], [0, 0.25, 0.75]],
            ],
            rtol=1e-6,
        )
    np.testing.assert_allclose(
        noisy["affect"][..., 0],
        [[-0.025, 0.7], [-0.1, 0.7], [0.6, 0.35], [0.025, 0.425]],
        atol=1e-7,
    )


def test_a_loss_is_that_of_both_labels():
    weights = np.array([1.0, 2.0, 0.0, 0.5], "float32")
    mixed = FixedMixup()(make_batch(weights), TASKS)
    np.testing.assert_allclose(mixed.image_weights, [1.25, 1.5, 0.125, 0.625])
    # The third image weighs nothing: neither its values nor mixtures of them.
    missing = np.isnan(mixed.labels["affect"][..., 0])
    np.testing.assert_array_equal(missing.all(axis=1), [0, 1, 1, 0])
    assert float(mixed.weight) == 3.5
    for both in (
        mixed.weigh(
            lambda labels, weights: ops.sum(
                ops.cast(labels["expression"], "float32")
                * weights["expression"][:, None]
            )
        ),
        # The same structure comes back.
        mixed.weigh(
            lambda labels, weights: {
                "a": ops.sum(
                    ops.cast(labels["expression"], "float32")
                    * weights["expression"][:, None]
                )
            }
        )["a"],
    ):
        # A permutation of rows has the same sum.
        assert float(both) == pytest.approx(1 + 2 * 1 + 0.5 * 2)


def test_ratios_favour_the_image_itself_and_partners_are_all_of_the_batch():
    mixup = Mixup(0.4, seed=3)
    ratios, partners = zip(*(mixup.draw(8) for _ in range(200)), strict=True)
    ratios = np.array(ratios)
    assert ratios.min() >= 0.5 and ratios.max() <= 1
    # E max(r, 1 - r) of Beta(0.4, 0.4), by its density.
    grid = np.linspace(1e-7, 1 - 1e-7, 2_000_001)
    density = (grid * (1 - grid)) ** -0.6
    expected = np.sum(np.maximum(grid, 1 - grid) * density) / np.sum(density)
    assert ratios.mean() == pytest.approx(expected, abs=0.02)
    assert all(sorted(np.array(each)) == list(range(8)) for each in partners)
    assert len({tuple(np.array(each)) for each in partners}) > 190
    again = Mixup(0.4, seed=3)
    np.testing.assert_array_equal(again.draw(8)[0], ratios[0])


def test_is_made_again_from_its_config():
    with pytest.raises(ValueError, match="`alpha` must be .*Received: 0$"):
        Mixup(0)
    used = Mixup()
    check_mixup(used, [])
    with pytest.raises(ValueError, match="`mixup` must be a new one"):
        check_mixup(used, [])
    mixup = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(Mixup(0.3, seed=2))
    )
    assert (mixup.alpha, mixup.seed) == (0.3, 2)
