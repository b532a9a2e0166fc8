"""The cells of the paper's tables, with the paper's numbers."""

import dataclasses
from typing import Any

from keras_noisyfer.arguments import AUTO
from keras_noisyfer.comparison.cell import Cell
from keras_noisyfer.comparison.profiles import CIFAR10_PROFILES

OBJECT = "object_accuracy"
EXPRESSION, CCC, MSE = "expression_accuracy", "affect_ccc", "affect_mse"

ABLATIONS = (
    "vggnet",
    "without-joint",
    "without-marginal",
    "without-decoder",
    "proposed",
)
LAMBDAS = (0.2, 0.4, 0.6, 0.8, 1.0, AUTO)
# The weight of the joint loss that the paper has for each data set.
_FACE_LAMBDAS = {
    "raf-base": 1.0,
    "affectnet-base": 0.4,
    "synthetic-faces": 1.0,
}
# The noise rate that Co-teaching has to be told; of machine labels it is not
# known.
_FACE_NOISE = {"synthetic-faces": 0.4}
_FACE_TITLES = {
    "raf-base": "RAF-base",
    "affectnet-base": "AffectNet-base",
    "synthetic-faces": "synthetic faces",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One cell of a table, which seeds repeat.

    Attributes:
        cell: Its `Cell`, with seed 0.
        paper: Dict by metric of the paper's numbers; accuracies in [0, 1].
    """

    cell: Cell
    paper: dict = dataclasses.field(default_factory=dict)

    def with_seed(self, seed: int) -> Cell:
        """The `Cell` of a seed."""
        return dataclasses.replace(self.cell, seed=seed)


def table1() -> list[Row]:
    """Table 1: methods on CIFAR-10 with three noisy label sets.

    The last three rows are not in the paper.
    """
    paper = {
        "vggnet-clean": 0.8855,
        "majority-vote": 0.8236,
        "vggnet": 0.8023,
        "air": 0.7637,
        "sce": 0.8634,
        "co-teaching": 0.8421,
        "ltnet": 0.8723,
        "proposed": 0.8790,
        "gce": None,
        "dawid-skene": None,
        "elr": None,
    }
    return [
        Row(
            Cell("multi-label", method, 0, "cifar10"),
            {} if number is None else {OBJECT: number},
        )
        for method, number in paper.items()
    ]


def table2(case: str) -> list[Row]:
    """Table 2: single-task and multi-task models of faces.

    Args:
        case: `"raf-base"`, `"affectnet-base"` or `"synthetic-faces"`, which
            is not in the paper.
    """
    paper: dict[Any, Any] = {
        ("raf-base", "expression"): {
            "vggnet": (0.7264,),
            "sce": (0.7396,),
            "co-teaching": (0.7543,),
            "proposed": (0.7402,),
        },
        ("raf-base", "multi-task"): {
            "vggnet": (0.7315,),
            "proposed": (0.7610,),
        },
        ("affectnet-base", "expression"): {
            "vggnet": (0.4342,),
            "sce": (0.4287,),
            "co-teaching": (0.4236,),
            "proposed": (0.4452,),
        },
        ("affectnet-base", "affect"): {
            "vggnet": (None, 0.6254, 0.1438),
            "proposed": (None, 0.6354, 0.1284),
        },
        ("affectnet-base", "multi-task"): {
            "vggnet": (0.4336, 0.6263, 0.1354),
            "proposed": (0.4608, 0.6727, 0.1248),
        },
    }
    # RAF-DB has no people's valence and arousal to test on.
    settings: dict[str, Any] = {
        "expression": ("vggnet", "sce", "co-teaching", "proposed")
    }
    if case != "raf-base":
        settings["affect"] = ("vggnet", "proposed")
    settings["multi-task"] = ("vggnet", "proposed")
    return [
        _face_row(
            case,
            setting,
            method,
            paper.get((case, setting), {}).get(method, ()),
        )
        for setting, methods in settings.items()
        for method in methods
    ]


def table3(case: str) -> list[Row]:
    """Table 3: which parts of the method matter.

    Args:
        case: `"cifar10"`: one label set with 20 % noise, or all three.
            `"raf-base"` or another of `table2`: expressions alone, or with
            affect.
    """
    paper = {
        "cifar10": {
            "single-label": (0.7782, 0.7793, 0.8365, 0.8351, 0.8478),
            "multi-label": (0.8023, 0.7910, 0.8548, 0.8788, 0.8790),
        },
        "raf-base": {
            "expression": (0.7264, 0.7228, 0.7319, 0.7337, 0.7402),
            "multi-task": (0.7315, 0.7324, 0.7440, 0.7446, 0.7610),
        },
    }
    nothing = dict.fromkeys(("expression", "multi-task"), (None,) * 5)
    rows = []
    for setting, numbers in paper.get(case, nothing).items():
        for method, number in zip(ABLATIONS, numbers, strict=True):
            if case == "cifar10":
                annotators = 1 if setting == "single-label" else None
                cell = Cell(setting, method, 0, case, annotators=annotators)
                rows.append(Row(cell, {OBJECT: number}))
            else:
                rows.append(_face_row(case, setting, method, (number,)))
    return rows


def lambda_study(case: str) -> dict[Any, Row]:
    """The cells of App. Fig. 5 and 6: the joint loss at five weights, and at
    the automatic one.

    Args:
        case: As for `table3`; with all labels and tasks.

    Returns:
        A dict by lambda of `Row`s. That of the paper is one of Table 3's.
    """
    whole = table3(case)[-1]
    known = whole.cell.options.get(
        "lambda_joint", CIFAR10_PROFILES["paper"].lambda_joint
    )
    return {
        value: whole
        if value == known
        else Row(
            dataclasses.replace(
                whole.cell,
                setting=f"{whole.cell.setting}, lambda {value}",
                options={"lambda_joint": value},
            )
        )
        for value in LAMBDAS
    }


def _face_row(case, setting, method, numbers):
    options = {"lambda_joint": _FACE_LAMBDAS[case]}
    if method == "co-teaching" and case in _FACE_NOISE:
        options["forget_rate"] = _FACE_NOISE[case]
    cell = Cell(
        f"{_FACE_TITLES[case]}, {setting}",
        method,
        0,
        case,
        tasks=None if setting == "multi-task" else (setting,),
        options=options,
    )
    paper = dict(zip((EXPRESSION, CCC, MSE), numbers, strict=False))
    return Row(cell, {n: v for n, v in paper.items() if v is not None})
