#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of what judges compiled kernels: kernel_budgets.py, launch_budgets.py, tools/kernel_code.py and
bench/kernels/kernel_model.py.
They need no compiler.
"""
import contextlib
import io
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("tests/kernels", "tools", "bench/kernels")]
import kernel_budgets    # noqa: E402
import kernel_code       # noqa: E402
import kernel_model      # noqa: E402
import launch_budgets    # noqa: E402

REPORT = """\
ptxas info    : Compiling entry function '_Z3addPf' for 'sm_90'
ptxas info    : Function properties for _Z3addPf
    16 bytes stack frame, 12 bytes spill stores, 24 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 32 bytes smem
"""
LISTING = """\
	.section	.nv.info._Z3addPf,"",@"SHT_CUDA_INFO"
	//----- nvinfo : EIATTR_MAX_THREADS
        /*00e0*/ 	.word	0x00000100
	.section	.text._Z3addPf,"ax",@progbits
.L_x_0:
        /*0000*/                   LDL R2, [R1] ;
        /*0010*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;
        /*0020*/              @!P0 BRA `(.L_x_0) ;
"""


def kernel(**fields):
    return kernel_code.Kernel(**{"threads": 256, "registers": 32} | fields)


class KernelCode(unittest.TestCase):
    def test_reads_resources_and_code(self):
        kernels = kernel_code._resources(REPORT)
        kernel_code._add_code(LISTING, kernels)
        add = kernels["_Z3addPf"]
        self.assertEqual((add.registers, add.local_bytes, add.spilled_bytes, add.static_shared_bytes, add.threads),
                         (40, 16, 12, 32, 256))
        self.assertEqual(add.code[-1], (0x20, "@!P0 BRA 0x0"))
        self.assertEqual((add.count("BAR"), add.count("LDL"), add.count("HMMA")), (1, 1, 0))

    def test_shortens_names(self):
        mangled = "_ZN5vrwkv7kernels12_GLOBAL__N_14kernIfLi64ELNS0_5DecayE1EEEvPKT_"
        self.assertEqual(kernel_code.short_names([mangled]), {mangled: "kern<float, 64, 1>"})


class Launches(unittest.TestCase):
    def test_finds_kernels_in_a_program(self):
        kernels = {"_Z10sum_kernelPf", "_ZN5vrwkv12_GLOBAL__N_110add_kernelIfLi64EEEvPT_"}
        others = ["_ZZN5vrwkv12_GLOBAL__N_110add_kernelIfLi64EEEvPT_ENKUliE_clEi", "_Z10sum_kernelPf.cold",
                  "_Z18launch_sum_kernelsPf", "_Z3runIXadL_Z10sum_kernelPfEEEvv"]
        listing = "".join(f"0000000000001000 t {symbol}\n" for symbol in [*kernels, *others])
        self.assertEqual(launch_budgets.kernels_among(listing + "                 U memcpy\n"), kernels)


class Budgets(unittest.TestCase):
    def failures(self, table, compiled):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as printed:
            path = pathlib.Path(folder, "table.toml")
            path.write_text(table)
            count = kernel_budgets.check("a.cu", compiled, kernel_budgets.Budgets(path))
        return count, printed.getvalue()

    def test_accepts_what_is_within(self):
        self.assertEqual(self.failures('["a.cu"]\n"k<*>" = {registers = 32}', {90: {"k<1>": kernel()}})[0], 0)

    def test_names_what_is_over(self):
        code = [[0, "HMMA.16816.F32.BF16 R0, R4, R8, R0"], [16, "BAR.ARV 0x1, 0x40"], [32, "BAR.SYNC 0x1, 0x40"]]
        over = kernel(registers=33, spilled_bytes=12, local_bytes=16, static_shared_bytes=4, code=code)
        count, printed = self.failures('["a.cu"]\n"k" = {registers = 32, barriers = 1}', {90: {"k": over}})
        self.assertEqual(count, 6)
        for part in ("registers 33", "spilled 12", "local 16", "static_shared 4", "hmma 1", "barriers 2"):
            self.assertIn(f"sm_90: {part}", printed)

    def test_wants_all_products_and_barriers_to_be_there(self):
        table = '["a.cu"]\n"k" = {registers = 32, hmma = [1, 3], barriers = 1}'
        count, printed = self.failures(table, {90: {"k": kernel()}})
        self.assertEqual(count, 2)
        for part in ("hmma 0, budget [1, 3]", "barriers 0, budget 1"):
            self.assertIn(f"sm_90: {part}", printed)

    def test_prints_what_differs_between_architectures_as_bounds(self):
        waits, waits_twice = (kernel(code=[[16 * i, "BAR.SYNC 0x0"] for i in range(count)]) for count in (1, 2))
        table = '["a.cu"]\n"k" = {registers = 32, barriers = [1, 2]}'
        count, printed = self.failures(table, {80: {"k": waits}, 90: {"k": waits_twice}})
        self.assertEqual(count, 0)
        self.assertIn("barriers = [1, 2]", printed)

    def test_wants_a_budget_for_each_kernel_and_a_kernel_for_each_budget(self):
        count, printed = self.failures('["a.cu"]\n"old" = {registers = 32}', {90: {"k": kernel()}})
        self.assertEqual(count, 2)
        self.assertIn("has no budget", printed)
        self.assertIn("no such kernel", printed)

    def test_wants_launch_bounds(self):
        table = '["a.cu"]\n"k" = {registers = 32}'
        self.assertIn("__launch_bounds__", self.failures(table, {90: {"k": kernel(threads=0)}})[1])

    def test_counts_blocks_by_registers_threads_and_shared_memory(self):
        budget = kernel_budgets.DEFAULTS | {"dynamic_shared": 100 * 1024}
        used = kernel_budgets.used_by(kernel(registers=65))
        self.assertEqual(kernel_budgets.blocks_at_once(kernel_budgets.DEFAULTS, used, 90), 3)    # 72 registers each
        self.assertEqual(kernel_budgets.blocks_at_once(budget, used, 90), 2)
        self.assertEqual(kernel_budgets.blocks_at_once(budget, used, 86), 0)

    def test_asks_only_where_it_is_launched_that_it_fits(self):
        table = '["a.cu"]\n"k" = {registers = 32, dynamic_shared = 200000, architectures = [90]}'
        self.assertEqual(self.failures(table, {86: {"k": kernel()}, 90: {"k": kernel()}})[0], 0)
        count, printed = self.failures(table, {86: {"k": kernel(spilled_bytes=12)}, 90: {"k": kernel()}})
        self.assertEqual(count, 1)
        self.assertIn("sm_86: spilled 12", printed)


class Model(unittest.TestCase):
    def test_waits_for_results(self):
        chain = ["FFMA R0, R0, R1, R2"] * 4
        self.assertEqual(kernel_model.cycles(chain), 4 * kernel_model.OTHER_LATENCY)
        self.assertEqual(kernel_model.cycles([f"FFMA R{i}, R8, R9, R{i}" for i in range(8)]), 8)

    def test_waits_for_units_barriers_and_copies(self):
        products = [f"HMMA.16816.F32.BF16 R{4 * i}, R40, R44, R{4 * i}" for i in range(8)]
        self.assertEqual(kernel_model.cycles(products), 8 * kernel_model.OCCUPANCY["HMMA"])
        self.assertEqual(kernel_model.cycles(["BAR.SYNC 0x0"]), kernel_model.BARRIER + 1)
        copy_and_wait = ["LDGSTS.E.128 [R2], [R4.64]", "DEPBAR.LE SB0, 0x0"]
        self.assertGreater(kernel_model.cycles(copy_and_wait), kernel_model.COPY)

    def test_counts_what_shared_memory_moves(self):
        cycles = {"LDS R4, [R2]": 1, "STS.128 [R2], R4": 4, "LDSM.16.MT88.4 R4, [R2]": 4, "LDG.E.64 R6, [R2]": 0}
        for text, expected in cycles.items():
            self.assertEqual(kernel_model.shared_cycles(text), expected, text)

    def test_knows_what_instructions_read_and_write(self):
        self.assertEqual(kernel_model.reads_and_writes("@P0 LDS.128 R4, [R2+0x10]"), ([2], [4, 5, 6, 7]))
        self.assertEqual(kernel_model.reads_and_writes("STS.64 [R2], R4"), ([2, 4, 5], []))
        self.assertEqual(kernel_model.reads_and_writes("HMMA.16816.F32.BF16 R0, R4, R8, RZ"),
                         ([4, 5, 6, 7, 8, 9], [0, 1, 2, 3]))
        self.assertEqual(kernel_model.reads_and_writes("LDG.E.64 R6, desc[UR4][R2.64]"), ([2, 3], [6, 7]))

    def test_finds_loops(self):
        code = [(0, "NOP"), (16, "NOP"), (32, "@P0 BRA 0x10"), (48, "BRA 0x0"), (64, "BRA 0x60")]
        self.assertEqual(kernel_model.loops(code), [(16, 32), (0, 48)])


if __name__ == "__main__":
    unittest.main()
