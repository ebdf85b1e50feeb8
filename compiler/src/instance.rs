//! A compiled model in this process: the very object that `compile` writes, loaded, with memory to run on.
//!
//! Not the loader, which is `codegen::loader`. The idea: a model is called here as a C program would call it, with buffers that are
//! as large and as aligned as the header says, and no more.

use crate::array::Array;
use crate::diagnostic::internal;
use crate::pipeline::Compiled;
use cranelite_codegen::loader::{Bound, Loaded};
use cranelite_graph::diagnostic::Diagnostic;
use cranelite_graph::tensor::TensorType;

pub struct Instance {
    loaded: Loaded,
    prefix: String,
    output_types: Vec<TensorType>,
    inputs: Vec<Block>,
    outputs: Vec<Block>,
    arena: Block,
}

impl Instance {
    pub fn new(compiled: &Compiled) -> Result<Self, Diagnostic> {
        let loaded = Loaded::load(&compiled.object.bytes).map_err(|e| internal("the object does not load", e))?;
        let types = |tensors: &[crate::signature::Tensor]| tensors.iter().map(|t| t.ty.clone()).collect::<Vec<_>>();
        let blocks = |types: &[TensorType]| types.iter().map(|t| Block::new(t.size_bytes(), 16)).collect();
        let output_types = types(&compiled.signature.outputs);
        Ok(Instance {
            loaded,
            prefix: compiled.prefix.clone(),
            inputs: blocks(&types(&compiled.signature.inputs)),
            outputs: blocks(&output_types),
            output_types,
            arena: Block::new(compiled.object.arena_bytes as usize, compiled.object.arena_align as usize),
        })
    }

    pub fn set_input(&mut self, index: usize, bytes: &[u8]) {
        self.inputs[index].bytes_mut().copy_from_slice(bytes);
    }

    /// The model with its buffers, ready to be called again and again.
    pub fn with<T>(&mut self, work: impl FnOnce(&mut Bound) -> T) -> Result<T, Diagnostic> {
        let model = self.loaded.model(&self.prefix).ok_or_else(|| internal("the object does not describe itself", &self.prefix))?;
        let inputs: Vec<&[u8]> = self.inputs.iter().map(Block::bytes).collect();
        let mut outputs: Vec<&mut [u8]> = self.outputs.iter_mut().map(Block::bytes_mut).collect();
        Ok(work(&mut model.bind(&inputs, &mut outputs, self.arena.bytes_mut())))
    }

    /// Runs the model once for each step, whose arrays fit the signature.
    pub fn run(&mut self, steps: &[Vec<Array>]) -> Result<Vec<Vec<Array>>, Diagnostic> {
        let one = |step: &Vec<Array>| {
            step.iter().enumerate().for_each(|(i, array)| self.set_input(i, &array.data));
            check_status(self.with(|bound| bound.invoke())?)?;
            let array = |(ty, block): (&TensorType, &Block)| Array { data: block.bytes().to_vec(), ..Array::zeros(ty) };
            Ok(self.output_types.iter().zip(&self.outputs).map(array).collect())
        };
        steps.iter().map(one).collect()
    }
}

/// The buffers are as the header wants them, so a model must not refuse.
pub fn check_status(status: i32) -> Result<(), Diagnostic> {
    if status == 0 { Ok(()) } else { Err(internal("the model refuses to run", format!("status {status}"))) }
}

/// Aligned memory.
struct Block {
    memory: Vec<u8>,
    start: usize,
    size_bytes: usize,
}

impl Block {
    fn new(size_bytes: usize, align: usize) -> Self {
        let memory = vec![0; size_bytes + align];
        Block { start: memory.as_ptr().align_offset(align), memory, size_bytes }
    }
    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..][..self.size_bytes]
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.size_bytes]
    }
}
