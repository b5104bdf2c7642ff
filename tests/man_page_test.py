#!/usr/bin/env python3
"""Checks that imgtool's manual pages tell of all that the program's help does.

  man_page_test.py IMGTOOL

Each command has a section in imgtool.1 with each of its options; each option that `create -f FORMAT -o help`
lists is in imgtool-formats.7. Options that all commands have are in a section of their own.
"""
import re
import subprocess
import sys
from pathlib import Path

PAGES = Path(__file__).resolve().parent.parent / 'docs/man'


def told(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


def plain(path):
    """The page without its markup."""
    text = re.sub(r'\\f[BRIP]', '', path.read_text()).replace('\\-', '-')
    return text.replace('"', '')


def has(option, text):
    return re.search(r'(?<![\w-])' + re.escape(option) + r'(?![\w-])', text)


def main():
    imgtool = sys.argv[1]
    page = plain(PAGES / 'imgtool.1')
    sections = {part.split()[0]: part for part in re.split(r'^\.SS ', page, flags=re.M)[1:]}
    common = page[page.index('.SH OPTIONS OF MANY'):page.index('.SH COMMANDS')]
    missing = []
    summary = told(imgtool, '--help')
    commands = re.findall(r'^  ([a-z]+) [\[(-{f]', summary[:summary.index('Examples:')], flags=re.M)
    for command in commands:
        section = sections.get(command, '') + common
        if command not in sections:
            missing.append(command)
        for option in set(re.findall(r'(?<![\w-])--?[a-zA-Z][a-z-]*', told(imgtool, command, '--help').split('Examples:')[0])):
            if option not in ('-h', '--help') and not has(option, section):
                missing.append(f'{command} {option}')
    formats = plain(PAGES / 'imgtool-formats.7')
    names = re.search(r'Supported formats: (.*)', summary).group(1).split()
    for name in names:
        if not re.search(r'^\.SS .*\b' + name + r'\b', formats, flags=re.M):
            missing.append(f'format {name}')
        done = subprocess.run([imgtool, 'create', '-f', name, '-o', 'help', 'x'], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=False)
        for option in re.findall(r'^  ([\w.-]+)=', done.stdout, flags=re.M):
            if not has(option, formats) and not has(option + '=', formats):
                missing.append(f'{name}: {option}')
    print('\n'.join(f'not in the manual pages: {what}' for what in missing) or f'{len(commands)} commands, {len(names)} formats: all told')
    return 1 if missing or len(commands) < 20 else 0


if __name__ == '__main__':
    sys.exit(main())
