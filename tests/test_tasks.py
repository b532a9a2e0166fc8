import json

import keras
import numpy as np
import pytest

from keras_noisyfer.labels import consensus, label_streams, standardize_labels
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask, check_tasks

EXPRESSION = CategoricalTask("expression", 3, annotators=2)
AFFECT = ContinuousTask("affect", ("valence", "arousal"), annotators=2)


@pytest.mark.parametrize(
    ("tasks", "streams"),
    [
        (
            [CategoricalTask("object", 10, annotators=3)],
            [("object_0", 10), ("object_1", 10), ("object_2", 10)],
        ),
        (
            [
                CategoricalTask("expression", 7),
                ContinuousTask("affect", ("valence", "arousal")),
            ],
            [("expression_0", 7), ("affect_0", 2)],
        ),
        ([ContinuousTask("pain", ("level",))], [("pain_0", 1)]),
    ],
)
def test_streams_of_the_papers_cases(tasks, streams):
    assert [(s.name, s.num_outputs) for s in label_streams(tasks)] == streams


def test_round_trip_through_config():
    task = CategoricalTask("expression", class_names=("sad", "happy"))
    assert task.num_classes == 2
    config = keras.saving.serialize_keras_object([task, AFFECT])
    assert keras.saving.deserialize_keras_object(config) == [task, AFFECT]
    assert task.with_annotators(3).annotators == 3
    assert task.with_annotators(3) != task


def test_categorical_encoding():
    labels = EXPRESSION.standardize(np.array([[0, 2], [-1, 1]]))
    np.testing.assert_array_equal(
        EXPRESSION.encode(labels),
        [[[1, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 1, 0]]],
    )
    np.testing.assert_array_equal(
        EXPRESSION.present(labels)[..., 0], [[True, True], [False, True]]
    )


def test_continuous_encoding_is_missing_by_dimension():
    values = np.array([[[0.5, np.nan], [-1.0, 1.0]]], "float32")
    labels = AFFECT.standardize(values)
    np.testing.assert_array_equal(
        AFFECT.encode(labels), [[[0.5, 0.0], [-1.0, 1.0]]]
    )
    np.testing.assert_array_equal(
        AFFECT.present(labels), [[[True, False], [True, True]]]
    )


def test_labels_without_annotator_axis():
    one = EXPRESSION.with_annotators(1)
    assert one.standardize(np.array([0, 1])).shape == (2, 1)
    values = np.zeros((4, 2), "float32")
    assert AFFECT.with_annotators(1).standardize(values).shape == (4, 1, 2)


def test_consensus():
    # Softmax of log p is p.
    logits = np.log([[[0.2, 0.3, 0.5], [0.6, 0.2, 0.2]]]).astype("float32")
    np.testing.assert_allclose(
        consensus(EXPRESSION, logits), [[0.4, 0.25, 0.35]], rtol=1e-6
    )
    np.testing.assert_allclose(
        consensus(EXPRESSION, logits, "first"), [[0.2, 0.3, 0.5]], rtol=1e-6
    )
    values = np.array([[[3.0, 0.2], [0.0, -0.4]]], "float32")
    np.testing.assert_allclose(
        consensus(AFFECT, values), [[0.5, -0.1]], rtol=1e-6
    )
    with pytest.raises(ValueError, match="`consensus` must be"):
        consensus(AFFECT, values, "median")


def test_numbers_may_be_those_of_numpy():
    ids = np.array([[0, 3], [2, 1]], "uint8")
    given = CategoricalTask("a", ids.max() + 1, annotators=np.int64(2))
    assert given == CategoricalTask("a", 4, annotators=2)
    assert json.dumps(given.get_config())
    assert len(label_streams([given])) == 2


def test_rejects_task_arguments():
    with pytest.raises(ValueError, match="`name`.*Received: 'two words'"):
        CategoricalTask("two words", 2)
    for name in ("image", "val", "val_expression"):
        with pytest.raises(ValueError, match=f"must not be one of.*'{name}'"):
            CategoricalTask(name, 2)
    with pytest.raises(ValueError, match="`dimensions`.*Received: 2"):
        ContinuousTask("a", 2)
    with pytest.raises(ValueError, match="`num_classes of task 'a'`"):
        CategoricalTask("a", 1)
    with pytest.raises(ValueError, match="`annotators of task 'a'`"):
        CategoricalTask("a", 2, annotators=0)
    with pytest.raises(ValueError, match="`class_names` of task 'a'"):
        CategoricalTask("a", 3, class_names=("x", "y"))
    for names in ({"x", "y"}, "xy", {"x": 0, "y": 1}):
        with pytest.raises(ValueError, match="in the order of the class ids"):
            CategoricalTask("a", class_names=names)
    for number in (True, 2.0, "2", np.float32(2)):
        with pytest.raises(ValueError, match="an integer. Received"):
            CategoricalTask("a", number)
        with pytest.raises(ValueError, match="an integer. Received"):
            ContinuousTask("a", ("x",), annotators=number)
    with pytest.raises(ValueError, match="`dimensions` of task 'a'"):
        ContinuousTask("a", "valence")
    with pytest.raises(ValueError, match="different names"):
        check_tasks([EXPRESSION, EXPRESSION])
    with pytest.raises(ValueError, match="none of them <task>_<dimension>"):
        check_tasks([AFFECT, ContinuousTask("affect_valence", ("pain",))])
    # Two entries of a row of predictions.
    moods = CategoricalTask("mood", class_names=("happy", "sad_now"))
    with pytest.raises(ValueError, match="or <task>_<class> of another"):
        check_tasks(
            [moods, CategoricalTask("mood_sad", class_names=("now", "x"))]
        )
    with pytest.raises(ValueError, match="`tasks` must hold"):
        check_tasks(["expression"])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 2], "`labels` must be a dict"),
        ({"expression": np.zeros((2, 2), int)}, "exactly the keys"),
        ({"mood": np.zeros((2, 2), int)}, "Received: keys="),
    ],
)
def test_rejects_label_dicts(labels, message):
    with pytest.raises(ValueError, match=message):
        standardize_labels([EXPRESSION, AFFECT], labels)


def test_rejects_label_shapes_and_dtypes():
    def check(task, labels, evaluation=False):
        return standardize_labels([task], {task.name: labels}, evaluation)

    with pytest.raises(ValueError, match="must be integers.*float32"):
        check(EXPRESSION, np.zeros((2, 2), "float32"))
    with pytest.raises(ValueError, match="must be floating point.*int"):
        check(AFFECT, np.zeros((2, 2, 2), int))
    with pytest.raises(ValueError, match=r"it has 2 annotator\(s\).*\(2, 3\)"):
        check(EXPRESSION, np.zeros((2, 3), int))
    with pytest.raises(ValueError, match=r"it has 2 annot.*\(2,\)"):
        check(EXPRESSION, np.zeros((2,), int))
    with pytest.raises(ValueError, match=r"shape=\(2, 2, 3\)"):
        check(AFFECT, np.zeros((2, 2, 3), "float32"))
    with pytest.raises(ValueError, match=r"shape=\(2, 2, 2\)"):
        check(EXPRESSION, np.zeros((2, 2, 2), int))
    assert check(EXPRESSION, np.zeros((2,), int), evaluation=True)


def test_checks_values():
    EXPRESSION.check_values(np.array([[0, -1], [2, 1]]))
    AFFECT.check_values(np.array([[[1.0, np.nan]]]))
    with pytest.raises(ValueError, match=r"Received: 3 at index \(1, 0\)"):
        EXPRESSION.check_values(np.array([[0, -1], [3, 1]]))
    with pytest.raises(ValueError, match="'expression'.*Received: -2"):
        EXPRESSION.check_values(np.array([-2]))
    with pytest.raises(ValueError, match="'affect'.*Received: inf"):
        AFFECT.check_values(np.array([[0.0, np.inf]]))
    with pytest.raises(ValueError, match="Received: nan at"):
        AFFECT.check_values(np.array([[0.0, np.nan]]), allow_missing=False)
