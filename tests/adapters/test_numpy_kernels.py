import pytest

from angle_reco.adapters.numpy_kernels import NumpyKernels
from angle_reco.ports import Kernels
from angle_reco.testing.contracts.kernels import KernelsContract


class TestNumpyKernels(KernelsContract):
    @pytest.fixture
    def kernels(self) -> Kernels:
        return NumpyKernels()


class TestNumpyKernelsInTinyChunks(KernelsContract):
    @pytest.fixture
    def kernels(self, monkeypatch: pytest.MonkeyPatch) -> Kernels:
        monkeypatch.setattr("angle_reco.adapters.numpy_kernels.similar._PAIRS_AT_ONCE", 3)
        monkeypatch.setattr("angle_reco.adapters.numpy_kernels.similar._ROWS_AT_ONCE", 2)
        monkeypatch.setattr("angle_reco.adapters.numpy_kernels.homepages._USERS_AT_ONCE", 2)
        return NumpyKernels()
