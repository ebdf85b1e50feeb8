//! STRIDED_SLICE: y = x[begin : end : stride] along every axis, as in Python; axes may be dropped or added.
//!
//! Any element type of 1, 2, 4 or 8 whole bytes; it copies. Begin, end and strides are constants. Follows TensorFlow Lite's
//! `StridedSliceStartForAxis` and `StridedSliceEndForAxis`.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::slice::{Axis, slice};
use crate::ops::{Arity, Operator, Signature, Source};
use crate::tensor::ElementType;

/// Per axis of the input: the first element taken, the distance to the next, how many are taken; and the shape of the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub first: Vec<usize>,
    pub stride: Vec<i64>,
    pub count: Vec<usize>,
    pub shape: Vec<usize>,
}

/// What the model says of one axis of the result before it is shaped.
#[derive(Clone, Copy, Debug)]
struct Range {
    begin: Option<i64>,
    end: Option<i64>,
    stride: i64,
    /// Only the element at `begin`, and no axis in the result.
    shrink: bool,
    /// `end` counts from the first element.
    offset: bool,
}

impl Range {
    const ALL: Range = Range { begin: None, end: None, stride: 1, shrink: false, offset: false };

    /// (first, count) along an axis of so many elements.
    fn of(&self, size: i64) -> (i64, i64) {
        let (low, high) = if 0 < self.stride { (0, size) } else { (-1, size - 1) };
        let place = |i: i64| (if i < 0 { i.saturating_add(size) } else { i }).clamp(low, high);
        let (first, last) = if 0 < self.stride { (low, high) } else { (high, low) };
        let start = self.begin.map_or(first, place);
        if self.shrink {
            return (start, 1);
        }
        let base = if self.offset { start } else { 0 };
        let stop = self.end.map_or(last, |end| place(end.saturating_add(base)));
        let (span, step) = if 0 < self.stride { (stop - start, self.stride) } else { (start - stop, -self.stride) };
        (start, (span.max(0) + step - 1) / step)
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 4..=4, kept: 1, outputs: 1 };
    const TYPES: &'static str = "any of 1, 2, 4 or 8 bytes";

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let Some(options) = source.operator.builtin_options_as_strided_slice_options() else {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent"));
        };
        let s = &source.signature;
        let input = &s.input(0)?.shape;
        let [begin, end, strides] = [(1, "begin"), (2, "end"), (3, "the strides")].map(|(i, what)| s.constant_integers(i, what));
        let (begin, end, strides) = (begin?.1, end?.1, strides?.1);
        if begin.len() != end.len() || begin.len() != strides.len() {
            return Err(Diagnostic::new(Code::OPERAND, "begin, end and strides must be equally long")
                .found(format!("{}, {} and {}", begin.len(), end.len(), strides.len())));
        }
        if strides.contains(&0) || strides.iter().any(|s| s.unsigned_abs() > i32::MAX as u64) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "a stride is out of range").expected("any i32 but 0").found(format!("{strides:?}")));
        }
        let bit = |mask: i32, i: usize| i < 32 && mask >> i & 1 == 1;
        let mut ranges = vec![];
        let mut shape: Vec<Option<usize>> = vec![];
        let added = (0..begin.len()).filter(|&i| bit(options.new_axis_mask(), i) && !bit(options.ellipsis_mask(), i)).count();
        let named = begin.len() - added;
        let mut ellipsis = false;
        for i in 0..begin.len() {
            if bit(options.ellipsis_mask(), i) {
                if std::mem::replace(&mut ellipsis, true) {
                    return Err(Diagnostic::new(Code::ATTRIBUTE, "there is more than one ellipsis"));
                }
                for _ in 0..(input.len() + 1).saturating_sub(named) {
                    shape.push(None);
                    ranges.push(Range::ALL);
                }
            } else if bit(options.new_axis_mask(), i) {
                shape.push(Some(1));
            } else {
                let shrink = bit(options.shrink_axis_mask(), i);
                let given = |mask: i32, values: &[i64]| (!bit(mask, i)).then_some(values[i]);
                let (begin, end) = (given(options.begin_mask(), &begin), given(options.end_mask(), &end));
                shape.extend((!shrink).then_some(None));
                ranges.push(Range { begin, end, stride: strides[i], shrink, offset: options.offset() });
            }
        }
        if input.len() < ranges.len() {
            return Err(Diagnostic::new(Code::OPERAND, "more axes are named than the input has")
                .expected(format!("at most {}", input.len()))
                .found(ranges.len().to_string()));
        }
        while ranges.len() < input.len() {
            shape.push(None);
            ranges.push(Range::ALL);
        }
        let mut a = Attributes { first: vec![], stride: vec![], count: vec![], shape: vec![] };
        let mut kept = shape.into_iter();
        for (range, &size) in ranges.iter().zip(input) {
            let (first, count) = range.of(size as i64);
            if range.shrink && !(0..size as i64).contains(&first) {
                return Err(Diagnostic::new(Code::ATTRIBUTE, "an element that does not exist is picked")
                    .expected(format!("-{size} to {}", size as i64 - 1))
                    .found(format!("{:?}", range.begin)));
            }
            if !range.shrink {
                a.shape.extend(kept.by_ref().take_while(|axis| axis.is_some()).flatten());
                a.shape.push(count as usize);
            }
            a.first.push(if count == 0 { 0 } else { first as usize });
            a.stride.push(range.stride);
            a.count.push(count as usize);
        }
        a.shape.extend(kept.flatten());
        Ok(a)
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, y) = (s.input(0)?, s.output(0));
        if element_bytes(x.element).is_none() || y.element != x.element {
            return Err(Diagnostic::new(Code::TYPES, "element types are not supported")
                .expected(format!("{}, the same for input and output", Self::TYPES))
                .found(format!("{} and {}", x.element, y.element)));
        }
        let lengths = [self.first.len(), self.stride.len(), self.count.len()];
        let last = |d: usize| self.first[d] as i128 + i128::from(self.stride[d]) * (self.count[d] as i128 - 1);
        let inside = |d: usize| self.count[d] == 0 || (self.first[d] < x.shape[d] && (0..x.shape[d] as i128).contains(&last(d)));
        let same_count = self.count.iter().product::<usize>() == self.shape.iter().product::<usize>();
        if lengths != [x.rank(); 3] || !same_count || !(0..x.rank()).all(inside) {
            return Err(Diagnostic::new(Code::OPERAND, "the slice does not fit the input").found(format!("{self:?} of {:?}", x.shape)));
        }
        Ok(vec![self.shape.clone()])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let x = cx.input_type(node, 0);
        let axis = |d: usize| Axis { size: x.shape[d], first: self.first[d], stride: self.stride[d], count: self.count[d] };
        let axes: Vec<Axis> = (0..x.rank()).map(axis).collect();
        let (from, to) = (cx.input(node, 0), cx.output(node, 0));
        slice(cx, from, to, &axes, element_bytes(x.element).expect("infer has seen the type"));
        Ok(())
    }
}

fn element_bytes(element: ElementType) -> Option<usize> {
    element.bits().filter(|b| matches!(b, 8 | 16 | 32 | 64)).map(|b| b as usize / 8)
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
}
