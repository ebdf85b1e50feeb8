//! An .xcframework as Xcode would take it: its list, its libraries, its headers and its module map agree, and programs for every system and
//! architecture are compiled against it and linked.
//!
//! There is no Xcode here. The list is read by Python's `plistlib`, libraries by the crate `object`; `clang` imports the module and `ld64.lld` links.

use super::failed;
use super::platforms::{APPLE, SYSTEM, apple_linker, says_platform};
use anyhow::{Context, Result, ensure};
use cranelite_tests::tools::{cranelite_in, exists, is_required, output};
use libtest_mimic::Trial;
use object::read::archive::ArchiveFile;
use object::read::macho::{FatArch, MachOFatFile32};
use object::{Architecture, Object, ObjectSymbol};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

pub fn trials() -> Vec<Trial> {
    let is_missing = !["clang", "python3"].iter().all(|t| exists(t)) || apple_linker().is_none();
    vec![Trial::test("xcframework", || framework().map_err(failed)).with_ignored_flag(is_missing && !is_required())]
}

/// The folder of each system, what the list says of it and what its library is for.
const LIBRARIES: [(&str, &str, Option<&str>, &[&str]); 3] = [
    ("ios-arm64", "ios", None, &["arm64"]),
    ("ios-arm64_x86_64-simulator", "ios", Some("simulator"), &["arm64", "x86_64"]),
    ("macos-arm64_x86_64", "macos", None, &["arm64", "x86_64"]),
];

/// In Objective-C, since C has no word for it.
const IMPORT: &str = "@import digits;\nint arena_bytes(void) { return DIGITS_ARENA_BYTES + (int)digits_model.input_count; }\n";

const MAIN: &str = r#"
#include <digits/digits.h>
static _Alignas(DIGITS_ARENA_ALIGN) unsigned char arena[DIGITS_ARENA_BYTES];
int main(void) {
    static int8_t image[64], probabilities[10];
    const digits_inputs in = {image};
    const digits_outputs out = {probabilities};
    return digits_invoke(&in, &out, arena);
}
"#;

fn framework() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits/digits.tflite");
    output(Command::new(cranelite_in(folder)?).current_dir(folder).arg("xcframework").arg(model))?;
    let framework = folder.join("digits.xcframework");
    ensure!(list(&framework)? == expected_list(), "{}", list(&framework)?);
    let mut names: Vec<_> = fs::read_dir(&framework)?.map(|e| e.map(|e| e.file_name())).collect::<Result<_, _>>()?;
    names.sort();
    ensure!(names == ["Info.plist", LIBRARIES[0].0, LIBRARIES[1].0, LIBRARIES[2].0], "{names:?}");

    fs::write(folder.join("main.c"), MAIN)?;
    fs::write(folder.join("import.m"), IMPORT)?;
    fs::create_dir_all(folder.join("usr/lib"))?;
    fs::write(folder.join("usr/lib/libSystem.tbd"), SYSTEM)?;
    for (name, system, variant, architectures) in LIBRARIES {
        let platform = [Some(system), variant].into_iter().flatten().collect::<Vec<_>>().join("-");
        let library = fs::read(framework.join(name).join("libdigits.a"))?;
        let slices = slices(&library)?;
        ensure!(
            slices.iter().map(|s| s.0).eq(architectures.iter().copied()),
            "{name}: {:?}",
            slices.iter().map(|s| s.0).collect::<Vec<_>>()
        );
        for (architecture, archive) in slices {
            is_for(archive, architecture, &platform)?;
            program(folder, name, architecture, &platform)?;
        }
    }
    Ok(())
}

/// The list as Python reads it.
fn list(framework: &Path) -> Result<Value> {
    let script = "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    let printed = output(Command::new("python3").args(["-c", script]).arg(framework.join("Info.plist")))?;
    Ok(serde_json::from_str(&printed)?)
}

fn expected_list() -> Value {
    let libraries = LIBRARIES.map(|(name, system, variant, architectures)| {
        let mut library = json!({
            "BinaryPath": "libdigits.a",
            "HeadersPath": "Headers",
            "LibraryIdentifier": name,
            "LibraryPath": "libdigits.a",
            "SupportedArchitectures": architectures,
            "SupportedPlatform": system,
        });
        if let Some(variant) = variant {
            library["SupportedPlatformVariant"] = json!(variant);
        }
        library
    });
    json!({ "AvailableLibraries": libraries, "CFBundlePackageType": "XFWK", "XCFrameworkFormatVersion": "1.0" })
}

/// The archives of a library, which is fat where there are several.
fn slices(library: &[u8]) -> Result<Vec<(&'static str, &[u8])>> {
    let name = |architecture| match architecture {
        Architecture::Aarch64 => "arm64",
        Architecture::X86_64 => "x86_64",
        _ => "another architecture",
    };
    let Ok(fat) = MachOFatFile32::parse(library) else { return Ok(vec![("arm64", library)]) };
    fat.arches().iter().map(|a| Ok((name(a.architecture()), a.data(library)?))).collect()
}

/// One object, for that machine and system, that defines what the header declares.
fn is_for(archive: &[u8], architecture: &str, platform: &str) -> Result<()> {
    let library = ArchiveFile::parse(archive)?;
    ensure!(library.symbols()?.is_some(), "the library has no table of symbols");
    let members = library.members().collect::<Result<Vec<_>, _>>()?;
    ensure!(members.iter().map(|m| m.name()).eq([b"digits.o".as_slice()]), "the library has not one object");
    let bytes = members[0].data(archive)?;
    let file = object::File::parse(bytes)?;
    let is_machine = file.architecture() == if architecture == "arm64" { Architecture::Aarch64 } else { Architecture::X86_64 };
    let defined: Vec<&str> = file.symbols().filter(|s| s.is_global() && s.is_definition()).map(|s| s.name()).collect::<Result<_, _>>()?;
    ensure!(is_machine && says_platform(bytes, platform)?, "{architecture} {platform}: the object is for something else");
    ensure!(["_digits_invoke", "_digits_model"].iter().all(|name| defined.contains(name)), "{defined:?}");
    Ok(())
}

fn program(folder: &Path, name: &str, architecture: &str, platform: &str) -> Result<()> {
    let row = APPLE.iter().find(|row| row.2 == architecture && row.3 == platform);
    let (_, clang, _, _, version) = row.context("a platform that is linked for")?;
    let library = Path::new("digits.xcframework").join(name);
    let compile = |flags: &[&str], source: &str, out: &str| {
        let warnings = ["-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-stack-protector"];
        let mut command = Command::new("clang");
        command.current_dir(folder).arg(format!("--target={clang}")).args(warnings).arg("-I").arg(library.join("Headers"));
        output(command.args(flags).args(["-c", source, "-o", out]))
    };
    compile(&["-fmodules", "-fmodules-cache-path=modules"], "import.m", "import.o")?;
    compile(&["-std=c11"], "main.c", "main.o")?;
    let mut link = Command::new(apple_linker().context("no ld64.lld")?);
    link.current_dir(folder).args(["-arch", architecture, "-platform_version", platform, version, version]);
    link.args(["-syslibroot", ".", "-fatal_warnings", "-dead_strip", "-o", "app", "main.o"]).arg("-L").arg(library);
    output(link.args(["-ldigits", "-lSystem"]))?;
    ensure!(fs::read(folder.join("app"))?.starts_with(&[0xcf, 0xfa, 0xed, 0xfe]), "not a 64-bit Mach-O image");
    Ok(())
}
