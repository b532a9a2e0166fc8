"""Weights of the objective's parts that follow their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_noisyfer.arguments import AUTO, check_number
from keras_noisyfer.batches import Batch, label_tuples
from keras_noisyfer.distribution import replica_count, sum_over_replicas
from keras_noisyfer.losses import generator_hinge_loss
from keras_noisyfer.tasks import ContinuousTask
from keras_noisyfer.typing import Tasks, Tensor

if TYPE_CHECKING:
    from keras_noisyfer.models import JointDistributionGAN


if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
else:
    import jax

DECAY = 0.99
# A part whose gradient is short must not drown the others: that of a
# discriminator which has yet to learn is. The paper's largest lambda is 1.
LAMBDA_BOUNDS = (0.05, 1.0)
GAMMA_BOUNDS = (0.1, 10.0)
# The regularizer does not outweigh what it regularizes.
JOINT_SHARE = 0.5


class GradientRatio(keras.layers.Layer):
    """A weight that gives one gradient a share of another's length.

    The share times the ratio of the root mean squares of both gradients, each
    a moving average over the steps; 1 before the first step. The gradients
    are those with respect to the features that all heads of the encoder
    share.

    Args:
        bounds: Lowest and highest weight.
        share: The share.
        **kwargs: `name`.
    """

    def __init__(
        self, bounds: Sequence[float], share: float = 1.0, **kwargs: Any
    ):
        super().__init__(dtype="float32", **kwargs)
        self.bounds = bounds
        self.share = share
        self.squares = self.add_weight(
            name="squares",
            shape=(2,),
            initializer="zeros",
            trainable=False,
            # The same on all replicas.
            aggregation="mean",
        )
        self.tracker = keras.metrics.Mean(name=self.name)
        self.built = True

    @property
    def value(self) -> Tensor:
        """The weight, a scalar that no gradient flows through."""
        followed, weighed = ops.unstack(self.squares.value)
        tiny = keras.config.epsilon() ** 2
        ratio = ops.sqrt(followed / ops.maximum(weighed, tiny))
        weight = ops.clip(self.share * ratio, *self.bounds)
        measured = followed + weighed > 0
        return ops.stop_gradient(ops.where(measured, weight, 1.0))

    def update(self, followed: Tensor, weighed: Tensor) -> None:
        """Takes a step's gradients into account.

        Args:
            followed: Gradient that the other is to have a share of.
            weighed: Gradient of the part that the weight is of.
        """
        squares = ops.stack(
            [
                ops.sum(ops.square(ops.cast(each, "float32")))
                for each in (followed, weighed)
            ]
        )
        # Each replica has computed the loss of the whole batch, and its
        # gradient is the sum of all of theirs.
        squares = sum_over_replicas(squares) / replica_count() ** 2
        self.squares.assign(DECAY * self.squares + (1 - DECAY) * squares)
        self.tracker.update_state(self.value)


def make_ratios(
    lambda_joint: float | str, gamma: float | str, tasks: Tasks
) -> tuple[GradientRatio | None, GradientRatio | None]:
    """The automatic weights of a model, each None where it is a number.

    Raises:
        ValueError: if a weight is out of its range, or gamma is `"auto"`
            without tasks of both kinds.
    """
    for name, value in (("lambda_joint", lambda_joint), ("gamma", gamma)):
        if isinstance(value, str) and value != AUTO:
            raise ValueError(
                f"`{name}` must be a number, at least 0, or '{AUTO}'. "
                f"Received: {value!r}"
            )
        if value != AUTO:
            check_number(name, value, minimum=0)
    if gamma == AUTO and len({type(task) for task in tasks}) < 2:
        raise ValueError(
            "`gamma` may be 'auto' only with tasks of both kinds. "
            f"Received: {tasks}"
        )
    lambda_ratio = gamma_ratio = None
    if lambda_joint == AUTO:
        lambda_ratio = GradientRatio(
            LAMBDA_BOUNDS, JOINT_SHARE, name="lambda_joint"
        )
    if gamma == AUTO:
        gamma_ratio = GradientRatio(GAMMA_BOUNDS, name="gamma")
    return lambda_ratio, gamma_ratio


def update_ratios(
    model: JointDistributionGAN,
    batch: Batch,
    outputs: dict[str, Any],
    encoded: dict[str, Any] | None = None,
    image_features: Tensor | None = None,
) -> None:
    """Moves the automatic weights of a model, if it has any.

    Args:
        model: A `JointDistributionGAN`.
        batch: The `Batch`.
        outputs: What the encoder has made of the images.
        encoded: Tuple of the encoder, or None in the warm-up, in which there
            is no joint loss to weigh.
        image_features: What the discriminator's image stream has made of the
            images of both tuples, likewise.
    """
    lambda_ratio = None if encoded is None else model.lambda_ratio
    if not model.gamma_ratio and not lambda_ratio:
        return
    categorical, continuous = task_gradients(model, batch, outputs)
    if model.gamma_ratio:
        model.gamma_ratio.update(categorical, continuous)
    if lambda_ratio and encoded is not None:
        lambda_ratio.update(
            categorical + model.gamma_value * continuous,
            joint_gradient(model, batch, outputs, encoded, image_features),
        )


def task_gradients(
    model: JointDistributionGAN, batch: Batch, outputs: dict[str, Any]
) -> list[Tensor]:
    """Gradients of the categorical and of the continuous tasks' losses with
    respect to the features that all heads of the encoder share: two tensors
    of the features' shape."""

    def compute_losses(features):
        raw = model.encoder.apply_heads(features)["labels"]
        losses = batch.weigh(
            lambda labels, weights: model.compute_task_losses(
                labels, raw, weights
            )
        )
        parts = [ops.zeros(()), ops.zeros(())]
        for task in model.tasks:
            part = model.loss_weights[task.name] * losses[task.name]
            parts[isinstance(task, ContinuousTask)] += part
        return parts

    return _gradients_of(compute_losses, outputs["features"])


def joint_gradient(
    model: JointDistributionGAN,
    batch: Batch,
    outputs: dict[str, Any],
    encoded: dict[str, Any],
    image_features: Tensor,
) -> Tensor:
    """Gradient of the joint-distribution loss, likewise."""

    def compute_loss(features):
        raw = model.encoder.apply_heads(features)
        # The noise is the one that the tuple was made with.
        deviation = encoded["noise_code"] - outputs["mean"]
        spread = ops.exp(0.5 * (raw["log_variance"] - outputs["log_variance"]))
        labels, _, _ = label_tuples(model.tasks, batch, raw["labels"])
        scores = model.discriminator.score_head(
            {
                "image_features": ops.split(image_features, 2)[0],
                "noise_code": raw["mean"] + deviation * spread,
                "labels": labels,
            },
            training=False,
        )
        # The decoder's tuple does not depend on the features.
        return [
            generator_hinge_loss(
                scores, 0 * scores, model.score_shares, batch.image_weights
            )
        ]

    (gradient,) = _gradients_of(compute_loss, outputs["features"])
    return gradient


def _gradients_of(function, tensor):
    """Gradients of a function's scalars with respect to its tensor; it may
    read variables but not assign to them."""
    if keras.backend.backend() == "jax":
        return jax.jacrev(function)(tensor)
    with tf.GradientTape(
        persistent=True, watch_accessed_variables=False
    ) as tape:
        tape.watch(tensor)
        scalars = function(tensor)
    return [
        tape.gradient(
            each, tensor, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        for each in scalars
    ]
