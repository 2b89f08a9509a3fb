"""The kernels as values of a parameter; the fused one is skipped where it cannot be compiled."""

from __future__ import annotations

import pytest

from models.kernels.compiler import unavailable_reason

NEEDS_FUSED = pytest.mark.skipif(unavailable_reason() is not None, reason=str(unavailable_reason()))
KERNELS = ["torch", pytest.param("fused", marks=NEEDS_FUSED)]
