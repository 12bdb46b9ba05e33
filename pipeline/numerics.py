"""The version of the numbers: raised whenever the same request would give other latents.

It is recorded with every video. It does not make an archive stale: only ``--fresh`` looks at it.
"""

NUMERICS_VERSION = "1"
