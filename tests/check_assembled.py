#!/usr/bin/env python3
"""Checks that each committed X.inc is what X.asm beside it assembles to; with --write, makes it so.

Exits 77 (skipped) when there is no nasm.
"""
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BYTES_A_LINE = 16


def assemble(source):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        subprocess.run(["nasm", "-f", "bin", "-o", out, source.name], check=True, cwd=source.parent)
        return out.read_bytes()


def as_text(data):
    lines = [data[at:at + BYTES_A_LINE] for at in range(0, len(data), BYTES_A_LINE)]
    return "".join("  " + ", ".join(f"0x{byte:02x}" for byte in line) + ",\n" for line in lines)


def main():
    if shutil.which("nasm") is None:
        print("there is no nasm to assemble with")
        return 77
    sources = [path for folder in ("emulator", "tests") for path in sorted((ROOT / folder).rglob("*.asm"))]
    wrong = 0
    for source in sources:
        committed = source.with_suffix(".inc")
        data = assemble(source)
        if "--write" in sys.argv:
            committed.write_text(as_text(data))
        elif bytes(int(byte, 16) for byte in re.findall(r"0x[0-9a-f]{2}", committed.read_text())) != data:
            print(f"{committed.relative_to(ROOT)}:1: is not what {source.name} assembles to")
            wrong += 1
    return 1 if wrong or not sources else 0


if __name__ == "__main__":
    sys.exit(main())
