"""Makes the figures of results/ and the notebooks a part of the site.

Pages point to both as they lie in the repository, `../results/x.png` and
`tutorials/x.ipynb`, so that they are seen there as well. Of a notebook the
site has a page, and the file to download.
"""

import pathlib
import re
import sys

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[1]
OUTSIDE = re.compile(r"\]\(\.\./((?:\.\./)*)results/")
NOTEBOOK = re.compile(r"(\]\([\w./]*)\.ipynb([)#])")
sys.path.append(str(ROOT / "docs"))

from notebooks import TUTORIALS, to_markdown  # noqa: E402


def on_files(files, config):
    for path in sorted(TUTORIALS.glob("*.ipynb")):
        text, pictures = to_markdown(path)
        made = {f"{path.stem}.md": text, **pictures}
        for name, content in made.items():
            name = f"{TUTORIALS.name}/{name}"
            files.append(File.generated(config, name, content=content))
    for path in sorted((ROOT / "results").glob("**/*.png")):
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, page, **_):
    markdown = NOTEBOOK.sub(r"\1.md\2", OUTSIDE.sub(r"](\1results/", markdown))
    path = TUTORIALS / f"{page.file.name}.ipynb"
    if page.file.src_uri == f"{TUTORIALS.name}/{path.stem}.md":
        markdown += f"\n[This page as a notebook]({path.name})\n"
    return markdown
