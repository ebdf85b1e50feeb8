//! A list's item that a loop sets, as the converter writes it: the items before it, the item, and the items after it, put together.
//!
//! The sizes of the two parts are known only at run time, but not what comes of it: the list with one item in place of another. The idea: the three
//! operators are found before the walk and become one DYNAMIC_UPDATE_SLICE, whose index is checked as those of the parts would be.

use super::file::File;
use super::tensors::Tensor;
use cranelite_schema as schema;
use schema::{ActivationFunctionType, BuiltinOperator};
use std::collections::{BTreeMap, BTreeSet};

/// What stands for a CONCATENATION.
#[derive(Clone, Copy, Debug)]
pub struct SetItem {
    pub list: i32,
    pub item: i32,
    /// A vector whose first element is the item's index and whose others are −1.
    pub first: i32,
}

#[derive(Default)]
pub struct Items {
    /// By index of the CONCATENATION.
    pub set: BTreeMap<usize, SetItem>,
    /// Indices of the SLICEs that nobody needs then.
    pub parts: BTreeSet<usize>,
}

struct Finder<'f, 'a> {
    tensors: &'f [Tensor],
    operators: Vec<(BuiltinOperator, schema::Operator<'a>)>,
    producer: BTreeMap<i32, usize>,
    /// How often a tensor is read.
    uses: BTreeMap<i32, usize>,
}

impl Items {
    pub fn find<'a>(file: &File<'a>, subgraph: schema::SubGraph<'a>, tensors: &[Tensor]) -> Items {
        let code = |o: &schema::Operator| file.codes.get(o.opcode_index() as usize).map_or(BuiltinOperator::CUSTOM, |c| c.code);
        let operators: Vec<_> = subgraph.operators().into_iter().flatten().map(|o| (code(&o), o)).collect();
        let has = |wanted: BuiltinOperator| operators.iter().any(|(code, _)| *code == wanted);
        if !has(BuiltinOperator::SLICE) || !has(BuiltinOperator::CONCATENATION) {
            return Items::default();
        }
        let (mut producer, mut uses) = (BTreeMap::new(), BTreeMap::new());
        for (i, (_, o)) in operators.iter().enumerate() {
            producer.extend(o.outputs().into_iter().flatten().map(|t| (t, i)));
            o.inputs().into_iter().flatten().for_each(|t| *uses.entry(t).or_default() += 1);
        }
        subgraph.outputs().into_iter().flatten().for_each(|t| *uses.entry(t).or_default() += 1);
        let finder = Finder { tensors, operators, producer, uses };
        let mut items = Items::default();
        for i in 0..finder.operators.len() {
            if let Some((item, parts)) = finder.item(i) {
                items.set.insert(i, item);
                items.parts.extend(parts);
            }
        }
        items
    }
}

impl Finder<'_, '_> {
    fn item(&self, i: usize) -> Option<(SetItem, [usize; 2])> {
        let [before, item, after] = self.joined(i)?[..] else { return None };
        let (p, [list, begin, first]) = self.part(before)?;
        let (q, [other, next, size]) = self.part(after)?;
        let is_all = |t: i32, n: i32| self.numbers(t).is_some_and(|all| all.iter().all(|m| *m == n));
        if list != other || !is_all(begin, 0) || !is_all(size, -1) {
            return None;
        }
        let index = self.first_of(first, -1)?;
        (self.is_next(self.first_of(next, 0)?, index)).then_some((SetItem { list, item, first }, [p, q]))
    }

    fn operator(&self, t: i32, wanted: BuiltinOperator) -> Option<(usize, Vec<i32>)> {
        let i = *self.producer.get(&t)?;
        let (code, o) = &self.operators[i];
        (*code == wanted).then(|| (i, o.inputs().into_iter().flatten().collect()))
    }

    /// What an operator joins along the first axis.
    fn joined(&self, i: usize) -> Option<Vec<i32>> {
        let (code, o) = &self.operators[i];
        let options = o.builtin_options_as_concatenation_options();
        let is_plain = options.is_some_and(|o| o.axis() == 0 && o.fused_activation_function() == ActivationFunctionType::NONE);
        (*code == BuiltinOperator::CONCATENATION && is_plain).then(|| o.inputs().into_iter().flatten().collect())
    }

    /// A part of a tensor that nobody else reads, and what its SLICE reads.
    fn part(&self, t: i32) -> Option<(usize, [i32; 3])> {
        let (i, inputs) = self.operator(t, BuiltinOperator::SLICE)?;
        Some((i, inputs.try_into().ok()?)).filter(|_| self.uses.get(&t) == Some(&1))
    }

    /// The numbers of a constant.
    fn numbers(&self, t: i32) -> Option<Vec<i32>> {
        let tensor = self.tensors.get(usize::try_from(t).ok()?)?;
        let data = tensor.data.as_ref().filter(|_| tensor.ty.element == crate::tensor::ElementType::I32)?;
        Some(data.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    /// The first element of a vector whose others are all `rest`.
    fn first_of(&self, t: i32, rest: i32) -> Option<i32> {
        let joined = self.producer.get(&t).and_then(|i| self.joined(*i));
        let [first, others] = match joined.as_deref() {
            None => return Some(self.scalar(t)),
            Some(&[first, others]) => [first, others],
            Some(_) => return None,
        };
        let one = self.tensors.get(usize::try_from(first).ok()?)?.ty.shape.iter().product::<usize>() == 1;
        (one && self.numbers(others)?.iter().all(|n| *n == rest)).then(|| self.scalar(first))
    }

    /// What a RESHAPE makes a vector of.
    fn scalar(&self, t: i32) -> i32 {
        self.operator(t, BuiltinOperator::RESHAPE).and_then(|(_, inputs)| inputs.first().copied()).unwrap_or(t)
    }

    /// Whether one scalar is the other one and 1.
    fn is_next(&self, next: i32, index: i32) -> bool {
        let Some((i, inputs)) = self.operator(next, BuiltinOperator::ADD) else { return false };
        let options = self.operators[i].1.builtin_options_as_add_options();
        let is_plain = options.is_none_or(|o| o.fused_activation_function() == ActivationFunctionType::NONE);
        let is_one = |t: i32| self.numbers(t).is_some_and(|n| n == [1]);
        is_plain && matches!(inputs[..], [a, b] if a == index && is_one(b) || b == index && is_one(a))
    }
}
