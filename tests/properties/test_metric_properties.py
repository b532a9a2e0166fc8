"""What holds for the metrics: the batches do not matter, nor the order."""

import keras
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from label_strategies import (
    array,
    categorical_tasks,
    continuous_tasks,
    generators,
    labels_of,
    outputs_of,
)

from keras_noisyfer.labels import consensus
from keras_noisyfer.metrics import metrics_for
from keras_noisyfer.tasks import CategoricalTask

ANY_TASK = st.one_of(categorical_tasks(), continuous_tasks())


@st.composite
def evaluations(draw):
    """A task, its labels, predictions, and where their batches end."""
    task = draw(ANY_TASK)
    count = draw(st.integers(1, 20))
    labels, missing = draw(labels_of(task, count))
    outputs = draw(outputs_of(task, count, (0.0, 1e-3, 1.0)))
    ends = draw(st.sets(st.integers(1, count), max_size=4))
    return task, labels, missing, array(consensus(task, outputs)), sorted(ends)


def results(task, labels, predictions, ends=()):
    """All of a task's metrics, by name, streamed batch by batch."""
    found = {}
    for metric in metrics_for(task):
        for part in zip(
            np.split(labels, ends), np.split(predictions, ends), strict=True
        ):
            if len(part[0]):
                metric.update_state(*part)
        result = metric.result()
        if not isinstance(result, dict):
            result = {metric.name: result}
        found.update({name: float(each) for name, each in result.items()})
    return found


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_allclose(
            second[name], value, rtol=1e-4, atol=1e-5, err_msg=name
        )


@settings(max_examples=20)
@given(evaluations(), generators())
def test_neither_batches_nor_order_matter(evaluation, rng):
    task, labels, _, predictions, ends = evaluation
    whole = results(task, labels, predictions)
    assert_equal(whole, results(task, labels, predictions, ends))
    images = rng.permutation(len(labels))
    annotators = rng.permutation(task.annotators)
    moved = labels[images][:, annotators]
    assert_equal(whole, results(task, moved, predictions[images], ends))


@settings(max_examples=20)
@given(evaluations())
def test_metrics_are_what_numpy_says(evaluation):
    task, labels, missing, predictions, ends = evaluation
    streamed = results(task, labels, predictions, ends)
    if isinstance(task, CategoricalTask):
        right = predictions.argmax(-1)[:, None] == labels
        expected = right[~missing].mean() if (~missing).any() else np.nan
        assert_equal({f"{task.name}_accuracy": expected}, streamed)
        return
    labels = labels.astype("float64")
    errors = ((labels - predictions[:, None]) ** 2)[~missing]
    expected = {f"{task.name}_mse": errors.mean() if errors.size else np.nan}
    for index, dimension in enumerate(task.dimensions):
        there = ~missing[..., index]
        given_labels = labels[..., index][there]
        shape = (1, task.annotators)
        predicted = np.tile(predictions[:, index, None], shape)[there]
        expected[f"{task.name}_{dimension}_ccc"] = ccc(
            given_labels, predicted.astype("float64")
        )
    names = [f"{task.name}_{each}_ccc" for each in task.dimensions]
    expected[f"{task.name}_ccc"] = np.mean([expected[n] for n in names])
    # What is left of equal values by rounding has some correlation.
    spread = np.nanstd(predictions, axis=0).min()
    if spread > 1e-3 or not spread:
        assert_equal(expected, {name: streamed[name] for name in expected})


def ccc(labels, predictions):
    if len(labels) < 2:
        return np.nan
    covariance = np.mean(
        (labels - labels.mean()) * (predictions - predictions.mean())
    )
    shift = (labels.mean() - predictions.mean()) ** 2
    divisor = labels.var() + predictions.var() + shift
    return 2 * covariance / divisor if divisor else 0.0


@settings(max_examples=20)
@given(evaluations(), generators())
def test_predictions_without_a_label_do_not_count(evaluation, rng):
    task, labels, missing, predictions, _ = evaluation
    unlabelled = missing.reshape(len(labels), -1).all(axis=1)
    others = predictions.copy()
    others[unlabelled] = rng.uniform(0, 1, others.shape)[unlabelled]
    assert_equal(
        results(task, labels, predictions), results(task, labels, others)
    )


@settings(max_examples=20)
@given(evaluations())
def test_reset_metrics_are_new_ones(evaluation):
    task, labels, _, predictions, _ = evaluation
    for metric in metrics_for(task):
        metric.update_state(labels, predictions)
        first = keras.tree.flatten(metric.result())
        metric.reset_state()
        metric.update_state(labels, predictions)
        second = keras.tree.flatten(metric.result())
        np.testing.assert_array_equal(array(first), array(second))
