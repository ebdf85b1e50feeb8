//! Cycles of loops beside those of other models of the same cores.

use super::super::cores::{CORTEX_A53, CORTEX_A55, CORTEX_A72, CORTEX_A76, Core, NEOVERSE_V1};
use super::*;

struct Loop {
    name: &'static str,
    /// By the four cores below.
    cycles: Vec<Option<f64>>,
    code: Code,
}

const MODELS: [(&Core, f64); 4] = [(&CORTEX_A55, 0.05), (&CORTEX_A72, 0.15), (&CORTEX_A76, 0.15), (&NEOVERSE_V1, 0.15)];

fn loops() -> Vec<Loop> {
    let blocks = include_str!("loops.txt").split("\nloop ").skip(1);
    let of = |block: &'static str| {
        let (head, words) = block.split_once('\n').unwrap();
        let mut head = head.split(' ');
        let name = head.next().unwrap();
        let words: Vec<u32> = words.split_whitespace().map(|w| u32::from_str_radix(w, 16).unwrap()).collect();
        Loop { name, cycles: head.map(|n| n.parse().ok()).collect(), code: decode(&words) }
    };
    blocks.map(of).collect()
}

#[test]
fn cycles_are_near_to_those_of_other_models() {
    let mut wrong = vec![];
    for l in loops() {
        assert!(l.code.unknown * 10 <= l.code.steps.len(), "{}: {} of {} not known", l.name, l.code.unknown, l.code.steps.len());
        for ((core, share), theirs) in MODELS.iter().zip(&l.cycles) {
            let ours = cycles(&l.code.steps, core);
            let bound = bound(&l.code.steps, core);
            eprintln!("{:12} {:12} {ours:6.1} bound {bound:6.1} theirs {theirs:?}", l.name, core.name);
            if let Some(theirs) = theirs
                && (ours / theirs - 1.0).abs() > *share
            {
                wrong.push(format!("{} on {}: {ours}, theirs {theirs}", l.name, core.name));
            }
            assert!(bound <= ours + 0.5, "{} on {}: {ours}, at least {bound}", l.name, core.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn step(kind: Kind, reads: &[u32], writes: &[u32]) -> Timed {
    Timed { kind, reads: reads.to_vec(), writes: writes.to_vec(), address: None }
}

#[test]
fn chains_of_sums_are_read_late() {
    let dot = |sum| step(Kind::Dot, &[sum, 40, 41], &[sum]);
    // A chain through one sum goes on in every cycle, one through a factor after four.
    assert_eq!(cycles(&[dot(32)], &CORTEX_A55), 1.0);
    assert_eq!(cycles(&[step(Kind::Dot, &[32, 33, 33], &[33])], &CORTEX_A55), 4.0);
    assert_eq!(cycles(&[step(Kind::FloatMultiplyAdd, &[32, 40, 41], &[32])], &CORTEX_A53), 4.0);
    assert_eq!(cycles(&[step(Kind::ProductLongAccumulate, &[32, 40, 41], &[32])], &CORTEX_A72), 1.0);
}

#[test]
fn in_order_cores_pair_a_short_load_with_a_product_but_no_long_one() {
    let product = |sum| step(Kind::Dot, &[sum, 40, 41], &[sum]);
    let pair = [product(32), step(Kind::LoadVector, &[0], &[50]), product(33), step(Kind::LoadVector, &[0], &[51])];
    assert_eq!(cycles(&pair, &CORTEX_A55), 2.0);
    let long = [product(32), step(Kind::LoadVectorLong, &[0], &[50]), product(33), step(Kind::LoadVectorLong, &[0], &[51])];
    assert_eq!(cycles(&long, &CORTEX_A55), 6.0);
}

#[test]
fn what_is_not_known_is_counted() {
    let code = decode(&[0xffff_ffff, 0x4f80_e020]);
    assert_eq!((code.unknown, code.steps.len()), (1, 2));
    assert_eq!(code.steps[1].kind, Kind::Dot);
    assert_eq!((code.steps[1].reads.clone(), code.steps[1].writes.clone()), (vec![32, 33, 32], vec![32]));
}
