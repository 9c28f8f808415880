# SPDX-License-Identifier: Apache-2.0
"""Each kind of violation, in a small tree of its own, and what tools/check_layers.py says about it."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK = pathlib.Path(__file__).resolve().parents[2] / "tools" / "check_layers.py"

TREE = {
    "common/CMakeLists.txt": "add_library(vrwkv_common)\ntarget_sources(vrwkv_common PRIVATE log.cpp)\n",
    "common/log.h": "#pragma once\n",
    "common/log.cpp": '#include "common/log.h"\n',
    "kernels/CMakeLists.txt": "add_library(vrwkv_kernels)\ntarget_sources(vrwkv_kernels PRIVATE wkv7/wkv7.cpp)\n"
                              "target_link_libraries(vrwkv_kernels PUBLIC vrwkv::common)\n",
    "kernels/wkv7/wkv7.h": '#include "common/log.h"\n',
    "kernels/wkv7/wkv7.cpp": '#include "kernels/wkv7/wkv7.h"\n',
    "trainer/CMakeLists.txt": "add_library(vrwkv_trainer)\ntarget_sources(vrwkv_trainer\n  PRIVATE trainer.cpp)\n"
                              "target_link_libraries(vrwkv_trainer PRIVATE vrwkv::kernels)  # grants common too\n",
    "trainer/trainer.cpp": '#include "common/log.h"\n#include "kernels/wkv7/wkv7.h"\n',
}


class CheckLayers(unittest.TestCase):
    def check(self, **changes):
        """The lines printed for TREE with files replaced; the exit code must agree with them."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {**TREE, **changes.get("files", {})}.items():
                path = pathlib.Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            done = subprocess.run([sys.executable, CHECK, folder], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1 if done.stdout else 0, done.stderr)
        return done.stdout.splitlines()

    def test_a_clean_tree_passes(self):
        self.assertEqual(self.check(), [])

    def test_an_include_that_no_link_grants(self):
        lines = self.check(files={"common/log.cpp": '#include "common/log.h"\n#include "trainer/trainer.h"\n'})
        self.assertEqual(lines, ['common/log.cpp:2: includes "trainer/trainer.h", but common/CMakeLists.txt has no link to '
                                 "trainer"])

    def test_a_header_that_needs_a_public_link(self):
        lines = self.check(files={"trainer/trainer.h": '#include "kernels/wkv7/wkv7.h"\n'})
        self.assertEqual(lines, ['trainer/trainer.h:1: includes "kernels/wkv7/wkv7.h", but trainer/CMakeLists.txt has no '
                                 "PUBLIC link to kernels"])

    def test_a_cycle(self):
        changed = TREE["common/CMakeLists.txt"] + "target_link_libraries(vrwkv_common PRIVATE vrwkv::kernels)\n"
        lines = self.check(files={"common/CMakeLists.txt": changed})
        self.assertEqual(len(lines), 1, lines)
        self.assertRegex(lines[0], r"^kernels/CMakeLists.txt:3: linking common closes a cycle of targets$")

    def test_a_source_file_that_nothing_builds(self):
        lines = self.check(files={"kernels/wkv7/forgotten.cpp": ""})
        self.assertEqual(len(lines), 1, lines)
        self.assertTrue(lines[0].startswith("kernels/wkv7/forgotten.cpp:1: is not listed"), lines)

    def test_a_long_file(self):
        self.assertEqual(self.check(files={"tools/long.py": "\n" * 400}), [])
        lines = self.check(files={"tools/long.py": "\n" * 401})
        self.assertEqual(lines, ["tools/long.py:401: has 401 lines, more than 400"])

    def test_this_project_passes(self):
        done = subprocess.run([sys.executable, CHECK, CHECK.parents[1]], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""))


if __name__ == "__main__":
    unittest.main()
