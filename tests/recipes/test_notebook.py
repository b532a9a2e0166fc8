"""The notebook runs, at small sizes."""

import pytest
from common import RECIPES

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("keras_tuner")

SMALL = """TRAIN_SIZE = 140
EPOCHS = 2
WIDTH = 0.0625
TRIALS = 1
OUTPUT = {output!r}"""


def outputs(notebook, kind):
    return [
        each
        for cell in notebook.cells
        if cell.cell_type == "code"
        for each in cell.outputs
        if kind in each.get("data", ())
    ]


@pytest.mark.distributed
def test_notebook_runs(tmp_path):
    notebook = nbformat.read(RECIPES / "quickstart.ipynb", as_version=4)
    (cell,) = (
        each
        for each in notebook.cells
        if "parameters" in each.metadata.get("tags", ())
    )
    cell.source = SMALL.format(output=str(tmp_path))
    nbclient.NotebookClient(
        notebook, timeout=500, resources={"metadata": {"path": str(RECIPES)}}
    ).execute()
    assert (tmp_path / "faces" / "1" / "saved_model.pb").exists()
    # Faces, curves and confusion matrix.
    assert len(outputs(notebook, "image/png")) == 3


def test_notebook_is_committed_with_its_pictures():
    notebook = nbformat.read(RECIPES / "quickstart.ipynb", as_version=4)
    assert len(outputs(notebook, "image/png")) == 3
    text = nbformat.writes(notebook)
    assert '"output_type": "error"' not in text
