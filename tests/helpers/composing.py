"""What the command line would compose."""

from __future__ import annotations

from functools import cache

from hydra import compose, initialize_config_dir

from benchmarks.config.registry import register_schemas
from benchmarks.config.schema import Config
from benchmarks.config.validation import checked_config
from tests.helpers.paths import ROOT

CONF = ROOT / "conf"


@cache
def composed(*overrides: str) -> Config:
    """The configuration of a run; not to be changed, for others get the same one.

    Raises:
        UserError: they are refused.
    """
    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return checked_config(compose("config", overrides=list(overrides)))
