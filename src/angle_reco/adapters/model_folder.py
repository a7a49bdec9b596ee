"""Models in files, which the processes of a machine map into memory and share."""

import logging
import mmap
import os
import stat
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from time import time
from uuid import uuid4

import attrs

from angle_reco.domain.arrays import Bools
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import ModelError
from angle_reco.domain.runs import Fence
from angle_reco.domain.scoring.blended.columns import columns_of, model_of, packed, unpacked
from angle_reco.domain.scoring.blended.model import Model, TouchCounts
from angle_reco.ports.models import ModelHead, ModelStore, Trained, TunedWeights

_log = logging.getLogger(__name__)

_SUFFIX = ".model"
_SECONDS_TO_WRITE = 3_600


@attrs.frozen
class SharedModels:
    """Another `ModelStore`, whose model is read once on a machine and then mapped from a file.

    The *folder* and the one that it is in are created with the mode 0700, and must be private to
    the user of the process. If they cannot be used, which is logged, each process reads the model
    into its own memory. Only the file of the newest model stays; what the database has removed is
    removed here, too.
    """

    store: ModelStore
    folder: Path

    def trained(self) -> Trained:
        trained = self.store.trained()
        if trained.model is None:
            with suppress(OSError):
                self._remove_all_but(None)
        return trained

    def read(self, head: ModelHead) -> Model:
        try:
            return self._shared(head)
        except OSError as error:
            _log.warning("folder of models not used: error=%s", type(error).__name__)
            return self.store.read(head)

    def read_touches(self, head: ModelHead) -> TouchCounts:
        return self.store.read_touches(head)

    def not_erased(self, users: IdColumn) -> Bools:
        return self.store.not_erased(users)

    def write(
        self, model: Model, *, trained_at: datetime, people: IdColumn, fence: Fence | None = None
    ) -> ModelHead:
        return self.store.write(model, trained_at=trained_at, people=people, fence=fence)

    def write_touches(
        self, touches: TouchCounts, *, counted_at: datetime, fence: Fence | None = None
    ) -> None:
        self.store.write_touches(touches, counted_at=counted_at, fence=fence)

    def remove(self, *, fence: Fence | None = None) -> None:
        self.store.remove(fence=fence)

    def write_weights(self, weights: TunedWeights | None) -> None:
        self.store.write_weights(weights)

    def _shared(self, head: ModelHead) -> Model:
        for folder in (self.folder.parent, self.folder):
            _require_private(folder)
        path = self.folder / f"{head.version}-{head.revision}{_SUFFIX}"
        model = _mapped(path, head)
        if model is None:
            read = self.store.read(head)
            _write(path, packed(columns_of(read)))
            model = _mapped(path, head) or read
        self._remove_all_but(path)
        # Those in the file are as old as the file.
        return attrs.evolve(model, touches=self.store.read_touches(head))

    def _remove_all_but(self, kept: Path | None) -> None:
        for other in self.folder.iterdir():
            # Another process may be writing a file just now.
            is_old = other != kept if other.suffix == _SUFFIX else _is_abandoned(other)
            if is_old and not other.is_dir():
                other.unlink(missing_ok=True)


def _require_private(folder: Path) -> None:
    """Create the folder; refuse one that others may write or read.

    Raises:
        OSError: It cannot be created, or is not private.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(1, f"{folder} is not a folder that only this user may use")


def _is_abandoned(path: Path) -> bool:
    """Return whether a file was not finished within an hour, or is gone."""
    try:
        return time() - path.lstat().st_mtime > _SECONDS_TO_WRITE
    except FileNotFoundError:
        return True


def _mapped(path: Path, head: ModelHead) -> Model | None:
    """Return the model in a file, None if there is none, or a damaged one."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        if os.fstat(file).st_uid != os.geteuid():
            raise PermissionError(1, f"{path} belongs to another user")
        mapped = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
    except ValueError:
        # It is empty.
        return None
    finally:
        os.close(file)
    try:
        return model_of(unpacked(memoryview(mapped)), version=head.version)
    except ModelError as error:
        _log.warning("file of a model replaced: problem=%s", error.problem)
        return None


def _write(path: Path, data: bytes) -> None:
    """Write a file that appears as a whole."""
    unfinished = path.with_name(f"{path.name}.{uuid4().hex}")
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(data)
        unfinished.replace(path)
    except OSError:
        with suppress(OSError):
            unfinished.unlink()
        raise
