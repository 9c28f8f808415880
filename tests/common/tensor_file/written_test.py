#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads what the tensor writers wrote with Python's zipfile and pickle, and with safetensors' rules.

    written_test.py WRITE_EXAMPLE
"""
import collections
import io
import json
import pathlib
import pickle
import subprocess
import sys
import tempfile
import zipfile

import numpy as np

TYPES = {"fp32": ("FloatStorage", "F32", 4), "fp16": ("HalfStorage", "F16", 2), "bf16": ("BFloat16Storage", "BF16", 2)}
EXPECTED = {
    "counted": np.arange(15.0).reshape(3, 5),
    "empty": np.zeros((0, 4)),
    "scalar": np.array(7.0),
    "long.name": np.arange(70.0),
}


def numbers(raw, kind):
    if kind == "bf16":
        return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(raw, {"fp32": "<f4", "fp16": "<f2"}[kind])


class Reader(pickle.Unpickler):
    """torch.load's view of a file, without torch."""

    def __init__(self, stream, storages, kind):
        super().__init__(stream)
        self.storages, self.kind = storages, kind

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self.rebuild
        assert (module, name) == ("torch", TYPES[self.kind][0]), (module, name)
        return name

    def persistent_load(self, pid):
        tag, storage_type, key, location, count = pid
        assert (tag, storage_type, location) == ("storage", TYPES[self.kind][0], "cpu")
        values = numbers(self.storages[key], self.kind)
        assert len(values) == count
        return values

    @staticmethod
    def rebuild(storage, offset, shape, strides, requires_grad, hooks):
        assert requires_grad is False and hooks == collections.OrderedDict()
        steps = [4 * stride for stride in strides]
        return np.lib.stride_tricks.as_strided(storage[offset:].astype("<f4"), shape, steps)


def read_torch(path, kind):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None  # every checksum
        contents = {name: archive.read(name) for name in archive.namelist()}
        for entry in archive.infolist():
            archive.fp.seek(entry.header_offset + 26)
            name_bytes, extra_bytes = np.frombuffer(archive.fp.read(4), "<u2")
            assert (entry.header_offset + 30 + int(name_bytes) + int(extra_bytes)) % 64 == 0, entry.filename
    folder = path.stem
    assert contents[f"{folder}/version"] == b"3\n" and contents[f"{folder}/byteorder"] == b"little"
    prefix = f"{folder}/data/"
    storages = {name[len(prefix):]: raw for name, raw in contents.items() if name.startswith(prefix)}
    return Reader(io.BytesIO(contents[f"{folder}/data.pkl"]), storages, kind).load()


def read_safetensors(path, kind):
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    assert length % 8 == 0 and header.pop("__metadata__") == {"format": "pt"}
    result, end = {}, 0
    for name, entry in header.items():
        begin, stop = entry["data_offsets"]
        assert begin == end and entry["dtype"] == TYPES[kind][1]
        result[name] = numbers(data[begin:stop], kind).reshape(entry["shape"])
        end = stop
    assert end == len(data)
    return result


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([sys.argv[1], name], check=True)
        for kind in TYPES:
            for found in (read_torch(folder / f"{kind}.pth", kind), read_safetensors(folder / f"{kind}.safetensors", kind)):
                assert list(found) == list(EXPECTED), list(found)
                for key, value in EXPECTED.items():
                    assert found[key].shape == value.shape and np.array_equal(found[key], value), (kind, key)
        assert len(list(folder.iterdir())) == 6  # nothing temporary is left


if __name__ == "__main__":
    main()
