"""What the training scripts share: the optimiser, seeds, and how weights are written."""

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

TRAIN_SEED = 10_000_000
"""First scene seed of training; seeds below one million are for measuring and are never trained on."""


class Optimiser:
    """Muon on the block matrices, AdamW on the rest, one cosine schedule counted in steps."""

    def __init__(self, modules: Iterable[nn.Module], muon_lr: float, adam_lr: float) -> None:
        named = [(n, p) for module in modules for n, p in module.named_parameters() if p.requires_grad]
        is_matrix = {
            n: p.ndim == 2 and min(p.shape) >= 32 and "embed" not in n and "position" not in n for n, p in named
        }
        self.parameters = [p for _, p in named]
        self.parts: list[tuple[torch.optim.Optimizer, float]] = [
            (
                torch.optim.Muon(
                    [p for n, p in named if is_matrix[n]], lr=muon_lr, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"
                ),
                muon_lr,
            ),
            (
                torch.optim.AdamW(
                    [p for n, p in named if not is_matrix[n]], lr=adam_lr, weight_decay=0.02, betas=(0.9, 0.98)
                ),
                adam_lr,
            ),
        ]

    def schedule(self, step: int, steps: int, warmup: int) -> None:
        """Set the learning rates of a step: linear warm-up, then cosine to 1 % of the top rate."""
        factor = min(1.0, (step + 1) / warmup) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps))))
        for optimiser, lr in self.parts:
            for group in optimiser.param_groups:
                group["lr"] = lr * factor

    def step(self, loss: Tensor) -> None:
        """Back-propagate and update."""
        for optimiser, _ in self.parts:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for optimiser, _ in self.parts:
            optimiser.step()

    def state_dict(self) -> list[dict]:
        return [optimiser.state_dict() for optimiser, _ in self.parts]

    def load_state_dict(self, states: list[dict]) -> None:
        for (optimiser, _), state in zip(self.parts, states, strict=True):
            optimiser.load_state_dict(state)


def save_weights(module: nn.Module, file: Path) -> None:
    """Write a module's state as half-precision safetensors."""
    file.parent.mkdir(parents=True, exist_ok=True)
    half = {name: t.half().contiguous() if t.is_floating_point() else t for name, t in module.state_dict().items()}
    save_file(half, file)
    file.chmod(0o644)  # safetensors writes for the owner only; images run as somebody else
