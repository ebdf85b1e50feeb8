//! A compiled model in this process: the very object that `compile` writes, loaded, with memory to run on.
//!
//! Not the loader, which is `codegen::loader`. The idea: a model is called here as a C program would call it, with buffers that are
//! as large and as aligned as the header says, and no more. Those of inputs and outputs are its own, or the caller's in each call.

use crate::array::Array;
use crate::diagnostic::internal;
use crate::pipeline::{Compiled, Entry};
use crate::signature::{Signature, Tensor};
use cranelite_codegen::loader::{self, Bound, Library, Loaded, Model, Pool};
use cranelite_codegen::object::weights;
use cranelite_codegen::targets::{self, Target};
use cranelite_graph::diagnostic::{Code, Diagnostic};
use cranelite_graph::tensor::TensorType;

pub struct Instance {
    /// Where the functions of custom operators are, which the object jumps to.
    _libraries: Vec<Library>,
    targets: Vec<Target>,
    signatures: Vec<Callee>,
    /// The one of them that is called.
    chosen: usize,
    arena: Block,
    state: Block,
    /// Constants that are decoded once.
    weights: Block,
    /// None for one thread.
    pool: Option<Pool>,
}

/// One of the model's signatures.
struct Callee {
    model: Model,
    output_types: Vec<TensorType>,
    /// Memory for inputs and outputs; none where all are the caller's.
    inputs: Vec<Block>,
    outputs: Vec<Block>,
}

impl Callee {
    fn new(loaded: &Loaded, entry: &Entry) -> Result<Self, Diagnostic> {
        let model = loaded.model(&entry.prefix).ok_or_else(|| internal("the object does not describe itself", &entry.prefix))?;
        let output_types = entry.signature.outputs.iter().map(|t| t.ty.clone()).collect();
        Ok(Callee { model, output_types, inputs: vec![], outputs: vec![] })
    }

    fn allocate(&mut self, signature: &Signature) -> Result<(), Diagnostic> {
        let blocks = |tensors: &[Tensor]| tensors.iter().map(|t| Block::new(t.ty.size_bytes(), 16)).collect::<Result<_, _>>();
        (self.inputs, self.outputs) = (blocks(&signature.inputs)?, blocks(&signature.outputs)?);
        Ok(())
    }
}

impl Instance {
    /// With as many threads as the model was compiled for.
    pub fn new(compiled: &Compiled) -> Result<Self, Diagnostic> {
        Instance::with_libraries(compiled, vec![])
    }

    /// As [`Instance::new`], with the libraries in which the functions of custom operators are looked for.
    pub fn with_libraries(compiled: &Compiled, libraries: Vec<Library>) -> Result<Self, Diagnostic> {
        let mut instance = Instance::without_arrays(compiled, libraries)?;
        for (callee, entry) in instance.signatures.iter_mut().zip(&compiled.entries) {
            callee.allocate(&entry.signature)?;
        }
        Ok(instance)
    }

    /// As [`Instance::with_libraries`], without memory for inputs and outputs: it can only be called with the caller's ([`Instance::call`]).
    pub fn without_arrays(compiled: &Compiled, libraries: Vec<Library>) -> Result<Self, Diagnostic> {
        let targets = compiled.targets();
        if compiled.no_cpu_check {
            check_status(&targets, if targets.iter().any(Target::runs_here) { 0 } else { CPU_LACKS_FEATURE })?;
        }
        let find = |name: &str| libraries.iter().find_map(|l| l.symbol(name));
        let loaded = Loaded::load_with(&compiled.object.bytes, &find).map_err(|e| match e {
            loader::Error::Missing(name) => {
                Diagnostic::new(Code::CUSTOM, format!("there is no function `{name}`, which a custom operator calls"))
                    .help("--custom-lib FILE.so names a shared library that has it")
            }
            e => internal("the object does not load", e),
        })?;
        let threads = compiled.threads;
        let pool = (1 < threads).then(|| Pool::new(threads)).transpose();
        let mut instance = Instance {
            state: Block::new(compiled.object.state_bytes as usize, compiled.object.state_align as usize)?,
            _libraries: libraries,
            pool: pool.map_err(|e| {
                Diagnostic::new(Code::FEATURE, format!("{threads} threads cannot be started: {e}")).help("give fewer with --threads")
            })?,
            targets,
            signatures: compiled.entries.iter().map(|e| Callee::new(&loaded, e)).collect::<Result<_, _>>()?,
            chosen: 0,
            arena: Block::new(compiled.object.arena_bytes as usize, compiled.object.arena_align as usize)?,
            weights: Block::new(compiled.object.prepared_bytes as usize, weights::ALIGN as usize)?,
        };
        if 0 < compiled.object.prepared_bytes
            && let Some(status) = instance.signatures[0].model.prepare(instance.weights.bytes_mut())
        {
            check_status(&instance.targets, status)?;
        }
        instance.reset();
        Ok(instance)
    }

    /// Puts into the state what is in it at first.
    pub fn reset(&mut self) {
        self.signatures[0].model.reset(self.state.bytes_mut());
    }

    /// What the model keeps from one call to the next.
    pub fn state_mut(&mut self) -> &mut [u8] {
        self.state.bytes_mut()
    }

    /// Which of the model's signatures is called from now on; the first one at first. What it keeps is that of all.
    pub fn choose(&mut self, signature: usize) {
        self.chosen = signature;
    }

    pub fn set_input(&mut self, index: usize, bytes: &[u8]) {
        self.signatures[self.chosen].inputs[index].bytes_mut().copy_from_slice(bytes);
    }

    /// Runs the model on the caller's memory, which is read and written in place. Panics if a buffer has not the size or the alignment of the
    /// tensor's elements.
    pub fn call(&mut self, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) -> Result<(), Diagnostic> {
        let model = &self.signatures[self.chosen].model;
        let mut bound = model.bind_with_state(inputs, outputs, self.arena.bytes_mut(), self.state.bytes_mut());
        if 0 < self.weights.size_bytes {
            bound.set_weights(self.weights.bytes());
        }
        run(&mut bound, self.pool.as_mut(), &self.targets)
    }

    /// The model with its buffers, ready to be called again and again.
    pub fn with<T>(&mut self, work: impl FnOnce(&mut Bound) -> T) -> Result<T, Diagnostic> {
        let Callee { model, inputs, outputs, .. } = &mut self.signatures[self.chosen];
        let inputs: Vec<&[u8]> = inputs.iter().map(Block::bytes).collect();
        let mut outputs: Vec<&mut [u8]> = outputs.iter_mut().map(Block::bytes_mut).collect();
        let mut bound = model.bind_with_state(&inputs, &mut outputs, self.arena.bytes_mut(), self.state.bytes_mut());
        if 0 < self.weights.size_bytes {
            bound.set_weights(self.weights.bytes());
        }
        Ok(work(&mut bound))
    }

    /// The model, again and again.
    pub fn with_calls<T>(&mut self, work: impl FnOnce(&mut dyn FnMut() -> Result<(), Diagnostic>) -> T) -> Result<T, Diagnostic> {
        let (mut pool, targets) = (self.pool.take(), self.targets.clone());
        let result = self.with(|bound| work(&mut || run(bound, pool.as_mut(), &targets)));
        self.pool = pool;
        result
    }

    /// Runs the model once for each step, whose arrays fit the signature. What it keeps goes from step to step.
    pub fn run(&mut self, steps: &[Vec<Array>]) -> Result<Vec<Vec<Array>>, Diagnostic> {
        self.run_each(steps, &vec![self.chosen; steps.len()])
    }

    /// As [`Instance::run`], with the numbers of the steps' signatures.
    pub fn run_each(&mut self, steps: &[Vec<Array>], signatures: &[usize]) -> Result<Vec<Vec<Array>>, Diagnostic> {
        let one = |(step, &signature): (&Vec<Array>, &usize)| {
            self.choose(signature);
            step.iter().enumerate().for_each(|(i, array)| self.set_input(i, &array.data));
            self.with_calls(|call| call())??;
            let array = |(ty, block): (&TensorType, &Block)| Array { data: block.bytes().to_vec(), ..Array::zeros(ty) };
            let Callee { output_types, outputs, .. } = &self.signatures[self.chosen];
            Ok(output_types.iter().zip(outputs).map(array).collect())
        };
        steps.iter().zip(signatures).map(one).collect()
    }
}

fn run(bound: &mut Bound, pool: Option<&mut Pool>, targets: &[Target]) -> Result<(), Diagnostic> {
    // A process that was forked off goes on alone.
    let status = match pool.filter(|pool| pool.is_here()) {
        None => Some(bound.invoke()),
        Some(pool) => bound.invoke_parallel(pool),
    };
    check_status(targets, status.ok_or_else(|| internal("the object lacks a symbol", "invoke_parallel"))?)
}

const INDEX_OUT_OF_RANGE: i32 = 3;
pub(crate) const CPU_LACKS_FEATURE: i32 = 4;
const CUSTOM_FAILED: i32 = 8;

/// The buffers are as the header wants them, so a model refuses for want of features, or for an index in its data.
pub fn check_status(levels: &[Target], status: i32) -> Result<(), Diagnostic> {
    match status {
        0 => Ok(()),
        INDEX_OUT_OF_RANGE => {
            let message = "an index or a size in the data is out of range, so the model stopped with status 3";
            let help = "give inputs whose indices are in the tensors that the model picks from, and whose sizes are within their bounds";
            Err(Diagnostic::new(Code::INPUT, message).help(help))
        }
        CPU_LACKS_FEATURE => Err(lacks_feature(levels)),
        CUSTOM_FAILED => {
            Err(Diagnostic::new(Code::CUSTOM, "the function of a custom operator did not return 0, so the model stopped with status 8"))
        }
        _ => Err(internal("the model refuses to run", format!("status {status}"))),
    }
}

fn lacks_feature(levels: &[Target]) -> Diagnostic {
    let missing = |t: &Target| format!("{} for {}", t.missing_here().unwrap_or_default().join(" "), t.level);
    let d = Diagnostic::new(Code::CPU, "this machine's CPU lacks what the code needs, so it was not run")
        .expected(levels.iter().map(missing).collect::<Vec<_>>().join(", or\n"))
        .help("--cpu native compiles for this machine; a list with the target's baseline in it runs everywhere");
    match targets::native_cpu() {
        Some(native) => d.found(native),
        None => d,
    }
}

/// Fails where this machine cannot give so much memory, which would end the program otherwise.
pub fn check_memory(size_bytes: usize) -> Result<(), Diagnostic> {
    let message = format!("the model needs a piece of {size_bytes} bytes of memory, more than this machine gives");
    Vec::<u8>::new().try_reserve_exact(size_bytes).map_err(|_| Diagnostic::new(Code::FEATURE, message))
}

/// Aligned memory.
pub struct Block {
    memory: Vec<u8>,
    start: usize,
    size_bytes: usize,
}

impl Block {
    pub fn new(size_bytes: usize, align: usize) -> Result<Self, Diagnostic> {
        check_memory(size_bytes.saturating_add(align))?;
        let memory = vec![0; size_bytes + align];
        Ok(Block { start: memory.as_ptr().align_offset(align), memory, size_bytes })
    }
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..][..self.size_bytes]
    }
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.size_bytes]
    }
}
