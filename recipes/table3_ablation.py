"""Table 3 of the paper: what each part of the method is worth.

Without the joint score, without the marginal scores, without the decoder, and
whole, on one label set and on three, or on expressions alone and with affect.
Cells are run and kept as in table1_cifar10.py, with which it shares some.
Writes `cells.csv`, the history of every cell and `table3_<case>.md`.
"""

import os

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from keras_noisyfer.command_line.comparison import (
    comparison_of,
    comparison_parser,
    raise_failed,
    run_comparison,
)
from keras_noisyfer.command_line.training import run_recipe
from keras_noisyfer.comparison.publish import (
    write_curves,
    write_report,
)
from keras_noisyfer.comparison.report import (
    EPOCHS,
    settings_table,
    summarise,
)
from keras_noisyfer.comparison.tables import (
    ABLATIONS,
    EXPRESSION,
    OBJECT,
    table3,
)

CASES = ("cifar10", "raf-base", "affectnet-base", "synthetic-faces")


def run(flags):
    rows = table3(flags.case)
    comparison = comparison_of(flags)
    failed = run_comparison(comparison, flags, rows)
    folder = comparison.folder
    summary = summarise(folder, rows)
    metric = OBJECT if flags.case == "cifar10" else EXPRESSION
    write_report(
        folder,
        f"table3_{flags.case}",
        *(
            (title, settings_table(summary, metric, epoch))
            for epoch, title in EPOCHS.items()
        ),
    )
    for setting in dict.fromkeys(row.cell.setting for row in rows):
        write_curves(folder, setting, metric)
    raise_failed(comparison, failed)


def main(arguments=None):
    parser = comparison_parser(__doc__, CASES, ABLATIONS)
    run_recipe(run, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
