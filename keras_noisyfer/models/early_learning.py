"""ELR: held to what the network predicted before it began to memorise."""

import keras
from keras import ops

from keras_noisyfer.arguments import check_number
from keras_noisyfer.labels import weigh_labels
from keras_noisyfer.models.classifier import MultiTaskClassifier
from keras_noisyfer.models.training import require_tensorflow
from keras_noisyfer.value_checks import require

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

# Probabilities are kept this far from 0 and 1, so that the logarithm and its
# slope are bounded.
_MARGIN = 1e-4


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class EarlyLearningRegularizer(MultiTaskClassifier):
    """Early-learning regularisation (ELR) of a `MultiTaskClassifier`.

    A network fits correct labels first and memorises wrong ones later. Each
    image and categorical label stream therefore has a target `t`, the moving
    average of its predicted class probabilities `p`, which starts at 0,

    `t <- momentum * t + (1 - momentum) * p`

    and to the losses of `MultiTaskClassifier` is added, summed over those
    streams,

    `strength * mean log(1 - <p, t>)`.

    No gradient passes through `t`. The term's gradient cancels that of a
    label which the target disagrees with, and sustains that of one it agrees
    with. The mean is over the batch's given labels: where a label is missing
    there is no gradient to balance, and the term alone would only harden the
    network's own guess. Continuous tasks have their usual losses alone.

    The model has to know which images a batch holds. It is trained on
    elements `({"image": ..., "index": ...}, labels)`, as
    `LabelledImages.batches` makes them with `with_index=True`, and evaluated
    on any; the evaluated `loss` is without the regulariser.

    Args:
        encoder: An `Encoder`. Its tasks are those of the model.
        num_images: Number of training images; their indices are below it.
        momentum: Of the targets, in [0, 1); 0.7 on CIFAR-10.
        strength: Weight of the regulariser, lambda in its paper, at least 0;
            3 on CIFAR-10.
        **kwargs: `gamma`, `losses`, `consensus`, `name`, `dtype` and
            `trainable`, see `MultiTaskClassifier`.

    Raises:
        ValueError: if an argument is out of its range, or no task is
            categorical.
        RuntimeError: on other backends than TensorFlow.

    Example:

    >>> model = EarlyLearningRegularizer(encoder, num_images=len(data))
    >>> model.compile(keras.optimizers.Adam(1e-3))
    >>> batches = data.batches(training=True, with_index=True)
    >>> model.fit(batches, epochs=30)

    Reference:

    - [Liu et al., 2020](https://arxiv.org/abs/2007.00151)
    """

    def __init__(
        self, encoder, num_images, momentum=0.7, strength=3.0, **kwargs
    ):
        require_tensorflow("EarlyLearningRegularizer")
        super().__init__(encoder, **kwargs)
        check_number("num_images", num_images, minimum=1, integer=True)
        check_number("momentum", momentum, minimum=0, below=1)
        check_number("strength", strength, minimum=0)
        self.num_images = int(num_images)
        self.momentum = momentum
        self.strength = strength
        if not self.categorical_tasks:
            raise ValueError(
                "`encoder` must have a categorical task, for others there is "
                f"nothing to regularise. Received: {self.tasks}"
            )
        self.targets = {
            task.name: self.add_weight(
                name=f"{task.name}_targets",
                shape=(self.num_images, task.annotators, task.num_classes),
                dtype="float32",
                initializer="zeros",
                trainable=False,
                aggregation="sum",
            )
            for task in self.categorical_tasks
        }
        self.regularizer_tracker = keras.metrics.Mean(name="regularizer")

    @property
    def metrics(self):
        return [*super().metrics, self.regularizer_tracker]

    # === Objective ===

    def update_targets(self, outputs, index):
        """Moves the targets of a batch's images towards the predictions.

        Args:
            outputs: The encoder's raw `labels`, a dict by task name.
            index: Indices of the images, int32 of shape `(batch_size,)`.

        Returns:
            A dict by task name of the new targets of these images,
            `(batch_size, annotators, num_classes)`.
        """
        updated = {}
        for task in self.categorical_tasks:
            targets = self.targets[task.name].value
            probabilities = _probabilities(task, outputs)
            # Clipping left a sum other than 1.
            probabilities /= ops.sum(probabilities, axis=-1, keepdims=True)
            before = tf.gather(targets, index)
            step = (1.0 - self.momentum) * (probabilities - before)
            # Added and not assigned: replicas add up to the same targets.
            targets.scatter_add(tf.IndexedSlices(step, index))
            updated[task.name] = before + step
        return updated

    def compute_regularizer(self, labels, outputs, targets, sample_weight=None):
        """The regulariser, summed over the categorical label streams.

        Args:
            labels: Standardized labels, a dict by task name.
            outputs: The encoder's raw `labels`, a dict by task name.
            targets: What `update_targets` returned.
            sample_weight: Dict by task name of the images' weights, or None.

        Returns:
            A scalar, at most 0, without `strength`.
        """
        total = 0.0
        for task in self.categorical_tasks:
            probabilities = _probabilities(task, outputs)
            agreement = ops.sum(
                probabilities * ops.stop_gradient(targets[task.name]), axis=-1
            )
            present = ops.cast(task.present(labels[task.name]), "float32")
            present = ops.squeeze(present, axis=-1)
            weights = weigh_labels(
                present, sample_weight and sample_weight[task.name]
            )
            streams = ops.divide_no_nan(
                ops.sum(weights * ops.log(1.0 - agreement), axis=0),
                ops.sum(weights, axis=0),
            )
            total += ops.sum(streams)
        return total

    # === Training ===

    def unpack_indexed_batch(self, data):
        """Checks a training batch and takes it apart.

        Returns:
            Images, standardized labels, weights, and the indices of the
            images.

        Raises:
            ValueError: if the batch has no indices, or see `unpack_batch`.
        """
        index = self.batch_indices(data)
        if index is None:
            raise ValueError(
                "A training batch must have the index of each image, "
                "({'image': ..., 'index': ...}, labels); make the data set "
                "with `with_index=True`. Received: images without"
            )
        images, labels, weights = self.unpack_batch(data)
        index = ops.cast(index, "int32")
        clipped = ops.clip(index, 0, self.num_images - 1)
        wrong = ops.not_equal(index, clipped)
        require(
            ops.logical_not(ops.any(wrong)),
            "`index` of a batch must be from 0 to "
            f"{self.num_images - 1}, below `num_images`. Received:",
            ops.take(index, ops.argmax(wrong)),
        )
        # So that it is this check that fails, and not a look-up after it.
        return images, labels, weights, clipped

    def compute_training_losses(self, data):
        """See `MultiTaskClassifier`; with the regulariser."""
        images, labels, weights, index = self.unpack_indexed_batch(data)
        outputs = self.encoder(images, training=True)["labels"]
        # Before the loss, which sees the average with this prediction.
        targets = self.update_targets(outputs, index)
        loss, losses = self.compute_objective(labels, outputs, weights)
        regularizer = self.compute_regularizer(
            labels, outputs, targets, weights
        )
        loss += self.strength * regularizer
        predictions = self.predict_consensus(outputs)
        self.track(loss, losses, labels, predictions, weights)
        self.regularizer_tracker.update_state(
            regularizer, sample_weight=self.batch_weight(images, weights)
        )
        return [loss]

    # === Saving ===

    def get_config(self):
        config = super().get_config()
        config.update(
            num_images=self.num_images,
            momentum=self.momentum,
            strength=self.strength,
        )
        return config


def _probabilities(task, outputs):
    probabilities = task.activate(ops.cast(outputs[task.name], "float32"))
    return ops.clip(probabilities, _MARGIN, 1.0 - _MARGIN)
