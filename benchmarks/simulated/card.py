"""A card that has no memory but knows what would lie in it: tensors without data, of which each
storage is counted from its birth to its end.

torch's CUDA cannot be played on a build without it, so that this is a backend of its own, `card`.
What CUDA does by itself is said again here: which operations autocast computes in which numbers,
which attention kernel is taken, what the kernels borrow. What it cannot show: the allocator's
rounding beyond 512 bytes and its holes, the CUDA context, cuBLAS' workspace.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

DEVICE: Final = "card"
_GRAIN: Final = 512  # the caching allocator's
_ATEN: Final = torch.ops.aten
# As ATen/autocast_mode.h says for CUDA, of what these models call.
_IN_HALF: Final = (
    _ATEN.linear.default,
    _ATEN.matmul.default,
    _ATEN.mm.default,
    _ATEN.bmm.default,
    _ATEN.addmm.default,
    _ATEN.baddbmm.default,
    _ATEN.scaled_dot_product_attention.default,
)
_IN_FULL: Final = (
    _ATEN.exp.default,
    _ATEN.log.default,
    _ATEN.reciprocal.default,
    _ATEN.rsqrt.default,
    _ATEN.pow.Tensor_Scalar,
    _ATEN.pow.Tensor_Tensor,
    _ATEN.pow.Scalar,
    _ATEN.logsumexp.default,
)
_SUMMED_IN_FULL: Final = (
    _ATEN.sum.default,
    _ATEN.sum.dim_IntList,
    _ATEN.cumsum.default,
    _ATEN.prod.default,
    _ATEN.softmax.int,
    _ATEN.log_softmax.int,
)
_libraries: list[torch.library.Library] = []  # what they register ends with them


class _Module(backend_registration._DummyBackendModule):  # type: ignore[misc]
    """What torch asks of a backend's module."""

    def is_available(self) -> bool:
        return True

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    def get_rng_state(self, *_: Any) -> torch.Tensor:
        return torch.zeros(1)

    def set_rng_state(self, *_: Any) -> None:
        return None

    def device(self, *_: Any) -> contextlib.nullcontext[None]:
        return contextlib.nullcontext()


def plug_in_card() -> None:
    """Make `card` a device of this process, which is good for nothing else afterwards."""
    backend_registration._setup_privateuseone_for_python_backend(DEVICE, _Module())
    torch.autograd.set_multithreading_enabled(False)  # the meter sees its own thread only
    torch.nn.Module._apply = _apply  # type: ignore[method-assign,assignment]
    torch.tensor = _make_tensor
    _register_autocast()
    kernels = torch.library.Library("aten", "IMPL", "AutogradPrivateUse1")
    kernels.impl("dropout", _drop_out)
    kernels.impl("scaled_dot_product_attention", _attend)
    _libraries.append(kernels)


def _apply(self: Any, change: Callable[[Any], Any], recurse: bool = True) -> Any:
    """Module.to() for tensors without data, which cannot be swapped in place."""
    for child in self.children() if recurse else ():
        child._apply(change)
    for name, parameter in self._parameters.items():
        if parameter is not None:
            changed = change(parameter.detach())
            if (changed.device, changed.dtype) != (parameter.device, parameter.dtype):
                made = torch.nn.Parameter(changed, parameter.requires_grad)
                self._parameters[name] = made
    for name, buffer in self._buffers.items():
        if buffer is not None:
            self._buffers[name] = change(buffer)
    return self


_make_on_host = torch.tensor


def _make_tensor(data: Any, *args: Any, device: Any = None, **kwargs: Any) -> torch.Tensor:
    """torch.tensor() wants to copy the data to the device, of which there is none."""
    made = _make_on_host(data, *args, **kwargs)
    return made if device is None else torch.empty(made.shape, dtype=made.dtype, device=device)


def _register_autocast() -> None:
    rest = torch.library.Library("_", "IMPL", "AutocastPrivateUse1")
    rest.fallback(torch.library.fallthrough_kernel)
    known = torch.library.Library("aten", "IMPL", "AutocastPrivateUse1")
    for operations, wrap in (
        (_IN_HALF, _in_half),
        (_IN_FULL, _in_full),
        (_SUMMED_IN_FULL, _with_full_result),
    ):
        for operation in operations:
            known.impl(operation.name().removeprefix("aten::"), wrap(operation))
    _libraries.extend((rest, known))


def _without_autocast() -> Any:
    key = torch._C.DispatchKey.AutocastPrivateUse1
    return torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(key))


def _cast(value: Any, dtype: torch.dtype) -> Any:
    if (
        isinstance(value, torch.Tensor)
        and value.is_floating_point()
        and value.device.type == DEVICE
    ):
        return value.to(dtype)
    return value


def _in_half(operation: Any) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with _without_autocast():
            dtype = torch.get_autocast_dtype(DEVICE)
            named = {name: _cast(value, dtype) for name, value in kwargs.items()}
            return operation(*(_cast(value, dtype) for value in args), **named)

    return run


def _in_full(operation: Any) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with _without_autocast():
            return operation(*(_cast(value, torch.float32) for value in args), **kwargs)

    return run


def _with_full_result(operation: Any) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with _without_autocast():
            if args[0].dtype in (torch.bfloat16, torch.float16) and kwargs.get("dtype") is None:
                kwargs["dtype"] = torch.float32
            return operation(*args, **kwargs)

    return run


def _drop_out(value: torch.Tensor, p: float, train: bool) -> torch.Tensor:
    """CUDA's kernel, which keeps a mask of bytes."""
    return torch.native_dropout(value, p, train)[0] if train and p else value


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """The memory-efficient kernel, which is the only one that takes masks and any card; a mask
    becomes numbers, one set for each layer.
    """
    bias = None
    if attn_mask is not None:
        bias = torch.zeros(attn_mask.shape, dtype=query.dtype, device=query.device)
        bias = bias.expand(query.shape[0], query.shape[1], -1, -1)
    if enable_gqa:
        times = query.shape[1] // key.shape[1]
        key, value = (item.repeat_interleave(times, 1) for item in (key, value))
    found = _ATEN._scaled_dot_product_efficient_attention(
        query, key, value, bias, torch.is_grad_enabled(), dropout_p, is_causal, scale=scale
    )
    attended: torch.Tensor = found[0]
    return attended


@contextlib.contextmanager
def autocast(dtype: torch.dtype) -> Iterator[None]:
    """torch.autocast("cuda", dtype), also for those who ask whether it is on."""
    for device in (DEVICE, "cuda"):
        torch.set_autocast_enabled(device, True)
        torch.set_autocast_dtype(device, dtype)
    try:
        yield
    finally:
        for device in (DEVICE, "cuda"):
            torch.set_autocast_enabled(device, False)


class Meter(TorchDispatchMode):
    """Counts the bytes that are alive on the card. num_learnt: tokens that a mask of labels picks,
    which tensors without data cannot tell.
    """

    def __init__(self, num_learnt: int) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._num_learnt = num_learnt
        self._known: dict[int, weakref.ref[Any]] = {}

    def forget_peak(self) -> int:
        """From now on; gives what is alive."""
        self.peak = self.live
        return self.live

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        borrowed = self._borrow(func.name(), args)
        known, answer = self._answer(func.name(), args)
        found = answer if known else func(*args, **(kwargs or {}))
        for item in tree_iter(found):
            self._count(item)
        del borrowed
        return found

    def _answer(self, name: str, args: tuple[Any, ...]) -> tuple[bool, Any]:
        """For what needs data."""
        if name == "aten::_local_scalar_dense":
            return True, 1
        if name == "aten::nonzero":
            shape = (self._num_learnt, args[0].dim())
            return True, args[0].new_empty(shape, dtype=torch.int64)
        mask = args[1][0] if name.startswith(("aten::index", "aten::_index_put")) else None
        if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
            return False, None
        if name == "aten::index.Tensor":
            return True, args[0].new_empty((self._num_learnt, *args[0].shape[mask.dim() :]))
        return True, args[0] if name.endswith("_") else torch.empty_like(args[0])

    def _borrow(self, name: str, args: tuple[Any, ...]) -> list[torch.Tensor]:
        """What a kernel takes for as long as it runs."""
        taken: list[torch.Tensor] = []
        if name == "bitsandbytes::gemm_4bit" and args[0].device.type == DEVICE:
            # Its own kernel is for few tokens; for more it makes the weight in halves first.
            taken.append(args[0].new_empty(tuple(args[2])))
        if name == "torch_attn::_varlen_attn_backward":
            taken += _flash_backward(query=args[1], key=args[2], borders=args[6])
        for item in taken:
            self._count(item)
        return taken

    def _count(self, item: Any) -> None:
        if isinstance(item, FakeTensor):
            item.constant = None  # what is known would be computed, for which there is no device
        if not isinstance(item, torch.Tensor) or item.device.type != DEVICE:
            return
        storage = item.untyped_storage()
        number = storage._cdata
        if number in self._known:
            return
        size = -(-storage.nbytes() // _GRAIN) * _GRAIN

        def forget(_: Any) -> None:
            self.live -= size
            self._known.pop(number, None)

        self._known[number] = weakref.ref(storage, forget)
        self.live += size
        self.peak = max(self.peak, self.live)


def _flash_backward(
    query: torch.Tensor, key: torch.Tensor, borders: torch.Tensor
) -> list[torch.Tensor]:
    """Queries' gradients are summed up in full numbers; keys' once for each query's head."""
    tokens, heads, size = query.shape
    padded = tokens + 128 * (borders.shape[0] - 1)
    taken = [
        query.new_empty((padded, heads, -(-size // 32) * 32), dtype=torch.float32),
        query.new_empty((heads, padded), dtype=torch.float32),
    ]
    if key.shape[1] != heads:
        taken += [query.new_empty((tokens, heads, size)) for _ in range(2)]
    return taken


__all__ = ["DEVICE", "FakeTensorMode", "Meter", "autocast", "plug_in_card"]
