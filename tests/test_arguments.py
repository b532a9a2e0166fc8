import argparse

import numpy as np
import pytest

from keras_noisyfer.arguments import check_number
from noisyfer.flags import number_flag


def test_accepts_numbers_in_range():
    assert check_number("x", 0, minimum=0) == 0
    assert check_number("x", np.float32(0.5), above=0) == 0.5
    assert check_number("x", np.int64(3), minimum=1, integer=True) == 3
    assert check_number("x", 1, above=0, maximum=1) == 1
    assert check_number("x", -4, below=0) == -4


@pytest.mark.parametrize(
    ("value", "limits", "message"),
    [
        (-1, {"minimum": 0}, "`x` must be at least 0, a finite.*-1"),
        (0, {"above": 0}, "`x` must be above 0"),
        (1, {"minimum": 0, "below": 1}, "at least 0 and below 1, a finite.*1"),
        (1.5, {"above": 0, "maximum": 1}, "above 0 and at most 1, .*: 1.5"),
        (float("inf"), {"minimum": 0}, "Received: inf"),
        (float("nan"), {"minimum": 0}, "Received: nan"),
        (True, {"minimum": 0}, "Received: True"),
        ("1", {"minimum": 0}, "Received: '1'"),
        (1.5, {"minimum": 0, "integer": True}, "an integer. Received: 1.5"),
    ],
)
def test_rejects_others(value, limits, message):
    with pytest.raises(ValueError, match=message):
        check_number("x", value, **limits)


def test_flags():
    parse = number_flag(int, minimum=1, maximum=5)
    assert parse("3") == 3
    for text, message in (("0", "at least 1"), ("6", "at most 5")):
        with pytest.raises(argparse.ArgumentTypeError, match=message):
            parse(text)
    with pytest.raises(argparse.ArgumentTypeError, match="above 0"):
        number_flag(float, above=0)("nan")
    with pytest.raises(ValueError):
        parse("two")
