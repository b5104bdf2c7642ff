#!/usr/bin/env python3
"""Checks that the manual pages tell of all that the programs' help does, and of every key of a recipe.

  man_page_test.py BIN

imgtool.1 has a section for each command with each of its options (those that all commands have are in one of
their own), imgtool-formats.7 each option that `create -f FORMAT -o help` lists; emulator.1 has every option;
zoo.1 every command and its options; zoo-recipe.5 every key of docs/recipe-format.md.
"""
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / 'docs'
PAGES = DOCS / 'man'
OPTION = r'(?<![\w-])--?[a-zA-Z][\w-]*'


def told(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


def plain(name):
    """The page without its markup."""
    text = re.sub(r'\\f[BRIP]', '', (PAGES / name).read_text()).replace('\\-', '-')
    return text.replace('"', '')


def has(option, text):
    return re.search(r'(?<![\w-])' + re.escape(option) + r'(?![\w-])', text)


def options_of(page):
    return sorted(set(re.findall(OPTION, page.split('Examples:')[0])) - {'-h', '--help'})


def imgtool_commands(imgtool):
    page = plain('imgtool.1')
    sections = {part.split()[0]: part for part in re.split(r'^\.SS ', page, flags=re.M)[1:]}
    common = page[page.index('.SH OPTIONS OF MANY'):page.index('.SH COMMANDS')]
    summary = told(imgtool, '--help')
    commands = re.findall(r'^  ([a-z]+) [\[(-{f]', summary[:summary.index('Examples:')], flags=re.M)
    if len(commands) < 20:
        yield f'imgtool --help: only {len(commands)} commands seen'
    for command in commands:
        section = sections.get(command, '') + common
        if command not in sections:
            yield f'imgtool {command}'
        for option in options_of(told(imgtool, command, '--help')):
            if not has(option, section):
                yield f'imgtool {command} {option}'


def imgtool_formats(imgtool):
    page = plain('imgtool-formats.7')
    names = re.search(r'Supported formats: (.*)', told(imgtool, '--help')).group(1).split()
    for name in names:
        if not re.search(r'^\.SS .*\b' + name + r'\b', page, flags=re.M):
            yield f'format {name}'
        done = subprocess.run([imgtool, 'create', '-f', name, '-o', 'help', 'x'], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=False)
        for option in re.findall(r'^  ([\w.-]+)=', done.stdout, flags=re.M):
            if not has(option, page) and not has(option + '=', page):
                yield f'{name}: {option}'


def emulator_options(emulator):
    page = plain('emulator.1')
    options = re.findall(r'^  (--?[\w-]+)', told(emulator, '-help').split('Examples:')[0], flags=re.M)
    if len(options) < 50:
        yield f'emulator -help: only {len(options)} options seen'
    for option in options:
        if not re.search(r'^\.(?:BI?R?|TP|IP).*' + re.escape(option) + r'(?![\w-])', page, flags=re.M):
            yield f'emulator {option}'


def zoo_commands(zoo):
    page = plain('zoo.1')
    commands = re.findall(r'^  ([a-z]+) {2,}', told(zoo, '--help').split('Subcommands:')[1], flags=re.M)
    if len(commands) < 12:
        yield f'zoo --help: only {len(commands)} commands seen'
    for command in commands:
        if not has(command, page):
            yield f'zoo {command}'
        for option in options_of(told(zoo, command, '--help')):
            if not has(option, page):
                yield f'zoo {command} {option}'


def recipe_keys(_):
    page = plain('zoo-recipe.5')
    keys = set()
    for row in re.findall(r'^\| (`.*?) \|', (DOCS / 'recipe-format.md').read_text(), flags=re.M):
        keys.update(re.findall(r'`([a-z0-9_]+)', row))
    if len(keys) < 35:
        yield f'docs/recipe-format.md: only {len(keys)} keys seen'
    for key in sorted(keys):
        if not has(key, page):
            yield f'recipe key {key}'


CHECKS = [('imgtool', imgtool_commands), ('imgtool', imgtool_formats), ('emulator', emulator_options),
          ('zoo', zoo_commands), ('zoo', recipe_keys)]


def main():
    programs = Path(sys.argv[1])
    missing = [what for program, check in CHECKS for what in check(programs / program)]
    print('\n'.join(f'not in the manual pages: {what}' for what in missing) or 'all told')
    return 1 if missing else 0


if __name__ == '__main__':
    sys.exit(main())
