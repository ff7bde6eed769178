"""Size: parameters, and multiply-accumulates of one forward pass."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from serlab.bench.contracts import Measurement, Stage

CHEAP = {
    "normalising": (
        "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
        "cudnn_batch_norm", "native_layer_norm", "native_group_norm", "_softmax", "_safe_softmax",
        "_log_softmax", "native_dropout",
    ),
    "drawing": (
        "bernoulli_", "uniform_", "normal_", "rand", "rand_like", "randn", "randn_like", "randint",
        "randperm",
    ),
    "pooling and reducing": (
        "max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "sum", "mean", "max",
        "amax", "min", "amin", "argmax", "argmin", "any", "all", "prod", "std", "var", "var_mean",
        "linalg_vector_norm", "logsumexp", "cumsum", "sort", "topk", "unique_consecutive",
        "nonzero",
    ),
    "a recurrent cell's gates, after its products": (
        "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell",
    ),
    "counting of places": ("floor_divide",),
    "picking and placing": (
        "embedding", "index", "index_select", "gather", "index_put", "index_put_", "scatter",
        "scatter_", "scatter_add", "scatter_add_", "scatter_reduce", "index_add",
        "masked_fill_", "cat", "stack", "constant_pad_nd", "reflection_pad1d", "replication_pad1d",
        "flip", "roll", "tril", "triu", "unsafe_split", "_unsafe_view", "view", "transpose_",
        "squeeze_", "unsqueeze_", "slice_backward", "_pack_padded_sequence",
    ),
    "making and copying": (
        "clone", "copy_", "_to_copy", "fill_", "zeros", "ones", "full", "empty", "arange",
        "zeros_like", "ones_like", "empty_like", "new_zeros", "new_empty", "scalar_tensor",
        "lift_fresh", "detach_", "_local_scalar_dense",
    ),
}  # fmt: skip
"""Operators of torch without products of matrices, by what they do; torch marks elementwise ones.

They are a few operations a value, as elementwise ones, which a count of products leaves out.
"""
_CHEAP = {name for names in CHEAP.values() for name in names}


def _mv_flops(matrix: Sequence[int], *_: object, **__: object) -> int:
    return 2 * matrix[0] * matrix[1]


def _dot_flops(vector: Sequence[int], *_: object, **__: object) -> int:
    return 2 * vector[0]


FORMULAS: Mapping[Any, Callable[..., int]] = {
    torch.ops.aten.mv: _mv_flops,
    torch.ops.aten.dot: _dot_flops,
}
"""FLOPs by the shapes of the arguments, for operators that torch's counter lacks."""


# --- parameters ------------------------------------------------------------------------------


def count_parameters(network: nn.Module) -> int:
    """All parameters, trained or not."""
    return sum(p.numel() for p in network.parameters())


def count_trainable(network: nn.Module, stages: Sequence[Stage]) -> int:
    """The parameters that at least one of the stages trains."""
    prefixes = tuple(prefix for stage in stages for prefix in stage.trains)
    return sum(p.numel() for name, p in network.named_parameters() if name.startswith(prefixes))


# --- work ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one call multiplies and adds in products of matrices and convolutions.

    Both are null where an operator has no formula. Elementwise operations are left out.
    """

    macs: Measurement
    flops: Measurement
    """Two to a multiply-accumulate."""
    uncounted: tuple[str, ...]
    """The operators without a formula."""


def count_work(call: Callable[[], object]) -> Work:
    """Counts a forward pass, by making it once.

    The network must not be compiled, as the counter does not see into its kernels.
    """
    counter, operators = FlopCounterMode(display=False, custom_mapping=dict(FORMULAS)), _Operators()
    with _unfused(), operators, counter:
        call()
    uncounted = tuple(sorted({str(op) for op in operators.seen if not _counted(op)}))
    reason = f"no formula for {', '.join(uncounted)}" if uncounted else ""
    flops = None if uncounted else float(counter.get_total_flops())
    return Work(
        macs=Measurement(value=None if flops is None else flops / 2, unit="MAC", reason=reason),
        flops=Measurement(value=flops, unit="FLOP", reason=reason),
        uncounted=uncounted,
    )


def count_macs(call: Callable[[], object]) -> Measurement:
    """Multiply-accumulates of a forward pass; null where an operator has no formula."""
    return count_work(call).macs


@contextmanager
def _unfused() -> Iterator[None]:
    """Switches off the kernels that hide products from the counter.

    These are recurrent layers and convolutions of mkldnn and cuDNN, the fast path of transformer
    layers, and fused attention.
    """
    fast, cudnn = torch.backends.mha.get_fastpath_enabled(), torch.backends.cudnn.enabled
    torch.backends.mha.set_fastpath_enabled(False)
    torch.backends.cudnn.enabled = False
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # of a TF32 switch that the CPU lacks
            torch.inference_mode(False),
            torch.no_grad(),
            torch.backends.mkldnn.flags(enabled=False),
            sdpa_kernel(SDPBackend.MATH),
        ):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch.backends.cudnn.enabled = cudnn


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the operators that run, after those that torch takes apart were taken apart."""

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


def _counted(operator: Any) -> bool:  # torch's operator
    packet = getattr(operator, "overloadpacket", None)
    if packet is None or operator.namespace not in ("aten", "prim", "prims"):
        return False  # not torch's own, so that its name tells nothing
    if packet in flop_registry or packet in FORMULAS:
        return True
    pointwise = torch.Tag.pointwise in operator.tags
    return pointwise or operator.is_view or packet.__name__ in _CHEAP
