#!/usr/bin/env python3
"""Holds the sources to the map in CMakeLists.txt: who may include whom, file lengths, tests that ctest knows.

    check_includes.py [ROOT]      prints FILE:LINE: what is wrong; exit 1 if anything is

The steerlm_module lines of CMakeLists.txt are the only declaration. A module may include the public headers
(include/steerlm/<module>/) of its MODULES, of theirs, and so on, and any header of its own. Beyond that:
  - recipe and cli may include every <module>/options.h; an options.h includes <core/fields.h> and the standard library only
  - a module that does not come to steerlm_libtorch is of the plain half: no header of libtorch
  - <torch/torch.h> and <ATen/ATen.h> cost 10-40 s a unit: nowhere in src/ and include/
"""

import re
import sys
from pathlib import Path

MAX_LINES = 500
SOURCES = (".h", ".cpp", ".cu", ".cuh")
TENSOR_HEADERS = ("ATen/", "c10/", "torch/", "caffe2/")
WHOLE_LIBRARY = ("torch/torch.h", "torch/extension.h", "torch/all.h", "ATen/ATen.h")
# The binary is run from outside: its files are looked into and the toy oracle is asked, which is less than the stages may include.
TEST_FOLDERS = {"end_to_end": "stages"}
TEST_HELPERS = {"support", "fixtures"}
FUZZ_FOLDER = "fuzz"
FUZZ_DRIVER = ("driver.cpp", "driver_findings.cpp")


class Checker:
    def __init__(self, root):
        self.root = root
        self.faults = []
        self.direct, self.libraries = {}, {}
        text = (root / "CMakeLists.txt").read_text()
        for name, rest in re.findall(r"^steerlm_module\(\s*(\w+)([^)]*)\)", text, re.MULTILINE):
            words = {"MODULES": [], "LIBRARIES": []}
            into = None
            for word in rest.split():
                if word in words:
                    into = words[word]
                else:
                    into.append(word)
            self.direct[name], self.libraries[name] = words["MODULES"], words["LIBRARIES"]

        # Of each fuzz target the module that it reads with, as tests/fuzz/CMakeLists.txt links them.
        self.fuzz_lists = root / "tests" / FUZZ_FOLDER / "CMakeLists.txt"
        lists = self.fuzz_lists.read_text() if self.fuzz_lists.exists() else ""
        self.fuzz = dict(re.findall(r"^steerlm_fuzz\((\w+) (\w+)\)", lists, re.MULTILINE))

    def fault(self, path, line, what):
        self.faults.append(f"{path.relative_to(self.root)}:{line}: {what}")

    def reach(self, module):
        """The module and everything that it may include."""
        found, left = set(), [module]
        while left:
            name = left.pop()
            if name not in found:
                found.add(name)
                left += self.direct[name]
        return found

    def is_plain(self, module):
        return not any("steerlm_libtorch" in self.libraries[name] for name in self.reach(module))

    def check_map(self):
        cmake = self.root / "CMakeLists.txt"
        for module, others in self.direct.items():
            for other in others:
                if other not in self.direct:
                    self.fault(cmake, 1, f"module {module} uses {other}, which no steerlm_module line declares")
        for half in ("src", "include/steerlm"):
            for folder in sorted((self.root / half).iterdir()):
                if folder.name not in self.direct:
                    self.fault(folder, 1, "no steerlm_module line declares this module")

    def resolve(self, path, header):
        """(module, is public) of an included header of ours, None for another's."""
        if header.startswith("steerlm/"):
            return header.split("/")[1], True
        for base in (path.parent, self.root / "src", self.root / "tests"):
            target = (base / header).resolve()
            for half in ("src", "tests"):
                top = self.root / half
                if target.is_file() and target.is_relative_to(top):
                    return (target.relative_to(top).parts[0] if half == "src" else None), False
        return None

    def check_include(self, path, number, module, header, in_tests):
        if not in_tests:
            if header in WHOLE_LIBRARY:
                return self.fault(path, number, f"<{header}> is forbidden here: include single headers")
            if header.startswith(TENSOR_HEADERS) and self.is_plain(module):
                return self.fault(path, number, f"<{header}> in {module}, a module of the plain half")
        found = self.resolve(path, header)
        if found is None or found[0] is None:
            return None
        other, public = found
        if path.name == "options.h" and not in_tests and header != "steerlm/core/fields.h":
            return self.fault(path, number, f'"{header}": an options.h includes steerlm/core/fields.h only')
        if other not in self.direct:
            return self.fault(path, number, f'"{header}": there is no module {other}')
        if other == module:
            return None
        if not public:
            return self.fault(path, number, f'"{header}" belongs to {other} alone (it is not in include/steerlm/{other}/)')
        if module in ("recipe", "cli") and header.endswith("/options.h"):
            return None
        if other not in self.reach(module):
            return self.fault(path, number, f"{module} may not include {other}: {module} uses {', '.join(self.direct[module]) or 'nothing'}")
        return None

    def check_file(self, path, module, in_tests):
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) > MAX_LINES:
            self.fault(path, len(lines), f"{len(lines)} lines, at most {MAX_LINES}")
        if module is None:
            return
        for number, line in enumerate(lines, 1):
            match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
            if match:
                self.check_include(path, number, module, match.group(1), in_tests)

    def check_tests(self):
        """tests/CMakeLists.txt takes tests/<module>/*_test.cpp and runs the suites whose TEST stands at a line's start, benches left out."""
        suites = {}
        for path in sorted((self.root / "tests").rglob("*.cpp")):
            parts = path.relative_to(self.root / "tests").parts
            if parts[0] in TEST_HELPERS:
                continue
            if parts[0] == FUZZ_FOLDER:
                self.check_fuzz_file(path)
                continue
            if len(parts) != 2 or not path.name.endswith("_test.cpp"):
                self.fault(path, 1, "not built: tests are tests/<module>/*_test.cpp")
                continue
            if parts[0] not in self.direct and parts[0] not in TEST_FOLDERS:
                self.fault(path, 1, f"not built: there is no module {parts[0]}")
                continue
            own = set()
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                match = re.match(r"(\s*)(?:TEST|TEST_F|TEST_P|TYPED_TEST)\((\w*)(,\s*DISABLED_)?", line)
                if not match:
                    continue
                if match.group(1) or not match.group(2):
                    self.fault(path, number, "not run: TEST and its suite must stand at the start of the line")
                    continue
                if match.group(3) or match.group(2).startswith("DISABLED_"):
                    self.fault(path, number, "a disabled test")
                own.add(match.group(2))
            if not own:
                self.fault(path, 1, "not run: no test in this file")
            for suite in sorted(own):
                other = suites.setdefault((parts[0], suite), path)
                if other != path:
                    self.fault(path, 1, f"suite {suite} is also in {other.name}: it would run twice")

    def check_fuzz_file(self, path):
        if path.name in FUZZ_DRIVER:
            return
        name = path.stem.removesuffix("_fuzz")
        if path.parent.name != FUZZ_FOLDER or not path.stem.endswith("_fuzz") or name not in self.fuzz:
            self.fault(path, 1, f"not built: fuzz targets are tests/{FUZZ_FOLDER}/NAME_fuzz.cpp with a line steerlm_fuzz(NAME MODULE)")
        elif self.fuzz[name] not in self.direct:
            self.fault(self.fuzz_lists, 1, f"target {name}: there is no module {self.fuzz[name]}")
        elif "int LLVMFuzzerTestOneInput(" not in path.read_text(encoding="utf-8"):
            self.fault(path, 1, "not a fuzz target: no LLVMFuzzerTestOneInput")

    def module_of_test(self, path, parts):
        """Whose headers a file of tests/ may include."""
        if parts[1] == FUZZ_FOLDER:
            return self.fuzz.get(path.stem.removesuffix("_fuzz"), parts[1])
        return TEST_FOLDERS.get(parts[1], parts[1])

    def run(self):
        self.check_map()
        for path in sorted(self.root.rglob("*")):
            parts = path.relative_to(self.root).parts
            if path.suffix not in SOURCES or parts[0] not in ("src", "include", "tests") or not path.is_file():
                continue
            in_tests = parts[0] == "tests"
            module = parts[2] if parts[0] == "include" and len(parts) > 3 else parts[1]
            module = self.module_of_test(path, parts) if in_tests else module
            self.check_file(path, module if module in self.direct else None, in_tests)
        self.check_tests()
        return self.faults


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
    faults = Checker(root).run()
    for fault in faults:
        print(fault)
    print(f"check_includes: {len(faults)} faults" if faults else "check_includes: the sources keep to the map")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
