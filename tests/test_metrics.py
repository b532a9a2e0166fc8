import keras
import numpy as np
import pytest

from keras_noisyfer import metrics
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask


def concordance(labels, predictions):
    covariance = np.mean(
        (labels - labels.mean()) * (predictions - predictions.mean())
    )
    bias = (labels.mean() - predictions.mean()) ** 2
    return 2 * covariance / (labels.var() + predictions.var() + bias)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_concordance_is_that_of_the_data_set(batch_size):
    rng = np.random.default_rng(0)
    labels = rng.uniform(-1, 1, (100, 1, 2)).astype("float32")
    predictions = (labels[:, 0] * 0.6 + 0.2).astype("float32")
    predictions += rng.normal(0, 0.3, predictions.shape).astype("float32")
    labels[::5, 0, 0] = np.nan
    metric = metrics.ConcordanceCorrelation(("valence", "arousal"), "affect")
    for start in range(0, 100, batch_size):
        part = slice(start, start + batch_size)
        metric.update_state(labels[part], predictions[part])
    results = {key: float(value) for key, value in metric.result().items()}
    given = ~np.isnan(labels[:, 0, 0])
    valence = concordance(labels[given, 0, 0], predictions[given, 0])
    arousal = concordance(labels[:, 0, 1], predictions[:, 1])
    assert results["affect_valence_ccc"] == pytest.approx(valence, rel=1e-5)
    assert results["affect_arousal_ccc"] == pytest.approx(arousal, rel=1e-5)
    assert results["affect_ccc"] == pytest.approx(
        (valence + arousal) / 2, rel=1e-5
    )


def test_concordance_does_not_cancel_far_from_zero():
    rng = np.random.default_rng(0)
    labels = (1000 + rng.normal(size=(4096, 1, 1))).astype("float32")
    predictions = labels[:, 0] + rng.normal(size=(4096, 1)).astype("float32")
    metric = metrics.ConcordanceCorrelation(("x",))
    for start in range(0, 4096, 64):
        part = slice(start, start + 64)
        metric.update_state(labels[part], predictions[part])
    expected = concordance(
        labels.ravel().astype("float64"), predictions.ravel().astype("float64")
    )
    assert float(metric.result()["concordance_ccc"]) == pytest.approx(
        expected, rel=1e-3
    )


def test_concordance_needs_two_labels_and_resets():
    metric = metrics.ConcordanceCorrelation(("x",))
    assert np.isnan(float(metric.result()["concordance_ccc"]))
    metric.update_state(np.array([[[0.1]]]), np.array([[0.1]]))
    assert np.isnan(float(metric.result()["concordance_ccc"]))
    metric.reset_state()
    metric.update_state(np.array([[[0.1]], [[0.2]]]), np.array([[0.1], [0.2]]))
    assert float(metric.result()["concordance_ccc"]) == pytest.approx(1.0)
    metric.reset_state()
    assert np.isnan(float(metric.result()["concordance_ccc"]))
    again = metrics.ConcordanceCorrelation.from_config(metric.get_config())
    assert again.dimensions == ("x",)


def test_accuracy_by_hand():
    metric = metrics.Accuracy()
    probabilities = np.eye(3, dtype="float32")[[0, 1, 2, 2]]
    metric.update_state(np.array([[0], [2], [-1], [2]]), probabilities)
    assert float(metric.result()) == pytest.approx(2 / 3)
    # Several annotators: the fraction of their labels.
    metric.update_state(np.array([[0, 1]]), probabilities[:1])
    assert float(metric.result()) == pytest.approx(3 / 5)


def test_mean_squared_error_by_hand():
    metric = metrics.MeanSquaredError()
    labels = np.array([[[0.5, np.nan]], [[0.0, 1.0]]], "float32")
    metric.update_state(labels, np.array([[0.0, 3.0], [0.0, 0.0]], "float32"))
    assert float(metric.result()) == pytest.approx((0.25 + 0.0 + 1.0) / 3)


def test_names_of_a_tasks_metrics():
    names = [each.name for each in metrics.metrics_for(CategoricalTask("a", 2))]
    assert names == ["a_accuracy"]
    ccc, mse = metrics.metrics_for(ContinuousTask("b", ("x", "y")))
    assert set(ccc.result()) == {"b_x_ccc", "b_y_ccc", "b_ccc"}
    assert mse.name == "b_mse"
    assert isinstance(mse, keras.metrics.Metric)


def test_a_prediction_that_is_not_finite_is_wrong():
    metric = metrics.Accuracy()
    probabilities = np.array([[np.nan, np.nan], [0.9, 0.1]], "float32")
    metric.update_state(np.array([[0], [0]]), probabilities)
    assert float(metric.result()) == 0.5


# === Metrics of Keras ===


def test_a_metric_of_keras_counts_the_given_labels():
    task = CategoricalTask("mood", 3, annotators=2)
    given = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top_2")
    (metric,) = metrics.make_metrics([task], {"mood": given})["mood"]
    assert metric.name == "mood_top_2" and metric.mode == "max"
    assert np.isnan(float(metric.result()))
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]], "float32")
    # Hits of weight 1 and 3, and a miss of weight 1; one label is missing.
    weights = np.array([1.0, 3.0])
    metric.update_state(np.array([[1, 2], [-1, 2]]), probabilities, weights)
    assert float(metric.result()) == pytest.approx(4 / 5)
    # That of the user is not touched.
    assert float(given.result()) == 0.0
    metric.reset_state()
    metric.update_state(np.array([[-1, -1]]), probabilities[:1])
    assert np.isnan(float(metric.result()))


def test_a_metric_of_values_needs_whole_labels():
    task = ContinuousTask("affect", ("valence", "arousal"))
    made = metrics.make_metrics([task], {"affect": ["mae", "mse"]})["affect"][0]
    labels = np.array([[[0.5, -0.5]], [[np.nan, 0.0]]], "float32")
    made.update_state(labels, np.zeros((2, 2), "float32"))
    assert float(made.result()) == pytest.approx(0.5)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(made)
    )
    assert again.name == made.name and again.mode == "min"


def test_metrics_of_classes_see_what_they_read():
    """One-hot vectors, or class ids; probabilities, or logits."""
    task = CategoricalTask("mood", 2, annotators=2)

    def own(y_true, y_pred):
        predicted = keras.ops.argmax(y_pred, axis=-1)
        return keras.ops.abs(y_true - keras.ops.cast(predicted, "float32"))

    given = [
        "categorical_accuracy",
        keras.metrics.categorical_crossentropy,
        keras.metrics.F1Score(average="macro"),
        keras.metrics.SparseCategoricalCrossentropy(from_logits=True),
        own,
    ]
    labels = np.array([[0, 1], [1, -1], [1, 1]])
    probabilities = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]], "float32")
    found = []
    for metric in metrics.make_metrics([task], {"mood": given})["mood"]:
        metric.update_state(labels, probabilities)
        found.append(float(metric.result()))
    # Of the five labels 0, 1, 1, 1, 1 a 0, 0, 0, 1, 1 is predicted.
    f1 = (2 * 1 / 4 + 2 * 2 / 6) / 2
    crossentropy = -np.log([0.8, 0.2, 0.4, 0.9, 0.9]).mean()
    expected = [0.6, crossentropy, f1, crossentropy, 0.4]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_metric_must_heed_which_labels_are_missing():
    class Heedless(keras.metrics.Mean):
        def update_state(self, y_true, y_pred, sample_weight=None):
            return super().update_state(keras.ops.abs(y_true - y_pred))

    task = ContinuousTask("affect", ("valence", "arousal"))
    with pytest.raises(ValueError, match="takes no heed of `sample_weight`"):
        metrics.make_metrics([task], {"affect": Heedless()})
