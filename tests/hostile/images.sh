#!/usr/bin/env bash
# Broken, truncated, oversized and random images for the emulator: a clear error or a guest that
# does not get far, never a crash and never a hang.
#
#   images.sh EMULATOR
#
# Exit status 1 when a run died of a signal, hung, printed a sanitizer's report, or failed without
# a word.
set -euo pipefail

emulator=${1:?usage: images.sh EMULATOR}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
readonly instructions=20000000 # a BIOS has given up or started the image by then

failures=0
runs=0

# The same "random" bytes in every run.
random_bytes() { # SEED SIZE
    openssl enc -aes-128-ctr -nosalt -K "$(printf '%032x' "$1")" -iv "$(printf '%032x' 0)" \
        </dev/zero 2>/dev/null | head -c "$2" || true
}

put() { # FILE OFFSET BYTES-AS-PRINTF
    printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# Runs the emulator; what it may end with: 0 (ran to the end) or 1, 2 with a message.
try() { # TITLE OPTION...
    local title=$1 status=0
    shift
    timeout 120 "$emulator" -m 32 -display none -monitor none -serial null --free-running \
        --stop-at "$instructions" "$@" >"$work/out" 2>&1 </dev/null || status=$?
    runs=$((runs + 1))
    local problem=
    case $status in
    0) ;;
    1 | 2) [[ -s $work/out ]] || problem="failed without a word" ;;
    124) problem="hung" ;;
    *) problem="ended with status $status" ;;
    esac
    if grep -qE 'AddressSanitizer|runtime error:|terminate called|Assertion' "$work/out"; then
        problem="reported a bug of its own"
    fi
    if [[ -n $problem ]]; then
        failures=$((failures + 1))
        echo "FAILED $title: $problem ($*)"
        tail -n 5 "$work/out"
    elif [[ -n ${VERBOSE:-} ]]; then
        echo "$status $title: $(grep -v -i warning "$work/out" | tail -n 1)"
    fi
}

bootable() { # FILE: makes the BIOS start it
    put "$1" 510 '\x55\xaa'
}

floppies() {
    local size seed=1
    for size in 0 1 511 512 513 163840 368639 737280 1474559 1474560 1474561 2949120 5000000; do
        random_bytes $((seed++)) "$size" >"$work/floppy"
        ((size >= 512)) && bootable "$work/floppy"
        try "random floppy of $size bytes" -drive "file=$work/floppy,if=floppy,format=raw" -boot a
    done
    for seed in 100 101 102 103 104 105; do
        random_bytes "$seed" 1474560 >"$work/floppy"
        bootable "$work/floppy"
        try "random floppy $seed" -drive "file=$work/floppy,if=floppy,format=raw" -boot a
    done
    try "a folder as a floppy" -drive "file=$work,if=floppy,format=raw" -boot a
    try "a floppy that is not there" -fda "$work/absent"
    try "a device as a floppy" -drive "file=/dev/zero,if=floppy,format=raw" -boot a
}

disks() {
    local size seed=200
    for size in 0 1 511 512 513 1048577 8388608; do
        random_bytes $((seed++)) "$size" >"$work/disk"
        ((size >= 512)) && bootable "$work/disk"
        try "random disk of $size bytes" -drive "file=$work/disk,format=raw" -boot c
        try "the same, format not given" -hda "$work/disk" -boot c
    done
    truncate -s 200T "$work/disk" 2>/dev/null || truncate -s 15T "$work/disk"
    bootable "$work/disk"
    try "a huge sparse disk" -drive "file=$work/disk,format=raw" -boot c
    rm -f "$work/disk"
    # A partition table that points everywhere (MBR at 446, four entries of 16 bytes).
    random_bytes 300 1048576 >"$work/disk"
    put "$work/disk" 446 '\x80\xff\xff\xff\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff'
    bootable "$work/disk"
    try "a disk whose partitions lie outside it" -drive "file=$work/disk,format=raw" -boot c
}

qcow2_images() {
    # Magic, version, then random header fields; and a good start that is cut off.
    local seed
    for seed in 400 401 402 403 404 405 406 407; do
        random_bytes "$seed" 400000 >"$work/q"
        put "$work/q" 0 'QFI\xfb\x00\x00\x00\x03'
        try "qcow2 with a random header $seed" -drive "file=$work/q,format=qcow2" -boot c
        # cluster_bits 16, size 1 MiB, no encryption, L1 of one entry somewhere
        put "$work/q" 8 '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\x10\0\0\0\0\0\0\0\0\0\x01'
        # L1 at 64 KiB, reference counts at 128 KiB, no snapshots or features, 16-bit counts
        put "$work/q" 40 '\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\x01\0\0\0\0'
        put "$work/q" 64 "$(printf '\\0%.0s' {1..32})"
        put "$work/q" 96 '\0\0\0\x04\0\0\0\x68\0\0\0\0\0\0\0\0'
        try "qcow2 with random tables $seed" -drive "file=$work/q,format=qcow2" -boot c
        put "$work/q" 65536 '\x80\0\0\0\0\x03\0\0' # L2 at 192 KiB
        try "qcow2 with a random L2 table $seed" -drive "file=$work/q,format=qcow2" -boot c
        put "$work/q" 196608 '\x80\0\0\0\0\x04\0\0' # its first cluster at 256 KiB
        put "$work/q" 131072 '\0\0\0\0\0\x05\0\0'    # counts at 320 KiB
        try "qcow2 with a random boot sector $seed" -drive "file=$work/q,format=qcow2" -boot c
        head -c $((seed * 613 % 200000)) "$work/q" >"$work/short"
        try "qcow2 cut off $seed" -drive "file=$work/short,format=qcow2" -boot c
    done
}

cds() {
    local size seed=500
    for size in 0 1 2047 2048 2049 34816 65535 1048577; do
        random_bytes $((seed++)) "$size" >"$work/iso"
        try "random CD of $size bytes" -cdrom "$work/iso" -boot d
    done
    # El Torito: boot record at sector 17, its catalogue anywhere (El Torito 1.0, figure 7).
    local sector
    for sector in '\x13\0\0\0' '\xff\xff\xff\xff' '\xff\xff\xff\x7f' '\x18\0\0\0'; do
        random_bytes 600 65536 >"$work/iso"
        put "$work/iso" 32768 '\x01CD001\x01'
        put "$work/iso" 34816 '\x00CD001\x01EL TORITO SPECIFICATION\0\0\0\0\0\0\0\0\0'
        put "$work/iso" 34887 "$sector"
        try "El Torito catalogue at $sector" -cdrom "$work/iso" -boot d
    done
    # A catalogue with its checksum right, and a boot image beyond the end.
    put "$work/iso" 34887 '\x13\0\0\0'
    head -c 2048 /dev/zero | dd of="$work/iso" bs=1 seek=38912 conv=notrunc status=none
    put "$work/iso" 38912 '\x01'
    put "$work/iso" 38940 '\xaa\x55\x55\xaa'
    put "$work/iso" 38944 '\x88\0\0\0\0\0\xff\xff\xff\xff\xff\x7f'
    try "El Torito image beyond the end" -cdrom "$work/iso" -boot d
    put "$work/iso" 38944 '\x88\x04\0\0\0\0\xff\xff\x14\0\0\0'
    try "El Torito hard disk of garbage" -cdrom "$work/iso" -boot d
}

kernels() {
    local size seed=700
    : >"$work/empty"
    for size in 0 1 511 512 1024 5120 65536 3000000; do
        random_bytes $((seed++)) "$size" >"$work/kernel"
        try "random kernel of $size bytes" -kernel "$work/kernel"
        ((size >= 1024)) || continue
        # The header of the boot protocol (Linux, Documentation/x86/boot.rst) over the garbage.
        put "$work/kernel" 510 '\x55\xaa'
        put "$work/kernel" 514 'HdrS'
        try "the same with HdrS" -kernel "$work/kernel" -initrd "$work/kernel" -append "$(printf 'x%.0s' {1..3000})"
        put "$work/kernel" 497 '\xff'         # setup_sects
        put "$work/kernel" 518 '\x0f\x02'     # version 2.15
        put "$work/kernel" 529 '\x01'         # LOADED_HIGH
        try "the same with 255 setup sectors" -kernel "$work/kernel" -initrd "$work/empty"
        put "$work/kernel" 497 '\x01'
        put "$work/kernel" 556 '\xff\xff\xff\x7f\0\x10\0\0' # initrd_addr_max, kernel_alignment
        put "$work/kernel" 600 '\0\0\0\xff\0\0\0\xff'       # pref_address, init_size
        try "the same with odd addresses" -kernel "$work/kernel" -initrd "$work/kernel"
    done
    truncate -s 3G "$work/big"
    try "an initrd larger than memory" -kernel "$work/kernel" -initrd "$work/big"
    try "a kernel larger than memory" -kernel "$work/big"
    try "a folder as a kernel" -kernel "$work"
    for size in 0 1 65535 65536 70000 131072 300000; do
        random_bytes $((seed++)) "$size" >"$work/rom"
        try "random BIOS of $size bytes" -bios "$work/rom"
    done
}

records() {
    random_bytes 900 4096 >"$work/log"
    try "a random input log" --replay "$work/log"
    try "an empty input log" --replay "$work/empty"
    try "a random script" --script "$work/log"
}

floppies
disks
qcow2_images
cds
kernels
records
echo "$runs runs, $failures failed"
((failures == 0))
