#!/usr/bin/env python3
"""A guest that triple-faults with a character still in its serial port: the ends of such runs.

Usage: resets_test.py EMULATOR. Exits 77 (skipped) where SeaBIOS is not installed.
"""
import sys

from guest import HERE, Run, assembled, expect, run_tests

GUEST = HERE.parent.parent / "emulator" / "cli" / "reset_guest.inc"
UNDEFINED = 9 # its way: an undefined instruction in protected mode, without an IDT


def run(emulator, *options):
    image = assembled(GUEST).ljust(0x10000, b"\0")
    image[4] = UNDEFINED
    image[0xfff0:0xfff5] = b"\xea\x00\x00\x00\xf0"
    return Run(emulator, {"bios": bytes(image)}, "-bios", "bios", "-vga", "none", *options)


def test_no_reboot(emulator):
    for tier in "0", "1":
        ended = run(emulator, "-no-reboot", "--tier", tier)
        expect("-no-reboot: status, and what was being sent", (ended.status, ended.said), (0, "u"))


def test_stop_at(emulator):
    ended = run(emulator, "--stop-at", "20000")
    expect("--stop-at comes although the guest resets all the time", (ended.status, ended.said[:3]), (0, "uuu"))


if __name__ == "__main__":
    sys.exit(run_tests(sys.argv, [test_no_reboot, test_stop_at]))
