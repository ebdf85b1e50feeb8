//! What operators with control flow have in common: graphs of their own, called bodies, which they run of their operands.
//!
//! The idea: a body's inputs are the operands that the operator hands on; numbers that count these, and the states that it reads or writes, follow them
//! among the node's operands, so that whoever looks at a node sees all that it touches.

use super::counts::Count;
use super::{Signature, types};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Graph;
use crate::text::print::type_text;

/// Refuses operands, from `first` on, that are not what the body takes.
pub fn takes(s: &Signature, first: usize, body: &Graph) -> Result<(), Diagnostic> {
    let wanted = body.inputs.iter().chain(body.states.iter().map(|s| &s.value));
    let (wanted, found) = (wanted.map(|v| body.ty(*v)).collect::<Vec<_>>(), s.inputs.len().saturating_sub(first));
    if wanted.len() != found {
        let d = Diagnostic::new(Code::ARITY, "wrong number of operands for the subgraph that is run");
        return Err(d.expected(wanted.len().to_string()).found(found.to_string()));
    }
    for (i, ty) in wanted.into_iter().enumerate() {
        let operand = s.input(first + i)?;
        if (operand.element, &operand.shape) != (ty.element, &ty.shape) {
            let d = Diagnostic::new(Code::OPERAND, "the subgraph that is run takes another type").detail(format!("input {}", first + i));
            return Err(d.expected(type_text(ty)).found(type_text(operand)));
        }
    }
    Ok(())
}

/// Refuses results that are not what the body gives. Behind them stand the numbers that count those which are counted; a model has no such results.
pub fn gives(s: &Signature, body: &Graph) -> Result<(), Diagnostic> {
    let counted = body.outputs.iter().take(s.outputs.len()).filter(|v| body.counts.contains_key(v)).count();
    if ![s.outputs.len(), s.outputs.len() + counted].contains(&body.outputs.len()) {
        let d = Diagnostic::new(Code::ARITY, "wrong number of results of the subgraph that is run");
        return Err(d.expected(s.outputs.len().to_string()).found(body.outputs.len().to_string()));
    }
    for (i, v) in body.outputs.iter().enumerate().take(s.outputs.len()) {
        let (inner, outer) = (body.ty(*v).element, s.output(i).element);
        if inner != outer {
            let d = Diagnostic::new(Code::TYPES, "the subgraph that is run gives another element type").detail(format!("output {i}"));
            return Err(d.expected(outer.to_string()).found(inner.to_string()));
        }
    }
    Ok(())
}

/// Results that a body counts.
pub fn counts(s: &Signature, body: Option<&Graph>) -> Result<Vec<Option<Count>>, Diagnostic> {
    let is_counted = |i: usize| body.is_some_and(|b| b.outputs.get(i).is_some_and(|v| b.counts.contains_key(v)));
    Ok((0..s.outputs.len()).map(|i| is_counted(i).then_some(Count::Own)).collect())
}

/// The shapes of the results of a node that runs one of the bodies; the same ones whichever that is.
pub fn results_of_any(s: &Signature, first: usize, bodies: &[Graph]) -> Result<Vec<Vec<usize>>, Diagnostic> {
    let mut shapes: Option<Vec<Vec<usize>>> = None;
    for body in bodies {
        takes(s, first, body)?;
        gives(s, body)?;
        let its: Vec<Vec<usize>> = body.outputs.iter().map(|v| body.ty(*v).shape.clone()).collect();
        let all = shapes.get_or_insert_with(|| its.clone());
        if let Some(i) = (0..its.len()).find(|&i| all[i] != its[i]) {
            return Err(Diagnostic::new(Code::CONSTANT, format!("the shape of result {i} depends on which branch runs"))
                .detail("input 0")
                .expected(format!("{:?} in all branches", all[i]))
                .found(format!("{:?}", its[i]))
                .help("give the results of all branches the same shape, padding the smaller ones"));
        }
    }
    shapes.ok_or_else(|| Diagnostic::new(Code::ARITY, "there is no subgraph to run"))
}

/// Positions of the node's operands that are states which some body changes.
pub fn writes(bodies: &[Graph], first: usize) -> Vec<usize> {
    let mut all: Vec<usize> = bodies.iter().flat_map(|b| b.changed_states().into_iter().map(move |s| first + b.inputs.len() + s)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Operands and results of any type whose size is known.
pub const ANY: types::Set = types::SIZED;

/// The attributes of an operator that are nothing but its bodies, and their text.
macro_rules! of_bodies {
    () => {
        #[derive(Clone, Debug, PartialEq)]
        pub struct Attributes {
            /// In the order in which the format names them.
            pub bodies: Vec<$crate::graph::Graph>,
        }
        impl $crate::text::fields::Fields for Attributes {
            fn fields(&self) -> Vec<(&'static str, $crate::text::fields::Field)> {
                vec![]
            }
            // A text has the bodies in lines of their own.
            fn from_fields(_: &mut Vec<(String, $crate::text::fields::Field)>) -> Result<Self, String> {
                Ok(Attributes { bodies: vec![] })
            }
        }
    };
}
pub(crate) use of_bodies;

/// What all of these operators say of themselves; `$first` is the position of the first input that the bodies get.
macro_rules! runs_bodies {
    ($first:expr) => {
        fn bodies(&self) -> &[$crate::graph::Graph] {
            &self.bodies
        }
        fn bodies_mut(&mut self) -> Option<&mut Vec<$crate::graph::Graph>> {
            Some(&mut self.bodies)
        }
        fn writes(&self) -> Vec<usize> {
            $crate::ops::bodies::writes(&self.bodies, $first)
        }
        fn counts(
            &self,
            s: &$crate::ops::Signature,
            _: &[Option<$crate::graph::ValueId>],
        ) -> Result<Vec<Option<$crate::ops::counts::Count>>, $crate::diagnostic::Diagnostic> {
            $crate::ops::bodies::counts(s, self.bodies.last())
        }
    };
}
pub(crate) use runs_bodies;
