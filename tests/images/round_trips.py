#!/usr/bin/env python3
"""Every writable format into every other, plain and compressed, by imgtool and by qemu-img in turn.

  round_trips.py IMGTOOL [--full]

A disk with an MBR, an ext4 and a FAT file system is stored in each format by one of the tools, converted to
each other format by imgtool, and back to raw by the other tool; contents must be equal, and check of both
must find nothing. Without qemu-img the exit status is 77: skipped. --full uses a larger disk.
"""
import itertools
import os
import shutil
import struct
import subprocess
import sys
import tempfile

PEER = 'qemu-img'
SECRET = ['--object', 'secret,id=key,data=correct horse']

# name, format, options of create, whether it can be compressed
FORMATS = [
    ('raw', 'raw', '', False),
    ('qcow', 'qcow', '', True),
    ('qcow2', 'qcow2', '', True),
    ('qcow2-v2', 'qcow2', 'compat=0.10,cluster_size=4k', True),
    ('qcow2-sub', 'qcow2', 'extended_l2=on', True),
    ('qcow2-zstd', 'qcow2', 'compression_type=zstd,refcount_bits=1', True),
    ('qed', 'qed', '', False),
    ('vdi', 'vdi', '', False),
    ('vdi-static', 'vdi', 'static=on', False),
    ('vpc', 'vpc', 'force_size=on', False),
    ('vpc-fixed', 'vpc', 'subformat=fixed,force_size=on', False),
    ('vhdx', 'vhdx', '', False),
    ('vhdx-fixed', 'vhdx', 'subformat=fixed', False),
    ('vmdk', 'vmdk', '', False),
    ('vmdk-flat', 'vmdk', 'subformat=monolithicFlat', False),
    ('vmdk-2g', 'vmdk', 'subformat=twoGbMaxExtentSparse', False),
    ('vmdk-2g-flat', 'vmdk', 'subformat=twoGbMaxExtentFlat', False),
    ('vmdk-stream', 'vmdk', 'subformat=streamOptimized', True),
    ('parallels', 'parallels', '', False),
    ('luks', 'luks', 'key-secret=key,iter-time=10', False),
]

failures = []


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def need(what, *command):
    done = run(*command)
    if done.returncode != 0:
        failures.append(f'{what}: {" ".join(command)}: exit status {done.returncode}\n{done.stdout}')
    return done.returncode == 0


def make_disk(path, mib):
    tree = tempfile.mkdtemp(dir='.')
    for folder in ('/usr/share/doc', '/usr/include'):
        if os.path.isdir(folder):
            run('sh', '-c', f'cd {folder} && find . -type f -size -200k | head -n 150 | tar -cf - -T - | tar -xf - -C {os.path.abspath(tree)}')
    with open(os.path.join(tree, 'random'), 'wb') as out:
        out.write(os.urandom(3 << 20))
    half = mib // 2
    run('truncate', '-s', f'{half - 1}M', 'ext4')
    run('mkfs.ext4', '-q', '-F', '-d', tree, 'ext4')
    run('truncate', '-s', f'{half}M', 'fat')
    run('mkfs.vfat', 'fat')
    run('truncate', '-s', f'{mib}M', path)
    table = b''.join(struct.pack('<B3xB3xII', 0, kind, begin * 2048, length * 2048)
                     for kind, begin, length in ((0x83, 1, half - 1), (0x0c, half, half)))
    with open(path, 'r+b') as disk:
        disk.seek(446)
        disk.write(table.ljust(64, b'\0') + b'\x55\xaa')
    run('dd', 'if=ext4', f'of={path}', 'bs=1M', 'seek=1', 'conv=notrunc,sparse')
    run('dd', 'if=fat', f'of={path}', 'bs=1M', f'seek={half}', 'conv=notrunc,sparse')
    shutil.rmtree(tree)


def convert(tool, what, source_entry, path, target_entry, target, packed):
    _, fmt, _, _ = source_entry
    _, target_fmt, options, _ = target_entry
    command = [tool, 'convert']
    if 'luks' in (fmt, target_fmt):
        command += SECRET
    if packed:
        command.append('-c')
    if fmt == 'luks':
        command += ['--image-opts']
        path = f'driver=luks,key-secret=key,file.filename={path}'
    else:
        command += ['-f', fmt]
    command += ['-O', target_fmt]
    if options:
        command += ['-o', options]
    return need(what, *command, path, target)


def check(imgtool, what, entry, path):
    fmt = entry[1]
    for tool in (imgtool, PEER) if fmt != 'luks' else (imgtool,):  # the peer cannot without the key
        done = run(tool, 'check', '-f', fmt, path)
        if done.returncode not in (0, 63):
            failures.append(f'{what}: {tool} check: exit status {done.returncode}\n{done.stdout}')


def compare(tool, what, disk, entry, path):
    if entry[1] == 'luks':
        need(what, tool, 'compare', *SECRET, '--image-opts', f'driver=raw,file.filename={disk}',
             f'driver=luks,key-secret=key,file.filename={path}')
    else:
        need(what, tool, 'compare', '-f', 'raw', '-F', entry[1], disk, path)


def main():
    imgtool = os.path.abspath(sys.argv[1])
    os.environ['PATH'] += ':/usr/sbin:/sbin'  # mkfs.ext4 is not on every user's path
    missing = [tool for tool in (PEER, 'mkfs.ext4', 'mkfs.vfat') if shutil.which(tool) is None]
    if missing:
        print(f'skipped: {", ".join(missing)} not installed')
        return 77
    folder = tempfile.mkdtemp()
    done = 0
    try:
        os.chdir(folder)
        make_disk('disk.raw', 512 if '--full' in sys.argv else 24)
        for index, entry in enumerate(FORMATS):
            # qemu-img measures the host's speed when it makes LUKS, and at random fails to.
            maker = imgtool if index % 2 == 0 or entry[1] == 'luks' else PEER
            if not convert(maker, f'raw -> {entry[0]}', FORMATS[0], 'disk.raw', entry, 'a', False):
                continue
            check(imgtool, f'raw -> {entry[0]}', entry, 'a')
            compare(PEER, f'raw -> {entry[0]}', 'disk.raw', entry, 'a')
            compare(imgtool, f'raw -> {entry[0]}', 'disk.raw', entry, 'a')
            for target, packed in itertools.product(FORMATS, (False, True)):
                if packed and not target[3]:
                    continue
                what = f'{entry[0]} -> {target[0]}{" -c" if packed else ""}'
                # Each direction is gone by each tool over the whole table.
                tool = PEER if (index + FORMATS.index(target)) % 4 == 3 else imgtool
                if (packed and target[0] == 'qcow') or target[0] == 'luks':
                    tool = imgtool  # qemu-img 7.2 fails there, or does at random
                if convert(tool, f'{what} by {os.path.basename(tool)}', entry, 'a', target, 'b', packed):
                    check(imgtool, what, target, 'b')
                    compare(imgtool if tool == PEER else PEER, what, 'disk.raw', target, 'b')
                    done += 1
                run('sh', '-c', 'rm -f b b-* b.*')
            run('sh', '-c', 'rm -f a a-* a.*')
    finally:
        shutil.rmtree(folder)
    print(f'{done} conversions, {len(failures)} failures')
    for failure in failures[:40]:
        print(failure)
    return 1 if failures else 0


sys.exit(main())
