"""Table 2 of the paper: expressions, affect or both from noisy labels.

On RAF-DB and AffectNet with the labels of machines, or, with no data of
yours, on drawn faces. Cells are run and kept as in table1_cifar10.py. Writes
`cells.csv`, the history of every cell and `table2_<case>.md`.
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
    test_images,
)
from keras_noisyfer.command_line.training import run_recipe
from keras_noisyfer.comparison.publish import (
    write_curves,
    write_predictions,
    write_report,
)
from keras_noisyfer.comparison.report import (
    EPOCHS,
    metrics_table,
    summarise,
)
from keras_noisyfer.comparison.tables import (
    CCC,
    EXPRESSION,
    MSE,
    table2,
)

CASES = ("synthetic-faces", "raf-base", "affectnet-base")


def run(flags):
    rows = table2(flags.case)
    comparison = comparison_of(flags)
    failed = run_comparison(comparison, flags, rows)
    folder = comparison.folder
    summary = summarise(folder, rows)
    write_report(
        folder,
        f"table2_{flags.case}",
        *(
            (title, metrics_table(summary, (EXPRESSION, CCC, MSE), epoch))
            for epoch, title in EPOCHS.items()
        ),
    )
    test = test_images(comparison, flags)
    for setting in dict.fromkeys(row.cell.setting for row in rows):
        metric = CCC if setting.endswith("affect") else EXPRESSION
        write_curves(folder, setting, metric)
        write_predictions(folder, setting, test, flags.seeds[0])
    raise_failed(comparison, failed)


def main(arguments=None):
    parser = comparison_parser(__doc__, CASES)
    run_recipe(run, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
