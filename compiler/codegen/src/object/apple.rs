//! What a Mach-O object says of the system that it is for: the command `LC_BUILD_VERSION`, without which Apple's linkers complain.
//!
//! The idea: nothing in an object depends on a version, so it names the oldest that today's tools build for, and fits into programs for any later
//! one; a triple may name another (`aarch64-apple-ios16.0`).

use cranelift_object::object::macho;
use cranelift_object::object::write::MachOBuildVersion;
use target_lexicon::{Architecture, Environment, OperatingSystem as Os, Triple};

/// None: the object is of another format, or for a system that has no numbers here, and what Cranelift says of it stays.
pub fn build_version(triple: &Triple) -> Option<MachOBuildVersion> {
    let is_arm = matches!(triple.architecture, Architecture::Aarch64(_));
    // No device has such a CPU: without a word about it (`x86_64-apple-ios`, Rust's name) the simulator is meant.
    let is_simulator = triple.environment == Environment::Sim || !is_arm && triple.environment != Environment::Macabi;
    let (platform, given, oldest) = match triple.operating_system {
        Os::MacOSX(given) => (macho::PLATFORM_MACOS, given, if is_arm { (11, 0) } else { (10, 13) }),
        // Its version would be that of the kernel.
        Os::Darwin(_) => (macho::PLATFORM_MACOS, None, if is_arm { (11, 0) } else { (10, 13) }),
        Os::IOS(given) if triple.environment == Environment::Macabi => (macho::PLATFORM_MACCATALYST, given, (14, 0)),
        Os::IOS(given) if is_simulator => (macho::PLATFORM_IOSSIMULATOR, given, if is_arm { (14, 0) } else { (12, 0) }),
        Os::IOS(given) => (macho::PLATFORM_IOS, given, (12, 0)),
        _ => return None,
    };
    let (major, minor, patch) = given.map_or((oldest.0, oldest.1, 0), |v| (v.major, v.minor, v.patch));
    let mut version = MachOBuildVersion::default();
    version.platform = platform;
    version.minos = u32::from(major) << 16 | u32::from(minor) << 8 | u32::from(patch);
    Some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_triple_names_its_platform() {
        let of = |triple: &str| build_version(&triple.parse().unwrap()).map(|v| (v.platform, v.minos));
        assert_eq!(of("aarch64-apple-darwin"), Some((macho::PLATFORM_MACOS, 0xb_0000)));
        assert_eq!(of("x86_64-apple-darwin"), Some((macho::PLATFORM_MACOS, 0xa_0d00)));
        assert_eq!(of("x86_64-apple-darwin22.1"), Some((macho::PLATFORM_MACOS, 0xa_0d00)));
        assert_eq!(of("x86_64-apple-macosx10.15.4"), Some((macho::PLATFORM_MACOS, 0xa_0f04)));
        assert_eq!(of("aarch64-apple-ios"), Some((macho::PLATFORM_IOS, 0xc_0000)));
        assert_eq!(of("aarch64-apple-ios16.1"), Some((macho::PLATFORM_IOS, 0x10_0100)));
        assert_eq!(of("aarch64-apple-ios-sim"), Some((macho::PLATFORM_IOSSIMULATOR, 0xe_0000)));
        assert_eq!(of("x86_64-apple-ios"), Some((macho::PLATFORM_IOSSIMULATOR, 0xc_0000)));
        assert_eq!(of("x86_64-apple-ios-macabi"), Some((macho::PLATFORM_MACCATALYST, 0xe_0000)));
        assert_eq!(of("aarch64-linux-android"), None);
    }
}
