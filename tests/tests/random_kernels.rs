//! Random kernels give the same bits as the interpreter at every feature level of this machine, and are proved to stay in their buffers.

use cranelite_tests::matrix::Matrix;
use cranelite_tests::tools::{exists, is_required};
use cranelite_tests::{differential, in_c, random_kernel};
use cranelite_tile::{Elem, KernelBuilder, text, verify};
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

/// What is read is not what has been written a moment ago, where bytes are moved by a few places.
#[test]
fn moves_that_overlap_in_c() {
    let mut matrix = Matrix::default();
    for (from, to) in [(0, 1), (0, 4), (0, 47), (0, 48), (8, 8), (1, 0), (16, 3)] {
        for in_place in [false, true] {
            let mut k = KernelBuilder::new(format!("{from} to {to}, {in_place}"));
            let z = k.read_write("z");
            let y = if in_place { k.read_write_in_place("y", z) } else { z };
            let v = k.load(Elem::I32.x(12), z.at(from));
            k.store(y.at(to), v);
            let bytes = (0..100).collect();
            let contents = if in_place { vec![(Elem::U8, bytes), (Elem::U8, vec![])] } else { vec![(Elem::U8, bytes)] };
            matrix.kernel(k.finish(), &[], contents);
        }
    }
    let case = matrix.case();
    let expected = differential::expected(case).expect("the interpreter runs it");
    for compiler in [&["gcc", "-O1"][..], &["clang", "-O2"]].into_iter().filter(|c| exists(c[0]) || is_required()) {
        let object = in_c::object(&case.program, &differential::options(&case.program), compiler).expect("an object");
        for outputs in differential::loaded(case, &object).expect("it runs") {
            assert_eq!(differential::difference(case, &expected, &outputs), None, "{}", compiler[0]);
        }
    }
}
