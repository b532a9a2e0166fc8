"""The names of images in tables, and the files that they mean."""

import collections
import os
import posixpath
import re
import unicodedata

from keras_noisyfer.datasets.image_files import list_images
from keras_noisyfer.typing import PathLike

_URL = re.compile(r"[a-z][a-z0-9+.-]+://|data:", re.I)
_DRIVE = re.compile(r"[a-z]:[\\/]", re.I)


class ImageFolder:
    """Finds the images that a table names in a folder."""

    def __init__(self, image_root: PathLike):
        self.image_root = os.path.abspath(image_root)
        self._written = {}
        self._listed = {}

    def name(self, cell: str) -> str:
        """The path of an image, relative to the folder: in one spelling, with
        `/` for a back-slash and in the Unicode normal form of the file, where
        there is one such file. Anything else stays as it is written."""
        name = self._normalize(cell)
        self._written.setdefault(name, cell)
        return name

    def explain(
        self, name: str, problem: str, detail: str
    ) -> tuple[str, str, str]:
        """What is to be said of an image: the cell as it was written, the
        problem, and with the detail, where no image is there, what the cell
        seems to be and which file is like it."""
        if problem in ("missing image", "path out of the image folder"):
            if _URL.match(name):
                problem = "missing image"
                detail = "it is a URL; `image_path` can say which file it is"
            elif os.path.isabs(name) or _DRIVE.match(name):
                detail = f"an absolute path, {detail}"
            alike = self._find(_alike, name) or self._find(_last_part, name)
            if alike and alike[0] != name:
                detail += f"; the folder has {alike[0]}"
        return self._written.get(name, name), problem, detail

    def _normalize(self, cell):
        if not cell or _URL.match(cell):
            return cell
        name = cell
        if os.path.isabs(cell):
            for root in (self.image_root, os.path.realpath(self.image_root)):
                name = os.path.relpath(cell, root)
                if name.partition("/")[0] != os.pardir:
                    break
            else:
                return cell
        # An image with two spellings would otherwise be two images.
        name = posixpath.normpath(name)
        if "\0" in name or os.path.lexists(os.path.join(self.image_root, name)):
            return name
        same = self._find(_canonical, name)
        return same[0] if len(same) == 1 else name

    def _find(self, key, name):
        """The images of the folder with the same key as a name."""
        if key not in self._listed:
            images = collections.defaultdict(list)
            for each in list_images(self.image_root):
                images[key(each)].append(each)
            # Only now: several threads may ask.
            self._listed[key] = images
        return self._listed[key].get(key(name), [])


def _canonical(name):
    name = unicodedata.normalize("NFC", name.replace("\\", "/"))
    return posixpath.normpath(name)


def _alike(name):
    return _canonical(name).casefold()


def _last_part(name):
    return posixpath.basename(_alike(name))
