"""What holds for every loss, whatever the labels and outputs."""

import keras
import numpy as np
import pytest
from gradients import differentiate
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from label_strategies import (
    array,
    batches,
    categorical_tasks,
    continuous_tasks,
    generators,
    losses_of,
)

from keras_noisyfer.losses import (
    discriminator_hinge_loss,
    generator_hinge_loss,
)
from keras_noisyfer.tasks import CategoricalTask

ANY_TASK = st.one_of(categorical_tasks(), continuous_tasks())
# A float32 sum in another order, of terms as large as the largest.
TOLERANCE = {"rtol": 2e-4, "atol": 2e-5}


def streams(loss, labels, outputs):
    return array(loss.call(labels, keras.ops.convert_to_tensor(outputs)))


@settings(max_examples=25)
@given(batches(ANY_TASK))
def test_losses_are_finite_and_one_a_stream(batch):
    task, labels, missing, outputs = batch
    for name, loss in losses_of(task).items():
        values = streams(loss, labels, outputs)
        assert values.shape == (task.annotators,), name
        assert np.isfinite(values).all() and (values >= -1e-5).all(), name
        if name.startswith("concordance"):
            assert (values <= 2 + 1e-5).all()
        silent = missing.reshape(len(labels), task.annotators, -1)
        assert (values[silent.all(axis=(0, 2))] == 0).all(), name


@settings(max_examples=25)
@given(batches(ANY_TASK), generators())
def test_the_order_of_images_and_of_annotators_does_not_matter(batch, rng):
    task, labels, _, outputs = batch
    images = rng.permutation(len(labels))
    annotators = rng.permutation(task.annotators)
    for name, loss in losses_of(task).items():
        values = streams(loss, labels, outputs)
        moved = streams(loss, labels[images], outputs[images])
        np.testing.assert_allclose(moved, values, **TOLERANCE, err_msg=name)
        moved = streams(loss, labels[:, annotators], outputs[:, annotators])
        # Up to the rounding of a row's place among vector instructions.
        np.testing.assert_allclose(
            moved, values[annotators], rtol=1e-6, atol=1e-7, err_msg=name
        )


@settings(max_examples=20)
@given(batches(ANY_TASK, scales=(0.0, 1e-3, 1.0, 30.0)), generators())
def test_what_is_predicted_for_a_missing_label_has_no_part(batch, rng):
    task, labels, missing, outputs = batch
    # Of a missing class all scores count for nothing.
    hidden = np.broadcast_to(
        missing.reshape(*missing.shape[:2], -1), outputs.shape
    )
    others = np.where(hidden, 100 * rng.normal(size=outputs.shape), outputs)
    for name, loss in losses_of(task).items():
        results = [
            differentiate(lambda x, loss=loss: (loss(labels, x), None), [each])
            for each in (outputs, others)
        ]
        (((value, _), (gradient,), _), ((other, _), (moved,), _)) = results
        np.testing.assert_array_equal(array(value), array(other), err_msg=name)
        gradient, moved = array(gradient), array(moved)
        assert np.isfinite(gradient).all(), name
        assert (gradient[hidden] == 0).all(), name
        np.testing.assert_array_equal(gradient, moved, err_msg=name)


@settings(max_examples=20)
@given(batches(categorical_tasks()), generators())
def test_a_missing_image_is_as_good_as_none(batch, rng):
    """A batch's losses are those of it without the images that nobody
    labelled."""
    task, labels, missing, outputs = batch
    labels = labels.copy()
    labels[rng.integers(len(labels))] = -1
    kept = (labels >= 0).any(axis=1)
    assume(kept.any())
    for name, loss in losses_of(task).items():
        np.testing.assert_allclose(
            streams(loss, labels, outputs),
            streams(loss, labels[kept], outputs[kept]),
            **TOLERANCE,
            err_msg=name,
        )


@settings(max_examples=20)
@given(batches(ANY_TASK))
def test_the_best_prediction_has_no_loss(batch):
    task, labels, missing, _ = batch
    present = task.present(labels)
    if isinstance(task, CategoricalTask):
        outputs = 200 * array(task.encode(labels))
    else:
        outputs = array(task.encode(labels))
        # Constant labels have no correlation with anything.
        spread = np.nanmax(np.where(missing, -9, labels), axis=0)
        spread = spread - np.nanmin(np.where(missing, 9, labels), axis=0)
        assume((spread > 0.1).all())
    assert array(present).shape[:2] == labels.shape[:2]
    for name, loss in losses_of(task).items():
        # The released variances are not of the population: it is above 0.
        if name != "concordance":
            values = streams(loss, labels, outputs)
            assert values == pytest.approx(0, abs=1e-4), name


@settings(max_examples=20)
@given(
    st.integers(1, 9),
    st.integers(1, 6),
    st.sampled_from([0, 1, 1e4]),
    generators(),
)
def test_hinge_losses(count, scores, scale, rng):
    encoder, decoder = scale * rng.normal(size=(2, count, scores))
    weights = rng.uniform(0.1, 1, scores)
    weights /= weights.sum()
    order = rng.permutation(count)
    for loss in (discriminator_hinge_loss, generator_hinge_loss):
        value = array(loss(encoder, decoder, weights))
        assert value.shape == () and np.isfinite(value)
        moved = loss(encoder[order], decoder[order[::-1]], weights)
        np.testing.assert_allclose(array(moved), value, rtol=1e-6, atol=1e-6)
        equal = np.full(scores, 1 / scores)
        np.testing.assert_allclose(
            array(loss(encoder, decoder, equal)),
            array(loss(encoder, decoder)),
            rtol=1e-5,
            atol=1e-6,
        )
    assert array(discriminator_hinge_loss(encoder, decoder)) >= 0
