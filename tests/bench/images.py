#!/usr/bin/env python3
"""imgtool against qemu-img, operation by operation, run by run in turn.

  images.py [-n RUNS] [-d FOLDER] [-i IMGTOOL] [--csv FILE] [OPERATION...]

FOLDER (default: a new one in /dev/shm) needs 8 GiB. disk.raw is made in it as the benchmark kit does:
2 GiB with an ext4 file system of this machine's libraries and 128 MiB of random bytes; a file of that name
that is there already is used. Prints medians of CPU and wall seconds and peak memory of both, and
the bars that the project sets itself. What both made is compared at the end.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = 'qemu-img'


class Operation:
    def __init__(self, name, arguments, prepare=(), repeat=1, cpu=None, wall=None, rss_kib=None):
        self.name, self.arguments, self.prepare, self.repeat = name, arguments, prepare, repeat
        self.cpu, self.wall, self.rss_kib = cpu, wall, rss_kib


def remove(*names):
    return [('rm', '-f', *names)]


def operations():
    """The bars: CPU and wall as ratios to the peer, memory in KiB."""
    def quick(name, arguments, prepare=()):
        return Operation(name, arguments, prepare, repeat=1 if prepare else 40, cpu=0.3, rss_kib=4096)

    def convert(name, arguments, target, cpu, wall, rss_kib=None):
        return Operation(name, ['convert', *arguments, target], remove(target), cpu=cpu, wall=wall, rss_kib=rss_kib)

    overlay = remove('ov.qcow2') + [('cp', 'ov-base.qcow2', 'ov.qcow2')]
    own = remove('own.qcow2') + [('cp', '--reflink=auto', '--sparse=always', 'o.qcow2', 'own.qcow2')]
    huge = 'huge.qcow2'
    sparse = dict(cpu=0.5, rss_kib=65536)
    return [
        Operation('create-qcow', ['create', '-q', '-f', 'qcow', 'c.qcow', '4G'], repeat=40, cpu=0.25),
        Operation('create-qcow2', ['create', '-q', '-f', 'qcow2', 'c.qcow2', '4G'], repeat=40, cpu=0.25),
        quick('version', ['--version']),
        quick('info', ['info', 'o.qcow2']),
        quick('map', ['map', '--output=json', 'o.qcow2']),
        quick('check', ['check', 'o.qcow2']),
        quick('measure', ['measure', '-O', 'qcow2', 'disk.raw']),
        quick('snapshot', ['snapshot', '-c', 's1', 'own.qcow2'], own),
        quick('resize', ['resize', '-f', 'qcow2', 'own.qcow2', '+1G'], own),
        convert('raw-qcow2', ['-f', 'raw', '-O', 'qcow2', 'disk.raw'], 't.qcow2', 0.9, 0.6, 8192),
        convert('qcow2-raw', ['-f', 'qcow2', '-O', 'raw', 'o.qcow2'], 't.raw', 0.9, 0.6, 8192),
        convert('zlib', ['-c', '-f', 'raw', '-O', 'qcow2', 'disk.raw'], 't.qcow2', 0.25, 0.15),
        convert('zstd', ['-c', '-o', 'compression_type=zstd', '-f', 'raw', '-O', 'qcow2', 'disk.raw'],
                't.qcow2', 0.75, 0.45),
        convert('zlib-raw', ['-f', 'qcow2', '-O', 'raw', 'zlib.qcow2'], 't.raw', 0.6, 0.4),
        convert('zstd-raw', ['-f', 'qcow2', '-O', 'raw', 'zstd.qcow2'], 't.raw', 0.6, 0.4),
        Operation('compare', ['compare', '-f', 'raw', '-F', 'qcow2', 'disk.raw', 'o.qcow2'], cpu=0.8, wall=0.8),
        Operation('rebase', ['rebase', '-f', 'qcow2', '-b', '', 'ov.qcow2'], overlay, cpu=0.8, wall=0.8),
        Operation('commit', ['commit', '-q', 'ov.qcow2'], overlay, cpu=0.8, wall=0.8),
        Operation('bench-read', ['bench', '-f', 'qcow2', '-c', '100000', '-d', '64', '-s', '4096', 'own.qcow2'],
                  own, cpu=0.5),
        Operation('bench-write', ['bench', '-w', '-f', 'qcow2', '-c', '100000', '-d', '64', '-s', '4096', 'own.qcow2'],
                  own, cpu=0.5),
        Operation('bench-new', ['bench', '-w', '-f', 'qcow2', '-c', '16384', '-d', '64', '-s', '65536', 'n.qcow2'],
                  remove('n.qcow2') + [(PEER, 'create', '-q', '-f', 'qcow2', 'n.qcow2', '4G')]),
        Operation('1T-info', ['info', huge], repeat=20, **sparse),
        Operation('1T-check', ['check', huge], repeat=20, **sparse),
        Operation('1T-map', ['map', '--output=json', huge], repeat=5, **sparse),
        Operation('1T-measure', ['measure', '-O', 'qcow2', huge], repeat=5, **sparse),
        Operation('1T-convert', ['convert', '-O', 'qcow2', huge, 't.qcow2'], remove('t.qcow2'), repeat=1, **sparse),
    ]


def call(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def make_disk():
    tree = tempfile.mkdtemp(dir='.')
    try:
        shell = (f'mkdir {tree}/lib; (cd /usr/lib/x86_64-linux-gnu && tar -cf - --exclude="*.a" .) 2>/dev/null '
                 f'| head -c 1400M >{tree}.tar; tar -xf {tree}.tar -C {tree}/lib 2>/dev/null; rm -f {tree}.tar; '
                 f'head -c 128M /dev/urandom >{tree}/random; truncate -s 2G disk.raw; '
                 f'mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 -d {tree} disk.raw')
        call('sh', '-c', shell)
    finally:
        shutil.rmtree(tree)


def make_inputs():
    """All by the peer, so that nobody reads what suits him."""
    if not os.path.exists('disk.raw'):
        make_disk()
    for name, options in (('o.qcow2', []), ('zlib.qcow2', ['-c']),
                          ('zstd.qcow2', ['-c', '-o', 'compression_type=zstd'])):
        if not os.path.exists(name):
            call(PEER, 'convert', *options, '-f', 'raw', '-O', 'qcow2', 'disk.raw', name)
    if not os.path.exists('ov-base.qcow2'):
        call('cp', 'o.qcow2', 'base.qcow2')  # commit changes it
        call(PEER, 'create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', 'ov-base.qcow2')
        call('qemu-io', '-f', 'qcow2', '-c', 'write -P 5 0 256M', 'ov-base.qcow2')
    if not os.path.exists('huge.qcow2'):
        call(PEER, 'create', '-q', '-f', 'qcow2', 'huge.qcow2', '1T')
        writes = [f'-c=write -P 7 {i * 8}G 256k' for i in range(128)]
        call('qemu-io', '-f', 'qcow2', *(x for w in writes for x in w.split('=', 1)), 'huge.qcow2')
    if not os.path.exists('own.qcow2'):
        call('cp', 'o.qcow2', 'own.qcow2')


def run(spawn, tool, operation):
    for command in operation.prepare:
        call(*command)
    words = subprocess.run([spawn, str(operation.repeat), tool, *operation.arguments],
                           check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    user, system, wall = map(float, words[:3])
    if int(words[4]) != 0:
        sys.exit(f'{tool} {" ".join(operation.arguments)}: exit status {words[4]}')
    return user + system, wall, int(words[3])


def mark(value, bar):
    return '' if bar is None else f' (bar {bar:g}{"" if value <= bar else ", MISSED"})'


def measure(spawn, imgtool, operation, runs):
    rows = {imgtool: [], PEER: []}
    for i in range(runs):
        for tool in (imgtool, PEER) if i % 2 == 0 else (PEER, imgtool):
            rows[tool].append(run(spawn, tool, operation))
    ours, theirs = ([statistics.median(r[k] for r in rows[t]) for k in range(3)] for t in (imgtool, PEER))
    cpu, wall = ours[0] / max(theirs[0], 1e-6), ours[1] / max(theirs[1], 1e-6)
    rss_bar = None if operation.rss_kib is None else operation.rss_kib / 1024
    print(f'{operation.name:13} CPU {ours[0]:8.4f} / {theirs[0]:8.4f} = {cpu:4.2f}{mark(cpu, operation.cpu)}  '
          f'wall {ours[1]:8.4f} / {theirs[1]:8.4f} = {wall:4.2f}{mark(wall, operation.wall)}  '
          f'RSS MiB {ours[2] / 1024:5.1f} / {theirs[2] / 1024:5.1f}{mark(ours[2] / 1024, rss_bar)}', flush=True)
    return [operation.name, *ours, *theirs]


def check_results(imgtool):
    """The files that imgtool made must be what the peer's are."""
    for options in ([], ['-c'], ['-c', '-o', 'compression_type=zstd']):
        sizes = {}
        for tool in (imgtool, PEER):
            call('rm', '-f', 't.qcow2')
            call(tool, 'convert', *options, '-f', 'raw', '-O', 'qcow2', 'disk.raw', 't.qcow2')
            call(PEER, 'compare', '-q', '-f', 'raw', '-F', 'qcow2', 'disk.raw', 't.qcow2')
            call(PEER, 'check', '-q', 't.qcow2')
            sizes[tool] = os.stat('t.qcow2').st_size
        print(f'file size {" ".join(options) or "plain":30} {sizes[imgtool]} / {sizes[PEER]}')
    for name in ('c.qcow', 'c.qcow2'):
        call(imgtool, 'create', '-q', '-f', name.split('.')[1], name, '4G')
        print(f'file size of an empty 4 GiB {name.split(".")[1]:6} {os.stat(name).st_size}')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-n', type=int, default=3, help='runs of each (3)')
    parser.add_argument('-d', help='working folder')
    parser.add_argument('-i', default=os.path.join(HERE, '../../build/bin/imgtool'), help='the imgtool to measure')
    parser.add_argument('--csv', help='write the medians there')
    parser.add_argument('names', nargs='*')
    options = parser.parse_args()
    if shutil.which(PEER) is None:
        sys.exit('qemu-img is not installed (Debian package qemu-utils)')
    imgtool = os.path.abspath(options.i)
    csv = os.path.abspath(options.csv) if options.csv else None
    folder = options.d or tempfile.mkdtemp(dir='/dev/shm')
    try:
        os.chdir(folder)
        spawn = os.path.abspath('spawn')
        call('cc', '-O2', '-o', spawn, os.path.join(HERE, 'spawn.c'))
        make_inputs()
        rows = [measure(spawn, imgtool, o, options.n) for o in operations()
                if not options.names or o.name in options.names]
        if not options.names:
            check_results(imgtool)
        if csv:
            with open(csv, 'w', encoding='ascii') as out:
                out.writelines(','.join(map(str, row)) + '\n' for row in rows)
    finally:
        if not options.d:
            shutil.rmtree(folder)


if __name__ == '__main__':
    main()
