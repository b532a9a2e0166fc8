"""Losses of categorical tasks, of class ids.

Labels may be missing, -1. A missing label has no
part in a loss and no gradient.
"""

from typing import Any

import keras
from keras import ops

from keras_noisyfer.arguments import check_number
from keras_noisyfer.labels import weigh_labels
from keras_noisyfer.losses.streams import StreamLoss, stream_mean
from keras_noisyfer.tasks import one_hot
from keras_noisyfer.typing import Tensor, Weights

_EPSILON = 1e-8


def sparse_categorical_crossentropy(
    labels: Tensor, logits: Tensor, sample_weight: Weights = None
) -> Tensor:
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
    return stream_mean(losses, weigh_labels(present, sample_weight))


def sparse_symmetric_crossentropy(
    labels: Tensor,
    logits: Tensor,
    alpha: float = 0.1,
    beta: float = 1.0,
    log_zero: float = -4.0,
    sample_weight: Weights = None,
) -> Tensor:
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
    reverse = stream_mean(-log_zero * (1.0 - probability), present)
    crossentropy = sparse_categorical_crossentropy(
        labels, logits, sample_weight
    )
    return alpha * crossentropy + beta * reverse


def sparse_generalized_crossentropy(
    labels: Tensor,
    logits: Tensor,
    q: float = 0.7,
    sample_weight: Weights = None,
) -> Tensor:
    """Generalized cross entropy of each label stream.

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
    return stream_mean(losses, weigh_labels(present, sample_weight))


def _one_hot(labels, logits):
    target = one_hot(labels, logits.shape[-1], logits.dtype)
    return target, ops.sum(target, axis=-1)


@keras.saving.register_keras_serializable(package="keras_noisyfer.losses")
class SparseCategoricalCrossentropy(StreamLoss):
    """Cross entropy over the label streams of a categorical task.

    See `sparse_categorical_crossentropy`. The sum over the annotators.
    """

    def __init__(
        self, name: str = "sparse_categorical_crossentropy", **kwargs: Any
    ):
        super().__init__(name, **kwargs)

    def call(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Weights = None
    ) -> Tensor:
        return sparse_categorical_crossentropy(y_true, y_pred, sample_weight)


@keras.saving.register_keras_serializable(package="keras_noisyfer.losses")
class SparseSymmetricCrossentropy(StreamLoss):
    """Symmetric cross entropy over the label streams of a categorical task.

    See `sparse_symmetric_crossentropy`. The sum over the annotators.

    Args:
        alpha: Weight of the cross entropy.
        beta: Weight of the reverse cross entropy.
        log_zero: The value for `log 0`, negative.
    """

    def __init__(
        self,
        alpha: float = 0.1,
        beta: float = 1.0,
        log_zero: float = -4.0,
        name: str = "sparse_symmetric_crossentropy",
        **kwargs: Any,
    ):
        super().__init__(name, **kwargs)
        check_number("alpha", alpha, minimum=0)
        check_number("beta", beta, minimum=0)
        check_number("log_zero", log_zero, below=0)
        self.alpha = alpha
        self.beta = beta
        self.log_zero = log_zero

    def call(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Weights = None
    ) -> Tensor:
        return sparse_symmetric_crossentropy(
            y_true,
            y_pred,
            self.alpha,
            self.beta,
            self.log_zero,
            sample_weight,
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(alpha=self.alpha, beta=self.beta, log_zero=self.log_zero)
        return config


@keras.saving.register_keras_serializable(package="keras_noisyfer.losses")
class SparseGeneralizedCrossentropy(StreamLoss):
    """Generalized cross entropy over the streams of a categorical task.

    See `sparse_generalized_crossentropy`. The sum over the annotators.

    Args:
        q: In (0, 1].

    Raises:
        ValueError: if `q` is out of its range.
    """

    def __init__(
        self,
        q: float = 0.7,
        name: str = "sparse_generalized_crossentropy",
        **kwargs: Any,
    ):
        super().__init__(name, **kwargs)
        check_number("q", q, above=0, maximum=1)
        self.q = q

    def call(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Weights = None
    ) -> Tensor:
        return sparse_generalized_crossentropy(
            y_true, y_pred, self.q, sample_weight
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(q=self.q)
        return config
