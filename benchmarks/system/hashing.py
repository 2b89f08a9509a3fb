"""Hashes of plain data."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def short_hash(content: Any, length: int = 16) -> str:
    """Return the first hexadecimal digits of the SHA-256 of plain data, written as JSON."""
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
