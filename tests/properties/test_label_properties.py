"""What holds for the labels of any tasks, on their way into a batch and out
of the networks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_strategies import (
    array,
    batches,
    categorical_tasks,
    continuous_tasks,
    generators,
    labels_of,
    task_lists,
)

from keras_noisyfer import make_dataset
from keras_noisyfer.labels import (
    consensus,
    invert_consensus,
    label_streams,
    standardize_labels,
)
from keras_noisyfer.tasks import CategoricalTask

ANY_TASK = st.one_of(categorical_tasks(), continuous_tasks())


@settings(max_examples=40)
@given(task_lists(), st.data())
def test_standardized_labels_are_the_given_ones(tasks, data):
    count = data.draw(st.integers(1, 6))
    labels = {task.name: data.draw(labels_of(task, count))[0] for task in tasks}
    # With one annotator the axis may be left out.
    given = {
        task.name: labels[task.name][:, 0]
        if task.annotators == 1
        else labels[task.name]
        for task in tasks
    }
    for each in (labels, given):
        for name, values in standardize_labels(tasks, each).items():
            np.testing.assert_array_equal(array(values), labels[name])
    streams = label_streams(tasks)
    assert len({each.name for each in streams}) == len(streams)
    assert len(streams) == sum(task.annotators for task in tasks)


@settings(max_examples=40)
@given(batches(ANY_TASK))
def test_encoded_labels_can_be_read_back(batch):
    task, labels, missing, _ = batch
    encoded = array(task.encode(labels))
    assert encoded.shape == (len(labels), task.annotators, task.num_outputs)
    assert np.isfinite(encoded).all()
    np.testing.assert_array_equal(task.missing(labels), missing)
    task.check_values(labels)
    if isinstance(task, CategoricalTask):
        np.testing.assert_array_equal(encoded.sum(-1), ~missing)
        read = np.where(missing, -1, encoded.argmax(-1))
    else:
        read = np.where(missing, np.nan, encoded)
    np.testing.assert_array_equal(read, labels)


@settings(max_examples=40)
@given(batches(ANY_TASK), generators())
def test_a_wrong_value_is_named_with_its_place(batch, rng):
    task, labels, _, _ = batch
    wrong = labels.copy()
    index = tuple(rng.integers(each) for each in labels.shape)
    wrong[index] = (
        task.num_classes
        if isinstance(task, CategoricalTask)
        else rng.choice([1.001, -7.0, np.inf, -np.inf])
    )
    place = ", ".join(str(int(each)) for each in index)
    with pytest.raises(ValueError) as error:
        task.check_values(wrong)
    assert f"index ({place}" in str(error.value)
    assert task.name in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@settings(max_examples=40)
@given(batches(ANY_TASK), generators())
def test_the_consensus_is_a_label(batch, rng):
    task, labels, _, outputs = batch
    images = rng.permutation(len(labels))
    annotators = rng.permutation(task.annotators)
    for method in ("mean", "first"):
        prediction = array(consensus(task, outputs, method))
        assert prediction.shape == (len(labels), task.num_outputs)
        assert np.isfinite(prediction).all()
        if isinstance(task, CategoricalTask):
            assert (prediction >= 0).all()
            np.testing.assert_allclose(prediction.sum(-1), 1, rtol=1e-5)
        else:
            assert (np.abs(prediction) <= 1).all()
        moved = array(consensus(task, outputs[images], method))
        # Up to the rounding of a row's place among vector instructions.
        np.testing.assert_allclose(moved, prediction[images], rtol=1e-6)
    np.testing.assert_allclose(
        array(consensus(task, outputs[:, annotators])),
        array(consensus(task, outputs)),
        rtol=1e-5,
        atol=1e-6,
    )


@settings(max_examples=40)
@given(batches(ANY_TASK))
def test_an_inverted_consensus_is_that_consensus(batch):
    task, _, _, outputs = batch
    prediction = array(consensus(task, outputs))
    inverted = invert_consensus(task, prediction, task.annotators)
    assert array(inverted).shape == outputs.shape
    np.testing.assert_allclose(
        array(consensus(task, inverted)), prediction, rtol=1e-4, atol=1e-6
    )


@pytest.mark.filterwarnings("ignore:(Annotators of t|T)ask .* label")
@settings(max_examples=15)
@given(task_lists(), st.integers(2, 7), st.integers(2, 9), st.data())
def test_batches_hold_each_image_with_its_labels(tasks, count, size, data):
    labels = {task.name: data.draw(labels_of(task, count))[0] for task in tasks}
    # Each image tells its number.
    images = np.broadcast_to(
        np.arange(count, dtype="uint8")[:, None, None, None], (count, 4, 4, 1)
    )
    for training in (False, True):
        dataset = make_dataset(images, labels, tasks, size, training)
        seen = []
        for batch, parts in dataset.as_numpy_iterator():
            assert batch.dtype == np.float32 and np.abs(batch).max() <= 1
            numbers = np.round((batch[:, 0, 0, 0] + 1) * 127.5).astype(int)
            seen += numbers.tolist()
            for name, part in parts.items():
                np.testing.assert_array_equal(part, labels[name][numbers])
        if training and count >= size:
            assert len(seen) == count // size * size
        else:
            assert len(seen) == count
        assert len(set(seen)) == len(seen)
        assert training or seen == sorted(seen)
