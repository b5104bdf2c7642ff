#!/usr/bin/env python3
"""boot_test.py ZOO ID: fetches the media of a recipe and runs its steps.

Ends with 77, which ctest takes for skipped, when the media cannot be had here (no network, no mirror).
"""
import subprocess
import sys

SKIPPED = 77


def main():
    zoo, recipe = sys.argv[1:]
    fetched = subprocess.run([zoo, "fetch", recipe], check=False)
    if fetched.returncode == 1:
        print(f"skipped: the media of {recipe} cannot be had here; ZOO_MIRROR may name a mirror")
        return SKIPPED
    return fetched.returncode or subprocess.run([zoo, "test", recipe], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
