//! Loops whose turns load for the next one: no, one and few turns, at the ends of buffers.

use super::{bytes, check};
use cranelite_codegen::neon::{self, Features, cores};
use cranelite_tests::called::Calls;
use cranelite_tests::matrix::Matrix;
use cranelite_tile::*;

/// Products of `rows` pixels by `vectors` vectors of weights, `turns` times; the last turn ends where the buffers do.
fn products(elem: Elem, rows: usize, vectors: usize, turns: i64, is_constant: bool) -> Kernel {
    let mut k = KernelBuilder::new(format!("{rows} by {vectors} of {elem}, {turns} turns, constant: {is_constant}"));
    let (x, w, y) = (k.read("x"), k.read("w"), k.write("y"));
    let n = k.param("n");
    let count = if is_constant { Index::constant(turns) } else { n.into() };
    let (ty, size) = (elem.x(16 / elem.bytes() as usize), i64::from(elem.bytes()));
    let row = turns.max(1) * 2 * size;
    let init: Vec<Value> = (0..rows * vectors).map(|i| k.load(ty, w.at(16 * (i as i64 % 2)))).collect();
    let sums = k.repeat("i", count, 1, &init, |k, i, v| {
        let mut sums = v.to_vec();
        for half in 0..2 {
            let weights: Vec<Value> =
                (0..vectors).map(|j| k.load(ty, w.at(i * (32 * vectors as i64) + 16 * (half * vectors + j) as i64))).collect();
            for r in 0..rows {
                let pixel = k.load_splat(ty, 1, x.at(i * (2 * size) + (r as i64 * row + half as i64 * size)));
                for (j, weight) in weights.iter().enumerate() {
                    let product = k.mul(*weight, pixel);
                    sums[r * vectors + j] = k.add(sums[r * vectors + j], product);
                }
            }
        }
        sums
    });
    for (i, v) in sums.into_iter().enumerate() {
        k.store(y.at(16 * i), v);
    }
    k.finish()
}

#[test]
fn few_turns_at_the_ends_of_buffers() {
    let mut calls = Calls::default();
    let mut longer = 0;
    for core in [&cores::CORTEX_A53, &cores::CORTEX_A55] {
        let features = Features { dotprod: core.name == "cortex-a55", i8mm: false, core, is_tuned: true };
        for (elem, rows, vectors) in [(Elem::I32, 3, 2), (Elem::F32, 4, 3)] {
            for turns in 0..4 {
                for is_constant in [false, true] {
                    let kernel = products(elem, rows, vectors, turns, is_constant);
                    let name = kernel.name.clone();
                    let length = |insts: Result<neon::Code, neon::Refused>| insts.map_or(0, |code| code.bytes.len());
                    longer += usize::from(length(neon::emit_unscheduled(&kernel, features)) < length(neon::emit(&kernel, features)));
                    let (lanes, all) = (16 / elem.bytes() as usize, turns as usize);
                    let mut matrix = Matrix::default();
                    let contents = vec![
                        (elem, bytes(elem, (rows * 2 * all).max(1))),
                        (elem, bytes(elem, 2 * lanes * (vectors * all).max(1))),
                        (elem, vec![0xa5; 16 * rows * vectors]),
                    ];
                    matrix.kernel(kernel, &[turns], contents);
                    let is_emitted = calls.add(&name, matrix.case(), features).unwrap_or_else(|e| panic!("{name}: {e}"));
                    assert!(is_emitted, "{name} is refused: {:?}", calls.refused);
                }
            }
        }
    }
    assert!(12 <= longer, "only {longer} loops load ahead");
    check(&calls);
}
