//! Kernels whose vectors are shorter than the level's, because its own emitter has no code for something in them.
//!
//! Not why that is (`codegen::wide` says so). The idea: speed that is lost unnoticed is a fault, so it is a fact like any other, by operator and
//! reason, and the tests have a list of what there may be.

use crate::facts::Facts;
use cranelite_codegen::object::LevelFacts;
use cranelite_tile::Program;
use std::collections::{BTreeMap, BTreeSet};

/// What part of a level is slower than it might be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fallback {
    /// Names of the operators that call the kernels; none: what belongs to no operator.
    pub operators: Vec<&'static str>,
    pub reason: String,
    /// How many there are.
    pub kernels: usize,
}

/// Of one level, in the order of operators and reasons.
pub fn of(level: &LevelFacts, program: &Program, facts: &Facts) -> Vec<Fallback> {
    if level.kernels.iter().all(|k| k.fallback.is_none()) {
        return vec![];
    }
    let mut operators: Vec<BTreeSet<&'static str>> = vec![BTreeSet::new(); level.kernels.len()];
    for call in program.calls() {
        let of_call = facts.operators.iter().find(|o| Some(o.index) == call.operator);
        operators[call.kernel.0 as usize].extend(of_call.map(|o| o.name));
    }
    let mut all: BTreeMap<(Vec<&'static str>, &str), usize> = BTreeMap::new();
    for (kernel, operators) in level.kernels.iter().zip(operators) {
        if let Some(reason) = &kernel.fallback {
            *all.entry((operators.into_iter().collect(), reason)).or_default() += 1;
        }
    }
    all.into_iter().map(|((operators, reason), kernels)| Fallback { operators, reason: reason.into(), kernels }).collect()
}

impl Fallback {
    /// `CAST, conversion of f32 to i64: 1 kernel`
    pub fn text(&self) -> String {
        let of = if self.operators.is_empty() { "no operator".into() } else { self.operators.join(", ") };
        format!("{of}, {}: {} kernel{}", self.reason, self.kernels, if self.kernels == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Operator;
    use cranelite_codegen::object::KernelFacts;
    use cranelite_graph::tensor::ElementType;
    use cranelite_tile::{Call, KernelId, Step};

    #[test]
    fn kernels_are_counted_by_operators_and_reason() {
        let kernel = |fallback: Option<&str>| KernelFacts { fallback: fallback.map(String::from), ..KernelFacts::default() };
        let kernels = vec![kernel(Some("a")), kernel(None), kernel(Some("a")), kernel(Some("b"))];
        let level = LevelFacts { kernels, ..LevelFacts::default() };
        let operator = |index, name| {
            let result = String::new();
            Operator {
                index,
                name,
                macs: 0,
                computed_macs: 0,
                channels: 0,
                dead_channels: 0,
                bytes: 0,
                constant_bytes: 0,
                elements: (ElementType::F32, 0),
                arithmetic: None,
                operands: String::new(),
                result,
                within: None,
            }
        };
        let operators = vec![operator(3, "CAST"), operator(5, "MEAN")];
        let facts = Facts { operators, parameters: vec![], arena_lower_bound_bytes: 0 };
        let call =
            |kernel, operator| Step::Call(Call { kernel: KernelId(kernel), buffers: vec![], params: vec![], advance: vec![], operator });
        let schedule = vec![call(0, Some(3)), call(1, Some(3)), call(2, Some(3)), call(3, Some(5)), call(3, Some(3))];
        let found = of(&level, &Program { schedule, ..Program::default() }, &facts);
        assert_eq!(found.iter().map(Fallback::text).collect::<Vec<_>>(), ["CAST, a: 2 kernels", "CAST, MEAN, b: 1 kernel"]);
    }
}
