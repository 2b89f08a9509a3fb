"""The Keras side of against_keras.py: a program for an environment with Keras and TensorFlow.

    python keras_side.py JOB.npz

Trains like Keras's IMDB examples and prints one line of JSON. It must not import rnnbench, which
that environment does not have.
"""

import json
import os
import sys
import time
from importlib import import_module

import numpy as np


def main(job_file: str) -> None:
    """Train and print the results."""
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
    result = {"versions": versions, "seconds": seconds, "accuracies": accuracies}
    print(json.dumps(result), flush=True)


def padded(job: "np.lib.npyio.NpzFile", split: str, length: int) -> "np.ndarray":
    """Return rows of one length with the reviews at their ends."""
    tokens, lengths = job[f"{split}_tokens"], job[f"{split}_lengths"]
    rows = np.zeros((len(lengths), length), dtype="int32")
    rows[np.arange(length) >= length - lengths[:, None]] = tokens
    return rows


if __name__ == "__main__":
    main(sys.argv[1])
