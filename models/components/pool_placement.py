"""Pool placement: which of li2018's five layers are followed by max pooling.

Each option gives five kernels, frequency x time; (1, 1) is none. The paper says 2x2 and the
re-implementations disagree on where.
"""

from __future__ import annotations

from serlab.models.variant import OPTIONS

Kernels = tuple[tuple[int, int], ...]


@OPTIONS.register("pool_placement.after_2_3", source="GLAM, head_fusion", tag="R")
def after_2_3() -> Kernels:
    """2x2 after the second and the third layer."""
    return ((1, 1), (2, 2), (2, 2), (1, 1), (1, 1))


@OPTIONS.register("pool_placement.after_1_2_3", source="a third re-implementation", tag="R")
def after_1_2_3() -> Kernels:
    """2x2 after each of the first three layers."""
    return ((2, 2), (2, 2), (2, 2), (1, 1), (1, 1))


@OPTIONS.register("pool_placement.early", source="ours, for small machines", tag="I")
def early() -> Kernels:
    """2x4 after the first layer, then 2x2 after the second and third: most work is saved."""
    return ((2, 4), (2, 2), (2, 2), (1, 1), (1, 1))


@OPTIONS.register("pool_placement.none", source="ours", tag="I")
def none() -> Kernels:
    """No pooling before the last one."""
    return ((1, 1),) * 5
