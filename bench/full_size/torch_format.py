# SPDX-License-Identifier: Apache-2.0
"""Writes torch.save's zip format without torch: Python's zipfile and pickle do it. Tensors go out one after the other."""
import collections
import io
import pickle
import sys
import types
import zipfile

import numpy as np

STORAGES = {"float32": "FloatStorage", "bfloat16": "BFloat16Storage"}


def stand_in_for_torch():
    """Modules with just the names that the pickle refers to; pickle looks them up, nobody calls them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    def _rebuild_tensor_v2():
        raise NotImplementedError
    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    for name in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    sys.modules.update({"torch": torch, "torch._utils": utils})
    return torch, utils


class Storage:
    def __init__(self, kind, key, elements):
        self.kind, self.key, self.elements = kind, key, elements


class Tensor:
    def __init__(self, storage, shape, rebuild):
        self.storage, self.shape, self.rebuild = storage, shape, rebuild

    def __reduce__(self):
        strides, step = [], 1
        for size in reversed(self.shape):
            strides.insert(0, step)
            step *= size
        return self.rebuild, (self.storage, 0, tuple(self.shape), tuple(strides), False, collections.OrderedDict())


class Pickler(pickle.Pickler):
    def persistent_id(self, item):
        return ("storage", item.kind, item.key, "cpu", item.elements) if isinstance(item, Storage) else None


def as_bytes(values, dtype):
    """fp32 values, rounded to nearest where they become bf16."""
    if dtype == "float32":
        return values.astype("<f4").tobytes()
    bits = values.astype("<f4").view("<u4")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def write(path, tensors, dtype, folder="archive"):
    """tensors: (name, shape, make), where make(shape) gives fp32 values; only one of them is in memory at a time."""
    tensors = list(tensors)
    torch, utils = stand_in_for_torch()
    kind = getattr(torch, STORAGES[dtype])
    state = collections.OrderedDict()
    for key, (name, shape, _) in enumerate(tensors):
        state[name] = Tensor(Storage(kind, str(key), int(np.prod(shape))), shape, utils._rebuild_tensor_v2)
    text = io.BytesIO()
    Pickler(text, protocol=2).dump(state)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{folder}/data.pkl", text.getvalue())
        for key, (_, shape, make) in enumerate(tensors):
            with archive.open(f"{folder}/data/{key}", "w", force_zip64=True) as entry:
                entry.write(as_bytes(make(shape), dtype))
        archive.writestr(f"{folder}/version", "3\n")
