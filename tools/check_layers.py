#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that the source keeps to its layers: a folder may include what the link lists of its targets grant.

    tools/check_layers.py [ROOT]        prints `file:line: message` for every violation; exits 1 when there is one

- An include of another folder's header needs a link to that folder's target: PUBLIC for a header of ours, any for a
  source file. PUBLIC links of what is linked count too.
- Links between targets have no cycle.
- Every source file is listed in its folder's CMakeLists.txt.
- No source file has more than 400 lines.
"""
import pathlib
import re
import sys

CODE_FOLDERS = ("common", "data", "kernels", "sharding", "trainer", "launcher")
HEADERS = {".h", ".cuh"}
SOURCES = {".cpp", ".cu"}
MOST_LINES = 400


class Folder:
    """A folder with a CMakeLists.txt: the targets it declares and what they link."""

    def __init__(self, path):
        self.path = path
        self.text = re.sub(r"#.*", "", (path / "CMakeLists.txt").read_text())
        self.targets = set()
        self.public, self.private = {}, {}    # linked target -> line
        programs = set()
        for match in re.finditer(r"\b(?:add_library|add_executable|target_link_libraries)\s*\(([^()]*)\)", self.text):
            line = self.text.count("\n", 0, match.start()) + 1
            words = match.group(1).split()
            if match.group(0).startswith("add_"):
                self.targets.add(target_name(words[0]))
                programs |= {words[0]} if match.group(0).startswith("add_executable") else set()
            else:
                self._link(words[1:], line, all_public=words[0] in programs)

    def _link(self, words, line, all_public):
        """Nobody includes a program's headers, so its headers may use whatever it links."""
        links = self.public
        for word in words:
            if word in ("PUBLIC", "INTERFACE", "PRIVATE"):
                links = self.private if word == "PRIVATE" and not all_public else self.public
            for name in re.findall(r"vrwkv::\w+", word):
                links.setdefault(target_name(name), line)


def target_name(word):
    return word.replace("vrwkv_", "").replace("vrwkv::", "")


def source_files(root, top, suffixes):
    """Below a folder, without what is hidden or built."""
    for path in sorted((root / top).rglob("*")):
        parts = path.relative_to(root).parts
        if path.suffix in suffixes and not any(part.startswith((".", "build")) for part in parts):
            yield path


def folder_of(path, folders):
    """The folder that a file belongs to: the nearest one above with a CMakeLists.txt."""
    return next((folders[parent] for parent in path.parents if parent in folders), None)


def granted(folder, owner, with_private):
    """Folders whose headers this folder's files may include."""
    waiting = [*folder.public, *(folder.private if with_private else ())]
    reached = set()
    while waiting:
        target = waiting.pop()
        if target in reached or target not in owner:
            continue
        reached.add(target)
        waiting += owner[target].public
    return {owner[target].path for target in reached}


def check_includes(root, folders, owner):
    for folder in folders.values():
        grants = {with_private: granted(folder, owner, with_private) for with_private in (False, True)}
        for file in source_files(root, folder.path.relative_to(root), HEADERS | SOURCES):
            if folder_of(file, folders) is not folder:
                continue
            for number, line in enumerate(file.read_text().splitlines(), 1):
                include = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
                other = include and folder_of(root / include.group(1), folders)
                if not other or other is folder or other.path in grants[file.suffix in SOURCES]:
                    continue
                kind = "link" if file.suffix in SOURCES else "PUBLIC link"
                yield file, number, (f'includes "{include.group(1)}", but {folder.path.relative_to(root)}/CMakeLists.txt '
                                     f"has no {kind} to {other.path.relative_to(root)}")


def check_cycles(folders, owner):
    state = {}    # folder -> "open" while above us on the way down, "done" after

    def visit(folder):
        state[folder.path] = "open"
        for target, line in {**folder.private, **folder.public}.items():
            other = owner.get(target)
            if other is None or other is folder:
                continue
            if state.get(other.path) == "open":
                yield folder.path / "CMakeLists.txt", line, f"linking {target} closes a cycle of targets"
            elif other.path not in state:
                yield from visit(other)
        state[folder.path] = "done"

    for folder in folders.values():
        if folder.path not in state:
            yield from visit(folder)


def check_listed(root, folders):
    for folder in folders.values():
        for file in source_files(root, folder.path.relative_to(root), SOURCES):
            name = re.escape(file.relative_to(folder.path).as_posix())
            if folder_of(file, folders) is folder and not re.search(rf"[\s(]{name}[\s)]", folder.text):
                yield file, 1, "is not listed in its folder's CMakeLists.txt, so nothing builds it"


def check_lengths(root):
    for file in source_files(root, ".", HEADERS | SOURCES | {".py"}):
        lines = len(file.read_text().splitlines())
        if lines > MOST_LINES:
            yield file, MOST_LINES + 1, f"has {lines} lines, more than {MOST_LINES}"


def violations(root):
    folders = {}
    for top in CODE_FOLDERS:
        for listing in sorted((root / top).rglob("CMakeLists.txt")):
            folders[listing.parent] = Folder(listing.parent)
    owner = {target: folder for folder in folders.values() for target in folder.targets}
    yield from check_includes(root, folders, owner)
    yield from check_cycles(folders, owner)
    yield from check_listed(root, folders)
    yield from check_lengths(root)


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    found = list(violations(root))
    for file, line, message in found:
        print(f"{file.relative_to(root)}:{line}: {message}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
