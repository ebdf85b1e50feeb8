//! Affine forms over counters of known range, and how large they can become.
//!
//! Not an exact solver. The ideas: the box of the counters' ranges bounds any form; what is known beyond it (a guard holds, a split
//! is exact) is a *fact*: a form with bounds of its own. Taking a multiple of a fact out of a form, `e = s·fact + rest`, bounds `e` by
//! the bounds of both parts, and where both vary together that is closer than the box. The factors worth trying are those
//! that make a counter vanish. Every bound found is a bound; the least one is used.

use crate::index::{Index, Param};
use crate::program::{Call, Kernel};

/// Numbers in forms stay below this, so that no sum of products of them leaves an i128.
const COEFFICIENT_LIMIT: i128 = 1 << 56;
/// Counters stay below this.
const COUNTER_LIMIT: i128 = 1 << 56;
/// Forms looked at for one bound: far more than a kernel of ours needs.
const SEARCH_LIMIT: u32 = 4000;

/// What a call puts in for the parameters of its kernel: in turn t of the innermost `Repeat` around it, `params + t · advance`.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    params: &'a [i64],
    advance: &'a [i64],
    /// The turn is a counter in forms, one beyond those of the kernel.
    turn: u32,
    /// How many turns there are.
    turns: u64,
}

impl<'a> Given<'a> {
    pub fn of(kernel: &Kernel, call: &'a Call, turns: u64) -> Self {
        Given { params: &call.params, advance: &call.advance, turn: kernel.counters.len() as u32, turns }
    }
    /// What is known of the turn; `None` where it does not matter, or when there are too many turns.
    pub fn known(&self) -> Option<Known> {
        let range = Range::new(0, i128::from(self.turns) - 1).filter(|_| !self.advance.is_empty())?;
        Some(Known { ranges: vec![(self.turn, range)], fact: None })
    }
}

/// `constant + Σ coefficient · counter`, counters ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affine {
    pub constant: i128,
    terms: Vec<(u32, i128)>,
}

impl Affine {
    pub fn number(constant: i128) -> Self {
        Affine { constant, terms: vec![] }
    }
    pub fn counter(counter: u32) -> Self {
        Affine { constant: 0, terms: vec![(counter, 1)] }
    }

    /// `None` when a number in it is beyond all reason, or when it is no sum of multiples: a parameter that advances times a counter or another
    /// such parameter.
    pub fn of(index: &Index, given: &Given) -> Option<Self> {
        let mut out = Affine::default();
        for t in index.terms() {
            let advance = |p: &Param| given.advance.get(p.0 as usize).copied().unwrap_or(0);
            let mut advancing = t.params.iter().filter(|p| advance(p) != 0);
            if let Some(moving) = advancing.next() {
                if t.counter.is_some() || advancing.next().is_some() {
                    return None;
                }
                let mut k = i128::from(t.coefficient).checked_mul(i128::from(advance(moving)))?;
                for p in t.params.iter().filter(|p| *p != moving) {
                    k = k.checked_mul(i128::from(*given.params.get(p.0 as usize)?)).filter(|k| k.abs() < COEFFICIENT_LIMIT)?;
                }
                out = out.plus(k, &Affine::counter(given.turn))?;
            }
        }
        for t in index.terms() {
            let mut k = i128::from(t.coefficient);
            for p in &t.params {
                k = k.checked_mul(i128::from(*given.params.get(p.0 as usize)?)).filter(|k| k.abs() < COEFFICIENT_LIMIT)?;
            }
            match t.counter {
                None => out.constant = out.constant.checked_add(k)?,
                Some(c) => out = out.plus(k, &Affine::counter(c.0))?,
            }
        }
        out.terms.retain(|t| t.1 != 0);
        out.in_limits()
    }

    fn in_limits(self) -> Option<Self> {
        let small = |k: i128| -COEFFICIENT_LIMIT < k && k < COEFFICIENT_LIMIT;
        (small(self.constant) && self.terms.iter().all(|t| small(t.1))).then_some(self)
    }

    /// `self + k · other`
    pub fn plus(&self, k: i128, other: &Affine) -> Option<Self> {
        let constant = other.constant.checked_mul(k)?.checked_add(self.constant)?;
        let mut terms = Vec::with_capacity(self.terms.len() + other.terms.len());
        let (mut a, mut b) = (self.terms.iter().peekable(), other.terms.iter().peekable());
        loop {
            let counter = match (a.peek(), b.peek()) {
                (Some(x), Some(y)) => x.0.min(y.0),
                (Some(x), None) => x.0,
                (None, Some(y)) => y.0,
                (None, None) => break,
            };
            let from_a = a.next_if(|t| t.0 == counter).map_or(0, |t| t.1);
            let from_b = b.next_if(|t| t.0 == counter).map_or(0, |t| t.1);
            let sum = from_b.checked_mul(k)?.checked_add(from_a)?;
            if sum != 0 {
                terms.push((counter, sum));
            }
        }
        Affine { constant, terms }.in_limits()
    }

    pub fn plus_number(mut self, n: i128) -> Option<Self> {
        self.constant = self.constant.checked_add(n)?;
        self.in_limits()
    }

    pub fn as_number(&self) -> Option<i128> {
        self.terms.is_empty().then_some(self.constant)
    }

    /// Counters, ascending, with their coefficients.
    pub fn terms(&self) -> &[(u32, i128)] {
        &self.terms
    }

    fn negated(&self) -> Self {
        Affine { constant: -self.constant, terms: self.terms.iter().map(|t| (t.0, -t.1)).collect() }
    }

    fn coefficient(&self, counter: u32) -> i128 {
        self.terms.binary_search_by_key(&counter, |t| t.0).map_or(0, |i| self.terms[i].1)
    }

    /// The same form of other counters.
    pub fn renamed(&self, name: impl Fn(u32) -> u32) -> Self {
        let mut terms: Vec<(u32, i128)> = self.terms.iter().map(|t| (name(t.0), t.1)).collect();
        terms.sort_unstable();
        Affine { constant: self.constant, terms }
    }
}

/// `low..=high`, of which only multiples of `step` occur; empty when `high < low`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub low: i128,
    pub high: i128,
    pub step: i128,
}

impl Range {
    /// `None` when a number is beyond all reason.
    pub fn new(low: i128, high: i128) -> Option<Self> {
        (-COUNTER_LIMIT < low && high < COUNTER_LIMIT).then_some(Range { low, high, step: 1 })
    }
    /// Of the counter of a loop with so many steps of 1 in all, or `None` for none or too many.
    pub fn of_loop(count: i128, step: i64) -> Option<Self> {
        let step = i128::from(step);
        (0 < count && 0 < step && count < COUNTER_LIMIT).then(|| Range { low: 0, high: (count - 1) / step * step, step })
    }
    pub fn is_empty(&self) -> bool {
        self.high < self.low
    }
    fn intersected(&self, low: i128, high: i128) -> Self {
        let (low, high) = (self.low.max(low), self.high.min(high));
        Range { low: ceil_div(low, self.step) * self.step, high: high.div_euclid(self.step) * self.step, step: self.step }
    }
}

/// `low <= form <= high`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub form: Affine,
    pub low: i128,
    pub high: i128,
}

impl Fact {
    pub fn renamed(&self, name: impl Fn(u32) -> u32) -> Self {
        Fact { form: self.form.renamed(name), ..*self }
    }
}

/// What a statement tells of the counters that it defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub ranges: Vec<(u32, Range)>,
    pub fact: Option<Fact>,
}

/// What is known at a place of a kernel.
#[derive(Clone, Debug, Default)]
pub struct Domain {
    /// By counter; an unknown one is unbounded.
    ranges: Vec<Option<Range>>,
    facts: Vec<Fact>,
}

impl Domain {
    pub fn set(&mut self, counter: u32, range: Range) {
        let at = counter as usize;
        if self.ranges.len() <= at {
            self.ranges.resize(at + 1, None);
        }
        self.ranges[at] = Some(range);
    }

    /// Learns `of = by·quotient + remainder` with `0 <= remainder < by` for a form that is not negative. `None` when a number is too large.
    pub fn split(&mut self, quotient: u32, remainder: u32, of: &Affine, by: i64) -> Option<Known> {
        let by = i128::from(by);
        let low = self.low(of, i128::MAX).max(0);
        let high = self.high(of, i128::MIN).max(low);
        let (q_low, q_high) = (low / by, high / by);
        let (r_low, r_high) = if q_low == q_high { (low % by, high % by) } else { (0, by - 1) };
        let form = Affine::counter(remainder).plus(by, &Affine::counter(quotient))?.plus(-1, of)?;
        let ranges = vec![(quotient, Range::new(q_low, q_high)?), (remainder, Range::new(r_low, r_high)?)];
        let known = Known { ranges, fact: Some(Fact { form, low: 0, high: 0 }) };
        self.know(&known);
        Some(known)
    }

    /// `false` if this place is never reached.
    pub fn know(&mut self, known: &Known) -> bool {
        known.ranges.iter().for_each(|&(c, r)| self.set(c, r));
        known.fact.clone().is_none_or(|f| self.learn(f))
    }

    fn range(&self, counter: u32) -> Option<Range> {
        self.ranges.get(counter as usize).copied().flatten()
    }

    pub fn fact_count(&self) -> usize {
        self.facts.len()
    }
    /// Forgets all facts but the first ones.
    pub fn keep_facts(&mut self, count: usize) {
        self.facts.truncate(count);
    }

    /// Adds a fact; `false` if it contradicts the box and this place is never reached.
    pub fn learn(&mut self, fact: Fact) -> bool {
        let low = fact.low.max(self.box_low(&fact.form));
        let high = fact.high.min(self.box_high(&fact.form));
        self.facts.push(Fact { form: fact.form, low, high });
        low <= high
    }

    /// Narrows the counters' ranges by the facts; `false` if nothing is left.
    pub fn narrow(&mut self) -> bool {
        for _ in 0..2 {
            for i in 0..self.facts.len() {
                let Fact { form, low, high } = self.facts[i].clone();
                for &(c, k) in &form.terms {
                    // k·c = form - rest
                    let mut rest = form.clone();
                    rest.terms.retain(|t| t.0 != c);
                    let (from, to) = (low.saturating_sub(self.box_high(&rest)), high.saturating_sub(self.box_low(&rest)));
                    let (from, to) = if 0 < k { (from, to) } else { (to.saturating_neg(), from.saturating_neg()) };
                    let Some(range) = self.range(c) else { continue };
                    let range = range.intersected(ceil_div(from, k.abs()), to.div_euclid(k.abs()));
                    if range.is_empty() {
                        return false;
                    }
                    self.set(c, range);
                }
            }
        }
        true
    }

    fn box_high(&self, e: &Affine) -> i128 {
        e.terms.iter().fold(e.constant, |sum, &(c, k)| {
            let most = self.range(c).map_or(i128::MAX, |r| k * if 0 < k { r.high } else { r.low });
            sum.saturating_add(most)
        })
    }
    fn box_low(&self, e: &Affine) -> i128 {
        self.box_high(&e.negated()).saturating_neg()
    }

    /// Values of `e` are this far apart, or a multiple of it; 0: there is one value.
    pub fn step(&self, e: &Affine) -> i128 {
        let gcd = |mut a: i128, mut b: i128| {
            while b != 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        e.terms.iter().fold(0, |step, &(c, k)| gcd(step, k.abs().saturating_mul(self.range(c).map_or(1, |r| r.step))))
    }

    /// A bound of `e` from above; the search ends when it is no more than `enough`.
    pub fn high(&self, e: &Affine, enough: i128) -> i128 {
        self.search(e, enough, self.facts.len(), &mut { SEARCH_LIMIT })
    }
    /// A bound from below, likewise.
    pub fn low(&self, e: &Affine, enough: i128) -> i128 {
        self.high(&e.negated(), enough.saturating_neg()).saturating_neg()
    }

    /// With the first `facts` facts.
    fn search(&self, e: &Affine, enough: i128, facts: usize, budget: &mut u32) -> i128 {
        let mut best = self.box_high(e);
        *budget = budget.saturating_sub(1);
        for (i, fact) in self.facts[..facts].iter().enumerate().rev() {
            let mut tried = 0;
            for &(c, k) in &fact.form.terms {
                if best <= enough || *budget == 0 {
                    return best;
                }
                let factor = e.coefficient(c) / k;
                if factor == 0 || factor == tried || e.coefficient(c) % k != 0 {
                    continue;
                }
                tried = factor;
                let Some(rest) = e.plus(-factor, &fact.form) else { continue };
                let part = factor.saturating_mul(if 0 < factor { fact.high } else { fact.low });
                let high = self.search(&rest, enough.saturating_sub(part), i, budget).saturating_add(part);
                best = best.min(high);
            }
        }
        best
    }
}

fn ceil_div(a: i128, b: i128) -> i128 {
    a.div_euclid(b) + i128::from(a.rem_euclid(b) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Counter;

    fn given(params: &[i64]) -> Given<'_> {
        Given { params, advance: &[], turn: 9, turns: 1 }
    }

    #[test]
    fn what_advances_is_a_multiple_of_the_turn() {
        let (p, q) = (crate::Param(0), crate::Param(1));
        let given = Given { params: &[3, 5], advance: &[16, 0], turn: 9, turns: 7 };
        let of = |index: Index| Affine::of(&index, &given);
        assert_eq!(of(p * 2 + 1), Affine { constant: 7, terms: vec![(9, 32)] }.in_limits());
        assert_eq!(of(Index::from(p) * q), Affine { constant: 15, terms: vec![(9, 80)] }.in_limits());
        assert_eq!(of(Index::from(p) * p), None);
        assert_eq!(of(Counter(0) * p), None);
        assert_eq!(given.known().map(|k| k.ranges), Some(vec![(9, Range { low: 0, high: 6, step: 1 })]));
    }

    fn form(index: Index) -> Affine {
        Affine::of(&index, &given(&[])).expect("small numbers")
    }
    fn bounds(d: &Domain, e: &Affine) -> (i128, i128) {
        (d.low(e, i128::MAX), d.high(e, i128::MIN))
    }

    #[test]
    fn boxes() {
        let (i, j) = (Counter(0), Counter(1));
        let mut d = Domain::default();
        d.set(0, Range::of_loop(50, 7).expect("iterations"));
        d.set(1, Range::new(-3, 3).expect("a range"));
        assert_eq!(bounds(&d, &form(i * 2 + j * -5 + 1)), (-14, 114));
        assert_eq!(Range::of_loop(0, 7), None);
        assert_eq!(Range::of_loop(i128::MAX, 7), None);
        assert_eq!(bounds(&d, &form(i + Counter(7))), (i128::MIN + 1, i128::MAX));
    }

    #[test]
    fn splits_are_exact() {
        // p = 4q + r with p in 0..=9
        let (p, q, r) = (Counter(0), Counter(1), Counter(2));
        let mut d = Domain::default();
        d.set(0, Range::new(0, 9).expect("a range"));
        d.set(1, Range::new(0, 2).expect("a range"));
        d.set(2, Range::new(0, 3).expect("a range"));
        assert!(d.learn(Fact { form: form(q * 4 + r + p * -1), low: 0, high: 0 }));
        assert_eq!(bounds(&d, &form(q * 4 + r)), (0, 9));
        assert_eq!(bounds(&d, &form(q * 8 + r)), (0, 17));
        assert_eq!(bounds(&d, &form(q * 4 + r + p * -1 + 3)), (3, 3));
    }

    #[test]
    fn guards_bound_what_varies_with_them() {
        // 0 <= 2·oy + ky - 1 < 7 with oy in 0..4, ky in 0..3
        let (oy, ky) = (Counter(0), Counter(1));
        let mut d = Domain::default();
        d.set(0, Range::new(0, 3).expect("a range"));
        d.set(1, Range::new(0, 2).expect("a range"));
        let guard = oy * 2 + ky - 1;
        assert!(d.learn(Fact { form: form(guard.clone()), low: 0, high: 6 }));
        assert_eq!(bounds(&d, &form(guard * 10 + 3)), (3, 63));
        // Alone, each counter has its range still.
        assert!(d.narrow());
        assert_eq!(bounds(&d, &form(oy.into())), (0, 3));
        let mut never = d.clone();
        assert!(!never.learn(Fact { form: form(oy.into()), low: 4, high: 9 }));
        let mut contradicts = d.clone();
        assert!(contradicts.learn(Fact { form: form(oy + ky), low: 5, high: 9 }) && !contradicts.narrow());
        let mut last = d.clone();
        assert!(last.learn(Fact { form: form(oy + ky), low: 4, high: 9 }) && last.narrow());
        assert_eq!((last.range(0).map(|r| r.low), last.range(1).map(|r| r.low)), (Some(2), Some(1)));
    }

    #[test]
    fn huge_numbers_give_no_wrong_bound() {
        let i = Counter(0);
        let mut d = Domain::default();
        assert_eq!(Range::new(0, i128::MAX), None);
        d.set(0, Range::new(0, COUNTER_LIMIT - 1).expect("a range"));
        assert!(i128::from(i64::MAX) < d.high(&form(i * (1 << 55)), 0));
        assert_eq!(Affine::of(&(i * i64::MAX), &given(&[])), None);
        assert_eq!(Affine::of(&(Index::constant(1 << 40) * crate::Param(0)), &given(&[1 << 40])), None);
        assert_eq!(Affine::of(&Index::from(crate::Param(0)), &given(&[])), None);
    }
}
