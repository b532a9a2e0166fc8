"""Flags that commands and recipes share; nothing here imports TensorFlow."""

import argparse
import contextlib
import math
import operator
import os
import pathlib
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

AUTO = "auto"
MAX_SEED = 2**31 - 1
# Those of the encoder, whose module imports TensorFlow.
IMAGE_SIZES = (32, 48, 64, 96, 128, 256)
# Of a table alone; the first are pairs.
PAIR_FLAGS = (
    "categorical",
    "continuous",
    "clean",
    "classes",
    "where",
    "test_where",
)
TABLE_FLAGS = (
    *PAIR_FLAGS,
    "image_dir",
    "test_csv",
    "test_image_dir",
    "image_column",
    "on_error",
)


class UsageError(ValueError):
    """Flags that cannot be used together, or with what is installed."""


class Parser(argparse.ArgumentParser):
    """Tells wrong flags in one line, as all errors, without the usage."""

    def error(self, message):
        self.exit(2, f"error: {message}\n")


class HelpFormatter(
    argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter
):
    """Keeps the lines of a description, and tells the defaults there are."""

    def _get_help_string(self, action):
        if action.default in (None, []) or action.default is False:
            return action.help
        return super()._get_help_string(action)

    def _fill_text(self, text, width, indent):
        lines = (line.removeprefix("    ") for line in text.splitlines())
        return "\n".join(lines).strip()


def recipe_parser(description: str) -> argparse.ArgumentParser:
    """An `argparse` parser as all recipes have it, without flags yet."""
    return Parser(
        description=description,
        usage="%(prog)s [flags]",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )


def run_command(run: Callable[[Any], Any], flags: argparse.Namespace) -> None:
    """Calls `run(flags)`; what the user can mend, such as a `ValueError`,
    ends the program with one line: exit code 2 for wrong flags, or else 1.
    A warning is one line, too."""
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    try:
        run(flags)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output, such as `head`, has had enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # A loss that is not finite is a FloatingPointError.
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        # As a shell reports a program that was interrupted.
        sys.exit(130)


@contextlib.contextmanager
def naming_flags(**flags: str) -> Iterator[None]:
    """Lets an error name flags in the place of a function's arguments:
    `naming_flags(path="--out")`."""
    try:
        yield
    except ValueError as error:
        text = str(error)
        for argument, flag in flags.items():
            text = text.replace(f"`{argument}`", flag)
        raise ValueError(text) from error


def flag_name(argument: str) -> str:
    """The flag of a function's argument: `--batch-size`."""
    return f"--{argument.replace('_', '-')}"


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that `choose_model` reads."""
    parser.add_argument(
        "--model",
        metavar="FOLDER",
        help="an exported model; by default that for real faces",
    )
    parser.add_argument(
        "--detect",
        action=argparse.BooleanOptionalAction,
        help="whether images are photographs, whose faces are looked for; by "
        "default with the model for real faces",
    )


def choose_model(flags: argparse.Namespace) -> tuple[Any, bool]:
    """The folder of the model, and whether faces are looked for.

    Raises:
        UsageError: if there is no model.
    """
    if flags.model is not None:
        return flags.model, bool(flags.detect)
    folder = pathlib.Path(__file__).parents[1] / "saved_models" / "ferplus"
    if not folder.is_dir():
        raise UsageError(
            "--model must be given: the model for real faces is in "
            "saved_models/ferplus of the repository. Received: none"
        )
    return folder, flags.detect is not False


def number_flag(
    kind: type[int] | type[float],
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    words: Sequence[str] = (),
) -> Callable[[str], Any]:
    """A type of `argparse` flags: a finite number in a range.

    Args:
        kind: `int` or `float`.
        minimum: Smallest value allowed.
        above: Value that it must be greater than.
        maximum: Largest value allowed.
        words: Words that may stand in the number's place.

    Returns:
        A function from the flag's text to the number, for `add_argument`.
    """
    bounds = [
        (text, holds, bound)
        for text, holds, bound in (
            ("at least", operator.ge, minimum),
            ("above", operator.gt, above),
            ("at most", operator.le, maximum),
        )
        if bound is not None
    ]
    wanted = " and ".join(f"{text} {bound}" for text, _, bound in bounds)

    def parse(text):
        if text in words:
            return text
        try:
            value = kind(text)
        except ValueError:
            if not words:
                raise
            raise argparse.ArgumentTypeError(
                f"must be a number or {', '.join(words)}. Received: {text}"
            ) from None
        if not math.isfinite(value) or not all(
            holds(value, bound) for _, holds, bound in bounds
        ):
            raise argparse.ArgumentTypeError(
                f"must be {wanted or 'finite'}. Received: {text}"
            )
        return value

    # What argparse calls it in its message.
    parse.__name__ = kind.__name__
    return parse


def add_number_flags(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """Adds those of the usual flags that are given a default."""
    count = number_flag(int, minimum=1)
    more = number_flag(float, above=0)
    share = number_flag(float, minimum=0, maximum=0.99)
    weight = number_flag(float, minimum=0, words=(AUTO,))
    for name, kind, text in (
        ("epochs", count, "number of epochs"),
        ("batch_size", count, "number of images a batch"),
        ("learning_rate", more, "of Adam"),
        (
            "discriminator_learning_rate",
            more,
            "of Adam for a GAN's discriminator; by default the same",
        ),
        ("width", more, "multiplier of all filters and hidden units"),
        ("dropout", share, "fraction of the encoder's hidden units"),
        (
            "lambda_joint",
            weight,
            "weight of a GAN's joint-distribution loss, or auto; by default "
            "0.4",
        ),
        ("gamma", weight, "weight of continuous tasks' losses, or auto"),
        (
            "warmup_epochs",
            number_flag(int, minimum=0),
            "first epochs of plain training, before the joint loss; by "
            "default a quarter",
        ),
        (
            "seed",
            number_flag(int, minimum=0, maximum=MAX_SEED),
            "of noise, initial weights, order and augmentation",
        ),
    ):
        if name in defaults:
            parser.add_argument(
                flag_name(name),
                type=kind,
                metavar="N",
                default=defaults[name],
                help=text,
            )


def add_training_flags(parser: argparse.ArgumentParser) -> list[str]:
    """Adds the flags that `noisyfer.train.training_options` reads.

    Returns:
        The names of those that training alone reads.
    """
    parser.add_argument(
        "--method",
        default="proposed",
        help="what to train, one of those of `noisyfer list`",
    )
    numbers = {
        "epochs": 20,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "discriminator_learning_rate": None,
        "width": 0.25,
        "dropout": 0.5,
        "lambda_joint": None,
        "gamma": 1.0,
        "warmup_epochs": None,
    }
    add_number_flags(parser, **numbers, seed=0)
    parser.add_argument(
        "--decay",
        action="store_true",
        help="lower the learning rate to a fiftieth along a cosine",
    )
    parser.add_argument(
        "--no-batch-normalization",
        action="store_true",
        help="leave batch normalization out of the encoder, as the paper",
    )
    return ["method", *numbers, "decay", "no_batch_normalization"]


def add_out_flag(
    parser: argparse.ArgumentParser, default: str, text: str
) -> None:
    """Adds the flag of the results' folder."""
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        default=default,
        help=f"folder of the results; {text}",
    )


def add_data_flags(
    parser: argparse.ArgumentParser, image_size: int, written: Sequence[str]
) -> None:
    """Adds the flags that `noisyfer.data.load_data` reads; `written` are the
    tables that the command writes to `--out`."""
    add = parser.add_argument
    several: dict[str, Any] = {"action": "append", "type": _pair, "default": []}
    add(
        "csv",
        nargs="?",
        metavar="LABELS.csv",
        help="a table with the columns `image`, the path of an image in the "
        "folder, and TASK or TASK.ANNOTATOR, its label by an annotator; "
        "`valence` and `arousal` are the continuous task `affect`, and "
        "clean.TASK counts as the truth. Or one label a row: `image`, "
        "`annotator`, `task` and `value`. The flags below are for others",
    )
    add("--image-dir", metavar="DIR", help="the folder of its images")
    add("--data", metavar="NAME", help="a data set of `noisyfer list` instead")
    add("--data-dir", metavar="PATH", help="where the files of --data are")
    add(
        "--data-option",
        **several,
        metavar="NAME=VALUE",
        help="what else the loader of --data takes, such as "
        "machine=NAME; may be repeated, as all that follow",
    )
    add("--test-csv", metavar="FILE", help="clean labels of test images")
    add("--test-image-dir", metavar="DIR", help="folder of test images")
    add("--image-column", default="image", metavar="COLUMN", help="of paths")
    for name, metavar, text in (
        ("categorical", "TASK=COLUMN,COLUMN", "a task, a column an annotator"),
        (
            "continuous",
            "TASK=COLUMN+COLUMN,COLUMN+COLUMN",
            "a continuous task: its dimensions' columns, for each annotator",
        ),
        (
            "clean",
            "TASK=COLUMN",
            "labels that count as the truth; those of a continuous task "
            "COLUMN+COLUMN",
        ),
        (
            "classes",
            "TASK=NAME,NAME",
            "the classes of a task in their order, so that others are errors; "
            "by default those that are there",
        ),
        ("where", "COLUMN=TEXT", "train on these rows, such as split=train"),
        ("test-where", "COLUMN=TEXT", "test on these rows"),
    ):
        add(f"--{name}", **several, metavar=metavar, help=text)
    add(
        "--on-error",
        choices=("raise", "skip"),
        default="raise",
        help="stop at the first bad row, or leave it out and count it",
    )
    count = number_flag(int, minimum=0)
    add(
        "--train-size",
        type=count,
        default=0,
        help="so many of the images, drawn at random; 0: all",
    )
    add(
        "--image-size",
        type=int,
        choices=IMAGE_SIZES,
        default=image_size,
        help="height and width that images are scaled to",
    )

    def check(flags):
        if (flags.data is None) == (flags.csv is None):
            parser.error("give either LABELS.csv and --image-dir, or --data")
        if flags.csv is not None and flags.image_dir is None:
            parser.error("LABELS.csv needs --image-dir, the folder of images")
        if flags.csv is None:
            refuse_given(parser, flags, TABLE_FLAGS, "with --data")
        else:
            names = ("data_dir", "data_option")
            refuse_given(parser, flags, names, "without --data")
            if flags.test_csv is None:
                names = ("test_image_dir",)
                refuse_given(parser, flags, names, "without --test-csv")
        for flag in ("data_option", *PAIR_FLAGS):
            names = [name for name, _ in getattr(flags, flag)]
            if len(set(names)) < len(names):
                parser.error(
                    f"{flag_name(flag)} must be given once for each name. "
                    f"Received: {', '.join(names)}"
                )
        for path in (flags.csv, flags.test_csv):
            if path and os.path.realpath(path) in {
                os.path.realpath(os.path.join(flags.out, name))
                for name in written
            }:
                parser.error(
                    "--out must be another folder than that of a table which "
                    f"it would replace. Received: {flags.out}"
                )
        warmup = getattr(flags, "warmup_epochs", None) or 0
        if warmup >= flags.epochs:
            parser.error(
                "--warmup-epochs must be less than --epochs. "
                f"Received: {warmup} of {flags.epochs}"
            )

    parser.set_defaults(check=check)


def refuse_given(
    parser: argparse.ArgumentParser,
    flags: argparse.Namespace,
    names: Iterable[str],
    where: str,
) -> None:
    """Ends the program if one of some flags is not at its default."""
    given = [
        flag_name(name)
        for name in names
        if getattr(flags, name) != parser.get_default(name)
    ]
    if given:
        parser.error(f"{', '.join(given)} cannot be given {where}")


def _pair(text):
    """`NAME=VALUE` of a flag."""
    name, _, value = text.partition("=")
    if not name or not value:
        raise ValueError
    return name, value


_pair.__name__ = "NAME=VALUE"
