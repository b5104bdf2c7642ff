#!/usr/bin/env python3
"""Measures the emulator against QEMU's TCG, in one run: a Linux boot, and programs for the guest CPU.

    ./dev bench [--rows NAME,NAME] [--repeat N] [--no-boot] [--csv FILE]

Figures are CPU seconds of the emulator's process (all its threads), so a busy host disturbs little. The
programs are guest/*.c, run as the first process of the guest: each repeats a fixed piece of work for a
while and prints a mark at its begin and end, when this script reads the emulator's CPU clock.
"""
import argparse
import collections
import gzip
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BIN = ROOT / "build/bin"
BOOT_MARK = b"menagerie# "
COMMON = "-display none -serial stdio -monitor none -nic none -no-reboot -m 256"
APPEND = "console=ttyS0,115200 quiet mitigations=off panic=-1 GB_MS=%d GB_ONLY=%s"


def programs():
    """The command that begins each emulator's line."""
    found = {"ours": [str(BIN / "emulator"), "-M", "pc", "--free-running"]}
    if shutil.which("qemu-system-i386"):
        found["qemu"] = ["qemu-system-i386", "-M", "pc", "-accel", "tcg"]
    else:
        print("qemu-system-i386 is not installed: measuring ours alone", file=sys.stderr)
    return found


def cpu_seconds(pid):
    """CPU time of the process and its threads (clock_getcpuclockid(3): ~pid << 3 | 2)."""
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e9


def cpio(entries):
    """An initramfs in the newc form: (name, mode, data, device numbers)."""
    out = b""
    for number, (name, mode, data, device) in enumerate(entries + [("TRAILER!!!", 0, b"", (0, 0))], 1):
        encoded = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return gzip.compress(out, 6, mtime=0)


def build_guest(folder):
    """The benchmark programs for i386, as an initramfs."""
    base = shlex.split("gcc -m32 -O2 -std=gnu11 -static -fno-pie -no-pie -march=i686 -mtune=generic")
    objects = []
    flavours = {"sse": ["-msse2", "-mfpmath=sse"], "x87": ["-mfpmath=387", "-ffp-contract=off"]}
    for name in ("main", "b_int", "b_fp", "b_code", "b_os"):
        objects.append(folder / f"{name}.o")
        subprocess.run([*base, "-c", HERE / f"guest/{name}.c", "-o", objects[-1]], check=True)
    for name, flags in flavours.items():
        objects.append(folder / f"fpk_{name}.o")
        subprocess.run([*base, *flags, f"-DFL={name}", "-c", HERE / "guest/b_fpk.c", "-o", objects[-1]],
                       check=True)
    subprocess.run([*base, *objects, "-o", folder / "init"], check=True)
    entries = [(name, 0o40755, b"", (0, 0)) for name in ("dev", "proc", "sys", "tmp")]
    entries += [("dev/console", 0o20600, b"", (5, 1)), ("dev/null", 0o20666, b"", (1, 3)),
                ("init", 0o100755, (folder / "init").read_bytes(), (0, 0))]
    (folder / "initrd").write_bytes(cpio(entries))
    return folder / "initrd"


def linux_media():
    """The kernel that the default recipe boots, and its command line's initrd."""
    fetched = json.loads(subprocess.run([BIN / "zoo", "fetch", "--json", "linux-busybox"], check=True,
                                        stdout=subprocess.PIPE).stdout)
    paths = {media["name"]: media["path"] for media in fetched[0]["media"]}
    line = subprocess.run([BIN / "zoo", "boot", "linux-busybox", "--print-command", "--headless"], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    words = shlex.split(line)
    return paths["kernel"], words[words.index("-initrd") + 1]


def start(command, kernel, initrd, append):
    line = [*command, *shlex.split(COMMON), "-kernel", str(kernel), "-initrd", str(initrd), "-append", append]
    return subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def stop(process):
    process.kill()
    process.wait()


def boot_seconds(command, kernel, initrd, limit=600):
    """CPU seconds until the shell's prompt, or None."""
    process = start(command, kernel, initrd, "console=ttyS0,115200")
    seen, began, result = b"", time.monotonic(), None
    while time.monotonic() - began < limit:
        piece = os.read(process.stdout.fileno(), 65536)
        seen += piece
        if BOOT_MARK in seen:
            result = cpu_seconds(process.pid)
        if result is not None or not piece:
            break
    stop(process)
    return result


def row_seconds(command, kernel, initrd, rows, milliseconds, limit=1800):
    """{row: (CPU seconds for one piece of work, checksum)}."""
    process = start(command, kernel, initrd, APPEND % (milliseconds, rows))
    results, began, at_start = {}, time.monotonic(), 0.0
    for raw in process.stdout:
        line = raw.decode("latin1")
        words = line[line.find("@"):].split() if "@" in line else [""]
        if words[0] == "@S":
            at_start = cpu_seconds(process.pid)
        elif words[0] == "@E" and len(words) >= 5:
            results[words[1]] = ((cpu_seconds(process.pid) - at_start) / int(words[2]), words[4])
        if words[0] == "@X" or time.monotonic() - began > limit:
            break
    stop(process)
    return results


def report(title, samples, note=""):
    """One line: the medians, and ours as a multiple of QEMU's."""
    medians = {name: statistics.median(values) for name, values in samples.items() if values}
    line = f"{title:<14}" + "".join(f"{name} {value:.6g} s   " for name, value in medians.items())
    ratio = medians["ours"] / medians["qemu"] if {"ours", "qemu"} <= medians.keys() else None
    print(line + (f"{ratio:.2f}x" if ratio else "") + note, flush=True)
    return ratio


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="", help="names of benchmarks; all when empty")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--milliseconds", type=int, default=300, help="guest time for each row")
    parser.add_argument("--no-boot", action="store_true")
    parser.add_argument("--csv", help="append every sample to this file")
    arguments = parser.parse_args()

    kernel, shell_initrd = linux_media()
    commands = programs()
    boots = collections.defaultdict(list)
    rows = collections.defaultdict(lambda: collections.defaultdict(list))
    sums = collections.defaultdict(set)
    with tempfile.TemporaryDirectory() as folder:
        initrd = build_guest(Path(folder))
        for _ in range(arguments.repeat):
            for name, command in commands.items():
                if not arguments.no_boot:
                    boots[name].append(boot_seconds(command, kernel, shell_initrd))
                for row, (seconds, checksum) in row_seconds(command, kernel, initrd, arguments.rows,
                                                            arguments.milliseconds).items():
                    rows[row][name].append(seconds)
                    sums[row].add(checksum)
    failed = any(value is None for values in boots.values() for value in values)
    if not arguments.no_boot and not failed:
        report("linux boot", boots)
    ratios = []
    for row, samples in rows.items():
        same = len(sums[row]) == 1
        failed |= not same
        ratios.append(report(row, samples, "" if same else "   WRONG CHECKSUM"))
    ratios = [ratio for ratio in ratios if ratio]
    if ratios:
        print(f"{'geometric mean':<14}{statistics.geometric_mean(ratios):.2f}x")
    if arguments.csv:
        with open(arguments.csv, "a", encoding="utf-8") as file:
            for row, samples in [("boot", boots), *rows.items()]:
                file.writelines(f"{name},{row},{value}\n" for name, values in samples.items()
                                for value in values)
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
