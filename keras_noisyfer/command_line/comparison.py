"""The flags of the recipes that run a table."""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from keras_noisyfer.arguments import number_flag
from keras_noisyfer.command_line.training import recipe_parser
from keras_noisyfer.comparison.data import (
    DATASETS,
    load_case,
)
from keras_noisyfer.comparison.methods import method_data
from keras_noisyfer.comparison.profiles import (
    CIFAR10_PROFILES,
    Profile,
    profile_of,
)
from keras_noisyfer.comparison.runner import (
    check_settings,
    run_cells,
)
from keras_noisyfer.results import SETTINGS

if TYPE_CHECKING:
    from keras_noisyfer.comparison.cell import Cell
    from keras_noisyfer.comparison.data import Case
    from keras_noisyfer.comparison.tables import Row
    from keras_noisyfer.datasets.labelled_images import LabelledImages


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Where a comparison is kept, and what all its cells share.

    Attributes:
        folder: Its folder, a `pathlib.Path`.
        case: A key of `data.DATASETS`.
        profile: `Profile`.
        data: Dict of arguments of the case's loader.
        identity: Dict that tells data of one's own from other data.
    """

    folder: pathlib.Path
    case: str
    profile: Profile
    data: dict
    identity: dict = dataclasses.field(default_factory=dict)

    def load(self, seed: int = 0) -> Case:
        """The `Case`, with the noise of a seed."""
        profile = dataclasses.asdict(self.profile)
        return load_case(self.case, profile, seed, **self.data)


def comparison_parser(
    description: str,
    cases: Sequence[str] = (),
    methods: Iterable[str] | None = None,
) -> argparse.ArgumentParser:
    """An `argparse` parser with the flags of a comparison.

    Args:
        description: What the recipe does.
        cases: Keys of `data.DATASETS` that it can run on, the first by
            default; none where other flags say what the data is.
        methods: Keys of the methods, of which flags can choose; `None`: they
            cannot.

    Returns:
        An `argparse.ArgumentParser`.
    """
    parser = recipe_parser(description)
    add = parser.add_argument
    if len(cases) > 1:
        add("--case", choices=cases, default=cases[0], help="data and noise")
    helps = [_DATA_HELP[case] for case in cases if case in _DATA_HELP]
    if helps:
        add("--data", metavar="PATH", help="; ".join(helps))
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
            help="some of " + ", ".join(methods),
        )
    add(
        "--jobs",
        type=number_flag(int, minimum=1, maximum=os.cpu_count() or 1),
        default=1,
        help="cells trained at once",
    )
    folder = "%(default)s"
    if cases:
        folder = f"runs/{_folder_name(cases[0])}_<profile>"
    add(
        "--output-dir",
        type=_folder,
        help="folder of the results, which later runs add to; by default "
        + folder,
    )
    add(
        "--report-only",
        action="store_true",
        help="train nothing; write the tables and figures of what is there",
    )
    parser.set_defaults(methods=methods)
    if cases:
        parser.set_defaults(case=cases[0])
    return parser


def _folder(text):
    # Of a shell variable that is not set, which must not mean the default.
    if not text:
        raise argparse.ArgumentTypeError("must name a folder. Received: ''")
    return text


_DATA_HELP = {
    "cifar10": "CIFAR-10's .npz file, downloaded where left out",
    "raf-base": "RAF-DB's or AffectNet's folder",
}


def comparison_of(flags: argparse.Namespace) -> Comparison:
    """The `Comparison` that the flags of a `comparison_parser` ask for."""
    folder = f"runs/{_folder_name(flags.case)}_{flags.profile}"
    argument = DATASETS[flags.case].argument
    return Comparison(
        pathlib.Path(flags.output_dir or folder),
        flags.case,
        profile_of(flags.case, flags.profile),
        {} if argument is None else {argument: flags.data},
    )


def _folder_name(case):
    # CIFAR-10's tables share a folder and cells, and so do those of faces.
    return "cifar10" if case == "cifar10" else "faces"


def run_comparison(
    comparison: Comparison, flags: argparse.Namespace, rows: Iterable[Row]
) -> list[Cell]:
    """Runs the cells of some rows, for the flags' methods and seeds.

    Args:
        comparison: `Comparison`.
        flags: What a `comparison_parser` parsed.
        rows: List of `Row`s.

    Returns:
        List of the cells that failed.

    Raises:
        ValueError: see `load_case`, `check_method` and `run_cells`.
    """
    folder, profile = comparison.folder, comparison.profile
    if flags.report_only:
        if (folder / SETTINGS).exists():
            check_settings(folder, profile, comparison.identity)
        return []
    if flags.methods is not None:
        rows = [row for row in rows if row.cell.method in flags.methods]
    # What is wrong is said here, once, and not in the log of a cell.
    case = comparison.load(flags.seeds[0])
    for method in dict.fromkeys(row.cell.method for row in rows):
        method_data(method, case.train)
    check_settings(folder, profile, comparison.identity)
    return run_cells(
        [row.with_seed(seed) for seed in flags.seeds for row in rows],
        profile,
        folder,
        comparison.data,
        flags.jobs,
    )


def test_images(
    comparison: Comparison, flags: argparse.Namespace
) -> LabelledImages | None:
    """The test images, to be drawn; None where only figures are asked for
    and the flags do not say where the data is."""
    argument = DATASETS[comparison.case].argument
    unknown = argument is not None and comparison.data[argument] is None
    if flags.report_only and unknown:
        return None
    return comparison.load(flags.seeds[0]).test


def raise_failed(comparison: Comparison, failed: Sequence[Cell]) -> None:
    """Raises `ValueError` if cells failed; called when all is reported."""
    if failed:
        log = comparison.folder / failed[0].folder / "log.txt"
        raise ValueError(
            f"{len(failed)} cell(s) failed; started again, this runs them "
            f"anew. The first: {log}"
        )
