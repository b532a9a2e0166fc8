"""Many training runs under the same conditions, and what to choose by them."""

from keras_noisyfer.comparison.choice import compare as compare
from keras_noisyfer.comparison.data import DATASETS as DATASETS
from keras_noisyfer.comparison.data import dataset as dataset
from keras_noisyfer.comparison.data import load_case as load_case
from keras_noisyfer.comparison.experiment import Experiment as Experiment
from keras_noisyfer.comparison.experiment import (
    read_experiment as read_experiment,
)
from keras_noisyfer.comparison.methods import METHODS as METHODS
from keras_noisyfer.comparison.methods import method as method
from keras_noisyfer.comparison.ranking import Ranking as Ranking
from keras_noisyfer.comparison.report import write_report as write_report
from keras_noisyfer.comparison.runner import run_experiment as run_experiment

__all__ = [
    "DATASETS",
    "METHODS",
    "Experiment",
    "Ranking",
    "compare",
    "dataset",
    "load_case",
    "method",
    "read_experiment",
    "run_experiment",
    "write_report",
]
