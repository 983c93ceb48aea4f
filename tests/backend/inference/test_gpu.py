import sys
import time
from types import SimpleNamespace

import pytest

from backend.inference import gpu
from backend.inference.gpu import GpuMemory
from backend.transport import redis_client, worker_registry
from backend.worker.worker import Heartbeat

FREE = {"cuda": 5, "cuda:1": 3}
"""Bytes of each GPU that are free, of 8."""


@pytest.fixture
def torch(monkeypatch):
    """Torch as it answers on a machine with two GPUs, and which of its calls fail."""

    def mem_get_info(device):
        if device not in FREE:
            raise ValueError(f"Expected a cuda device, but got: {device}")
        if fake.is_lost:
            raise RuntimeError("CUDA error: unspecified launch failure")
        return FREE[device], 8

    cuda = SimpleNamespace(is_initialized=lambda: fake.is_used, mem_get_info=mem_get_info)
    fake = SimpleNamespace(cuda=cuda, is_used=True, is_lost=False)
    monkeypatch.setitem(sys.modules, "torch", fake)
    return fake


@pytest.mark.parametrize(("device", "used"), [("auto", 3), ("cuda", 3), ("cuda:1", 5)])
def test_memory_is_that_of_the_workers_own_gpu(torch, device, used):
    assert gpu.look(device) == GpuMemory(used, 8)


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_device_that_is_no_gpu_has_no_memory_to_tell(torch, device):
    assert gpu.look(device) == GpuMemory()


@pytest.mark.parametrize("change", [{"is_used": False}, {"is_lost": True}], ids=["not used", "lost"])
def test_gpu_that_is_not_used_or_lost_has_no_memory_to_tell(torch, change):
    vars(torch).update(change)
    assert gpu.look("auto") == GpuMemory()


def test_torch_is_not_loaded_for_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert gpu.look("auto") == GpuMemory()
    assert "torch" not in sys.modules


def test_heartbeat_tells_it(torch, redis_url, monkeypatch):
    monkeypatch.setattr("backend.worker.worker.HEARTBEAT_S", 0.05)
    conn = redis_client.connect(redis_url)
    info = worker_registry.WorkerInfo("w1", worker_registry.this_machine(), 1, time.time(), "toy", "cuda:1")
    with Heartbeat(conn, info):
        deadline = time.monotonic() + 10
        while not (told := worker_registry.list_workers(conn)[0]).gpu_total and time.monotonic() < deadline:
            time.sleep(0.02)
    assert (told.gpu_used, told.gpu_total) == (5, 8)
