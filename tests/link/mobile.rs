//! The examples for phones as they would be built with an SDK: Android's library by its own CMakeLists.txt, and what Swift sees of the model.
//!
//! There is no SDK here. CMake is told that the system is Android, as the NDK's toolchain tells it; clang and `ld.lld` are those of Debian, and the
//! library of C is Linux's. `examples/android/host` stands in for Java: it runs the library, on Arm under qemu-user.

use super::failed;
use super::platforms::is_for_pages;
use anyhow::{Context, Result, ensure};
use cranelite_tests::tools::{MACHINES, Machine, cranelite_in, exists, is_required, output};
use libtest_mimic::Trial;
use object::{Architecture, Object, ObjectSymbol};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Machines of ours that have the NDK's names of processors.
const PROCESSORS: [&str; 2] = ["x86_64", "aarch64"];

/// As the NDK's toolchain has it, but for the sysroot, which is Linux's.
const AS_ANDROID: [&str; 4] = [
    "-DCMAKE_SYSTEM_NAME=Android",
    "-DCMAKE_SYSTEM_VERSION=1",
    "-DCMAKE_FIND_ROOT_PATH=/nowhere",
    "-DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=ONLY",
];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![];
    for machine in MACHINES.iter().filter(|m| PROCESSORS.contains(&m.name)) {
        let is_missing = machine.is_to_be_ignored() || !["cmake", "make", "clang", "ld.lld"].iter().all(|t| exists(t)) && !is_required();
        let trial = Trial::test(format!("mobile/android/{}", machine.name), move || android(machine).map_err(failed));
        trials.push(trial.with_ignored_flag(is_missing));
    }
    let is_missing = !exists("gcc") && !is_required();
    trials.push(Trial::test("mobile/android/sanitizers", || sanitizers().map_err(failed)).with_ignored_flag(is_missing));
    trials.push(Trial::test("mobile/ios", || swift().map_err(failed)));
    trials
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// The library is for Android's newer pages, offers what Kotlin declares and nothing else, and tells the same as the program of `examples/gesture`.
fn android(machine: &Machine) -> Result<()> {
    let processor = machine.name;
    let folder = tempfile::tempdir()?;
    let (folder, android) = (folder.path(), examples().join("android"));
    let host = android.join("host");
    let cranelite = cranelite_in(folder)?;
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(android.join("app/src/main/cpp")).arg("-B").arg(folder).args(AS_ANDROID);
    configure.arg(format!("-DCMAKE_SYSTEM_PROCESSOR={processor}")).arg(format!("-DCRANELITE_EXECUTABLE={}", cranelite.display()));
    configure.arg("-DCMAKE_C_COMPILER=clang").arg(format!("-DCMAKE_C_COMPILER_TARGET={processor}-linux-gnu"));
    configure.arg(format!("-DCMAKE_C_FLAGS=-Wall -Wextra -Werror -pedantic -I{}", host.display()));
    configure.arg("-DCMAKE_SHARED_LINKER_FLAGS=-fuse-ld=lld -Wl,--fatal-warnings -Wl,-z,text");
    output(&mut configure)?;
    let built = output(Command::new("cmake").arg("--build").arg(folder))?;
    let triple = format!("{processor}-linux-android");
    ensure!(built.contains(&triple), "the model is not for {triple}:\n{built}");

    let library = fs::read(folder.join("libgesture_jni.so"))?;
    let file = object::File::parse(&*library)?;
    let is_machine = file.architecture() == if processor == "aarch64" { Architecture::Aarch64 } else { Architecture::X86_64 };
    ensure!(is_machine && is_for_pages(&library)?, "{processor}: not for pages of 16 KiB, or for another machine");
    let offered: BTreeSet<String> =
        file.dynamic_symbols().filter(|s| s.is_definition()).map(|s| Ok(s.name()?.to_string())).collect::<Result<_>>()?;
    let declared = declared(&android)?;
    ensure!(offered == declared, "offered: {offered:?}, declared: {declared:?}");

    let mut link = Command::new(machine.compiler);
    link.args(["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"]).arg(&host).arg(host.join("main.c"));
    link.arg("-L").arg(folder).args(["-lgesture_jni", "-Wl,-rpath"]).arg(format!("-Wl,{}", folder.display()));
    output(link.arg("-o").arg(folder.join("host")))?;
    tells_as_the_example(&output(machine.run(&folder.join("host")).arg(examples().join("gesture/recording.csv")))?)
}

/// The functions that the Kotlin class has from C, as JNI names them.
fn declared(android: &Path) -> Result<BTreeSet<String>> {
    let kotlin = fs::read_to_string(android.join("app/src/main/kotlin/com/example/gesture/GestureReader.kt"))?;
    let names = kotlin.split("external fun ").skip(1).filter_map(|text| text.split('(').next());
    let declared: BTreeSet<String> = names.map(|name| format!("Java_com_example_gesture_GestureReader_{name}")).collect();
    ensure!(!declared.is_empty(), "the Kotlin class has no functions from C");
    Ok(declared)
}

/// What the stand-in for Java printed: the gestures of the recording, and an exception for each call that is wrong.
fn tells_as_the_example(printed: &str) -> Result<()> {
    let readme = fs::read_to_string(examples().join("gesture/README.md"))?;
    let expected: Vec<&str> = readme.lines().filter(|l| l.contains(" s  ")).map(str::trim).collect();
    let told: Vec<&str> = printed.lines().filter(|l| l.contains(" s  ")).map(str::trim).collect();
    ensure!(10 < told.len() && told == expected, "{printed}");
    let calls: Vec<&str> = printed.lines().skip_while(|l| !l.starts_with("closed:")).collect();
    let is_refused = |line: &&&str| line.contains(": java/lang/Illegal");
    ensure!(calls.iter().filter(is_refused).count() == 8 && calls.len() == 9, "{printed}");
    ensure!(calls.contains(&"as it should be: nothing was thrown"), "{printed}");
    Ok(())
}

/// The same with what watches for reads and writes beside buffers.
fn sanitizers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (folder, android) = (folder.path(), examples().join("android"));
    let gesture = examples().join("gesture");
    let mut compile = Command::new(cranelite_in(folder)?);
    compile.arg("compile").arg(gesture.join("gesture.tflite")).arg("--pipeline").arg(gesture.join("gesture.toml"));
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    output(compile.args(["--target", &target, "-o"]).arg(folder))?;
    let mut link = Command::new("gcc");
    link.current_dir(folder).args([
        "-std=gnu11",
        "-g",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover",
    ]);
    link.args(["-I.", "-I"]).arg(android.join("host")).arg(android.join("host/main.c"));
    output(link.arg(android.join("app/src/main/cpp/gesture_jni.c")).args(["gesture.o", "-o", "host"]))?;
    tells_as_the_example(&output(Command::new("./host").current_dir(folder).arg(gesture.join("recording.csv")))?)
}

/// Every name of the model's that the Swift code uses is in the header of every architecture.
fn swift() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (folder, gesture) = (folder.path(), examples().join("gesture"));
    let mut make = Command::new(cranelite_in(folder)?);
    make.current_dir(folder).arg("xcframework").arg(gesture.join("gesture.tflite"));
    output(make.arg("--pipeline").arg(gesture.join("gesture.toml")))?;
    let swift = fs::read_to_string(examples().join("ios/Sources/GestureReader/GestureReader.swift"))?;
    let is_ours = |word: &&str| ["gesture_", "GESTURE_", "cranelite_", "CRANELITE_"].iter().any(|p| word.starts_with(p));
    let used: BTreeSet<&str> = words(&swift).filter(is_ours).collect();
    ensure!(used.contains("gesture_run") && used.contains("GESTURE_ARENA_BYTES"), "{used:?}");
    // The structure of inputs is made with the names of its fields.
    let fields = swift.split_once("gesture_inputs(").and_then(|(_, text)| text.split_once(')')).context("the inputs are made nowhere")?.0;
    let fields: Vec<_> = fields.split(", ").filter_map(|field| field.split(':').next()).map(|name| format!("*{name};")).collect();
    for (library, header) in [
        ("ios-arm64", "gesture.h"),
        ("ios-arm64_x86_64-simulator", "gesture-arm64.h"),
        ("ios-arm64_x86_64-simulator", "gesture-x86_64.h"),
        ("macos-arm64_x86_64", "gesture-arm64.h"),
        ("macos-arm64_x86_64", "gesture-x86_64.h"),
    ] {
        let path = folder.join("gesture.xcframework").join(library).join("Headers/gesture").join(header);
        let header = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let known: BTreeSet<&str> = words(&header).collect();
        let unknown: Vec<_> = used.difference(&known).collect();
        ensure!(unknown.is_empty(), "{library}: the header has no {unknown:?}");
        let inputs = header.split_once("} gesture_inputs;").context("the header has no inputs")?.0;
        let inputs = inputs.rsplit("typedef struct {").next().unwrap_or_default();
        ensure!(
            fields.iter().all(|f| inputs.contains(f)) && inputs.matches(';').count() == fields.len(),
            "{library}: {fields:?}, but {inputs}"
        );
    }
    Ok(())
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty())
}
