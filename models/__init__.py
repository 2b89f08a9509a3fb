"""Recurrent encoders: definitions only, no files, clocks or tables.

Every file here describes one family of encoders by a settings dataclass and must import without
torch, so that a typing error on the command line is answered at once. The ``nn.Module`` classes
themselves live in ``models.modules``.
"""
