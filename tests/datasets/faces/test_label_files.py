import numpy as np
import pandas as pd
import pytest
from fixtures_faces import AFFECTNET_COLUMNS, affectnet_rows, write_table

from keras_noisyfer.datasets.faces.label_files import (
    read_affectnet_labels,
    read_raf_affect,
    read_raf_expressions,
)
from keras_noisyfer.datasets.report import ImportReport

NAN = np.nan


@pytest.fixture
def write(tmp_path):
    def write(text, name="labels.txt"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


# === RAF-DB ===


def test_reads_expressions(write):
    path = write("\ufefftrain_00001.jpg 5\r\ntest 1.jpg 1\r\n\r\nb.jpg\t7")
    table = read_raf_expressions(path, ImportReport())
    assert table.index.tolist() == ["train_00001.jpg", "test 1.jpg", "b.jpg"]
    # Sadness, surprise and neutral.
    assert table.expression.tolist() == [2, 3, 0]


def test_reads_and_clips_affect(write):
    path = write("a.jpg -0.25 1.5\nb.jpg -1e1 0.125\nc.jpg 1 -1\n")
    report = ImportReport()
    table = read_raf_affect(path, report)
    assert table.to_numpy().tolist() == [[-0.25, 1], [-1, 0.125], [1, -1]]
    assert table.columns.tolist() == ["valence", "arousal"]
    note = "rows whose affect was clipped, labels.txt"
    assert report.notes == {note: 2}


@pytest.mark.parametrize(
    "text, problem",
    [
        ("a.jpg 1\nb.jpg\n", "labels.txt, line 2: malformed label .b.jpg"),
        ("a.jpg 1.5\n", "line 1: unknown expression id .a.jpg 1.5"),
        ("a.jpg 9\n", "labels.txt, line 1: unknown expression id .a.jpg 9"),
        (
            "c.jpg 1\na.jpg 8\n",
            "labels.txt, line 2: unknown expression id .a.jpg 8",
        ),
        (
            "a.jpg 1\na.jpg 1\n",
            "a.jpg: duplicate name .once more in labels.txt, line 2",
        ),
    ],
)
def test_bad_lines_of_expressions(write, text, problem):
    path = write(text + "good.jpg 4\n")
    with pytest.raises(ValueError, match=problem) as error:
        read_raf_expressions(path, ImportReport())
    assert "\n" not in str(error.value)
    report = ImportReport("skip")
    table = read_raf_expressions(path, report)
    assert table.expression["good.jpg"] == 1
    assert len(report.entries) == 1
    # A repeated name still has its first label.
    last = text.splitlines()[-1].split()[0]
    rejected = [] if "duplicate" in problem else [last]
    assert table.attrs["rejected"] == rejected


@pytest.mark.parametrize("ids", ["0", "8", "0 1 7", "2 3 8"])
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_an_offset_is_no_bad_line(write, ids, on_error):
    lines = [f"{i}.jpg {each}\n" for i, each in enumerate(ids.split())]
    path = write("".join(lines))
    message = f"from 1, surprise, to 7, .*: ids from {ids[0]} .*labels.txt"
    with pytest.raises(ValueError, match=message) as error:
        read_raf_expressions(path, ImportReport(on_error))
    assert "skip" not in str(error.value)


def test_names_of_aligned_images_and_ids_as_floats(write):
    path = write("train_00001_aligned.jpg 5.0\ntest_0002_aligned.jpg 1\n")
    table = read_raf_expressions(path, ImportReport())
    assert table.index.tolist() == ["train_00001.jpg", "test_0002.jpg"]
    assert table.expression.tolist() == [2, 3]
    path = write("train_00001_aligned.jpg 0.5 0\n")
    assert read_raf_affect(path, ImportReport()).index == ["train_00001.jpg"]


@pytest.mark.parametrize("values", ["0.5", "0.5 x", "0.5 nan", "inf 0", ""])
def test_bad_lines_of_affect(write, values):
    path = write(f"good.jpg 0 0\na.jpg {values}\n")
    with pytest.raises(ValueError, match="labels.txt, line 2: malformed"):
        read_raf_affect(path, ImportReport())


@pytest.mark.parametrize("read", [read_raf_expressions, read_raf_affect])
def test_files_that_are_no_lists(write, read, tmp_path):
    with pytest.raises(ValueError, match="labels.txt must hold labels"):
        read(write("\n"), ImportReport())
    with pytest.raises(ValueError, match="UTF-8"):
        read(write("a.jpg 1 1\n".encode("utf-16")), ImportReport())
    with pytest.raises(ValueError, match="none cannot be read: No such file"):
        read(tmp_path / "none", ImportReport())


# === AffectNet ===


@pytest.fixture
def table(tmp_path):
    rows = affectnet_rows("a", 13)
    path = tmp_path / "training.csv"
    write_table(path, rows)
    return path, rows


@pytest.mark.parametrize(
    "form", [{}, {"header": False}, {"newline": "\r\n", "bom": True}]
)
def test_reads_a_table(tmp_path, form):
    rows = affectnet_rows("a", 13)
    rows[1][0] = ".\\" + rows[1][0].replace("/", "\\")
    rows[2][5] = ""
    rows[3][1] = ""
    path = tmp_path / "validation.csv"
    write_table(path, rows, **{"bom": False, **form})
    read = read_affectnet_labels(path, ImportReport(), faces=True)
    expected = [row[0] for row in affectnet_rows("a", 13)]
    assert read.index.tolist() == expected
    assert read.expression.tolist() == [*range(8), -1, -1, -1, 0, 1]
    assert read.valence[:3].tolist() == [-0.5, -0.4375, -0.375]
    assert np.flatnonzero(read.valence.isna()).tolist() == [9, 10]
    assert np.flatnonzero(read.arousal.isna()).tolist() == [9, 10]
    eyes = read[["left_x", "left_y", "right_x", "right_y"]]
    np.testing.assert_allclose(eyes.iloc[0], [20, 20, 40, 20])
    assert np.flatnonzero(eyes.isna().any(axis=1)).tolist() == [2]
    box = read[["face_x", "face_y", "face_width", "face_height"]]
    assert box.iloc[0].tolist() == [5, 5, 50, 50]
    assert np.isnan(box.face_x.iloc[3])


@pytest.mark.parametrize(
    "row, problem",
    [
        ({6: "11"}, "training.csv, row 4: unknown expression id .*,11,"),
        ({6: "-1"}, "row 4: unknown expression id"),
        ({6: "0.5"}, "row 4: unknown expression id"),
        ({6: "happy"}, "row 4: malformed label"),
        ({0: " "}, "row 4: malformed label"),
        ({6: ""}, "row 4: malformed label"),
        ({8: "?"}, "row 4: malformed label"),
        ({7: "nan"}, "row 4: malformed label"),
        ({7: "1.01"}, r"row 4: affect out of \[-1, 1\] .*1.01"),
        ({8: "-1.5"}, r"row 4: affect out of \[-1, 1\]"),
        ({0: "100/a0x.jpg"}, "100/a0x.jpg: duplicate name"),
        ({8: None, 7: None}, "row 4: malformed label"),
        ({0: "100/a3x.jpg,5"}, "row 4: malformed label"),
    ],
)
def test_bad_rows(tmp_path, table, row, problem):
    path, rows = table
    for column, value in row.items():
        rows[3][column] = value
    # None: the row ends early.
    rows[3] = [value for value in rows[3] if value is not None]
    if "," in rows[3][0]:
        # A comma that nothing quotes.
        rows[3][:1] = rows[3][0].split(",")
    write_table(path, rows)
    with pytest.raises(ValueError, match=problem) as error:
        read_affectnet_labels(path, ImportReport())
    assert "\n" not in str(error.value)
    report = ImportReport("skip")
    read = read_affectnet_labels(path, report)
    expected = [each[0] for i, each in enumerate(rows) if i != 3]
    assert read.index.tolist() == expected
    assert len(report.entries) == 1
    # What follows has kept its labels.
    assert read.expression.tolist() == [0, 1, 2, 4, 5, 6, 7, -1, -1, -1, 0, 1]


def test_reads_what_pandas_has_saved_again(tmp_path, table):
    path, rows = table
    expected = read_affectnet_labels(path, ImportReport(), faces=True)
    again = pd.read_csv(path, na_values=["-2"])
    again["facial_landmarks"] = [
        str(np.array(each.split(";"), "float64").tolist())
        for each in again["facial_landmarks"]
    ]
    again.to_csv(path)
    assert ",9,,\n" in path.read_text()
    read = read_affectnet_labels(path, ImportReport(), faces=True)
    pd.testing.assert_frame_equal(read, expected, check_dtype=False)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "must have the columns .* missing"),
        (
            "subDirectory_filePath,expression\na.jpg,1\n",
            "valence, arousal miss",
        ),
        ("a.jpg,1,2\n", "must have the columns"),
        (",".join(AFFECTNET_COLUMNS) + "\n", "must hold labels"),
        (
            ",".join(AFFECTNET_COLUMNS) + "\n" + "1," * 12 + "\n",
            "t.csv, row 1: malformed label",
        ),
        (
            ",".join(AFFECTNET_COLUMNS) + '\na.jpg,1,1,1,1,"1;2,1,0,0\n',
            "comma-separated values. Received: .*unexpected end of data",
        ),
        ("\udcff".encode("utf-8", "surrogateescape"), "UTF-8"),
    ],
)
def test_files_that_are_no_tables(write, text, message):
    with pytest.raises(ValueError, match=message) as error:
        read_affectnet_labels(write(text, "t.csv"), ImportReport())
    assert "\n" not in str(error.value)
