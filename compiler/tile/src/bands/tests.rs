//! Programs in bands compute what they did, with less memory.

use super::*;
use crate::builder::KernelBuilder;
use crate::samples::{buffer, program, run};
use crate::types::Elem;
use crate::{ByteDot, verify};
use proptest::prelude::*;

/// A machine whose second-level cache holds so much.
fn machine(l2_bytes: u32) -> Machine {
    Machine { l2_bytes, ..Machine::example(16, ByteDot::S16S16, false, false) }
}

/// How many times the calls of one operator are followed by those of another.
fn changes(p: &Program) -> usize {
    let operators: Vec<_> = p.calls().map(|c| c.operator).collect();
    operators.windows(2).filter(|w| w[0] != w[1]).count()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_same_bits_in_less_memory(panels in 1i64..6, rows in 2i64..24, pixels in 1i64..20, l2_bytes in 64u32..4096) {
        let whole = program(panels, rows, pixels);
        let mut p = whole.clone();
        cut(&mut p, &machine(l2_bytes), u64::MAX);
        let plan = arena::plan(&mut p);
        prop_assert_eq!(verify::verify(&p), Ok(()));
        prop_assert_eq!(arena::check(&p), Ok(()));
        prop_assert!(p.schedule == whole.schedule || 1 < changes(&p));
        prop_assert!(plan.arena_size_bytes <= 2 * whole.buffers[1].size_bytes.next_multiple_of(8));
        prop_assert_eq!(run(&p), run(&whole));
    }
}

/// Rows of 4 panels of 8 bytes, 33 pixels each: 1056 bytes.
fn tall() -> Program {
    program(4, 16, 8)
}

#[test]
fn the_first_two_alternate_and_the_windows_come_last() {
    let mut p = tall();
    let size = p.buffers[1].size_bytes;
    cut(&mut p, &machine(size as u32), u64::MAX);
    let operators: Vec<u32> = p.calls().map(|c| c.operator.expect("one")).collect();
    // Bands of both panels of the first operator and the second, at every second row or so; a window looks over every cut.
    assert_eq!(operators.first(), Some(&0));
    assert_eq!(operators.last(), Some(&2));
    assert!(6 < changes(&p), "{operators:?}");
    assert_eq!(operators.iter().filter(|o| **o == 2).count(), 1);
    assert!(p.buffers[1].size_bytes <= size / 4, "{} of {size}", p.buffers[1].size_bytes);
    assert_eq!(p.buffers[2].size_bytes, size, "what the windows read is there as a whole");
}

#[test]
fn what_fits_the_cache_stays_whole() {
    let mut p = tall();
    cut(&mut p, &machine(1 << 20), u64::MAX);
    assert_eq!(p, tall());
}

#[test]
fn no_arena_grows_beyond_the_limit() {
    let mut p = tall();
    let size = p.buffers[1].size_bytes;
    // The second operator writes in place of what it reads, so that the two need no more than one tensor; in bands a part more.
    cut(&mut p, &machine(size as u32), arena::least_bytes(&tall()) - 1);
    assert_eq!(p, tall());
}

/// Whoever reads the result beside the second operator needs all of it.
#[test]
fn what_is_read_again_stays_whole() {
    let mut p = tall();
    let size = p.buffers[1].size_bytes;
    let mut k = KernelBuilder::new("last");
    let (x, y) = (k.read("x"), k.read_write("y"));
    let (a, b) = (k.load(Elem::U8.x(1), x.at(size as i64 - 1)), k.load(Elem::U8.x(1), y.at(0)));
    let sum = k.add(a, b);
    k.store(y.at(0), sum);
    p.kernels.push(k.finish());
    let call = Call { kernel: KernelId(3), buffers: vec![BufferId(1), BufferId(3)], params: vec![], advance: vec![], operator: Some(3) };
    p.schedule.push(Step::Call(call));
    let whole = p.clone();
    cut(&mut p, &machine(size as u32), u64::MAX);
    assert_eq!(p, whole);
}

/// Bands of one operator must not write what later bands of the other read.
#[test]
fn what_is_written_over_stays_whole() {
    let mut p = tall();
    let size = p.buffers[1].size_bytes;
    // The second operator writes where the first one reads.
    p.buffers[0] = buffer(Role::Scratch, size);
    p.buffers[2].view = Some(View { parent: BufferId(0), offset_bytes: 0 });
    let whole = p.clone();
    cut(&mut p, &machine(size as u32), u64::MAX);
    assert_eq!(p, whole);
}
