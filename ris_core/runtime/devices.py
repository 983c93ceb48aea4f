"""The device that models run on: where "auto" is resolved, and what torch cannot use is refused."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ris_core.errors import BadInput

PRECISIONS = ("fp32", "bf16")


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


def check_precision(name: str) -> str:
    """A precision's name.

    Raises:
        BadInput: If it is none of `PRECISIONS`.
    """
    if name not in PRECISIONS:
        raise BadInput(f"precision is {name!r}; give {' or '.join(PRECISIONS)}.")
    return name


@contextmanager
def computing_in(precision: str, device: torch.device) -> Iterator[None]:
    """Within it, products of matrices and convolutions are computed in a precision; weights and what is stored stay float32.

    "fp32" is all of float32: the library's default on a GPU keeps three digits of convolutions.
    "bf16" is torch's own automatic mixed precision: what bfloat16 would harm (norms, softmax) stays in float32.
    """
    with contextlib.ExitStack() as contexts:
        if device.type == "cuda":
            contexts.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
        if precision == "bf16":
            contexts.enter_context(torch.autocast(device.type, torch.bfloat16))
        yield
