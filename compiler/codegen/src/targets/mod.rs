//! What code can be made for: a triple, a feature level and a core to tune for, parsed, checked, and turned into data for lowerings and emitters.
//!
//! Not the machine that runs the compiler (that is `loader/host.rs`): this is always a cross compiler. The idea: per architecture
//! one table of features, one of levels, and one function from a set of features and a [`Tuning`] to a [`Machine`]; nothing above asks for a name.

mod aarch64;
mod arm32;
mod c99;
mod level;
mod riscv32;
mod riscv64;
mod tuning;
mod x86_64;
mod xtensa;

use crate::clif::{Arch, Features};
use crate::neon;
use crate::wide;
use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelite_tile::Machine;
use level::Set;
use std::cmp::Reverse;
use std::str::FromStr;
use target_lexicon::{Aarch64Architecture, Architecture, BinaryFormat, Environment, OperatingSystem, Triple};
pub use tuning::Tuning;

/// Why there is no such target. Every message is one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("`{0}` is no target triple; did you mean `{1}`?")]
    NoTriple(String, String),
    #[error("cranelite cannot compile for `{0}`: {1}")]
    Refused(String, &'static str),
    #[error("unknown {what} `{found}` for {architecture}; did you mean `{nearest}`? Known are {known}")]
    Unknown { what: &'static str, found: String, architecture: &'static str, nearest: String, known: String },
    #[error("`{found}` is a {what} of {other}, and the target is {architecture}; --target chooses another")]
    Elsewhere { what: &'static str, found: String, architecture: &'static str, other: &'static str },
    #[error("`{cpu}` contradicts itself: `{feature}` needs `{excluded}`, which `no-{excluded}` excludes")]
    Contradiction { cpu: String, feature: &'static str, excluded: &'static str },
    #[error("`{cpu}` has `{feature}`, which no CPU of `{triple}` has; --target {other} is for such a CPU")]
    Lacking { cpu: String, feature: &'static str, triple: String, other: &'static str },
    #[error("`{0}` has an empty part; write NAME[+feature][+no-feature], and a comma between levels")]
    Empty(String),
    #[error("`{0}` and `{1}` are the same level, {2}; an object has each once")]
    Twice(String, String, String),
    #[error("`native` means the CPU of this machine, which is not of the architecture of `{0}`")]
    NotNative(String),
    #[error("Cranelift refuses `{0}`: {1}")]
    Cranelift(String, String),
}

/// Something that code can be made for.
#[derive(Clone)]
pub struct Target {
    pub triple: Triple,
    /// The feature level in canonical form, such as `x86-64-v3+avxvnni` or `cortex-a76`.
    pub level: String,
    /// The core whose pipelines and registers the order of instructions and the tiles suit.
    pub tuning: Tuning,
    /// What lowerings may know.
    pub machine: Machine,
    /// What the clif emitter may use.
    pub features: Features,
    /// What the wide emitter may use, if kernels are its business.
    pub wide: Option<wide::Features>,
    /// What the neon emitter may use, if kernels are its business.
    pub neon: Option<neon::Features>,
    set: Set,
}

static ARCHITECTURES: [&level::Architecture; 7] = [
    &x86_64::ARCHITECTURE,
    &aarch64::ARCHITECTURE,
    &riscv64::ARCHITECTURE,
    &arm32::ARCHITECTURE,
    &riscv32::ARCHITECTURE,
    &xtensa::ARCHITECTURE,
    &c99::ARCHITECTURE,
];

/// What stands for a triple where C is written for no machine in particular.
const C99: &str = "c99";

/// A triple that is supported: what it is for, and how its objects are tested.
pub struct Listed {
    pub triple: &'static str,
    pub about: &'static str,
    pub tested: &'static str,
}

const fn listed(triple: &'static str, about: &'static str, tested: &'static str) -> Listed {
    Listed { triple, about, tested }
}

pub const TRIPLES: &[Listed] = &[
    listed(
        "x86_64-unknown-linux-gnu",
        "Linux on x86-64 (ELF)",
        "run at every level of the CPU; the choice of a level on older CPUs under qemu-user",
    ),
    listed("x86_64-unknown-none-elf", "x86-64 without operating system (ELF)", "the same code as for Linux"),
    listed("x86_64-apple-darwin", "macOS on x86-64 (Mach-O)", "linked by ld64.lld; the same code as for Linux"),
    listed("x86_64-pc-windows-msvc", "Windows on x86-64 (COFF)", "linked by lld-link, mapped and run on Linux with the calls of Windows"),
    listed(
        "aarch64-unknown-linux-gnu",
        "Linux on 64-bit Arm (ELF)",
        "run under qemu-user, with and without dot products, on old and new kernels",
    ),
    listed(
        "aarch64-unknown-none-elf",
        "64-bit Arm without operating system (ELF; memory must allow unaligned access)",
        "firmware booted in qemu-system-aarch64",
    ),
    listed(
        "aarch64-linux-android",
        "Android on 64-bit Arm (ELF)",
        "linked by ld.lld into a library for pages of 16 KiB; the same code as for Linux",
    ),
    listed(
        "x86_64-linux-android",
        "Android on x86-64, the emulator above all (ELF)",
        "linked by ld.lld into a library for pages of 16 KiB; the same code as for Linux",
    ),
    listed("aarch64-apple-darwin", "macOS on Apple silicon (Mach-O)", "linked by ld64.lld; the same code as for Linux with dot products"),
    listed("aarch64-apple-ios", "iOS (Mach-O)", "linked by ld64.lld; the same code as for Linux"),
    listed("aarch64-apple-ios-sim", "simulator of iOS on Apple silicon (Mach-O)", "linked by ld64.lld; the same code as for Linux"),
    listed("x86_64-apple-ios", "simulator of iOS on x86-64 (Mach-O)", "linked by ld64.lld; the same code as for Linux"),
    listed("riscv64gc-unknown-linux-gnu", "Linux on 64-bit RISC-V (ELF; scalar code)", "linked by ld.lld and run under qemu-user"),
    listed(
        "riscv64gc-unknown-none-elf",
        "64-bit RISC-V without operating system (ELF; scalar code; memory must allow unaligned access)",
        "the same code as for Linux",
    ),
    listed("thumbv6m-none-eabi", "Cortex-M0, M0+ and M1 (C99)", "run under qemu-system-arm on a Cortex-M4"),
    listed("thumbv7m-none-eabi", "Cortex-M3 (C99)", "run under qemu-system-arm"),
    listed("thumbv7em-none-eabi", "Cortex-M4 and M7 (C99; floats in core registers)", "firmware booted in qemu-system-arm"),
    listed("thumbv7em-none-eabihf", "Cortex-M4F and M7F (C99)", "firmware booted in qemu-system-arm"),
    listed("thumbv8m.base-none-eabi", "Cortex-M23 (C99)", "the same code as for Cortex-M0+"),
    listed(
        "thumbv8m.main-none-eabi",
        "Cortex-M33, M55 and M85 (C99; floats in core registers)",
        "firmware booted in qemu-system-arm on a Cortex-M55",
    ),
    listed("thumbv8m.main-none-eabihf", "Cortex-M33F, M55 and M85 (C99)", "firmware booted in qemu-system-arm on a Cortex-M55"),
    listed("riscv32imc-unknown-none-elf", "32-bit RISC-V such as ESP32-C3 (C99)", "firmware booted in qemu-system-riscv32"),
    listed("riscv32imac-unknown-none-elf", "32-bit RISC-V such as ESP32-C6 (C99)", "firmware booted in qemu-system-riscv32"),
    listed("riscv32imafc-unknown-none-elf", "32-bit RISC-V with floating point (C99)", "firmware booted in qemu-system-riscv32"),
    listed("xtensa-esp32-none-elf", "ESP32 (C99)", "the suites, compiled by gcc and clang for the host"),
    listed("xtensa-esp32s2-none-elf", "ESP32-S2 (C99)", "the suites, compiled by gcc and clang for the host"),
    listed("xtensa-esp32s3-none-elf", "ESP32-S3 (C99)", "the suites, compiled by gcc and clang for the host"),
    listed(C99, "any machine with a C compiler: one file in C99", "the suites, compiled by gcc and clang"),
];

/// The feature levels of an architecture, for lists.
pub struct Levels {
    pub architecture: &'static str,
    /// The first is the default.
    pub levels: Vec<ListedLevel>,
    pub features: Vec<&'static str>,
    /// What is to be said of them, if anything.
    pub note: &'static str,
}

pub struct ListedLevel {
    pub name: &'static str,
    /// What it stands for, with what that implies.
    pub features: Vec<&'static str>,
    /// The core that it tunes for, and the machine that lowerings see; none where it is a set of features only.
    pub tuned: Option<Machine>,
}

pub fn list() -> Vec<Levels> {
    let level = |a: &level::Architecture, l: &level::Level| {
        let (set, tuning) = (a.closure(l.features), Tuning::named(l.name));
        let tuned = (tuning != Tuning::Generic).then(|| (a.machine)(&set, l.name, tuning));
        ListedLevel { name: l.name, features: set.into_iter().collect(), tuned }
    };
    let all = |a: &&level::Architecture| Levels {
        architecture: a.name,
        levels: a.levels.iter().map(|l| level(a, l)).collect(),
        features: a.features.iter().map(|f| f.name).collect(),
        note: a.note,
    };
    ARCHITECTURES.iter().map(all).collect()
}

/// The CPU of this machine as a level, if it is of an architecture that is supported.
pub fn native_cpu() -> Option<String> {
    let host = crate::loader::host::triple()?;
    let architecture = architecture(&Triple::from_str(host).ok()?)?;
    Some(architecture.canonical(&native_set(architecture), Tuning::Generic))
}

fn native_set(architecture: &'static level::Architecture) -> Set {
    architecture.closure(&crate::loader::host::features().into_iter().filter(|f| architecture.feature(f).is_some()).collect::<Vec<_>>())
}

fn architecture(triple: &Triple) -> Option<&'static level::Architecture> {
    match triple.architecture {
        Architecture::X86_64 => Some(&x86_64::ARCHITECTURE),
        Architecture::Aarch64(Aarch64Architecture::Aarch64) => Some(&aarch64::ARCHITECTURE),
        Architecture::Riscv64(_) => Some(&riscv64::ARCHITECTURE),
        Architecture::Arm(_) => Some(&arm32::ARCHITECTURE),
        Architecture::Riscv32(_) => Some(&riscv32::ARCHITECTURE),
        Architecture::XTensa => Some(&xtensa::ARCHITECTURE),
        Architecture::Unknown => Some(&c99::ARCHITECTURE),
        _ => None,
    }
}

/// The level of every CPU of a target, which is more than that of the architecture where an operating system runs on newer CPUs only or
/// the triple says more; and the features that no CPU of it has.
fn bounds(triple: &Triple, architecture: &level::Architecture) -> (&'static str, &'static [&'static str]) {
    use OperatingSystem as Os;
    match (triple.architecture, triple.operating_system) {
        (Architecture::Aarch64(_), Os::MacOSX(_) | Os::Darwin(_)) => ("apple-m1", &[]),
        // Its ABI has SSE4.2 and POPCNT.
        (Architecture::X86_64, Os::Linux) if triple.environment == Environment::Android => ("x86-64-v2", &[]),
        (Architecture::Arm(_), _) => arm32::of(triple),
        (Architecture::Riscv32(_), _) => riscv32::of(triple),
        (Architecture::XTensa, _) => xtensa::of(triple),
        _ => (architecture.levels[0].name, &[]),
    }
}

/// Why there is no code for a triple that exists, if so.
fn refusal(triple: &Triple) -> Option<&'static str> {
    use OperatingSystem as Os;
    Some(match (triple.architecture, triple.operating_system) {
        (Architecture::Arm(arm), _) if arm32::is_m_profile(arm) => return None,
        (Architecture::Riscv32(riscv), _) if riscv32::has_products(riscv) => return None,
        (Architecture::XTensa, _) => return None,
        (Architecture::Arm(_), _) => {
            "Cranelift has no back end for 32-bit Arm; --target c99 writes the model in C, for a compiler that has, and the triples \
             thumbv6m to thumbv8m are for Cortex-M"
        }
        (Architecture::Riscv32(_), _) => {
            "without the extension M every product is a call; --target c99 writes the model in C, for a compiler that makes such calls"
        }
        (Architecture::X86_32(_), _) => "Cranelift has no back end for 32-bit x86; use x86_64",
        (Architecture::Wasm32 | Architecture::Wasm64, _) => "Cranelift reads WebAssembly but does not write it",
        (Architecture::Aarch64(Aarch64Architecture::Aarch64be), _) => "big-endian machines are not supported",
        (Architecture::Aarch64(_), Os::Windows) => "Cranelift cannot write COFF relocations for 64-bit Arm",
        (Architecture::X86_64, _) if triple.environment == Environment::Gnux32 => "32-bit pointers are not supported",
        (Architecture::X86_64 | Architecture::Aarch64(_) | Architecture::Riscv64(_), os) => match os {
            Os::Linux | Os::None_ | Os::Unknown | Os::Freebsd | Os::Netbsd | Os::Openbsd | Os::Windows => return None,
            os if os.is_like_darwin() && !matches!(triple.architecture, Architecture::Riscv64(_)) => return None,
            _ => "its operating system is not supported",
        },
        _ => "its architecture is not supported",
    })
}

/// A triple like this one that has CPUs with all these features.
fn elsewhere(triple: &Triple, architecture: &level::Architecture, set: &Set) -> &'static str {
    let fits = |other: &Triple| {
        other.environment == triple.environment
            && self::architecture(other).is_some_and(|a| a.name == architecture.name)
            && !bounds(other, architecture).1.iter().any(|f| set.contains(f))
    };
    TRIPLES.iter().map(|t| t.triple).find(|t| Triple::from_str(t).is_ok_and(|other| fits(&other))).unwrap_or(C99)
}

impl Target {
    /// `cpu` is `NAME[+feature][+no-feature]`, by default the architecture's baseline.
    pub fn new(triple: &str, cpu: Option<&str>) -> Result<Target, Error> {
        // So short names are near to everything: whoever means such a system says so.
        let means = |system: &str| triple.contains(&system[..3]);
        let is_near = |t: &&str| (*t != C99 || triple.len() < 5) && ["android", "ios"].iter().all(|s| !t.contains(s) || means(s));
        let near = TRIPLES.iter().map(|t| t.triple).filter(is_near);
        let no_triple = || Error::NoTriple(triple.into(), level::nearest(triple, near.clone()));
        let is_c = triple == C99;
        let mut parsed = if is_c { Triple::unknown() } else { Triple::from_str(triple).map_err(|_| no_triple())? };
        if let Some(why) = refusal(&parsed).filter(|_| !is_c) {
            return Err(Error::Refused(triple.into(), why));
        }
        let architecture = architecture(&parsed).ok_or_else(no_triple)?;
        // "none" without "-elf" says nothing of the format.
        if parsed.binary_format == BinaryFormat::Unknown {
            parsed.binary_format = BinaryFormat::Elf;
        }
        let (default, lacking) = bounds(&parsed, architecture);
        let (set, tuning) = match cpu.unwrap_or(default) {
            cpu if cpu.split('+').next() == Some("native") && !cpu.split('+').any(str::is_empty) => {
                let host = crate::loader::host::triple().and_then(|t| Triple::from_str(t).ok());
                if host.is_none_or(|h| h.architecture != parsed.architecture) {
                    return Err(Error::NotNative(triple.into()));
                }
                (architecture.modify(native_set(architecture), cpu)?, Tuning::Generic)
            }
            cpu => architecture.parse(cpu)?,
        };
        let level = architecture.canonical(&set, tuning);
        if let Some(&feature) = lacking.iter().find(|f| set.contains(**f)) {
            let other = elsewhere(&parsed, architecture, &set);
            return Err(Error::Lacking { cpu: cpu.unwrap_or_default().into(), feature, triple: triple.into(), other });
        }
        let target = Target {
            triple: parsed,
            machine: (architecture.machine)(&set, &level, tuning),
            features: (architecture.emitter)(&set),
            wide: (architecture.wide)(&set),
            neon: (architecture.neon)(&set, tuning),
            level,
            tuning,
            set,
        };
        if target.is_c() { Ok(target) } else { target.isa(false, false).map(|_| target) }
    }

    /// Code for it is written in C.
    pub fn is_c(&self) -> bool {
        use Architecture as Of;
        matches!(self.triple.architecture, Of::Unknown | Of::Arm(_) | Of::Riscv32(_) | Of::XTensa)
    }

    /// The triple, or what stands for it.
    pub fn name(&self) -> String {
        if self.triple.architecture == Architecture::Unknown { C99.into() } else { self.triple.to_string() }
    }

    /// Levels of one triple, separated by commas in `cpus`; by default the architecture's baseline.
    pub fn list(triple: &str, cpus: Option<&str>) -> Result<Vec<Target>, Error> {
        let Some(cpus) = cpus else { return Ok(vec![Target::new(triple, None)?]) };
        let names: Vec<&str> = cpus.split(',').collect();
        let mut targets: Vec<Target> = vec![];
        for name in &names {
            if name.is_empty() {
                return Err(Error::Empty(cpus.into()));
            }
            let target = Target::new(triple, Some(name))?;
            if let Some(i) = targets.iter().position(|t| t.level == target.level) {
                return Err(Error::Twice(names[i].to_string(), name.to_string(), target.level));
            }
            targets.push(target);
        }
        Ok(targets)
    }

    /// This machine, with all its features.
    pub fn native() -> Result<Target, Error> {
        Target::new(crate::loader::host::triple().unwrap_or("unknown"), Some("native"))
    }

    /// The features that a machine must have to run the code.
    pub fn required(&self) -> Vec<&'static str> {
        self.set.iter().copied().filter(|f| !f.starts_with("prefer")).collect()
    }

    /// The features that are needed and that not every CPU of the target has.
    pub fn beyond_baseline(&self) -> Vec<&'static str> {
        let baseline = self.baseline();
        self.required().into_iter().filter(|f| !baseline.contains(f)).collect()
    }

    /// What every CPU of the target has.
    fn baseline(&self) -> Set {
        architecture(&self.triple).and_then(|a| a.parse(bounds(&self.triple, a).0).ok()).unwrap_or_default().0
    }

    /// What this machine lacks of all that the code may use; `None` if it is of another architecture.
    pub fn missing_here(&self) -> Option<Vec<&'static str>> {
        let host = Triple::from_str(crate::loader::host::triple()?).ok()?;
        let native = native_set(architecture(&host)?);
        let missing = || self.required().into_iter().filter(|f| !native.contains(f)).collect();
        (host.architecture == self.triple.architecture).then(missing)
    }

    /// Whether this machine has all that the code may use.
    pub fn runs_here(&self) -> bool {
        self.missing_here().is_some_and(|missing| missing.is_empty())
    }

    /// Numbers of levels, the best first: those that need more, then longer vectors, then the earlier ones. One that needs more has all
    /// that others need, or is meant for other CPUs. Levels that differ in what they are tuned for need the same: the first named runs unless
    /// another is asked for, since what core it is a program cannot rely on: threads move between cores of two kinds.
    pub fn best_first(levels: &[&Target]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..levels.len()).collect();
        order.sort_by_key(|&n| Reverse((levels[n].required().len(), levels[n].machine.vector_bytes)));
        order
    }

    /// Whether code says where indirect calls may land (IBT, BTI), and the object says that it does: in ELF objects, where linkers ask.
    pub(crate) fn has_landing_pads(&self) -> bool {
        self.triple.binary_format == BinaryFormat::Elf && matches!(self.features.arch, Arch::X86 | Arch::Arm)
    }

    /// Cranelift's back end. `verify` checks its input, for tests; `unwind` keeps what prologues do.
    pub(crate) fn isa(&self, verify: bool, unwind: bool) -> Result<OwnedTargetIsa, Error> {
        self.isa_with(&self.set, verify, unwind)
    }

    /// As [`Target::isa`], without what not every CPU of the target has.
    pub(crate) fn baseline_isa(&self, verify: bool, unwind: bool) -> Result<OwnedTargetIsa, Error> {
        self.isa_with(&self.baseline(), verify, unwind)
    }

    fn isa_with(&self, set: &Set, verify: bool, unwind: bool) -> Result<OwnedTargetIsa, Error> {
        let failed = |e: String| Error::Cranelift(self.triple.to_string(), e);
        let mut shared = settings::builder();
        for (name, value) in [
            // Why: the order of the text is the schedule (see `clif/mod.rs`).
            ("opt_level", "none"),
            ("is_pic", "false"),
            ("unwind_info", if unwind { "true" } else { "false" }),
            ("preserve_frame_pointers", "false"),
            // Frames of several pages touch them in order, as Windows wants it; no symbol is called for that.
            ("enable_probestack", "true"),
            ("probestack_strategy", "inline"),
            ("probestack_size_log2", "12"),
            ("log2_min_function_alignment", "5"),
            ("enable_verifier", if verify { "true" } else { "false" }),
        ] {
            shared.set(name, value).map_err(|e| failed(e.to_string()))?;
        }
        let mut builder = isa::lookup(self.triple.clone()).map_err(|e| failed(e.to_string()))?;
        let known = |f: &&'static str| architecture(&self.triple).and_then(|a| a.feature(f));
        for flag in set.iter().filter_map(known).flat_map(|f| f.flags) {
            builder.enable(flag).map_err(|e| failed(format!("{flag}: {e}")))?;
        }
        if self.has_landing_pads() && self.features.arch == Arch::Arm {
            builder.enable("use_bti").map_err(|e| failed(format!("use_bti: {e}")))?;
        }
        builder.finish(settings::Flags::new(shared)).map_err(|e| failed(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(triple: &str, cpu: Option<&str>) -> String {
        Target::new(triple, cpu).err().map_or_else(|| "accepted".into(), |e| e.to_string())
    }

    #[test]
    fn every_listed_target_and_level_exists() {
        for Listed { triple, .. } in TRIPLES {
            let target = Target::new(triple, None).unwrap();
            assert_eq!(Target::new(triple, Some(&target.level)).unwrap().level, target.level);
            assert_eq!(target.name(), *triple);
            let name = architecture(&target.triple).unwrap().name;
            let levels = list().into_iter().find(|l| l.architecture == name).unwrap();
            let features = levels.features.iter().map(|feature| format!("{}+{feature}", levels.levels[0].name));
            for level in levels.levels.iter().map(|l| l.name.to_string()).chain(features) {
                match Target::new(triple, Some(&level)) {
                    Ok(_) => {}
                    // Another triple of the architecture has it.
                    Err(Error::Lacking { other, .. }) => assert!(Target::new(other, Some(&level)).is_ok(), "{other} {level}"),
                    Err(e) => panic!("{triple} {level}: {e}"),
                }
            }
        }
        assert_eq!(Target::new("x86_64-linux-android", None).unwrap().level, "x86-64-v2");
        for also in ["x86_64-unknown-none", "aarch64-unknown-none", "aarch64-unknown-linux-musl", "x86_64-unknown-unknown"] {
            assert_eq!(message(also, None), "accepted");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_in_one_sentence() {
        for triple in [
            "armv7-unknown-linux-gnueabihf",
            "thumbv7a-none-eabi",
            "riscv32i-unknown-none-elf",
            "i686-unknown-linux-gnu",
            "wasm32-unknown-unknown",
            "aarch64-pc-windows-msvc",
            "riscv64-apple-darwin",
            "aarch64_be-unknown-linux-gnu",
            "powerpc64le-unknown-linux-gnu",
            "x86_64-unknown-linux-gnux32",
        ] {
            assert!(message(triple, None).starts_with(&format!("cranelite cannot compile for `{triple}`: ")), "{}", message(triple, None));
        }
        assert_eq!(message("x86_46-linux", None), "`x86_46-linux` is no target triple; did you mean `x86_64-unknown-linux-gnu`?");
        assert_eq!(
            message("aarch46-linux-android", None),
            "`aarch46-linux-android` is no target triple; did you mean `aarch64-linux-android`?"
        );
        assert!(message("x86_64-unknown-linux-gnu", Some("haswel")).contains("did you mean `haswell`?"));
        assert!(message("x86_64-unknown-linux-gnu", Some("x86-64+avx3")).contains("unknown feature `avx3`"));
        assert!(message("aarch64-unknown-linux-gnu", Some("native")).contains("this machine") || cfg!(target_arch = "aarch64"));
    }

    #[test]
    fn features_imply_and_exclude_each_other() {
        let level = |cpu| Target::new("x86_64-unknown-linux-gnu", Some(cpu)).unwrap().level;
        assert_eq!(level("x86-64+ssse3+sse4.1"), "x86-64+sse4.1");
        assert_eq!(level("x86-64-v3+no-avx"), "x86-64-v2+bmi1+bmi2+lzcnt");
        assert_eq!(level("haswell"), "x86-64-v3");
        assert_eq!(level("x86-64-v3+avxvnni"), "x86-64-v3+avxvnni");
        // Every CPU with these has the rest of AVX-512 that kernels want.
        assert_eq!(level("x86-64-v3+avx512vnni"), "x86-64-v4+avx512vnni");
        assert_eq!(level("znver4"), "x86-64-v4+avx512vbmi+avx512vnni");
        for (cpu, bytes) in
            [("icelake-server", 64), ("cascadelake+prefer256", 32), ("znver5", 64), ("znver5+no-avx512dq", 32), ("haswell", 32)]
        {
            assert_eq!(Target::new(X86, Some(cpu)).unwrap().machine.vector_bytes, bytes, "{cpu}");
        }
    }

    const X86: &str = "x86_64-unknown-linux-gnu";

    #[test]
    fn what_contradicts_is_refused() {
        for cpu in ["x86-64-v3+no-avx2+avx512f", "x86-64-v3+avx512vnni+no-avx512f", "native+sse3+no-sse3", "x86-64-v4+no-avx+avxvnni"] {
            assert!(
                message(X86, Some(cpu)).contains("contradicts itself") || cpu.starts_with("native"),
                "{cpu}: {}",
                message(X86, Some(cpu))
            );
        }
        assert_eq!(
            message(X86, Some("x86-64-v3+no-avx2+avx512f")),
            "`x86-64-v3+no-avx2+avx512f` contradicts itself: `avx512f` needs `avx2`, which `no-avx2` excludes"
        );
        assert_eq!(
            message(X86, Some("x86-64+dotprod")),
            "`dotprod` is a feature of aarch64, and the target is x86-64; --target chooses another"
        );
        assert!(message("aarch64-unknown-linux-gnu", Some("haswell")).starts_with("`haswell` is a CPU of x86-64"));
        assert!(message(X86, Some("x86-64-v3+")).contains("empty part") && message(X86, Some("native+")).contains("empty part"));
    }

    #[test]
    fn microcontrollers_have_what_their_triples_say() {
        let level = |triple, cpu| Target::new(triple, cpu).map(|t| (t.is_c(), t.level));
        for (triple, expected) in [
            ("thumbv6m-none-eabi", "cortex-m0plus"),
            ("thumbv8m.base-none-eabi", "cortex-m0plus"),
            ("thumbv7m-none-eabi", "cortex-m3"),
            ("thumbv7em-none-eabihf", "cortex-m4"),
            ("thumbv8m.main-none-eabi", "cortex-m4"),
            ("riscv32imc-unknown-none-elf", "rv32imc"),
            ("riscv32imac-esp-espidf", "rv32imac"),
            ("riscv32imafc-unknown-none-elf", "rv32imafc"),
            ("xtensa-esp32-none-elf", "esp32"),
            ("xtensa-esp32s3-none-elf", "esp32s3"),
        ] {
            assert_eq!(level(triple, None), Ok((true, expected.to_string())), "{triple}");
        }
        for (cpu, expected) in [("cortex-m85", "cortex-m55"), ("cortex-m7", "cortex-m4"), ("cortex-m0", "cortex-m0plus")] {
            assert_eq!(level("thumbv8m.main-none-eabi", Some(cpu)), Ok((true, expected.to_string())));
        }
        assert_eq!(
            message("thumbv6m-none-eabi", Some("cortex-m4")),
            "`cortex-m4` has `thumb2`, which no CPU of `thumbv6m-none-eabi` has; --target thumbv7em-none-eabi is for such a CPU"
        );
        assert_eq!(
            message("thumbv7em-none-eabihf", Some("cortex-m55")),
            "`cortex-m55` has `mve`, which no CPU of `thumbv7em-none-eabihf` has; --target thumbv8m.main-none-eabihf is for such a CPU"
        );
        assert_eq!(
            message("xtensa-esp32-none-elf", Some("esp32s3")),
            "`esp32s3` has `pie`, which no CPU of `xtensa-esp32-none-elf` has; --target xtensa-esp32s3-none-elf is for such a CPU"
        );
        assert_eq!(
            message("thumbv7em-none-eabihf", Some("cortex-a53")),
            "`cortex-a53` is a CPU of aarch64, and the target is 32-bit Arm; --target chooses another"
        );
        assert!(message("thumbv7em-none-eabihf", Some("native")).starts_with("`native` means the CPU of this machine"));
    }

    #[test]
    fn a_list_has_every_level_once() {
        let list = |cpus: &str| match Target::list(X86, Some(cpus)) {
            Ok(targets) => targets.iter().map(|t| t.level.as_str()).collect::<Vec<_>>().join(" "),
            Err(e) => e.to_string(),
        };
        assert_eq!(list("haswell,x86-64,x86-64-v3+avxvnni"), "x86-64-v3 x86-64 x86-64-v3+avxvnni");
        assert_eq!(list("haswell,x86-64,x86-64-v3"), "`haswell` and `x86-64-v3` are the same level, x86-64-v3; an object has each once");
        for empty in ["", "x86-64,", ",x86-64", "x86-64,,x86-64-v2"] {
            assert!(list(empty).contains("empty part"), "{}", list(empty));
        }
        assert!(list("x86-64,486").contains("did you mean `x86-64`?"));
    }

    #[test]
    fn a_core_to_tune_for_is_a_part_of_the_level() {
        let of = |cpu| Target::new(ARM, Some(cpu)).unwrap();
        for (cpu, level, tuning, required) in [
            ("generic", "generic", Tuning::Generic, ""),
            ("generic+fp16+dotprod", "generic+dotprod+fp16", Tuning::Generic, "dotprod fp16"),
            ("generic+dotprod+i8mm", "generic+i8mm", Tuning::Generic, "dotprod i8mm"),
            ("cortex-a53", "cortex-a53", Tuning::CortexA53, ""),
            ("cortex-a53+dotprod", "cortex-a53+dotprod", Tuning::CortexA53, "dotprod"),
            ("cortex-a55", "cortex-a55", Tuning::CortexA55, "dotprod fp16"),
            ("cortex-a76+dotprod", "cortex-a76", Tuning::CortexA76, "dotprod fp16"),
            ("cortex-a76+no-fp16", "cortex-a76+no-fp16", Tuning::CortexA76, "dotprod"),
            ("neoverse-v1", "neoverse-v1", Tuning::NeoverseV1, "dotprod fp16 i8mm"),
            ("neoverse-v1+no-i8mm+no-dotprod", "neoverse-v1+no-dotprod", Tuning::NeoverseV1, "fp16"),
            ("apple-m1+i8mm", "apple-m1+i8mm", Tuning::AppleM1, "dotprod fp16 i8mm"),
        ] {
            for cpu in [cpu, level] {
                let target = of(cpu);
                assert_eq!(
                    (target.level.as_str(), target.tuning, target.required().join(" ").as_str()),
                    (level, tuning, required),
                    "{cpu}"
                );
            }
        }
        for core in Tuning::CORES {
            assert_eq!((of(core.name()).level.as_str(), of(core.name()).tuning), (core.name(), core));
        }
        assert_eq!(Target::new("aarch64-apple-darwin", None).unwrap().tuning, Tuning::AppleM1);
        assert_eq!(Target::new("aarch64-apple-ios", None).unwrap().tuning, Tuning::Generic);
    }

    #[test]
    fn levels_that_differ_in_tuning_only_are_several() {
        let order = |cpus: &str| {
            let targets = Target::list(ARM, Some(cpus)).unwrap();
            let order = Target::best_first(&targets.iter().collect::<Vec<_>>());
            order.into_iter().map(|n| targets[n].level.clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(order("cortex-a53,cortex-a72"), "cortex-a53 cortex-a72");
        assert_eq!(order("cortex-a72,cortex-a53,generic"), "cortex-a72 cortex-a53 generic");
        assert_eq!(order("generic,cortex-a55,cortex-a76"), "cortex-a55 cortex-a76 generic");
        assert_eq!(order("cortex-a53,cortex-a76,neoverse-v1,cortex-a55"), "neoverse-v1 cortex-a76 cortex-a55 cortex-a53");
        let twice = Target::list(ARM, Some("cortex-a55,cortex-a76,cortex-a55+dotprod")).err().unwrap().to_string();
        assert_eq!(twice, "`cortex-a55` and `cortex-a55+dotprod` are the same level, cortex-a55; an object has each once");
    }

    const ARM: &str = "aarch64-unknown-linux-gnu";

    #[test]
    fn the_best_needs_most() {
        let targets = Target::list(X86, Some("x86-64-v4+prefer256,x86-64,x86-64-v4,x86-64-v3")).unwrap();
        assert_eq!(Target::best_first(&targets.iter().collect::<Vec<_>>()), [2, 0, 3, 1]);
    }
}
