"""What tells a function from an edited one, of which nothing is kept."""

from keras_noisyfer import comparison, losses
from keras_noisyfer.comparison.choice_checks import (
    describe_function,
    describe_method,
)
from keras_noisyfer.comparison.methods import METHODS

MODULE = """
import numpy as np
BY = 2.0
def helper(images):
    return images * 3
def change(images, seed):
    return helper(np.asarray(images)) * BY
def again(images, seed):
    return again(images, seed)
"""


def describe(text=MODULE, name="change"):
    """A module, such as the cells of a notebook, that was run anew."""
    module = {"__name__": "mine"}
    exec(text, module)
    return describe_function("augmentation", module[name])


def test_what_a_function_reads_and_calls_is_a_part_of_it():
    assert describe() == describe()
    assert describe() != describe(MODULE.replace("BY = 2.0", "BY = 3.0"))
    assert describe() != describe(MODULE.replace("images * 3", "images * 4"))
    assert describe(name="again") == describe(name="again")


def test_an_edited_loss_is_another():
    def describe(factor):
        class Mine(losses.SparseCategoricalCrossentropy):
            def call(self, y_true, y_pred, sample_weight=None):
                return factor * super().call(y_true, y_pred, sample_weight)

        try:
            comparison.method("mine", "Mine", loss=Mine)(
                METHODS["vggnet"].make_model
            )
            return describe_method("mine")
        finally:
            METHODS.pop("mine", None)

    assert describe(1.0) == describe(1.0) != describe(7.0)
