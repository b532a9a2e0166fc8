"""Trains the cells of an experiment and writes its table and figures.

An experiment is a TOML file, such as the paper's tables in `experiments`:
table1, table2_raf, table3_cifar10, lambda_cifar10, ... Every cell, a method
with a seed, is trained in a process of its own: the same encoder, images,
noise, augmentation and number of epochs. Finished cells are kept: started
again, this goes on where it was. Writes `cells.csv`, the history of every
cell, `<name>.md` and figures.
"""

import os

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# What the processes of the cells have to say is in their logs.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import pathlib

from keras_noisyfer.comparison import (
    DATASETS,
    load_case,
    read_experiment,
    run_experiment,
    write_report,
)
from noisyfer.flags import (
    UsageError,
    number_flag,
    recipe_parser,
    run_command,
)

EXPERIMENTS = pathlib.Path(__file__).parent / "experiments"


def run(flags):
    path = pathlib.Path(flags.experiment)
    if not path.suffix:
        path = EXPERIMENTS / f"{path}.toml"
    experiment = read_experiment(path, flags.profile)
    # Only now: the experiment's own modules register methods, too.
    unknown = sorted(set(flags.methods or ()) - set(experiment.methods))
    if unknown:
        raise UsageError(
            f"--methods must be some of {', '.join(experiment.methods)}. "
            f"Received: {', '.join(unknown)}"
        )
    if flags.report_only and flags.methods:
        raise UsageError(
            "--methods must be left out with --report-only, which tells of "
            f"all that is there. Received: {', '.join(flags.methods)}"
        )
    folder = flags.output_dir or (
        f"runs/{experiment.folder or experiment.name}_{flags.profile}"
    )
    argument = DATASETS[experiment.data].argument
    data = dict(experiment.data_options)
    if flags.data is not None:
        if argument is None:
            raise UsageError(
                f"--data must be left out with {experiment.data}. "
                f"Received: {flags.data}"
            )
        data[argument] = flags.data
    failed = []
    if not flags.report_only:
        failed = run_experiment(
            experiment,
            folder,
            flags.seeds,
            flags.methods,
            data,
            jobs=flags.jobs,
        )
    if failed and not (pathlib.Path(folder) / "cells.csv").exists():
        raise_failed(folder, failed)
    test = None
    # Figures can be drawn anew where the data is not at hand.
    wanted = "examples" in experiment.figures
    if wanted and (
        not flags.report_only or argument is None or argument in data
    ):
        profile = vars(experiment.profile)
        case = load_case(experiment.data, profile, flags.seeds[0], **data)
        test = case.test
    write_report(experiment, folder, test, flags.seeds[0])
    if failed:
        raise_failed(folder, failed)


def raise_failed(folder, failed):
    log = pathlib.Path(folder) / failed[0].folder / "log.txt"
    raise ValueError(
        f"{len(failed)} cell(s) failed; started again, this runs them "
        f"anew. The first: {log}"
    )


def folder_name(text):
    # Of a shell variable that is not set, which must not mean the default.
    if not text:
        raise argparse.ArgumentTypeError("must name a folder. Received: ''")
    return text


def main(arguments=None):
    parser = recipe_parser(__doc__)
    add = parser.add_argument
    add("experiment", help="a TOML file, or the name of one in experiments")
    add("--data", metavar="PATH", help="where the files of the data set are")
    add("--profile", default="small", help="one of the file's")
    add(
        "--seeds",
        nargs="+",
        type=number_flag(int, minimum=0, maximum=2**32 - 1),
        default=[0],
        help="each is one run of every cell: its noise, weights and order",
    )
    add(
        "--methods",
        nargs="+",
        metavar="METHOD",
        help="some of the experiment's methods",
    )
    add(
        "--jobs",
        type=number_flag(int, minimum=1, maximum=os.cpu_count() or 1),
        default=1,
        help="cells trained at once",
    )
    add(
        "--output-dir",
        type=folder_name,
        help="folder of the results, which later runs add to; by default "
        "runs/<folder of the experiment>_<profile>",
    )
    add(
        "--report-only",
        action="store_true",
        help="train nothing; write the table and figures of what is there",
    )
    run_command(run, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
