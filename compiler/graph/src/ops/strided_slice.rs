//! STRIDED_SLICE: y = x[begin : end : stride] along every axis, as in Python; axes may be dropped or added.
//!
//! Any element type of 1, 2, 4 or 8 whole bytes; it copies. Begin, end and strides are constants. Axes are counted as TensorFlow Lite
//! counts them, not as Python does: an ellipsis stands for one axis at least, and what is named beyond the last axis is ignored.
//!
//! With `offset` the end counts from the first element taken. One element that is picked (`shrink_axis_mask`) is that element whatever the
//! stride, where the reference writes nothing if that is negative. Refused is what the reference computes from memory that is not the
//! tensor's: an element that does not exist; new axes behind the last index; and with `offset` new axes whose end is not 1 (there they
//! are as long as that end), axes without an end of their own, ends outside of the axis, and an `end_mask` that says something else than
//! the end.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::slice::{self, slice};
use crate::ops::channels::{self, Channels, Intervals};
use crate::ops::moves::Moves;
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::text::fields::fields;

/// Per axis of the input: the first element taken, the distance to the next, how many are taken; and the shape of the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub first: Vec<usize>,
    pub stride: Vec<i64>,
    pub count: Vec<usize>,
    pub shape: Vec<usize>,
}
fields!(first, stride, count, shape);

/// What the model says of one axis of the input.
#[derive(Clone, Copy, Debug)]
struct Range {
    begin: Option<i64>,
    end: Option<i64>,
    stride: i64,
    /// Only the element at `begin`, and no axis in the result.
    shrink: bool,
}

impl Range {
    const ALL: Range = Range { begin: None, end: None, stride: 1, shrink: false };

    /// (first, count) along an axis of so many elements.
    fn of(&self, size: i64) -> (i64, i64) {
        let (low, high) = if 0 < self.stride { (0, size) } else { (-1, size - 1) };
        let place = |i: i64| (if i < 0 { i.saturating_add(size) } else { i }).clamp(low, high);
        let (first, last) = if 0 < self.stride { (low, high) } else { (high, low) };
        let start = self.begin.map_or(first, place);
        if self.shrink { (start, 1) } else { (start, self.count(start, self.end.map_or(last, place))) }
    }

    fn count(&self, start: i64, stop: i64) -> i64 {
        let (span, step) = if 0 < self.stride { (stop - start, self.stride) } else { (start - stop, -self.stride) };
        (span.max(0) + step - 1) / step
    }

    /// The same with an end that counts from the first element; `None` where that end is outside of the axis.
    fn of_offset(&self, size: i64, end: i64) -> Option<(i64, i64)> {
        let (start, by_mask) = self.of(size);
        if self.shrink {
            return Some((start, by_mask));
        }
        let stop = start.checked_add(end)?;
        let count = self.count(start, stop);
        let exists = count == 0 || (0 <= stop && (0..size).contains(&(start + (count - 1) * self.stride)));
        let agrees = self.end.is_some() || count == by_mask;
        (exists && agrees).then_some((start, count))
    }
}

/// What becomes of one index of begin, end and strides.
enum Axis {
    New(usize),
    Named(usize),
    /// Of an ellipsis, or behind the last index.
    Whole,
}

/// The axes of the result, those that vanish included, for so many indices and axes of the input.
fn axes(options: &Masks, count: usize, rank: usize) -> Result<Vec<Axis>, Diagnostic> {
    let added = (0..count).filter(|&i| bit(options.new_axis, i) && !bit(options.ellipsis, i)).count();
    if options.ellipsis.count_ones() > 1 {
        return Err(Diagnostic::new(Code::ATTRIBUTE, "there is more than one ellipsis"));
    }
    // Axes that the ellipsis stands for: one, however many are named.
    let whole = (added + rank + 1).saturating_sub(count).max(1);
    let mut axes = vec![];
    let mut index = 0;
    while axes.len() < added + rank {
        match index {
            i if bit(options.ellipsis, i) => axes.extend((0..whole.min(added + rank - axes.len())).map(|_| Axis::Whole)),
            i if bit(options.new_axis, i) => axes.push(Axis::New(i)),
            i if i < count => axes.push(Axis::Named(i)),
            _ => axes.push(Axis::Whole),
        }
        index += 1;
    }
    if axes.iter().filter(|a| matches!(a, Axis::New(_))).count() != added {
        return Err(Diagnostic::new(Code::OPERAND, "the new axes do not fit the input")
            .expected(format!("one index for each new axis, and at most {rank} others"))
            .found(format!("new_axis_mask {:#b} for {count} indices", options.new_axis)));
    }
    Ok(axes)
}

struct Masks {
    begin: i32,
    end: i32,
    ellipsis: i32,
    new_axis: i32,
    shrink_axis: i32,
    offset: bool,
}

impl Masks {
    /// Without options the reference reads zeros.
    fn decode(source: &Source) -> Masks {
        match source.operator.builtin_options_as_strided_slice_options() {
            Some(o) => Masks {
                begin: o.begin_mask(),
                end: o.end_mask(),
                ellipsis: o.ellipsis_mask(),
                new_axis: o.new_axis_mask(),
                shrink_axis: o.shrink_axis_mask(),
                offset: o.offset(),
            },
            None => Masks { begin: 0, end: 0, ellipsis: 0, new_axis: 0, shrink_axis: 0, offset: false },
        }
    }
}

fn bit(mask: i32, i: usize) -> bool {
    i < 32 && mask >> i & 1 == 1
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 4..=4, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::UP_TO_8_BYTES)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let input = &s.input(0)?.shape;
        let [begin, end, strides] = [(1, "begin"), (2, "end"), (3, "the strides")].map(|(i, what)| s.constant_integers(i, what));
        Attributes::new(input, [&begin?.1, &end?.1, &strides?.1], &Masks::decode(source))
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        let lengths = [self.first.len(), self.stride.len(), self.count.len()];
        let last = |d: usize| self.first[d] as i128 + i128::from(self.stride[d]) * (self.count[d] as i128 - 1);
        let inside = |d: usize| self.count[d] == 0 || (self.first[d] < x.shape[d] && (0..x.shape[d] as i128).contains(&last(d)));
        let same_count = self.count.iter().product::<usize>() == self.shape.iter().product::<usize>();
        if lengths != [x.rank(); 3] || !same_count || !(0..x.rank()).all(inside) {
            return Err(Diagnostic::new(Code::OPERAND, "the slice does not fit the input").found(format!("{self:?} of {:?}", x.shape)));
        }
        Ok(vec![self.shape.clone()])
    }

    fn channels(&self, s: &Signature) -> Channels {
        let (Some(first), Some(stride), Some(count)) = (self.first.last(), self.stride.last(), self.count.last()) else {
            return Channels::Whole;
        };
        let is_whole = (first, stride, Some(count)) == (&0, &1, self.shape.last());
        if is_whole && s.input(0).is_ok_and(|x| channels::count(x) == *count) { Channels::Same } else { Channels::Whole }
    }

    fn intervals(&self, s: &Signature, operands: &[Intervals]) -> Option<Intervals> {
        channels::copied(self.channels(s), s, operands)
    }

    fn refit(&mut self, s: &Signature) {
        let n = channels::count(s.output(0));
        [&mut self.count, &mut self.shape].into_iter().filter_map(|d| d.last_mut()).for_each(|d| *d = n);
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let x = cx.input_type(node, 0);
        let axis = |d: usize| slice::Axis { size: x.shape[d], first: self.first[d], stride: self.stride[d], count: self.count[d] };
        let axes: Vec<slice::Axis> = (0..x.rank()).map(axis).collect();
        let (from, to) = (cx.input(node, 0), cx.output(node, 0));
        slice(cx, from, to, &axes, x.element.bytes().expect("infer has seen the type"));
        Ok(())
    }
}

impl Attributes {
    fn new(input: &[usize], [begin, end, strides]: [&[i64]; 3], options: &Masks) -> Result<Attributes, Diagnostic> {
        if begin.len() != end.len() || begin.len() != strides.len() {
            return Err(Diagnostic::new(Code::OPERAND, "begin, end and strides must be equally long").found(format!(
                "{}, {} and {}",
                begin.len(),
                end.len(),
                strides.len()
            )));
        }
        if strides.contains(&0) || strides.iter().any(|s| s.unsigned_abs() > i32::MAX as u64) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "a stride is out of range")
                .expected("any i32 but 0")
                .found(format!("{strides:?}")));
        }
        let mut a = Attributes { first: vec![], stride: vec![], count: vec![], shape: vec![] };
        for axis in axes(options, begin.len(), input.len())? {
            if let Axis::New(i) = axis {
                if options.offset && end.get(i) != Some(&1) {
                    // The reference takes the end for the new axis' size, and has no elements for it.
                    return Err(Diagnostic::new(Code::ATTRIBUTE, "with `offset`, the end of a new axis is its size, which must be 1")
                        .expected("1")
                        .found(end.get(i).map_or("no end".into(), i64::to_string))
                        .help("give new axes the end 1, or convert the model with ends that count from the axis' beginning"));
                }
                a.shape.push(1);
                continue;
            }
            let size = input[a.first.len()] as i64;
            let given = |mask: i32, values: &[i64], i: usize| (!bit(mask, i)).then_some(values[i]);
            let range = match axis {
                Axis::Named(i) => Range {
                    begin: given(options.begin, begin, i),
                    end: given(options.end, end, i),
                    stride: strides[i],
                    shrink: bit(options.shrink_axis, i),
                },
                _ => Range::ALL,
            };
            let found = match axis {
                _ if !options.offset => Some(range.of(size)),
                Axis::Named(i) => range.of_offset(size, end[i]),
                _ => None,
            };
            let Some((first, count)) = found else {
                return Err(Diagnostic::new(Code::ATTRIBUTE, "with `offset`, an axis has no end inside of it")
                    .expected(format!("begin and end of every axis, which together are 0 to {size}"))
                    .found(format!("{range:?}"))
                    .help("convert the model with ends that count from the axis' beginning"));
            };
            // Backwards, what lies beyond the end has become the last element.
            let named = |b| 0 < range.stride || (-size..size).contains(&b);
            if range.shrink && !((0..size).contains(&first) && range.begin.is_none_or(named)) {
                return Err(Diagnostic::new(Code::ATTRIBUTE, "an element that does not exist is picked")
                    .expected(format!("-{size} to {}", size - 1))
                    .found(format!("{range:?}")));
            }
            if !range.shrink {
                a.shape.push(count as usize);
            }
            a.first.push(if count == 0 { 0 } else { first as usize });
            a.stride.push(range.stride);
            a.count.push(count as usize);
        }
        Ok(a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_python() {
        let of = |begin, end, stride, size| Range { begin, end, stride, ..Range::ALL }.of(size);
        assert_eq!(of(None, None, 2, 5), (0, 3));
        assert_eq!(of(Some(-3), Some(-1), 1, 5), (2, 2));
        assert_eq!(of(None, None, -2, 5), (4, 3));
        assert_eq!(of(Some(1), Some(10), 1, 5), (1, 4));
        assert_eq!(of(Some(4), Some(1), 1, 5).1, 0);
        assert_eq!(of(Some(4), Some(-9), -1, 5), (4, 5));
        assert_eq!(Range { begin: Some(-1), shrink: true, ..Range::ALL }.of(5), (4, 1));
    }

    /// The numbers 1, 2, … in a shape, sliced.
    fn slice(shape: &[usize], begin: &[i64], end: &[i64], strides: &[i64], m: [i32; 5], offset: bool) -> Option<(Vec<usize>, Vec<i64>)> {
        let masks = Masks { begin: m[0], end: m[1], ellipsis: m[2], new_axis: m[3], shrink_axis: m[4], offset };
        let a = Attributes::new(shape, [begin, end, strides], &masks).ok()?;
        let mut places = vec![0];
        for (d, &size) in shape.iter().enumerate() {
            let axis = (0..a.count[d] as i64).map(|i| a.first[d] as i64 + i * a.stride[d]);
            places = places.iter().flat_map(|p| axis.clone().map(move |i| p * size as i64 + i)).collect();
        }
        Some((a.shape, places.iter().map(|p| p + 1).collect()))
    }

    /// What LiteRT 2.3.0 answers; the masks are of begin, end, ellipsis, new axes and axes that vanish.
    #[test]
    #[allow(clippy::type_complexity)]
    fn slices_are_those_of_the_reference() {
        let cases: &[(&[usize], &[i64], &[i64], &[i64], [i32; 5], &[usize], &[i64])] = &[
            // An ellipsis for no axis takes one, and what was said of the last one is ignored.
            (&[1], &[0], &[5], &[1], [0, 0, 1, 0, 0], &[1], &[1]),
            (&[1, 3, 6, 3], &[2, -7, 2, 3], &[-5, -1, 3, -1], &[-2, 3, -2, -1], [15, 8, 0, 0, 0], &[1, 1, 1, 3], &[18, 17, 16]),
            (&[6], &[-6], &[-6], &[1], [0, 1, 1, 1, 0], &[6], &[1, 2, 3, 4, 5, 6]),
            (&[2, 6, 1], &[7, -5, -7, -1, -1], &[-6, -6, -5, -2, 0], &[-3, -1, -1, 1, 1], [4, 8, 8, 0, 0], &[1, 1, 1], &[8]),
            (&[2, 2, 3], &[6], &[-3], &[3], [0, 1, 1, 0, 0], &[2, 2, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
            (&[2, 4], &[-3], &[1], &[2], [0, 0, 1, 0, 0], &[2, 4], &[1, 2, 3, 4, 5, 6, 7, 8]),
            (&[3], &[0], &[-1], &[1], [0, 0, 1, 0, 1], &[3], &[1, 2, 3]),
            (&[3, 1], &[-6], &[3], &[1], [0, 0, 0, 0, 1], &[1], &[1]),
            (&[2], &[-2, -1], &[1, 5], &[1, -2], [0, 0, 0, 0, 0], &[1], &[1]),
            (&[6], &[5, -3], &[-5, -1], &[-2, 1], [1, 2, 0, 1, 0], &[1, 3], &[4, 5, 6]),
            (&[3], &[-5, 2, -3], &[7, -6, -2], &[1, 1, -1], [0, 3, 0, 0, 2], &[3], &[1, 2, 3]),
            (&[3, 4], &[2], &[1], &[3], [0, 0, 0, 1, 0], &[1, 3, 4], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
            (&[3, 1], &[6, 0, -3, -4], &[-2, -2, -1, -7], &[1, 3, 1, 1], [1, 1, 8, 0, 2], &[3], &[1, 2, 3]),
            (&[6], &[4, -4], &[-4, 2], &[-3, 3], [0, 0, 0, 2, 2], &[1, 1], &[5]),
            (&[4], &[-5, 0], &[5, 6], &[1, -1], [1, 3, 2, 2, 0], &[4], &[1, 2, 3, 4]),
            (&[3, 3], &[7, 0, 1], &[-3, 0, -6], &[-1, -3, 1], [4, 2, 4, 0, 0], &[2, 1], &[7, 4]),
            (&[1, 6, 2], &[4, -7, 1], &[-2, 0, -2], &[-1, -1, 1], [0, 0, 4, 2, 0], &[1, 1, 6, 2], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
            (&[2, 4], &[0], &[-4], &[1], [0, 0, 1, 0, 1], &[2, 4], &[1, 2, 3, 4, 5, 6, 7, 8]),
            (&[3], &[0, 4], &[0, 3], &[1, -3], [0, 0, 2, 1, 0], &[1, 3], &[1, 2, 3]),
            (&[4, 3], &[-2, -4, -4, 2], &[-7, -1, -5, -5], &[-1, 1, 1, -2], [0, 0, 1, 1, 0], &[4, 2], &[1, 2, 4, 5, 7, 8, 10, 11]),
            (&[2, 3], &[4, 7], &[-7, -5], &[-1, 1], [1, 1, 2, 2, 2], &[2, 3], &[4, 5, 6, 1, 2, 3]),
            (&[3], &[-4], &[-5], &[3], [0, 0, 0, 1, 1], &[1, 3], &[1, 2, 3]),
            (
                &[2, 3, 6],
                &[-6, 7, 7, 5],
                &[0, -5, -4, 0],
                &[3, -2, 1, 3],
                [12, 6, 4, 0, 13],
                &[2, 6],
                &[13, 14, 15, 16, 17, 18, 1, 2, 3, 4, 5, 6],
            ),
            (&[3, 3, 1, 1], &[-5, -2, 6], &[-6, -6, -7], &[2, -1, 1], [7, 6, 4, 1, 0], &[1, 3, 3, 1, 1], &[7, 8, 9, 4, 5, 6, 1, 2, 3]),
        ];
        for (shape, begin, end, strides, masks, result, elements) in cases {
            let got = slice(shape, begin, end, strides, *masks, false);
            assert_eq!(got, Some((result.to_vec(), elements.to_vec())), "{shape:?} {begin:?} {end:?} {strides:?} {masks:?}");
        }
    }

    #[test]
    fn ends_that_count_from_the_first_element() {
        let of = |size: usize, begin, end, stride, masks| slice(&[size], &[begin], &[end], &[stride], masks, true).map(|s| s.1);
        let none = [0; 5];
        assert_eq!(of(5, 1, 2, 1, none), Some(vec![2, 3]));
        assert_eq!(of(5, -2, 1, 1, none), Some(vec![4]));
        assert_eq!(of(5, -2, -1, 1, none), Some(vec![]));
        assert_eq!(of(5, 4, -2, -1, none), Some(vec![5, 4]));
        assert_eq!(of(5, 1, 2, 1, [1, 0, 0, 0, 0]), Some(vec![1, 2]));
        // Here the reference reads or writes memory that is not the tensor's.
        for (begin, end, stride, masks) in [(1, 9, 1, none), (7, 1, 1, none), (1, -3, -1, none), (1, 2, 1, [0, 1, 0, 0, 0])] {
            assert_eq!(of(5, begin, end, stride, masks), None, "{begin} {end} {stride}");
        }
        assert_eq!(slice(&[3, 5], &[0, 1], &[3, 2], &[1, 1], none, true), Some((vec![3, 2], vec![2, 3, 7, 8, 12, 13])));
        assert_eq!(slice(&[3, 5], &[0], &[2], &[1], none, true), None);
    }

    /// What LiteRT 2.3.0 answers where the end is 1; with others it makes the axis longer, and fills it with what is behind the tensor.
    #[test]
    fn new_axes_beside_ends_that_count_from_the_first_element() {
        let of = |begin: &[i64], end: &[i64], strides: &[i64], masks| slice(&[3, 5], begin, end, strides, masks, true);
        let taken = Some((vec![1, 2, 2], vec![2, 3, 7, 8]));
        assert_eq!(of(&[0, 0, 1], &[1, 2, 2], &[1, 1, 1], [0, 0, 0, 1, 0]), taken);
        assert_eq!(of(&[2, 0, 1], &[1, 2, 2], &[-3, 1, 1], [1, 1, 0, 1, 1]), taken);
        assert_eq!(of(&[0, 0, 1], &[2, 1, 2], &[1, 1, 1], [0, 0, 0, 2, 0]), Some((vec![2, 1, 2], vec![2, 3, 7, 8])));
        for end in [-1, 0, 2, 7] {
            assert_eq!(of(&[0, 0, 1], &[end, 2, 2], &[1, 1, 1], [0, 0, 0, 1, 0]), None, "{end}");
        }
    }

    #[test]
    fn what_is_picked_exists() {
        let pick = |begin, stride| slice(&[5, 2], &[begin], &[0], &[stride], [0, 0, 0, 0, 1], false);
        for stride in [1, -1, -3] {
            assert_eq!(pick(-3, stride), Some((vec![2], vec![5, 6])));
            assert_eq!(pick(5, stride), None);
        }
    }

    #[test]
    fn new_axes_have_an_index() {
        assert_eq!(slice(&[2, 6, 6], &[0], &[4], &[1], [0, 0, 0, 3, 0], false), None);
    }
}
