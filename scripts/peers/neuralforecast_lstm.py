"""Peer: neuralforecast's LSTM with its default settings, one day ahead.

    python neuralforecast_lstm.py JOB.npz      # pip install neuralforecast==3.1.2 scipy

Its training of 1,000 steps, the default, counts as one epoch; `--epochs` has no effect. Releases
before March 2025 shift recurrent forecasts by a step. It imports SciPy without
listing it as a requirement. This program prints one line of JSON and must not import rnnbench.
"""

import json
import logging
import os
import sys
import time
from importlib import import_module

import numpy as np


def main(job_file: str) -> None:
    """Train and print the root mean squared errors."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    job = np.load(job_file)
    settings = json.loads(str(job["settings"]))
    pandas, torch = import_module("pandas"), import_module("torch")
    neuralforecast = import_module("neuralforecast")
    torch.set_num_threads(settings["threads"])
    closes, window = job["closes"], settings["window"]
    first = {split: int(job[f"{split}_origins"][0]) for split in ("validation", "test")}
    model = import_module("neuralforecast.models").LSTM(
        h=1,
        input_size=window,
        random_seed=settings["seed"],
        enable_progress_bar=False,
        logger=False,
    )
    forecaster = neuralforecast.NeuralForecast(models=[model], freq=1)
    known = closes[: first["test"] + 1]
    frame = pandas.DataFrame({"unique_id": 0, "ds": np.arange(len(known)), "y": known})
    started = time.perf_counter()
    forecaster.fit(frame, val_size=first["test"] - first["validation"])
    seconds = time.perf_counter() - started
    scores = {}
    for split in ("validation", "test"):
        origins = job[f"{split}_origins"]
        # A series per day: the closes up to it.
        frames = [
            pandas.DataFrame(
                {
                    "unique_id": number,
                    "ds": np.arange(window),
                    "y": closes[origin - window + 1 : origin + 1],
                }
            )
            for number, origin in enumerate(origins)
        ]
        predicted = forecaster.predict(df=pandas.concat(frames, ignore_index=True))
        errors = predicted.sort_values("unique_id")["LSTM"].to_numpy() - closes[origins + 1]
        scores[split] = float(np.sqrt(np.mean(errors**2)))
    versions = f"neuralforecast {neuralforecast.__version__}, PyTorch {torch.__version__}"
    print(json.dumps([{"versions": versions, "seconds": seconds, **scores}]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
