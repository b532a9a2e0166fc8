import numpy as np
import pytest
from fixtures_faces import affectnet_rows, write_table

from keras_noisyfer.datasets.faces.expressions import (
    AFFECTNET_EXPRESSIONS,
    EXPRESSIONS_WITH_CONTEMPT,
    RAF_EXPRESSIONS,
    to_class_ids,
)
from keras_noisyfer.datasets.faces.label_files import read_affectnet_labels
from keras_noisyfer.datasets.report import ImportReport


def test_raf_ids_are_mapped_as_the_release_maps_them():
    # RAF 1 surprise, 2 fear, 3 disgust, 4 happiness, 5 sadness, 6 anger and
    # 7 neutral, to AffectNet's numbers.
    class_ids = to_class_ids([1, 2, 3, 4, 5, 6, 7], RAF_EXPRESSIONS)
    assert class_ids.tolist() == [3, 4, 5, 1, 2, 6, 0]
    assert class_ids.dtype == np.int32


def test_affectnet_ids_are_the_class_ids():
    every = list(range(11))
    seven = to_class_ids(every, AFFECTNET_EXPRESSIONS)
    assert seven.tolist() == [0, 1, 2, 3, 4, 5, 6, -1, -1, -1, -1]
    eight = to_class_ids(
        every, AFFECTNET_EXPRESSIONS, EXPRESSIONS_WITH_CONTEMPT
    )
    assert eight.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, -1, -1, -1]


def test_another_order_of_classes_is_followed():
    class_ids = to_class_ids([1, 7], RAF_EXPRESSIONS, ("neutral", "surprise"))
    assert class_ids.tolist() == [1, 0]


@pytest.mark.parametrize("wrong", [0, 8, -1])
def test_rejects_an_unknown_id(wrong):
    with pytest.raises(ValueError, match=f"from 1 to 7. Received: {wrong}"):
        to_class_ids([1, wrong], RAF_EXPRESSIONS)


@pytest.mark.parametrize(
    "ids, classes",
    [
        (range(1, 12), None),
        (range(-1, 6), None),
        ([11, 3], None),
        (range(1, 9), None),
        # What a machine of the seven says.
        (range(1, 8), 7),
    ],
)
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_an_offset_is_no_bad_row(tmp_path, ids, classes, on_error):
    rows = affectnet_rows("a", len(ids))
    for row, each in zip(rows, ids, strict=True):
        row[6] = each
    write_table(tmp_path / "t.csv", rows)
    message = f"from 0, neutral, to 10, .* ids from {min(ids)} to {max(ids)} in"
    with pytest.raises(ValueError, match=message) as error:
        report = ImportReport(on_error)
        read_affectnet_labels(tmp_path / "t.csv", report, classes=classes)
    assert "skip" not in str(error.value)
