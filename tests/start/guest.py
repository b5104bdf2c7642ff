"""What the tests of starts share: running the emulator on a guest that talks to its serial port."""
import re
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SKIPPED = 77
FAULTS = []


def assembled(name):
    return bytearray(int(byte, 16) for byte in re.findall(r"0x[0-9a-f]{2}", (HERE / name).read_text()))


def expect(what, got, wanted):
    if got != wanted:
        FAULTS.append(f"{what}: {got!r}, not {wanted!r}")


class Run:
    """One run in a folder with the files given; `said` is what came over the serial line."""

    def __init__(self, emulator, files, *options):
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files.items():
                (Path(folder) / name).write_bytes(data)
            serial = Path(folder) / "serial"
            done = subprocess.run(
                [emulator, "-m", "16", "-display", "none", "-monitor", "none", "-serial", f"file:{serial}",
                 "--free-running", *options],
                cwd=folder, capture_output=True, text=True, timeout=120)
            self.status, self.error = done.returncode, done.stderr
            self.said = serial.read_text(errors="replace") if serial.exists() else ""
            self.lines = [line for line in self.said.splitlines() if line]

    def all_of(self, name):
        return [line[len(name) + 1:] for line in self.lines if line.startswith(name + " ")]

    def value(self, name):
        found = self.all_of(name)
        return found[0] if len(found) == 1 else None


def run_tests(arguments, tests):
    """Runs each with the emulator that the command line names; returns the exit status."""
    if not Path("/usr/share/seabios/bios-256k.bin").exists():
        print("SeaBIOS is not installed")
        return SKIPPED
    for test in tests:
        test(str(Path(arguments[1]).resolve()))
    print("\n".join(FAULTS) or "all as expected")
    return 1 if FAULTS else 0
