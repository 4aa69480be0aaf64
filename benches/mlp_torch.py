"""PyTorch on the sizes of mlp.rs, on the number of threads given (default 2): microseconds of a step, and one
training of [512, 512] for 256 epochs on 640 rows of 256 features. Fused Adam, single precision, eager mode; a layer
in the parametrisation of the neural tangent kernel is one call of addmm. Prints one JSON line. Needs numpy and
torch."""

import json
import os
import sys
import time

import numpy as np
import torch

threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
torch.set_num_threads(threads)
torch.manual_seed(1)


class Layer(torch.nn.Module):
    def __init__(self, inputs, outputs, sigma=0.2):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(inputs, outputs))
        self.bias = torch.nn.Parameter(torch.zeros(outputs))
        self.sigma, self.factor = sigma, sigma / inputs**0.5

    def forward(self, a):
        return torch.addmm(self.bias, a, self.weight, beta=self.sigma, alpha=self.factor)


def network(widths):
    layers = []
    for i, o in zip(widths[:-1], widths[1:]):
        layers += [Layer(i, o), torch.nn.ReLU(inplace=True)]
    return torch.nn.Sequential(*layers[:-1])


def trainer(net):
    adam = torch.optim.Adam(net.parameters(), lr=0.375, fused=True)

    def step(x, y):
        loss = torch.nn.functional.mse_loss(net(x), y)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()

    return adam, step


def step_microseconds(batch, widths, runs=300):
    x, y = torch.randn(batch, widths[0]), torch.randn(batch, 1)
    _, step = trainer(network(widths))
    for _ in range(20):
        step(x, y)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        step(x, y)
        times.append(1e6 * (time.perf_counter() - start))
    return round(float(np.median(times))), round(min(times))


def training_milliseconds(epochs=256, n=640, d=256, batch=256):
    x, y = torch.randn(n, d), torch.randn(n, 1)
    adam, step = trainer(network([d, 512, 512, 1]))
    start, steps, at = time.perf_counter(), epochs * (n // batch), 0
    for _ in range(epochs):
        order = torch.randperm(n)
        for rows in order[: n // batch * batch].split(batch):
            adam.param_groups[0]["lr"] = 0.375 * (1 - at / steps)
            step(x[rows], y[rows])
            at += 1
    return round(1e3 * (time.perf_counter() - start))


sizes = [(256, [256, 512, 512, 1]), (1024, [128, 256, 1]), (128, [32, 64, 1]), (64, [808, 16, 1])]
print(json.dumps({
    "torch": torch.__version__,
    "threads": threads,
    "load": os.getloadavg()[0],
    "step_us_median_and_least": {f"batch {b}, {w}": step_microseconds(b, w) for b, w in sizes},
    "training_ms": sorted(training_milliseconds() for _ in range(3)),
}))
