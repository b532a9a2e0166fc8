"""What the models' `compile`, `fit` and steps share."""

import sys

import keras
from keras import ops

from keras_noisyfer.distribution import is_multi_process, replica_count
from keras_noisyfer.losses import CategoricalCrossentropy, ConcordanceLoss
from keras_noisyfer.tasks import CategoricalTask


class CountEpochs(keras.callbacks.Callback):
    """Counts a model's epochs in `completed_epochs`, over calls of `fit`.

    Before each epoch the model may change its train step.
    """

    def on_epoch_begin(self, epoch, logs=None):
        self.model.make_train_function()

    def on_epoch_end(self, epoch, logs=None):
        self.model.completed_epochs.assign_add(1)


def check_loss(task, loss):
    """Raises `ValueError` if a loss cannot read a task's labels."""
    shape = (2, task.annotators, task.width)
    categorical = isinstance(task, CategoricalTask)
    labels = ops.zeros(shape[:2], "int32") if categorical else ops.zeros(shape)
    try:
        value = loss(labels, ops.zeros(shape))
        problem = f"a value of shape {tuple(value.shape)}"
        valid = value.shape == ()
    except Exception as error:
        problem, valid = type(error).__name__, False
    if not valid:
        raise ValueError(
            f"`losses['{task.name}']` must make a scalar of labels of shape "
            f"{tuple(labels.shape)} and outputs of shape {shape}. "
            f"Received: {problem} from {getattr(loss, 'name', loss)}"
        )


def make_losses(tasks, losses):
    """The loss of each task, a dict by name.

    Args:
        tasks: Sequence of tasks.
        losses: Those given, a dict by task name, or None.

    Raises:
        ValueError: if a task is unknown or a loss cannot read its labels.
    """
    losses = {} if losses is None else losses
    if not isinstance(losses, dict) or not all(map(callable, losses.values())):
        raise ValueError(
            "`losses` must be a dict of keras.losses.Loss objects by "
            f"task name. Received: {losses!r}"
        )
    losses = dict(losses)
    names = [task.name for task in tasks]
    unknown = sorted(set(losses) - set(names))
    if unknown:
        raise ValueError(
            f"`losses` may only have the keys {names}. Received: keys={unknown}"
        )
    for task in tasks:
        default = ConcordanceLoss
        if isinstance(task, CategoricalTask):
            default = CategoricalCrossentropy
        losses.setdefault(task.name, default())
        check_loss(task, losses[task.name])
    return losses


def require_tensorflow(model):
    """Raises `RuntimeError` if a model cannot run on the chosen backend."""
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"{model} needs KERAS_BACKEND=tensorflow. "
            f"Received: {keras.backend.backend()}"
        )


def replicas_of(model):
    """Number of replicas of TensorFlow's strategy that a model was made
    under."""
    if keras.backend.backend() != "tensorflow":
        return 1
    return model.distribute_strategy.num_replicas_in_sync


def check_shards(model, batch_size=None, **data):
    """Raises `ValueError` where Keras could not share out batches among
    processes or replicas, which it finds in the course of `fit`.

    Args:
        model: The model that they are given to.
        batch_size: Number of images a batch of arrays; 32 if None.
        **data: What is given to `fit` or `evaluate`, by argument.
    """
    replicas = replicas_of(model)
    for argument, given in data.items():
        if not is_tf_dataset(given):
            size = None if given is None else batch_size or 32
        else:
            size = keras.tree.flatten(given.element_spec)[0].shape[0]
            if is_multi_process() and size is None:
                raise ValueError(
                    f"`{argument}` must have batches of one size, to be "
                    "shared out among the processes: for evaluation take a "
                    "number of images that is a multiple of the batch size. "
                    "Received: a data set with a smaller last batch"
                )
        if size is not None and size % replicas:
            raise ValueError(
                f"`{argument}` must have batches that can be shared out "
                f"among {replicas} replicas. Received: batch size {size}"
            )


def revocable_variables(model):
    """What a step changes beside weights and optimizers: batch statistics,
    vectors of spectral norms, moving averages, metrics. Not what counts."""
    variables = {
        id(each): each
        for each in (*model.variables, *model.metrics_variables)
        if not each.trainable and keras.backend.is_float_dtype(each.dtype)
    }
    return list(variables.values())


def gradient_terms(model, updates, gradients):
    """The gradients' sums, which are not finite if an entry is not, by name.

    Args:
        model: The model that is trained.
        updates: List of pairs of an optimizer and its variables.
        gradients: List of lists of gradients, one of each variable.

    Returns:
        List of pairs of a name and a scalar, without those of an optimizer
        that scales its loss and so copes with such gradients itself.
    """
    names = {
        id(variable): f"{network}/{variable.path}"
        for network, layer in vars(model).items()
        if isinstance(layer, keras.Layer)
        for variable in layer.trainable_variables
    }
    return [
        (
            f"gradient of {names.get(id(variable), variable.path)}",
            ops.sum(gradient),
        )
        for (optimizer, variables), group in zip(
            updates, gradients, strict=True
        )
        if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        for variable, gradient in zip(variables, group, strict=True)
    ]


def scale_losses(losses, updates):
    """Losses as the optimizers want them differentiated.

    Every replica has computed the loss of the whole batch, and the optimizers
    add up what the replicas make of it.

    Args:
        losses: List of scalars.
        updates: List of pairs of an optimizer and its variables, one a loss.
    """
    return [
        optimizer.scale_loss(loss) / replica_count()
        for loss, (optimizer, _) in zip(losses, updates, strict=True)
    ]


def is_tf_dataset(data):
    """Whether data is a `tf.data.Dataset`; TensorFlow need not be there."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(data, tensorflow.data.Dataset)


def batch_shapes(x, y=None, **_):
    """Shapes of what `evaluate` is given, but for the first dimension."""
    given = x.element_spec if is_tf_dataset(x) else x if y is None else y
    return [
        tuple(each.shape[1:])
        for each in keras.tree.flatten(given)
        if hasattr(each, "shape")
    ]


def metric_results(metrics):
    """Results of metrics as one dict, whose values may be dicts each."""
    results = {}
    for metric in metrics:
        result = metric.result()
        results.update(
            result if isinstance(result, dict) else {metric.name: result}
        )
    return results
