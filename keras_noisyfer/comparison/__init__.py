"""Many training runs under the same conditions, and what to choose by them."""

from keras_noisyfer.comparison.choice import compare as compare
from keras_noisyfer.comparison.data import DATASETS as DATASETS
from keras_noisyfer.comparison.data import dataset as dataset
from keras_noisyfer.comparison.methods import METHODS as METHODS
from keras_noisyfer.comparison.methods import method as method
from keras_noisyfer.comparison.ranking import Ranking as Ranking

__all__ = ["DATASETS", "METHODS", "Ranking", "compare", "dataset", "method"]
