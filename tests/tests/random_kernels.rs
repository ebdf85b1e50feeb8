//! Random kernels give the same bits as the interpreter at every feature level of this machine, and are proved to stay in their buffers.

use cranelite_tests::tools::{exists, is_required};
use cranelite_tests::{differential, in_c, random_kernel};
use cranelite_tile::{text, verify};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn as_interpreted(choices in random_kernel::choices()) {
        let case = random_kernel::case(&choices);
        let program = || text::print(&case.program);
        if let Err(errors) = verify::verify(&case.program) {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            return Err(TestCaseError::fail(format!("not proved: {}\n{}", errors.join("\n"), program())));
        }
        let expected = differential::expected(&case).map_err(|e| TestCaseError::fail(format!("{e}\n{}", program())))?;
        for target in differential::native_levels() {
            let got = match differential::native(&case, &target) {
                Ok(got) => got,
                // It would have to be emulated, and no lowering asks for it.
                Err(e) if e.contains("fma of doubles on a machine without it") => continue,
                Err(e) => return Err(TestCaseError::fail(format!("{}: {e}\n{}", target.level, program()))),
            };
            for outputs in got {
                let difference = differential::difference(&case, &expected, &outputs);
                prop_assert!(difference.is_none(), "{}: {}\n{}", target.level, difference.unwrap_or_default(), program());
            }
        }
    }
}

proptest! {
    // A compiler takes its time.
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// So do they in C.
    #[test]
    fn in_c_as_interpreted(choices in random_kernel::choices()) {
        let case = random_kernel::case(&choices);
        let program = || text::print(&case.program);
        let expected = differential::expected(&case).map_err(|e| TestCaseError::fail(format!("{e}\n{}", program())))?;
        for compiler in [&["gcc", "-O1"][..], &["clang", "-O2"]].into_iter().filter(|c| exists(c[0]) || is_required()) {
            let object = match in_c::object(&case.program, &differential::options(&case.program), compiler) {
                Ok(object) => object,
                Err(e) if e.contains("no function fma_f64") => continue,
                Err(e) => return Err(TestCaseError::fail(format!("{e}\n{}", program()))),
            };
            for outputs in differential::loaded(&case, &object).map_err(TestCaseError::fail)? {
                let difference = differential::difference(&case, &expected, &outputs);
                prop_assert!(difference.is_none(), "{}: {}\n{}", compiler[0], difference.unwrap_or_default(), program());
            }
        }
    }
}
