#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Estimates, without a GPU, how long the chunked WKV-7 takes on an H100, from the machine code that the compiler makes.

    bench/kernels/kernel_model.py ROOT [--nvcc NVCC] [--cache FOLDER] [--check]

A kernel's warps have roles, and each role a loop over chunks. A loop's time is that of one warp alone which issues in
order: an instruction starts a cycle after the one before, not before its operands are there, and not while its unit
is taken. A chunk then takes the longest of: the slowest role; the cycles in which a scheduler issues what all roles
execute; the cycles in which a tensor core does its share of all products; and those in which shared memory moves
what all roles read and write, 128 bytes each. Blocks beyond what the device holds wait in waves. No time is less than
that of the bytes a kernel moves.

Contention for the device's memory, bank conflicts and waits between roles are left out. That is optimistic: two
published WKV-7 kernels would take 4.2 and 11 ms, where 8 and 17 were measured (H100; B 8, H 64, T 4,096; forward and
backward). So times of computing are multiplied by OPTIMISM, the larger of the two ratios. It ranks variants; it
replaces no measurement.
"""
import argparse
import collections
import dataclasses
import pathlib
import re
import sys
import typing

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import kernel_code    # noqa: E402

OPTIMISM = 1.9

# Cycles from an instruction's start until its result can be read, and those for which it takes its unit.
LATENCY = {"LDS": 29, "LDSM": 33, "SHFL": 24, "MUFU": 22, "HMMA": 33, "F2FP": 6, "MOVM": 30, "LDG": 500, "LDL": 30,
           "S2R": 20, "I2F": 20, "F2F": 20}
OTHER_LATENCY = 4.5
OCCUPANCY = {"HMMA": 8, "MUFU": 2, "LDSM": 4}
# Of the one shared memory of a multiprocessor, for the 32 lanes of an instruction: four bytes a cycle and lane.
SHARED = {"LDSM": 4, "LDGSTS": 4, "LDS": 1, "STS": 1}
BARRIER = 25                      # before going on, when all are there
COPY = LATENCY["LDG"]             # of cp.async, until the wait for it ends

SCHEDULERS = 4                    # of a multiprocessor, each with a tensor core
MULTIPROCESSORS = 132
HERTZ = 1.755e9
BYTES_PER_SECOND = 0.9 * 3.35e12    # as copies reach
CHUNK = 16                        # tokens
ARCHITECTURE = 90


@dataclasses.dataclass
class Role:
    """The warps of one role. Their loop is the innermost one with products that has `marks` and not `lacks`."""
    name: str
    marks: tuple
    lacks: tuple
    warps: int
    turns: bool = False           # each warp takes one chunk of every `warps`; else all take part in each
    group: int = 1                # chunks that a turn of the loop takes


@dataclasses.dataclass
class Design:
    name: str
    source: str
    kernel: str
    blocks: int                   # that a multiprocessor holds
    bytes_per_token: int          # of a head, all that is read and written
    roles: tuple


PREPARE = Role("prepare", ("LDGSTS",), (), warps=4, turns=True)
# Per token and head: six inputs and y; six inputs and seven gradients; and a state in bf16 every 32 tokens, either way.
FORWARD = Design("forward", "kernels/wkv7/chunked/forward.cu", "forward_kernel<0>", 2, 7 * 128 + 256,
                 (PREPARE, Role("chain", (), ("LDGSTS",), warps=4)))
BACKWARD = Design("backward", "kernels/wkv7/chunked/backward.cu", "backward_kernel<BackwardShared<4, 2>, 0>", 1,
                  13 * 128 + 256,
                  (PREPARE, Role("chain", (), ("LDGSTS", "SHFL"), warps=4, group=2),
                   Role("gradients", ("SHFL",), ("LDGSTS",), warps=4)))

# (B, H, T) and the milliseconds that forward, backward and both may take; None where nothing is said.
BARS = (((8, 64, 4096), (None, None, 4.0)), ((8, 16, 2048), (0.15, 0.45, None)), ((8, 12, 2048), (0.15, 0.45, None)))


def opcode(text):
    return kernel_code.operation(text).split(".")[0]


def loops(code):
    """[(first address, last address)] of every loop."""
    found = []
    for address, text in code:
        target = re.search(r"\bBRA(?:\.\w+)*\s+.*0x([0-9a-f]+)", text)
        if target and int(target.group(1), 16) <= address:
            found.append((int(target.group(1), 16), address))
    return found


def instructions(code, loop):
    return [text for address, text in code if loop[0] <= address <= loop[1]]


def length(loop):
    return loop[1] - loop[0]


def registers(operand, width):
    for first, pair in re.findall(r"(?<![A-Z])R(\d+)(\.64)?", operand):
        yield from range(int(first), int(first) + max(width, 2 if pair else 1))


def result_width(operation):
    matrices = operation.startswith("LDSM")
    if operation.startswith("HMMA") or ".128" in operation or (matrices and operation.endswith(".4")):
        return 4
    return 2 if ".64" in operation or ".WIDE" in operation or (matrices and operation.endswith(".2")) else 1


def reads_and_writes(text):
    """Numbers of the registers that an instruction reads, and that it writes."""
    operation, _, operands = re.sub(r"^@!?U?P\w+\s+", "", text).partition(" ")
    operands = [operand.strip() for operand in operands.split(",")]
    base, width = operation.split(".")[0], result_width(operation)
    if base in ("STS", "STG", "ST", "STL", "RED"):
        return [number for place, operand in enumerate(operands)
                for number in registers(operand, width if place else 1)], []
    widths = (4, 4, 2, 4) if base == "HMMA" else (width,) + (1,) * len(operands)
    reads = [number for operand, of in zip(operands[1:], widths[1:]) for number in registers(operand, of)]
    writes = list(registers(operands[0], width)) if re.match(r"R\d", operands[0]) else []
    return reads, writes


def shared_cycles(text):
    base = opcode(text)
    width = result_width(kernel_code.operation(text)) if base in ("LDS", "STS") else 1
    return SHARED.get(base, 0) * width


def cycles(texts, repetitions=5):
    """Of one turn through these instructions when many follow one another, by one warp alone."""
    ready, free, copied = collections.defaultdict(float), collections.defaultdict(float), 0.0
    now, ends = 0.0, []
    decoded = [(opcode(text), *reads_and_writes(text)) for text in texts]
    for _ in range(repetitions):
        for base, reads, writes in decoded:
            start = max([now, free[base], *(ready[number] for number in reads)])
            if base == "BAR":
                start += BARRIER
            if base == "LDGSTS":
                copied = start + COPY
            if base == "DEPBAR":
                start = max(start, copied)
            free[base] = start + OCCUPANCY.get(base, 1)
            for number in writes:
                ready[number] = start + LATENCY.get(base, OTHER_LATENCY)
            now = start + 1
        ends.append(now)
    return ends[-1] - ends[-2]


class Cost(typing.NamedTuple):
    """Of a chunk, for a warp that takes part in it."""
    cycles: float
    instructions: float
    products: float
    shared: float                 # cycles of shared memory


def cost_of_chunk(role, code):
    def is_the_role_s(loop):
        present = {opcode(text) for text in instructions(code, loop)}
        return present >= {"HMMA", *role.marks} and not present & set(role.lacks)

    texts = instructions(code, min(filter(is_the_role_s, loops(code)), key=length))
    turn = (cycles(texts), len(texts), sum(opcode(text) == "HMMA" for text in texts), sum(map(shared_cycles, texts)))
    return Cost(*(of_turn / role.group for of_turn in turn))


class Estimate:
    """Of one kernel, for a chunk."""

    def __init__(self, design, code):
        self.design = design
        self.costs = [cost_of_chunk(role, code) for role in design.roles]
        of_roles = list(zip(design.roles, self.costs))
        self.slowest = max(cost.cycles / (role.warps if role.turns else 1) for role, cost in of_roles)
        together = [(1 if role.turns else role.warps, cost) for role, cost in of_roles]    # warps that share a chunk
        self.issue = sum(warps * cost.instructions for warps, cost in together) / SCHEDULERS
        self.tensor = sum(warps * cost.products for warps, cost in together) * OCCUPANCY["HMMA"] / SCHEDULERS
        self.shared = sum(warps * cost.shared for warps, cost in together)

    def milliseconds(self, batch, heads, tokens):
        tasks = batch * heads
        held = min(self.design.blocks, -(-tasks // MULTIPROCESSORS))    # blocks that share a multiprocessor
        waves = -(-tasks // (MULTIPROCESSORS * held))
        chunk = max(self.slowest, held * self.issue, held * self.tensor, held * self.shared)
        computing = OPTIMISM * waves * -(-tokens // CHUNK) * chunk / HERTZ
        moving = tasks * tokens * self.design.bytes_per_token / BYTES_PER_SECOND
        return 1e3 * max(computing, moving)

    def show(self):
        print(f"{self.design.name}: {self.design.kernel}")
        for role, cost in zip(self.design.roles, self.costs):
            print(f"  {role.name:10} {cost.cycles:6.0f} cycles, {cost.instructions:5.0f} instructions, "
                  f"{cost.products:3.0f} products a chunk and warp")
        print(f"  a chunk: slowest role {self.slowest:.0f} cycles; for each block that shares a multiprocessor "
              f"issue {self.issue:.0f}, tensor cores {self.tensor:.0f}, shared memory {self.shared:.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=pathlib.Path, nargs="?", default=ROOT)
    parser.add_argument("--nvcc")
    parser.add_argument("--cache")
    parser.add_argument("--check", action="store_true", help="end with 1 where a bar is missed")
    options = parser.parse_args()
    compiler = kernel_code.Compiler(options.root, options.nvcc, options.cache)
    estimates = [Estimate(design, compiler.kernels(design.source, ARCHITECTURE)[design.kernel].code)
                 for design in (FORWARD, BACKWARD)]
    for estimate in estimates:
        estimate.show()
    print("\nH100, milliseconds")
    missed = 0
    for shape, bars in BARS:
        took = [estimate.milliseconds(*shape) for estimate in estimates]
        for name, milliseconds, bar in zip(("forward", "backward", "both"), (*took, sum(took)), bars):
            over = bar is not None and milliseconds > bar
            missed += over
            print(f"  B {shape[0]}, H {shape[1]:2}, T {shape[2]}  {name:8}  {milliseconds:.3f}"
                  + ("" if bar is None else f"   bar {bar}") + ("   MISSED" if over else ""))
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
