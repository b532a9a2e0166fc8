"""The command `noisyfer`: keras_noisyfer without a line of Python.

It is no part of the package `keras_noisyfer`, whose import takes the seconds
of TensorFlow's, so that `--help` and wrong flags do not wait for it: each
command imports it when its flags are parsed.
"""

import argparse
import contextlib
import importlib
import os
from collections.abc import Sequence

from noisyfer import flags as flag
from noisyfer.data_flags import add_data_flags

_DESCRIPTION = """\
Learns from noisy image labels, without any clean ones.

  noisyfer compare labels.csv --image-dir images    which remedy fits them?
  noisyfer train labels.csv --image-dir images      a model and its results
  noisyfer audit labels.csv --image-dir images      which labels are suspect?
  noisyfer export runs/train/model.keras            a folder to serve
  noisyfer predict --model runs/export photo.png    labels of new images
  noisyfer predict photo.jpg                        of the faces in it
  noisyfer demo --model runs/export                 a page to try it
"""

_COMPARED = {
    "epochs": 24,
    "batch_size": 64,
    "learning_rate": 1e-3,
    "width": 0.25,
    "seed": 0,
}


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = flag.Parser(
        "noisyfer",
        description=_DESCRIPTION,
        epilog="noisyfer COMMAND --help tells its flags. Exit codes: 0; 1 "
        "where it failed, which one line on stderr explains; 2 for wrong "
        "flags.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.required = True
    for add_flags, text in (
        (_compare, "rank methods on held-out noisy labels"),
        (_train, "train one method and write its results"),
        (_audit, "say which labels are suspect"),
        (_predict, "predict labels with an exported model"),
        (_export, "write a trained model as a folder to serve"),
        (_demo, "show a page to try an exported model"),
        (_list, "name the methods and data sets"),
    ):
        add_flags(
            commands.add_parser(
                add_flags.__name__[1:],
                help=text,
                description=add_flags.__doc__,
                formatter_class=flag.HelpFormatter,
                allow_abbrev=False,
            )
        )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command.

    Args:
        arguments: Its words; by default those of the command line.

    Raises:
        SystemExit: with the exit codes of the help, if it does not end well.
    """
    parser = make_parser()
    flags = parser.parse_args(arguments)
    command = vars(flags).pop("command")
    check = vars(flags).pop("check", None)
    if check:
        check(flags)
    flag.run_command(lambda flags: _run(command, flags), flags)


def _run(command, flags):
    # TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
    # where it is two to three times faster all the same.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with contextlib.ExitStack() as stack:
        if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
            os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
            # What TensorFlow's libraries say while they are loaded does not
            # heed it.
            stack.enter_context(_silenced_stderr())
        import tensorflow  # noqa: F401
    importlib.import_module(f"noisyfer.{command}").run(flags)


@contextlib.contextmanager
def _silenced_stderr():
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _compare(parser):
    """Ranks methods on held-out noisy labels; no clean label is read.

    What is finished is kept: started again, this goes on where it was. Prints
    a table and a recommendation, and writes ranking.csv, ranking.txt and
    ranking.png; with --refit also model.keras, the first method's model,
    trained on all images. Test images with clean labels, if any are named,
    show what the ranking is worth; nothing is chosen by them.
    """
    add_data_flags(parser, 48, ("ranking.csv", "cells.csv"))
    flag.add_number_flags(parser, **_COMPARED)
    add = parser.add_argument
    add(
        "--methods",
        nargs="+",
        metavar="METHOD",
        help="two or more of those of `noisyfer list`; by default some "
        "that make sense for the labels",
    )
    add(
        "--lambdas",
        nargs="+",
        type=flag.number_flag(float, minimum=0, words=("auto",)),
        metavar="LAMBDA",
        help="weights of the joint-distribution loss to choose from",
    )
    more = flag.number_flag(float, above=0)
    add("--minutes", type=more, help="a budget, by successive halving")
    add(
        "--held-out",
        type=flag.number_flag(float, above=0, maximum=0.9),
        default=0.2,
        help="fraction of the images that methods are ranked on",
    )
    add("--channels", type=int, choices=(1, 3), default=3, help="1: gray")
    add(
        "--augment",
        action="store_true",
        help="change images at random, as `noisyfer train` does",
    )
    add("--balanced", action="store_true", help="classes count the same")
    add("--refit", action="store_true", help="train the first on all images")
    flag.add_out_flag(parser, "runs/compare", "later runs go on there")


def _train(parser):
    """Trains one method, and tells the realised noise where it is known.

    Writes history.csv, results.json, model.keras and saved_model/1; with
    test images, whose clean labels decide nothing, also training_curves.png
    and confusion_matrix_TASK.png.
    """
    add_data_flags(parser, 64, ("history.csv",))
    flag.add_training_flags(parser)
    add = parser.add_argument
    count = flag.number_flag(int, minimum=0)
    add("--test-size", type=count, default=0, help="test images; 0: all")
    add(
        "--augment",
        action=argparse.BooleanOptionalAction,
        help="change images at random: those of --data as suits them, which is "
        "the default; those of LABELS.csv as faces, moved, turned, scaled and "
        "mirrored",
    )
    add(
        "--resume",
        action="store_true",
        help="keep the state of training in the folder of the results, and "
        "go on from the one that an interrupted run, or one of fewer epochs, "
        "has left there",
    )
    flag.add_out_flag(parser, "runs/train", "an earlier run's is replaced")
    check_data = parser.get_default("check")

    def check(flags):
        check_data(flags)
        if flags.csv and not flags.test_csv and not flags.test_where:
            flag.refuse_given(parser, flags, ["test_size"], "without a test")

    parser.set_defaults(check=check)


def _audit(parser):
    """Says which labels are suspect, and how good each annotator is.

    Trains on the noisy labels, then holds every label against the
    predictions, the other annotators and the other tasks. Writes tables that
    join your own rows, and one page with the most suspect images; where the
    truth is known, measures.json tells how well that went.
    """
    add_data_flags(parser, 64, ("labels.csv", "images.csv"))
    training = flag.add_training_flags(parser)
    add = parser.add_argument
    count = flag.number_flag(int, minimum=0)
    add_source = parser.add_mutually_exclusive_group().add_argument
    add_source(
        "--folds",
        type=count,
        default=0,
        help="predict each part of the images by a model trained on the "
        "others; 0: one model that has seen all of them",
    )
    add_source("--model", metavar="FILE.keras", help="audit by a trained model")
    add_source(
        "--predictions",
        metavar="FILE.npz",
        help="audit by the predictions that an earlier audit has written, an "
        "array for each task; paired by the names in `image` if there are any",
    )
    add(
        "--score",
        choices=("posterior", "cleanlab"),
        default="posterior",
        help="over all tasks and annotators together, or as cleanlab does",
    )
    add("--thumbnails", type=count, default=200, help="images on the page")
    flag.add_out_flag(parser, "runs/audit", "an earlier audit's is replaced")
    check_data = parser.get_default("check")

    def check(flags):
        check_data(flags)
        names = ("test_csv", "test_where")
        flag.refuse_given(parser, flags, names, "where nothing is tested")
        if (flags.model, flags.predictions) != (None, None):
            flag.refuse_given(
                parser,
                flags,
                training,
                "with --model or --predictions, with which nothing is trained",
            )

    parser.set_defaults(check=check)


def _predict(parser):
    """Predicts the labels of images, or of the faces in photographs.

    Prints a table, or writes CSV or JSON lines with all probabilities. An
    image that is missing or damaged, or shows no face, is told on stderr; the
    others are predicted, and the exit code is 1. A SavedModel is a program:
    load only those of people you trust.
    """
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE_OR_FOLDER", help="what to look at")
    flag.add_model_flags(parser)
    add(
        "--figure",
        metavar="FILE",
        help="also draw a photograph with its faces, such as faces.png",
    )
    add(
        "--out",
        metavar="FILE",
        help="file to write (.csv or .jsonl) in place of the table",
    )
    flag.add_number_flags(parser, batch_size=64)


def _export(parser):
    """Writes a trained model with its preprocessing as a folder to serve."""
    add = parser.add_argument
    add("model", metavar="FILE.keras", help="what `train` has written")
    add(
        "--format",
        nargs="+",
        choices=("saved_model", "onnx", "litert"),
        default=["saved_model"],
        help="files to write; all but the first need the extra `export`. "
        "int8 LiteRT needs images to calibrate it: `kn.export` in Python",
    )
    add("--decoder", metavar="FOLDER", help="write the decoder there, too")
    flag.add_out_flag(parser, "runs/export", "version 1 is in it")
    add("--overwrite", action="store_true", help="replace an earlier export")


def _demo(parser):
    """Shows a page to try an exported model on images.

    A photograph from a file or the webcam shows its faces and, of the
    largest, the probability of each class and the point on the
    valence-arousal plane; of a model with a decoder also the picture that it
    makes of the predicted label. Several images give a table. The page is
    served to this machine alone, and nothing is kept or sent on.
    """
    add = parser.add_argument
    flag.add_model_flags(parser)
    add(
        "--decoder",
        metavar="FOLDER",
        help="an exported decoder of the same tasks",
    )
    port = flag.number_flag(int, minimum=1, maximum=65535)
    add("--port", type=port, default=7860, help="of this machine")


def _list(parser):
    """Names the methods of `compare`, `train` and `audit`, and the data sets
    of --data."""
