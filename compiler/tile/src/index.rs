//! Index expressions: where a kernel reads and writes, as data that can be proved.
//!
//! Not values: an index never lives in a vector register and never overflows. The idea: an index is a sum of
//! monomials `coefficient · parameters · counter`, so that once a call's parameters are known it is an affine form over a
//! box of counters, and its smallest and largest value can be read off it.

use std::ops::{Add, Mul, Neg, Sub};

/// A loop counter, a part of a `split`, or a clamped run-time value: anything that varies inside a kernel and has a known range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Counter(pub u32);

/// An index parameter of a kernel: constant during a call, known when the program is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Param(pub u32);

/// `coefficient · Π params · counter`; without counter it does not vary during a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Monomial {
    pub coefficient: i64,
    /// Sorted; a parameter may occur more than once.
    pub params: Box<[Param]>,
    pub counter: Option<Counter>,
}

impl Monomial {
    fn key(&self) -> (Option<Counter>, &[Param]) {
        (self.counter, &self.params)
    }
}

/// A sum of monomials, kept sorted and merged so that equal expressions compare equal. Exactly as long as it is: most of what a program's kernels
/// take is indices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Index {
    terms: Box<[Monomial]>,
}

impl Index {
    pub fn constant(value: i64) -> Self {
        Self::from_terms(vec![Monomial { coefficient: value, params: Box::default(), counter: None }])
    }

    pub fn from_terms(mut terms: Vec<Monomial>) -> Self {
        for t in &mut terms {
            t.params.sort();
        }
        terms.sort_by(|a, b| a.key().cmp(&b.key()));
        terms.dedup_by(|t, before| {
            let same = before.key() == t.key();
            if same {
                before.coefficient = before.coefficient.wrapping_add(t.coefficient);
            }
            same
        });
        terms.retain(|t| t.coefficient != 0);
        Index { terms: terms.into() }
    }

    /// In canonical order: the parts without counter first.
    pub fn terms(&self) -> &[Monomial] {
        &self.terms
    }

    /// The value when nothing in it varies or depends on a parameter.
    pub fn as_constant(&self) -> Option<i64> {
        match &self.terms[..] {
            [] => Some(0),
            [t] if t.counter.is_none() && t.params.is_empty() => Some(t.coefficient),
            _ => None,
        }
    }

    /// The pure number in the sum.
    pub fn constant_part(&self) -> i64 {
        self.terms.iter().find(|t| t.counter.is_none() && t.params.is_empty()).map_or(0, |t| t.coefficient)
    }

    pub fn without_constant(&self) -> Index {
        let terms = self.terms.iter().filter(|t| t.counter.is_some() || !t.params.is_empty()).cloned().collect();
        Index { terms }
    }

    /// The terms that contain `counter`.
    pub fn part_with(&self, counter: Counter) -> Index {
        Index { terms: self.terms.iter().filter(|t| t.counter == Some(counter)).cloned().collect() }
    }

    /// The terms whose counter satisfies `keep`; terms without counter stay.
    pub fn retain_counters(&self, keep: impl Fn(Counter) -> bool) -> Index {
        Index { terms: self.terms.iter().filter(|t| t.counter.is_none_or(&keep)).cloned().collect() }
    }

    pub fn counters(&self) -> impl Iterator<Item = Counter> + '_ {
        self.terms.iter().filter_map(|t| t.counter)
    }

    /// Replaces every parameter by its value.
    pub fn substitute(&self, params: &[i64]) -> Index {
        let terms = self
            .terms
            .iter()
            .map(|t| Monomial {
                coefficient: t.params.iter().fold(t.coefficient, |c, p| c.saturating_mul(params[p.0 as usize])),
                params: Box::default(),
                counter: t.counter,
            })
            .collect();
        Index::from_terms(terms)
    }

    /// Value for given parameters and counters; `None` when it does not fit 64 bits.
    pub fn evaluate(&self, params: &[i64], counter: impl Fn(Counter) -> i64) -> Option<i64> {
        let mut sum = 0i128;
        for t in &self.terms {
            let mut v = t.coefficient as i128;
            for p in &t.params {
                v = v.checked_mul(params[p.0 as usize] as i128)?;
            }
            if let Some(c) = t.counter {
                v = v.checked_mul(counter(c) as i128)?;
            }
            sum = sum.checked_add(v)?;
        }
        i64::try_from(sum).ok()
    }
}

impl From<i64> for Index {
    fn from(v: i64) -> Self {
        Index::constant(v)
    }
}
impl From<i32> for Index {
    fn from(v: i32) -> Self {
        Index::constant(i64::from(v))
    }
}
impl From<usize> for Index {
    fn from(v: usize) -> Self {
        Index::constant(v as i64)
    }
}
impl From<Counter> for Index {
    fn from(c: Counter) -> Self {
        Index { terms: [Monomial { coefficient: 1, params: Box::default(), counter: Some(c) }].into() }
    }
}
impl From<Param> for Index {
    fn from(p: Param) -> Self {
        Index { terms: [Monomial { coefficient: 1, params: [p].into(), counter: None }].into() }
    }
}
impl From<&Index> for Index {
    fn from(i: &Index) -> Self {
        i.clone()
    }
}

impl<T: Into<Index>> Add<T> for Index {
    type Output = Index;
    fn add(self, other: T) -> Index {
        Index::from_terms(self.terms.into_iter().chain(other.into().terms).collect())
    }
}
impl<T: Into<Index>> Sub<T> for Index {
    type Output = Index;
    fn sub(self, other: T) -> Index {
        self + -other.into()
    }
}
impl Neg for Index {
    type Output = Index;
    fn neg(self) -> Index {
        self * -1
    }
}
impl Mul<i64> for Index {
    type Output = Index;
    fn mul(mut self, k: i64) -> Index {
        for t in &mut self.terms {
            t.coefficient = t.coefficient.wrapping_mul(k);
        }
        Index::from_terms(self.terms.into())
    }
}
impl Mul<Param> for Index {
    type Output = Index;
    fn mul(mut self, p: Param) -> Index {
        for t in &mut self.terms {
            t.params = [&t.params[..], &[p]].concat().into();
        }
        Index::from_terms(self.terms.into())
    }
}
impl Mul<i64> for Counter {
    type Output = Index;
    fn mul(self, k: i64) -> Index {
        Index::from(self) * k
    }
}
impl Mul<Param> for Counter {
    type Output = Index;
    fn mul(self, p: Param) -> Index {
        Index::from(self) * p
    }
}
impl<T: Into<Index>> Add<T> for Counter {
    type Output = Index;
    fn add(self, other: T) -> Index {
        Index::from(self) + other
    }
}
impl Mul<i64> for Param {
    type Output = Index;
    fn mul(self, k: i64) -> Index {
        Index::from(self) * k
    }
}
impl<T: Into<Index>> Add<T> for Param {
    type Output = Index;
    fn add(self, other: T) -> Index {
        Index::from(self) + other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_canonical() {
        let (i, j, p) = (Counter(0), Counter(1), Param(0));
        let a = i * 4 + j * 8 + 3;
        let b = Index::from(3) + j * 8 + i * 4;
        assert_eq!(a, b);
        assert_eq!(a.clone() - b, Index::default());
        assert_eq!((a + i * -4).counters().collect::<Vec<_>>(), [j]);
        assert_eq!((i * p * 2).substitute(&[5]), i * 10);
        assert_eq!((i * p + 1).evaluate(&[7], |_| 3), Some(22));
    }
}
