"""lleaves, which compiles a LightGBM model with LLVM, timed in an environment of its own."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

# What lleaves 1.3 was made for: it needs the sentinel names of an older pandas and this llvmlite's API.
PACKAGES = ("lleaves==1.3.0", "llvmlite<0.44", "numpy<2", "pandas<2.3")
INSTALL_S, RUN_S = 300, 300

_SCRIPT = """
import sys, time
import lleaves, numpy
folder, threads = sys.argv[1], int(sys.argv[2])
model = lleaves.Model(model_file=folder + "/model.txt")
model.compile(raw_score=True)
rows = numpy.load(folder + "/rows.npy").astype(numpy.float64)
model.predict(rows[:1000], n_jobs=threads)
start = time.perf_counter()
raw = model.predict(rows, n_jobs=threads)
print(len(rows) / (time.perf_counter() - start))
"""


def lleaves_pairs_per_s(
    model_text: str, rows: npt.NDArray[np.float32], n_threads: int
) -> tuple[float | None, str | None]:
    """Return the rate, or None and why there is none: lleaves does not install or run here."""
    with tempfile.TemporaryDirectory(prefix="almanac-lleaves-") as name:
        folder = Path(name)
        (folder / "model.txt").write_text(model_text)
        np.save(folder / "rows.npy", rows)
        python = folder / "env/bin/python"
        steps = (
            ([sys.executable, "-m", "venv", str(folder / "env")], INSTALL_S),
            ([str(python), "-m", "pip", "install", "-q", *PACKAGES], INSTALL_S),
            ([str(python), "-c", _SCRIPT, str(folder), str(n_threads)], RUN_S),
        )
        for command, timeout_s in steps:
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=True)
            except subprocess.TimeoutExpired:
                return None, f"{command[1:4]} took more than {timeout_s} s"
            except (OSError, subprocess.CalledProcessError) as exc:
                told = (getattr(exc, "stderr", "") or str(exc)).strip().splitlines()
                return None, told[-1] if told else str(exc)
        return float(done.stdout.split()[-1]), None
