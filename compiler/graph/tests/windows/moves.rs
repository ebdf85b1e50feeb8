//! Operators that move elements, against loops that say where each element of the result comes from.

use crate::reductions::{flat, indices};
use crate::support::{Input, bytes, machines, noise, run};
use cranelite_graph::diagnostic::Code;
use cranelite_graph::graph::{Graph, Node, Value, ValueId};
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::ops::{
    Op, Operand, Signature, batch_to_space_nd, batches, broadcast_args, broadcast_to, depth_to_space, depths, dynamic_update_slice,
    embedding_lookup, expand_dims, fill, gather, gather_nd, matrix_diag, matrix_set_diag, mirror_pad, one_hot, ones, pack, padv2, range,
    rank, reverse_sequence, reverse_v2, scatter_nd, shape, slice, space_to_batch_nd, space_to_depth, split, split_v, squeeze, tile,
    transpose, unpack, zeros_like,
};
use cranelite_graph::tensor::ElementType::{self, Bool, Complex128, F32, I4, I8, I16, I32, I64, U8};
use cranelite_graph::tensor::{Quantization, TensorType};
use cranelite_tile::{interpret, verify};
use proptest::prelude::*;

/// The results of an operator of several, on the first machine and on all others the same.
fn run_all(op: &Op, inputs: &[Input], element: ElementType, count: usize) -> Vec<(Vec<usize>, Vec<u8>)> {
    outcome(op, inputs, element, count).expect("indices in range")
}

/// The same; none if an index in the data is out of range.
fn outcome(op: &Op, inputs: &[Input], element: ElementType, count: usize) -> Option<Vec<(Vec<usize>, Vec<u8>)>> {
    let declared = vec![TensorType::new(element, []); count];
    let operands = inputs.iter().map(|i| Some(Operand { ty: &i.ty, data: i.constant.then_some(&i.data[..]) })).collect();
    let shapes = op.infer(&Signature { inputs: operands, outputs: declared.iter().collect() }).unwrap();
    let mut graph = Graph { name: "test".into(), ..Graph::default() };
    for i in inputs {
        let data = i.constant.then(|| i.data.clone().into());
        let v = graph.add_value(Value { name: "x".into(), ty: i.ty.clone(), data });
        graph.inputs.extend((!i.constant).then_some(v));
    }
    let types: Vec<TensorType> = shapes.iter().map(|s| TensorType::new(element, s.clone())).collect();
    let outputs: Vec<ValueId> = types.iter().map(|ty| graph.add_value(Value { name: "y".into(), ty: ty.clone(), data: None })).collect();
    graph.outputs = outputs.clone();
    let inputs_of_node = (0..inputs.len() as u32).map(|i| Some(ValueId(i))).collect();
    graph.nodes.push(Node { op: op.clone(), inputs: inputs_of_node, outputs, operator: 0, then: vec![] });
    let arguments: Vec<&[u8]> = inputs.iter().filter(|i| !i.constant).map(|i| &i.data[..]).collect();
    let mut all: Vec<Option<Vec<Vec<u8>>>> = vec![];
    for m in machines() {
        for goal in [Goal::Speed, Goal::Size] {
            let program = lower(&graph, &m, goal).unwrap();
            verify::verify(&program).unwrap_or_else(|e| panic!("{e:?}"));
            let mut results: Vec<Vec<u8>> = types.iter().map(|ty| vec![0xAA; ty.size_bytes()]).collect();
            let mut slices: Vec<&mut [u8]> = results.iter_mut().map(|r| &mut r[..]).collect();
            match interpret::run(&program, &arguments, &mut slices) {
                Ok(()) => all.push(Some(results)),
                Err(e) if matches!(e.fault, interpret::Fault::OutOfRange) => all.push(None),
                Err(e) => panic!("{e}"),
            }
        }
    }
    assert!(all.iter().all(|r| *r == all[0]), "machines differ: {op:?}");
    Some(shapes.into_iter().zip(all.swap_remove(0)?).collect())
}

/// Where an element of the result comes from: `None` is a zero.
type Source<'a> = &'a dyn Fn(&[usize]) -> Option<Vec<usize>>;

/// Checks an operator of one input against where its elements come from.
fn check(op: &Op, element: ElementType, x: &[usize], y: &[usize], source: Source) {
    let size = element.bytes().unwrap();
    let ty = TensorType::new(element, x);
    let data: Vec<u8> = match element {
        Bool => noise(7, ty.size_bytes()).map(|n| (n & 1) as u8).collect(),
        _ => bytes(7, ty.size_bytes()),
    };
    let got = run_all(op, &[Input::new(ty, data.clone())], element, 1).remove(0);
    assert_eq!(got.0, y, "{op:?}");
    let expected: Vec<u8> = indices(y)
        .iter()
        .flat_map(|i| match source(i) {
            Some(i) => data[flat(x, &i) * size..][..size].to_vec(),
            None => vec![0; size],
        })
        .collect();
    assert!(got.1 == expected, "{op:?} of {element} {x:?}: {:?} instead of {expected:?}", got.1);
}

fn shapes(rank: std::ops::Range<usize>) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![8 => 1usize..6, 1 => Just(0), 1 => Just(9)], rank)
}
fn elements() -> impl Strategy<Value = ElementType> {
    prop_oneof![Just(U8), Just(I16), Just(I32), Just(I64), Just(Complex128), Just(Bool)]
}
/// Numbers that a test draws from as it needs them.
fn picks() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0usize..1000, 24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn transposed(x in shapes(1..6), element in elements(), picks in picks()) {
        let mut order: Vec<usize> = (0..x.len()).collect();
        (0..x.len()).for_each(|d| order.swap(d, picks[d] % x.len()));
        let y: Vec<usize> = order.iter().map(|&d| x[d]).collect();
        let source = |i: &[usize]| Some((0..x.len()).map(|d| i[order.iter().position(|o| *o == d).unwrap()]).collect());
        check(&Op::Transpose(transpose::Attributes { order: order.clone() }), element, &x, &y, &source);
    }

    #[test]
    fn sliced_and_reversed(x in shapes(1..6), element in elements(), picks in picks()) {
        let first: Vec<usize> = x.iter().zip(&picks).map(|(&d, p)| p % (d + 1)).collect();
        let count: Vec<usize> = (0..x.len()).map(|d| picks[8 + d] % (x[d] - first[d] + 1)).collect();
        let op = Op::Slice(slice::Attributes { first: first.clone(), count: count.clone(), is_counted: false });
        check(&op, element, &x, &count, &|i| Some(i.iter().zip(&first).map(|(i, f)| i + f).collect()));
        // The same where the first ones are an input, and one of them too far.
        let ty = TensorType::new(element, x.clone());
        let data = bytes(3, ty.size_bytes());
        let index_type = [I32, I64][picks[23] % 2];
        let begin = |first: &[i64]| Input::new(TensorType::new(index_type, [x.len()]), index_type.integer_bytes(first.iter().copied()));
        let at_run_time = Op::Slice(slice::Attributes { first: vec![], count: count.clone(), is_counted: false });
        let mut numbers: Vec<i64> = first.iter().map(|&n| n as i64).collect();
        let expected = run_all(&op, &[Input::new(ty.clone(), data.clone())], element, 1);
        assert_eq!(run_all(&at_run_time, &[Input::new(ty.clone(), data.clone()), begin(&numbers)], element, 1), expected);
        let d = picks[22] % x.len();
        for wrong in [-1, (x[d] - count[d] + 1) as i64] {
            numbers[d] = wrong;
            assert_eq!(outcome(&at_run_time, &[Input::new(ty.clone(), data.clone()), begin(&numbers)], element, 1), None);
        }

        let axes: Vec<usize> = (0..x.len()).filter(|&d| picks[16 + d].is_multiple_of(2)).collect();
        let source = |i: &[usize]| Some((0..x.len()).map(|d| if axes.contains(&d) { x[d] - 1 - i[d] } else { i[d] }).collect());
        check(&Op::ReverseV2(reverse_v2::Attributes { axes: axes.clone() }), element, &x, &x, &source);
    }

    #[test]
    fn sequences(x in shapes(2..5), element in elements(), picks in picks()) {
        let axis = picks[0] % x.len();
        let batch_axis = (axis + 1 + picks[1] % (x.len() - 1)) % x.len();
        let lengths: Vec<usize> = (0..x[batch_axis]).map(|b| picks[2 + b] % (x[axis] + 1)).collect();
        let source = |i: &[usize]| {
            let (mut from, length) = (i.to_vec(), lengths[i[batch_axis]]);
            if i[axis] < length {
                from[axis] = length - 1 - i[axis];
            }
            Some(from)
        };
        let a = reverse_sequence::Attributes { axis, batch_axis, lengths: lengths.clone() };
        check(&Op::ReverseSequence(a), element, &x, &x, &source);
        if lengths.is_empty() {
            return Ok(());
        }
        let ty = TensorType::new(element, x.clone());
        let data = bytes(3, ty.size_bytes());
        let of = |lengths: Vec<usize>, more: Vec<Input>| {
            let op = Op::ReverseSequence(reverse_sequence::Attributes { axis, batch_axis, lengths });
            let x = Input::new(ty.clone(), data.clone());
            outcome(&op, &std::iter::once(x).chain(more).collect::<Vec<_>>(), element, 1)
        };
        let index_type = [I32, I64][picks[23] % 2];
        let at_run_time = |numbers: &[i64]| {
            of(vec![], vec![Input::new(TensorType::new(index_type, [numbers.len()]), index_type.integer_bytes(numbers.iter().copied()))])
        };
        let mut numbers: Vec<i64> = lengths.iter().map(|&n| n as i64).collect();
        assert_eq!(at_run_time(&numbers), of(lengths.clone(), vec![]));
        // Of a negative length nothing is turned.
        let (mut none, b) = (lengths.clone(), picks[22] % lengths.len());
        (numbers[b], none[b]) = (-3, 0);
        assert_eq!(at_run_time(&numbers), of(none, vec![]));
        numbers[b] = x[axis] as i64 + 1;
        assert_eq!(at_run_time(&numbers), None);
    }

    #[test]
    fn repeated(x in shapes(1..5), element in elements(), picks in picks()) {
        let multiples: Vec<usize> = picks[..x.len()].iter().map(|p| p % 4).collect();
        let y: Vec<usize> = x.iter().zip(&multiples).map(|(d, m)| d * m).collect();
        let op = Op::Tile(tile::Attributes { multiples, is_counted: false });
        check(&op, element, &x, &y, &|i| Some(i.iter().zip(&x).map(|(i, d)| i % d).collect()));

        let ones: Vec<usize> = x.iter().zip(&picks[8..]).map(|(&d, p)| if p % 2 == 0 { 1 } else { d }).collect();
        let added = picks[23] % 3;
        let y = [&[2, 3][..added], &x].concat();
        let op = Op::BroadcastTo(broadcast_to::Attributes { shape: y.clone(), is_counted: false });
        check(&op, element, &ones, &y, &|i| Some(i[added..].iter().zip(&ones).map(|(&i, &d)| if d == 1 { 0 } else { i }).collect()));
    }

    #[test]
    fn mirrored(x in prop::collection::vec(1usize..5, 1..4), element in elements(), symmetric: bool, picks in picks()) {
        let most = |d: usize| x[d] - usize::from(!symmetric);
        let before: Vec<usize> = (0..x.len()).map(|d| picks[d] % (most(d) + 1)).collect();
        let after: Vec<usize> = (0..x.len()).map(|d| picks[8 + d] % (most(d) + 1)).collect();
        let y: Vec<usize> = (0..x.len()).map(|d| before[d] + x[d] + after[d]).collect();
        let place = |d: usize, i: usize| {
            let (at, size, out) = (i as i64 - before[d] as i64, x[d] as i64, i64::from(symmetric));
            (if at < 0 { -at - out } else if size <= at { 2 * size - 2 + out - at } else { at }) as usize
        };
        let op = Op::MirrorPad(mirror_pad::Attributes { before: before.clone(), after: after.clone(), symmetric });
        check(&op, element, &x, &y, &|i| Some((0..x.len()).map(|d| place(d, i[d])).collect()));
    }

    #[test]
    fn regrouped(n in 1usize..3, rows in 1usize..4, columns in 1usize..4, channels in 1usize..4, block in 1usize..4, element in elements()) {
        let (space, depth) = ([n, rows * block, columns * block, channels], [n, rows, columns, channels * block * block]);
        let a = depths::Attributes { block };
        let in_depth = |i: &[usize]| vec![i[0], i[1] / block, i[2] / block, (i[1] % block * block + i[2] % block) * channels + i[3]];
        let in_space = |i: &[usize]| {
            let (square, c) = (i[3] / channels, i[3] % channels);
            vec![i[0], i[1] * block + square / block, i[2] * block + square % block, c]
        };
        check(&Op::SpaceToDepth(space_to_depth::Attributes(a.clone())), element, &space, &depth, &|i| Some(in_space(i)));
        check(&Op::DepthToSpace(depth_to_space::Attributes(a)), element, &depth, &space, &|i| Some(in_depth(i)));
    }

    #[test]
    fn batched(n in 1usize..3, t in prop::collection::vec(1usize..4, 1..3), channels in 1usize..4, element in elements(), picks in picks()) {
        let m = t.len();
        let block: Vec<usize> = picks[..m].iter().map(|p| p % 3 + 1).collect();
        let ends = |p: usize, d: usize| (picks[p + d] % (t[d] * block[d])).min(4);
        let before: Vec<usize> = (0..m).map(|d| ends(4, d)).collect();
        let after: Vec<usize> = (0..m).map(|d| ends(8, d).min(t[d] * block[d] - 1 - before[d])).collect();
        let blocks: usize = block.iter().product();
        let space = [vec![n], (0..m).map(|d| t[d] * block[d] - before[d] - after[d]).collect(), vec![channels]].concat();
        let batch = [vec![n * blocks], t.clone(), vec![channels]].concat();
        let a = batches::Attributes { block: block.clone(), before: before.clone(), after };
        let in_space = |i: &[usize]| {
            let mut offset = i[0] / n;
            let mut source = i.to_vec();
            source[0] = i[0] % n;
            for d in (0..m).rev() {
                source[d + 1] = (i[d + 1] * block[d] + offset % block[d]).checked_sub(before[d]).filter(|at| *at < space[d + 1])?;
                offset /= block[d];
            }
            Some(source)
        };
        let in_batch = |i: &[usize]| {
            let at = |d: usize| i[d + 1] + before[d];
            let image = (0..m).fold(0, |image, d| image * block[d] + at(d) % block[d]);
            Some([vec![image * n + i[0]], (0..m).map(|d| at(d) / block[d]).collect(), vec![i[m + 1]]].concat())
        };
        check(&Op::SpaceToBatchNd(space_to_batch_nd::Attributes(a.clone())), element, &space, &batch, &in_space);
        check(&Op::BatchToSpaceNd(batch_to_space_nd::Attributes(a)), element, &batch, &space, &in_batch);
    }

    #[test]
    fn split_and_packed(x in shapes(1..5), element in elements(), axis: prop::sample::Index, picks in picks()) {
        let axis = axis.index(x.len());
        let size = element.bytes().unwrap();
        let ty = TensorType::new(element, x.clone());
        let data = bytes(3, ty.size_bytes());
        // Cut at some places.
        let mut cuts: Vec<usize> = picks[..picks[20] % 4].iter().map(|p| p % (x[axis] + 1)).chain([0, x[axis]]).collect();
        cuts.sort_unstable();
        let sizes: Vec<usize> = cuts.windows(2).map(|w| w[1] - w[0]).collect();
        let parts = |op: Op, sizes: &[usize], drops_axis: bool| {
            let results = run_all(&op, &[Input::new(ty.clone(), data.clone())], element, sizes.len());
            let mut first = 0;
            for (&n, (shape, got)) in sizes.iter().zip(results) {
                let mut whole = x.clone();
                whole[axis] = n;
                let source = |i: Vec<usize>| { let mut i = i; i[axis] += first; data[flat(&x, &i) * size..][..size].to_vec() };
                assert!(got == indices(&whole).into_iter().flat_map(source).collect::<Vec<u8>>(), "{op:?} of {x:?}");
                if drops_axis {
                    whole.remove(axis);
                }
                assert_eq!(shape, whole);
                first += n;
            }
        };
        parts(Op::SplitV(split_v::Attributes { axis, sizes: sizes.clone() }), &sizes, false);
        if 0 < x[axis] {
            parts(Op::Split(split::Attributes { axis }), &vec![1; x[axis]], false);
            parts(Op::Unpack(unpack::Attributes { axis }), &vec![1; x[axis]], true);
        }
        // What has been taken apart is put together again.
        let mut part = x.clone();
        let count = part.remove(axis);
        if 0 < count {
            let results = run_all(&Op::Unpack(unpack::Attributes { axis }), &[Input::new(ty.clone(), data.clone())], element, count);
            let inputs: Vec<Input> = results.into_iter().map(|(s, d)| Input::new(TensorType::new(element, s), d)).collect();
            let packed = run_all(&Op::Pack(pack::Attributes { axis }), &inputs, element, 1).remove(0);
            assert_eq!(packed, (x.clone(), data));
        }
    }

    #[test]
    fn scattered(x in prop::collection::vec(1usize..5, 1..5), n in prop::collection::vec(0usize..5, 0..3), constant: bool, picks in picks()) {
        let element = [I8, U8, I16, I32, I64, Bool, F32][picks[0] % 7];
        let depth = picks[1] % (x.len() + 1);
        let list = [&n[..], &[depth]].concat();
        let numbers: Vec<i64> = indices(&list).iter().enumerate().map(|(i, t)| (picks[(i + 2) % 24] % x[t[n.len()]]) as i64).collect();
        let updates = TensorType::new(element, [&n[..], &x[depth..]].concat());
        let values: Vec<i64> = noise(picks[2] as u64, updates.element_count()).map(|v| if element == Bool { v as i64 % 2 } else { v as i64 % 100 }).collect();
        let encoded = |values: &[i64]| match element {
            F32 => values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect(),
            _ => element.integer_bytes(values.iter().copied()),
        };
        let mut sums = vec![0i64; x.iter().product()];
        for i in indices(&updates.shape) {
            let row = flat(&n, &i[..n.len()]) * depth;
            let to: Vec<usize> = numbers[row..row + depth].iter().map(|&v| v as usize).chain(i[n.len()..].iter().copied()).collect();
            let (sum, update) = (&mut sums[flat(&x, &to)], values[flat(&updates.shape, &i)]);
            *sum = if element == Bool { *sum | update } else { *sum + update };
        }
        let op = Op::ScatterNd(scatter_nd::Attributes { shape: x.clone() });
        let of = |numbers: &[i64]| {
            let (ty, data) = (TensorType::new(I32, list.clone()), I32.integer_bytes(numbers.iter().copied()));
            let list = if constant { Input::constant(ty, data) } else { Input::new(ty, data) };
            outcome(&op, &[list, Input::new(updates.clone(), encoded(&values))], element, 1)
        };
        assert_eq!(of(&numbers), Some(vec![(x.clone(), encoded(&sums))]));
        if !constant && !numbers.is_empty() {
            let mut wrong = numbers.clone();
            let at = picks[3] % wrong.len();
            for index in [-1, x[at % depth] as i64] {
                wrong[at] = index;
                assert_eq!(of(&wrong), None);
            }
        }
    }

    #[test]
    fn updated(x in shapes(1..6), element in elements(), picks in picks()) {
        let count: Vec<usize> = (0..x.len()).map(|d| picks[8 + d] % (x[d] + 1)).collect();
        // Beginnings from which the part would leave the array are moved.
        let first: Vec<i64> = (0..x.len()).map(|d| (picks[d] % (x[d] + 3)) as i64 - 1).collect();
        let (ty, part) = (TensorType::new(element, x.clone()), TensorType::new(element, count.clone()));
        let size = element.bytes().unwrap();
        let (data, new) = (bytes(5, ty.size_bytes()), bytes(6, part.size_bytes()));
        let index_type = [I32, I64][picks[23] % 2];
        let begin = Input::new(TensorType::new(index_type, [x.len()]), index_type.integer_bytes(first.iter().copied()));
        let op = Op::DynamicUpdateSlice(dynamic_update_slice::Attributes { is_checked: false });
        let got = run_all(&op, &[Input::new(ty, data.clone()), Input::new(part, new.clone()), begin], element, 1).remove(0);
        let mut expected = data;
        for (n, i) in indices(&count).iter().enumerate() {
            let at: Vec<usize> = (0..x.len()).map(|d| i[d] + first[d].clamp(0, (x[d] - count[d]) as i64) as usize).collect();
            expected[flat(&x, &at) * size..][..size].copy_from_slice(&new[n * size..][..size]);
        }
        assert_eq!(got, (x, expected));
    }

    #[test]
    fn gathered(x in prop::collection::vec(1usize..5, 1..5), n in prop::collection::vec(1usize..4, 0..3), element in elements(),
                axis: prop::sample::Index, batch_dims in 0usize..3, picks in picks()) {
        let axis = axis.index(x.len());
        let batch_dims = batch_dims.min(axis);
        let list = [&x[..batch_dims], &n].concat();
        let index_type = [I16, I32, I64][picks[0] % 3];
        let numbers: Vec<i64> = indices(&list).iter().enumerate().map(|(i, _)| (picks[i % 24] % x[axis]) as i64).collect();
        let input = |shape: &[usize], numbers: &[i64]| {
            let (ty, data) = (TensorType::new(index_type, shape), index_type.integer_bytes(numbers.iter().copied()));
            if picks[23] % 2 == 0 { Input::constant(ty, data) } else { Input::new(ty, data) }
        };
        let indices_input = || input(&list, &numbers);
        let ty = TensorType::new(element, x.clone());
        let (size, data) = (element.bytes().unwrap(), bytes(5, ty.size_bytes()));
        let op = Op::Gather(gather::Attributes { axis, batch_dims });
        let (shape, got) = run_all(&op, &[Input::new(ty.clone(), data.clone()), indices_input()], element, 1).remove(0);
        assert_eq!(shape, [&x[..axis], &n, &x[axis + 1..]].concat());
        let source = |i: &Vec<usize>| {
            let list_index = [&i[..batch_dims], &i[axis..axis + n.len()]].concat();
            let from = [&i[..axis], &[numbers[flat(&list, &list_index)] as usize], &i[axis + n.len()..]].concat();
            data[flat(&x, &from) * size..][..size].to_vec()
        };
        assert_eq!(got, indices(&shape).iter().flat_map(source).collect::<Vec<u8>>());

        let depth = picks[1] % (x.len() + 1);
        let tuples: Vec<usize> = [&n[..], &[depth]].concat();
        let numbers: Vec<i64> = indices(&tuples).iter().enumerate().map(|(i, t)| (picks[(i + 3) % 24] % x[t[n.len()]]) as i64).collect();
        let input = input(&tuples, &numbers);
        let op = Op::GatherNd(gather_nd::Attributes {});
        let (shape, got) = run_all(&op, &[Input::new(ty, data.clone()), input], element, 1).remove(0);
        assert_eq!(shape, [&n[..], &x[depth..]].concat());
        let source = |i: &Vec<usize>| {
            let row = flat(&n, &i[..n.len()]) * depth;
            let from: Vec<usize> = numbers[row..row + depth].iter().map(|&v| v as usize).chain(i[n.len()..].iter().copied()).collect();
            data[flat(&x, &from) * size..][..size].to_vec()
        };
        assert_eq!(got, indices(&shape).iter().flat_map(source).collect::<Vec<u8>>());
    }

    #[test]
    fn margins(x in shapes(1..5), element in elements(), constant: bool, picks in picks()) {
        let before: Vec<usize> = picks[..x.len()].iter().map(|p| p % 3).collect();
        let after: Vec<usize> = picks[8..8 + x.len()].iter().map(|p| p % 3).collect();
        let (ty, one) = (TensorType::new(element, x.clone()), TensorType::new(element, []));
        let (data, value) = (bytes(1, ty.size_bytes()), bytes(2, one.size_bytes()));
        let value_input = if constant { Input::constant(one, value.clone()) } else { Input::new(one, value.clone()) };
        let op = Op::Padv2(padv2::Attributes { before: before.clone(), after: after.clone() });
        let (shape, got) = run_all(&op, &[Input::new(ty, data.clone()), value_input], element, 1).remove(0);
        let size = element.bytes().unwrap();
        let source = |i: &Vec<usize>| {
            let from: Option<Vec<usize>> = (0..x.len()).map(|d| i[d].checked_sub(before[d]).filter(|i| *i < x[d])).collect();
            from.map_or(value.clone(), |i| data[flat(&x, &i) * size..][..size].to_vec())
        };
        assert_eq!(got, indices(&shape).iter().flat_map(source).collect::<Vec<u8>>());
    }

    #[test]
    fn one_is_hot(x in shapes(0..4), axis: prop::sample::Index, depth in 0usize..20, picks in picks()) {
        let axis = axis.index(x.len() + 1);
        let element = [U8, I16, I32, I64, F32, Bool][picks[0] % 6];
        let index_type = [I32, I64][picks[1] % 2];
        let numbers: Vec<i64> = indices(&x).iter().enumerate().map(|(i, _)| (picks[i % 24] % 22) as i64 - 1).collect();
        let one = TensorType::new(element, []);
        let (on, off) = (bytes(1, one.size_bytes()), bytes(2, one.size_bytes()));
        let inputs = [
            Input::new(TensorType::new(index_type, x.clone()), index_type.integer_bytes(numbers.clone())),
            Input::new(one.clone(), on.clone()),
            Input::new(one, off.clone()),
        ];
        let (shape, got) = run_all(&Op::OneHot(one_hot::Attributes { axis, depth }), &inputs, element, 1).remove(0);
        let source = |i: &Vec<usize>| {
            let mut at = i.clone();
            let place = at.remove(axis);
            if numbers[flat(&x, &at)] == place as i64 { on.clone() } else { off.clone() }
        };
        assert_eq!(got, indices(&shape).iter().flat_map(source).collect::<Vec<u8>>());
    }

    #[test]
    fn diagonals(outer in shapes(0..3), rows in 1usize..5, columns in 1usize..5, element in elements()) {
        let n = rows.min(columns);
        let vectors = [&outer[..], &[n]].concat();
        let source = |i: &[usize]| (i[i.len() - 1] == i[i.len() - 2]).then(|| i[..i.len() - 1].to_vec());
        check(&Op::MatrixDiag(matrix_diag::Attributes {}), element, &vectors, &[&vectors[..], &[n]].concat(), &source);

        let (x, d) = (TensorType::new(element, [&outer[..], &[rows, columns]].concat()), TensorType::new(element, vectors.clone()));
        let (data, diagonal, size) = (bytes(1, x.size_bytes()), bytes(2, d.size_bytes()), element.bytes().unwrap());
        let inputs = [Input::new(x.clone(), data.clone()), Input::new(d, diagonal.clone())];
        let (shape, got) = run_all(&Op::MatrixSetDiag(matrix_set_diag::Attributes {}), &inputs, element, 1).remove(0);
        let from = |i: &Vec<usize>| match source(i) {
            Some(i) => diagonal[flat(&vectors, &i) * size..][..size].to_vec(),
            None => data[flat(&x.shape, i) * size..][..size].to_vec(),
        };
        assert_eq!(got, indices(&shape).iter().flat_map(from).collect::<Vec<u8>>());
    }
}

/// Squares with and without rests, for every size of element.
#[test]
fn large_transposes() {
    for element in [U8, I16, I32, I64] {
        for x in [vec![16, 16], vec![8, 33], vec![3, 19, 40], vec![2, 9, 5, 8]] {
            for order in [vec![1, 0], vec![2, 0, 1], vec![0, 2, 1], vec![0, 3, 1, 2], vec![3, 2, 1, 0]] {
                if order.len() == x.len() {
                    let y: Vec<usize> = order.iter().map(|&d| x[d]).collect();
                    let source = |i: &[usize]| Some((0..x.len()).map(|d| i[order.iter().position(|o| *o == d).unwrap()]).collect());
                    check(&Op::Transpose(transpose::Attributes { order: order.clone() }), element, &x, &y, &source);
                }
            }
        }
    }
}

#[test]
fn constants_of_shapes() {
    let m = &machines()[1];
    let result = |op: Op, element| run(op, &[], &TensorType::new(element, []), m).unwrap();
    assert_eq!(result(Op::Shape(shape::Attributes { shape: vec![2, 3], is_counted: false }), I64), (vec![2], I64.integer_bytes([2, 3])));
    assert_eq!(result(Op::Shape(shape::Attributes { shape: vec![], is_counted: false }), I32), (vec![0], vec![]));
    assert_eq!(result(Op::Rank(rank::Attributes { rank: 4 }), I32), (vec![], I32.integer_bytes([4])));
    assert_eq!(result(Op::ZerosLike(zeros_like::Attributes { shape: vec![3] }), I16), (vec![3], vec![0; 6]));
    assert_eq!(result(Op::BroadcastArgs(broadcast_args::Attributes { shape: vec![7] }), I32), (vec![1], I32.integer_bytes([7])));
    let range = |element, numbers: [Vec<u8>; 2]| {
        let inputs = numbers.map(|n| Input::new(TensorType::new(element, []), n));
        run(Op::Range(range::Attributes { count: 3, is_counted: false }), &inputs, &TensorType::new(element, []), m).unwrap()
    };
    assert_eq!(range(I32, [5, -3].map(|n| I32.integer_bytes([n]))), (vec![3], I32.integer_bytes([5, 2, -1])));
    let sums = [0.1f32, 0.1 + 0.2, 0.1 + 0.2 + 0.2].map(f32::to_le_bytes).concat();
    assert_eq!(range(F32, [0.1f32, 0.2].map(|n| n.to_le_bytes().to_vec())), (vec![3], sums));
}

#[test]
fn fills() {
    for element in [U8, I16, I32, I64, Complex128] {
        let one = TensorType::new(element, []);
        let value = bytes(9, one.size_bytes());
        for shape in [vec![], vec![0, 3], vec![1], vec![5, 7], vec![200]] {
            let op = Op::Fill(fill::Attributes { shape: shape.clone(), is_counted: false });
            let got = run_all(&op, &[Input::new(one.clone(), value.clone())], element, 1).remove(0);
            assert_eq!(got, (shape.clone(), value.repeat(shape.iter().product())));
        }
    }
}

#[test]
fn views() {
    let check_view = |op: Op, y: &[usize]| {
        let data = bytes(4, 24);
        assert_eq!(run_all(&op, &[Input::new(TensorType::new(I32, [1, 6, 1]), data.clone())], I32, 1).remove(0), (y.to_vec(), data));
    };
    check_view(Op::Squeeze(squeeze::Attributes(ones::Attributes { shape: vec![6] })), &[6]);
    check_view(Op::ExpandDims(expand_dims::Attributes(ones::Attributes { shape: vec![1, 6, 1, 1] })), &[1, 6, 1, 1]);
}

/// The code of what `infer`, or else lowering, refuses.
fn refusal(op: Op, inputs: &[TensorType], outputs: &[TensorType]) -> Option<Code> {
    let inputs = inputs.iter().map(|ty| Some(Operand { ty, data: None })).collect();
    op.infer(&Signature { inputs, outputs: outputs.iter().collect() }).err().map(|d| d.code)
}

#[test]
fn what_does_not_fit_is_refused() {
    let f = |shape: &[usize]| TensorType::new(F32, shape);
    let (x, y) = ([f(&[2, 3])], [f(&[])]);
    let transpose = |order: &[usize]| Op::Transpose(transpose::Attributes { order: order.to_vec() });
    assert_eq!(
        [transpose(&[1, 0]), transpose(&[0, 0]), transpose(&[0])].map(|op| refusal(op, &x, &y)),
        [None, Some(Code::OPERAND), Some(Code::OPERAND)]
    );
    assert_eq!(refusal(transpose(&[0]), &[TensorType::new(I4, [2])], &[TensorType::new(I4, [])]), Some(Code::TYPES));
    let slice =
        |first: &[usize], count: &[usize]| Op::Slice(slice::Attributes { first: first.to_vec(), count: count.to_vec(), is_counted: false });
    assert_eq!(refusal(slice(&[1, 0], &[1, 3]), &x, &y), None);
    for op in [slice(&[1, 0], &[2, 3]), slice(&[0], &[1]), slice(&[usize::MAX, 0], &[1, 1])] {
        assert_eq!(refusal(op, &x, &y), Some(Code::OPERAND));
    }
    let split = |axis| Op::Split(split::Attributes { axis });
    assert_eq!(refusal(split(1), &x, &[f(&[]), f(&[]), f(&[])]), None);
    assert_eq!(refusal(split(1), &x, &[f(&[]), f(&[])]), Some(Code::OPERAND));
    assert_eq!(refusal(split(2), &x, &y), Some(Code::ATTRIBUTE));
    let split_v = |sizes: &[usize]| Op::SplitV(split_v::Attributes { axis: 1, sizes: sizes.to_vec() });
    assert_eq!(refusal(split_v(&[1, 2]), &x, &[f(&[]), f(&[])]), None);
    assert_eq!(refusal(split_v(&[1, 1]), &x, &[f(&[]), f(&[])]), Some(Code::OPERAND));
    assert_eq!(refusal(split_v(&[3]), &x, &[f(&[]), f(&[])]), Some(Code::OPERAND));
    assert_eq!(refusal(Op::Unpack(unpack::Attributes { axis: 0 }), &x, &y), Some(Code::OPERAND));
    let q = |scale| TensorType::quantized(I8, [2], scale, 0);
    assert_eq!(refusal(Op::Unpack(unpack::Attributes { axis: 0 }), &[q(0.1)], &[q(0.1), q(0.2)]), Some(Code::SCALE));
    let pack = || Op::Pack(pack::Attributes { axis: 0 });
    assert_eq!(refusal(pack(), &[f(&[2]), f(&[3])], &y), Some(Code::OPERAND));
    assert_eq!(refusal(pack(), &[q(0.1), q(0.2)], &[q(0.1)]), Some(Code::SCALE));
    let squeeze = Op::Squeeze(squeeze::Attributes(ones::Attributes { shape: vec![5] }));
    let expand = Op::ExpandDims(expand_dims::Attributes(ones::Attributes { shape: vec![2, 3, 2] }));
    assert_eq!([squeeze, expand].map(|op| refusal(op, &x, &y)), [Some(Code::OPERAND); 2]);
    assert_eq!(refusal(Op::Fill(fill::Attributes { shape: vec![2], is_counted: false }), &[f(&[1])], &y), Some(Code::OPERAND));
    assert_eq!(refusal(Op::Fill(fill::Attributes { shape: vec![1 << 30; 3], is_counted: false }), &[f(&[])], &y), Some(Code::SHAPE));
    assert_eq!(refusal(Op::Tile(tile::Attributes { multiples: vec![1], is_counted: false }), &x, &y), Some(Code::OPERAND));
    assert_eq!(refusal(Op::Tile(tile::Attributes { multiples: vec![1 << 40; 2], is_counted: false }), &x, &y), Some(Code::SHAPE));
    for shape in [vec![2, 4], vec![3], vec![1, 3]] {
        assert_eq!(refusal(Op::BroadcastTo(broadcast_to::Attributes { shape, is_counted: false }), &x, &y), Some(Code::OPERAND));
    }
    for axes in [vec![2], vec![1, 0], vec![1, 1]] {
        assert_eq!(refusal(Op::ReverseV2(reverse_v2::Attributes { axes }), &x, &y), Some(Code::ATTRIBUTE));
    }
    for (axis, batch_axis, lengths) in [(0, 0, vec![1, 1]), (1, 0, vec![4, 0]), (1, 0, vec![1])] {
        let a = reverse_sequence::Attributes { axis, batch_axis, lengths };
        assert_eq!(refusal(Op::ReverseSequence(a), &x, &y), Some(Code::OPERAND));
    }
    let mirror = |n, symmetric| Op::MirrorPad(mirror_pad::Attributes { before: vec![n, 0], after: vec![0, 0], symmetric });
    assert_eq!([mirror(1, false), mirror(2, true)].map(|op| refusal(op, &x, &y)), [None; 2]);
    assert_eq!([mirror(2, false), mirror(3, true)].map(|op| refusal(op, &x, &y)), [Some(Code::ATTRIBUTE); 2]);
    let many = Op::MirrorPad(mirror_pad::Attributes { before: vec![1; 7], after: vec![1; 7], symmetric: true });
    assert_eq!(refusal(many, &[f(&[1; 7])], &y), Some(Code::FEATURE));
    let pad = || Op::Padv2(padv2::Attributes { before: vec![1, 1], after: vec![0, 0] });
    assert_eq!(refusal(pad(), &[f(&[2, 3]), f(&[])], &y), None);
    assert_eq!(refusal(pad(), &[f(&[2, 3]), f(&[2])], &y), Some(Code::OPERAND));
    assert_eq!(refusal(pad(), &[f(&[2]), f(&[])], &y), Some(Code::OPERAND));
    let image = [f(&[1, 3, 4, 5])];
    for block in [0, 2] {
        let a = depths::Attributes { block };
        assert_eq!(refusal(Op::SpaceToDepth(space_to_depth::Attributes(a.clone())), &image, &y), Some(Code::OPERAND));
        assert_eq!(refusal(Op::DepthToSpace(depth_to_space::Attributes(a)), &image, &y), Some(Code::OPERAND));
    }
    let batches = |block: &[usize], before: &[usize]| {
        let after = vec![0; before.len()];
        batches::Attributes { block: block.to_vec(), before: before.to_vec(), after }
    };
    for a in [batches(&[2, 2], &[0, 0]), batches(&[0, 1], &[0, 0]), batches(&[1], &[0])] {
        assert_eq!(refusal(Op::SpaceToBatchNd(space_to_batch_nd::Attributes(a)), &image, &y), Some(Code::OPERAND));
    }
    for a in [batches(&[2, 1], &[0, 0]), batches(&[1, 1], &[4, 0])] {
        assert_eq!(refusal(Op::BatchToSpaceNd(batch_to_space_nd::Attributes(a)), &image, &y), Some(Code::OPERAND));
    }
    assert_eq!(refusal(Op::SpaceToBatchNd(space_to_batch_nd::Attributes(batches(&[], &[]))), &x, &y), Some(Code::OPERAND));
    assert_eq!(refusal(Op::MatrixDiag(matrix_diag::Attributes {}), &[f(&[])], &y), Some(Code::OPERAND));
    let set = |x: &[usize], d: &[usize]| refusal(Op::MatrixSetDiag(matrix_set_diag::Attributes {}), &[f(x), f(d)], &[f(&[])]);
    assert_eq!([set(&[2, 3], &[2]), set(&[2, 3], &[3]), set(&[2], &[2])], [None, Some(Code::OPERAND), Some(Code::OPERAND)]);
    let i = |shape: &[usize]| TensorType::new(I32, shape);
    let hot = |axis| Op::OneHot(one_hot::Attributes { axis, depth: 3 });
    assert_eq!(refusal(hot(1), &[i(&[2]), f(&[]), f(&[])], &y), None);
    assert_eq!(refusal(hot(2), &[i(&[2]), f(&[]), f(&[])], &y), Some(Code::ATTRIBUTE));
    assert_eq!(refusal(hot(0), &[i(&[2]), f(&[2]), f(&[])], &y), Some(Code::OPERAND));
    let gather = |axis, batch_dims| Op::Gather(gather::Attributes { axis, batch_dims });
    assert_eq!(refusal(gather(1, 1), &[f(&[2, 3]), i(&[2, 5])], &y), None);
    assert_eq!(refusal(gather(1, 1), &[f(&[2, 3]), i(&[3, 5])], &y), Some(Code::OPERAND));
    assert_eq!(refusal(gather(0, 1), &[f(&[2, 3]), i(&[2, 5])], &y), Some(Code::OPERAND));
    assert_eq!(refusal(gather(0, 0), &[f(&[2, 3]), f(&[2])], &y), Some(Code::TYPES));
    let gather_nd = || Op::GatherNd(gather_nd::Attributes {});
    assert_eq!(
        [&[4, 2][..], &[4, 3], &[]].map(|s| refusal(gather_nd(), &[f(&[2, 3]), i(s)], &y)),
        [None, Some(Code::OPERAND), Some(Code::OPERAND)]
    );
    let range = |count| Op::Range(range::Attributes { count, is_counted: false });
    assert_eq!(refusal(range(2), &[i(&[]), i(&[])], &[i(&[])]), None);
    assert_eq!(refusal(range(2), &[f(&[]), f(&[])], &[i(&[])]), Some(Code::TYPES));
    assert_eq!(refusal(range(2), &[i(&[1]), i(&[])], &[i(&[])]), Some(Code::OPERAND));
    assert_eq!(refusal(range(1 << 31), &[i(&[]), i(&[])], &[i(&[])]), Some(Code::ATTRIBUTE));
    assert_eq!(refusal(Op::Shape(shape::Attributes { shape: vec![1 << 31], is_counted: false }), &[], &[i(&[])]), Some(Code::ATTRIBUTE));
}

/// Constant indices are checked when a model is compiled, others when it runs.
#[test]
fn indices_that_do_not_exist() {
    let x = || Input::new(TensorType::new(F32, [3]), vec![0; 12]);
    let y = TensorType::new(F32, []);
    let op = || Op::Gather(gather::Attributes { axis: 0, batch_dims: 0 });
    let list = TensorType::new(I32, [2]);
    for (index, code) in [(2, None), (3, Some(Code::ATTRIBUTE)), (-1, Some(Code::ATTRIBUTE))] {
        let indices = Input::constant(list.clone(), I32.integer_bytes([0, index]));
        assert_eq!(run(op(), &[x(), indices], &y, &machines()[1]).err().map(|d| d.code), code);
    }
    let of = |ty: ElementType, shape: &[usize], numbers: &[i64]| {
        Input::new(TensorType::new(ty, shape), ty.integer_bytes(numbers.iter().copied()))
    };
    for ty in [I16, I32, I64] {
        let is_right = |index| outcome(&op(), &[x(), of(ty, &[2], &[0, index])], F32, 1).is_some();
        assert_eq!([0, 2, 3, -1, i16::MAX.into(), i16::MIN.into()].map(is_right), [true, true, false, false, false, false]);
    }
    assert_eq!(outcome(&op(), &[x(), of(I64, &[1], &[1 << 32])], F32, 1), None);
    // Every index must be in its own axis, even where another one makes up for it.
    let matrix = || Input::new(TensorType::new(F32, [4, 3]), vec![0; 48]);
    let nd = |tuple: [i64; 2]| outcome(&Op::GatherNd(gather_nd::Attributes {}), &[matrix(), of(I32, &[2], &tuple)], F32, 1).is_some();
    assert_eq!([[3, 2], [0, 11], [4, -1], [4, 0]].map(nd), [true, false, false, false]);
    let looked_up =
        |index| outcome(&Op::EmbeddingLookup(embedding_lookup::Attributes {}), &[of(I32, &[2], &[index, 0]), matrix()], F32, 1).is_some();
    assert_eq!([3, 4, -1].map(looked_up), [true, false, false]);
    // Nothing can be picked from nothing.
    let none = Input::new(TensorType::new(F32, [0]), vec![]);
    assert_eq!(run(op(), &[none, of(I32, &[2], &[0, 0])], &y, &machines()[1]).err().map(|d| d.code), Some(Code::OPERAND));
}

/// Rows of bytes times a scale for each row, or for all.
#[test]
fn rows_of_bytes_become_floats() {
    for (rows, columns, per_row) in [(5, 7, false), (5, 7, true), (1, 70, true), (3, 1, false)] {
        let mut table = TensorType::quantized(I8, [rows, columns], 0.5, 0);
        if per_row {
            let scales: Vec<f32> = (0..rows).map(|r| 0.1 * (r + 1) as f32).collect();
            let zero_points = vec![0; rows];
            table.quantization = Some(Quantization { scales, zero_points, axis: 0 }.into());
        }
        let data = bytes(3, rows * columns);
        let picks: Vec<usize> = (0..9).map(|i| i * 2 % rows).collect();
        let list = Input::new(TensorType::new(I32, [9]), I32.integer_bytes(picks.iter().map(|&p| p as i64)));
        let op = Op::EmbeddingLookup(embedding_lookup::Attributes {});
        let scale = |row: usize| if per_row { 0.1 * (row + 1) as f32 } else { 0.5 };
        let expected = |row: usize| data[row * columns..][..columns].iter().map(move |&b| f32::from(b as i8) * scale(row));
        let expected: Vec<u8> = picks.iter().flat_map(|&row| expected(row)).flat_map(f32::to_le_bytes).collect();
        for table in [Input::new(table.clone(), data.clone()), Input::constant(table, data.clone())] {
            let list = Input::new(list.ty.clone(), list.data.clone());
            assert_eq!(run_all(&op, &[list, table], F32, 1), [(vec![9, columns], expected.clone())]);
        }
    }
}

/// A dying array is changed where it is, another one copied first.
#[test]
fn parts_are_put_in_place() {
    let text = |outputs: &str| {
        format!(
            "graph \"g\"\ninputs %a, %part, %first\noutputs {outputs}\n%a: f32[4,6]\n%part: f32[2,3]\n%first: i32[2]\n\
             %x: f32[4,6] = neg %a {{}} @0\n%y: f32[4,6] = dynamic_update_slice %x, %part, %first {{is_checked=false}} @1\n%z: f32[4,6] = neg %y {{}} @2\n"
        )
    };
    let (a, part): (Vec<f32>, Vec<f32>) = ((0..24).map(|i| i as f32).collect(), (0..6).map(|i| 100.0 + i as f32).collect());
    for (outputs, scratch) in [("%z", 96), ("%z, %x", 192)] {
        let graph = cranelite_graph::text::parse(&text(outputs)).unwrap();
        for m in machines() {
            let program = lower(&graph, &m, Goal::Speed).unwrap();
            verify::verify(&program).unwrap_or_else(|e| panic!("{e:?}"));
            let own = program.buffers.iter().filter(|b| b.role == cranelite_tile::Role::Scratch && b.view.is_none());
            assert!(own.map(|b| b.size_bytes).sum::<u64>() <= scratch, "{:?}", program.buffers);
            for (first, [row, column]) in [([1, 2], [1, 2]), ([-5, 9], [0, 3])] {
                let mut expected: Vec<f32> = a.clone();
                for (i, p) in part.iter().enumerate() {
                    expected[(row + i / 3) * 6 + column + i % 3] = -p;
                }
                let mut results = [vec![0; 96], vec![0; 96]];
                let mut slices: Vec<&mut [u8]> = results.iter_mut().take(graph.outputs.len()).map(|r| &mut r[..]).collect();
                let [a, part] = [&a, &part].map(|v| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
                interpret::run(&program, &[&a, &part, &I32.integer_bytes(first)], &mut slices).unwrap();
                assert_eq!(results[0], expected.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
            }
        }
    }
}
