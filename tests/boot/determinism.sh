#!/usr/bin/env bash
# One machine, run in every way there is, must be in the same state after the same instruction.
#
#   determinism.sh EMULATOR [--full] [MEDIA FOLDER]
#
# Runs FreeDOS from a floppy, BasicLinux from an IDE disk and Debian's kernel by -kernel to several
# instruction counts: twice, in each tier, with small code caches, paced, beside a loaded host
# (--full), and records runs with keys typed that must replay to the same state. Media that are
# absent are skipped with a message; exit status 77 when none was there, 1 when hashes differ.
# Media folder: the argument, else $MENAGERIE_MEDIA; it has freedos722.img, basiclinux.img,
# vmlinuz, initrd. Else objects are looked up by digest in $ZOO_MIRROR and in zoo's store.
set -euo pipefail

emulator=${1:?usage: determinism.sh EMULATOR [--full] [MEDIA FOLDER]}
shift
full=0
if [[ ${1:-} == --full ]]; then
    full=1
    shift
fi
media=${1:-${MENAGERIE_MEDIA:-}}
work=$(mktemp -d)
helpers=()
cleanup() {
    ((${#helpers[@]} == 0)) || kill "${helpers[@]}" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

failures=0
runs=0

# Prints the path of a medium; fails when it is not to be found.
find_medium() { # NAME SHA-256
    local name=$1 digest=$2 folder
    if [[ -n $media && -f $media/$name ]]; then
        echo "$media/$name"
        return
    fi
    for folder in "${ZOO_MIRROR:-/nonexistent}" "${XDG_DATA_HOME:-$HOME/.local/share}/zoo/store"; do
        if [[ -f $folder/sha256/$digest ]]; then
            echo "$folder/sha256/$digest"
            return
        elif [[ -f $folder/sha256/$digest.zst ]] && command -v zstd >/dev/null; then
            zstd -qdf "$folder/sha256/$digest.zst" -o "$work/$name"
            echo "$work/$name"
            return
        fi
    done
    return 1
}

# The state hash of a run.
state_hash() {
    timeout 600 "$emulator" --state-hash "$@" 2>"$work/errors" </dev/null |
        sed -n 's/^state-hash //p' || true
}

# Runs a machine to one count in a given way and compares with what was expected.
expect_hash() { # HASH TITLE OPTION...
    local wanted=$1 title=$2 got
    shift 2
    got=$(state_hash "$@")
    runs=$((runs + 1))
    if [[ -z $got ]]; then
        echo "FAILED  $title: no hash: $(tail -n 1 "$work/errors")"
        failures=$((failures + 1))
    elif [[ $got != "$wanted" ]]; then
        echo "DIFFERS $title: $got, not $wanted"
        echo "        find where with tests/tools/hash_bisect.sh: $*"
        failures=$((failures + 1))
    fi
}

# The same machine in all ways.
check_machine() { # NAME COUNT OPTION...
    local name=$1 count=$2 first title
    shift 2
    local machine=("$@" --stop-at "$count")
    title="$name at $count"
    first=$(state_hash "${machine[@]}")
    if [[ -z $first ]]; then
        echo "FAILED  $title: no hash: $(tail -n 1 "$work/errors")"
        failures=$((failures + 1))
        return
    fi
    expect_hash "$first" "$title, second run" "${machine[@]}"
    expect_hash "$first" "$title, tier 0" "${machine[@]}" --tier 0
    expect_hash "$first" "$title, tier 1" "${machine[@]}" --tier 1
    expect_hash "$first" "$title, code cache 1M" "${machine[@]}" --code-cache 1M
    expect_hash "$first" "$title, code cache 256k" "${machine[@]}" --tier 1 --code-cache 256k
    expect_hash "$first" "$title, paced" "${machine[@]}" --paced
    if ((full)); then
        for _ in 1 2 3 4; do
            sha256sum /dev/zero &
            helpers+=($!)
        done
        expect_hash "$first" "$title, loaded host" "${machine[@]}"
        expect_hash "$first" "$title, loaded host, paced" "${machine[@]}" --paced
        kill "${helpers[@]}" 2>/dev/null || true
        wait "${helpers[@]}" 2>/dev/null || true
        helpers=()
    fi
    echo "$title: $first"
}

# Keys typed by hand (through the monitor, at whatever time it happens) are recorded; the log
# replays to the same state in every tier.
check_replay() { # NAME COUNT OPTION...
    local name=$1 count=$2 log=$work/input.log title key first
    shift 2
    title="$name at $count, keys recorded"
    rm -f "$log"
    rm -f "$work/keys"
    mkfifo "$work/keys"
    exec 7<>"$work/keys" # open for reading too: the monitor never sees an end
    timeout 600 "$emulator" "$@" --stop-at "$count" --state-hash --paced --record "$log" \
        -monitor stdio <"$work/keys" >"$work/output" 2>"$work/errors" 7<&- &
    local running=$!
    for key in d i r ret v e r ret; do
        sleep 0.3
        echo "sendkey $key" >&7
    done
    wait "$running" || true
    exec 7<&-
    first=$(sed -n 's/^.*state-hash //p' "$work/output")
    if [[ -z $first ]]; then
        echo "FAILED  $title: no hash: $(tail -n 1 "$work/errors")"
        failures=$((failures + 1))
        return
    fi
    local replay=("$@" -monitor none --stop-at "$count" --replay "$log")
    expect_hash "$first" "$title, replayed" "${replay[@]}"
    expect_hash "$first" "$title, replayed in tier 0" "${replay[@]}" --tier 0
    expect_hash "$first" "$title, replayed in tier 1" "${replay[@]}" --tier 1 --code-cache 256k
    expect_hash "$first" "$title, replayed paced" "${replay[@]}" --paced
    if [[ $first == "$(state_hash "$@" -monitor none --stop-at "$count")" ]]; then
        echo "FAILED  $title: the keys made no difference"
        failures=$((failures + 1))
    fi
    echo "$title: $first"
}

counts=(1000000 50000000)
((full)) && counts+=(300000000 1000000000)
machines=0

if floppy=$(find_medium freedos722.img \
    6c7b3c62823d538e20797fecae6dc55d2572455791a573a7de2cdba0b583f6be); then
    machines=$((machines + 1))
    options=(-m 16 -snapshot -drive "file=$floppy,if=floppy,format=raw" -boot a -monitor none)
    for count in "${counts[@]}"; do
        check_machine FreeDOS "$count" "${options[@]}"
    done
    check_replay FreeDOS 600000000 "${options[@]:0:7}" --ips 200000000
else
    echo "SKIPPED FreeDOS: its floppy is not here"
fi
if disk=$(find_medium basiclinux.img \
    4ce113eb302fca84d917abb2f1177b403c483754b51182150c037227eaef0d8d); then
    machines=$((machines + 1))
    options=(-m 64 -snapshot -drive "file=$disk,format=raw" -boot c -monitor none)
    for count in "${counts[@]}"; do
        check_machine BasicLinux "$count" "${options[@]}"
    done
else
    echo "SKIPPED BasicLinux: its disk is not here"
fi
if [[ -n $media && -f $media/vmlinuz && -f $media/initrd ]]; then
    machines=$((machines + 1))
    options=(-m 128 -kernel "$media/vmlinuz" -initrd "$media/initrd" -append console=ttyS0
        -serial null -monitor none)
    for count in "${counts[@]}"; do
        check_machine Linux "$count" "${options[@]}"
    done
else
    echo "SKIPPED Linux: no vmlinuz and initrd in the media folder"
fi

((machines > 0)) || exit 77
echo "$runs runs compared, $failures failed"
((failures == 0))
