//! Random kernels. One that fails is made small before it is shown.

use cranelite_tests::called::{Calls, features};
use cranelite_tests::random_kernel;
use cranelite_tile::verify;

/// How many, beyond which `CRANELITE_RANDOM_KERNELS` goes.
const KERNELS: u64 = 300;
/// In one process.
const BATCH: u64 = 100;

/// Lists of choices of many lengths, the same at every run.
fn choices(number: u64) -> Vec<u32> {
    let mut seed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u32
    };
    (0..1 + next() as usize % 400).map(|_| next()).collect()
}

/// What is wrong with a few of them.
fn wrong(calls: &Calls) -> Vec<String> {
    calls.wrong().into_iter().flatten().map(|(what, program)| format!("{what}\n{program}")).collect()
}

fn add(calls: &mut Calls, what: &str, choices: &[u32]) -> bool {
    let case = random_kernel::case(choices);
    verify::verify(&case.program).unwrap_or_else(|e| panic!("{what} is not proved: {}", e[0]));
    // Kernels that are refused are so for all.
    features().into_iter().filter(|f| calls.add(what, &case, *f).unwrap_or_else(|e| panic!("{what}: {e}"))).count() != 0
}

fn fails(choices: &[u32]) -> Option<String> {
    let mut calls = Calls::default();
    add(&mut calls, "the same, smaller", choices);
    wrong(&calls).into_iter().next()
}

/// The same failure with fewer choices, and smaller ones.
fn smaller(mut choices: Vec<u32>, mut failure: String) -> String {
    let mut length = choices.len().div_ceil(2);
    let mut tries = 0;
    while 0 < length && tries < 200 {
        let mut at = 0;
        while at < choices.len() && tries < 200 {
            tries += 1;
            let end = (at + length).min(choices.len());
            let without = [&choices[..at], &choices[end..]].concat();
            let mut zeros = choices.clone();
            zeros[at..end].fill(0);
            if let Some(found) = fails(&without) {
                (choices, failure) = (without, found);
            } else if zeros != choices
                && let Some(found) = fails(&zeros)
            {
                (choices, failure) = (zeros, found);
                at = end;
            } else {
                at = end;
            }
        }
        length /= 2;
    }
    failure
}

#[test]
fn random_kernels_as_interpreted() {
    let first: u64 = std::env::var("CRANELITE_RANDOM_FIRST").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let count: u64 = std::env::var("CRANELITE_RANDOM_KERNELS").ok().and_then(|n| n.parse().ok()).unwrap_or(KERNELS);
    let (mut emitted, mut functions) = (0, 0);
    for batch in (first..first + count).step_by(BATCH as usize) {
        let mut calls = Calls::default();
        let all = batch..(batch + BATCH).min(first + count);
        emitted += all.clone().filter(|&n| add(&mut calls, &format!("kernel {n}"), &choices(n))).count() as u64;
        functions += calls.count;
        if let Some(failure) = wrong(&calls).into_iter().next() {
            let number = failure.split_whitespace().nth(1).and_then(|n| n.trim_end_matches(',').parse().ok());
            panic!("{}", number.map_or(failure.clone(), |n| smaller(choices(n), failure)));
        }
        println!("{batch}: {:?}", calls.refused);
    }
    println!("{emitted} of {count} kernels, {functions} functions");
    assert!(count / 3 < emitted, "too few were not refused: {emitted} of {count}");
}
