//! CUSTOM: a custom operator that is a C function of the user's, named when the model is compiled.
//!
//! Any element types of fixed size; the shapes of its results are those that the model declares, so they must be known there. What the function
//! computes is nobody's to say: it is called wherever the model has it, and never ahead of time.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::text::fields::fields;
use cranelite_tile::{BufferId, Foreign, KernelBuilder};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// The function's name.
    pub symbol: String,
    /// The operator's options, which the function gets as they are.
    pub options: Vec<u8>,
}
fields!(symbol, options);

/// The options are an argument as well.
const TENSORS_LIMIT: usize = Foreign::ARGS_LIMIT / 2 - 1;

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 0..=TENSORS_LIMIT, kept: Kept::All, outputs: 1..=TENSORS_LIMIT };
    const TYPES: &'static [Row] = &[Row::Of(&[types::SIZED], &[types::SIZED])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let symbol = source.symbol.unwrap_or_default().to_string();
        Ok(Attributes { symbol, options: source.custom_options()?.to_vec() })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        if !Foreign::is_symbol(&self.symbol) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the function of a custom operator has no name in C").found(self.symbol.clone()));
        }
        (0..s.inputs.len()).try_for_each(|i| s.input(i).map(|_| ()))?;
        Ok(s.outputs.iter().map(|ty| ty.shape.clone()).collect())
    }

    fn acts(&self) -> bool {
        true
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let mut k = KernelBuilder::new(format!("custom_{}", self.symbol));
        let mut buffers: Vec<BufferId> = vec![];
        for i in 0..node.inputs.len() {
            k.read(&format!("input{i}"));
            buffers.push(cx.input(node, i));
        }
        let mut options = None;
        if !self.options.is_empty() {
            options = Some(k.read("options"));
            buffers.push(cx.constant("options", self.options.clone(), 8));
        }
        for i in 0..node.outputs.len() {
            k.write(&format!("output{i}"));
            buffers.push(cx.output(node, i));
        }
        cx.call(k.finish_foreign(&self.symbol, options), &buffers, &[]);
        Ok(())
    }
}
