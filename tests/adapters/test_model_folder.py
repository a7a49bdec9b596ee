"""Models in files that processes share: private, whole, and the newest alone."""

import os
import stat
from pathlib import Path

import attrs
import numpy as np
import pytest

from angle_reco.adapters.memory.models import MemoryModelStore
from angle_reco.adapters.model_folder import SharedModels
from angle_reco.domain.scoring.blended.columns import packed
from angle_reco.ports.models import ModelHead
from angle_reco.testing.contracts.model_store import model_of, people_of, values_of
from angle_reco.testing.contracts.samples import KINDS, NOW, Sample

SAMPLE = Sample(KINDS[0])


class Counting(MemoryModelStore):
    """A store that counts how often a model is read from it."""

    reads = 0

    def read(self, head: ModelHead):  # type: ignore[no-untyped-def]  # as the class it derives from
        self.reads += 1
        return super().read(head)


@pytest.fixture
def store() -> Counting:
    return Counting()


@pytest.fixture
def shared(store: Counting, tmp_path: Path) -> SharedModels:
    return SharedModels(store, tmp_path / "models" / "shop")


def written(shared: SharedModels, seed: int = 1) -> ModelHead:
    model = model_of(SAMPLE, SAMPLE.users, seed=seed)
    return shared.write(model, trained_at=NOW, people=people_of(SAMPLE))


def files(shared: SharedModels) -> list[str]:
    return sorted(one.name for one in shared.folder.iterdir())


def test_a_model_is_read_once_and_then_mapped(shared: SharedModels, store: Counting) -> None:
    head = written(shared)

    models = [shared.read(head) for _ in range(3)]

    # Each read takes the newest touches, of the model in memory here.
    assert store.reads == 1 + 3
    assert values_of(models[0]) == values_of(models[2]) == values_of(store.read(head))
    assert not models[2].taste.values.flags.owndata
    assert stat.S_IMODE(shared.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(shared.folder.parent.stat().st_mode) == 0o700
    [file] = shared.folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_only_the_file_of_the_newest_stays(shared: SharedModels) -> None:
    shared.read(written(shared))
    newer = written(shared, seed=2)
    unfinished = shared.folder / "other.model.1"
    unfinished.touch()
    abandoned = shared.folder / "another.model.2"
    abandoned.touch()
    os.utime(abandoned, (1, 1))

    shared.read(newer)

    assert files(shared) == sorted([f"{newer.version}-{newer.revision}.model", "other.model.1"])


def test_no_file_stays_once_there_is_no_model(shared: SharedModels) -> None:
    shared.read(written(shared))
    (shared.folder / "a folder.model").mkdir()

    shared.remove()
    shared.trained()

    assert files(shared) == ["a folder.model"]


@pytest.mark.parametrize("damage", ["truncated", "changed", "empty", "of another version", "odd"])
def test_a_damaged_file_is_replaced(
    shared: SharedModels, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    head = written(shared)
    expected = values_of(shared.read(head))
    [file] = shared.folder.iterdir()
    data = file.read_bytes()
    file.write_bytes(
        {
            "truncated": data[: len(data) // 2],
            "changed": data[:5_000] + b"x" + data[5_001:],
            "empty": b"",
            "of another version": b"angle_reco model 9\n" + data[19:],
            "odd": packed({"users": np.array([3, 2, 1])}),
        }[damage]
    )

    assert values_of(shared.read(head)) == expected

    assert file.read_bytes() == data
    assert len(caplog.messages) == (damage != "empty")


@pytest.mark.parametrize("problem", ["a file", "open to others", "a link", "of a read-only parent"])
def test_where_the_folder_cannot_be_used_the_model_is_read_all_the_same(
    store: Counting, tmp_path: Path, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "models" / "shop"
    if problem != "of a read-only parent":
        folder.parent.mkdir(mode=0o700)
    match problem:
        case "a file":
            folder.touch()
        case "open to others":
            folder.mkdir()
            folder.chmod(0o755)
        case "a link":
            (tmp_path / "elsewhere").mkdir(mode=0o700)
            folder.symlink_to(tmp_path / "elsewhere")
        case _:
            # Root may write into any folder.
            (tmp_path / "models").touch()
    shared = SharedModels(store, folder)
    head = written(shared)

    assert values_of(shared.read(head)) == values_of(store.read(head))

    [line] = caplog.messages
    assert line.startswith("folder of models not used: error=")
    assert list(tmp_path.rglob("*.model")) == []


def test_other_processes_may_hold_a_model_that_was_replaced(shared: SharedModels) -> None:
    head = written(shared)
    old = shared.read(head)
    expected = values_of(old)

    shared.read(written(shared, seed=2))

    assert values_of(old) == expected
    assert attrs.evolve(old, touches=old.touches).taste.values.sum() == old.taste.values.sum()
