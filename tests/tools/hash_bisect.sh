#!/usr/bin/env bash
# Finds the first guest instruction after which two ways to run one machine differ.
#
#   hash_bisect.sh EMULATOR LOW HIGH 'OPTIONS OF WAY A' 'OPTIONS OF WAY B' COMMON OPTION...
#
# The state hashes must be the same at LOW and differ at HIGH. Prints the last instruction count
# with equal hashes; with a third line per way, what `--state-dump` says differs one later.
set -euo pipefail

if (($# < 6)); then
    sed -n '2,7p' "$0" >&2
    exit 2
fi
emulator=$1 low=$2 high=$3
read -ra way_a <<<"$4"
read -ra way_b <<<"$5"
shift 5
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

hash_at() { # INSTRUCTIONS OPTION...
    local count=$1
    shift
    "$emulator" --stop-at "$count" --state-hash "$@" 2>/dev/null |
        sed -n 's/^state-hash //p'
}

same_at() { # INSTRUCTIONS COMMON...
    local count=$1 a b
    shift
    a=$(hash_at "$count" "$@" "${way_a[@]}")
    b=$(hash_at "$count" "$@" "${way_b[@]}")
    [[ -n $a && -n $b ]] || { echo "hash_bisect: no hash at $count" >&2; exit 2; }
    [[ $a == "$b" ]]
}

same_at "$low" "$@" || { echo "hash_bisect: already different at $low" >&2; exit 1; }
if same_at "$high" "$@"; then
    echo "hash_bisect: still the same at $high" >&2
    exit 1
fi
while ((high - low > 1)); do
    middle=$(((low + high) / 2))
    if same_at "$middle" "$@"; then low=$middle; else high=$middle; fi
done
echo "same at $low, different at $high"
for at in "$low" "$high"; do
    for way in a b; do
        declare -n options="way_$way"
        "$emulator" --stop-at "$at" --state-dump "$folder/$at.$way" "$@" "${options[@]}" \
            >/dev/null 2>&1 || true
    done
done
echo "--- way A ($4) and way B ($5) after instruction $high"
diff -U1 "$folder/$high.a" "$folder/$high.b" || true
echo "--- what instruction $high changed in way A"
diff -U0 "$folder/$low.a" "$folder/$high.a" || true
