//! Channels, the indices of the last dimension: what those of results have to do with those of operands, and which integers are in them.
//!
//! Not a rewrite: `rewrite/channels.rs` leaves channels out, by what operators say here. The idea: an operator that treats every channel
//! as the others works for fewer of them; and of integers it can be said between which bounds they are, whatever the input.

use super::{Operand, Signature};
use crate::lower::gemm::{Filter, Rescale};
use crate::lower::narrow;
use crate::lower::requantize::Target;
use crate::quantize::element_range;
use crate::tensor::{ElementType, TensorType};

/// Integers from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval {
    pub low: i64,
    pub high: i64,
}

impl Interval {
    pub fn new(low: i64, high: i64) -> Interval {
        Interval { low, high }
    }
    /// All that an element can be; `None` of other types than integers of 8 and 16 bits that stand for real numbers.
    pub fn of(element: ElementType) -> Option<Interval> {
        let (low, high) = element_range(element).filter(|_| matches!(element, ElementType::I8 | ElementType::U8 | ElementType::I16))?;
        Some(Interval::new(low.into(), high.into()))
    }
    /// The only integer, if there is one.
    pub fn point(self) -> Option<i64> {
        (self.low == self.high).then_some(self.low)
    }
    pub fn with(self, other: Interval) -> Interval {
        Interval::new(self.low.min(other.low), self.high.max(other.high))
    }
    pub fn within(self, other: Interval) -> Interval {
        // The lower bound comes first, as in a clamp.
        let [low, high] = [self.low, self.high].map(|n| n.max(other.low).min(other.high));
        Interval::new(low, high)
    }
}

/// Of a value, channel by channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Intervals {
    /// All channels have the same.
    All(Interval),
    Each(Vec<Interval>),
}

impl Intervals {
    pub fn new(each: Vec<Interval>) -> Intervals {
        match each.first() {
            Some(first) if each.iter().all(|i| i == first) => Intervals::All(*first),
            _ => Intervals::Each(each),
        }
    }
    pub fn at(&self, channel: usize) -> Interval {
        match self {
            Intervals::All(all) => *all,
            Intervals::Each(each) => each[channel],
        }
    }
    pub fn hull(&self) -> Interval {
        match self {
            Intervals::All(all) => *all,
            Intervals::Each(each) => each.iter().copied().reduce(Interval::with).expect("a channel"),
        }
    }
    pub fn map(&self, f: impl Fn(Interval) -> Interval) -> Intervals {
        match self {
            Intervals::All(all) => Intervals::All(f(*all)),
            Intervals::Each(each) => Intervals::new(each.iter().map(|i| f(*i)).collect()),
        }
    }
}

/// How an operator's only result depends on its operands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Channels {
    /// Somehow: no channel of the operands or of the result may be missing.
    Whole,
    /// Channel c is made of what the operands have in theirs, and no other; an operand with one channel goes into all.
    Same,
    /// The same, where channel c is made of channel c / n of the first operand.
    Repeated(usize),
    /// The result is the bytes of the operand in rows of another length.
    View,
    /// The operands' channels one after the other.
    Joined,
    /// All channels of the first operand are multiplied with weights and summed.
    Product(Product),
}

/// Sums of products. Weights, the second operand, are [results, taps…, depth]; the bias is the third.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Product {
    pub weight_zero_point: i64,
    /// Some taps may lie where the operand has no elements, and add nothing.
    pub is_padded: bool,
}

/// Length of the last dimension; 1 of a scalar.
pub fn count(ty: &TensorType) -> usize {
    ty.shape.last().copied().unwrap_or(1)
}

impl Channels {
    /// Channels of an operand, and those of the result that are made of them; `None` where the operand does not have them in this way. Not of products.
    pub fn pairs(self, s: &Signature, operand: usize) -> Option<Vec<(usize, usize)>> {
        let (from, to) = (count(s.optional(operand)?.ty), count(s.output(0)));
        let same = || match from {
            1 if to != 1 => Some(vec![]),
            _ => (from == to).then(|| (0..to).map(|c| (c, c)).collect()),
        };
        match self {
            Channels::Whole | Channels::Product(_) => None,
            Channels::Same => same(),
            Channels::Repeated(n) if operand == 0 => (from * n == to).then(|| (0..to).map(|c| (c / n, c)).collect()),
            Channels::Repeated(_) => same(),
            Channels::View => {
                let (short, long) = (from.min(to), from.max(to));
                (short != 0 && long % short == 0).then(|| (0..long).map(|c| (c % from, c % to)).collect())
            }
            Channels::Joined => {
                let before: usize = s.inputs[..operand].iter().flatten().map(|o| count(o.ty)).sum();
                (before + from <= to).then(|| (0..from).map(|c| (c, before + c)).collect())
            }
        }
    }
}

/// Of a result that has the operands' integers as they are, wherever in their channel.
pub fn copied(channels: Channels, s: &Signature, operands: &[Intervals]) -> Option<Intervals> {
    if let [Intervals::All(all)] = operands {
        return Some(Intervals::All(*all));
    }
    let mut each: Vec<Option<Interval>> = vec![None; count(s.output(0))];
    for (i, operand) in operands.iter().enumerate() {
        for (from, to) in channels.pairs(s, i)? {
            let own = operand.at(from);
            each[to] = Some(each[to].map_or(own, |so_far| so_far.with(own)));
        }
    }
    each.into_iter().collect::<Option<Vec<_>>>().map(Intervals::new)
}

/// Integer weights with whole bytes.
pub struct Weights<'a> {
    element: ElementType,
    data: std::borrow::Cow<'a, [u8]>,
}

impl<'a> Weights<'a> {
    /// Of a constant; weights of less than a byte become bytes.
    pub fn of(operand: Operand<'a>) -> Option<Weights<'a>> {
        let (ty, data) = narrow::widened(operand.ty, operand.data?);
        let known = matches!(ty.element, ElementType::I8 | ElementType::U8 | ElementType::I16);
        known.then_some(Weights { element: ty.element, data })
    }
    pub fn element(&self) -> ElementType {
        self.element
    }
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }
    /// In their order in memory.
    pub fn numbers(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = i64> {
        Filter { element: self.element, shape: [0; 4], data: &self.data }.ints(range)
    }
}

/// The integers of a bias, an optional operand, for so many channels; `None` where it is no constant, or of floats.
pub fn bias(operand: Option<Operand>, channels: usize) -> Option<Vec<i64>> {
    let Some(operand) = operand else { return Some(vec![0; channels]) };
    let data = operand.data?;
    Some(match operand.ty.element {
        ElementType::I32 => data.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect(),
        ElementType::I64 => data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
        _ => return None,
    })
}

/// Sums from the least to the largest, which grow by the products of weights and what is multiplied.
pub struct Sum(i128, i128);

impl Sum {
    pub fn of(bias: i64) -> Sum {
        Sum(bias.into(), bias.into())
    }
    /// Adds what a weight and the numbers of an interval may come to.
    pub fn add(&mut self, weight: i64, x: Interval) {
        let (a, b) = (weight * x.low, weight * x.high);
        self.0 += i128::from(a.min(b));
        self.1 += i128::from(a.max(b));
    }
    fn interval(&self) -> Option<Interval> {
        Some(Interval::new(self.0.try_into().ok()?, self.1.try_into().ok()?))
    }
}

/// What is multiplied with weights: differences from the zero point, and 0 where some are not there.
pub fn differences(x: &Intervals, zero_point: i64, is_padded: bool) -> Intervals {
    let zero = Interval::new(0, 0);
    x.map(|x| {
        let d = Interval::new(x.low - zero_point, x.high - zero_point);
        if is_padded { d.with(zero) } else { d }
    })
}

/// Results of channels by their sums. What cannot be said of one is all that the result can be.
pub fn rescaled(sums: impl Iterator<Item = Sum>, rescale: &Rescale, target: Target) -> Intervals {
    let all = Interval::new(target.low.min(target.high).into(), target.high.into());
    let bounds = |(channel, sum): (usize, Sum)| {
        let sum = sum.interval()?;
        let [low, high] = [rescale.rescaled(channel, sum.low)?, rescale.rescaled(channel, sum.high)?];
        let [low, high] = [low.checked_add(target.zero_point)?, high.checked_add(target.zero_point)?];
        Some(Interval::new(low.into(), high.into()).within(Interval::new(target.low.into(), target.high.into())))
    };
    Intervals::new(sums.enumerate().map(|s| bounds(s).unwrap_or(all)).collect())
}

/// Results of a product with constant weights and bias.
pub fn of_product(p: Product, s: &Signature, x: &Intervals, rescale: &Rescale, target: Target) -> Option<Intervals> {
    let (operand, weights) = (s.optional(0)?, s.optional(1)?);
    let (outputs, depth, channels) = (*weights.ty.shape.first()?, count(weights.ty), count(operand.ty));
    if weights.ty.element_count() == 0 || channels == 0 {
        return None;
    }
    let size = weights.ty.element_count() / outputs;
    let bias = bias(s.optional(2), outputs)?;
    let weights = Weights::of(weights)?;
    // Groups, and rows that are no multiples of the channels, see other channels in turn.
    let x = if depth % channels == 0 { x.clone() } else { Intervals::All(x.hull()) };
    let x = differences(&x, operand.ty.zero_point(), p.is_padded);
    let weight_zero_point = p.weight_zero_point;
    let sums = (0..outputs).map(|o| {
        let mut sum = Sum::of(bias[o]);
        let own = weights.numbers(o * size..(o + 1) * size).map(|w| w - weight_zero_point);
        match &x {
            Intervals::All(x) => {
                let (mut negative, mut positive) = (0, 0);
                own.for_each(|w| if w < 0 { negative += w } else { positive += w });
                sum.add(negative, *x);
                sum.add(positive, *x);
            }
            Intervals::Each(each) => own.enumerate().for_each(|(i, w)| sum.add(w, each[i % depth % channels])),
        }
        sum
    });
    Some(rescaled(sums, rescale, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_rows_are_multiples() {
        let pairs = |channels: Channels, from: &[usize], to: &[usize]| {
            let (x, y) = (TensorType::new(ElementType::I8, from), TensorType::new(ElementType::I8, to));
            channels.pairs(&Signature { inputs: vec![Some(Operand { ty: &x, data: None })], outputs: vec![&y] }, 0)
        };
        assert_eq!(pairs(Channels::View, &[3, 2], &[1, 6]), Some(vec![(0, 0), (1, 1), (0, 2), (1, 3), (0, 4), (1, 5)]));
        assert_eq!(pairs(Channels::View, &[1, 4], &[2, 2]), Some(vec![(0, 0), (1, 1), (2, 0), (3, 1)]));
        assert_eq!(pairs(Channels::View, &[3, 2], &[2, 3]), None);
        assert_eq!(pairs(Channels::Repeated(2), &[2], &[4]), Some(vec![(0, 0), (0, 1), (1, 2), (1, 3)]));
        assert_eq!(pairs(Channels::Same, &[1], &[4]), Some(vec![]));
        assert_eq!(pairs(Channels::Same, &[2], &[4]), None);
    }
}
