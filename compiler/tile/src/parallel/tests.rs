//! Divided programs compute what they did, in any order of the calls of a step.

use super::*;
use crate::builder::KernelBuilder;
use crate::samples::{buffer, program, run};
use crate::types::Elem;
use crate::{arena, verify};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_same_bits(panels in 1i64..6, rows in 1i64..9, pixels in 8i64..40, threads in 2usize..6) {
        let serial = program(panels, rows, pixels);
        prop_assert_eq!(verify::verify(&serial), Ok(()));
        let mut divided = serial.clone();
        divide(&mut divided, threads);
        prop_assert_eq!(verify::verify(&divided), Ok(()));
        let mut alone = serial.clone();
        let plan = arena::plan(&mut alone);
        prop_assert_eq!(arena::plan(&mut divided).arena_size_bytes, plan.arena_size_bytes);
        prop_assert_eq!(arena::check(&divided), Ok(()));
        prop_assert_eq!(verify::verify(&divided), Ok(()));
        let expected = run(&serial);
        prop_assert_eq!(&run(&divided), &expected);
        for step in &mut divided.schedule {
            if let Step::Parallel(calls) = step {
                calls.reverse();
            }
        }
        prop_assert_eq!(&run(&divided), &expected);
    }
}

#[test]
fn long_calls_are_divided_evenly() {
    let mut p = program(4, 7, 200);
    divide(&mut p, 2);
    let shapes: Vec<usize> = p.schedule.iter().map(|s| s.calls().len()).collect();
    // Both calls of the first operator are one step; nothing is left serial.
    assert_eq!(p.schedule.len(), 3, "{shapes:?}");
    assert!(p.schedule.iter().all(|s| matches!(s, Step::Parallel(c) if c.len() % 2 == 0)), "{shapes:?}");
}

#[test]
fn short_calls_and_single_threads_stay_as_they_are() {
    let short = program(1, 1, 1);
    let mut p = short.clone();
    divide(&mut p, 4);
    assert_eq!(p, short);
    let long = program(4, 7, 200);
    let mut p = long.clone();
    divide(&mut p, 1);
    assert_eq!(p, long);
}

/// What a loop with one space for all iterations computes does not come apart.
#[test]
fn what_depends_on_itself_stays_whole() {
    let mut k = KernelBuilder::new("scan");
    let (x, t, y) = (k.read("x"), k.read_write("t"), k.write("y"));
    k.each("i", 100_000, 1, |k, i| {
        let v = k.load(Elem::U8.x(1), x.at(i));
        k.store(t.at(0), v);
        let v = k.load(Elem::U8.x(1), t.at(0));
        k.store(y.at(i), v);
    });
    let mut p = Program { kernels: vec![k.finish()], ..Program::default() };
    p.buffers = vec![buffer(Role::Input(0), 100_000), buffer(Role::Scratch, 1), buffer(Role::Output(0), 100_000)];
    p.schedule = vec![Step::Call(Call {
        kernel: KernelId(0),
        buffers: (0..3).map(BufferId).collect(),
        params: vec![],
        advance: vec![],
        operator: Some(0),
    })];
    let whole = p.clone();
    divide(&mut p, 2);
    assert_eq!(p, whole);
}
