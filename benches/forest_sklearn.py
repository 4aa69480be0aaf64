"""scikit-learn's random forest on the work of forest.rs, with the same settings (key=value words): fit, then every
tree's predictions of the pool, their mean and spread. Prints one JSON line. Needs numpy and scikit-learn."""

import json
import sys
import time

import numpy as np
import sklearn
from joblib import Parallel, delayed
from sklearn.ensemble import RandomForestRegressor

cfg = dict(n=1000, d=808, pool=17000, trees=100, threads=2, repeats=5, seed=1)
for word in sys.argv[1:]:
    key, _, value = word.partition("=")
    if key not in cfg:
        raise SystemExit(f"no setting `{key}`; there are {sorted(cfg)}")
    cfg[key] = int(value)
rng = np.random.default_rng(cfg["seed"])
n = cfg["n"]
x = rng.standard_normal((n + cfg["pool"], cfg["d"])).astype(np.float32)
y = np.tanh(x @ rng.standard_normal(cfg["d"]) / np.sqrt(cfg["d"])) + 0.1 * rng.standard_normal(len(x))


def cycle():
    start = time.perf_counter()
    forest = RandomForestRegressor(cfg["trees"], n_jobs=cfg["threads"], random_state=1).fit(x[:n], y[:n])
    fit = time.perf_counter() - start
    # As forest.predict does it, but keeping every tree's answer.
    each = Parallel(n_jobs=cfg["threads"], prefer="threads")(delayed(t.predict)(x[n:]) for t in forest.estimators_)
    mean, sd = np.mean(each, 0), np.std(each, 0)
    return fit, time.perf_counter() - start - fit, mean, sd


cycle()
before = time.process_time()
runs = [cycle() for _ in range(cfg["repeats"])]
cpu = (time.process_time() - before) / cfg["repeats"]
fit, predict = (np.array([r[k] for r in runs]) for k in (0, 1))
mean, sd = runs[-1][2:]
print(json.dumps({"bench": "forest_sklearn", "sklearn": sklearn.__version__, "settings": cfg,
                  "wall_s": float(np.median(fit + predict)), "fit_s": float(np.median(fit)),
                  "predict_s": float(np.median(predict)), "least_s": float((fit + predict).min()), "cpu_s": cpu,
                  "pool_r": float(np.corrcoef(mean, y[n:])[0, 1]), "mean_std": float(sd.mean())}))
