"""The flags of the recipes that run a table."""

import dataclasses
import os
import pathlib

from keras_noisyfer.arguments import number_flag
from keras_noisyfer.evaluation.comparison.cases import (
    DATA_ARGUMENTS,
    load_case,
)
from keras_noisyfer.evaluation.comparison.profiles import (
    CIFAR10_PROFILES,
    Profile,
    profile_of,
)
from keras_noisyfer.evaluation.comparison.runner import run_cells
from keras_noisyfer.evaluation.methods import check_method
from keras_noisyfer.evaluation.training_run import recipe_parser


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Where a comparison is kept, and what all its cells share.

    Attributes:
        folder: Its folder, a `pathlib.Path`.
        case: A key of `cases.CASES`.
        profile: `Profile`.
        data: Dict of arguments of the case's loader.
    """

    folder: pathlib.Path
    case: str
    profile: Profile
    data: dict

    def load(self, seed=0):
        """The `Case`, with the noise of a seed."""
        profile = dataclasses.asdict(self.profile)
        return load_case(self.case, profile, seed, **self.data)


def comparison_parser(description, cases, methods=None):
    """An `argparse` parser with the flags of a comparison.

    Args:
        description: What the recipe does, one line.
        cases: Keys of `cases.CASES` that it can run on, the first by
            default.
        methods: Keys of the methods, of which flags can choose; `None`: they
            cannot.

    Returns:
        An `argparse.ArgumentParser`.
    """
    parser = recipe_parser(description)
    add = parser.add_argument
    if len(cases) > 1:
        add("--case", choices=cases, default=cases[0], help="data and noise")
    add(
        "--data",
        metavar="PATH",
        help="the .npz file of CIFAR-10, downloaded where left out; the "
        "folder of RAF-DB or AffectNet",
    )
    add("--profile", choices=CIFAR10_PROFILES, default="small", help="sizes")
    add(
        "--seeds",
        nargs="+",
        type=number_flag(int, minimum=0, maximum=2**32 - 1),
        default=[0],
        help="each is one run of every cell: its noise, weights and order",
    )
    if methods is not None:
        add(
            "--methods",
            nargs="+",
            choices=methods,
            default=list(methods),
            metavar="METHOD",
            help="some of them",
        )
    add(
        "--jobs",
        type=number_flag(int, minimum=1, maximum=os.cpu_count() or 1),
        default=1,
        help="cells trained at once",
    )
    add(
        "--output-dir",
        help="folder of the results, which later runs add to; by default "
        "runs/<data>_<profile>",
    )
    add(
        "--report-only",
        action="store_true",
        help="train nothing; write the tables and figures of what is there",
    )
    parser.set_defaults(case=cases[0], methods=methods)
    return parser


def comparison_of(flags):
    """The `Comparison` that the flags of a `comparison_parser` ask for."""
    # CIFAR-10's tables share a folder and cells, and so do those of faces.
    data = "cifar10" if flags.case == "cifar10" else "faces"
    argument = DATA_ARGUMENTS[flags.case]
    return Comparison(
        pathlib.Path(flags.output_dir or f"runs/{data}_{flags.profile}"),
        flags.case,
        profile_of(flags.case, flags.profile),
        {} if argument is None else {argument: flags.data},
    )


def run_comparison(comparison, flags, rows):
    """Runs the cells of some rows, for the flags' methods and seeds.

    Args:
        comparison: `Comparison`.
        flags: What a `comparison_parser` parsed.
        rows: List of `Row`s.

    Returns:
        The folder of the comparison, a `pathlib.Path`.

    Raises:
        ValueError: see `load_case` and `run_cells`; or a cell failed.
    """
    folder = comparison.folder
    if flags.report_only:
        return folder
    if flags.methods is not None:
        rows = [row for row in rows if row.cell.method in flags.methods]
    # What is wrong is said here, once, and not in the log of a cell.
    for row in rows:
        check_method(row.cell.method)
    comparison.load(flags.seeds[0])
    failed = run_cells(
        [row.with_seed(seed) for seed in flags.seeds for row in rows],
        comparison.profile,
        folder,
        comparison.data,
        flags.jobs,
    )
    if failed:
        raise ValueError(
            f"{len(failed)} cell(s) failed; started again, this runs them "
            f"anew. The first: {folder / failed[0].folder / 'log.txt'}"
        )
    return folder
