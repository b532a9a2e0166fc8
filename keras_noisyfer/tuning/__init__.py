"""Choosing lambda and gamma without clean labels, with KerasTuner."""

try:
    import keras_tuner  # noqa: F401
except ImportError as error:
    raise ImportError(
        "keras_noisyfer.tuning needs KerasTuner: "
        "pip install keras_noisyfer[tune]"
    ) from error

from keras_noisyfer.tuning.hyper_model import JointDistributionHyperModel
from keras_noisyfer.tuning.isolated_trials import (
    HISTORY_FILE,
    isolated,
    trial_rows,
)
from keras_noisyfer.tuning.objectives import (
    DIRECTIONS,
    PAPER_TARGETS,
    make_objective,
    objective_directions,
)

__all__ = [
    "DIRECTIONS",
    "HISTORY_FILE",
    "PAPER_TARGETS",
    "JointDistributionHyperModel",
    "isolated",
    "make_objective",
    "objective_directions",
    "trial_rows",
]
