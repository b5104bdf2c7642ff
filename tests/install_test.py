#!/usr/bin/env python3
"""Installs the build into a folder of its own and uses it from there, as a user of the installed programs would.

  install_test.py BUILD
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

WANTED = [
    'bin/emulator', 'bin/imgtool', 'bin/zoo',
    'share/man/man1/emulator.1', 'share/man/man1/imgtool.1', 'share/man/man1/zoo.1',
    'share/man/man5/zoo-recipe.5', 'share/man/man7/imgtool-formats.7',
    'share/menagerie/recipes/freedos/freedos.toml',
    'share/bash-completion/completions/imgtool', 'share/zsh/site-functions/_emulator',
    'share/fish/vendor_completions.d/zoo.fish',
    'share/doc/menagerie/LICENSE', 'share/doc/menagerie/zoo.md',
]


def main():
    build = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / 'prefix'
        subprocess.run(['cmake', '--install', build, '--prefix', prefix], stdout=subprocess.DEVNULL, check=True)
        wrong = [f'{name} is not installed' for name in WANTED if not (prefix / name).is_file()]
        # Nothing of the user's environment, and a working folder that says nothing.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(('ZOO_', 'MENAGERIE_'))}
        environment.update(PATH=f'{prefix / "bin"}:{os.environ["PATH"]}', XDG_DATA_HOME=f'{folder}/data')

        def told(*command):
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder,
                                  env=environment, check=False, text=True)
            if done.returncode != 0:
                wrong.append(f'{" ".join(command)}: status {done.returncode}: {done.stdout}')
            return done.stdout

        recipes = list((prefix / 'share/menagerie/recipes').glob('*/*.toml'))
        listed = json.loads(told('zoo', 'list', '--json'))
        if not recipes or len(listed) != len(recipes):
            wrong.append(f'zoo list shows {len(listed)} recipes of {len(recipes)}')
        told('imgtool', 'create', '-q', '-f', 'qcow2', 'disk.qcow2', '1M')
        # The firmware is found and runs: SeaBIOS finds nothing to boot from an empty disk.
        told('emulator', '-hda', 'disk.qcow2', '-display', 'none', '-monitor', 'none', '--stop-at', '1000000',
             '--state-hash')
        print('\n'.join(wrong) or f'{len(WANTED)} files, {len(recipes)} recipes')
        return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
