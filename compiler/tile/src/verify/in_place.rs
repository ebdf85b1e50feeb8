//! The proof that an argument which may be overwritten in place is read, at each byte, before that byte is written.
//!
//! Only where the kernel allows it (`in_place_of`), and then for every call, shared or not: the planner relies on it. The idea: a store
//! and a read that comes later are of the same iteration of the loops around both but further down in the text, or of a later
//! iteration of one of these loops and any iteration of those further in. For each of these cases the two places are
//! forms over two sets of counters, of which the outer ones are common, and their distance must be proved.

use super::accesses::{self, Binding, Event};
use super::affine::{Affine, Domain, Fact, Given, Known};
use super::{ERRORS_LIMIT, Error};
use crate::program::*;

/// For a kernel and parameters whose bounds have been proved.
pub fn prove(kernel: &Kernel, given: &Given) -> Vec<Error> {
    let pairs = kernel.args.iter().enumerate().filter_map(|(i, a)| Some((Arg(i as u32), a.in_place_of?)));
    let pairs: Vec<(Arg, Arg)> = pairs.collect();
    if pairs.is_empty() {
        return vec![];
    }
    let Some(accesses) = accesses::collect(kernel, given) else {
        return vec![Error::of_kernel(kernel, None, "an index is too large to be proved".into())];
    };
    let mut errors = vec![];
    for (written, read) in pairs {
        for store in accesses.stores.iter().filter(|s| s.arg == written) {
            for load in accesses.reads.iter().filter(|r| r.arg == read) {
                if errors.len() < ERRORS_LIMIT && !read_before_written(kernel, store, load) {
                    let (w, r) = (&kernel.args[written.0 as usize].name, &kernel.args[read.0 as usize].name);
                    let by = crate::text::print_statement(kernel, store.statement);
                    let message = format!("{w} may be in place of {r}, but `{by}` may write earlier what is read here");
                    errors.push(Error::of_kernel(kernel, Some(load.statement), message));
                }
            }
        }
    }
    errors
}

/// Whether no byte of `store` is read by `load` at a later time.
fn read_before_written(kernel: &Kernel, store: &Event, load: &Event) -> bool {
    let same = |(a, b): &(&Binding, &Binding)| a.first() == b.first();
    let common = store.scope.iter().zip(&load.scope).take_while(same).count();
    let later = (0..common).filter(|&i| matches!(store.scope[i], Binding::Loop { .. })).all(|i| apart(kernel, store, load, i, true));
    later && (load.position < store.position || apart(kernel, store, load, common, false))
}

/// Whether the places of the two never meet when the first `shared` bindings are the same for both and, if `later`, the next one is
/// a loop of which the load sees a later iteration.
fn apart(kernel: &Kernel, store: &Event, load: &Event, shared: usize, later: bool) -> bool {
    let others = &load.scope[shared..];
    let name = |c: u32| if others.iter().any(|b| b.binds(c)) { c + kernel.counters.len() as u32 + 1 } else { c };
    let mut domain = Domain::default();
    let mut reached = true;
    let mut bind = |b: &Binding, name: &dyn Fn(u32) -> u32| match b {
        Binding::Loop { counter, range } => domain.set(name(*counter), *range),
        Binding::Statement(k) => {
            let ranges = k.ranges.iter().map(|&(c, r)| (name(c), r)).collect();
            reached &= domain.know(&Known { ranges, fact: k.fact.as_ref().map(|f| f.renamed(name)) });
        }
    };
    store.scope.iter().for_each(|b| bind(b, &|c| c));
    others.iter().for_each(|b| bind(b, &name));
    for g in &load.guards {
        reached &= domain.learn(g.renamed(name));
    }
    if later && let Binding::Loop { counter, range } = &store.scope[shared] {
        let Some(ahead) = Affine::counter(name(*counter)).plus(-1, &Affine::counter(*counter)) else { return false };
        reached &= domain.learn(Fact { form: ahead, low: range.step, high: i128::MAX });
    }
    if !reached || !domain.narrow() {
        return true;
    }
    let ahead = load.at.renamed(name).plus(-1, &store.at);
    let after = ahead.clone().and_then(|d| d.plus_number(-store.bytes));
    let before = ahead.and_then(|d| Affine::number(-load.bytes).plus(-1, &d));
    [after, before].into_iter().flatten().any(|d| 0 <= domain.low(&d, 0))
}
