import pytest
from fixtures_faces import affectnet_rows, write_table

from keras_noisyfer.datasets.faces.label_files import (
    read_affectnet_labels,
    read_raf_expressions,
)
from keras_noisyfer.datasets.report import ImportReport


def test_raf_ids_are_mapped_as_the_release_maps_them(tmp_path):
    # RAF 1 surprise, 2 fear, 3 disgust, 4 happiness, 5 sadness, 6 anger and
    # 7 neutral, to AffectNet's numbers.
    path = tmp_path / "list.txt"
    path.write_text("".join(f"{i}.jpg {i}\n" for i in range(1, 8)))
    ids = read_raf_expressions(path, ImportReport())["expression"]
    assert ids.tolist() == [3, 4, 5, 1, 2, 6, 0]


def test_affectnet_ids_are_the_class_ids(tmp_path):
    write_table(tmp_path / "t.csv", affectnet_rows("a", 11))
    table = read_affectnet_labels(tmp_path / "t.csv", ImportReport())
    assert table["expression"].tolist() == [*range(8), -1, -1, -1]


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
