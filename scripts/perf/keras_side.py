"""The Keras half of against_keras.py: a program for an environment that has Keras and TensorFlow.

    python keras_side.py JOB.npz

Reads reviews and settings, trains as Keras's own IMDB examples do (padded in front to one length,
no mask, Adam), and prints a line of JSON: versions, and seconds and validation accuracy by epoch.
It imports nothing of rnnbench, which that environment does not have.
"""

import json
import os
import sys
import time
from importlib import import_module

import numpy as np


def main(job_file: str) -> None:
    """Train and tell."""
    os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
    job = np.load(job_file)
    settings = json.loads(str(job["settings"]))
    tensorflow, keras = import_module("tensorflow"), import_module("keras")
    tensorflow.config.threading.set_intra_op_parallelism_threads(settings["threads"])
    tensorflow.config.threading.set_inter_op_parallelism_threads(settings["threads"])
    keras.utils.set_random_seed(settings["seed"])
    layers = keras.layers
    cell = {"lstm": layers.LSTM, "gru": layers.GRU}[settings["cell"]]
    model = keras.Sequential([keras.Input((settings["length"],), dtype="int32")])
    model.add(layers.Embedding(settings["vocabulary"], settings["embedding"]))
    for left in reversed(range(settings["layers"])):
        layer = cell(settings["hidden"], return_sequences=left > 0)
        model.add(layers.Bidirectional(layer) if settings["bidirectional"] else layer)
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    data = {
        split: (padded(job, split, settings["length"]), job[f"{split}_labels"].astype("float32"))
        for split in ("train", "validation")
    }
    seconds, accuracies = [], []
    for _ in range(settings["epochs"]):
        started = time.perf_counter()
        model.fit(*data["train"], batch_size=settings["batch"], epochs=1, verbose=0)
        seconds.append(time.perf_counter() - started)
        accuracies.append(float(model.evaluate(*data["validation"], batch_size=128, verbose=0)[1]))
    versions = f"Keras {keras.__version__}, TensorFlow {tensorflow.__version__}"
    told = {"versions": versions, "seconds": seconds, "accuracies": accuracies}
    print(json.dumps(told), flush=True)


def padded(job: "np.lib.npyio.NpzFile", split: str, length: int) -> "np.ndarray":
    """Put reviews at the end of rows of one length."""
    tokens, lengths = job[f"{split}_tokens"], job[f"{split}_lengths"]
    rows = np.zeros((len(lengths), length), dtype="int32")
    rows[np.arange(length) >= length - lengths[:, None]] = tokens
    return rows


if __name__ == "__main__":
    main(sys.argv[1])
