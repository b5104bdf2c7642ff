#!/usr/bin/env python3
"""Which drive is started from, and floppy reads over several tracks, through SeaBIOS.

Usage: drives_test.py EMULATOR. Exits 77 (skipped) where SeaBIOS is not installed.
"""
import sys

from guest import Run, assembled, expect, run_tests

FLOPPY = 1474560


def disk(letter, size, signature=b"\x55\xaa"):
    """An image with the boot sector, and numbered words behind it."""
    code = assembled("boot_sector.inc")
    code[3] = ord(letter)
    sector = bytes(code).ljust(510, b"\0") + signature
    return sector + b"".join(word.to_bytes(2, "little") for word in range(1, 0x8000)).ljust(size - 512, b"\0")


def word_sum(data):
    return sum(int.from_bytes(data[at:at + 2], "little") for at in range(0, len(data), 2)) & 0xffff


def run(emulator, floppy, *options):
    files = {"floppy": floppy, "disk": disk("D", 1 << 20)}
    return Run(emulator, files, "-drive", "file=floppy,format=raw,if=floppy",
               "-drive", "file=disk,format=raw", "-boot", "ac", *options)


def test_floppy_first(emulator):
    image = disk("F", FLOPPY)
    expect("a floppy with 55AA, and 72 of its sectors at once", run(emulator, image).said,
           f"F00048{word_sum(image[:72 * 512]):04x}")


def test_blank_floppy(emulator):
    expect("a blank floppy leads to the disk", run(emulator, bytes(FLOPPY)).said, "D")


def test_unsigned_floppy(emulator):
    image = disk("F", FLOPPY, b"\0\0")
    expect("a floppy without 55AA leads to the disk", run(emulator, image).said, "D")
    expect("but for -no-fd-bootchk", run(emulator, image, "-no-fd-bootchk").said[:1], "F")


if __name__ == "__main__":
    sys.exit(run_tests(sys.argv, [test_floppy_first, test_blank_floppy, test_unsigned_floppy]))
