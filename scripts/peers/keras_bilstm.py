"""Peer: the bidirectional LSTM of Keras's IMDB example.

    python keras_bilstm.py JOB.npz      # pip install keras==3.15.1 tensorflow-cpu==2.21.0

Two bidirectional layers of 64 units on embeddings of 128, the last 200 tokens, Adam, batch 32. It
prints one line of JSON and must not import rnnbench.
"""

import json
import os
import sys
import time
from importlib import import_module

import numpy as np

LENGTH = 200


def main(job_file: str) -> None:
    """Train and print the scores of all epochs."""
    os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
    job = np.load(job_file)
    settings = json.loads(str(job["settings"]))
    tensorflow, keras = import_module("tensorflow"), import_module("keras")
    tensorflow.config.threading.set_intra_op_parallelism_threads(settings["threads"])
    tensorflow.config.threading.set_inter_op_parallelism_threads(settings["threads"])
    keras.utils.set_random_seed(settings["seed"])
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(settings["vocabulary"], 128),
            layers.Bidirectional(layers.LSTM(64, return_sequences=True)),
            layers.Bidirectional(layers.LSTM(64)),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    data = {
        split: (padded(job, split), job[f"{split}_labels"].astype("float32"))
        for split in ("train", "validation", "test")
    }
    versions = f"Keras {keras.__version__}, TensorFlow {tensorflow.__version__}"
    epochs, seconds = [], 0.0
    for _ in range(settings["epochs"]):
        started = time.perf_counter()
        model.fit(*data["train"], batch_size=32, epochs=1, verbose=0)
        seconds += time.perf_counter() - started
        scores = {
            split: float(model.evaluate(*data[split], batch_size=128, verbose=0)[1])
            for split in ("validation", "test")
        }
        epochs.append({"versions": versions, "seconds": seconds, **scores})

    print(json.dumps(epochs), flush=True)


def padded(job: "np.lib.npyio.NpzFile", split: str) -> "np.ndarray":
    """Return the last `LENGTH` tokens of each review (reviews, LENGTH), padded at the beginning."""
    tokens, ends = job[f"{split}_tokens"], job[f"{split}_lengths"].cumsum()
    starts = np.maximum(ends - job[f"{split}_lengths"], ends - LENGTH)
    rows = np.zeros((len(ends), LENGTH), dtype="int32")
    for row, start, end in zip(rows, starts, ends, strict=True):
        row[LENGTH - (end - start) :] = tokens[start:end]
    return rows


if __name__ == "__main__":
    main(sys.argv[1])
