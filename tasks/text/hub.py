"""Data sets of the Hugging Face hub: reachability, the local cache, and loading."""

from __future__ import annotations

import http.client
import os
import threading
import urllib.request
from pathlib import Path
from typing import Any

from tasks.base import DataError

PROBE_SECONDS = 4.0


def load(name: str) -> Any:
    """Return a data set of the hub, or of the local cache of an earlier download."""
    if is_cached(name):
        # Otherwise datasets queries the hub first and waits long for an unreachable one.
        os.environ["HF_DATASETS_OFFLINE"] = os.environ["HF_HUB_OFFLINE"] = "1"
    import datasets

    try:
        return datasets.load_dataset(name)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{name} could not be loaded from the hub ({reason})") from error


def is_cached(name: str) -> bool:
    """Return True if the data set was downloaded before; does not import datasets."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    home = os.environ.get("HF_HOME") or Path(caches) / "huggingface"
    cache = Path(os.environ.get("HF_DATASETS_CACHE") or Path(home) / "datasets")
    return any(cache.glob(name.replace("/", "___") + "/*/*/*/*.arrow"))


def address() -> str:
    """Return the hub's address; HF_ENDPOINT sets it for mirrors."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def is_reachable(name: str) -> bool:
    """Return True if the hub has a data set; in a thread, as host look-up has no time limit."""
    offline = (os.environ.get(key, "") for key in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"))
    if any(value.upper() in ("1", "TRUE", "YES", "ON") for value in offline):
        return False
    responses: list[bool] = []

    def probe() -> None:
        try:
            request = urllib.request.Request(f"{address()}/api/datasets/{name}", method="HEAD")
            with urllib.request.urlopen(request, timeout=PROBE_SECONDS):
                responses.append(True)
        except (OSError, ValueError, http.client.HTTPException):
            responses.append(False)

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return responses == [True]
