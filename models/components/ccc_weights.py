"""CCC weights: what each dimension of continuous labels counts in the loss.

Every option takes the number of dimensions and gives a weight for each, in their order.
"""

from __future__ import annotations

from serlab.models.variant import OPTIONS


@OPTIONS.register("ccc_weights.equal", source="Tzirakis et al., ICASSP 2021", tag="I")
def equal(n_dimensions: int) -> tuple[float, ...]:
    """1 each."""
    return (1.0,) * n_dimensions


@OPTIONS.register("ccc_weights.native", source="Tzirakis et al., ICASSP 2021, code", tag="C")
def native(n_dimensions: int) -> tuple[float, ...]:
    """1, 1/2, 1/3, as the code's running mean comes to, most likely by accident [I]."""
    return tuple(1 / (k + 1) for k in range(n_dimensions))
