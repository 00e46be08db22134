"""Our optimum beside that of R's glmnet, run as maxnet runs it, on equal features and penalties.

    ECOTONE_DATA=... python benchmarks/maxent_glmnet.py [FILE.csv]

Needs Rscript with the package glmnet. Two birds of the NCEAS region AWT, linear, quadratic, hinge features, uniform background;
background weights 100 (maxnet's), 1,000 and 10,000 on the way to the maximum entropy limit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.stats import spearmanr

from ecotone.bench.jobs import nceas_hash, nceas_jobs
from ecotone.bench.record import write_rows
from ecotone.systems.maxent.estimator import Maxent
from ecotone.systems.maxent.regularisation import penalties

SPECIES = (0, 11)
WEIGHTS = (100, 1000, 10_000)
SCRIPT = """
suppressMessages(library(glmnet))
x <- as.matrix(read.csv("x.csv", header=FALSE)); p <- scan("p.csv", quiet=TRUE); reg <- scan("reg.csv", quiet=TRUE)
glmnet.control(pmin=1e-12, fdev=0)
out <- NULL
for (big in c(WEIGHTS)) {
  w <- ifelse(p == 1, 1, big)
  path <- 10^seq(4, 0, length.out=200) * mean(reg) * sum(p) / sum(w)
  start <- proc.time()[3]
  m <- glmnet(x, as.factor(p), family="binomial", standardize=FALSE, penalty.factor=reg, lambda=path, weights=w,
              maxit=1e6, thresh=1e-9)
  out <- cbind(out, c(proc.time()[3] - start, as.numeric(m$beta[, length(m$lambda)])))
}
write.table(out, "out.csv", row.names=FALSE, col.names=FALSE, sep=",")
"""


def main() -> None:
    source = Path(os.environ["ECOTONE_DATA"]) / "nceas"
    job, data = nceas_jobs(source, ("AWT",))[0], nceas_hash(source)
    rows = []
    for j in SPECIES:
        counts = job.counts[:, [j]]
        start = time.perf_counter()
        model = Maxent(features="lqh", hinges=9, tolerance=1e-9).fit(
            job.sites, counts, background=job.background, covariates=list(job.covariates)
        )
        seconds = time.perf_counter() - start
        features, beta = model.features_, model.beta_[0, 0]
        own = features.transform(job.sites[counts.toarray()[:, 0] > 0]).astype(float)
        cells = features.transform(job.background).astype(float)
        known = {row.tobytes() for row in cells}
        everything = np.concatenate([cells, own[[row.tobytes() not in known for row in own]]])
        x = np.concatenate([own, everything])
        p = np.r_[np.ones(len(own)), np.zeros(len(everything))]
        every = np.ones((1, x.shape[1]), bool)
        spread = np.ptp(cells, axis=0)
        reg = penalties(sparse.csr_array(p[None]), x, features.feature_kinds, every, spread=spread)[0]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            np.savetxt(folder / "x.csv", x, delimiter=",", fmt="%.9g")
            np.savetxt(folder / "p.csv", p, fmt="%d")
            np.savetxt(folder / "reg.csv", reg)
            script = SCRIPT.replace("WEIGHTS", ", ".join(map(str, WEIGHTS)))
            subprocess.run(["Rscript", "-e", script], cwd=folder, check=True)
            out = np.loadtxt(folder / "out.csv", delimiter=",")

        def objective(b: np.ndarray) -> float:
            return float(np.log(np.exp(everything @ b).mean()) - own.mean(0) @ b + reg @ np.abs(b))  # noqa: B023

        best = objective(beta)
        print(f"{job.species[j]}: ours {seconds:.2f} s, gap {model.solution_.gap[0]:.1e}, {(beta != 0).sum()} features")
        for k, weight in enumerate(WEIGHTS):
            b = out[1:, k]
            ranks = spearmanr(cells @ b, cells @ beta)[0]
            rows.append({
                "species": job.species[j], "weight": weight, "nats_above": objective(b) - best, "rank_correlation": ranks,
                "features": int((b != 0).sum()), "our_features": int((beta != 0).sum()), "our_gap": model.solution_.gap[0],
                "seconds": out[0, k], "our_seconds": seconds, "data": data,
            })  # fmt: skip
            print(
                f"  glmnet, weight {weight}: {out[0, k]:.2f} s, objective {objective(b) - best:+.2e} nats from ours,"
                f" {(b != 0).sum()} features, rank correlation {ranks:.7f}"
            )
    if len(sys.argv) > 1:
        write_rows(rows, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
