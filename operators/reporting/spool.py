"""Where the objects and arrays of an image wait on disk until its study is written: a private folder, gone afterwards.

One folder per process holds one per image. Each is removed with the last record that refers to it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from operators.reporting.leftovers import hold, remove_leftovers

PREFIX = ".osteomap-"  # hidden: in an output folder it is no result
DEFERRED_BYTES = 4096  # a longer value is read when it is asked for


class _Folder:
    """A folder that exists as long as this object; ``within`` keeps the folder about it.

    The outermost one is locked: a process that is killed leaves it, and the next one removes it.
    """

    def __init__(self, parent: Path, within: _Folder | None = None) -> None:
        self.within = within
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        if within is None:
            self._lock()
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def _lock(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        weakref.finalize(self, os.close, descriptor)
        hold(descriptor)
        self.path.mkdir(exist_ok=True)  # another process may have removed it before it was locked


class Spool:
    """The folder of a process, made when it is first needed.

    Parameters
    ----------
    parent
        Where it is made; None: the system's folder for temporary files (TMPDIR).
    keeps_arrays
        Whether pictures and heat maps are kept beside the objects, for a caller who may ask for them.
    """

    def __init__(self, parent: Path | None = None, *, keeps_arrays: bool = True) -> None:
        self._parent = parent
        self._folder: _Folder | None = None
        self.keeps_arrays = keeps_arrays

    def close(self) -> None:
        """Let the folder go: it is removed when no record refers to it any more."""
        self._folder = None

    def store(self, objects: Mapping[str, Dataset], arrays: Mapping[str, NDArray[np.float32]]) -> StoredImage:
        """Write the objects and, if they are kept, the arrays of one image.

        Raises
        ------
        OSError
            If there is no room for them.
        """
        if self._folder is None:
            parent = Path(tempfile.gettempdir()) if self._parent is None else self._parent
            remove_leftovers(parent.glob(f"{PREFIX}*"))
            self._folder = _Folder(parent)
        stored = StoredImage(_Folder(self._folder.path, self._folder), tuple(objects))
        for kind, ds in objects.items():
            ds.save_as(stored.path_of(kind), enforce_file_format=True)
        for name, array in arrays.items() if self.keeps_arrays else ():
            np.save(stored.folder.path / f"{name}.npy", array)
        return stored


class StoredImage:
    """The objects and arrays of one image on disk."""

    def __init__(self, folder: _Folder, kinds: tuple[str, ...]) -> None:
        self.folder = folder
        self.kinds = kinds

    def path_of(self, kind: str) -> Path:
        """Return where the object of a kind lies."""
        return self.folder.path / f"{kind}.dcm"

    def array(self, name: str) -> NDArray[np.float32]:
        """Read an array, which is read-only.

        Raises
        ------
        ValueError
            If arrays are not kept.
        """
        path = self.folder.path / f"{name}.npy"
        if not path.exists():
            raise ValueError(f"{name}: not kept once the objects of the image are built; see operators.reporting.spool")
        array: NDArray[np.float32] = np.load(path)
        array.flags.writeable = False
        return array


class StoredObjects(Mapping[str, Dataset]):
    """The objects of one image by kind; each look reads one anew.

    Parameters
    ----------
    stored
        Where they lie.
    whole
        Whether long values, above all pixels, are read at once. If not, they are read each time they are asked for.
    """

    def __init__(self, stored: StoredImage, *, whole: bool = False) -> None:
        self.stored = stored
        self._defer_bytes = None if whole else DEFERRED_BYTES

    def __getitem__(self, kind: str) -> Dataset:
        if kind not in self.stored.kinds:
            raise KeyError(kind)
        ds = dcmread(self.stored.path_of(kind), defer_size=self._defer_bytes)
        if self._defer_bytes is not None:
            ds.stored = self.stored  # the file has to exist as long as a value may be read from it
        return ds

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored.kinds)

    def __len__(self) -> int:
        return len(self.stored.kinds)
