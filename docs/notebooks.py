"""The tutorials, which are notebooks with their outputs.

`make tutorials` runs them anew, as `python docs/notebooks.py [NAME.ipynb ...]`
does. The site and the tests read them as the Markdown that `to_markdown`
makes.
"""

import base64
import json
import os
import pathlib
import re
import sys
import tempfile

TUTORIALS = pathlib.Path(__file__).parent / "tutorials"
# `nbclient` passes these cells over: they need what is not at hand.
NOT_RUN = "skip-execution"
LOGGED = re.compile(r"[\b\r]|\d+/\d+|^INFO:")


def to_markdown(path):
    """A notebook as a page, and its pictures.

    Returns:
        The text, in which a cell that is not run has a comment with its first
        line before it, and a dict of PNG files by name.
    """
    parts, pictures = [], {}
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        code = f"```python\n{source}\n```"
        if NOT_RUN in cell["metadata"].get("tags", ()):
            reason = source.partition("\n")[0].lstrip("# ")
            code = f"<!-- not run: {reason} -->\n{code}"
        parts.append(code)
        for output in cell["outputs"]:
            data = output.get("data", {})
            text = "".join(output.get("text", data.get("text/plain", "")))
            if "image/png" in data:
                name = f"{path.stem}_{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode(data["image/png"])
                text, line = "", f"![What the cell draws]({name})"
                parts.append(line)
            if text:
                parts.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n", pictures


def execute(path):
    """Runs a notebook in an empty folder and writes its outputs."""
    import nbclient
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    # Figures are shown, whatever the shell is set to.
    os.environ.pop("MPLBACKEND", None)
    with tempfile.TemporaryDirectory() as folder:
        nbclient.NotebookClient(
            notebook,
            timeout=1800,
            record_timing=False,
            resources={"metadata": {"path": folder}},
        ).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = list(_without_logs(cell.outputs))
    nbformat.write(notebook, path)


def _without_logs(outputs):
    """Outputs without progress and logs, which differ from run to run."""
    for output in outputs:
        shown = output.get("data", {}).get("text/plain", "")
        if output.get("name") == "stderr" or " object at 0x" in shown:
            continue
        if output.output_type == "stream":
            lines = output.text.splitlines(keepends=True)
            kept = [line for line in lines if not LOGGED.search(line)]
            output.text = "".join(kept)
            if not output.text:
                continue
        yield output


if __name__ == "__main__":
    for each in sys.argv[1:] or sorted(TUTORIALS.glob("*.ipynb")):
        print(each, flush=True)
        execute(pathlib.Path(each))
