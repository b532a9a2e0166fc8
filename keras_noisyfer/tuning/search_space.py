"""What can be searched: numbers, ranges and choices, as KerasTuner has them.

A hyperparameter is given as a number or word: fixed; a tuple `(low, high)`: a
range, on a logarithmic scale where `low` is above 0 and it is no integer; or a
list: a choice.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import keras_tuner

from keras_noisyfer.arguments import AUTO, check_number

INTEGERS = ("warmup_epochs", "discriminator_steps", "joint_every")
AUTOMATIC = ("lambda_joint", "gamma")


def check_values(name: str, values: Any) -> None:
    """Raises `ValueError` if a hyperparameter cannot be searched so."""
    several = isinstance(values, (tuple, list))
    if several and not values or isinstance(values, tuple) and len(values) != 2:
        raise ValueError(
            f"`{name}` must be a number, a range (low, high) or a non-empty "
            f"list. Received: {values!r}"
        )
    for value in values if several else [values]:
        is_word = isinstance(value, bool) or (
            name in AUTOMATIC and value == AUTO
        )
        if is_word and not isinstance(values, tuple):
            continue
        check_number(name, value, minimum=0, integer=name in INTEGERS)
    if isinstance(values, tuple) and values[0] >= values[1]:
        raise ValueError(
            f"`{name}` must be a range with low below high. "
            f"Received: {values!r}"
        )


def choose(hp: keras_tuner.HyperParameters, name: str, values: Any) -> Any:
    """The value that a trial's hyperparameters have for `name`."""
    if isinstance(values, list):
        # KerasTuner has choices of one type.
        if AUTO in values:
            chosen = hp.Choice(name, [str(each) for each in values])
            return chosen if chosen == AUTO else float(chosen)
        if any(isinstance(each, float) for each in values):
            values = [float(each) for each in values]
        return hp.Choice(name, values)
    if not isinstance(values, tuple):
        return hp.Fixed(name, values)
    low, high = values
    if name in INTEGERS:
        return hp.Int(name, low, high)
    sampling = "log" if low > 0 else "linear"
    return hp.Float(name, float(low), float(high), sampling=sampling)


def list_points(
    space: Mapping[str, Any], max_trials: int, seed: int = 0
) -> list[dict[str, Any]]:
    """Points of a space: all of one that has no range, else drawn at random.

    Args:
        space: Dict by name of hyperparameters.
        max_trials: Number of points where there is a range.
        seed: Of the draws.
    """
    choices = {
        name: list(dict.fromkeys(each))
        for name, each in space.items()
        if isinstance(each, list)
    }
    if len(choices) == len(space):
        points = itertools.product(*choices.values())
        return [dict(zip(choices, each, strict=True)) for each in points]
    hp = keras_tuner.HyperParameters()
    for name, values in space.items():
        # By number, since values of several types may be chosen from.
        if name in choices:
            values = list(range(len(choices[name])))
        choose(hp, name, values)
    # KerasTuner takes a seed of 0 for none.
    oracle = keras_tuner.oracles.RandomSearchOracle(
        max_trials=max_trials, seed=seed + 1, hyperparameters=hp
    )
    points = []
    for index in range(max_trials):
        drawn = oracle.populate_space(str(index))["values"]
        drawn |= {name: choices[name][drawn[name]] for name in choices}
        # Of few integers one may be drawn again.
        if drawn not in points:
            points.append(drawn)
    return points
