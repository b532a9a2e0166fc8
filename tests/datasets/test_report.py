import csv

import pytest

from keras_noisyfer.datasets.report import ImportReport


def test_raises_with_name_problem_and_way_out():
    report = ImportReport()
    message = (
        r"^cat\.jpg: damaged image \(no end\)\. "
        r"With `on_error=\"skip\"` it is left out and counted$"
    )
    with pytest.raises(ValueError, match=message):
        report.reject("cat.jpg", "damaged image", "no end")
    with pytest.raises(ValueError, match=r"^row 7: unknown class\. With"):
        report.reject("row 7", "unknown class")
    assert not report.entries and not report.counts


@pytest.mark.parametrize("on_error", ["ignore", None, "Skip"])
def test_on_error_has_two_values(on_error):
    message = "`on_error` must be one of raise, skip. Received: "
    with pytest.raises(ValueError, match=message + repr(on_error)):
        ImportReport(on_error)


@pytest.fixture
def report():
    report = ImportReport("skip")
    report.accepted = 1234
    report.reject("a.jpg", "missing image", "no such file")
    report.reject("b.jpg", "empty file")
    report.reject("c.jpg", "empty file", "0 bytes")
    return report


def test_counts_and_lists_in_order(report):
    assert report.counts == {"empty file": 2, "missing image": 1}
    assert report.entries == [
        ("a.jpg", "missing image", "no such file"),
        ("b.jpg", "empty file", ""),
        ("c.jpg", "empty file", "0 bytes"),
    ]


def test_prints_the_most_common_problem_first(report):
    report.notes["images without a label"] = 5678
    assert str(report).splitlines() == [
        "accepted: 1,234 images",
        "rejected: 2 empty file (first: b.jpg)",
        "rejected: 1 missing image (first: a.jpg)",
        "images without a label: 5,678",
    ]
    assert str(ImportReport()) == "accepted: 0 images"


def test_extends_by_another_report(report):
    other = ImportReport("skip")
    other.reject("d.jpg", "empty file")
    other.notes["made before"] = 3
    other.accepted = 10
    report.extend(other)
    assert report.counts["empty file"] == 3
    assert report.entries[-1] == ("d.jpg", "empty file", "")
    assert report.notes == {"made before": 3}
    # What the whole has accepted is the loader's to say.
    assert report.accepted == 1234


def test_writes_a_table(report, tmp_path):
    report.reject('müde, "rot".jpg', "missing image", "two\nlines")
    path = report.write_csv(str(tmp_path / "rejected.csv"))
    assert path == tmp_path / "rejected.csv"
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["entry", "problem", "detail"]
    assert [tuple(row) for row in rows[1:]] == report.entries


def test_entries_are_strings():
    report = ImportReport("skip")
    report.reject(17, "empty file")
    assert report.entries == [("17", "empty file", "")]
