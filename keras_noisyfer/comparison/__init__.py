"""Many training runs under the same conditions, and what to choose by them."""

from keras_noisyfer.comparison.choice import compare
from keras_noisyfer.comparison.choice_checks import DEFAULT_METHODS
from keras_noisyfer.comparison.data import (
    CROWD_ANNOTATORS,
    DATASETS,
    Case,
    dataset,
    load_case,
)
from keras_noisyfer.comparison.epoch_log import EpochLog, evaluate
from keras_noisyfer.comparison.experiment import Experiment
from keras_noisyfer.comparison.experiment_file import read_experiment
from keras_noisyfer.comparison.methods import METHODS, method
from keras_noisyfer.comparison.ranking import Ranking
from keras_noisyfer.comparison.reading import read_cells, read_histories
from keras_noisyfer.comparison.report import write_report
from keras_noisyfer.comparison.runner import run_experiment
from keras_noisyfer.comparison.training import prepare_training, train_method

__all__ = [
    "CROWD_ANNOTATORS",
    "DATASETS",
    "DEFAULT_METHODS",
    "METHODS",
    "Case",
    "EpochLog",
    "Experiment",
    "Ranking",
    "compare",
    "dataset",
    "evaluate",
    "load_case",
    "method",
    "prepare_training",
    "read_cells",
    "read_experiment",
    "read_histories",
    "run_experiment",
    "train_method",
    "write_report",
]
