"""The device that models run on: where "auto" is resolved, and what torch cannot use is refused."""

from contextlib import AbstractContextManager, nullcontext

import torch

from ris_core.errors import BadInput


def pick_device(name: str) -> torch.device:
    """The device of a name.

    Args:
        name: A torch device, as in "cpu", "cuda", "cuda:1"; or "auto" for a GPU if there is one.

    Raises:
        BadInput: If torch has no such device, or cannot use it on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise BadInput(
            f"The device {name!r} cannot be used here ({reason}).",
            'Give "cpu", "cuda", "cuda:1" and the like, or "auto".',
        ) from error
    return device


def full_precision(device: torch.device) -> AbstractContextManager[None]:
    """Convolutions in float32: the library's default on a GPU keeps three digits of them."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
