"""Co-teaching: two networks that pick the images for each other."""

from typing import Any

import keras
from keras import ops

from keras_noisyfer.arguments import check_number, one_line
from keras_noisyfer.batches import Batch
from keras_noisyfer.labels import weigh_labels
from keras_noisyfer.models.multi_task import MultiTaskModel
from keras_noisyfer.networks import Encoder
from keras_noisyfer.networks.network import check_network, copy_weights
from keras_noisyfer.optimizers import make_second_optimizer
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask
from keras_noisyfer.typing import Labels, Tensor, Updates


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class CoTeaching(MultiTaskModel):
    """Two encoders, each trained on the images that the other fits best.

    Networks learn clean labels before they memorize wrong ones, so that a
    small loss hints at a clean label. In each batch both networks pick the
    fraction

    `R(t) = 1 - forget_rate * min(t / forget_epochs, 1)`

    of the images with the smallest loss, where t counts the epochs that are
    over, and each network learns from the images that the *other* picked:
    its loss is the mean over those. The loss that images are picked by is

    `mean CE over the image's classes + gamma * mean squared error over its
    values`, each times its `loss_weights`,

    whatever the losses are, since the concordance is none of a single image.
    Images without any label count for nothing in R(t). Where an image lacks
    the labels of one of the two kinds, the batch's mean takes their place.

    The model predicts with the first network.

    Args:
        encoder: The first `Encoder`. Its tasks are those of the model.
        second_encoder: The second one, with the same tasks and image shape.
            By default it is like the first, with initial weights of its own
            but for those of a backbone and of layers that are frozen or have
            none to train, such as an adapted `Normalization`.
        forget_rate: Fraction of the images left out in the end, in [0, 1):
            the share of wrong labels, or an estimate of it; with several
            annotators their mean. 0.3 is that of the paper's annotators.
        forget_epochs: Epochs until `forget_rate` is reached, an integer of
            at least 1. They are counted over calls of `fit` and saved with
            the model.
        **kwargs: `gamma`, `consensus`, `regularizers`, `name`, `dtype` and
            `trainable`; see `MultiTaskModel`. Regularizers are those of the
            first encoder.

    Raises:
        ValueError: if an argument is out of its range, or the encoders do
            not fit each other.

    Example:

    >>> tasks = [CategoricalTask("expression", num_classes=7, annotators=3)]
    >>> encoder = Encoder(tasks, image_shape=(48, 48, 3), width=0.25)
    >>> model = CoTeaching(encoder, forget_rate=0.3)
    >>> model.compile(keras.optimizers.Adam(1e-3))
    >>> model.fit(dataset, epochs=30)

    Reference:

    - [Han et al., 2018](https://arxiv.org/abs/1804.06872)
    """

    takes_mixtures = False

    def __init__(
        self,
        encoder: Encoder,
        second_encoder: Encoder | None = None,
        forget_rate: float = 0.3,
        forget_epochs: int = 10,
        **kwargs: Any,
    ):
        super().__init__(encoder, **kwargs)
        # At 1 no image would be left.
        check_number("forget_rate", forget_rate, minimum=0, below=1)
        check_number("forget_epochs", forget_epochs, minimum=1, integer=True)
        self.forget_rate = forget_rate
        self.forget_epochs = forget_epochs
        self.second_encoder = self._make_second_encoder(second_encoder)
        self.second_loss_tracker = keras.metrics.Mean(name="second_loss")

    def _make_second_encoder(self, second_encoder):
        if second_encoder is None:
            config = self.encoder.get_config()
            config["name"] = f"second_{self.encoder.name}"
            try:
                second_encoder = Encoder.from_config(config)
            # Of a backbone that Keras does not know, any.
            except Exception as error:
                raise ValueError(
                    "`second_encoder` must be given where `encoder` cannot be "
                    "made again from its configuration. "
                    f"Received: {one_line(error, 160)}"
                ) from error
            for each in self.encoder.layers:
                is_backbone = each is self.encoder.backbone
                if is_backbone or each.weights and not each.trainable_weights:
                    # What it has learned elsewhere is no weight to begin with.
                    copy_weights(each, second_encoder.get_layer(each.name))
            return second_encoder
        check_network(
            "second_encoder",
            second_encoder,
            Encoder,
            self.encoder,
            ("tasks", "image_shape"),
        )
        shared = {id(v) for v in self.encoder.trainable_variables} & {
            id(v) for v in second_encoder.trainable_variables
        }
        if shared:
            raise ValueError(
                "`second_encoder` must share no weights to train with "
                f"`encoder`. Received: one that shares {len(shared)}"
            )
        return second_encoder

    # === Picking images ===

    def compute_kept_fraction(self) -> Tensor:
        """R(t), the fraction of images that is kept in the current epoch."""
        progress = (
            ops.cast(self.completed_epochs, "float32") / self.forget_epochs
        )
        return 1.0 - self.forget_rate * ops.minimum(progress, 1.0)

    def compute_sample_losses(
        self,
        labels: Labels,
        outputs: Labels,
        sample_weight: Labels | None = None,
    ) -> Tensor:
        """The loss of each image, by which it is picked.

        Args:
            labels: Standardized labels, a dict by task name.
            outputs: An encoder's raw `labels`, a dict by task name.
            sample_weight: Dict by task name of the images' weights, or None.

        Returns:
            Shape `(batch_size,)`; infinite for an image without any label,
            or of weight 0.
        """
        total, labelled = 0.0, False
        for kind, weight in (
            (CategoricalTask, 1.0),
            (ContinuousTask, self.gamma),
        ):
            tasks = [task for task in self.tasks if isinstance(task, kind)]
            if not tasks:
                continue
            losses, given = _label_losses(
                tasks, labels, outputs, sample_weight, self.loss_weights
            )
            mean = _mean(losses, given, axis=1)
            has_label = ops.any(given, axis=1)
            # An image must not be picked for the labels that it lacks.
            mean = ops.where(has_label, mean, _mean(mean, has_label, axis=0))
            total += weight * mean
            labelled = ops.logical_or(labelled, has_label)
        return ops.where(labelled, total, float("inf"))

    def pick_images(
        self,
        labels: Labels,
        outputs: Labels,
        sample_weight: Labels | None = None,
    ) -> Tensor:
        """Picks the images with the smallest loss, as many as are kept.

        Args:
            labels: Standardized labels, a dict by task name.
            outputs: An encoder's raw `labels`, a dict by task name.
            sample_weight: Dict by task name of the images' weights, or None.

        Returns:
            Boolean, shape `(batch_size,)`. Of n images with labels it picks
            R(t) n, rounded, but at least one, and two if there is a
            continuous task, whose concordance one does not define.
        """
        losses = self.compute_sample_losses(labels, outputs, sample_weight)
        labelled = ops.sum(ops.cast(ops.isfinite(losses), "float32"))
        least = 1 + any(isinstance(t, ContinuousTask) for t in self.tasks)
        count = ops.maximum(
            ops.round(self.compute_kept_fraction() * labelled), least
        )
        rank = ops.argsort(ops.argsort(losses))
        return rank < ops.cast(count, rank.dtype)

    def keep_labels(self, labels: Labels, picked: Tensor) -> dict[str, Tensor]:
        """The labels of the images picked; those of the others are missing.

        Args:
            labels: Standardized labels, a dict by task name.
            picked: Boolean, shape `(batch_size,)`.

        Returns:
            Labels of the same shapes, a dict by task name.
        """
        kept = {}
        for task in self.tasks:
            given = labels[task.name]
            categorical = isinstance(task, CategoricalTask)
            kept[task.name] = ops.where(
                ops.reshape(picked, (-1, *[1] * (len(given.shape) - 1))),
                given,
                ops.full_like(given, -1 if categorical else float("nan")),
            )
        return kept

    # === Training ===

    def compile(  # type: ignore[override]
        self,
        optimizer: Any = None,
        second_optimizer: Any = None,
        **options: Any,
    ) -> None:
        """Configures training.

        Args:
            optimizer: Optimizer of the first encoder. By default `FusedAdam`
                with learning rate 1e-4.
            second_optimizer: Optimizer of the second encoder. By default a
                new one with the configuration of `optimizer`, its schedule
                included. Where a callback changes the learning rate of
                `optimizer` by a factor, it changes by the same.
            **options: See `MultiTaskModel.compile`. Losses must ignore
                missing labels, as ours do: labels of images that were not
                picked are missing.
        """
        super().compile(optimizer=optimizer, **options)
        self.second_optimizer = make_second_optimizer(
            self,
            "second_optimizer",
            second_optimizer,
            self.second_encoder.trainable_variables,
        )

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, self.second_loss_tracker]

    @property
    def updates(self) -> Updates:
        """Of both encoders, see `MultiTaskModel.updates`."""
        second = self.second_encoder.trainable_variables
        return [*super().updates, (self.second_optimizer, second)]

    def training_losses(self, batch: Batch) -> list[Tensor]:
        """The losses of both encoders (Algorithm 1 of the reference)."""
        labels, weights = batch.labels, batch.sample_weight
        first = self.encoder.encode(batch.images)
        other = self.second_encoder.encode(batch.images)
        outputs, second = first["labels"], other["labels"]
        picked = self.pick_images(labels, outputs, weights)
        second_picked = self.pick_images(labels, second, weights)

        loss, losses = self.compute_objective(
            self.keep_labels(labels, second_picked), outputs, weights
        )
        second_loss, _ = self.compute_objective(
            self.keep_labels(labels, picked), second, weights
        )
        loss += first["added_loss"]
        second_loss += other["added_loss"]
        for each in self.regularizers:
            loss += each(batch, outputs)
        # The metrics see all labels, as those of the other models do.
        self.track(batch, loss, losses, self.predict_consensus(outputs))
        self.second_loss_tracker.update_state(
            second_loss, sample_weight=batch.weight
        )
        return [loss, second_loss]


def _mean(values, given, axis):
    """Mean over an axis of the values that are given; 0 without any."""
    given = ops.cast(given, values.dtype)
    count = ops.maximum(ops.sum(given, axis=axis), 1.0)
    return ops.sum(values * given, axis=axis) / count


def _label_losses(tasks, labels, outputs, sample_weight, loss_weights):
    """The loss of each label of some tasks, and whether it is given with a
    weight above 0, both of shape `(batch_size, labels of an image)`."""
    losses, given = [], []
    for task in tasks:
        output = outputs[task.name]
        target = task.encode(labels[task.name])
        if isinstance(task, CategoricalTask):
            loss = -ops.sum(
                target * ops.log_softmax(output, axis=-1),
                axis=-1,
                keepdims=True,
            )
        else:
            loss = ops.square(output - target)
        shape = (-1, loss.shape[1] * loss.shape[2])
        losses.append(loss_weights[task.name] * ops.reshape(loss, shape))
        present = ops.cast(task.present(labels[task.name]), "float32")
        weights = weigh_labels(
            present, sample_weight and sample_weight[task.name]
        )
        given.append(ops.reshape(weights > 0, shape))
    return ops.concatenate(losses, axis=1), ops.concatenate(given, axis=1)
