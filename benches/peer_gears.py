"""The network of gears in PyTorch, from its equations and cell by cell as the released code goes: every cell of a batch
has rows of its own. Trains the steps that `gears dump=DIR` wrote, from the same start on the same cells in the same
order, and prints one JSON line with the loss and the time of each step. Settings as key=value: dump=DIR (needed),
threads=2, gene_once=0 (1: the outputs' side, which is the same for all cells, is computed once a step), steps=0 (all).
Needs numpy and torch."""

import json
import os
import sys
import time

cfg = {"dump": "", "threads": 2, "gene_once": 0, "steps": 0}
for word in sys.argv[1:]:
    key, _, value = word.partition("=")
    if key not in cfg:
        raise SystemExit(f"unknown setting {key!r}; known: {sorted(cfg)}")
    cfg[key] = value if key == "dump" else int(value)
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(cfg["threads"])
import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(cfg["threads"])
form = json.load(open(f"{cfg['dump']}/form.json"))
L, d = form["outputs"], form["hidden"]
start = np.fromfile(f"{cfg['dump']}/parameters", "<f4")
x_all = torch.from_numpy(np.fromfile(f"{cfg['dump']}/x", "<f4").reshape(-1, L))
control_all = torch.from_numpy(np.fromfile(f"{cfg['dump']}/control", "<f4").reshape(-1, L))
perturbation_all = np.fromfile(f"{cfg['dump']}/perturbation", "<u4").astype(np.int64)


class Line:
    """Parameters cut from the line that the other program wrote."""

    def __init__(self, part):
        self.values, self.at = start[slice(*form["parts"][part])], 0

    def next(self, *shape):
        n = int(np.prod(shape))
        self.at += n
        return torch.nn.Parameter(torch.from_numpy(self.values[self.at - n : self.at].reshape(shape).copy()))


def sparse(a):
    return torch.sparse_coo_tensor([a["row"], a["column"]], a["value"], (a["n"], a["n"]), dtype=torch.float32).coalesce().to_sparse_csr()


class Mlp(torch.nn.Module):
    """Linear, batch normalisation and ReLU a layer, the last ReLU left out."""

    def __init__(self, line, *widths):
        super().__init__()
        self.layers = torch.nn.ModuleList()
        for i, o in zip(widths[:-1], widths[1:]):
            linear, norm = torch.nn.Linear(i, o), torch.nn.BatchNorm1d(o)
            linear.weight = torch.nn.Parameter(line.next(i, o).T.contiguous())
            torch.nn.init.zeros_(linear.bias)
            norm.weight, norm.bias = line.next(o), line.next(o)
            self.layers.append(torch.nn.Sequential(linear, norm))

    def forward(self, x):
        for k, layer in enumerate(self.layers):
            x = layer(x if k == 0 else F.relu(x))
        return x


def norm(line):
    out = torch.nn.BatchNorm1d(d)
    out.weight, out.bias = line.next(d), line.next(d)
    return out


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        pool = form["graph"]["n"]
        self.gene, self.partner = Line("gene").next(L, d), Line("partner").next(L, d)
        self.source = Line("source").next(pool, d)
        self.gene_norm = norm(Line("gene_norm"))
        self.partner_map, self.source_map = Line("partner_map").next(d, d), Line("source_map").next(d, d)
        self.source_bias = Line("source_bias").next(d)
        self.gene_mlp, self.source_mlp = Mlp(Line("gene_mlp"), d, d, d), Mlp(Line("source_mlp"), d, d, d)
        decoder = Line("decoder")
        self.decoder_norm, self.decoder = norm(decoder), Mlp(decoder, d, 2 * d, d)
        self.w1, self.b1 = decoder.next(L, d), decoder.next(L)
        self.cross = Mlp(Line("cross"), L, d, d)
        self.w2, self.b2 = Line("out").next(L, d + 1), Line("out_bias").next(L)
        self.coexpression, self.graph = sparse(form["coexpression"]), sparse(form["graph"])

    def forward(self, perturbation):
        n = len(perturbation)
        with torch.no_grad():
            for table in (self.gene, self.partner, self.source):
                table.copy_(torch.renorm(table, 2, 0, 1.0))
        times = 1 if cfg["gene_once"] else n
        e = F.relu(self.gene_norm(self.gene.repeat(times, 1)))
        c = (self.coexpression @ self.partner) @ self.partner_map
        z = self.gene_mlp(e + 0.2 * c.repeat(times, 1)).view(times, L, d)
        q = (self.graph @ self.source) @ self.source_map + self.source_bias
        w = self.source_mlp(q[perturbation])
        h = self.decoder(F.relu(self.decoder_norm((z + w[:, None]).view(n * L, d)))).view(n, L, d)
        o = (h * self.w1).sum(2) + self.b1
        g = self.cross(o)
        return self.w2[:, 0] * o + g @ self.w2[:, 1:].T + self.b2


net = Net()
adam = torch.optim.Adam(net.parameters(), lr=form["learning_rate"], weight_decay=form["weight_decay"])


def step(rows):
    perturbation, x, control = perturbation_all[rows], x_all[rows], control_all[rows]
    power = (control + net(torch.from_numpy(perturbation)) - x).abs() ** (2 + form["gamma"])
    different, place = np.unique(perturbation, return_inverse=True)
    share = torch.from_numpy(1.0 / (np.bincount(place)[place] * len(different))).float()
    loss = (power.mean(1) * share).sum()
    adam.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_value_(net.parameters(), form["clip"])
    adam.step()
    return float(loss.detach())


losses, walls, processor, at = [], [], [], 0
for size in form["batches"][: cfg["steps"] or None]:
    wall, cpu = time.perf_counter(), time.process_time()
    losses.append(step(slice(at, at + size)))
    walls.append(time.perf_counter() - wall)
    processor.append(time.process_time() - cpu)
    at += size
print(json.dumps({
    "bench": "peer_gears", "config": cfg, "torch": torch.__version__, "load": os.getloadavg()[0], "steps": len(losses),
    "wall_s_step": float(np.mean(walls)), "least_wall_s_step": min(walls),
    "processor_s_step": float(np.mean(processor)), "loss": losses,
}))
