"""AIR: a last layer that only reliable images have a say in."""

from typing import Any

import keras
import numpy as np

from keras_noisyfer.arguments import check_number, check_training, describe
from keras_noisyfer.batches import Batch, check_data
from keras_noisyfer.checkpoints import ResumeTraining
from keras_noisyfer.distribution import is_distributed, require_tensorflow
from keras_noisyfer.models.multi_task import MultiTaskModel
from keras_noisyfer.networks import Encoder
from keras_noisyfer.typing import Tensor
from keras_noisyfer.value_checks import check_images, one_line_errors

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    from keras_noisyfer.stochastic_admm import StochasticADMM, group_norms


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class AIR(MultiTaskModel):
    """Auxiliary image regularization (AIR): a softmax on frozen features.

    The features x of an image are the last embedding of an encoder that is
    trained already, scaled to unit length. Each label stream of a
    categorical task has a softmax of its own, without bias, with the weights
    W that minimize

    `mean CE(x W, labels) + weight_decay / (2 K) ||W||^2
    + group_weight / (n K) sum_ik ||diag(x_i) w_k|| / sqrt(nnz(x_i))`

    over the n training images and the K classes. The norms are not squared:
    a class leaves the features of images that do not belong to it unused, and
    with them those of the images that wrongly bear its label. The problem is
    convex; stochastic ADMM solves it, see `StochasticADMM`.

    AIR is made for one label set and one task. Here the streams' problems are
    added up, and the consensus of the softmaxes is predicted. Continuous
    tasks keep the encoder's own heads, unchanged.

    The encoder is shared with whatever else uses it and never updated, nor is
    there anything for the optimizer of `compile` to do.

    Args:
        encoder: A trained `Encoder`, such as that of a `MultiTaskModel`
            fitted to the same labels. At least one task is categorical.
        group_weight: Weight of the group norms, at least 0.
        weight_decay: Weight of the squared norm of W, at least 0.
        penalty: ADMM's penalty at the start, above 0. It grows by 1.1 an
            iteration.
        max_penalty: Largest penalty, at least `penalty`. Below about half
            the number of nonzero features of an image the iterates swing,
            and only their average settles.
        **kwargs: `gamma` and `consensus`, for the reported loss and the
            prediction; `name`, `dtype`, `trainable`. What `compile` is given
            as `loss` and `loss_weights` is reported alone, too.

    Raises:
        ValueError: if an argument is out of its range or no task is
            categorical.
        RuntimeError: on other backends than TensorFlow, and under a
            strategy of several replicas.

    Example:

    >>> plain = MultiTaskModel(encoder)
    >>> plain.compile()
    >>> plain.fit(dataset, epochs=50)
    >>> model = AIR(plain.encoder)
    >>> model.compile()
    >>> model.fit(dataset, epochs=50, validation_data=clean_dataset)

    Reference:

    - [Azadi et al., 2016](https://arxiv.org/abs/1511.07069)
    """

    takes_mixtures = False

    def __init__(
        self,
        encoder: Encoder,
        group_weight: float = 10.0,
        weight_decay: float = 0.0,
        penalty: float = 10.0,
        max_penalty: float = 100.0,
        **kwargs: Any,
    ):
        require_tensorflow("AIR")
        if is_distributed():
            raise RuntimeError(
                "AIR trains on one device, since its "
                "solver has to see all images of a batch. Received: a "
                "strategy of several replicas"
            )
        if kwargs.get("regularizers"):
            raise ValueError(
                "`regularizers` must be empty for AIR, whose solver minimizes "
                f"what it says alone. Received: {kwargs['regularizers']}"
            )
        super().__init__(encoder, **kwargs)
        check_number("group_weight", group_weight, minimum=0)
        check_number("weight_decay", weight_decay, minimum=0)
        check_number("penalty", penalty, above=0)
        check_number("max_penalty", max_penalty, minimum=penalty)
        self.group_weight = group_weight
        self.weight_decay = weight_decay
        self.penalty = penalty
        self.max_penalty = max_penalty
        if not self.categorical_tasks:
            raise ValueError(
                "`encoder` must have a CategoricalTask, AIR is a softmax. "
                f"Received: tasks={[task.name for task in self.tasks]}"
            )
        self.heads = {
            task.name: keras.layers.EinsumDense(
                "bf,fak->bak",
                output_shape=(task.annotators, task.num_classes),
                kernel_initializer="zeros",
                dtype="float32",
                name=f"{task.name}_head",
            )
            for task in self.categorical_tasks
        }
        self._predictor = self._make_predictor()
        self.objective_tracker = keras.metrics.Mean(name="objective")
        self._solvers: Any = None

    def _make_predictor(self):
        """The encoder, with `heads` in the place of its own ones.

        As a network like the encoder it can be exported in its place.
        """
        embedding = self.encoder.output["features"]
        features = keras.layers.UnitNormalization(
            dtype="float32", name="features"
        )(embedding)
        labels = dict(self.encoder.output["labels"])
        for name, head in self.heads.items():
            labels[name] = head(features)
        return keras.Model(
            self.encoder.input,
            {"features": features, "labels": labels},
            name="predictor",
        )

    @property
    def predictor(self) -> keras.Model:
        return self._predictor

    # === Training ===

    def compile(  # type: ignore[override]
        self, optimizer: Any = None, loss: Any = None, **options: Any
    ) -> None:
        """See `MultiTaskModel.compile`; losses of classes are the solver's."""
        for name in set(loss or {}) & set(self.heads):
            raise ValueError(
                f"`loss['{name}']` must be left out for AIR, whose solver "
                f"minimizes what it says alone. Received: {loss[name]!r}"
            )
        super().compile(optimizer, loss=loss, **options)

    def get_compile_config(self) -> dict[str, Any] | None:
        config = super().get_compile_config()
        if config is not None:
            for name in self.heads:
                del config["loss"][name]
        return config

    def fit(  # type: ignore[override]
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        *,
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Solves for the last layer; the arguments are those of
        `keras.Model.fit`.

        The images are looked at once, for their features; an epoch is a pass
        over the features in batches, each of which makes one iteration of
        ADMM. All training images are auxiliary images. The solver's state, of
        n * K * features numbers a label stream, is not saved: every call
        starts it anew, at the weights that the model has.

        Args:
            x: Finite `tf.data.Dataset` of batches `(image, labels)`, or an
                array of images, or a dict with it. Augmented images are seen
                in one version.
            y: Labels, where `x` is an array; a dict by task name.
            batch_size: Number of images a batch, where `x` is an array.
            epochs: Number of passes.
            verbose: As in `keras.Model.fit`.
            callbacks: Keras callbacks.
            sample_weight: Weights of the images, where `x` is an array.
            **kwargs: As in `keras.Model.fit`.

        Returns:
            A `History`. `objective` is the value of what is minimized, summed
            over the label streams, at the end of each epoch.

        Raises:
            ValueError: if a batch is not in the data contract, or the data
                set has no end.
        """
        check_training(self, "fit", kwargs)
        if kwargs.get("validation_split"):
            raise ValueError(
                "`validation_split` must be left out; `validation_data` takes "
                f"held-out images. Received: {kwargs['validation_split']}"
            )
        if not isinstance(x, tf.data.Dataset):
            if not isinstance(x, dict) and not hasattr(x, "shape"):
                raise ValueError(
                    "`x` must be a tf.data.Dataset or an array of images. "
                    f"Received: {type(x).__name__}"
                )
            check_data(self, x, y, sample_weight)
            parts = (x, y) if sample_weight is None else (x, y, sample_weight)
            x = tf.data.Dataset.from_tensor_slices(parts).batch(
                batch_size or 32
            )
        elif y is not None or sample_weight is not None:
            raise ValueError(
                "`y` and `sample_weight` must be None where `x` is a "
                "tf.data.Dataset, which brings them. Received: "
                f"{describe(y)}, {describe(sample_weight)}"
            )
        self._check_training(callbacks)
        if x.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise ValueError(
                "`x` must be a finite data set, whose images AIR gathers. "
                "Received: a data set that repeats without end"
            )
        inputs, labels, weights, batch_size = self._gather(x)
        self._solvers = {
            task.name: [
                StochasticADMM(
                    inputs["features"],
                    labels[task.name][:, annotator],
                    self.heads[task.name].kernel.value[:, annotator],
                    self.group_weight,
                    self.weight_decay,
                    self.penalty,
                    self.max_penalty,
                    weights[task.name],
                )
                for annotator in range(task.annotators)
            ]
            for task in self.categorical_tasks
        }
        # The step reads the new solvers' state.
        self.train_function = None
        count = len(inputs["features"])
        features = tf.data.Dataset.from_tensor_slices((inputs, labels, weights))
        if kwargs.pop("shuffle", True):
            features = features.shuffle(count)
        features = features.batch(batch_size, drop_remainder=True)
        return super().fit(
            features,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            **kwargs,
        )

    def _check_training(self, callbacks):
        """Refuses what needs a state of training that the model holds."""
        if self.on_nonfinite == "skip":
            raise ValueError(
                "`on_nonfinite` must be 'raise' for AIR, whose solver cannot "
                "take a step back. Received: 'skip'"
            )
        for each in keras.tree.flatten(callbacks or []):
            if isinstance(each, ResumeTraining):
                raise ValueError(
                    "`callbacks` must be without ResumeTraining for AIR, whose "
                    "solver's state is not saved. Received: one"
                )

    def _gather(self, dataset):
        """What the steps read of all images, their labels and weights, and
        the size of a batch."""

        @tf.function(reduce_retracing=True)
        def read(images):
            check_images(images, self.encoder.image_shape)
            outputs = self.predictor(images, training=False)
            values = {
                task.name: outputs["labels"][task.name]
                for task in self.tasks
                if task.name not in self.heads
            }
            return {"features": outputs["features"], "values": values}

        batches = []
        with one_line_errors():
            for batch in dataset:
                # Out of the traced function, whose errors have many lines.
                images, labels, weights, *_ = self.unpack_batch(batch)
                if weights is None:
                    weights = dict.fromkeys(labels, tf.ones(len(images)))
                parts = read(images), labels, weights
                batches.append(keras.tree.map_structure(np.asarray, parts))
        if not batches:
            raise ValueError("`x` must hold at least one batch. Received: none")
        gathered = keras.tree.map_structure(
            lambda *parts: np.concatenate(parts), *batches
        )
        return *gathered, len(batches[0][0]["features"])

    @property
    def trained_variables(self) -> list[keras.Variable]:
        # The solver, not the optimizer, updates the last layer.
        return []

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, self.objective_tracker]

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """One iteration of ADMM for each label stream."""
        inputs, labels, weights = data
        features = inputs["features"]
        outputs = dict(inputs["values"])
        objective = 0.0
        for task in self.categorical_tasks:
            solvers = self._solvers[task.name]
            for annotator, solver in enumerate(solvers):
                solver.step(
                    features,
                    labels[task.name][:, annotator],
                    weights[task.name],
                )
                objective += solver.objective()
            head = self.heads[task.name]
            head.kernel.assign(
                tf.stack([each.average for each in solvers], axis=1)
            )
            outputs[task.name] = head(features)
        loss, losses = self.compute_objective(labels, outputs, weights)
        batch = Batch(features, labels, weights)
        self.track(batch, loss, losses, self.predict_consensus(outputs))
        # The last value of an epoch, not the mean.
        self.objective_tracker.reset_state()
        self.objective_tracker.update_state(objective)
        return self.get_metrics_result()

    # === Reading out ===

    def group_norms(
        self, images: np.ndarray, batch_size: int = 128
    ) -> dict[str, np.ndarray]:
        """`||diag(x_i) w_k||`: how much a class makes of an image's features.

        Args:
            images: Array of images in [-1, 1], shape
                `(n, size, size, channels)`.
            batch_size: Number of images that are read at once.

        Returns:
            A dict by categorical task of arrays of shape
            `(n, annotators, num_classes)`.
        """
        check_images(
            keras.ops.convert_to_tensor(images), self.encoder.image_shape
        )
        features = self.predictor.predict(
            images, batch_size=batch_size, verbose=0
        )["features"]
        return {
            name: np.stack(
                [
                    group_norms(features, head.kernel.value[:, annotator])
                    for annotator in range(head.kernel.shape[1])
                ],
                axis=1,
            )
            for name, head in self.heads.items()
        }
