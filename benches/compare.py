"""The table behind compare.sh: peers and ours on the same rows, with the floor that reading the rows once a pick sets."""
import glob, hashlib, json, os, subprocess, sys, tempfile, time

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "2"
import numpy as np

PEERS = sys.argv[1]
SIZES = [(10_000, 512, 100), (50_000, 128, 300)]
TRAIN = 200
RULES = [
    ("max_dist", "maxdist", {}),
    ("lcmd", "lcmd", {}),
    ("kmeans_pp", "kmeanspp", {}),
    ("frank_wolfe", "fw", {}),
    ("max_diag", "maxdiag", {}),
    ("max_det", "maxdet", {"sigma": 0.1}),
    ("bait", "bait", {"sigma": 0.1}),
]


def newest(name):
    found = [p for p in glob.glob(f"target/debug/deps/{name}-*") if os.access(p, os.X_OK) and not p.endswith(".d")]
    return max(found, key=os.path.getmtime)


def least(work, repeats=7):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def ceilings():
    a = np.random.default_rng(0).standard_normal((2048, 2048)).astype(np.float32)
    gemm = 2 * 2048**3 / least(lambda: a @ a)
    big = np.ones((1 << 18, 512), np.float32)
    v = np.ones(512, np.float32)
    return gemm, big.nbytes / least(lambda: big @ v)


def rows(n, d, folder):
    """The rows that bench_select.py makes, as raw files."""
    rng = np.random.default_rng(0)
    scale = (1.0 / np.sqrt(1.0 + np.arange(d))).astype(np.float32)
    for name, count in (("pool", n), ("train", TRAIN)):
        (rng.standard_normal((count, d)).astype(np.float32) * scale).tofile(f"{folder}/{name}")


def last_line(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def discrepancy(n=20_000, d=128, bandwidth=16.0):
    """MMD^2 of the two samples that bench_mmd.py makes, by numpy, PyTorch and ours, on two threads."""
    size = [f"n={n}", f"m={n}", f"d={d}", f"bandwidth={bandwidth}", "threads=2", "repeats=3"]
    peers = [(name, last_line([sys.executable, f"{PEERS}/bench_mmd.py", f"impl={name}", *size])) for name in ("numpy", "torch")]
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(peers[0][1].get("seed", 0))
        rng.standard_normal((n, d)).astype(np.float32).tofile(f"{folder}/x")
        (rng.standard_normal((n, d)) + 0.1).astype(np.float32).tofile(f"{folder}/y")
        ours = last_line([newest("contrast"), f"x={folder}/x", f"y={folder}/y", f"d={d}", f"bandwidth={bandwidth}", "threads=2"])
    print(f"\nMMD^2, RBF, n = m = {n}, d = {d}, single precision, two threads:")
    print("| who | MMD^2 | s | processor s | peak MB | ours times faster |\n|---|---|---|---|---|---|")
    for name, peer in peers:
        same = abs(peer["mmd2"] - ours["mmd2"]) < 1e-5 * abs(ours["mmd2"]) + 1e-7
        print(f"| {name} | {peer['mmd2']:.8f}{'' if same else ' DIFFERS'} | {peer['wall_s']:.2f} | {peer['cpu_s']:.2f} "
              f"| {peer['peak_rss_mib']:.0f} | {peer['wall_s'] / ours['wall_s']:.1f} |")
    print(f"| ours | {ours['mmd2']:.8f} | {ours['wall_s']:.2f} | {ours['cpu_s']:.2f} | {ours['peak_mb']} | |", flush=True)


def main():
    gemm, read = ceilings()
    print(f"ceilings of this machine, 2 threads: sgemm {gemm / 1e9:.0f} GFLOP/s, sgemv {read / 1e9:.1f} GB/s\n")
    print("floor: rows read once a pick from memory, the train rows as one product, bait's two n d² products.")
    print("goal: the larger of a third of bmdal_reg's time and 1.5 x the floor. Picks: how many of the batch are the same,")
    print("from the first on; kmeans_pp draws its own random numbers.\n")
    print("| rule | n x d x picks | bmdal_reg s | ours f32 s | times faster | goal s | floor s | ours f64 s | same picks |")
    print("|---|---|---|---|---|---|---|---|---|")
    bench = newest("select")
    for n, d, batch in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            rows(n, d, folder)
            for ours, theirs, options in RULES:
                peer = last_line([sys.executable, f"{PEERS}/bench_select.py", f"method={theirs}", f"n_pool={n}", f"d={d}",
                                  f"batch={batch}", "threads=2", "repeats=5"])
                times = {}
                for single in (1, 0):
                    times[single] = last_line([bench, f"d={d}", f"batch={batch}", "threads=2", "repeats=5", f"single={single}",
                                               f"pool={folder}/pool", f"train={folder}/train",
                                               "rule=" + json.dumps({"use": ours, **options})])
                floor = batch * n * d * 4 / read + 2 * n * d * TRAIN / gemm
                if ours == "bait":
                    floor += 4 * n * d * d / gemm
                if ours == "max_diag":
                    floor = n * d * 4 / read
                picks = np.array(times[1]["picks"], dtype=np.int64)
                # The peer lists max_diag in increasing order.
                picks = picks[::-1] if ours == "max_diag" else picks
                same = hashlib.sha256(np.ascontiguousarray(picks).tobytes()).hexdigest()[:16] == peer["checksum"]
                peer_s, single_s, double_s = peer["wall_s"], times[1]["wall_s"], times[0]["wall_s"]
                goal = max(peer_s / 3, 1.5 * floor)
                print(f"| {ours} | {n} x {d} x {batch} | {peer_s:.3f} | {single_s:.3f} | {peer_s / single_s:.1f} | {goal:.3f} "
                      f"| {floor:.3f} | {double_s:.3f} | {'all' if same else 'random' if ours == 'kmeans_pp' else 'differ'} |", flush=True)
    print("\nMean of 8 normalised kernels, n = 9,748, d = 128, single precision, two threads:")
    peer = last_line([sys.executable, f"{PEERS}/bench_kernel.py", "impl=torch-stream", "threads=2", "repeats=3"])
    print(f"PyTorch, streaming: {peer['wall_s']:.2f} s, peak {peer['peak_rss_mib']:.0f} MiB")
    sys.stdout.flush()
    subprocess.run([newest("fuse")], check=True)
    pairs(PEERS)
    discrepancy()


def pairs(peers):
    """One round of information-directed search: the same measured pairs, numpyro's posterior and ours."""
    n, r, observed = 50, 5, 200
    rng = np.random.default_rng(0)
    u = rng.standard_normal((n, r)) / np.sqrt(np.sqrt(r))
    ii, jj = np.triu_indices(n, 1)
    truth = (u @ u.T)[ii, jj]
    start = rng.choice(len(ii), observed, replace=False)
    peer = last_line([sys.executable, f"{peers}/bench_ids.py", "threads=2", "repeats=3"])
    print(f"\nMatrix posterior (5,000 steps of Adam), 500 draws and scores, {n} genes, rank {r}, {observed} pairs measured.")
    print(f"numpyro: compilation and first round {peer['first_round_s']:.2f} s, not counted below.\n")
    print("The peer's U U' is the form of the truth; ours by default is U V', which is not told that much.\n")
    print("| | s (processor) | times faster (processor) | correlation on free pairs |\n|---|---|---|---|")
    print(f"| numpyro SVI, U U', warm | {peer['wall_s']:.3f} ({peer['cpu_s']:.3f}) | 1 | {peer['corr_free']:.4f} |")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        json.dump({"n": n, "i": ii[start].tolist(), "j": jj[start].tolist(), "y": truth[start].tolist(), "truth": truth.tolist()}, f)
        f.flush()
        out = subprocess.run([newest("ids"), f"data={f.name}", "run=1"], check=True, capture_output=True, text=True).stdout
    for row in map(json.loads, out.splitlines()):
        if "fit" in row:
            faster = f"{peer['wall_s'] / row['wall_s']:.0f} ({peer['cpu_s'] / row['processor_s']:.0f})"
            print(f"| {row['fit']} | {row['wall_s']:.4f} ({row['processor_s']:.4f}) | {faster} | {row['corr_free']:.4f} |")
        else:
            print(f"50 rounds of pair_50, one thread, {row['model']['inference']}: {row['wall_s']:.2f} s ({row['processor_s']:.2f} on the processor)")


# A part alone: compare.py PEERS mmd
{"mmd": discrepancy, "ids": lambda: pairs(PEERS)}.get("".join(sys.argv[2:]), main)()
