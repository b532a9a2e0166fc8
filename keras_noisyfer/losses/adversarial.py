"""Losses of the game between the networks."""

from keras import ops

from keras_noisyfer.distribution import mean_over_batch
from keras_noisyfer.losses.streams import stream_mean
from keras_noisyfer.typing import Tensor, Weights


def discriminator_hinge_loss(
    encoder_scores: Tensor,
    decoder_scores: Tensor,
    weights: Tensor | None = None,
    sample_weight: Weights = None,
) -> Tensor:
    """Hinge loss that the discriminator minimizes.

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
    encoder_scores: Tensor,
    decoder_scores: Tensor,
    weights: Tensor | None = None,
    sample_weight: Weights = None,
) -> Tensor:
    """Joint-distribution loss that encoder and decoder minimize.

    `mean D(x, G_Y(x)) - mean D(G_X(y), y)`, Eq. 9 of the paper with its
    h(z) = -z.

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


def reconstruction_loss(
    images: Tensor, reconstructed: Tensor, sample_weight: Weights = None
) -> Tensor:
    """Mean absolute difference of images and reconstructed ones.

    Args:
        images: Shape `(batch_size, height, width, channels)`.
        reconstructed: Likewise.
        sample_weight: Optional weights of the images, shape `(batch_size,)`.

    Returns:
        A scalar.
    """
    distance = ops.abs(ops.cast(images, reconstructed.dtype) - reconstructed)
    distance = ops.mean(ops.cast(distance, "float32"), axis=(1, 2, 3))
    return _mean_score(ops.expand_dims(distance, -1), None, sample_weight)


def noise_code_divergence(
    mean: Tensor, log_variance: Tensor, sample_weight: Weights = None
) -> Tensor:
    """Kullback-Leibler divergence of noise codes from Gaussian noise, in nats.

    Args:
        mean: Of the noise codes, shape `(batch_size, noise_code_size)`.
        log_variance: Likewise.
        sample_weight: Optional weights of the images, shape `(batch_size,)`.

    Returns:
        A scalar, the mean over images of the sum over the code.

    Reference:

    - [Kingma and Welling, 2014](https://arxiv.org/abs/1312.6114), App. B
    """
    each = ops.square(mean) + ops.exp(log_variance) - log_variance - 1.0
    divergence = 0.5 * ops.sum(each, axis=-1, keepdims=True)
    return _mean_score(divergence, None, sample_weight)


def _mean_score(scores, weights, sample_weight):
    if weights is not None:
        scores = ops.sum(scores * weights, axis=-1, keepdims=True)
    if sample_weight is None:
        return mean_over_batch(scores)
    scores = ops.mean(scores, axis=-1)
    return stream_mean(scores, ops.cast(sample_weight, scores.dtype))
