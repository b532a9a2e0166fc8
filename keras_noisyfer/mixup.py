"""Batches of mixed images, each with the labels of both."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from keras_noisyfer.arguments import check_number, constructor_config
from keras_noisyfer.batches import Batch
from keras_noisyfer.tasks import ContinuousTask
from keras_noisyfer.typing import Tasks, Tensor


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class Mixup(keras.layers.Layer):
    """Mixes each image of a training batch with another one.

    With a ratio `r`, one a batch, of the distribution Beta(alpha, alpha), and
    partners drawn from the batch,

    `x <- r x + (1 - r) x_partner`

    Class labels stay apart, so that any loss can read them: a task's loss is
    `r` times that against an image's own labels plus `1 - r` times that
    against its partner's, annotator by annotator; a label that one of both
    lacks has no part. Values are mixed like the images, and missing where
    one of both is, or weighs nothing. `r` is at least one half, so that an
    image has more of itself than of its partner: metrics of training compare
    the prediction with its own class labels. The discriminator of a
    `JointDistributionGAN` compares mixed images and predictions with mixed
    labels.

    It is the argument `mixup` of a model. In evaluation nothing is mixed.

    Args:
        alpha: Parameter of the distribution, above 0: small ones mix little;
            0.2 for ImageNet, 1 for CIFAR-10.
        seed: Seed of ratios and partners; an integer or None.

    Raises:
        ValueError: if `alpha` is not above 0.

    Example:

    >>> model = MultiTaskModel(encoder, mixup=Mixup(0.4))
    >>> model.compile(keras.optimizers.Adam(1e-3))
    >>> model.fit(dataset, epochs=30)

    References:

    - [Zhang et al., 2018](https://arxiv.org/abs/1710.09412)
    - [Herde et al., 2024](https://arxiv.org/abs/2405.03386), for several
      annotators, whose labels it mixes with their images
    """

    def __init__(self, alpha: float = 0.2, seed: int | None = None):
        super().__init__(dtype="float32", name="mixup")
        self.alpha = check_number("alpha", alpha, above=0)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def draw(self, batch_size: Tensor) -> tuple[Tensor, Tensor]:
        """The ratio of a batch, a scalar, and its partners' indices."""
        seed = self.seed_generator
        ratio = keras.random.beta((), self.alpha, self.alpha, seed=seed)
        partners = ops.arange(batch_size, dtype="int32")
        partners = keras.random.shuffle(partners, seed=seed)
        return ops.maximum(ratio, 1.0 - ratio), partners

    def __call__(self, batch: Batch, tasks: Tasks) -> Batch:
        ratio, partners = self.draw(ops.shape(batch.images)[0])

        def partner(values):
            return ops.take(values, partners, axis=0)

        def mix(values):
            share = ops.cast(ratio, values.dtype)
            return share * values + (1.0 - share) * partner(values)

        own, others = dict(batch.labels), {}
        weights = batch.sample_weight
        for task in tasks:
            labels = batch.labels[task.name]
            if isinstance(task, ContinuousTask):
                if weights is not None:
                    # What weighs nothing must not be mixed in.
                    weight = ops.reshape(weights[task.name], (-1, 1, 1))
                    labels = ops.where(weight > 0, labels, float("nan"))
                own[task.name] = others[task.name] = mix(labels)
            else:
                others[task.name] = partner(labels)
        other_weights = weights and {n: partner(w) for n, w in weights.items()}
        return batch._replace(
            images=mix(batch.images),
            labels=own,
            mixed_in=[
                (ratio, own, weights),
                (1.0 - ratio, others, other_weights),
            ],
        )

    def get_config(self) -> dict[str, Any]:
        return constructor_config(self, Mixup)


def check_mixup(mixup: Any, users: Iterable[Any]) -> None:
    """Checks the argument `mixup` of a model.

    Args:
        mixup: What was given.
        users: The model and its regularizers, each with `takes_mixtures`.

    Raises:
        ValueError: if it is something else than a `Mixup` or None, or one of
            these has to see single images.
    """
    if mixup is None:
        return
    if not isinstance(mixup, Mixup):
        raise ValueError(
            "`mixup` must be a Mixup object, such as Mixup(0.2), or None. "
            f"Received: {mixup!r}"
        )
    for each in users:
        if not each.takes_mixtures:
            raise ValueError(
                f"`mixup` must be None with {type(each).__name__}, which has "
                f"to see single images. Received: Mixup({mixup.alpha})"
            )
    if mixup.built:
        raise ValueError(
            "`mixup` must be a new one for each model. Received: one that "
            "belongs to another"
        )
    mixup.built = True
