"""Tables with a row an image and annotator."""

import numpy as np
import pytest
from small_tables import AFFECT, EXPRESSION, NAN, write

from keras_noisyfer.datasets.table import from_csv

TURK = """Input.url,WorkerId,Answer.mood,Answer.v,Answer.a,Status
https://x.org/a.png,w2,sad,0.5,,ok
https://x.org/a.png,w1,happy,,,ok
https://x.org/b.png,w2,,0.25,-1,ok
https://x.org/b.png,gold,neutral,1,1,ok
"""
WORKERS = {
    "image": "Input.url",
    "annotator": "WorkerId",
    "expression": "Answer.mood",
    "affect": ("Answer.v", "Answer.a"),
    "clean": "gold",
}


def base_name(cell):
    return cell.rpartition("/")[2]


def test_table_of_mechanical_turk(tmp_path, root):
    tasks = [EXPRESSION, AFFECT]
    path = write(tmp_path, TURK)
    data = from_csv(path, root, tasks, WORKERS, image_path=base_name)
    assert data.names == ["a.png", "b.png"]
    assert data.annotators == {"expression": ["w1", "w2"], "affect": ["w2"]}
    assert data.labels["expression"].tolist() == [[1, 2], [-1, -1]]
    np.testing.assert_array_equal(
        data.labels["affect"], [[[0.5, NAN]], [[0.25, -1]]]
    )
    assert data.clean["expression"].tolist() == [-1, 0]
    with pytest.raises(ValueError, match="^row 2 .*: missing image .it is a"):
        from_csv(path, root, tasks, WORKERS)
    again = f"{TURK}https://x.org/a.png,w2,sad,0.5,,ok\n"
    with pytest.raises(
        ValueError, match=r"row 6 \(a.png\): duplicate row .ide"
    ):
        from_csv(
            write(tmp_path, again), root, tasks, WORKERS, image_path=base_name
        )


@pytest.mark.parametrize(
    "change, message",
    [
        ({"annotator": 3}, r"`columns\['annotator'\]` must be a string"),
        ({"expression": ["x", "y"]}, "must be the columns of one label"),
        ({"clean": {"expression": "x"}}, r"`columns\['clean'\]` must be a st"),
        ({"clean": "w9"}, "name of an annotator in the table. Received: 'w9'"),
        ({"Status": "x"}, "must have the keys image, expression, affect"),
    ],
)
def test_wrong_columns_of_annotators(tmp_path, root, change, message):
    columns = {**WORKERS, **change}
    path = write(tmp_path, TURK.replace("mood,", "x,").replace("Status", "y"))
    columns = {
        **columns,
        **{"expression": change.get("expression", "Answer.x")},
    }
    with pytest.raises(ValueError, match=message):
        from_csv(path, root, [EXPRESSION, AFFECT], columns)
