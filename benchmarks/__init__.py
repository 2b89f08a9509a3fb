"""The harness: composes, trains, measures and compares."""

from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds run.py and conf/."""
