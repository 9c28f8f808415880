# SPDX-License-Identifier: Apache-2.0
"""What the CUDA compiler makes of a .cu file: resources and machine code of each kernel. Needs no GPU.

For the scripts that judge it: tests/kernels/kernel_budgets.py and bench/kernels/kernel_model.py.
"""
import collections
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

ARCHITECTURES = (80, 86, 89, 90, 100, 120)


class ToolMissing(RuntimeError):
    pass


@dataclasses.dataclass
class Kernel:
    threads: int = 0             # of a block, by __launch_bounds__; 0 without
    registers: int = 0
    local_bytes: int = 0         # of a thread's stack
    spilled_bytes: int = 0       # stored; a loop may load them often
    static_shared_bytes: int = 0
    code: list = dataclasses.field(default_factory=list)    # (address, "OPCODE operands") in order

    def count(self, opcode):
        """How often an instruction stands in the code: "BAR" counts BAR.SYNC, too."""
        return sum(operation(text).split(".")[0] == opcode for _, text in self.code)


def operation(text):
    """The opcode with its suffixes, without the predicate."""
    return re.sub(r"^@!?U?P\w+\s+", "", text).split()[0]


def find_nvcc(given=None):
    nvcc = given or shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    if not shutil.which(nvcc):
        raise ToolMissing("nvcc is missing. Install the CUDA Toolkit 13.")
    return nvcc


def find_disassembler(nvcc, root):
    beside = pathlib.Path(nvcc).resolve().parent / "nvdisasm"
    fetched = pathlib.Path(root) / ".deps/python/nvidia/cu13/bin/nvdisasm"
    for path in (beside, fetched):
        if path.exists():
            return str(path)
    raise ToolMissing("nvdisasm is missing. Run tools/setup.sh --test, or install it with the CUDA Toolkit.")


def short_names(mangled):
    """{"_ZN5vrwkv...": "forward_kernel<float, 64>"}"""
    full = subprocess.run(["c++filt"], input="\n".join(mangled), check=True, capture_output=True, text=True).stdout
    return dict(zip(mangled, map(_without_scopes, full.splitlines())))


def _without_scopes(name):
    name = name.replace("(anonymous namespace)::", "")
    depth = 0
    for end, character in enumerate(name):
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == "(" and depth == 0:
            name = name[:end]
            break
    name = re.sub(r"(\w+::)+", "", name).removeprefix("void ")
    return re.sub(r"\(\w+\)", "", name).strip()    # types of integers among template arguments


class Compiler:
    """Compiles for one architecture at a time, and keeps what it found out in `cache`, a folder, when one is given."""

    FLAGS = ("-std=c++17", "-O3", "-Xptxas", "-v", "-cubin")

    def __init__(self, root, nvcc=None, cache=None):
        self.root = pathlib.Path(root).resolve()
        self.nvcc = find_nvcc(nvcc)
        self.disassembler = find_disassembler(self.nvcc, self.root)
        self.cache = pathlib.Path(cache) if cache else None
        self.version = subprocess.run([self.nvcc, "--version"], check=True, capture_output=True, text=True).stdout

    def kernels(self, source, architecture):
        """{name: Kernel} of a source file, by its path from the root."""
        kept = self.cache and self.cache / f"{self._key(source, architecture)}.json"
        if kept and kept.exists():
            return {name: Kernel(**fields) for name, fields in json.loads(kept.read_text()).items()}
        with tempfile.TemporaryDirectory() as folder:
            cubin = f"{folder}/cubin"
            command = [self.nvcc, *self.FLAGS, f"-arch=sm_{architecture}", f"-I{self.root}", "-o", cubin,
                       str(self.root / source)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError(f"{source} does not compile for sm_{architecture}:\n{done.stderr}")
            kernels = _resources(done.stderr)
            listing = subprocess.run([self.disassembler, cubin], check=True, capture_output=True, text=True).stdout
        _add_code(listing, kernels)
        names = short_names(kernels)
        kernels = {names[mangled]: kernel for mangled, kernel in kernels.items()}
        if kept:
            self.cache.mkdir(parents=True, exist_ok=True)
            partial = kept.with_suffix(f".{os.getpid()}.{architecture}")
            partial.write_text(json.dumps({name: dataclasses.asdict(kernel) for name, kernel in kernels.items()}))
            partial.rename(kept)
        return kernels

    def _key(self, source, architecture):
        digest = hashlib.sha256(f"{self.version} {self.FLAGS} {architecture}".encode())
        digest.update(pathlib.Path(__file__).read_bytes())
        waiting, seen = [source], set()
        while waiting:
            path = waiting.pop()
            if path in seen or not (self.root / path).is_file():
                continue
            seen.add(path)
            text = (self.root / path).read_bytes()
            digest.update(path.encode() + text)
            waiting += sorted(re.findall(r'#\s*include\s+"([^"]+)"', text.decode()))
        return digest.hexdigest()


def _resources(report):
    """{mangled name: Kernel without its code} from what `ptxas -v` prints."""
    kernels = collections.defaultdict(Kernel)
    patterns = {
        "local_bytes": r"(\d+) bytes stack frame",
        "spilled_bytes": r"(\d+) bytes spill stores",
        "registers": r"Used (\d+) registers",
        "static_shared_bytes": r"(\d+) bytes smem",
    }
    current = None
    for line in report.splitlines():
        entry = re.search(r"Compiling entry function '(\w+)'", line)
        current = kernels[entry.group(1)] if entry else current
        if current is None:
            continue
        for field, pattern in patterns.items():
            setattr(current, field, max([getattr(current, field), *map(int, re.findall(pattern, line))]))
    return dict(kernels)


def _add_code(listing, kernels):
    """`listing` is what nvdisasm prints. The target of a jump becomes an address: "BRA 0x1a0"."""
    for section in re.split(r"^\s*\.section\s+", listing, flags=re.MULTILINE):
        kind, _, name = section.partition(",")[0].rpartition(".")
        if name not in kernels:
            continue
        if kind == ".text":
            kernels[name].code = _code(section)
        elif threads := re.search(r"EIATTR_MAX_THREADS.*?\.word\s+0x(\w+)", section, re.DOTALL):
            kernels[name].threads = int(threads.group(1), 16)


def _code(section):
    labels, unplaced, code = {}, [], []
    for line in section.splitlines():
        if label := re.match(r"(\.L_x_\d+):", line):
            unplaced.append(label.group(1))
        elif instruction := re.search(r"/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;", line):
            address = int(instruction.group(1), 16)
            labels.update(dict.fromkeys(unplaced, address))
            unplaced = []
            code.append((address, instruction.group(2)))
    return [(address, re.sub(r"`\((\.L_x_\d+)\)", lambda label: f"0x{labels.get(label.group(1), 0):x}", text))
            for address, text in code]
