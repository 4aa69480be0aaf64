"""scikit-learn's random forest on the sizes of forest.rs: fit 640 x 256, per-tree predictions of 6,000, two
jobs. Prints one JSON line. Needs numpy and scikit-learn."""

import json
import time

import numpy as np
import sklearn
from joblib import Parallel, delayed
from sklearn.ensemble import RandomForestRegressor

rng = np.random.default_rng(1)
x = rng.standard_normal((6640, 256))
y = sum(np.sin(x[:640, f] * (1 + f / 5)) for f in range(10)) + 0.5 * rng.standard_normal(640)
star = x[640:]


def fit():
    return RandomForestRegressor(n_estimators=100, n_jobs=2, random_state=1).fit(x[:640], y)


def predict(forest):
    # As forest.predict does it, but keeping every tree's answer; converted once.
    single = star.astype(np.float32)
    each = Parallel(n_jobs=2, prefer="threads")(delayed(t.tree_.predict)(single) for t in forest.estimators_)
    each = np.stack([e.ravel() for e in each])
    return each.mean(0), each.std(0)


def milliseconds(f, runs=7):
    f()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        f()
        times.append(1e3 * (time.perf_counter() - start))
    return round(float(np.median(times)), 1), round(min(times), 1)


forest = fit()
fit_ms, fit_least = milliseconds(fit)
predict_ms, predict_least = milliseconds(lambda: predict(forest))
print(json.dumps({"sklearn": sklearn.__version__, "fit_ms": fit_ms, "fit_least_ms": fit_least,
                  "predict_ms": predict_ms, "predict_least_ms": predict_least}))
