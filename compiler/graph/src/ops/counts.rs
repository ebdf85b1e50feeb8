//! Results whose first dimension is at most as long as their type says, and counted at run time.
//!
//! The idea: memory is planned for the most, and what lies beyond the count is computed, too, and means nothing. An operator takes such operands only
//! where that is right: element by element, or row by row; others look at the count (`lower/counts.rs`).

use super::Signature;
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::ValueId;

/// By what the first dimension of a result is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// By a further result of the node, one i32.
    Own,
    /// By what counts this input's.
    Of(usize),
}

/// Of an operator that needs to know all sizes when the model is compiled.
pub fn none(s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
    match counted.iter().position(Option::is_some) {
        Some(i) => Err(refused(i, "is known at run time only, which the operator cannot have")),
        None => Ok(vec![None; s.outputs.len()]),
    }
}

/// Of an operator that computes each element of its result from the elements at the same place.
pub fn elementwise(s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
    let Some(first) = counted.iter().position(Option::is_some) else { return none(s, counted) };
    let rank = s.input(first)?.rank();
    for (i, count) in counted.iter().enumerate() {
        // What is repeated along the first dimension has any number of rows. That different counts are equal is seen when they are there.
        let is_repeated = s.optional(i).is_none_or(|o| o.ty.rank() < rank || o.ty.rank() == rank && o.ty.shape.first() == Some(&1));
        if count.is_none() && !is_repeated {
            return Err(refused(first, "is known at run time only, and another operand's may be another one"));
        }
        if count.is_some() && s.input(i)?.rank() != rank {
            return Err(refused(i, "is known at run time only, and operands have different ranks"));
        }
    }
    if s.optional(counted.len().saturating_sub(1)).is_some()
        && (0..counted.len()).any(|i| s.optional(i).is_some_and(|o| rank < o.ty.rank()))
    {
        return Err(refused(first, "is known at run time only, and another operand has more dimensions"));
    }
    Ok(vec![Some(Count::Of(first)); s.outputs.len()])
}

/// Of an operator whose result has the elements of its first operand in their order: the rows are the same if there are as many.
pub fn view(s: &Signature, counted: &[Option<ValueId>], shape: &[usize]) -> Result<Vec<Option<Count>>, Diagnostic> {
    match counted.first() {
        Some(Some(_)) if s.input(0)?.shape.first() == shape.first() => Ok(vec![Some(Count::Of(0))]),
        _ => none(s, counted),
    }
}

/// Of an operator that computes each row of its results from the row of its first operand at the same place. `shapes`: what its results would be.
pub fn rows(
    s: &Signature,
    counted: &[Option<ValueId>],
    shapes: Result<Vec<Vec<usize>>, Diagnostic>,
) -> Result<Vec<Option<Count>>, Diagnostic> {
    let is_first_alone = matches!(counted, [Some(_), rest @ ..] if rest.iter().all(Option::is_none));
    let rows = s.input(0)?.shape.first();
    match shapes {
        // Which is said in other words elsewhere.
        Err(_) if is_first_alone => Ok(vec![None; s.outputs.len()]),
        Ok(shapes) if is_first_alone && shapes.iter().all(|shape| shape.first() == rows) => Ok(vec![Some(Count::Of(0)); s.outputs.len()]),
        _ => none(s, counted),
    }
}

/// Refuses an input that is no vector of so many dimensions, or multiples, of which the first one is known at run time only.
pub fn by_vector(s: &Signature, input: usize, count: usize) -> Result<(), Diagnostic> {
    let ty = s.input(input)?;
    if count == 0 || ty.shape != [count] {
        let d = Diagnostic::new(Code::OPERAND, "the sizes do not fit the result").detail(format!("input {input}"));
        return Err(d.expected(format!("shape [{count}], and one number at least")).found(format!("{:?}", ty.shape)));
    }
    Ok(())
}

fn refused(input: usize, why: &str) -> Diagnostic {
    Diagnostic::new(Code::CONSTANT, format!("the size of the operand {why}")).detail(format!("input {input}"))
}
