"""Makes the figures of results/ a part of the site.

Pages point to them as they lie in the repository, `../results/x.png`, so that
they are seen there as well.
"""

import pathlib
import re

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[1]
OUTSIDE = re.compile(r"\]\(\.\./((?:\.\./)*)results/")


def on_files(files, config):
    for path in sorted((ROOT / "results").glob("**/*.png")):
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, **_):
    return OUTSIDE.sub(r"](\1results/", markdown)
