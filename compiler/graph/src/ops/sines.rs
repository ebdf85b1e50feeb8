//! Sine and cosine of f32.
//!
//! The idea: a number is a mantissa times a power of two, and a table has of each of the 256 powers how many quarter turns it is, without
//! whole turns. The mantissa times that is right to 1e-8 turns for numbers of any size, in f64 lanes and without a branch.

use super::family::{Family, family};
use super::types::Row;
use super::{Arity, Kept, Signature, Source};
use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::elementwise::Elementwise;
use crate::lower::{Context, math};
use crate::quantize::quarter_turns;
use crate::tensor::ElementType::F32;
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

pub struct Sine {
    types: &'static [Row],
    /// By which the wave is ahead of the sine.
    quarters: i64,
}

family! { Sine:
    /// cos x
    cos = Sine { types: &[Row::Same(&[F32])], quarters: 1 };
    /// sin x
    sin = Sine { types: &[Row::Same(&[F32])], quarters: 0 };
}

impl Family for Sine {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const IS_ELEMENTWISE: bool = true;

    fn decode(&self, _: &Source) -> Result<Attributes, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, _: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        Ok(vec![s.input(0)?.shape.clone()])
    }

    fn lower(&self, _: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        // The lower halves of all, then the upper ones: machines fetch 32 bits at once.
        let half = |upper: u64| (0..=255).flat_map(move |e| ((quarter_turns(e).to_bits() >> (32 * upper)) as u32).to_le_bytes());
        let powers: Vec<u8> = half(0).chain(half(1)).collect();
        let (powers, machine) = (cx.constant("quarter_turns", powers, 64), cx.machine);
        let e = Elementwise::of_node(cx, node.op.kernel_name(F32), node).table(powers);
        e.lower(cx, |k, x, tables| math::sine(k, machine, x[0], tables[0], self.quarters));
        Ok(())
    }
}
