//! Indices that are known at run time only: a check that ends the invocation where one is out of range.
//!
//! Not the accesses, which clamp what they are given, so that none leaves its buffer whatever the numbers are. The idea: a kernel looks at all
//! indices before any of them is used and writes a status, and what follows in the schedule happens only if that is 0.

use super::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::tensor::{ElementType, TensorType};
use cranelite_tile::{BufferId, Cond, Elem, Index, KernelBuilder};

/// The element type of indices.
pub fn elem(element: ElementType) -> Option<Elem> {
    match element {
        ElementType::I16 => Some(Elem::I16),
        ElementType::I32 => Some(Elem::I32),
        ElementType::I64 => Some(Elem::I64),
        _ => None,
    }
}

/// The numbers of a constant.
pub fn numbers(ty: &TensorType, data: &[u8]) -> Vec<i64> {
    let size = ty.element.bytes().expect("infer has seen the type");
    let number = |b: &[u8]| {
        let mut all = [if b[size - 1] < 128 { 0 } else { 255 }; 8];
        all[..size].copy_from_slice(b);
        i64::from_le_bytes(all)
    };
    data.chunks_exact(size).map(number).collect()
}

/// Tuples of indices of axes that are so long, in a node's input: constant ones are refused that are out of range, others end the invocation.
pub fn in_axes(cx: &mut Context, node: &Node, input: usize, count: usize, sizes: &[usize]) -> Result<(), Diagnostic> {
    if count == 0 || sizes.is_empty() {
        return Ok(());
    }
    if sizes.contains(&0) {
        return Err(Diagnostic::new(Code::OPERAND, "there is nothing that indices could name")
            .expected("axes that are not empty")
            .found(format!("axes of {sizes:?}")));
    }
    let ty = cx.input_type(node, input);
    if let Some(data) = cx.constant_input(node, input) {
        for (index, &size) in numbers(ty, data).into_iter().zip(sizes.iter().cycle()) {
            if usize::try_from(index).ok().is_none_or(|i| size <= i) {
                return Err(Diagnostic::new(Code::ATTRIBUTE, "an index is out of range")
                    .detail(format!("input {input}"))
                    .expected(format!("0 to {}", size - 1))
                    .found(index.to_string()));
            }
        }
        return Ok(());
    }
    let ranges: Vec<_> = sizes.iter().map(|&size| (Some(0), size as i64 - 1)).collect();
    let buffer = cx.input(node, input);
    let counted = node.input(input).and_then(|v| cx.graph.counts.get(&v)).map(|v| (cx.buffer(*v), ty.shape[0]));
    check_counted(cx, buffer, elem(ty.element).expect("infer has seen the type"), count, &ranges, counted);
    Ok(())
}

/// Ends the invocation unless element `j` of each of so many tuples lies in range `j`, both ends included; the first end may be none.
pub fn check(cx: &mut Context, indices: BufferId, elem: Elem, count: usize, ranges: &[(Option<i64>, i64)]) {
    check_counted(cx, indices, elem, count, ranges, None);
}

/// As `check`; `counted`: how many of so many rows there are.
fn check_counted(
    cx: &mut Context,
    indices: BufferId,
    elem: Elem,
    count: usize,
    ranges: &[(Option<i64>, i64)],
    counted: Option<(BufferId, usize)>,
) {
    if count == 0 || ranges.is_empty() {
        return;
    }
    let shown: Vec<String> = ranges.iter().map(|(_, high)| high.to_string()).collect();
    let mut k = KernelBuilder::new(format!("indices_{elem}_{}", shown.join("x")));
    let (x, status) = (k.read("indices"), k.write("status"));
    let wide = if elem == Elem::I64 { elem.x(1) } else { Elem::I32.x(1) };
    let [zero, one] = [0, 1].map(|n| k.int(wide, n));
    let most = match counted {
        None => Index::from(count),
        Some((_, rows)) => {
            let list = k.read("rows");
            let v = k.load(Elem::I32.x(1), list.at(0));
            Index::from(k.clamped_index("rows", v, 0, rows as i64)) * (count / rows) as i64
        }
    };
    let found = k.repeat("n", most, 1, &[zero], |k, n, found| {
        let mut found = found[0];
        for (j, &(low, high)) in ranges.iter().enumerate() {
            let v = k.load(elem.x(1), x.at((n * ranges.len() as i64 + j) * i64::from(elem.bytes())));
            let v = k.widen(v, wide.elem);
            // What does not fit the type is in no index.
            let most = k.int(wide, high.min(wide.elem.int_range().1));
            let mut bad = k.compare(Cond::Gt, v, most);
            if let Some(low) = low {
                let least = k.int(wide, low);
                let below = k.compare(Cond::Lt, v, least);
                bad = k.or(bad, below);
            }
            found = k.select(bad, one, found);
        }
        vec![found]
    });
    let found = k.narrow(found[0], Elem::I32);
    k.store(status.at(0), found);
    let buffer = cx.scratch("status", 4);
    let buffers: Vec<BufferId> = [indices, buffer].into_iter().chain(counted.map(|(list, _)| list)).collect();
    cx.call(k.finish(), &buffers, &[]);
    cx.check(buffer);
}

/// Ends the invocation if an f32 is below 0.
pub fn check_not_negative(cx: &mut Context, number: BufferId) {
    let status = cx.scratch("status", 4);
    let mut k = KernelBuilder::new("is_negative");
    let (x, y) = (k.read("x"), k.write("status"));
    let (v, zero) = (k.load(Elem::F32.x(1), x.at(0)), k.float(Elem::F32.x(1), 0.0));
    let is_negative = k.compare(Cond::Lt, v, zero);
    let [no, yes] = [0, 1].map(|n| k.int(Elem::I32.x(1), n));
    let v = k.select(is_negative, yes, no);
    k.store(y.at(0), v);
    cx.call(k.finish(), &[number, status], &[]);
    cx.check(status);
}
