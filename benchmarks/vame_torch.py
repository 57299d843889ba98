"""A model equal to VAME's in PyTorch, of our own making, to compare times with: a step of training
for every line it reads.

Run by `vrae_speed.py --torch=PYTHON`, by an interpreter that has PyTorch. It answers each line with
a step's milliseconds.
"""

import argparse
import sys
import time

import torch
from torch import nn


class Decoder(nn.Module):
    """VAME's decoder: a bidirectional GRU with z as input at every step, and a linear layer."""

    def __init__(self, steps, zdims, features, units):
        super().__init__()
        self.steps, self.units = steps, units
        self.first = nn.Linear(zdims, 2 * units)
        self.rnn = nn.GRU(zdims, units, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * units, features)

    def forward(self, z):
        """Decode codes.

        Args:
            z: [batch, zdims].

        Returns:
            [batch, steps, features].
        """
        states = self.first(z).view(len(z), 2, self.units).transpose(0, 1).contiguous()
        return self.out(self.rnn(z[:, None].expand(-1, self.steps, -1), states)[0])


class Model(nn.Module):
    """VAME's model with a decoder of the window and one of the steps after it."""

    def __init__(self, steps, future, features, zdims, units):
        super().__init__()
        self.encoder = nn.GRU(features, units, 2, batch_first=True, bidirectional=True)
        self.mean, self.logvar = nn.Linear(4 * units, zdims), nn.Linear(4 * units, zdims)
        self.now, self.next = (Decoder(n, zdims, features, units) for n in (steps, future))

    def forward(self, x):
        """Reconstruct windows and predict the steps after them.

        Args:
            x: [batch, steps, features].

        Returns:
            The reconstruction, the prediction, z, its mean and its log-variance.
        """
        _, last = self.encoder(x)
        hidden = last.transpose(0, 1).reshape(len(x), -1)
        mean, logvar = self.mean(hidden), self.logvar(hidden)
        z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
        return self.now(z), self.next(z), z, mean, logvar


def stepper(batch, steps, future, features, zdims, units):
    """Make a function that takes a training step.

    Args:
        batch: windows in a batch.
        steps: steps of a window.
        future: steps after it that are predicted.
        features: features of a step.
        zdims: size of the code.
        units: units of each GRU.

    Returns:
        The function, of windows [batch, 2 * steps, features].
    """
    model = Model(steps, future, features, zdims, units)
    optimizer = torch.optim.Adam(model.parameters(), 5e-4, amsgrad=True)

    def step(windows):
        x, target = windows[:, :steps], windows[:, steps : steps + future]
        now, following, z, mean, logvar = model(x)
        kl = -0.5 * torch.mean(1 + logvar - mean**2 - torch.exp(logvar))
        cluster = 0.1 / batch**0.5 * torch.linalg.svdvals(z).sum()
        loss = ((now - x) ** 2).sum() + ((following - target) ** 2).sum() + kl + cluster
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def main():
    """Run the script."""
    sizes = argparse.ArgumentParser()
    for name in ("batch", "steps", "future", "features", "zdims", "units"):
        sizes.add_argument(f"--{name}", type=int, required=True)
    sizes = vars(sizes.parse_args())
    step, windows = (
        stepper(**sizes),
        torch.randn(sizes["batch"], 2 * sizes["steps"], sizes["features"]),
    )
    for _ in sys.stdin:
        began = time.perf_counter()
        step(windows)
        print(1e3 * (time.perf_counter() - began), flush=True)


if __name__ == "__main__":
    main()
