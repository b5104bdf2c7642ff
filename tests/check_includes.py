#!/usr/bin/env python3
"""Checks the include rules of the house: dependencies point down, and some libraries stay in their place.

Run from anywhere; prints FILE:LINE: text for each violation and exits 1 when there is one.
docs/architecture.md says why the rules are as they are.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What each module may include besides itself: modules, or single headers of one.
MAY_INCLUDE = {
    "base": [],
    "imgtool": ["base"],
    "imgtool/cli": ["base", "imgtool"],
    "emulator/ir": ["base"],
    "emulator/memory": ["base"],
    # The CPU's state is laid out for compiled code, and is saved and hooked by the machine's interfaces.
    "emulator/cpu": ["base", "emulator/memory", "emulator/ir/exec_state.hpp", "emulator/ir/flags.hpp",
                     "emulator/machine/state.hpp", "emulator/machine/x86_hooks.hpp"],
    "emulator/translate": ["base", "emulator/ir", "emulator/cpu"],
    "emulator/translate/x86/vectors": ["base", "emulator"], # a test's harness
    "emulator/codegen": ["base", "emulator/ir"],
    "emulator/devices": ["base", "emulator/memory", "emulator/machine", "imgtool/disk.hpp"],
    "emulator/machine": ["base", "emulator/memory", "emulator/devices/device.hpp", "imgtool/disk.hpp"],
    # A board constructs its devices.
    "emulator/boards": ["base", "emulator/machine", "emulator/memory", "emulator/devices",
                        "imgtool/disk.hpp"],
    "emulator/accel": ["base", "emulator/ir", "emulator/machine", "emulator/memory", "emulator/cpu",
                       "emulator/translate", "emulator/codegen"],
    "emulator/hostio": ["base", "emulator/devices"],
    "emulator/script": ["base", "emulator/hostio", "emulator/machine", "emulator/devices/display"],
    "emulator/debug": ["base", "emulator/hostio", "emulator/machine", "emulator/memory",
                       "emulator/devices/display"],
    "emulator/cli": ["base", "emulator", "imgtool"],
    "zoo": ["base", "imgtool"],
    "tests": ["base", "imgtool", "emulator", "zoo"],
}

# Tests see more: whatever their part of the tree has.
TESTS_MAY_INCLUDE = {"emulator": ["base", "emulator", "imgtool"]}
# How a test says that it cannot run here.
SKIP = "tests/skip.hpp"
SKIPPERS = ["*_test.cpp", "imgtool/tests/*.hpp"]

# Headers of libraries that only the folders named may include.
LIBRARIES = {
    "CLI/": ["imgtool/cli", "emulator/cli", "zoo/cli"],
    "SDL": ["emulator/hostio"],
    "capstone/": ["emulator/debug"],
    "curl/": ["imgtool/source", "zoo/fetch"],
    "archive": ["imgtool/source", "zoo/unpack"],
    "toml++/": ["emulator/script", "zoo/recipe"],
    "catch2/": ["*_test.cpp", "test_*.hpp", "imgtool/tests", "tests"],
}

INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')


def module_of(path):
    """The longest entry of the table that holds the path."""
    parts = path.split("/")
    for length in range(len(parts) - 1, 0, -1):
        if "/".join(parts[:length]) in MAY_INCLUDE:
            return "/".join(parts[:length])
    return None


def inside(path, folder):
    return path == folder or path.startswith(folder + "/")


def check_own(path, target):
    """The complaint about including a header of the project, or None."""
    module = module_of(path)
    if module is None:
        return "the file is in no module that tests/check_includes.py knows"
    allowed = list(MAY_INCLUDE[module])
    if path.endswith("_test.cpp"):
        allowed += TESTS_MAY_INCLUDE.get(path.split("/")[0], [])
    if target == SKIP and any(Path(path).match(place) for place in SKIPPERS):
        return None
    if module_of(target) == module or any(inside(target, place) for place in allowed):
        return None
    return f"{module} must not include {target}"


def check_library(path, target):
    for prefix, places in LIBRARIES.items():
        if target.startswith(prefix):
            if not any(inside(path, place) or Path(path).match(place) for place in places):
                return f"<{target}> belongs into {', '.join(places)} only"
    return None


def main():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.cpp", "*.hpp"], cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout.split()
    failed = False
    for path in listed:
        if not (ROOT / path).is_file():
            continue
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1):
            found = INCLUDE.match(line)
            if not found:
                continue
            check = check_own if found[1] == '"' and "/" in found[2] else check_library
            complaint = check(path, found[2])
            if complaint:
                print(f"{path}:{number}: {complaint}")
                failed = True
    if not listed:
        print("no sources found")
    return 1 if failed or not listed else 0


if __name__ == "__main__":
    sys.exit(main())
