//! Operators with several results, or whose indices are known at run time only, as texts: the largest of rows, tables with keys, sparse lists, sums of
//! segments, projections, and poolings that say where.

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

/// Numbers that look arbitrary and are small.
fn mixed(i: usize) -> i32 {
    (i * 7919 % 23) as i32 - 9
}

#[test]
fn sums_of_segments_in_order() {
    // Rows, how many of each segment, elements of a row.
    for (lengths, run_of) in [(vec![1], 1), (vec![3, 1, 5], 1), (vec![2, 7], 33), (vec![1; 20], 3), (vec![], 4), (vec![4, 2], 0)] {
        let rows: usize = lengths.iter().sum();
        let numbers: Vec<i32> = lengths.iter().enumerate().flat_map(|(i, n)| vec![i as i32; *n]).collect();
        let x: Vec<i32> = (0..rows * run_of).map(|i| mixed(i).wrapping_mul(300_000_001)).collect();
        let mut sums = vec![0i32; lengths.len() * run_of];
        for (i, v) in x.iter().enumerate() {
            let sum = &mut sums[numbers[i / run_of] as usize * run_of + i % run_of];
            *sum = sum.wrapping_add(*v);
        }
        let text = |element: &str, segments: usize| {
            let list: Vec<String> = numbers.iter().map(i32::to_string).collect();
            format!(
                "graph \"g\"\ninputs %x\noutputs %y\n%x: {element}[{rows},{run_of}]\n%n = const i32[{rows}] [{}]\n\
                 %y: {element}[{segments},{run_of}] = segment_sum %x, %n {{segments={segments}, is_counted=false}} @0\n",
                list.join(", ")
            )
        };
        assert_eq!(run(&text("i32", lengths.len()), &[&i32s(&x)]).unwrap(), [i32s(&sums)], "{lengths:?} {run_of}");
        let floats: Vec<f32> = (0..rows * run_of).map(|i| mixed(i) as f32 / 4.0).collect();
        let mut sums = vec![0f32; lengths.len() * run_of];
        floats.iter().enumerate().for_each(|(i, v)| sums[numbers[i / run_of] as usize * run_of + i % run_of] += v);
        assert_eq!(run(&text("f32", lengths.len()), &[&f32s(&floats)]).unwrap(), [f32s(&sums)], "{lengths:?} {run_of}");
    }
}

#[test]
fn segments_in_any_order() {
    type Combine = (fn(i32, i32) -> i32, i32, fn(f32, f32) -> f32, f32);
    let all: [(&str, Combine); 4] = [
        ("sum", (i32::wrapping_add, 0, |a, b| a + b, 0.0)),
        ("prod", (i32::wrapping_mul, 1, |a, b| a * b, 1.0)),
        ("max", (i32::max, i32::MIN, f32::max, f32::MIN)),
        ("min", (i32::min, i32::MAX, f32::min, f32::MAX)),
    ];
    // Shape of the numbers, elements of a part, segments.
    let shapes: [(&[usize], usize, usize); 6] = [(&[7], 1, 4), (&[3, 5], 6, 9), (&[1], 33, 1), (&[0], 4, 2), (&[9], 2, 1), (&[5], 0, 3)];
    for (name, (whole, first, real, first_real)) in all {
        for (list, part, segments) in shapes {
            let count: usize = list.iter().product();
            // Some belong to none.
            let numbers: Vec<i32> = (0..count).map(|i| (i * 5 % (segments + 1)) as i32 - 1).collect();
            let x: Vec<i32> = (0..count * part).map(|i| mixed(i).wrapping_mul(70_001)).collect();
            let floats: Vec<f32> = (0..count * part).map(|i| mixed(i) as f32 / 2.0).collect();
            let (mut y, mut z) = (vec![first; segments * part], vec![first_real; segments * part]);
            for i in 0..count * part {
                if let Ok(n) = usize::try_from(numbers[i / part]) {
                    let at = n * part + i % part;
                    (y[at], z[at]) = (whole(y[at], x[i]), real(z[at], floats[i]));
                }
            }
            let dims: Vec<String> = list.iter().map(usize::to_string).collect();
            let dims = dims.join(",");
            let text = |element: &str| {
                format!(
                    "graph \"g\"\ninputs %x, %n\noutputs %y\n%x: {element}[{dims},{part}]\n%n: i32[{dims}]\n\
                     %y: {element}[{segments},{part}] = unsorted_segment_{name} %x, %n {{segments={segments}}} @0\n"
                )
            };
            assert_eq!(run(&text("i32"), &[&i32s(&x), &i32s(&numbers)]).unwrap(), [i32s(&y)], "{name} {list:?} {part}");
            assert_eq!(run(&text("f32"), &[&f32s(&floats), &i32s(&numbers)]).unwrap(), [f32s(&z)], "{name} {list:?} {part}");
            if 0 < count {
                // A segment that is not there ends the invocation.
                let mut beyond = numbers.clone();
                beyond[count - 1] = segments as i32;
                assert_eq!(run(&text("i32"), &[&i32s(&x), &i32s(&beyond)]), None, "{name} {list:?}");
            }
        }
    }
}

/// FarmHash's fingerprint of 4 to 64 bytes.
fn fingerprint(s: &[u8]) -> u64 {
    const K1: u64 = 0xb492_b66f_be98_f273;
    const K2: u64 = 0x9ae1_6a3b_2f90_404f;
    let long = |at: usize| u64::from_le_bytes(s[at..at + 8].try_into().unwrap());
    let word = |at: usize| u64::from(u32::from_le_bytes(s[at..at + 4].try_into().unwrap()));
    let n = s.len();
    let factor = K2.wrapping_add(2 * n as u64);
    let mix = |u: u64, v: u64| {
        let half = |x: u64| {
            let x = x.wrapping_mul(factor);
            x ^ x >> 47
        };
        half(v ^ half(u ^ v)).wrapping_mul(factor)
    };
    let sum = |all: &[u64]| all.iter().fold(0u64, |a, b| a.wrapping_add(*b));
    match n {
        4..8 => mix(sum(&[n as u64, word(0) << 3]), word(n - 4)),
        8..=16 => {
            let (a, b) = (long(0).wrapping_add(K2), long(n - 8));
            let c = sum(&[b.rotate_right(37).wrapping_mul(factor), a]);
            mix(c, sum(&[a.rotate_right(25), b]).wrapping_mul(factor))
        }
        _ => {
            let first = if n <= 32 { K1 } else { K2 };
            let (a, b, c, d) = (long(0).wrapping_mul(first), long(8), long(n - 8).wrapping_mul(factor), long(n - 16).wrapping_mul(K2));
            let y = sum(&[a.wrapping_add(b).rotate_right(43), c.rotate_right(30), d]);
            let z = mix(y, sum(&[a, b.wrapping_add(K2).rotate_right(18), c]));
            if n <= 32 {
                return z;
            }
            let (e, f) = (long(16).wrapping_mul(factor), long(24));
            let (g, h) = (y.wrapping_add(long(n - 32)).wrapping_mul(factor), z.wrapping_add(long(n - 24)).wrapping_mul(factor));
            mix(sum(&[e.wrapping_add(f).rotate_right(43), g.rotate_right(30), h]), sum(&[e, f.wrapping_add(a).rotate_right(18), g]))
        }
    }
}

#[test]
fn projections() {
    for (hashes, bits, items, elements) in
        [(1, 1, 1, 1), (3, 5, 4, 3), (2, 31, 1, 15), (4, 2, 7, 7), (1, 8, 2, 0), (2, 32, 3, 2), (0, 3, 1, 1)]
    {
        let seeds: Vec<f32> = (0..hashes * bits).map(|i| mixed(i) as f32 / 7.0).collect();
        let x: Vec<i32> = (0..items * elements).map(|i| mixed(i).wrapping_mul(1_000_003)).collect();
        let weights: Vec<f32> = (0..items).map(|i| mixed(i) as f32).collect();
        for is_weighted in [true, false] {
            let is_set = |seed: f32| {
                let value = |i: usize| {
                    let key: Vec<u8> = [&seed.to_le_bytes()[..], &i32s(&x[i * elements..][..elements])].concat();
                    let hash = fingerprint(&key) as i64 as f64;
                    if is_weighted { f64::from(weights[i]) * hash } else { hash }
                };
                0.0 < (0..items).map(value).sum::<f64>()
            };
            let set: Vec<i32> = seeds.iter().map(|s| is_set(*s).into()).collect();
            let (weight, operand) = if is_weighted { (", %w", format!("%w: f32[{items}]\n")) } else { ("", String::new()) };
            let text = |is_dense: bool, count: usize| {
                format!(
                    "graph \"g\"\ninputs %s, %x{weight}\noutputs %y\n%s: f32[{hashes},{bits}]\n%x: i32[{items},{elements}]\n{operand}\
                     %y: i32[{count}] = lsh_projection %s, %x{weight} {{is_dense={is_dense}}} @0\n"
                )
            };
            let operands = [f32s(&seeds), i32s(&x), f32s(&weights)];
            let operands: Vec<&[u8]> = operands.iter().map(Vec::as_slice).take(if is_weighted { 3 } else { 2 }).collect();
            assert_eq!(run(&text(true, hashes * bits), &operands).unwrap(), [i32s(&set)], "{hashes} {bits} {items} {elements}");
            if bits < 32 {
                let number = |(h, bits_of): (usize, &[i32])| bits_of.iter().fold(0, |n, b| 2 * n + b) + ((h as i32) << bits);
                let numbers: Vec<i32> = set.chunks(bits).enumerate().map(number).collect();
                assert_eq!(run(&text(false, hashes), &operands).unwrap(), [i32s(&numbers)], "{hashes} {bits} {items} {elements}");
            }
        }
    }
}

#[test]
fn poolings_that_say_where_and_back() {
    for ([n, h, w, c], [fh, fw], [sh, sw], is_same) in [
        ([1, 4, 6, 1], [2, 2], [2, 2], true),
        ([2, 5, 7, 3], [3, 2], [2, 3], true),
        ([1, 5, 7, 9], [2, 3], [1, 2], false),
        ([1, 1, 1, 17], [3, 3], [1, 1], true),
    ] {
        let out = |size: usize, f: usize, s: usize| if is_same { size.div_ceil(s) } else { (size - f) / s + 1 };
        let (oh, ow) = (out(h, fh, sh), out(w, fw, sw));
        let all = |o: usize, size: usize, f: usize, s: usize| ((o - 1) * s + f).saturating_sub(size);
        let (down, across) = (all(oh, h, fh, sh), all(ow, w, fw, sw));
        let (top, left) = (down / 2, across / 2);
        // Many are equal, and some no numbers.
        let x: Vec<f32> = (0..n * h * w * c).map(|i| if i % 11 == 5 { f32::NAN } else { mixed(i) as f32 / 2.0 }).collect();
        let (mut y, mut places) = (vec![], vec![]);
        for i in 0..n * oh * ow * c {
            let (image, oy, ox, channel) = (i / (oh * ow * c), i / (ow * c) % oh, i / c % ow, i % c);
            let (mut most, mut place) = (f32::MIN, 0);
            for tap in 0..fh * fw {
                let (iy, ix) = (oy * sh + tap / fw, ox * sw + tap % fw);
                if (top..top + h).contains(&iy) && (left..left + w).contains(&ix) {
                    let v = x[((image * h + iy - top) * w + ix - left) * c + channel];
                    if most < v {
                        (most, place) = (v, tap);
                    }
                }
            }
            y.push(most.max(0.0));
            places.push(place as f32 + 0.1);
        }
        let text = format!(
            "graph \"g\"\ninputs %x\noutputs %y, %p\n%x: f32[{n},{h},{w},{c}]\n%y: f32[{n},{oh},{ow},{c}], %p: f32[{n},{oh},{ow},{c}] = \
             maxpoolingwithargmax2d %x {{filter=[{fh},{fw}], stride=[{sh},{sw}], padding=[{top},{},{left},{}], activation=relu}} @0\n",
            down - top,
            across - left
        );
        assert_eq!(run(&text, &[&f32s(&x)]).unwrap(), [f32s(&y), f32s(&places)], "{n} {h} {w} {c} {fh} {fw} {sh} {sw}");

        // A window for each pixel, and now and then a place outside of it.
        let (rows, columns) = (oh * fh, ow * fw);
        places.iter_mut().step_by(5).for_each(|p| *p = -3.5);
        let before = |o: usize, f: usize, s: usize| (((o - 1) * s + f).saturating_sub(o * f) / 2) as i32;
        let mut back = vec![0f32; n * rows * columns * c];
        for (i, (v, p)) in y.iter().zip(&places).enumerate() {
            let (image, oy, ox, channel) = (i / (oh * ow * c), (i / (ow * c) % oh) as i32, (i / c % ow) as i32, i % c);
            let place = *p as i32;
            let to_y = oy * sh as i32 - before(oh, fh, sh) + place / fw as i32;
            let to_x = ox * sw as i32 - before(ow, fw, sw) + place % fw as i32;
            if (0..rows as i32).contains(&to_y) && (0..columns as i32).contains(&to_x) {
                back[((image * rows + to_y as usize) * columns + to_x as usize) * c + channel] = *v;
            }
        }
        let text = |element: &str, rows: usize, columns: usize| {
            format!(
                "graph \"g\"\ninputs %x, %p\noutputs %y\n%x: f32[{n},{oh},{ow},{c}]\n%p: {element}[{n},{oh},{ow},{c}]\n\
                 %y: f32[{n},{rows},{columns},{c}] = maxunpooling2d %x, %p {{filter=[{fh},{fw}], stride=[{sh},{sw}], is_same=true}} @0\n"
            )
        };
        assert_eq!(run(&text("f32", rows, columns), &[&f32s(&y), &f32s(&places)]).unwrap(), [f32s(&back)], "{n} {h} {w} {c}");
        // And places in the whole image.
        let (rows, columns) = (oh * sh, ow * sw);
        let image = rows * columns * c;
        let mut numbers: Vec<i32> = (0..y.len()).map(|i| (i * 31 % image) as i32).collect();
        let mut back = vec![0f32; n * image];
        y.iter().zip(&numbers).enumerate().for_each(|(i, (v, p))| back[i / (oh * ow * c) * image + *p as usize] = *v);
        assert_eq!(run(&text("i32", rows, columns), &[&f32s(&y), &i32s(&numbers)]).unwrap(), [f32s(&back)], "{n} {h} {w} {c}");
        numbers[0] = image as i32;
        assert_eq!(run(&text("i32", rows, columns), &[&f32s(&y), &i32s(&numbers)]), None);
    }
}
