import keras
import numpy as np
import pytest
from common import assert_relative
from gradients import differentiate
from keras import ops

from keras_noisyfer import losses
from keras_noisyfer.labels import weigh_labels
from keras_noisyfer.losses.by_task import make_losses
from keras_noisyfer.losses.streams import StreamLoss, stream_mean
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask


def gradient(function, inputs):
    (value, _), (slope,), _ = differentiate(
        lambda x: (ops.sum(function(x)), None), [inputs]
    )
    return np.array(value), np.array(slope)


def test_crossentropy_matches_release(golden):
    numbers = golden("losses")
    labels = numbers["cross_entropy/label"][:, None]
    value, slope = gradient(
        lambda x: losses.sparse_categorical_crossentropy(labels, x),
        numbers["cross_entropy/logits"][:, None],
    )
    assert_relative(value, numbers["cross_entropy/loss"])
    assert_relative(slope[:, 0], numbers["cross_entropy/grad"])


def test_concordance_matches_release(golden):
    numbers = golden("losses")
    labels = numbers["ccc/label"][:, None]
    value, slope = gradient(
        lambda x: losses.concordance_loss(labels, x),
        numbers["ccc/pred"][:, None],
    )
    assert_relative(value, numbers["ccc/loss"])
    assert_relative(slope[:, 0], numbers["ccc/grad_pred"])


def test_hinge_matches_release(golden):
    numbers = golden("losses")
    scores = numbers["hinge/score_encoder"], numbers["hinge/score_decoder"]
    assert_relative(
        losses.discriminator_hinge_loss(*scores),
        numbers["hinge/discriminator_loss"],
    )
    assert_relative(
        losses.generator_hinge_loss(*scores), numbers["hinge/generator_loss"]
    )


def test_hinge_by_hand_with_weights():
    encoder = np.array([[2.0, 0.5]], "float32")
    decoder = np.array([[-3.0, 0.5]], "float32")
    weights = np.array([0.75, 0.25], "float32")
    # relu(1 - s): 0, 0.5; relu(1 + s): 0, 1.5.
    loss = losses.discriminator_hinge_loss(encoder, decoder)
    np.testing.assert_allclose(loss, 0.25 + 0.75)
    loss = losses.discriminator_hinge_loss(encoder, decoder, weights)
    np.testing.assert_allclose(loss, 0.125 + 0.375)
    loss = losses.generator_hinge_loss(encoder, decoder, weights)
    np.testing.assert_allclose(loss, 0.75 * 5.0)


def test_population_variance_is_the_definition():
    rng = np.random.default_rng(0)
    labels, predictions = rng.uniform(-1, 1, (2, 9, 1, 1)).astype("float32")
    p, q = predictions.ravel(), labels.ravel()
    covariance = np.mean((p - p.mean()) * (q - q.mean()))
    bias = (p.mean() - q.mean()) ** 2
    population = 2 * covariance / (p.var() + q.var() + bias)
    released = 2 * covariance / (p.var(ddof=1) + q.var(ddof=1) + bias)
    np.testing.assert_allclose(
        losses.concordance_loss(labels, predictions, "population"),
        [1 - population],
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        losses.concordance_loss(labels, predictions), [1 - released], rtol=1e-5
    )


def test_concordance_by_hand_and_degenerate_batches():
    values = np.array([0.1, -0.4, 0.6], "float32").reshape(3, 1, 1)
    np.testing.assert_allclose(
        losses.concordance_loss(values, values, "population"), [0], atol=1e-5
    )
    # Constant labels, constant predictions, both: finite, gradient too.
    for labels, predictions in (
        (np.zeros_like(values), values),
        (values, np.zeros_like(values)),
        (np.zeros_like(values), np.zeros_like(values)),
    ):
        value, slope = gradient(
            lambda x, labels=labels: losses.concordance_loss(labels, x),
            predictions,
        )
        assert np.isfinite(value) and np.isfinite(slope).all()
        assert value == pytest.approx(1.0)


STREAM_LOSSES = [
    (losses.sparse_categorical_crossentropy, "classes"),
    (losses.sparse_symmetric_crossentropy, "classes"),
    (losses.sparse_generalized_crossentropy, "classes"),
    (losses.concordance_loss, "values"),
    (losses.mean_squared_error, "values"),
]


@pytest.mark.parametrize(("loss", "kind"), STREAM_LOSSES)
def test_missing_labels_have_no_part(loss, kind):
    rng = np.random.default_rng(0)
    predictions = rng.normal(size=(6, 2, 3)).astype("float32")
    if kind == "classes":
        labels = rng.integers(0, 3, (6, 2))
        missing = -1
    else:
        labels = rng.uniform(-1, 1, (6, 2, 3)).astype("float32")
        missing = np.nan
    masked = labels.copy()
    masked[4:, 0] = missing
    value, slope = gradient(lambda x: loss(masked, x), predictions)
    assert np.all(slope[4:, 0] == 0.0) and np.all(slope[:, 1] != 0.0)
    # As if the first stream had four elements only.
    expected = (
        loss(labels[:4, :1], predictions[:4, :1])[0]
        + loss(labels[:, 1:], predictions[:, 1:])[0]
    )
    np.testing.assert_allclose(value, expected, rtol=1e-5)

    nothing = np.full_like(labels, missing)
    value, slope = gradient(lambda x: loss(nothing, x), predictions)
    assert value == 0.0 and np.all(slope == 0.0)


def test_symmetric_crossentropy_by_hand():
    logits = np.log([[[0.7, 0.2, 0.1]], [[0.1, 0.3, 0.6]]]).astype("float32")
    labels = np.array([[0], [1]])
    crossentropy = -(np.log(0.7) + np.log(0.3)) / 2
    reverse = 4.0 * (0.3 + 0.7) / 2
    np.testing.assert_allclose(
        losses.sparse_symmetric_crossentropy(
            labels, logits, alpha=0.5, beta=2.0
        ),
        [0.5 * crossentropy + 2.0 * reverse],
        rtol=1e-5,
    )


def test_symmetric_crossentropy_is_both_entropies_by_definition():
    # alpha CE + beta RCE of Wang et al. 2019, log 0 := A = -4.
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    target = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    crossentropy = -np.sum(target * np.log(p), axis=1)
    log_target = np.where(target > 0, 0.0, -4.0)
    reverse = -np.sum(p * log_target, axis=1)
    np.testing.assert_allclose(
        losses.sparse_symmetric_crossentropy(
            np.array([[0], [1]]), np.log(p[:, None]).astype("float32")
        ),
        [np.mean(0.1 * crossentropy + 1.0 * reverse)],
        rtol=1e-5,
    )


def test_generalized_crossentropy_by_hand():
    logits = np.log([[[0.7, 0.2, 0.1]], [[0.1, 0.25, 0.65]], [[0.2, 0.3, 0.5]]])
    logits = logits.astype("float32")
    labels = np.array([[0], [1], [-1]])

    def loss(q):
        return losses.sparse_generalized_crossentropy(labels, logits, q)

    # sqrt 0.25 = 0.5.
    expected = ((1 - np.sqrt(0.7)) / 0.5 + (1 - 0.5) / 0.5) / 2
    np.testing.assert_allclose(loss(0.5), [expected], rtol=1e-5)
    # 0.7^0.7 = exp(0.7 ln 0.7) = 0.779056, 0.25^0.7 = 0.378929.
    expected = (0.220944 / 0.7 + 0.621071 / 0.7) / 2
    np.testing.assert_allclose(
        losses.sparse_generalized_crossentropy(labels, logits),
        [expected],
        rtol=1e-4,
    )
    # Both limits: the mean absolute error, halved, and the cross entropy.
    np.testing.assert_allclose(loss(1.0), [(0.3 + 0.75) / 2], rtol=1e-5)
    np.testing.assert_allclose(
        loss(1e-3),
        losses.sparse_categorical_crossentropy(labels, logits),
        rtol=2e-3,
    )
    # The class sums the streams.
    np.testing.assert_allclose(
        losses.SparseGeneralizedCrossentropy(q=1.0)(
            np.tile(labels, 2), np.tile(logits, (1, 2, 1))
        ),
        0.3 + 0.75,
        rtol=1e-5,
    )


def test_generalized_crossentropy_where_a_probability_vanishes():
    logits = np.array([[[0.0, 300.0]]], "float32")
    value, slope = gradient(
        lambda x: losses.sparse_generalized_crossentropy(np.array([[0]]), x),
        logits,
    )
    assert value == pytest.approx(1 / 0.7, rel=1e-4)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("q", [0, -0.1, 1.5, "0.7"])
def test_generalized_crossentropy_checks_q(q):
    with pytest.raises(ValueError, match="`q` must be .*Received"):
        losses.SparseGeneralizedCrossentropy(q)


def test_classes_check_their_arguments():
    with pytest.raises(ValueError, match="`alpha` must be at least 0"):
        losses.SparseSymmetricCrossentropy(alpha=-1)
    for wrong in (4, 0, "-4"):
        with pytest.raises(ValueError, match="`log_zero` must be below 0"):
            losses.SparseSymmetricCrossentropy(log_zero=wrong)
    with pytest.raises(ValueError, match="`variance` must be"):
        losses.ConcordanceLoss(variance="sample")


def test_one_given_label_has_no_concordance():
    labels = np.full((3, 1, 1), np.nan, "float32")
    labels[0] = 0.5
    assert losses.concordance_loss(labels, np.ones((3, 1, 1), "f"))[0] == 0
    assert losses.concordance_loss(labels[:1], np.ones((1, 1, 1), "f"))[0] == 0
    with pytest.raises(ValueError, match="`variance` must be"):
        losses.concordance_loss(labels, labels, "sample")


@pytest.mark.parametrize(
    ("loss", "function", "kind"),
    [
        (losses.SparseCategoricalCrossentropy(), *STREAM_LOSSES[0]),
        (losses.SparseSymmetricCrossentropy(), *STREAM_LOSSES[1]),
        (losses.SparseGeneralizedCrossentropy(), *STREAM_LOSSES[2]),
        (losses.ConcordanceLoss("population"), *STREAM_LOSSES[3]),
        (losses.MeanSquaredError(), *STREAM_LOSSES[4]),
    ],
)
def test_classes_sum_over_streams_and_serialize(loss, function, kind):
    rng = np.random.default_rng(0)
    predictions = rng.normal(size=(5, 2, 3)).astype("float32")
    labels = rng.integers(-1, 3, (5, 2))
    arguments = ()
    if kind == "values":
        labels = rng.uniform(-1, 1, (5, 2, 3)).astype("float32")
        labels[1, 1] = np.nan
    if isinstance(loss, losses.ConcordanceLoss):
        arguments = ("population",)
    expected = np.sum(function(labels, predictions, *arguments))
    np.testing.assert_allclose(loss(labels, predictions), expected, rtol=1e-6)
    config = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(loss)
    np.testing.assert_allclose(again(labels, predictions), expected, rtol=1e-6)


# === Keras' own losses ===


def test_a_loss_of_keras_is_the_mean_over_the_given_labels():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(5, 2, 3)).astype("float32")
    ids = np.array([[0, 1], [2, -1], [1, 1], [-1, -1], [0, 2]])
    weights = np.array([1.0, 2.0, 0.0, 1.0, 0.5], "float32")
    expected = losses.SparseCategoricalCrossentropy()
    crossentropy = keras.losses.SparseCategoricalCrossentropy
    one_hot = keras.losses.CategoricalCrossentropy()
    for loss in (
        losses.LabelLoss(crossentropy()),
        losses.LabelLoss(crossentropy(from_logits=True)),
        losses.LabelLoss(one_hot, one_hot=True),
    ):
        for more in ((), (weights,)):
            assert_relative(
                loss(ids, logits, *more), expected(ids, logits, *more)
            )
    values = generator.uniform(-1, 1, (5, 2, 2)).astype("float32")
    predictions = generator.uniform(-1, 1, (5, 2, 2)).astype("float32")
    values[0, 1] = values[3, 0] = np.nan
    absolute = np.abs(predictions - values).mean(axis=-1)
    loss = losses.LabelLoss(keras.losses.MeanAbsoluteError())
    by_hand = np.nanmean(absolute, axis=0).sum()
    assert_relative(loss(values, predictions), by_hand)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    assert_relative(again(values, predictions), by_hand)


def test_missing_labels_have_no_part_in_a_loss_of_keras():
    values = np.array([[[0.5, np.nan]], [[np.nan, np.nan]]], "float32")
    loss = losses.LabelLoss(keras.losses.Huber())

    def compute_loss(predictions):
        return loss(values, predictions), None

    predictions = np.full((2, 1, 2), 0.25, "float32")
    _, (gradient,), _ = differentiate(compute_loss, [predictions])
    gradient = ops.convert_to_numpy(gradient)
    assert gradient[0, 0, 0] == -0.125
    assert not gradient[0, 0, 1] and not gradient[1].any()


def test_a_function_may_take_class_ids_for_indices():
    weights = np.array([1.0, 2.0, 4.0], "float32")
    loss = make_losses(
        [CategoricalTask("mood", 3)],
        {"mood": lambda ids, _: ops.take(weights, ids)},
    )["mood"]
    labels = np.array([[0], [2], [-1]], "int32")
    value = loss(labels, np.zeros((3, 1, 3), "float32"))
    assert float(value) == pytest.approx(2.5)


@keras.saving.register_keras_serializable("tests")
class AbsoluteError(StreamLoss):
    """A loss as CONTRIBUTING.md tells to write one."""

    def __init__(self, scale=1.0, name="absolute_error", **kwargs):
        super().__init__(name, **kwargs)
        self.scale = scale

    def call(self, y_true, y_pred, sample_weight=None):
        given = ops.logical_not(ops.isnan(y_true))
        errors = ops.abs(ops.where(given, y_true, 0.0) - y_pred)
        present = ops.cast(ops.all(given, axis=-1), y_pred.dtype)
        losses = self.scale * ops.mean(errors, axis=-1)
        return stream_mean(losses, weigh_labels(present, sample_weight))

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


def test_a_loss_of_your_own():
    config = keras.saving.serialize_keras_object(AbsoluteError(2.0))
    loss = keras.saving.deserialize_keras_object(config)
    task = ContinuousTask("affect", ("valence", "arousal"), annotators=2)
    loss = make_losses([task], {"affect": loss})["affect"]
    nan = np.nan
    labels = np.array([[[1, 0], [nan, nan]], [[0, 0], [nan, nan]]], "float32")
    outputs = [np.full((2, 2, 2), 0.25, "float32")]
    (value, _), (gradient,), _ = differentiate(
        lambda outputs: (loss(labels, outputs), None), outputs
    )
    # The mean of 0.5 and 0.25, twice; nobody has labelled the other stream.
    assert float(value) == pytest.approx(0.75)
    assert np.isfinite(gradient).all() and not np.any(gradient[:, 1])
    weighted = loss(labels, outputs[0], np.array([0.0, 1.0], "float32"))
    assert float(weighted) == pytest.approx(0.5)
