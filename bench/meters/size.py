"""Size: parameters, and multiply-accumulates of one forward pass."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from serlab.bench.contracts import Measurement

CHEAP = (
    "_softmax", "_safe_softmax", "_log_softmax", "native_batch_norm",
    "_native_batch_norm_legit", "native_dropout", "cudnn_batch_norm",
    "max_pool2d_with_indices", "avg_pool2d", "native_layer_norm", "sum", "mean", "max",
    "amax", "cat", "stack", "scatter_add_", "index", "index_select", "gather", "embedding",
    "constant_pad_nd", "clone", "copy_", "_to_copy", "ones_like", "zeros_like", "empty_like",
    "new_empty", "zeros", "ones", "full", "arange", "fill_", "empty", "lift_fresh", "scatter",
    "_local_scalar_dense", "bernoulli_", "any", "all", "_unsafe_view", "view",
    "slice_backward", "_pack_padded_sequence", "sort", "unsafe_split", "cumsum", "index_put",
    "index_put_", "masked_fill_", "new_zeros", "scalar_tensor", "scatter_", "unique_consecutive",
    "topk", "transpose_", "flip", "roll", "native_group_norm", "nonzero",
)  # fmt: skip
"""Operators without products of matrices: normalisation, pooling, reduction and copying."""


def count_parameters(network: nn.Module) -> int:
    """All parameters, trained or not."""
    return sum(p.numel() for p in network.parameters())


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the operators that run."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[Any] = set()  # torch's operator objects

    def __torch_dispatch__(
        self,
        func: Any,  # torch's operator
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self.seen.add(func)
        return func(*args, **(kwargs or {}))


def count_macs(call: Callable[[], object]) -> Measurement:
    """Multiply-accumulates of a forward pass; null where an operator has no formula.

    torch's counter gives FLOPs, two to a multiply-accumulate. Fused kernels (mkldnn, the
    transformer fast path, fused attention) hide products from it, so they are switched off.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    counter = FlopCounterMode(display=False)
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # of a TF32 switch that the CPU lacks
            torch.inference_mode(False),
            torch.no_grad(),
            torch.backends.mkldnn.flags(enabled=False),
            sdpa_kernel(SDPBackend.MATH),
        ):
            with _Operators() as operators:
                call()
            with counter:
                call()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    unknown = sorted({str(op) for op in operators.seen if not _counted(op)})
    if unknown:
        reason = f"no formula for {', '.join(unknown)}"
        return Measurement(value=None, unit="MAC", reason=reason)
    return Measurement(value=counter.get_total_flops() / 2, unit="MAC")


def _counted(operator: Any) -> bool:  # torch's operator
    if operator in flop_registry or operator.overloadpacket in flop_registry:
        return True
    pointwise = torch.Tag.pointwise in operator.tags
    name = operator.overloadpacket.__name__
    return pointwise or operator.is_view or name in CHEAP
