"""Sequence tasks: data with a fixed split, an objective and metrics. Definitions only.

Every file here must import without torch, so that a typing error on the command line is answered
at once. The ``nn.Module`` classes around the encoder live in ``tasks.modules``.
"""
