#!/usr/bin/env python3
"""Makes completions for bash, zsh and fish from what the programs' help says.

  completions.py BIN OUT

Runs imgtool, emulator and zoo of the folder BIN and writes OUT/bash/NAME, OUT/zsh/_NAME and OUT/fish/NAME.fish,
so an option that the help tells of is completed, and no other.
"""
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Option:
    names: list   # with their dashes
    value: str    # the help's word for its value; empty: it takes none
    help: str
    choices: list = field(default_factory=list)


@dataclass
class Command:
    name: str     # empty: the program itself
    help: str
    options: list
    operands: str = 'files'  # or 'recipes', 'nothing'


@dataclass
class Program:
    name: str
    commands: list  # the first has no name: what stands before any command


def told(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


def parse_options(text):
    """The rows `  -x, --name VALUE   help` of a help page."""
    options = []
    for row in re.finditer(r"^ {2,6}'?(-\S+?)'?((?:, ?'?--?[\w-]+'?)*)(?:[ =](\S+(?: \.\.\.)?))?(?: {2,}(\S.*))?$", text, re.M):
        first, more, value, told_of = row.groups()
        names = re.findall(r'--?[\w-]+', first + (more or ''))
        also = re.search(r'; also (-[\w, -]+)$', told_of or '')
        options.append(Option(names, value or '', told_of or ''))
        if also:
            options += [Option([name], value or '', told_of) for name in re.findall(r'-\w+', also[1])]
    return options


def set_choices(options, known):
    """Values that can be named: those that the help lists (a|b), and `known` for words of the help."""
    for option in options:
        word = option.value.strip('[].…')
        if word in known:
            option.choices = known[word]
        elif re.fullmatch(r'[\w-]+(\|[\w-]+)+', word):
            option.choices = word.split('|')


def names_in(text, pattern):
    return re.findall(pattern, text, re.M)


def read_imgtool(path):
    summary = told(path, '--help')
    formats = re.search(r'^Supported formats: (.*)', summary, re.M)[1].split()
    known = {'fmt': formats, 'ofmt': ['human', 'json'],
             'cache': ['none', 'off', 'writeback', 'writethrough', 'directsync', 'unsafe']}
    commands = [Command('', '', parse_options(summary[:summary.index('Command syntax')]), 'nothing')]
    for name in names_in(summary[:summary.index('Examples:')], r'^  ([a-z]+) [\[(-{f]'):
        page = told(path, name, '--help')
        options = parse_options(page.split('Examples:')[0])
        set_choices(options, known)
        commands.append(Command(name, page.split('\n')[1], options))
    return Program('imgtool', commands)


def read_emulator(path):
    options = parse_options(told(path, '-help').split('Examples:')[0])
    set_choices(options, {'MACHINE': names_in(told(path, '-M', 'help'), r'^(\w+)  '),
                          'MODEL': names_in(told(path, '-cpu', 'help'), r'^  (\S+)$')})
    for option in options:
        if '-device' in option.names:
            option.choices = names_in(told(path, '-device', 'help'), r'^  (\S+)')
    return Program('emulator', [Command('', '', options)])


def read_zoo(path):
    def page_of(*command):
        return told(path, *command, '--help').split('Exit status')[0]
    summary = page_of()
    commands = [Command('', '', parse_options(summary.split('Subcommands:')[0]), 'nothing')]
    for name, help_text in re.findall(r'^  ([a-z]+) {2,}(.*)', summary.split('Subcommands:')[1], re.M):
        page = page_of(name)
        named = re.search(r'^Usage: .*\bNAME\b', page, re.M)
        filed = re.search(r'^Usage: .*\bFILE\b', page, re.M)
        operands = 'recipes' if named else 'files' if filed else 'nothing'
        commands.append(Command(name, help_text, parse_options(page), operands))
    return Program('zoo', commands)


RECIPES = '''zoo list --json 2>/dev/null | sed -n 's/^ *"id": "\\(.*\\)",$/\\1/p\''''
HEAD = '# Completes the command line of {}; made from its --help by cmake/completions.py.\n'


def bash_script(program):
    lines = [HEAD.format(program.name), f'_{program.name}() {{',
             '    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=""',
             '    # bash takes --option=value for three words.',
             '    if [[ $current == = ]]; then',
             '        current=""',
             '    elif [[ $previous == = ]]; then',
             '        previous=${COMP_WORDS[COMP_CWORD - 2]}',
             '    fi']
    named = [c.name for c in program.commands if c.name]
    if named:
        lines += ['    local word', '    for word in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do',
                  '        case $word in', f'        {" | ".join(named)})',
                  '            command=$word', '            break', '            ;;', '        esac', '    done']
    lines += ['    COMPREPLY=()', '    case "$command $previous" in']
    for command in program.commands:
        for option in command.options:
            if not option.value:
                continue
            patterns = ' | '.join(f'"{command.name} {name}"' for name in option.names)
            words = f'mapfile -t COMPREPLY < <(compgen -W "{" ".join(option.choices)}" -- "$current")'
            lines += [f'    {patterns})', f'        {words if option.choices else ": a file, or whatever it is"}',
                      '        return', '        ;;']
    lines += ['    esac', '    case $command in']
    for command in reversed(program.commands):
        options = ' '.join(name for option in command.options for name in option.names)
        lines.append(f'    {command.name or "*"})')
        if not command.name and named:
            options = ' '.join(named) + ' ' + options
            lines.append(f'        mapfile -t COMPREPLY < <(compgen -W "{options}" -- "$current")')
        else:
            lines += ['        if [[ $current == -* ]]; then',
                      f'            mapfile -t COMPREPLY < <(compgen -W "{options}" -- "$current")']
            if command.operands == 'recipes':
                lines += ['        else',
                          f'            mapfile -t COMPREPLY < <(compgen -W "$({RECIPES})" -- "$current")']
            lines.append('        fi')
        lines.append('        ;;')
    lines += ['    esac', '}', f'complete -o default -F _{program.name} {program.name}', '']
    return '\n'.join(lines)


def zsh_quoted(text):
    return re.sub(r'([\[\]:\\])', r'\\\1', text).replace("'", "'\\''")


def zsh_options(command):
    for option in command.options:
        value = ''
        if option.value:
            action = f'({" ".join(option.choices)})' if option.choices else '_files'
            value = f':{zsh_quoted(option.value)}:{action}'
        for name in option.names:
            yield f"'*{name}[{zsh_quoted(option.help)}]{value}'"


def zsh_script(program):
    lines = [f'#compdef {program.name}', HEAD.format(program.name)]
    named = [c for c in program.commands if c.name]
    files = {'files': "'*:file:_files'", 'recipes': "'*:recipe:_zoo_recipes'", 'nothing': ''}
    if any(c.operands == 'recipes' for c in program.commands):
        lines += ['_zoo_recipes() {', '    local -a recipes', f'    recipes=(${{(f)"$({RECIPES})"}})',
                  "    _describe recipe recipes", '}', '']
    if not named:
        options = list(zsh_options(program.commands[0])) + [files['files']]
        return '\n'.join(lines + ['_arguments -S \\', '    ' + ' \\\n    '.join(options), ''])
    lines += ['local context state state_descr line', 'typeset -A opt_args', 'local -a commands', 'commands=(']
    lines += [f"    '{c.name}:{zsh_quoted(c.help)}'" for c in named]
    lines += [')', '_arguments -C \\']
    lines += [f'    {option} \\' for option in zsh_options(program.commands[0])]
    lines += ["    '1:command:->command' \\", "    '*::argument:->argument'", 'case $state in', 'command)',
              '    _describe command commands', '    ;;', 'argument)', '    case $line[1] in']
    for command in named:
        options = [part for part in [*zsh_options(command), files[command.operands]] if part]
        lines += [f'    {command.name})', '        _arguments -S \\',
                  '            ' + ' \\\n            '.join(options), '        ;;']
    return '\n'.join(lines + ['    esac', '    ;;', 'esac', ''])


def fish_quoted(text):
    return "'" + text.replace('\\', '\\\\').replace("'", "\\'") + "'"


def fish_flag(name):
    kind = '-l' if name.startswith('--') else '-s' if len(name) == 2 else '-o'
    return f'{kind} {name.lstrip("-")}'


def fish_script(program):
    lines = [HEAD.format(program.name)]
    named = [c for c in program.commands if c.name]
    start = 'complete -c ' + program.name
    for command in named:
        lines.append(f'{start} -n __fish_use_subcommand -f -a {command.name} -d {fish_quoted(command.help)}')
    for command in program.commands:
        where = ''
        if named:
            where = (f" -n '__fish_seen_subcommand_from {command.name}'" if command.name
                     else ' -n __fish_use_subcommand')
        for option in command.options:
            flags = ' '.join(fish_flag(name) for name in option.names)
            value = ''
            if option.value:
                value = f' -x -a {fish_quoted(" ".join(option.choices))}' if option.choices else ' -r'
            lines.append(f'{start}{where} {flags}{value} -d {fish_quoted(option.help)}')
        if command.operands == 'recipes':
            lines.append(f'{start}{where} -f -a {fish_quoted("(" + RECIPES + ")")}')
    return '\n'.join(lines + [''])


def main():
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    for read, name in ((read_imgtool, 'imgtool'), (read_emulator, 'emulator'), (read_zoo, 'zoo')):
        program = read(str(folder / name))
        for place, script in ((f'bash/{name}', bash_script), (f'zsh/_{name}', zsh_script),
                              (f'fish/{name}.fish', fish_script)):
            (out / place).parent.mkdir(parents=True, exist_ok=True)
            (out / place).write_text(script(program))


if __name__ == '__main__':
    main()
