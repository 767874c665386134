"""The training pictures of Mini WebUI's model as tensors: drawn once from a seed, kept, and dealt out in batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import mini_pictures
import numpy as np
import torch
from mini_networks import Drafter, Network, estimate
from torch import Tensor

from sdlauncher.mini.model.vocabulary import INDEX, TOKENS

Data = list[tuple[Tensor, Tensor]]
SHAPES = ((32, 32), (32, 48), (48, 32), (48, 48))  # the sizes that a batch may have, and how often
SHARES = (0.80, 0.08, 0.08, 0.04)


def draw_share(job: tuple[int, int, int, int]) -> tuple[np.ndarray, list[list[int]]]:
    """Draw some pictures of one size from a seed of their own."""
    seed, count, height, width = job
    rng = np.random.default_rng(seed)
    short = min(height, width)
    pictures, words = np.empty((count, height, width, 3), np.uint8), []
    for i in range(count):
        picture = mini_pictures.compose(rng, (height / short, width / short))
        large = mini_pictures.draw(picture, 2 * height, 2 * width)
        pictures[i] = (large.reshape(height, 2, width, 2, 3).mean((1, 3)) + 0.5).astype(np.uint8)
        words.append([INDEX[token] for token in picture.tokens])
    return pictures, words


def draw_data(work: Path, count: int, seed: int, processes: int) -> Data:
    """Draw the data set: per size, the pictures and their words as rows of zeros and ones."""
    kept = work / f"pictures-{seed}-{count}.pt"
    if kept.exists():
        return torch.load(kept)
    data = []
    with ProcessPoolExecutor(processes) as pool:
        for number, ((height, width), share) in enumerate(zip(SHAPES, SHARES, strict=True)):
            shares = max(1, int(count * share / 500))
            jobs = [(seed * 1_000_000 + number * 100_000 + i, 500, height, width) for i in range(shares)]
            pictures, words = [], []
            for some, their in pool.map(draw_share, jobs):
                pictures.append(some)
                words += their
            rows = torch.zeros(len(words), len(TOKENS))
            for i, row in enumerate(words):
                rows[i, row] = 1
            data.append((torch.from_numpy(np.concatenate(pictures)), rows))
    torch.save(data, kept)
    return data


def batches(data: Data, size: int, seed: int, rank: int, ranks: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield this process's part of each batch: all parts are of one size of picture, so that none waits for another."""
    rng = np.random.default_rng(seed)
    while True:
        kind = rng.choice(len(SHAPES), p=SHARES)
        pictures, words = data[kind]
        fitting = max(8, size * 1024 // math.prod(SHAPES[kind]))
        rows = torch.from_numpy(rng.integers(0, len(pictures), fitting)[rank::ranks].copy())
        yield pictures[rows].permute(0, 3, 1, 2).float() / 127.5 - 1, words[rows]


def draw_crops(rng: np.random.Generator, network: Network, drafter: Drafter, side: int, count: int) -> Data:
    """Draw windows of pictures, large and small; most small ones as the network would estimate them."""
    pictures = [mini_pictures.compose(rng) for _ in range(count)]
    clean = np.stack([mini_pictures.draw(picture, 64, 64) for picture in pictures]) / 127.5 - 1
    clean = torch.from_numpy(clean.reshape(count, 32, 2, 32, 2, 3).mean((2, 4))).permute(0, 3, 1, 2)
    words = torch.zeros(count, len(TOKENS))
    for i, picture in enumerate(pictures):
        words[i, [INDEX[token] for token in picture.tokens]] = 1
    sigma = torch.from_numpy(np.exp(rng.uniform(np.log(0.05), np.log(0.6), count)).astype(np.float32))
    noisy = clean + sigma[:, None, None, None] * torch.randn_like(clean)
    with torch.no_grad():
        guessed = estimate(network, noisy, sigma, words, drafter(words, torch.ones(count), 32, 32)).clamp(-1, 1)
    crops = []
    for i, picture in enumerate(pictures):
        top, left = (int(v) for v in rng.integers(0, 33 - side, 2))
        large = mini_pictures.draw(picture, 512, 512, (16 * top, 16 * left, 16 * side, 16 * side)) / 127.5 - 1
        if rng.random() < 0.3:
            small = torch.from_numpy(large.reshape(side, 16, side, 16, 3).mean((1, 3))).permute(2, 0, 1)
        else:
            small = guessed[i, :, top : top + side, left : left + side].clone()
        crops.append((small, torch.from_numpy(large).permute(2, 0, 1).half()))
    return crops
