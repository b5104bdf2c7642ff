#!/usr/bin/env python3
"""Asks bash, zsh and fish, where they are installed, for completions of our command lines.

  completions_test.py BUILD

Ends with 77 (skipped) when none of the three is there.
"""
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

# What is typed, its last word unfinished; what must be offered, and what must not.
CASES = [
    ('imgtool conv', {'convert'}, {'create'}),
    ('imgtool convert -O q', {'qcow2', 'qcow', 'qed'}, {'vdi'}),
    ('imgtool check --out', {'--output'}, {'--repair'}),
    ('imgtool info --output=j', {'json'}, {'human'}),
    ('emulator -c', {'-cpu', '-cdrom'}, {'-hda'}),
    ('emulator -cpu pent', {'pentium', 'pentium3'}, {'486'}),
    ('emulator -M isa', {'isapc'}, {'pc'}),
    ('zoo bo', {'boot'}, {'rm'}),
    ('zoo boot mikeo', {'mikeos', 'mikeos-cd'}, {'freedos'}),
    ('zoo test --off', {'--offline'}, {'--all'}),
]

BASH = r'''
source "$1"
words=("${@:2}")
COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1))
_${words[0]}
printf '%s\n' "${COMPREPLY[@]}"
'''


def run(command, environment):
    return subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True, text=True).stdout


def bash(completions, line, environment):
    words = [part for word in line.split(' ') for part in word.replace('=', ' = ').split(' ')]
    script = completions / 'bash' / words[0]
    return run(['bash', '-c', BASH, 'bash', str(script), *words], environment).split('\n')


def fish(completions, line, environment):
    script = shlex.quote(str(completions / 'fish' / (line.split(' ')[0] + '.fish')))
    offered = run(['fish', '--no-config', '-c', f'source {script}; complete -C {shlex.quote(line)}'], environment)
    return [row.split('\t')[0].split('=')[-1] for row in offered.split('\n')]


def main():
    build = Path(sys.argv[1]).resolve()
    completions = build / 'completions'
    environment = dict(os.environ, PATH=f'{build / "bin"}:{os.environ["PATH"]}')
    shells = [shell for shell in (bash, fish) if shutil.which(shell.__name__)]
    failed = 0
    for shell in shells:
        for line, wanted, unwanted in CASES:
            offered = set(shell(completions, line, environment))
            if not wanted <= offered or unwanted & offered:
                print(f'{shell.__name__}: {line}: offered {sorted(offered)}')
                failed += 1
    if shutil.which('zsh'):
        shells.append('zsh')
        for script in sorted((completions / 'zsh').iterdir()):
            failed += subprocess.run(['zsh', '-n', script], check=False).returncode != 0
    print(f'{len(shells)} shells, {len(CASES)} lines, {failed} wrong')
    return 1 if failed else 0 if shells else 77


if __name__ == '__main__':
    sys.exit(main())
