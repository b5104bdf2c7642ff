#!/usr/bin/env python3
"""Starts the Multiboot kernel of kernel.asm with -kernel and compares what it says.

Usage: multiboot_test.py EMULATOR. Exits 77 (skipped) where SeaBIOS is not installed.
"""
import struct
import sys

from guest import Run, assembled, expect, run_tests

LOAD = 0x100000
START = LOAD + 48
MAGIC = 0x1badb002


def flat_kernel(flags=0x10007, video=(0, 800, 600, 32)):
    image = assembled("kernel.inc")
    struct.pack_into("<II", image, 4, flags, -(MAGIC + flags) & 0xffffffff)
    struct.pack_into("<4I", image, 32, *video)
    return bytes(image)


def elf_kernel(bits=1):
    """The same code, linked 3 GiB higher, with 32 KiB of bss."""
    image = flat_kernel(flags=0x3)
    high = 0xc0000000
    header = struct.pack("<4s5B7x HHIIIIIHHHHHH", b"\x7fELF", bits, 1, 1, 0, 0,
                         2, 3, 1, high + START, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<8I", 1, 0x1000, high + LOAD, LOAD, len(image), 0x18000, 7, 0x1000)
    return (header + segment).ljust(0x1000, b"\0") + image


def start(emulator, kernel, *options):
    files = {"kernel": kernel, "one": bytes(range(200)), "two,": b"\xff" * 5000, "none": b""}
    return Run(emulator, files, "-kernel", "kernel", *options)


def expect_start(name, run):
    expect(f"{name}: exit status ({run.error})", run.status, 0)
    expect(f"{name}: magic", run.value("magic"), "2badb002")
    expect(f"{name}: protected mode without paging", run.value("cr0"), "00000001")
    expect(f"{name}: no interrupts, no virtual 8086 mode", run.value("eflags"), "00000000")
    expect(f"{name}: a cleared bss", run.value("bss"), "0")
    expect(f"{name}: loader", run.value("loader"), "Menagerie")
    expect(f"{name}: last line", run.lines[-1:], ["end"])


def test_flat(emulator):
    run = start(emulator, flat_kernel(), "-append", "a=1 b")
    expect_start("flat", run)
    expect("flat: flags", run.value("flags"), "00001a4d")
    expect("flat: command line", run.value("line"), "kernel a=1 b")
    upper = int(run.value("upper") or "0", 16)
    expect("flat: memory above 1 MiB is 15 MiB less the firmware's tables", 0x3800 < upper <= 0x3c00, True)
    expect("flat: the map agrees", run.value("usable"), f"{upper * 1024:08x}")
    expect("flat: low memory", run.value("lower"), "0000027f")
    expect("flat: screen", run.value("screen"), "00000320 00000258 00000120")
    expect("flat: colours", run.value("colours"), "0808081000000800")
    expect("flat: pixel", run.value("pixel"), "00123456")


def test_elf(emulator):
    run = start(emulator, elf_kernel())
    expect_start("ELF", run)
    expect("ELF: flags", run.value("flags"), "0000024d")
    expect("ELF: command line", run.value("line"), "kernel")
    expect("ELF: screen", run.all_of("screen"), [])


def test_modules(emulator):
    run = start(emulator, flat_kernel(), "-initrd", "one x y,two,, z,none")
    expect_start("modules", run)
    expect("modules", run.all_of("module"), [
        "00118000-001180c8 one x y 00004dbc", "00119000-0011a388 two, z 00137478",
        "0011b000-0011b000 none 00000000"])


def test_text_mode(emulator):
    run = start(emulator, flat_kernel(video=(1, 80, 25, 0)))
    expect_start("text", run)
    expect("text: screen", run.value("screen"), "00000050 00000019 00000210")


def test_no_such_mode(emulator):
    run = start(emulator, flat_kernel(video=(0, 333, 111, 24)))
    expect_start("no such mode", run)
    expect("no such mode: text mode stays, and is not told", run.value("flags"), "0000024d")


def test_isa(emulator):
    run = start(emulator, flat_kernel(flags=0x10003), "-M", "isapc", "-no-reboot")
    expect("isapc resets and, without reboot, ends", (run.status, run.lines), (0, []))


def test_refusals(emulator):
    for name, kernel, options, wanted in (
            ("64-bit", elf_kernel(bits=2), [], "a 64-bit ELF file"),
            ("a demand", flat_kernel(flags=0x10013), [], "it requires features"),
            ("a module", flat_kernel(), ["-initrd", "one,missing"], "-initrd: cannot open 'missing'")):
        run = start(emulator, kernel, *options)
        expect(f"{name} is refused", (run.status, wanted in run.error), (1, True))


if __name__ == "__main__":
    sys.exit(run_tests(sys.argv, [test_flat, test_elf, test_modules, test_text_mode, test_no_such_mode, test_isa,
                                  test_refusals]))
