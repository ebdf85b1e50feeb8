//! An .xcframework: libraries of one model for several of Apple's systems, their headers with a module map, and a list of them all.
//!
//! Not what is compiled for which system and written where (that is `cli/xcframework.rs`). The ideas: a system has one library, which is fat where it runs on several
//! architectures; header and module map are in a folder of the model's name, so that frameworks of several models do not meet where a build copies their
//! headers; and an `import` finds them there.
//!
//! Layout, for a model `kws`:
//!
//! ```text
//! kws.xcframework/
//!     Info.plist
//!     ios-arm64/libkws.a
//!     ios-arm64/Headers/kws/kws.h, module.modulemap
//!     ios-arm64_x86_64-simulator/...
//!     macos-arm64_x86_64/...
//! ```

use ar_archive_writer::{ArchiveKind, DEFAULT_OBJECT_READER, NewArchiveMember, write_archive_to_stream};
use clap::ValueEnum;
use object::macho;
use std::fmt::Write;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

/// The file that says what the others are.
pub const LIST: &str = "Info.plist";

/// A system that a library is for
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Platform {
    /// iPhone and iPad
    Ios,
    /// The simulator of both, on Macs of either kind
    IosSimulator,
    /// Macs of either kind
    Macos,
}

impl Platform {
    pub const ALL: [Platform; 3] = [Platform::Ios, Platform::IosSimulator, Platform::Macos];

    /// What it runs on, and the triples of that.
    pub fn triples(self) -> &'static [(Architecture, &'static str)] {
        use Architecture::{Arm64, X86_64};
        match self {
            Platform::Ios => &[(Arm64, "aarch64-apple-ios")],
            Platform::IosSimulator => &[(Arm64, "aarch64-apple-ios-sim"), (X86_64, "x86_64-apple-ios")],
            Platform::Macos => &[(Arm64, "aarch64-apple-darwin"), (X86_64, "x86_64-apple-darwin")],
        }
    }

    /// The system, and which variant of it.
    fn names(self) -> (&'static str, Option<&'static str>) {
        match self {
            Platform::Ios => ("ios", None),
            Platform::IosSimulator => ("ios", Some("simulator")),
            Platform::Macos => ("macos", None),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Architecture {
    #[value(name = "arm64")]
    Arm64,
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    fn name(self) -> &'static str {
        match self {
            Architecture::Arm64 => "arm64",
            Architecture::X86_64 => "x86_64",
        }
    }

    /// The macro that C compilers for it define.
    fn in_c(self) -> &'static str {
        match self {
            Architecture::Arm64 => "__aarch64__",
            Architecture::X86_64 => "__x86_64__",
        }
    }

    fn in_a_fat_header(self) -> (u32, u32) {
        match self {
            Architecture::Arm64 => (macho::CPU_TYPE_ARM64, macho::CPU_SUBTYPE_ARM64_ALL),
            Architecture::X86_64 => (macho::CPU_TYPE_X86_64, macho::CPU_SUBTYPE_X86_64_ALL),
        }
    }
}

/// A model for one architecture of a system.
pub struct Slice {
    pub architecture: Architecture,
    pub object: Vec<u8>,
    pub header: String,
}

/// A model for a system: at least one slice.
pub struct Library {
    pub platform: Platform,
    pub slices: Vec<Slice>,
}

impl Library {
    /// The name of its folder, as Xcode writes it.
    pub fn identifier(&self) -> String {
        let (system, variant) = self.platform.names();
        let architectures: Vec<&str> = self.slices.iter().map(|s| s.architecture.name()).collect();
        let words = [Some(system), Some(&architectures.join("_")), variant];
        words.into_iter().flatten().collect::<Vec<_>>().join("-")
    }
}

/// All files, by their paths in the framework. `prefix` is an identifier of C.
pub fn files(prefix: &str, libraries: &[Library]) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut out: Vec<(PathBuf, Vec<u8>)> = vec![(LIST.into(), list(prefix, libraries).into_bytes())];
    for library in libraries {
        let folder = PathBuf::from(library.identifier());
        let archives = library.slices.iter().map(|s| Ok((s.architecture, archive(prefix, &s.object)?)));
        out.push((folder.join(archive_name(prefix)), joined(archives.collect::<io::Result<_>>()?)?));
        out.extend(headers(prefix, &library.slices, &folder.join("Headers").join(prefix)));
    }
    Ok(out)
}

fn archive_name(prefix: &str) -> String {
    format!("lib{prefix}.a")
}

/// A static library of one object.
fn archive(prefix: &str, object: &[u8]) -> io::Result<Vec<u8>> {
    let member = NewArchiveMember::new(object, &DEFAULT_OBJECT_READER, format!("{prefix}.o"));
    let mut out = Cursor::new(vec![]);
    write_archive_to_stream(&mut out, &[member], ArchiveKind::Darwin, false, None)?;
    Ok(out.into_inner())
}

/// As `lipo` does: several files of one kind behind a header that says for which architecture each is.
fn joined(mut archives: Vec<(Architecture, Vec<u8>)>) -> io::Result<Vec<u8>> {
    /// As power of two: what members of an archive have.
    const ALIGN: u32 = 3;
    if let [(_, _)] = archives[..] {
        return Ok(archives.remove(0).1);
    }
    let mut out = vec![];
    let mut word = |word: u32| out.extend(word.to_be_bytes());
    word(macho::FAT_MAGIC);
    word(archives.len() as u32);
    // The header has two words, and five for each file.
    let mut end = 4 * (2 + 5 * archives.len());
    for (architecture, bytes) in &archives {
        let (cpu, subtype) = architecture.in_a_fat_header();
        let begin = end.next_multiple_of(1 << ALIGN);
        end = begin + bytes.len();
        // Of places in it there are 32 bits.
        let number = |n: usize| u32::try_from(n).map_err(|_| io::ErrorKind::FileTooLarge);
        [cpu, subtype, number(begin)?, number(bytes.len())?, ALIGN].into_iter().for_each(&mut word);
    }
    for (_, bytes) in &archives {
        out.resize(out.len().next_multiple_of(1 << ALIGN), 0);
        out.extend(bytes);
    }
    Ok(out)
}

/// One header if it is the same for all architectures (their arenas may differ), and one that chooses otherwise.
fn headers(prefix: &str, slices: &[Slice], folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let main = format!("{prefix}.h");
    let mut module = format!("module {prefix} {{\n    header \"{main}\"\n");
    let mut out = vec![];
    if slices.iter().all(|s| s.header == slices[0].header) {
        out.push((folder.join(main), slices[0].header.clone().into_bytes()));
    } else {
        let mut choice = String::from("/* The header of the architecture that is compiled for: sizes may differ. */\n");
        for (i, slice) in slices.iter().enumerate() {
            let name = format!("{prefix}-{}.h", slice.architecture.name());
            let word = if i == 0 { "if" } else { "elif" };
            write!(choice, "#{word} defined({})\n#include \"{name}\"\n", slice.architecture.in_c()).expect("a string takes everything");
            writeln!(module, "    textual header \"{name}\"").expect("a string takes everything");
            out.push((folder.join(name), slice.header.clone().into_bytes()));
        }
        choice += "#else\n#error \"the model was not compiled for this architecture\"\n#endif\n";
        out.push((folder.join(main), choice.into_bytes()));
    }
    module += "    export *\n}\n";
    out.push((folder.join("module.modulemap"), module.into_bytes()));
    out
}

/// What Xcode reads first, in the form that it writes. Nothing in it needs another spelling in XML: names are identifiers.
fn list(prefix: &str, libraries: &[Library]) -> String {
    let archive = archive_name(prefix);
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n<dict>\n\t<key>AvailableLibraries</key>\n\t<array>\n",
    );
    let pair = |out: &mut String, indent: &str, key: &str, value: &str| {
        out.push_str(&format!("{indent}<key>{key}</key>\n{indent}<string>{value}</string>\n"));
    };
    for library in libraries {
        let (system, variant) = library.platform.names();
        let within = "\t\t\t";
        out += "\t\t<dict>\n";
        pair(&mut out, within, "BinaryPath", &archive);
        pair(&mut out, within, "HeadersPath", "Headers");
        pair(&mut out, within, "LibraryIdentifier", &library.identifier());
        pair(&mut out, within, "LibraryPath", &archive);
        out += &format!("{within}<key>SupportedArchitectures</key>\n{within}<array>\n");
        for slice in &library.slices {
            out += &format!("{within}\t<string>{}</string>\n", slice.architecture.name());
        }
        out += &format!("{within}</array>\n");
        pair(&mut out, within, "SupportedPlatform", system);
        if let Some(variant) = variant {
            pair(&mut out, within, "SupportedPlatformVariant", variant);
        }
        out += "\t\t</dict>\n";
    }
    out += "\t</array>\n";
    pair(&mut out, "\t", "CFBundlePackageType", "XFWK");
    pair(&mut out, "\t", "XCFrameworkFormatVersion", "1.0");
    out + "</dict>\n</plist>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(architecture: Architecture, header: &str) -> Slice {
        Slice { architecture, object: vec![], header: header.into() }
    }

    #[test]
    fn headers_that_differ_are_chosen_from() {
        use Architecture::{Arm64, X86_64};
        let of = |headers: [&str; 2]| -> Vec<(String, String)> {
            let slices = [slice(Arm64, headers[0]), slice(X86_64, headers[1])];
            let files = super::headers("kws", &slices, Path::new(""));
            files.into_iter().map(|(path, text)| (path.display().to_string(), String::from_utf8(text).unwrap())).collect()
        };
        let same = of(["a", "a"]);
        assert_eq!(same[0], ("kws.h".into(), "a".into()));
        assert_eq!(same[1], ("module.modulemap".into(), "module kws {\n    header \"kws.h\"\n    export *\n}\n".into()));
        assert_eq!(same.len(), 2);
        let other = of(["a", "b"]);
        assert_eq!(other[..2], [("kws-arm64.h".into(), "a".into()), ("kws-x86_64.h".into(), "b".into())]);
        assert!(other[2].1.contains("#if defined(__aarch64__)\n#include \"kws-arm64.h\"\n#elif defined(__x86_64__)"));
        assert!(other[3].1.contains("    textual header \"kws-x86_64.h\"\n"));
    }

    #[test]
    fn files_are_joined_at_their_places() {
        let fat = joined(vec![(Architecture::Arm64, vec![1; 13]), (Architecture::X86_64, vec![2; 8])]).unwrap();
        let arches = object::read::macho::MachOFatFile32::parse(&*fat).unwrap();
        let parts: Vec<&[u8]> = arches.arches().iter().map(|a| object::read::macho::FatArch::data(a, &*fat).unwrap()).collect();
        assert_eq!(parts, [vec![1; 13], vec![2; 8]]);
        assert_eq!(joined(vec![(Architecture::Arm64, vec![7; 3])]).unwrap(), [7; 3]);
    }
}
