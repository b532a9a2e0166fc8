"""Checks of arguments: one clear line that names what was wrong."""

import argparse
import math
import numbers


def check_number(argument, value, minimum=None, above=None, integer=False):
    """Checks a number and returns it.

    Args:
        argument: Name of the argument, for the message.
        value: What was received.
        minimum: Smallest value allowed.
        above: Value that it must be greater than.
        integer: Whether it must be an integer.

    Raises:
        ValueError: if it is not a finite number in that range.
    """
    kind = numbers.Integral if integer else numbers.Real
    if (
        not isinstance(value, kind)
        or isinstance(value, bool)
        or not math.isfinite(value)
        or (minimum is not None and value < minimum)
        or (above is not None and value <= above)
    ):
        noun = "an integer" if integer else "a finite number"
        raise ValueError(
            f"`{argument}` must be {_bound(minimum, above)}, {noun}. "
            f"Received: {value!r}"
        )
    return value


def number_flag(kind, minimum=None, above=None, maximum=math.inf):
    """A type of `argparse` flags: a finite number in a range.

    Args:
        kind: `int` or `float`.
        minimum: Smallest value allowed.
        above: Value that it must be greater than.
        maximum: Largest value allowed.

    Returns:
        A function from the flag's text to the number, for `add_argument`.
    """

    def parse(text):
        value = kind(text)
        try:
            check_number("value", value, minimum, above)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"must be {_bound(minimum, above)}. Received: {text}"
            ) from None
        if value > maximum:
            raise argparse.ArgumentTypeError(
                f"must be at most {maximum}. Received: {text}"
            )
        return value

    parse.__name__ = kind.__name__
    return parse


def _bound(minimum, above):
    return f"at least {minimum}" if above is None else f"above {above}"
