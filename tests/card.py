"""A card that is not there: tensors of the processor which say that they lie on a CUDA device, and what waits for it.

Values are real, so whatever the library decides from them is decided as on a card; only Triton does not run here.
Counted is what a card must stop for: a value that Python reads, a result whose size depends on values, and Python's
numbers that become a tensor there. An operation on tensors of both devices fails, as it would there.
"""

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

CUDA = torch.device("cuda", 0)
READS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "bincount",
         "repeat_interleave", "equal", "multinomial", "_linalg_check_errors", "_linalg_svd"}  # fmt: skip
BY_MASK = {"index", "index_put", "index_put_"}
FROM_NUMBERS = {"tensor", "as_tensor", "asarray", "new_tensor"}


class OnCard(Tensor):
    @property
    def device(self):
        return CUDA

    @property
    def is_cuda(self):
        return True


def put(value):
    """Tensors within any nest, on the card."""
    return tree_map_only(Tensor, lambda x: x.as_subclass(OnCard), value)


def plain(value):
    return tree_map_only(Tensor, lambda x: x.as_subclass(Tensor), value)


class _Reads(TorchDispatchMode):
    """What operations, also those within others, must know of values."""

    def __init__(self, waits: list[str]):
        super().__init__()
        self.waits, self.counting = waits, False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masked = name in BY_MASK and any(isinstance(i, Tensor) and i.dtype == torch.bool for i in args[1])
        if self.counting and (name in READS or masked):
            self.waits.append(f"{name} by a mask" if masked else name)
        return func(*args, **(kwargs or {}))


class Card(TorchFunctionMode):
    """Within it ``waits`` grows by a name whenever the card has to be waited for."""

    def __init__(self):
        super().__init__()
        self.waits: list[str] = []
        self.reads = _Reads(self.waits)

    def __enter__(self):
        self.reads.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.reads.__exit__(*error)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, func.__name__
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        here = any(isinstance(x, OnCard) for x in given)
        devices = [torch.device(x) for x in (*args, *kwargs.values()) if names_device(x)]
        if any(device.type == "cuda" for device in devices):
            args, kwargs = tree_map(lambda x: "cpu" if names_device(x) else x, (args, kwargs))
            if not here and (name in FROM_NUMBERS or name == "to" and given and not kwargs.get("non_blocking")):
                self.waits.append(f"{name}, onto the card")
            return put(func(*args, **kwargs))
        if here and name in ("numpy", "__array__"):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if here and (devices or name in ("cpu", "tolist")):
            self.waits.append(name)
            return func(*plain(args), **plain(kwargs))
        if here and name == "new_tensor":
            self.waits.append(name)
        if here and any(not isinstance(x, OnCard) and x.ndim for x in given):
            if name not in ("__getitem__", "__setitem__", "copy_"):
                raise RuntimeError(f"{name}: tensors of two devices")
            self.waits.append(f"{name}, with the processor's")
        if here and name in ("__getitem__", "__setitem__") and by_numbers(args[1]):
            self.waits.append("index by Python's numbers")
        before, self.reads.counting = self.reads.counting, here
        try:
            return func(*args, **kwargs)
        finally:
            self.reads.counting = before


def by_numbers(index: object) -> bool:
    """Whether an index holds a list, which goes onto the card before it is used."""
    return any(isinstance(part, (list, tuple)) for part in (index if isinstance(index, tuple) else [index]))


def names_device(value: object) -> bool:
    return isinstance(value, torch.device) or isinstance(value, str) and value.startswith(("cpu", "cuda"))
