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
