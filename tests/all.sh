#!/usr/bin/env bash
# Installs what the tests need (with apt, where it can) and runs them all. Prints one line per step; ends with a non-zero status at the
# first step that fails. Uses the suites in ../shared when they are there.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

# Program to look for : Debian package that has it.
needed="cc:gcc g++:g++ clang:clang nm:binutils qemu-aarch64-static:qemu-user-static qemu-x86_64-static:qemu-user-static qemu-aarch64:qemu-user aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu qemu-system-aarch64:qemu-system-arm cmake:cmake make:make lld-link:lld ld.lld:lld qemu-riscv64-static:qemu-user-static python3:python3 llvm-mca-19:llvm-19 arm-none-eabi-gcc:gcc-arm-none-eabi riscv64-unknown-elf-gcc:gcc-riscv64-unknown-elf qemu-system-arm:qemu-system-arm qemu-system-riscv32:qemu-system-misc powerpc-linux-gnu-gcc:gcc-powerpc-linux-gnu qemu-ppc-static:qemu-user-static cppcheck:cppcheck espeak-ng:espeak-ng"
missing=""
for pair in $needed; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"
done
# Clang's runtime for the thread sanitizer is a package of its own.
ls "$(clang -print-resource-dir 2>/dev/null)"/lib/*/libclang_rt.tsan*.a >/dev/null 2>&1 || missing="$missing libclang-rt-dev"
python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
    step "installing$missing"
    if ! command -v apt-get >/dev/null; then
        echo "please install:$missing" >&2
        exit 1
    fi
    as_root=""
    [ "$(id -u)" = 0 ] || as_root=sudo
    $as_root apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing libc6-dev libc6-dev-arm64-cross libc6-dev-powerpc-cross libc6-dev-i386 lib32gcc-12-dev lib32asan8 lib32ubsan1 >/dev/null
fi

step "format"
cargo fmt --all --check
step "lints"
cargo clippy --release --quiet --workspace --all-targets -- -D warnings
if command -v cargo-deny >/dev/null; then
    step "licences and sources of dependencies"
    cargo deny --log-level error check bans licenses sources
fi
# Where the suites are, no test may do without them: a name that leads nowhere would leave most of the tests out.
if [ -e ../shared ] || [ -n "${CRANELITE_SHARED:-}" ]; then
    export CRANELITE_REQUIRE_SUITES=1
else
    echo "no suites at ../shared: TensorFlow Lite's answers are not compared"
fi
step "tests"
# The same generated cases every time: without this, property tests draw others in each run, which is what one wants by hand.
export PROPTEST_RNG_SEED=1
CRANELITE_REQUIRE_TOOLS=1 cargo test --release --workspace
step "the quick tests with debug assertions and overflow checks"
cargo test --release --config tests/checked.toml --quiet -p cranelite-tile -p cranelite-graph -p cranelite-codegen -p cranelite --lib --tests
CRANELITE_FEW=1 cargo test --release --config tests/checked.toml --quiet -p cranelite-tests --test golden
# The programs in target/release are those without checks again.
cargo build --release --quiet -p cranelite -p cranelite-tests --bins
step "random models against LiteRT"
venv=target/litert
packages="ai-edge-litert numpy flatbuffers pytest opencv-python-headless pymicro-features tflite-micro"
if $venv/bin/python -c 'import pytest, cv2, tflite_micro' 2>/dev/null || {
    # shellcheck disable=SC2086
    python3 -m venv $venv && $venv/bin/pip install --quiet $packages
}; then
    $venv/bin/python tests/random_graphs/run.py --minutes 1
    step "pruned products"
    $venv/bin/python tests/sparse/run.py --quick
    step "the Python package"
    cargo build --release --quiet -p cranelite-tests -p cranelite-python --lib
    package=target/python-package
    rm -rf $package && mkdir -p $package && cp -r runtime-stub/python/cranelite $package/
    cp target/release/lib_native.so $package/cranelite/_native.abi3.so
    PYTHONPATH=$package $venv/bin/python -m pytest -q runtime-stub/python/tests
    step "bench beside LiteRT"
    CRANELITE_PYTHON=$PWD/$venv/bin/python cargo test --release --quiet -p cranelite-tests --test cli -- litert/real
    step "optimised models beside LiteRT"
    $venv/bin/python tests/optimize/run.py --quick
    step "frames of a camera beside OpenCV"
    $venv/bin/python tests/frames/run.py --quick
    step "sound beside the front ends of TensorFlow Lite Micro"
    $venv/bin/python tests/audio/run.py --quick --only c-library,tflm,wake-word
    step "compressed models beside TensorFlow Lite Micro, sparse ones beside LiteRT"
    $venv/bin/python tests/compression/run.py --quick
    step "weights that stay packed in products beside LiteRT"
    $venv/bin/python tests/compress/products.py --quick --types int8,int16x8 --numbers int4,palette --how products,smallest
else
    echo "not run: ai-edge-litert cannot be installed here"
fi
# TensorFlow is large: a machine without room or network for it still has the rest.
step "models of Keras"
keras=target/keras
if [ -x $keras/bin/tflite_convert ] || { python3 -m venv $keras && $keras/bin/pip install --quiet tensorflow-cpu pillow; }; then
    $keras/bin/python tests/convert/run.py --cranelite target/release/cranelite --quick
    step "spectra of sound beside tf.signal"
    $keras/bin/python tests/audio/run.py --quick --only tf-signal
else
    echo "not run: TensorFlow cannot be installed here"
fi
step "examples for phones"
phones=target/phones
if $phones/bin/python -c 'import tree_sitter_swift' 2>/dev/null || {
    python3 -m venv $phones && $phones/bin/pip install --quiet tree-sitter tree-sitter-kotlin tree-sitter-swift
}; then
    $phones/bin/python tests/mobile/syntax.py
else
    echo "not parsed: tree-sitter cannot be installed here"
fi
# A JDK and npm are not asked for: where both are, Kotlin's classes run.
kotlin=target/kotlin
if ! command -v javac >/dev/null || ! command -v npm >/dev/null; then
    echo "Kotlin not run, for want of a JDK or npm"
elif [ -d $kotlin/node_modules/kotlin-compiler ] || { mkdir -p $kotlin && npm install --silent --prefix $kotlin kotlin-compiler@2.4.20; }; then
    python3 tests/mobile/kotlin.py --cranelite target/release/cranelite --kotlin $kotlin/node_modules/kotlin-compiler
else
    echo "not run: Kotlin's compiler cannot be installed here"
fi
step "all passed"
