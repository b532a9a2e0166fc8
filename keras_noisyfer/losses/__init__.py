"""Losses of the tasks and of the adversarial game.

Labels may be missing: -1 for a class, NaN for a value. A missing label has no
part in a loss and no gradient. `Sparse...` losses take class ids.
"""

from keras_noisyfer.losses.adversarial import (
    discriminator_hinge_loss,
    generator_hinge_loss,
    noise_code_divergence,
    reconstruction_loss,
)
from keras_noisyfer.losses.by_task import LabelLoss
from keras_noisyfer.losses.classes import (
    SparseCategoricalCrossentropy,
    SparseGeneralizedCrossentropy,
    SparseSymmetricCrossentropy,
    sparse_categorical_crossentropy,
    sparse_generalized_crossentropy,
    sparse_symmetric_crossentropy,
)
from keras_noisyfer.losses.streams import StreamLoss
from keras_noisyfer.losses.values import (
    ConcordanceLoss,
    MeanSquaredError,
    concordance_loss,
    mean_squared_error,
)

__all__ = [
    "ConcordanceLoss",
    "LabelLoss",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "SparseGeneralizedCrossentropy",
    "SparseSymmetricCrossentropy",
    "StreamLoss",
    "concordance_loss",
    "discriminator_hinge_loss",
    "generator_hinge_loss",
    "mean_squared_error",
    "noise_code_divergence",
    "reconstruction_loss",
    "sparse_categorical_crossentropy",
    "sparse_generalized_crossentropy",
    "sparse_symmetric_crossentropy",
]
