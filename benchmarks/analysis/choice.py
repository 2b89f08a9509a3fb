"""Choice of a setting's value by validation score, for each model, by a rule fixed beforehand.

The value with the best mean replaces that of the recipe if their difference is larger than its
pooled standard error; else the value of the recipe stays. A value at which a run failed is not
chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.analysis.formatting import significant
from benchmarks.analysis.selection import Options, select_rows
from benchmarks.analysis.statistics.common import Interval
from benchmarks.analysis.statistics.seeds import deviation, interval
from benchmarks.errors import UserError, listed_names
from benchmarks.results.reader import read_tables
