"""Weights of the objective's parts that follow their gradients."""

import keras
from keras import ops

from keras_noisyfer.distribution import replica_count, sum_over_replicas
from keras_noisyfer.labels import mean_weights
from keras_noisyfer.losses import generator_hinge_loss
from keras_noisyfer.models.steps import gradients_of
from keras_noisyfer.tasks import ContinuousTask

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
    a moving average over the steps; 1 before the first step.

    Args:
        bounds: Lowest and highest weight.
        share: The share.
        **kwargs: `name`.
    """

    def __init__(self, bounds, share=1.0, **kwargs):
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
    def value(self):
        """The weight, a scalar that no gradient flows through."""
        followed, weighed = ops.unstack(self.squares.value)
        tiny = keras.config.epsilon() ** 2
        ratio = ops.sqrt(followed / ops.maximum(weighed, tiny))
        weight = ops.clip(self.share * ratio, *self.bounds)
        measured = followed + weighed > 0
        return ops.stop_gradient(ops.where(measured, weight, 1.0))

    def update(self, followed, weighed):
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


def task_gradients(model, labels, outputs, sample_weight=None):
    """Gradients of the categorical and of the continuous tasks' losses with
    respect to the features that all heads of the encoder share.

    Args:
        model: A `MultiTaskClassifier`.
        labels: Standardized labels, a dict by task name.
        outputs: What the encoder has made of the images.
        sample_weight: Dict by task name of the images' weights, or None.

    Returns:
        Two tensors of the features' shape.
    """

    def compute_losses(features):
        raw = model.encoder.apply_heads(features)["labels"]
        losses = model.compute_task_losses(labels, raw, sample_weight)
        parts = [ops.zeros(()), ops.zeros(())]
        for task in model.tasks:
            parts[isinstance(task, ContinuousTask)] += losses[task.name]
        return parts

    return gradients_of(compute_losses, outputs["features"])


def joint_gradient(
    model, labels, outputs, encoded, image_features, sample_weight=None
):
    """Gradient of the joint-distribution loss, likewise.

    Args:
        model: A `JointDistributionGAN`.
        labels: Standardized labels, a dict by task name.
        outputs: What the encoder has made of the images.
        encoded: Tuple of the encoder.
        image_features: What the discriminator's image stream has made of the
            images.
        sample_weight: Dict by task name of the images' weights, or None.

    Returns:
        A tensor of the features' shape.
    """

    def compute_loss(features):
        raw = model.encoder.apply_heads(features)
        # The noise is the one that the tuple was made with.
        deviation = encoded["noise_code"] - outputs["mean"]
        spread = ops.exp(0.5 * (raw["log_variance"] - outputs["log_variance"]))
        scores = model.discriminator.score_head(
            {
                "image_features": image_features,
                "noise_code": raw["mean"] + deviation * spread,
                "labels": model.label_outputs(labels, raw["labels"]),
            },
            training=False,
        )
        # The decoder's tuple does not depend on the features.
        return [
            generator_hinge_loss(
                scores,
                0 * scores,
                model.score_vector,
                mean_weights(sample_weight),
            )
        ]

    (gradient,) = gradients_of(compute_loss, outputs["features"])
    return gradient
