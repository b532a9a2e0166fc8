"""What `compare` takes, and what tells one comparison from another."""

from __future__ import annotations

import functools
import inspect
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_noisyfer.comparison.methods import (
    METHODS,
    check_method,
    check_used,
    make_model,
)
from keras_noisyfer.comparison.noisy_scores import (
    LEAST_LABELS,
    count_labels,
)
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.labels import annotator_axis
from keras_noisyfer.typing import Tasks

# Of a label each, these are plain training.
_NEED_SEVERAL = ("majority-vote", "ltnet")
DEFAULT_METHODS = (
    "vggnet",
    "majority-vote",
    "sce",
    "gce",
    "elr",
    "mixup",
    "sce-mixup",
    "co-teaching",
    "ltnet",
    "proposed",
    "joint-elr",
)
# What `make_model` is given in any case.
_GIVEN = ("method", "data", "image_shape", "seed")


def check_images(argument: str, data: Any) -> None:
    """Raises `ValueError` if something is no `LabelledImages` with labels."""
    if not isinstance(data, LabelledImages):
        raise ValueError(
            f"`{argument}` must be LabelledImages. "
            f"Received: {type(data).__name__}"
        )
    if not data.labelled_tasks or len(data) < 2:
        raise ValueError(
            f"`{argument}` must have images with labels. Received: "
            f"{len(data)} images, {len(data.labelled_tasks)} labelled tasks"
        )


def with_annotator_axis(data: LabelledImages) -> LabelledImages:
    """The same images, with an annotator axis of all labels."""
    return data.with_labels(
        {
            task.name: annotator_axis(task, data.labels[task.name])
            for task in data.tasks
        }
    )


def choose_methods(methods: Any, data: LabelledImages) -> list[str]:
    """The methods that are compared, each once.

    Raises:
        ValueError: if they are fewer than two, or cannot be compared.
    """
    several = any(task.annotators > 1 for task in data.tasks)
    if methods is None:
        return [m for m in DEFAULT_METHODS if several or m not in _NEED_SEVERAL]
    if isinstance(methods, str) or not isinstance(methods, Sequence):
        raise ValueError(
            f"`methods` must be a list of keys. Received: {methods!r}"
        )
    methods = list(dict.fromkeys(methods))
    for key in methods:
        if check_method(key).pretrained or key == "vggnet-clean":
            raise ValueError(
                "`methods` must be ones that are trained epoch by epoch on "
                f"noisy labels. Received: {key!r}"
            )
    if len(methods) < 2:
        raise ValueError(f"`methods` must be at least two. Received: {methods}")
    return methods


def list_searches(
    search: Any, methods: Sequence[str], max_trials: int, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Dict by method of the points that `search` asks for, at least one.

    Raises:
        ValueError: if `search` is something else than `compare` takes.
        ImportError: if KerasTuner is needed and not installed.
    """
    points: dict[str, list] = {method: [{}] for method in methods}
    search = {} if search is None else search
    if not isinstance(search, Mapping):
        raise ValueError(
            f"`search` must be a dict by method. Received: {search!r}"
        )
    if set(search) - set(methods):
        raise ValueError(
            f"`search` may only have the keys {list(methods)}. "
            f"Received: {list(search)}"
        )
    for method, space in search.items():
        from keras_noisyfer.tuning.search_space import (
            check_values,
            list_points,
        )

        if not isinstance(space, Mapping) or not all(
            isinstance(each, (list, tuple)) for each in space.values()
        ):
            raise ValueError(
                f"`search[{method!r}]` must be a dict by option of lists or "
                f"ranges (low, high). Received: {space!r}"
            )
        check_options(space, [method])
        for name, values in space.items():
            check_values(name, values)
        points[method] = list_points(space, max_trials, seed)
    return points


def check_options(options: Mapping[str, Any], methods: Sequence[str]) -> None:
    """Raises `ValueError` if `make_model` has no such argument, or none of
    the methods uses it."""
    known = inspect.signature(make_model).parameters
    unknown = [name for name in options if name not in known or name in _GIVEN]
    if unknown:
        raise ValueError(
            "The options may be "
            f"{', '.join(each for each in known if each not in _GIVEN)}. "
            f"Received: {', '.join(map(str, unknown))}"
        )
    check_used(options, methods)


def check_size(tasks: Tasks, held_out: LabelledImages) -> None:
    """Raises `ValueError` if there are too few labels to choose by."""
    counts = count_labels(tasks, held_out.labels)
    if not counts or min(counts.values()) < LEAST_LABELS:
        raise ValueError(
            f"The data must leave at least {LEAST_LABELS} held-out labels of "
            "each task to choose by: hold out more, or bring more images. "
            "Received: "
            + (", ".join(f"{n} of {t}" for t, n in counts.items()) or "none")
        )


def checksum(data: LabelledImages) -> int:
    """A number that other labels, names, images in memory, or sizes of their
    files change."""
    arrays = [data.labels[task.name] for task in data.tasks]
    arrays += [np.array("\n".join(data.names).encode())]
    if hasattr(data.images, "images"):
        arrays += [data.images.images]
    if hasattr(data.images, "image_root"):
        root = data.images.image_root
        paths = (os.path.join(root, name) for name in data.names)
        arrays += [np.array([os.path.getsize(path) for path in paths])]
    number = 0
    for each in arrays:
        number = zlib.crc32(np.ascontiguousarray(each).tobytes(), number)
    return number


def describe_function(
    argument: str, function: Any, callers: tuple[Any, ...] = ()
) -> str | None:
    """What tells a function from another one, or from an edited one: its code,
    and what that reads of its module, but for the functions that call it.

    Raises:
        ValueError: if it has no code to tell by, as an object that is called.
    """
    if function is None:
        return None
    if isinstance(function, functools.partial):
        whole = describe_function(argument, function.func)
        return f"{whole}, {function.args}, {function.keywords}"
    if not inspect.isfunction(function):
        raise ValueError(
            f"`{argument}` must be a function where `output_dir` is given, "
            f"which tells by its code what it keeps. Received: {function!r}"
        )
    if function.__module__.startswith("keras_noisyfer."):
        return function.__name__
    variables = inspect.getclosurevars(function)
    known = {**variables.globals, **variables.nonlocals}
    callers = (*callers, function)
    for name, value in known.items():
        if inspect.ismodule(value):
            known[name] = value.__name__
        elif inspect.isfunction(value):
            is_own = value.__module__ == function.__module__
            known[name] = (
                describe_function(argument, value, callers)
                if is_own and value not in callers
                else f"{value.__module__}.{value.__qualname__}"
            )
    defaults = function.__defaults__, function.__kwdefaults__
    text = f"{_describe_code(function.__code__)} {known} {defaults}"
    # Where in memory something is, the next process has elsewhere.
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    return f"{function.__name__} {zlib.crc32(text.encode()):08x}"


def describe_method(key: str) -> str:
    """What tells a method from an edited one of the same key."""
    method = METHODS[key]
    make_model, labels = (
        describe_function("methods", each)
        for each in (method.make_model, method.labels)
    )
    members = getattr(method.loss, "__dict__", {}).items()
    loss = [
        describe_function("methods", each)
        for _, each in members
        if inspect.isfunction(each)
    ]
    return f"{make_model}, {labels}, {method.loss}, {loss}"


def _describe_code(code):
    constants = []
    for each in code.co_consts:
        if inspect.iscode(each):
            each = _describe_code(each)
        elif isinstance(each, frozenset):
            each = sorted(each, key=repr)
        constants.append(each)
    return code.co_code, code.co_names, constants
