# SPDX-License-Identifier: Apache-2.0
"""ledger.bin read and written in Python, from the description in data/ledger/*.h alone."""
import pathlib
import struct

MAGIC = b"vrwkvlg1"


def crc32c(content):
    """RFC 3720, bit by bit."""
    value = 0xffffffff
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
    return value ^ 0xffffffff


def numbers(payload):
    """The varints of an entry."""
    value = shift = 0
    for byte in payload:
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0


def varints(values):
    out = bytearray()
    for value in values:
        while value >= 0x80:
            out.append(value & 0x7f | 0x80)
            value >>= 7
        out.append(value)
    return bytes(out)


def read(file):
    """(header, entries); every checksum must fit."""
    content = pathlib.Path(file).read_bytes()
    assert content[:8] == MAGIC
    frames, at = [], 8
    while at < len(content):
        size, checksum, of_these = struct.unpack_from("<III", content, at)
        frames.append(content[at + 12:at + 12 + size])
        assert crc32c(content[at:at + 8]) == of_these
        assert len(frames[-1]) == size and crc32c(frames[-1]) == checksum
        at += 12 + size
    return frames[0], [decode(frame) for frame in frames[1:]]


def decode(payload):
    values = numbers(payload)
    step, position, places, count = (next(values) for _ in range(4))
    micro_batches = [[next(values) for _ in range(next(values))] for _ in range(count)]
    replacements = [[next(values) for _ in range(4)] for _ in range(next(values))]
    assert next(values, None) is None
    return {"step": step, "position": position, "places": places, "micro_batches": micro_batches,
            "replacements": replacements}


def encode(entry):
    values = [entry["step"], entry["position"], entry["places"], len(entry["micro_batches"])]
    for records in entry["micro_batches"]:
        values += [len(records), *records]
    values.append(len(entry["replacements"]))
    return varints(values + sum(entry["replacements"], []))


def frame(payload):
    head = struct.pack("<II", len(payload), crc32c(payload))
    return head + struct.pack("<I", crc32c(head)) + payload


def write(file, header, entries):
    file.write_bytes(MAGIC + b"".join(map(frame, [header, *map(encode, entries)])))
