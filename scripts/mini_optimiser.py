"""The optimiser that Mini WebUI's networks are trained with: Muon (Jordan et al. 2024) for matrices, else Adam."""

from __future__ import annotations

import torch
from torch import Tensor


def orthogonal(gradient: Tensor) -> Tensor:
    """Five Newton-Schulz steps towards the nearest orthogonal matrix (the Muon optimiser's update)."""
    x = gradient.reshape(len(gradient), -1)
    flip = x.shape[0] > x.shape[1]
    x = x.T if flip else x
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    x = x.T if flip else x
    return (x * max(1, x.shape[0] / x.shape[1]) ** 0.5).reshape(gradient.shape)


class Muon:
    """Momentum, made orthogonal, for the matrices inside; Adam for everything else."""

    def __init__(self, matrices: list[Tensor], others: list[Tensor], rate: float, other_rate: float) -> None:
        self.matrices, self.rate = matrices, rate
        self.momentum = [torch.zeros_like(p) for p in matrices]
        self.adam = torch.optim.Adam(others, lr=other_rate, betas=(0.9, 0.98))
        self.other_rate = other_rate

    def step(self, scale: float) -> None:
        for p, m in zip(self.matrices, self.momentum, strict=True):
            m.lerp_(p.grad, 0.05)
            p.data.mul_(1 - 0.01 * self.rate * scale).sub_(orthogonal(p.grad.lerp(m, 0.95)), alpha=self.rate * scale)
            p.grad = None
        self.adam.param_groups[0]["lr"] = self.other_rate * scale
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)


def schedule(step: int, steps: int, fall: float) -> float:
    """Rise for a hundred steps, stay, and fall to nothing over the last part of the plan."""
    return min(1.0, (step + 1) / 100, max(0.0, (steps - step) / (fall * steps)))
