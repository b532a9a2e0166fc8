"""What a loss over a batch needs where the batch is spread over replicas.

TensorFlow's strategies run a step on each replica with its share of the
batch: a statistic of the batch, such as the concordance, has to be summed over
them. JAX gives the step the whole batch, whatever devices it lies on.
"""

import keras
from keras import ops

from keras_noisyfer.typing import Shape, Tensor

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
elif keras.backend.backend() == "jax":
    import jax


def require_tensorflow(what: str) -> None:
    """Raises `RuntimeError` if something cannot run on the chosen backend."""
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"{what} needs KERAS_BACKEND=tensorflow. "
            f"Received: {keras.backend.backend()}"
        )


def replicas_of(model: keras.Model) -> int:
    """Number of replicas of TensorFlow's strategy that a model was made
    under."""
    if keras.backend.backend() != "tensorflow":
        return 1
    return model.distribute_strategy.num_replicas_in_sync


def replica_count() -> int:
    """Number of replicas that the current step runs on."""
    return _context().num_replicas_in_sync if is_replicated() else 1


def sum_over_replicas(tensor: Tensor) -> Tensor:
    """The sum of the replicas' tensors; on one replica the tensor itself.

    Its gradient is the sum of the replicas' gradients: a loss that every
    replica computes in full is to be divided by `replica_count`.
    """
    if not is_replicated():
        return tensor
    return _context().all_reduce(tf.distribute.ReduceOp.SUM, tensor)


def mean_over_batch(tensor: Tensor) -> Tensor:
    """The mean of all entries of a tensor, over all replicas."""
    if not is_replicated():
        return ops.mean(tensor)
    size = ops.cast(ops.size(tensor), tensor.dtype)
    return sum_over_replicas(ops.sum(tensor)) / sum_over_replicas(size)


def gather_over_replicas(tensor: Tensor) -> Tensor:
    """The rows of all replicas' tensors; on one replica the tensor itself."""
    if not is_replicated():
        return tensor
    return _context().all_gather(tensor, axis=0)


def draw_noise(
    shape: Shape, seed_generator: keras.random.SeedGenerator
) -> Tensor:
    """Gaussian noise, other for each element of the batch.

    Args:
        shape: Shape of a replica's share.
        seed_generator: `keras.random.SeedGenerator`, whose state is the same
            on all replicas.
    """
    if not is_replicated():
        return keras.random.normal(shape, seed=seed_generator)
    # That of the whole batch, of which each replica takes its rows.
    rows, *others = shape
    noise = keras.random.normal(
        (rows * replica_count(), *others), seed=seed_generator
    )
    start = _context().replica_id_in_sync_group * rows
    return noise[start : start + rows]


def is_distributed() -> bool:
    """Whether variables are being created for several replicas."""
    return (
        keras.backend.backend() == "tensorflow"
        and tf.distribute.get_strategy().num_replicas_in_sync > 1
    )


def is_chief() -> bool:
    """Whether this process is the one of several that writes files.

    With `keras.distribution` on several machines every process has all
    weights, but reads them together with the others: what saves a model has
    to run in all of them, and only what writes text or figures in this one
    alone. `ChiefModelCheckpoint` does both.
    """
    return not is_multi_process() or jax.process_index() == 0


def is_multi_process() -> bool:
    """Whether JAX trains in several processes."""
    return keras.backend.backend() == "jax" and jax.process_count() > 1


def check_strategy() -> None:
    """Raises `RuntimeError` if Keras cannot train under the strategy."""
    if is_distributed() and isinstance(
        tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy
    ):
        raise RuntimeError(
            "`fit` of Keras 3 fails under MultiWorkerMirroredStrategy: train "
            "on several machines with KERAS_BACKEND=jax and "
            "keras.distribution.DataParallel. Received: a strategy of "
            f"{tf.distribute.get_strategy().num_replicas_in_sync} replicas"
        )


def _context():
    return tf.distribute.get_replica_context()


def is_replicated() -> bool:
    """Whether a step runs on one of several replicas."""
    return is_distributed() and _context() is not None
