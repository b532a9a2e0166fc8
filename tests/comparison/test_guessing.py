"""A ranking of methods that only guess."""

import numpy as np
import pandas as pd
import pytest

import keras_noisyfer as kn
from keras_noisyfer.comparison.noisy_scores import guess_scores
from keras_noisyfer.comparison.ranking import tell_guessing

MOOD = kn.CategoricalTask("mood", 3, annotators=2)
PAIN = kn.ContinuousTask("pain", ("pain",))
LABELS = {
    # Of nine labels five are 1, three are 0.
    "mood": np.array([[1, 1], [0, 1], [1, -1], [0, 0], [2, 1]]),
    "pain": np.linspace(-1, 1, 5, dtype="float32")[:, None, None],
}


def test_a_guess_is_right_as_often_as_the_most_frequent_class():
    guesses = guess_scores([MOOD, PAIN], LABELS)
    assert guesses == {"mood": pytest.approx(5 / 9), "pain": 0}
    balanced = guess_scores([MOOD], LABELS, balanced=True)
    assert balanced == {"mood": pytest.approx(1 / 3)}


def test_told_where_no_task_is_surely_better():
    def told(mood, pain):
        row = {"title": "SCE", "mood_low": mood, "pain_low": pain}
        table = pd.DataFrame([row, row | {"title": "ELR", "mood_low": 0.9}])
        return tell_guessing(table, {"mood": 5 / 9, "pain": 0.0})

    (remark,) = told(0.5, -0.1)
    assert remark.startswith("Not even SCE is surely better")
    assert "(mood 0.556, pain 0.000)" in remark
    assert told(0.6, -0.1) == told(0.5, 0.1) == []
