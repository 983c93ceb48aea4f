"""What the training scripts share: seeds, the optimiser, progress, states to resume from, and how weights are written."""

import json
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

TRAIN_SEED = 10_000_000
"""First scene seed of training; seeds below one million are for measuring and are never trained on."""
REPORT_STEPS = 100
"""Steps from one line of progress to the next."""


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


class TrainingProgress:
    """Prints a JSON line every `REPORT_STEPS` steps: means since the last line, the rate, the minutes left.

    Args:
        first: The step that this run starts from.
        steps: The last step.
        unit: What is counted, "images" or "views".
    """

    def __init__(self, first: int, steps: int, unit: str) -> None:
        self._first, self._steps, self._unit = first, steps, unit
        self._started, self._items = time.time(), 0
        self._since: list[dict[str, float]] = []

    def add(self, step: int, items: int, values: Mapping[str, float]) -> None:
        """A step is done, in which `items` were seen and these values were found."""
        self._items += items
        self._since.append(dict(values))
        if step % REPORT_STEPS and step != self._steps:
            return
        seconds = time.time() - self._started
        means = {name: sum(row[name] for row in self._since) / len(self._since) for name in values}
        line = {"step": step, "of": self._steps, **{name: round(mean, 3) for name, mean in means.items()}}
        line[f"{self._unit}_per_s"] = round(self._items / seconds, 1)
        line["minutes_left"] = round((self._steps - step) * seconds / (step - self._first) / 60, 1)
        print(json.dumps(line), flush=True)
        self._since = []


def load_state(file: Path, parts: Mapping[str, Any]) -> int:
    """Put back what `save_state` kept of modules and optimisers; the step reached, 0 if there is no such file."""
    if not file.exists():
        return 0
    state = torch.load(file, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    print(f"resumed at step {state['step']}", flush=True)
    return int(state["step"])


def save_state(file: Path, parts: Mapping[str, Any], step: int) -> None:
    """Keep modules and optimisers, so that training can be stopped at any time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    torch.save({name: part.state_dict() for name, part in parts.items()} | {"step": step}, unfinished)
    unfinished.replace(file)


def save_weights(module: nn.Module, file: Path) -> None:
    """Write a module's state as half-precision safetensors, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    half = {name: t.half().contiguous() if t.is_floating_point() else t for name, t in module.state_dict().items()}
    unfinished = file.with_suffix(".part")
    save_file(half, unfinished)
    unfinished.chmod(0o644)  # safetensors writes for the owner only; images run as somebody else
    unfinished.replace(file)
