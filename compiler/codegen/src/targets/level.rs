//! Feature levels: `NAME[+feature][+no-feature]` as a set of features that is closed under implication.
//!
//! The idea: features imply others, so adding one adds what it needs and removing one removes what needs it; levels are named
//! sets; the canonical form is the largest level inside a set and the fewest features beside it, or the name of the core that is tuned for and
//! how the set differs from what it has. What was asked for in so many words is never dropped: a feature that is wanted and excluded is an error.

use super::{ARCHITECTURES, Error, Tuning};
use crate::clif::Features;
use crate::neon;
use crate::wide;
use cranelite_tile::Machine;
use std::collections::BTreeSet;

pub(super) type Set = BTreeSet<&'static str>;

pub(super) struct Feature {
    pub name: &'static str,
    /// Cranelift's names; none if it needs no telling.
    pub flags: &'static [&'static str],
    pub implies: &'static [&'static str],
}

pub(super) struct Level {
    pub name: &'static str,
    pub features: &'static [&'static str],
}

pub(super) struct Architecture {
    pub name: &'static str,
    pub features: &'static [Feature],
    /// What is to be said of them, if anything.
    pub note: &'static str,
    /// The first is the baseline.
    pub levels: &'static [Level],
    /// So many come before the names of CPUs and second names.
    pub general_levels: usize,
    pub machine: fn(&Set, &str, Tuning) -> Machine,
    pub emitter: fn(&Set) -> Features,
    /// What the wide emitter may use, where it serves.
    pub wide: fn(&Set) -> Option<wide::Features>,
    /// What the neon emitter may use, where it serves.
    pub neon: fn(&Set, Tuning) -> Option<neon::Features>,
}

impl Architecture {
    pub fn feature(&self, name: &str) -> Option<&'static Feature> {
        self.features.iter().find(|f| f.name == name)
    }

    pub fn closure(&self, features: &[&'static str]) -> Set {
        let (mut set, mut todo) = (Set::new(), features.to_vec());
        while let Some(name) = todo.pop() {
            if set.insert(name) {
                todo.extend(self.feature(name).into_iter().flat_map(|f| f.implies));
            }
        }
        set
    }

    /// Features, and the core that is tuned for.
    pub fn parse(&self, cpu: &str) -> Result<(Set, Tuning), Error> {
        let name = cpu.split('+').next().unwrap_or_default();
        if cpu.split('+').any(str::is_empty) {
            return Err(Error::Empty(cpu.into()));
        }
        match self.levels.iter().find(|l| l.name == name) {
            Some(level) => Ok((self.modify(self.closure(level.features), cpu)?, Tuning::named(name))),
            None => Err(self.unknown("CPU", name, |a| a.levels.iter().map(|l| l.name).collect())),
        }
    }

    /// Applies what follows the name in `cpu`.
    pub fn modify(&self, mut set: Set, cpu: &str) -> Result<Set, Error> {
        let (mut wanted, mut excluded) = (vec![], vec![]);
        for text in cpu.split('+').skip(1) {
            let name = text.strip_prefix("no-").unwrap_or(text);
            let unknown = || self.unknown("feature", name, |a| a.features.iter().map(|f| f.name).collect());
            let list = if name == text { &mut wanted } else { &mut excluded };
            list.push(self.feature(name).ok_or_else(unknown)?.name);
        }
        for &feature in &wanted {
            let needs = self.closure(&[feature]);
            if let Some(&excluded) = excluded.iter().find(|f| needs.contains(**f)) {
                return Err(Error::Contradiction { cpu: cpu.into(), feature, excluded });
            }
            set.extend(needs);
        }
        set.retain(|f| excluded.iter().all(|e| !self.closure(&[f]).contains(e)));
        Ok(set)
    }

    pub fn canonical(&self, set: &Set, tuning: Tuning) -> String {
        let inside = |l: &&Level| self.closure(l.features).is_subset(set);
        let general = self.levels[..self.general_levels].iter();
        let largest = general.filter(inside).max_by_key(|l| self.closure(l.features).len()).unwrap_or(&self.levels[0]);
        let level = self.levels.iter().find(|l| tuning != Tuning::Generic && l.name == tuning.name()).unwrap_or(largest);
        let known = self.closure(level.features);
        let beside: Vec<&str> = set.difference(&known).copied().collect();
        let without: Vec<&str> = known.difference(set).copied().collect();
        // What another implies is not said, and neither is the lack of what needs something that lacks.
        let needed = |f: &&&str| !beside.iter().any(|g| g != *f && self.closure(&[g]).contains(**f));
        let first = |f: &&&'static str| !without.iter().any(|g| g != *f && self.closure(&[f]).contains(*g));
        let more = beside.iter().filter(needed).map(|f| format!("+{f}"));
        let less = without.iter().filter(first).map(|f| format!("+no-{f}"));
        more.chain(less).fold(level.name.to_string(), |s, f| s + &f)
    }

    /// `names` lists what an architecture has of that kind.
    fn unknown(&self, what: &'static str, found: &str, names: fn(&Architecture) -> Vec<&'static str>) -> Error {
        if let Some(other) = ARCHITECTURES.iter().find(|a| names(a).contains(&found)) {
            return Error::Elsewhere { what, found: found.into(), architecture: self.name, other: other.name };
        }
        let mut known = names(self);
        if what == "CPU" {
            known.push("native");
        }
        let nearest = nearest(&found.to_lowercase(), known.iter().copied());
        Error::Unknown { what, found: found.into(), architecture: self.name, nearest, known: known.join(", ") }
    }
}

/// The candidate with the fewest edits from `word`.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    candidates.min_by_key(|c| distance(word, c)).unwrap_or_default().into()
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
