//! Operators with several results, or whose indices are known at run time only, as texts: the largest of rows, tables with keys, sparse lists, sums of
//! segments.

use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::text::{Constants, parse, print};
use cranelite_tile::{ByteDot, Machine, arena, interpret, verify};

/// All outputs, as bytes; `None` if the invocation ends before they are there.
fn run(text: &str, inputs: &[&[u8]]) -> Option<Vec<Vec<u8>>> {
    let graph = parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    cranelite_graph::verify::verify(&graph).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    assert_eq!(parse(&print(&graph, Constants::Whole)).as_ref(), Ok(&graph));
    let mut results = vec![];
    for (goal, bytes) in [(Goal::Speed, 0), (Goal::Speed, 16), (Goal::Speed, 32), (Goal::Speed, 64), (Goal::Size, 16)] {
        let machine = Machine::example(bytes, ByteDot::S16S16, false, false);
        let mut program = lower(&graph, &machine, goal).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
        arena::plan(&mut program);
        arena::check(&program).unwrap();
        verify::verify(&program).unwrap_or_else(|e| panic!("{e:?}\n{}", cranelite_tile::text::print(&program)));
        let mut outputs: Vec<Vec<u8>> = graph.outputs.iter().map(|v| vec![0xAA; graph.ty(*v).size_bytes()]).collect();
        let mut slices: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        let is_done = interpret::run(&program, inputs, &mut slices).is_ok();
        results.push(is_done.then_some(outputs));
    }
    assert!(results.iter().all(|r| *r == results[0]), "{results:?}\n{text}");
    results.remove(0)
}

fn i32s(numbers: &[i32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}
fn f32s(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

#[test]
fn the_largest_of_a_row_in_order() {
    for (size, count) in [(1, 1), (5, 2), (33, 9), (100, 1), (70, 70), (200, 31)] {
        // Many are equal, and of floats some are no numbers.
        let numbers: Vec<f32> = (0..2 * size).map(|i: usize| (i * 7919 % 23) as f32 - 9.0).collect();
        let numbers: Vec<f32> = numbers.iter().enumerate().map(|(i, v)| if i % 17 == 3 { f32::NAN } else { *v }).collect();
        let (mut values, mut places) = (vec![], vec![]);
        for row in numbers.chunks(size) {
            let mut order: Vec<usize> = (0..size).collect();
            order.sort_by(|a, b| {
                let key = |i: usize| if row[i].is_nan() { f32::NEG_INFINITY } else { row[i] };
                key(*b).total_cmp(&key(*a)).then(a.cmp(b))
            });
            values.extend(order[..count].iter().map(|i| row[*i].to_bits()));
            places.extend(order[..count].iter().map(|i| *i as i32));
        }
        let text = |element: &str| {
            format!(
                "graph \"g\"\ninputs %x\noutputs %y, %i\n%x: {element}[2,{size}]\n\
                 %y: {element}[2,{count}], %i: i32[2,{count}] = topk_v2 %x {{count={count}}} @0\n"
            )
        };
        let got = run(&text("f32"), &[&f32s(&numbers)]).unwrap();
        assert_eq!(got[1], i32s(&places), "{size} {count}");
        assert_eq!(got[0], values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
        let bytes: Vec<u8> = numbers.iter().map(|v| if v.is_nan() { i8::MIN } else { *v as i8 } as u8).collect();
        let got = run(&text("i8"), &[&bytes]).unwrap();
        assert_eq!(got[1], i32s(&places), "{size} {count} of bytes");
    }
}

#[test]
fn rows_of_a_table_by_their_keys() {
    for width in [1, 3, 40] {
        let text = format!(
            "graph \"g\"\ninputs %n, %k, %t\noutputs %y, %h\n%n: i32[6]\n%k: i32[5]\n%t: f32[5,{width}]\n\
             %y: f32[6,{width}], %h: u8[6] = hashtable_lookup %n, %k, %t @0\n"
        );
        let keys = [-7, 0, 3, 9, 1000];
        let wanted = [3, 4, 1000, -7, 2000, -8];
        let table: Vec<f32> = (0..5 * width).map(|i| i as f32 + 1.0).collect();
        let rows = wanted.map(|n| keys.iter().position(|k| *k == n));
        let expected = rows.iter().flat_map(|row| row.map_or(vec![0.0; width], |r| table[r * width..][..width].to_vec()));
        let got = run(&text, &[&i32s(&wanted), &i32s(&keys), &f32s(&table)]).unwrap();
        assert_eq!(got, [f32s(&expected.collect::<Vec<_>>()), rows.map(|r| u8::from(r.is_some())).to_vec()]);
    }
}

#[test]
fn sparse_lists_become_arrays() {
    let text = |values: &str| {
        format!(
            "graph \"g\"\ninputs %i, %v, %d\noutputs %y\n%i: i32[3,2]\n%v: i32{values}\n%d: i32[]\n\
             %y: i32[2,3] = sparse_to_dense %i, %v, %d {{shape=[2,3]}} @0\n"
        )
    };
    let places = i32s(&[1, 2, 0, 0, 1, 2]);
    assert_eq!(run(&text("[3]"), &[&places, &i32s(&[5, 6, 7]), &i32s(&[-1])]), Some(vec![i32s(&[6, -1, -1, -1, -1, 7])]));
    assert_eq!(run(&text("[]"), &[&places, &i32s(&[5]), &i32s(&[-1])]), Some(vec![i32s(&[5, -1, -1, -1, -1, 5])]));
    for bad in [3, -1, i32::MAX] {
        assert_eq!(run(&text("[]"), &[&i32s(&[1, 2, 0, 0, 1, bad]), &i32s(&[5]), &i32s(&[-1])]), None);
    }
}

#[test]
fn rows_of_a_table_are_added_up() {
    // Places 0, 0, 2, 2, 0: the last is a run of its own, whose sum is divided again, as in the reference.
    let (ids, weights) = ([1, 0, 2, 2, 1], [2.0, 1.0, 4.0, 0.5, 1.0]);
    let places = i32s(&[0, 0, 0, 1, 2, 0, 2, 7, 0, 3]);
    for width in [1, 5, 18] {
        let table: Vec<f32> = (0..3 * width).map(|i| (i * 5 % 9) as f32).collect();
        for (combiner, divisor) in [
            ("sum", (|_: &[f32]| 1.0) as fn(&[f32]) -> f32),
            ("mean", |w| w.iter().sum()),
            ("sqrtn", |w| w.iter().map(|w| w * w).sum::<f32>().sqrt()),
        ] {
            let mut expected = vec![0f32; 3 * width];
            for (place, run) in [(0, 0..2), (2, 2..4), (0, 4..5)] {
                for i in run.clone() {
                    (0..width).for_each(|c| expected[place * width + c] += table[ids[i] * width + c] * weights[i]);
                }
                (0..width).for_each(|c| expected[place * width + c] /= divisor(&weights[run.clone()]));
            }
            let text = format!(
                "graph \"g\"\ninputs %n, %i, %w, %t\noutputs %y\n%n: i32[5]\n%i: i32[5,2]\n%w: f32[5]\n%t: f32[3,{width}]\n\
                 %y: f32[3,{width}] = embedding_lookup_sparse %n, %i, %w, %t {{shape=[3,4], combiner={combiner}}} @0\n"
            );
            let of = |ids: &[i32], places: &[u8]| run(&text, &[&i32s(ids), places, &f32s(&weights), &f32s(&table)]);
            assert_eq!(of(&ids.map(|i| i as i32), &places), Some(vec![f32s(&expected)]), "{combiner} of {width}");
            assert_eq!(of(&[1, 0, 3, 2, 1], &places), None);
            assert_eq!(of(&ids.map(|i| i as i32), &i32s(&[0, 0, 0, 1, 3, 0, 2, 7, 0, 3])), None);
        }
    }
}
