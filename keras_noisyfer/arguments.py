"""Checks of arguments: one clear line that names what was wrong."""

import functools
import inspect
import math
import numbers
import re
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_noisyfer.typing import Tasks

# In the place of a weight that is balanced in training.
AUTO = "auto"


def one_line(text: object, limit: int = 400) -> str:
    """What others wrote, as a part of a message.

    Args:
        text: Text, or an error, whose message is taken.
        limit: Largest number of characters.

    Returns:
        A string without line breaks: they become spaces, other characters
        that would not be printed are escaped, and what is too long is cut.

    Example:

    >>> one_line("a\\nb\\x1b[2J")
    'a b\\\\x1b[2J'
    """
    text = " ".join(str(text)[: 4 * limit].split())
    text = "".join(
        each
        if each.isprintable()
        else each.encode("unicode_escape").decode("ascii")
        for each in text
    )
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def describe(value: object) -> str:
    """What a value is, in a few words, as a part of a message.

    Example:

    >>> describe(np.zeros((2, 3)))
    'float64 of shape (2, 3)'
    """
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        dtype = getattr(value.dtype, "name", value.dtype)
        return f"{dtype} of shape {tuple(value.shape)}"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    return type(value).__name__


def check_number(
    argument: str,
    value: Any,
    minimum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    maximum: float | None = None,
    integer: bool = False,
) -> Any:
    """Checks a number and returns it.

    Args:
        argument: Name of the argument, for the message.
        value: What was received.
        minimum: Smallest value allowed.
        above: Value that it must be greater than.
        below: Value that it must be less than.
        maximum: Largest value allowed.
        integer: Whether it must be an integer.

    Raises:
        ValueError: if it is not a finite number in that range.
    """
    kind: Any = numbers.Integral if integer else numbers.Real
    if (
        not isinstance(value, kind)
        or isinstance(value, bool)
        or not math.isfinite(value)
        or (minimum is not None and value < minimum)
        or (above is not None and value <= above)
        or (below is not None and value >= below)
        or (maximum is not None and value > maximum)
    ):
        noun = "an integer" if integer else "a finite number"
        raise ValueError(
            f"`{argument}` must be {_range(minimum, above, below, maximum)}, "
            f"{noun}. Received: {value!r}"
        )
    return value


def check_choice(argument: str, value: Any, choices: Iterable[Any]) -> None:
    """Raises a `ValueError` unless an argument is one of some words."""
    # A list is in no dict.
    choices = list(dict.fromkeys(choices))
    if value not in choices:
        words = one_line(", ".join(map(str, choices)) or "nothing", 600)
        raise ValueError(
            f"`{argument}` must be one of {words}. Received: {value!r}"
        )


def _range(minimum, above, below, maximum):
    bounds = {
        "at least": minimum,
        "above": above,
        "below": below,
        "at most": maximum,
    }
    return " and ".join(
        f"{words} {value}"
        for words, value in bounds.items()
        if value is not None
    )


def check_by_task(argument: str, given: Any, tasks: Tasks) -> dict[str, Any]:
    """Checks that an argument is a dict by task name, or None.

    Returns:
        A dict.
    """
    names = [task.name for task in tasks]
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ValueError(
            f"`{argument}` must be a dict by task name, {names}. "
            f"Received: {given if isinstance(given, str) else describe(given)}"
        )
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ValueError(
            f"`{argument}` may only have the keys {names}. "
            f"Received: keys={unknown}"
        )
    return given


def constructor_config(instance: Any, base: type) -> dict[str, Any]:
    """What an object was made of, for its `get_config`.

    Args:
        instance: The object. Each argument of its constructor, and of those
            it hands others on to, is an attribute of that name.
        base: The class up to which the constructors are looked at.

    Raises:
        ValueError: if there is no such attribute.
    """
    config = {}
    for name in _constructor_arguments(instance.__class__, base):
        if not hasattr(instance, name):
            raise ValueError(
                f"A {type(instance).__name__} must have its argument "
                f"`{name}` as an attribute, to be saved, or a "
                "`get_config` of its own. Received: none"
            )
        value = getattr(instance, name)
        config[name] = keras.saving.serialize_keras_object(value)
    return config


def check_assignment(model: Any, name: str, value: Any, base: type) -> None:
    """Raises `ValueError` if an attribute of a compiled model is an argument
    of its constructor, which its traced steps would not heed."""
    if name in _constructor_arguments(model.__class__, base):
        raise ValueError(
            f"`{name}` of a compiled {type(model).__name__} must stay as it "
            "is; make another model of the same networks and compile it with "
            f"the same optimizers. Received: {one_line(repr(value))}"
        )


@functools.cache
def _constructor_arguments(kind, base):
    names = []
    for each in kind.__mro__[: kind.__mro__.index(base) + 1]:
        parameters = inspect.signature(each).parameters
        names += [
            name
            for name, parameter in parameters.items()
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ]
        if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
            # It hands nothing on that it does not name.
            break
    return names


def takes(function: object, arguments: str) -> bool:
    """Whether something can be called with arguments such as `"x, y"`."""
    try:
        inspect.signature(function).bind(*arguments.split(", "))  # type: ignore
    except TypeError:
        return False
    return True


def register(
    argument: str, key: Any, entry: Any, attribute: str, known: dict[str, Any]
) -> None:
    """Adds an entry, whose `attribute` is a function, to a registry.

    Raises `ValueError` if the key cannot be a file's name, or is taken: by
    another function, since that of a notebook's cell is defined anew each
    time that the cell is run, and a file may be imported under two names.
    """
    if not isinstance(key, str) or not re.fullmatch(
        r"[a-z0-9][a-z0-9_-]*", key
    ):
        raise ValueError(
            f"`{argument}` must be lowercase letters, digits, - and _. "
            f"Received: {key!r}"
        )
    functions = {getattr(e, attribute) for e in (entry, known.get(key, entry))}
    names = {each.__qualname__ for each in functions}
    modules = {each.__module__ for each in functions}
    codes = (getattr(each, "__code__", None) for each in functions)
    files = {code and code.co_filename for code in codes}
    if len(names) > 1 or (
        len(modules) > 1 and (len(files) > 1 or None in files)
    ):
        raise ValueError(
            f"`{argument}` must be another than those of {', '.join(known)}. "
            f"Received: {key!r}"
        )
    known[key] = entry


def check_training(model: Any, method: str, options: Mapping[str, Any]) -> None:
    """Raises `ValueError` if a method that trains is called before `compile`,
    or with `class_weight` among its options."""
    if not model.compiled:
        raise ValueError(
            f"You must call `compile()` before `{method}()`. Received: a "
            f"{type(model).__name__} that is not compiled"
        )
    if options.get("class_weight") is not None:
        raise ValueError(
            "`class_weight` must be None, since labels of several tasks have "
            "classes of their own; `sample_weight` weighs the images. "
            f"Received: {options['class_weight']}"
        )
