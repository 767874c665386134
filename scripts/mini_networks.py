"""The two networks of Mini WebUI's model as PyTorch trains them; sdlauncher/mini/model computes the same in numpy."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sdlauncher.mini.model.vocabulary import TOKENS

SIGMA_DATA = 0.6  # the spread of the pictures' values, part of the model's definition


def rms(x: Tensor) -> Tensor:
    """Scale every pixel's channels to a mean square of one: no statistic that depends on the picture's size."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-5)


class Block(nn.Module):
    """A residual block that the words and the noise level modulate."""

    def __init__(self, inside: int, outside: int, condition: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, padding=1)
        self.modulate = nn.Linear(condition, 2 * outside)
        self.second = nn.Conv2d(outside, outside, 3, padding=1)
        self.skip = nn.Conv2d(inside, outside, 1, bias=False) if inside != outside else nn.Identity()
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulate(condition)[:, :, None, None].chunk(2, 1)
        h = self.first(F.silu(rms(x)))
        h = self.second(F.silu(rms(h) * (1 + scale) + shift))
        return self.skip(x) + h


class Attention(nn.Module):
    """Four heads over the coarsest pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        q, k, v = self.qkv(rms(x)).reshape(n, 3, 4, c // 4, h * w).transpose(-1, -2).unbind(1)
        q, k = (rms(part.transpose(1, 3)).transpose(1, 3) for part in (q, k))
        mixed = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(mixed.transpose(-1, -2).reshape(n, c, h, w))


def places(n: int, height: int, width: int) -> Tensor:
    """Describe where each pixel is: waves over the picture, and over its middle in units of the short side."""
    maps = []
    for size, row in ((height, False), (width, True)):
        at = (torch.arange(size) + 0.5) / size * 2 - 1
        angles = [torch.pi * wave * along for along in (at, at * size / min(height, width)) for wave in (0.5, 1.0, 2.0)]
        maps += [f(angle)[None] if row else f(angle)[:, None] for angle in angles for f in (torch.sin, torch.cos)]
    maps = [values.expand(height, width) for values in maps]
    return torch.stack(maps)[None].expand(n, -1, -1, -1)


class Drafter(nn.Module):
    """From words alone to the mean of all pictures that they fit: a blurred draft that the diffusion can lean on."""

    def __init__(self, coarse: int = 96, fine: int = 48, condition: int = 192) -> None:
        super().__init__()
        self.words = nn.Parameter(torch.randn(len(TOKENS), condition) * 0.3)
        self.nothing = nn.Parameter(torch.randn(condition) * 0.3)
        self.mix1 = nn.Linear(condition, condition)
        self.mix2 = nn.Linear(condition, condition)
        self.layout = nn.Linear(condition, 24 * 64)
        self.enter = nn.Conv2d(48, coarse, 1)
        self.low1 = Block(coarse, coarse, condition)
        self.low2 = Block(coarse, coarse, condition)
        self.grow = nn.Conv2d(coarse, 4 * fine, 1)
        self.place = nn.Conv2d(24, fine, 1, bias=False)
        self.up1 = Block(fine, fine, condition)
        self.leave = nn.Conv2d(fine, 12, 3, padding=1)

    def forward(self, words: Tensor, told: Tensor, height: int, width: int) -> Tensor:
        n = len(words)
        c = words @ self.words + (1 - told)[:, None] * self.nothing
        c = F.silu(c + self.mix2(F.silu(self.mix1(F.silu(c)))))
        layout = F.interpolate(self.layout(c).reshape(n, 24, 8, 8), (height // 4, width // 4), mode="bilinear")
        h = self.enter(torch.cat([layout, places(n, height // 4, width // 4)], 1))
        h = self.low2(self.low1(h, c), c)
        h = F.pixel_shuffle(self.grow(h), 2) + self.place(places(n, height // 2, width // 2))
        return F.pixel_shuffle(self.leave(F.silu(rms(self.up1(h, c)))), 2)


class Network(nn.Module):
    """A small U-Net over 2x2 patches: two blocks down, four and attention below, two up."""

    def __init__(self, fine: int = 64, coarse: int = 112, condition: int = 160) -> None:
        super().__init__()
        self.words = nn.Parameter(torch.randn(len(TOKENS), condition) * 0.3)
        self.nothing = nn.Parameter(torch.randn(condition) * 0.3)
        self.time = nn.Linear(32, condition)
        self.mix1 = nn.Linear(condition, condition)
        self.mix2 = nn.Linear(condition, condition)
        self.enter = nn.Conv2d(14, fine, 3, padding=1)
        self.down1 = Block(fine, fine, condition)
        self.down2 = Block(fine, fine, condition)
        self.shrink = nn.Conv2d(4 * fine, coarse, 1)
        self.low1 = Block(coarse, coarse, condition)
        self.attention = Attention(coarse)
        self.low2 = Block(coarse, coarse, condition)
        self.low3 = Block(coarse, coarse, condition)
        self.low4 = Block(coarse, coarse, condition)
        self.grow = nn.Conv2d(coarse, 4 * fine, 1)
        self.up1 = Block(2 * fine, fine, condition)
        self.up2 = Block(fine, fine, condition)
        self.leave = nn.Conv2d(fine, 12, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        self.layout = nn.Linear(condition, 12 * 64)
        self.place = nn.Conv2d(12, coarse, 1, bias=False)
        nn.init.zeros_(self.place.weight)
        self.trace = nn.Conv2d(12, fine, 3, padding=1, bias=False)
        nn.init.zeros_(self.trace.weight)

    def forward(self, x: Tensor, noise: Tensor, words: Tensor, told: Tensor, draft: Tensor | None = None) -> Tensor:
        """x: scaled noisy pictures; noise: log sigma / 4; words: the vocabulary's weights; told: 1 if any."""
        waves = noise[:, None] * 2.0 ** torch.arange(-1, 7, 0.5)[None]
        c = self.time(torch.cat([waves.sin(), waves.cos()], 1))
        c = c + words @ self.words + (1 - told)[:, None] * self.nothing
        c = F.silu(c + self.mix2(F.silu(self.mix1(F.silu(c)))))
        n, _, height, width = x.shape
        rows = torch.linspace(-1, 1, height // 2)[None, None, :, None].expand(n, 1, -1, width // 2)
        columns = torch.linspace(-1, 1, width // 2)[None, None, None, :].expand(n, 1, height // 2, -1)
        h = self.enter(torch.cat([F.pixel_unshuffle(x, 2), rows, columns], 1))
        if draft is not None:
            h = h + self.trace(F.pixel_unshuffle(draft, 2))
        fine = self.down2(self.down1(h, c), c)
        layout = F.interpolate(self.layout(c).reshape(n, 12, 8, 8), (height // 4, width // 4), mode="bilinear")
        h = self.shrink(F.pixel_unshuffle(fine, 2)) + self.place(layout)
        h = self.attention(self.low2(self.low1(h, c), c))
        h = self.low4(self.low3(h, c), c)
        h = F.pixel_shuffle(self.grow(h), 2)
        h = self.up2(self.up1(torch.cat([h, fine], 1), c), c)
        return F.pixel_shuffle(self.leave(F.silu(rms(h))), 2)


def estimate(network: Network, x: Tensor, sigma: Tensor, words: Tensor, draft: Tensor) -> Tensor:
    """Estimate the clean pictures as inference does: x noisy, sigma one level per picture."""
    s = sigma[:, None, None, None]
    root = (s**2 + SIGMA_DATA**2).sqrt()
    guess = network(x / root, sigma.log() / 4, words, torch.ones(len(x)), draft)
    return x * SIGMA_DATA**2 / root**2 + guess * s * SIGMA_DATA / root


class Decoder(nn.Module):
    """From small pictures to sixteen times larger ones: each new pixel chooses among nine cleaned neighbours."""

    def __init__(self, channels: int = 48) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1) for _ in range(4)])
        self.clean = nn.Conv2d(channels, 3, 3, padding=1)
        self.choose = nn.Conv2d(channels, 9 * 256, 1)
        nn.init.zeros_(self.clean.weight)
        bias = torch.zeros(9, 16, 16)
        for tap in range(9):
            y, x = torch.meshgrid((torch.arange(16) - 7.5) / 16, (torch.arange(16) - 7.5) / 16, indexing="ij")
            bias[tap] = -((y - (tap // 3 - 1)) ** 2 + (x - (tap % 3 - 1)) ** 2) * 6
        self.choose.bias.data = bias.reshape(-1)
        self.choose.weight.data *= 0.3

    def forward(self, x: Tensor) -> Tensor:
        """x: (n, 3, h, w) in -1..1; gives (n, 3, 16 h, 16 w)."""
        n, _, height, width = x.shape
        h = self.enter(x)
        for block in self.blocks:
            h = h + block(F.silu(h))
        h = F.silu(h)
        padded = F.pad(x + self.clean(h), (1, 1, 1, 1), mode="replicate")
        palette = F.unfold(padded, 3).reshape(n, 3, 9, 1, height * width)
        weights = self.choose(h).reshape(n, 1, 9, 256, height * width).softmax(2)
        mixed = (palette * weights).sum(2).reshape(n, 3, 16, 16, height, width)
        return mixed.permute(0, 1, 4, 2, 5, 3).reshape(n, 3, 16 * height, 16 * width)
