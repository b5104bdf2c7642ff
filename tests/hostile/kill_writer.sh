#!/usr/bin/env bash
# kill -9 of the emulator while its guest writes to a qcow2 disk: the image may leak clusters, but it
# opens, has no other errors, and what the guest had flushed is there.
#
#   kill_writer.sh EMULATOR IMGTOOL [ROUNDS]
#
# The guest is a boot sector of our own that writes a pattern to ever higher sectors by INT 13h.
set -euo pipefail

emulator=${1:?usage: kill_writer.sh EMULATOR IMGTOOL [ROUNDS]}
imgtool=${2:?usage: kill_writer.sh EMULATOR IMGTOOL [ROUNDS]}
rounds=${3:-6}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The boot sector. For each sector number n it fills a buffer with n and writes it to sector
# 1 + n * 131: jumping about, so that tables are allocated all the time.
cat >"$work/boot.asm" <<'ASM'
        org 0x7c00
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, 0x7c00
next:   mov di, 0x8000
        mov eax, [count]
        mov cx, 128
        cld
        rep stosd
        imul eax, 131
        inc eax
        mov [sector], eax
        mov ah, 0x43            ; extended write
        mov al, 0
        mov dl, 0x80
        mov si, packet
        int 0x13
        jc stop
        inc dword [count]
        test byte [count], 7
        jnz next
        mov dx, 0x1f6           ; FLUSH CACHE to the first drive (ATA-6, 8.11)
        mov al, 0xe0
        out dx, al
        inc dx
        mov al, 0xe7
        out dx, al
busy:   in al, dx
        test al, 0x80           ; BSY
        jnz busy
        test al, 1              ; ERR
        jnz stop
        mov al, '.'             ; all before `count` is on the disk
        out 0xe9, al
        jmp next
stop:   mov al, '!'
        out 0xe9, al
        hlt
        jmp stop
count:  dd 1
packet: db 16, 0
        dw 1, 0x8000, 0
sector: dd 0, 0
        times 510 - ($ - $$) db 0
        dw 0xaa55
ASM
nasm -f bin -o "$work/boot" "$work/boot.asm"

failed() {
    echo "FAILED round $round: $*"
    exit 1
}

total=0
for ((round = 1; round <= rounds; ++round)); do
    rm -f "$work/disk.qcow2" "$work/dots"
    truncate -s 512M "$work/raw"
    dd if="$work/boot" of="$work/raw" conv=notrunc status=none
    "$imgtool" convert -f raw -O qcow2 "$work/raw" "$work/disk.qcow2"
    "$emulator" -m 16 -display none -monitor none -serial null --free-running -boot c \
        -debugcon "file:$work/dots" -drive "file=$work/disk.qcow2,format=qcow2" \
        >"$work/out" 2>&1 </dev/null &
    pid=$!
    # Killed at another moment each round, once the guest writes.
    for _ in {1..600}; do
        [[ -s $work/dots ]] && break
        kill -0 "$pid" 2>/dev/null || failed "the emulator ended: $(tail -n 1 "$work/out")"
        sleep 0.1
    done
    sleep "0.$((RANDOM % 900 + 100))"
    kill -9 "$pid"
    wait "$pid" 2>/dev/null || true
    written=$(wc -c <"$work/dots")
    ((written > 0)) || failed "the guest wrote nothing in a minute"
    grep -q '!' "$work/dots" && failed "the guest met a disk error"
    status=0
    "$imgtool" check "$work/disk.qcow2" >"$work/check" 2>&1 || status=$?
    # 0: clean; 3: leaked clusters and nothing else.
    ((status == 0 || status == 3)) || failed "imgtool check: status $status: $(cat "$work/check")"
    "$imgtool" convert -f qcow2 -O raw "$work/disk.qcow2" "$work/back" ||
        failed "the image cannot be read"
    cmp -s -n 512 "$work/boot" "$work/back" || failed "the boot sector is not the same"
    # What was flushed is there; what came later is there or is still zero.
    python3 - "$work/back" "$written" <<'PYTHON' || failed "a sector holds something else"
import struct, sys
with open(sys.argv[1], "rb") as image:
    flushed = int(sys.argv[2]) * 8
    present = 0
    for n in range(1, flushed + 9):
        image.seek((1 + n * 131) * 512)
        data = image.read(512)
        if len(data) < 512:
            break
        if data == struct.pack("<I", n) * 128:
            present += 1
        elif n < flushed or data != bytes(512):
            sys.exit(f"write {n} of {flushed}: {data[:16].hex()}")
print(f"{flushed - 1} writes were flushed, {present} are in the image")
PYTHON
    total=$((total + written))
    echo "round $round: check status $status"
done
echo "$rounds kills, $total flushes"
