"""An experiment: which methods are trained on which data, and what is shown."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keras_noisyfer.arguments import AUTO, check_choice, check_number, one_line
from keras_noisyfer.comparison.data import DATASETS
from keras_noisyfer.comparison.methods import METHODS, check_used, make_model
from keras_noisyfer.comparison.training import prepare_training

# What a table has rows and columns of.
AXES = ("setting", "method", "metric", "epoch")
FIGURES = (
    "curves",
    "lambda",
    "samples",
    "confusion_matrices",
    "examples",
    "annotator_models",
)


_MAY_BE_0 = ("warmup_epochs", "dropout", "lambda_joint", "gamma")


@dataclasses.dataclass(frozen=True)
class Profile:
    """Sizes and training settings that every cell of an experiment shares.

    Attributes:
        train_size: Number of training images; `None`: all that are left.
        validation_size: Number of further training images whose noisy labels
            choose an epoch.
        test_size: Number of test images; `None`: all.
        image_size: Height and width of the images.
        epochs: Number of epochs; nothing stops earlier.
        warmup_epochs: First epochs of plain training of the methods that
            have them.
        batch_size: Number of images a batch.
        learning_rate: Of Adam, for all networks.
        decay: Whether it falls to a fiftieth along a cosine; that of the
            discriminator does not.
        augmentation: Whether training images are augmented.
        width: Multiplier of all filters and hidden units.
        batch_normalization: Whether the encoder has it.
        dropout: Rate of the encoder's dropout.
        lambda_joint: Weight of the joint-distribution loss.
        gamma: Weight of the continuous tasks' losses.
    """

    validation_size: int
    image_size: int
    epochs: int
    warmup_epochs: int
    batch_size: int
    learning_rate: float
    decay: bool
    augmentation: bool
    width: float
    batch_normalization: bool
    dropout: float
    lambda_joint: float
    gamma: float = 1.0
    train_size: int | None = None
    test_size: int | None = None

    def __post_init__(self):
        for field in dataclasses.fields(self):
            name, value = field.name, getattr(self, field.name)
            if field.type == "bool":
                if not isinstance(value, bool):
                    raise ValueError(
                        f"`{name}` must be true or false. Received: {value!r}"
                    )
            elif value is None and "None" in field.type:
                continue
            elif value == AUTO and name in ("lambda_joint", "gamma"):
                continue
            else:
                # A warm-up may be none, and so may dropout and the weights.
                bound = "minimum" if name in _MAY_BE_0 else "above"
                integer = "int" in field.type
                check_number(name, value, **{bound: 0}, integer=integer)


@dataclasses.dataclass(frozen=True)
class Setting:
    """A row of a table, or a block of rows.

    Attributes:
        name: Its title, such as `"multi-label"`.
        methods: Keys of `METHODS`.
        tasks: Names of the tasks that are learned; `None`: all.
        annotators: How many annotators' labels are seen, the first ones;
            `None`: all.
        options: Arguments of `methods.make_model` in the place of the
            profile's.
        method_options: Dict by method of further ones.
        paper: Dict by metric of dicts by method of the paper's numbers;
            accuracies in [0, 1].
    """

    name: str
    methods: Sequence[str]
    tasks: Sequence[str] | None = None
    annotators: int | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    method_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    paper: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if not isinstance(self.name, str) or not slug(self.name).strip(".-"):
            raise ValueError(
                "`name` must have letters a to z or digits. "
                f"Received: {self.name!r}"
            )
        check_names("methods", self.methods)
        if self.tasks is not None:
            check_names("tasks", self.tasks)
        if self.annotators is not None:
            check_number("annotators", self.annotators, 1, integer=True)
        check_table("options", self.options)
        for argument in ("method_options", "paper"):
            for value in check_table(argument, getattr(self, argument)):
                check_table(argument, value)


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is trained, on what, with which seed.

    Attributes:
        setting: Name of its `Setting`.
        method: A key of `METHODS`.
        seed: Seed of everything: noise, initial weights, order.
        data: A key of `DATASETS`.
        tasks, annotators, options: See `Setting`.
    """

    setting: str
    method: str
    seed: int
    data: str
    tasks: Sequence[str] | None = None
    annotators: int | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def folder(self) -> pathlib.Path:
        """Path below an experiment's folder."""
        return pathlib.Path(
            "cells", slug(self.setting), self.method, f"seed{self.seed}"
        )

    def __str__(self):
        return f"{self.setting}, {self.method}, seed {self.seed}"


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Cells that are trained alike, and the table and figures of them.

    Attributes:
        name: Of the files that are written.
        title: What is compared, one line.
        data: A key of `DATASETS`.
        profile: `Profile`.
        settings: Sequence of `Setting`s.
        metrics: Metrics of the table, such as `"object_accuracy"`.
        rows, columns: What the table has rows and columns of, some of
            `AXES`; there is a table for each of what is left.
        figures: Some of `FIGURES`.
        folder: Name of the folder of results; experiments with the same one
            share the cells they have in common.
        data_options: Dict of arguments of the data set's loader.
        imports: Modules that register methods or data sets.
    """

    name: str
    title: str
    data: str
    profile: Profile
    settings: Sequence[Setting]
    metrics: Sequence[str]
    rows: Sequence[str] = ("setting", "method")
    columns: str = "epoch"
    figures: Sequence[str] = ()
    folder: str = ""
    data_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    imports: Sequence[str] = ()

    def __post_init__(self):
        check_table("data_options", self.data_options)
        load_modules(self.imports)
        check_choice("data", self.data, DATASETS)
        check_choice("columns", self.columns, AXES)
        for axis in self.rows:
            check_choice("rows", axis, AXES)
        for figure in self.figures:
            check_choice("figures", figure, FIGURES)
        # Each has a folder by its name.
        names = [slug(setting.name) for setting in self.settings]
        if not names or len(set(names)) < len(names):
            raise ValueError(
                "`settings` must have different names, at least one. "
                f"Received: {', '.join(names) or 'none'}"
            )
        profile_keys = {
            field.name for field in dataclasses.fields(self.profile)
        }
        for setting in self.settings:
            for key in setting.methods:
                check_choice("methods", key, METHODS)
            for key in setting.method_options:
                check_choice("method_options", key, setting.methods)
            given = [(setting.options, setting.methods)]
            for key, each in setting.method_options.items():
                given.append((each, [key]))
            for options, methods in given:
                for key in options:
                    check_choice("options", key, _options())
                check_used(options, methods)
                # What stands in the profile's place has its ranges.
                known = options.keys() & profile_keys
                dataclasses.replace(
                    self.profile, **{key: options[key] for key in known}
                )

    @property
    def methods(self) -> list[str]:
        """Keys of all methods, in the order of the settings."""
        return list(dict.fromkeys(m for s in self.settings for m in s.methods))

    def cells(
        self, seeds: Iterable[int] = (0,), methods: Any = None
    ) -> list[Cell]:
        """Its `Cell`s, of some seeds and methods; by default of all methods."""
        return [
            Cell(
                setting.name,
                method,
                seed,
                self.data,
                setting.tasks,
                setting.annotators,
                {**setting.options, **setting.method_options.get(method, {})},
            )
            for seed in seeds
            for setting in self.settings
            for method in setting.methods
            if methods is None or method in methods
        ]


def slug(text: str) -> str:
    """A text as a name of a file or folder."""
    return re.sub(r"[^a-z0-9._]+", "-", text.lower())


def load_modules(names: Iterable[str]) -> None:
    """Imports modules that register methods or data sets."""
    for name in names:
        try:
            importlib.import_module(name)
        # A module may fail in any way.
        except Exception as error:
            raise ValueError(
                f"`imports` must be modules that can be imported. "
                f"Received: {name} ({one_line(error)})"
            ) from error


@functools.cache
def _options():
    """What `train_method` and the model take beside what a profile has."""
    return {
        name: each
        for function in (make_model, prepare_training)
        for name, each in inspect.signature(function).parameters.items()
        if name not in ("method", "data", "image_shape", "seed", "verbose")
    }


def check_table(argument: str, value: Any) -> Iterable[Any]:
    """The values of a table; raises `ValueError` if it is none."""
    if not isinstance(value, Mapping):
        raise ValueError(f"`{argument}` must be a table. Received: {value!r}")
    return value.values()


def check_names(argument: str, values: Any) -> None:
    """Raises `ValueError` if these are no names, at least one."""
    if (
        not isinstance(values, Sequence)
        or isinstance(values, str)
        or not values
        or not all(isinstance(each, str) for each in values)
    ):
        raise ValueError(
            f"`{argument}` must be a list of names. Received: {values!r}"
        )
