"""Nearest-neighbour divergence beside scipy, epochs of the ratio network beside PyTorch: same data, one run, in turns.

    python benches/ratio.py PEERS [TURNS]

PEERS is the folder with bench_knnkl.py and bench_nre.py. Build first:
cargo bench --profile dev --no-run -p screenwright-benches --bench ratio
"""
import glob, json, os, subprocess, sys, tempfile

import numpy as np

PEERS, TURNS = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
OURS = max((p for p in glob.glob("target/debug/deps/ratio-*") if os.access(p, os.X_OK) and not p.endswith(".d")),
           key=os.path.getmtime)


def line(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def knn_data(folder, n=20000, d=3, seed=0):
    """The samples of bench_knnkl.py."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    x[:, 0] += 1.0
    y = rng.standard_normal((n, d))
    x.tofile(f"{folder}/x"), y.tofile(f"{folder}/y")


def nre_data(folder, per_class=20000, seed=0):
    """The samples of bench_nre.py."""
    rng = np.random.default_rng(seed)
    hit = {"A": (0,), "B": (0, 1), "C": (2,), "D": (2,)}
    names = [""] + list("ABCD") + [a + b for k, a in enumerate("ABCD") for b in "ABCD"[k + 1:]]
    lat = []
    for name in names:
        mu = np.zeros(3)
        for ch in name:
            mu[list(hit[ch])] = 3.0
        lat.append(rng.standard_normal((per_class, 3)) + mu)
    z = np.concatenate(lat)
    for _ in range(7):
        z = z @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
        z = np.where(z > 0, z, 0.2 * z)
    z = (z - z.mean(0)) / z.std(0)
    z.astype(np.float32).tofile(f"{folder}/nre")


with tempfile.TemporaryDirectory() as folder:
    knn_data(folder)
    nre_data(folder)
    print("| work | threads | peer s | ours s | times faster | peer's answer | ours |\n|---|---|---|---|---|---|---|")
    for turn in range(TURNS):
        for threads in (1, 2):
            peer = line([sys.executable, f"{PEERS}/bench_knnkl.py", f"threads={threads}"])
            ours = line([OURS, "work=knn", f"x={folder}/x", f"y={folder}/y", f"threads={threads}"])
            assert abs(peer["kl"] - ours["kl"]) < 1e-9, (peer["kl"], ours["kl"])
            print(f"| kNN-KL 20,000 + 20,000, d 3, k 5 | {threads} | {peer['wall_s']:.4f} | {ours['wall_s']:.4f} "
                  f"| {peer['wall_s'] / ours['wall_s']:.2f} | {peer['kl']:.9f} | {ours['kl']:.9f} |", flush=True)
        for threads in (1, 2):
            peer = line([sys.executable, f"{PEERS}/bench_nre.py", f"threads={threads}", "repeats=1"])
            for hidden in ("128,64", "128,64,64"):
                ours = line([OURS, "work=nre", f"x={folder}/nre", f"hidden={hidden}", f"threads={threads}", "repeats=1"])
                kl = " ".join(f"{v:.2f}" for v in ours["kl_single"])
                theirs = " ".join(f"{v:.2f}" for v in peer["kl_single"])
                print(f"| NRE, 5 epochs, hidden {hidden} | {threads} | {peer['train_s']:.2f} | {ours['wall_s']:.2f} "
                      f"| {peer['train_s'] / ours['wall_s']:.2f} | loss {peer['final_loss']:.4f}, KL {theirs} "
                      f"| loss {ours['final_loss']:.4f}, KL {kl} |", flush=True)
