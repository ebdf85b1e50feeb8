//! What operators do with first dimensions that are counted at run time: count them, look at a count, and make rows beyond it harmless.
//!
//! Not which operators take them (`ops/counts.rs`). The idea: a count is one i32 that some node has written; whoever would see rows beyond it overwrites
//! these first by what changes nothing.

use super::{Context, copy, indices};
use crate::graph::{Node, ValueId};
use cranelite_tile::{BufferId, Cond, Elem, Index, KernelBuilder};

/// The one number in this buffer says how many rows a value has.
pub fn of(cx: &mut Context, v: ValueId) -> Option<BufferId> {
    cx.graph.counts.get(&v).copied().map(|count| cx.buffer(count))
}

/// Writes the count of a node's result, its second result: the first of the sizes in an input, `rows` times. Ends the invocation unless that is at
/// most the first of `sizes`, and the others are as they are there.
pub fn by_vector(cx: &mut Context, node: &Node, input: usize, sizes: &[usize], rows: usize) {
    let elem = indices::elem(cx.input_type(node, input).element).expect("infer has seen the type");
    let (from, to) = (cx.input(node, input), cx.output(node, 1));
    let ranges: Vec<_> = sizes.iter().enumerate().map(|(d, &n)| (Some(if d == 0 { 0 } else { n as i64 }), n as i64)).collect();
    indices::check(cx, from, elem, 1, &ranges);
    let mut k = KernelBuilder::new(format!("count_{elem}_{rows}"));
    let (x, y) = (k.read("sizes"), k.write("count"));
    let first = k.load(elem.x(1), x.at(0));
    let rows = k.int(elem.x(1), rows as i64);
    let count = k.mul(first, rows);
    let count = k.narrow(count, Elem::I32);
    k.store(y.at(0), count);
    cx.call(k.finish(), &[from, to], &[]);
}

/// Ends the invocation unless two counts are equal; each is the first number in its buffer.
pub fn agree(cx: &mut Context, a: BufferId, b: BufferId) {
    let int = Elem::I32.x(1);
    let mut k = KernelBuilder::new("counts_agree");
    let (x, y, status) = (k.read("a"), k.read("b"), k.write("status"));
    let (a_count, b_count) = (k.load(int, x.at(0)), k.load(int, y.at(0)));
    let (zero, one) = (k.int(int, 0), k.int(int, 1));
    let differ = k.compare(Cond::Ne, a_count, b_count);
    let found = k.select(differ, one, zero);
    k.store(status.at(0), found);
    let result = cx.scratch("status", 4);
    cx.call(k.finish(), &[a, b, result], &[]);
    cx.check(result);
}

/// Ends the invocation unless all operands of a node that works element by element, or whose result is handed on in that way, are counted alike.
pub fn all_agree(cx: &mut Context, node: &Node) {
    if cx.graph.counts.is_empty() {
        return;
    }
    let own = node.inputs.iter().filter(|_| node.op.is_elementwise());
    let reads = own.chain(node.then.iter().flat_map(|t| &t.inputs)).flatten();
    let mut counts: Vec<ValueId> = reads.filter_map(|v| cx.graph.counts.get(v).copied()).collect();
    counts.extend(node.outputs.first().and_then(|v| cx.graph.counts.get(v)).filter(|_| !counts.is_empty()));
    counts.sort_unstable();
    counts.dedup();
    for pair in counts.windows(2) {
        let [a, b] = [pair[0], pair[1]].map(|v| cx.buffer(v));
        agree(cx, a, b);
    }
}

/// The first input of a node, with all elements of the rows beyond its count being `element`, or `of_none` if there are no others: where it is, if
/// nobody needs it later, else as a copy.
pub fn without_rest(cx: &mut Context, node: &Node, [element, of_none]: [&[u8]; 2]) -> BufferId {
    let value = node.input(0).expect("a required input, checked by infer");
    let from = cx.input(node, 0);
    let Some(count) = of(cx, value) else { return from };
    let ty = cx.graph.ty(value);
    let (rows, row_bytes) = (ty.shape[0], ty.size_bytes() / ty.shape[0].max(1));
    if rows == 0 || row_bytes == 0 {
        return from;
    }
    let to = if cx.is_last_read(node, from) { from } else { cx.scratch("counted", ty.size_bytes() as u64) };
    if to != from {
        copy::whole(cx, from, to);
    }
    let elem = copy::container(element.len()).expect("1, 2, 4 or 8 bytes");
    let mut k = KernelBuilder::new(format!("rest_{rows}x{row_bytes}"));
    let (x, both, y) = (k.read("count"), k.read("elements"), k.write("rest"));
    let int = Elem::I32.x(1);
    let (count_value, all) = (k.load(int, x.at(0)), k.int(int, rows as i64));
    let zero = k.int(int, 0);
    let left = k.sub(all, count_value);
    // As an index of two constants: the scalar is chosen in memory, whatever its size is.
    let is_none = k.compare(Cond::Le, count_value, zero);
    let one = k.int(int, 1);
    let choice = k.select(is_none, one, zero);
    let choice = k.clamped_index("choice", choice, 0, 1);
    let left = k.clamped_index("left", left, 0, rows as i64);
    let lanes = cx.machine.lanes(elem);
    k.each("row", left, 1, |k, row| {
        // The last ones, from the end.
        let row = Index::from(row) * -1 + (rows - 1);
        let size = row_bytes / elem.bytes() as usize;
        super::channels::each_block(k, size, lanes, 4, |k, b| {
            let v = k.load(elem.x(1), both.at(Index::from(choice) * i64::from(elem.bytes())));
            let v = k.splat(v, b.lanes);
            b.store(k, y.at(row.clone() * row_bytes as i64 + b.first.clone() * i64::from(elem.bytes())), v);
        });
    });
    let elements = cx.constant("elements", [element, of_none].concat(), 64);
    cx.call(k.finish(), &[count, elements, to], &[]);
    to
}

/// The rows of all inputs of a node, each as many as are counted, one after the other; how many these are is its second result.
pub fn join(cx: &mut Context, node: &Node) {
    let int = Elem::I32.x(1);
    let to = cx.output(node, 0);
    let row_bytes = cx.output_type(node, 0).size_bytes() / cx.output_type(node, 0).shape[0].max(1);
    let mut before = cx.constant_i32("zero", &[0]);
    let mut most = 0;
    super::moves::fill(cx, node, 0);
    for (i, v) in node.inputs.iter().enumerate() {
        let v = v.expect("a required input, checked by infer");
        let ty = cx.graph.ty(v);
        let rows = ty.shape[0];
        // What is beyond the count of one is overwritten by the next.
        if 0 < ty.size_bytes() {
            let mut k = KernelBuilder::new(format!("rows_{}_after_{most}", ty.size_bytes()));
            let (x, first, y) = (k.read("x"), k.read("first"), k.write("y"));
            let first = k.load(int, first.at(0));
            let first = k.clamped_index("first", first, 0, most as i64);
            copy::run(&mut k, cx.machine.lanes(Elem::U8), ty.size_bytes(), (x, 0.into()), (y, Index::from(first) * row_bytes as i64));
            let from = cx.buffer(v);
            cx.call(k.finish(), &[from, before, to], &[]);
        }
        most += rows;
        let after = if i + 1 == node.inputs.len() { cx.output(node, 1) } else { cx.scratch("rows", 4) };
        let own = match of(cx, v) {
            Some(count) => count,
            None => cx.constant_i32("rows", &[rows as i32]),
        };
        let mut k = KernelBuilder::new("rows");
        let (a, b, sum) = (k.read("before"), k.read("own"), k.write("after"));
        let (a, b) = (k.load(int, a.at(0)), k.load(int, b.at(0)));
        let all = k.add(a, b);
        k.store(sum.at(0), all);
        cx.call(k.finish(), &[before, own, after], &[]);
        before = after;
    }
}

/// Divides the floats of a node's result by the number of elements that each is the sum of: `others` for each row of the first input.
pub fn divide(cx: &mut Context, node: &Node, others: u64) {
    let count = node.input(0).and_then(|v| of(cx, v)).expect("an input that is counted");
    let (int, lanes) = (Elem::I32.x(1), cx.machine.lanes(Elem::F32));
    let size = cx.output_type(node, 0).element_count();
    let mut k = KernelBuilder::new(format!("mean_of_counted_{size}"));
    let (x, y) = (k.read("count"), k.read_write("y"));
    let (rows, others) = (k.load(int, x.at(0)), k.int(int, others as i64));
    let all = k.mul(rows, others);
    let divisor = k.to_float(all, Elem::F32);
    // Each element once, since it is divided where it is.
    if 0 < size / lanes {
        copy::each(&mut k, "vector", size / lanes, |k, i| {
            let at = i * (4 * lanes) as i64;
            let v = k.load(Elem::F32.x(lanes), y.at(at.clone()));
            let divisor = k.splat(divisor, lanes);
            let v = k.div(v, divisor);
            k.store(y.at(at), v);
        });
    }
    for i in size / lanes * lanes..size {
        let v = k.load(Elem::F32.x(1), y.at(4 * i));
        let v = k.div(v, divisor);
        k.store(y.at(4 * i), v);
    }
    let to = cx.output(node, 0);
    cx.call(k.finish(), &[count, to], &[]);
}
