"""Losses of the tasks and of the adversarial game.

Labels may be missing: -1 for a class, NaN for a value. A missing label has no
part in a loss and no gradient.
"""

import keras
from keras import ops

from keras_noisyfer.arguments import check_number
from keras_noisyfer.distribution import mean_over_batch, sum_over_replicas
from keras_noisyfer.labels import weigh_labels
from keras_noisyfer.tasks import one_hot

_EPSILON = 1e-8


def categorical_crossentropy(labels, logits, sample_weight=None):
    """Cross entropy of each label stream over the labels that are given.

    Args:
        labels: Class ids, -1 where missing, shape `(batch_size, annotators)`.
        logits: Shape `(batch_size, annotators, num_classes)`.
        sample_weight: Optional weights of the images, shape `(batch_size,)`.

    Returns:
        The mean over the batch's given labels, shape `(annotators,)`; 0 for
        a stream without any.
    """
    target, present = _one_hot(labels, logits)
    losses = -ops.sum(target * ops.log_softmax(logits, axis=-1), axis=-1)
    return _mean(losses, weigh_labels(present, sample_weight))


def symmetric_crossentropy(
    labels, logits, alpha=0.1, beta=1.0, log_zero=-4.0, sample_weight=None
):
    """Symmetric cross entropy of each label stream.

    `alpha * CE + beta * RCE` with the reverse cross entropy
    `RCE = -sum_k p_k log(target_k)`, where `log 0` stands for `log_zero`, so
    that `RCE = -log_zero * (1 - p_label)`.

    Args:
        labels: Class ids, -1 where missing, shape `(batch_size, annotators)`.
        logits: Shape `(batch_size, annotators, num_classes)`.
        alpha: Weight of the cross entropy; 0.1 on CIFAR-10.
        beta: Weight of the reverse cross entropy; 1.0 on CIFAR-10.
        log_zero: The value for `log 0`, negative.
        sample_weight: Optional weights of the images, shape `(batch_size,)`.

    Returns:
        The mean over the batch's given labels, shape `(annotators,)`.

    Reference:

    - [Wang et al., 2019](https://arxiv.org/abs/1908.06112)
    """
    target, present = _one_hot(labels, logits)
    probability = ops.sum(target * ops.softmax(logits, axis=-1), axis=-1)
    present = weigh_labels(present, sample_weight)
    reverse = _mean(-log_zero * (1.0 - probability), present)
    crossentropy = categorical_crossentropy(labels, logits, sample_weight)
    return alpha * crossentropy + beta * reverse


def generalized_crossentropy(labels, logits, q=0.7, sample_weight=None):
    """Generalised cross entropy of each label stream.

    `(1 - p_label^q) / q`, Keras' own: near the cross entropy for small `q`,
    `1 - p_label` for `q = 1`.

    Args:
        labels: Class ids, -1 where missing, shape `(batch_size, annotators)`.
        logits: Shape `(batch_size, annotators, num_classes)`.
        q: In (0, 1]. The authors have 0.7 throughout, Keras' default is 0.5.
        sample_weight: Optional weights of the images, shape `(batch_size,)`.

    Returns:
        The mean over the batch's given labels, shape `(annotators,)`.

    Reference:

    - [Zhang and Sabuncu, 2018](https://arxiv.org/abs/1805.07836)
    """
    # The power's slope at a probability that is rounded to 0 is infinite.
    probabilities = ops.maximum(ops.softmax(logits, axis=-1), _EPSILON)
    losses = keras.losses.categorical_generalized_cross_entropy(
        ops.maximum(labels, 0), probabilities, q
    )
    present = ops.cast(labels >= 0, losses.dtype)
    return _mean(losses, weigh_labels(present, sample_weight))


def concordance_loss(
    labels, predictions, variance="released", sample_weight=None
):
    """One minus the mean concordance correlation coefficient (CCC).

    `CCC = 2 cov(p, l) / (var(p) + var(l) + (mean p - mean l)^2)` over the
    batch, one for each dimension; Section 4 of the paper.

    Args:
        labels: Values, NaN where missing, shape
            `(batch_size, annotators, dimensions)`.
        predictions: Values of the same shape.
        variance: `"released"`: population covariance with unbiased
            variances, as the authors' code computes it. `"population"`: both
            of the population, the definition of the CCC.
        sample_weight: Optional weights of the images, shape `(batch_size,)`.

    Returns:
        The loss of each label stream, shape `(annotators,)`, in [0, 2]. A
        dimension with fewer than two given labels has no CCC and is left
        out; a stream of such dimensions alone has loss 0.

    Raises:
        ValueError: if `variance` is unknown.

    Reference:

    - [Lin, 1989](https://doi.org/10.2307/2532051)
    """
    _check_variance(variance)
    present = ops.cast(ops.logical_not(ops.isnan(labels)), predictions.dtype)
    labels = ops.where(present > 0, labels, ops.zeros_like(labels))
    weights = weigh_labels(present, sample_weight)
    count = _sum(ops.cast(weights > 0, weights.dtype))

    def mean(values):
        return _mean(values, weights)

    label_mean, prediction_mean = mean(labels), mean(predictions)
    label_residual = labels - label_mean
    prediction_residual = predictions - prediction_mean
    covariance = mean(label_residual * prediction_residual)
    variances = mean(ops.square(label_residual)) + mean(
        ops.square(prediction_residual)
    )
    if variance == "released":
        variances = variances * count / ops.maximum(count - 1.0, 1.0)
    # Constant labels and predictions would otherwise give 0 / 0.
    ccc = (
        2.0
        * covariance
        / (variances + ops.square(label_mean - prediction_mean) + _EPSILON)
    )
    defined = ops.cast(count >= 2.0, predictions.dtype)
    return ops.sum(defined * (1.0 - ccc), axis=-1) / ops.maximum(
        ops.sum(defined, axis=-1), 1.0
    )


def mean_squared_error(labels, predictions, sample_weight=None):
    """Mean squared error of each label stream over the given values.

    Args:
        labels: Values, NaN where missing, shape
            `(batch_size, annotators, dimensions)`.
        predictions: Values of the same shape.
        sample_weight: Optional weights of the images, shape `(batch_size,)`.

    Returns:
        The mean over the batch's given values, shape `(annotators,)`.
    """
    present = ops.logical_not(ops.isnan(labels))
    labels = ops.where(present, labels, ops.zeros_like(labels))
    present = weigh_labels(ops.cast(present, predictions.dtype), sample_weight)
    return _mean(ops.square(predictions - labels), present, axis=(0, 2))


def discriminator_hinge_loss(
    encoder_scores, decoder_scores, weights=None, sample_weight=None
):
    """Hinge loss that the discriminator minimises.

    `mean relu(1 - D(x, G_Y(x))) + mean relu(1 + D(G_X(y), y))`: g and h of
    Eq. 10 of the paper, negated.

    Args:
        encoder_scores: Scores of (image, encoder's prediction), shape
            `(batch_size, scores)`.
        decoder_scores: Scores of (decoded image, labels), likewise.
        weights: Optional weights of the scores, shape `(scores,)`, adding up
            to 1. By default all are equal.
        sample_weight: Optional weights of the images, shape `(batch_size,)`.

    Returns:
        A scalar.
    """
    encoded = _mean_score(
        ops.relu(1.0 - encoder_scores), weights, sample_weight
    )
    return encoded + _mean_score(
        ops.relu(1.0 + decoder_scores), weights, sample_weight
    )


def generator_hinge_loss(
    encoder_scores, decoder_scores, weights=None, sample_weight=None
):
    """Joint-distribution loss that encoder and decoder minimise.

    `mean D(x, G_Y(x)) - mean D(G_X(y), y)`, as in the authors' release. Eq. 9
    of the paper writes the discriminator's signs the other way round.

    Args:
        encoder_scores: Scores of (image, encoder's prediction), shape
            `(batch_size, scores)`.
        decoder_scores: Scores of (decoded image, labels), likewise.
        weights: Optional weights of the scores, shape `(scores,)`, adding up
            to 1. By default all are equal.
        sample_weight: Optional weights of the images, shape `(batch_size,)`.

    Returns:
        A scalar.
    """
    return _mean_score(encoder_scores, weights, sample_weight) - _mean_score(
        decoder_scores, weights, sample_weight
    )


def _mean_score(scores, weights, sample_weight):
    if weights is not None:
        scores = ops.sum(scores * weights, axis=-1, keepdims=True)
    if sample_weight is None:
        return mean_over_batch(scores)
    scores = ops.mean(scores, axis=-1)
    return _mean(scores, ops.cast(sample_weight, scores.dtype))


def _check_variance(variance):
    if variance not in ("released", "population"):
        raise ValueError(
            "`variance` must be 'released' or 'population'. "
            f"Received: {variance!r}"
        )


def _one_hot(labels, logits):
    target = one_hot(labels, logits.shape[-1], logits.dtype)
    return target, ops.sum(target, axis=-1)


def _mean(values, weights, axis=0):
    """The weighted mean; 0 where all weights are."""
    return ops.divide_no_nan(_sum(values * weights, axis), _sum(weights, axis))


def _sum(values, axis=0):
    return sum_over_replicas(ops.sum(values, axis=axis))


class _StreamLoss(keras.losses.Loss):
    """A loss with one value a label stream; their sum is the task's loss.

    The value is a mean over the images, and weights of them are relative:
    images of weight 0 are left out, equal weights change nothing.
    """

    # So many labels a stream make a value.
    least_labels = 1

    def __init__(self, name, reduction="sum", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def __call__(self, y_true, y_pred, sample_weight=None):
        if sample_weight is None:
            return super().__call__(y_true, y_pred)
        # Keras would multiply the streams' values by the weights.
        y_true = ops.convert_to_tensor(y_true, self.dtype)
        y_pred = ops.convert_to_tensor(y_pred, self.dtype)
        return ops.sum(self.call(y_true, y_pred, sample_weight))


@keras.saving.register_keras_serializable(package="keras_noisyfer.losses")
class CategoricalCrossentropy(_StreamLoss):
    """Cross entropy over the label streams of a categorical task.

    See `categorical_crossentropy`. The sum over the annotators.
    """

    def __init__(self, name="categorical_crossentropy", **kwargs):
        super().__init__(name, **kwargs)

    def call(self, y_true, y_pred, sample_weight=None):
        return categorical_crossentropy(y_true, y_pred, sample_weight)


@keras.saving.register_keras_serializable(package="keras_noisyfer.losses")
class SymmetricCrossentropy(_StreamLoss):
    """Symmetric cross entropy over the label streams of a categorical task.

    See `symmetric_crossentropy`. The sum over the annotators.

    Args:
        alpha: Weight of the cross entropy.
        beta: Weight of the reverse cross entropy.
        log_zero: The value for `log 0`, negative.
    """

    def __init__(
        self,
        alpha=0.1,
        beta=1.0,
        log_zero=-4.0,
        name="symmetric_crossentropy",
        **kwargs,
    ):
        super().__init__(name, **kwargs)
        check_number("alpha", alpha, minimum=0)
        check_number("beta", beta, minimum=0)
        check_number("log_zero", log_zero, below=0)
        self.alpha = alpha
        self.beta = beta
        self.log_zero = log_zero

    def call(self, y_true, y_pred, sample_weight=None):
        return symmetric_crossentropy(
            y_true,
            y_pred,
            self.alpha,
            self.beta,
            self.log_zero,
            sample_weight,
        )

    def get_config(self):
        config = super().get_config()
        config.update(alpha=self.alpha, beta=self.beta, log_zero=self.log_zero)
        return config


@keras.saving.register_keras_serializable(package="keras_noisyfer.losses")
class GeneralizedCrossentropy(_StreamLoss):
    """Generalised cross entropy over the streams of a categorical task.

    See `generalized_crossentropy`. The sum over the annotators.

    Args:
        q: In (0, 1].

    Raises:
        ValueError: if `q` is out of its range.
    """

    def __init__(self, q=0.7, name="generalized_crossentropy", **kwargs):
        super().__init__(name, **kwargs)
        check_number("q", q, above=0, maximum=1)
        self.q = q

    def call(self, y_true, y_pred, sample_weight=None):
        return generalized_crossentropy(y_true, y_pred, self.q, sample_weight)

    def get_config(self):
        config = super().get_config()
        config.update(q=self.q)
        return config


@keras.saving.register_keras_serializable(package="keras_noisyfer.losses")
class ConcordanceLoss(_StreamLoss):
    """One minus the mean CCC over the label streams of a continuous task.

    See `concordance_loss`. The sum over the annotators.

    Args:
        variance: `"released"` or `"population"`.
    """

    least_labels = 2

    def __init__(self, variance="released", name="concordance_loss", **kwargs):
        super().__init__(name, **kwargs)
        _check_variance(variance)
        self.variance = variance

    def call(self, y_true, y_pred, sample_weight=None):
        return concordance_loss(y_true, y_pred, self.variance, sample_weight)

    def get_config(self):
        config = super().get_config()
        config.update(variance=self.variance)
        return config


@keras.saving.register_keras_serializable(package="keras_noisyfer.losses")
class MeanSquaredError(_StreamLoss):
    """Mean squared error over the label streams of a continuous task.

    See `mean_squared_error`. The sum over the annotators.
    """

    def __init__(self, name="mean_squared_error", **kwargs):
        super().__init__(name, **kwargs)

    def call(self, y_true, y_pred, sample_weight=None):
        return mean_squared_error(y_true, y_pred, sample_weight)
