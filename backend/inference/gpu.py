"""What torch says of a GPU's memory; torch is asked only where a model has loaded it."""

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class GpuMemory:
    """Bytes of a GPU's memory.

    Attributes:
        used: Taken, by whatever process.
        total: All there is.
    """

    used: int = 0
    total: int = 0


def look(device: str) -> GpuMemory:
    """The memory of the GPU that a device of torch is; zeros if this process uses none.

    Args:
        device: As configured: "auto", "cpu", "cuda", "cuda:1".
    """
    torch = sys.modules.get("torch")
    if torch is None or device == "cpu" or not torch.cuda.is_initialized():
        return GpuMemory()
    try:
        free, total = torch.cuda.mem_get_info("cuda" if device == "auto" else device)
    except (RuntimeError, ValueError):  # the driver is gone, or the device is none of CUDA's
        return GpuMemory()
    return GpuMemory(total - free, total)
