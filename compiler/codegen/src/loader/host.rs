//! The machine that this program runs on, in the words of `targets`. Here and in the loader alone does the compiler ask for it.

/// Its triple, if objects can be made for it.
pub fn triple() -> Option<&'static str> {
    if cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        Some("x86_64-unknown-linux-gnu")
    } else if cfg!(all(target_arch = "aarch64", target_endian = "little", any(target_os = "linux", target_os = "android"))) {
        Some("aarch64-unknown-linux-gnu")
    } else {
        None
    }
}

/// Its features, by the names of `targets`.
pub fn features() -> Vec<&'static str> {
    let mut found: Vec<(&str, bool)> = vec![];
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! ask {
            ($($name:literal $feature:tt),*) => { found.extend([$(($name, is_x86_feature_detected!($feature))),*]) };
        }
        ask!["sse3" "sse3", "ssse3" "ssse3", "sse4.1" "sse4.1", "sse4.2" "sse4.2", "popcnt" "popcnt", "lzcnt" "lzcnt", "bmi1" "bmi1",
            "bmi2" "bmi2", "avx" "avx", "avx2" "avx2", "f16c" "f16c", "fma" "fma", "avxvnni" "avxvnni", "avx512f" "avx512f", "avx512vl" "avx512vl",
            "avx512dq" "avx512dq", "avx512bw" "avx512bw", "avx512vbmi" "avx512vbmi", "avx512vnni" "avx512vnni", "avx512cd" "avx512cd"];
    }
    #[cfg(target_arch = "aarch64")]
    {
        macro_rules! ask {
            ($($name:literal $feature:tt),*) => { found.extend([$(($name, std::arch::is_aarch64_feature_detected!($feature))),*]) };
        }
        ask!["dotprod" "dotprod", "fp16" "fp16", "i8mm" "i8mm"];
    }
    found.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}
