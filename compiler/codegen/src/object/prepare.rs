//! `PREFIX_prepare`, which decodes packed constants once, into memory that calls then take as they would take a file of weights.
//!
//! The idea: a program of its own without inputs and outputs, whose arena is that memory, is checked, chosen by the CPU and written as every other; the header
//! that it writes last is what calls look for, so memory that was not prepared is refused.

use super::entry::{self, Choice, Entries};
use super::plan::{Facts, Form, Kind};
use super::schedule::Body;
use super::weights::{self, Expected};
use super::writer::Writer;
use super::{Error, Level, Linkage, Options, Shared, constants, kernels, parts, self_test, tasks};
use crate::targets::Target;
use cranelift_module::FuncId;
use cranelite_tile::compress::{PREPARED_HEADER_BYTES, Prepared};
use cranelite_tile::{BufferId, Machine, Program};
use std::collections::BTreeMap;

const _: () = assert!(PREPARED_HEADER_BYTES == weights::HEADER_BYTES);

/// Programs that prepare, and what is in memory then.
pub(crate) struct Preparing {
    /// By level.
    pub programs: Vec<Program>,
    pub expected: Expected,
}

/// One of them, and what it refers to.
pub struct Part<'a> {
    pub level: Level<'a>,
    pub prefix: &'a str,
    pub data: BTreeMap<BufferId, constants::Place>,
}

impl Preparing {
    pub fn of(prepared: &Prepared, machines: &[&Machine]) -> Preparing {
        let mut image = prepared.image.clone();
        let expected = weights::finish(&mut image);
        let header = &image[..PREPARED_HEADER_BYTES as usize];
        Preparing { programs: machines.iter().map(|machine| prepared.program(machine, header)).collect(), expected }
    }

    pub fn levels<'a>(&'a self, targets: impl Iterator<Item = &'a Target> + 'a) -> impl Iterator<Item = Level<'a>> + 'a {
        self.programs.iter().zip(targets).map(|(program, target)| Level { program, target })
    }

    /// What the function checks and is.
    pub fn facts(&self) -> Facts {
        Facts {
            form: Form { io_in_arena: true, state: false, weights: false },
            inputs: 0,
            outputs: 0,
            arena_bytes: self.expected.size_bytes,
            arena_align: weights::ALIGN as u32,
            state_align: 1,
            buffer_align: self_test::BUFFER_ALIGN,
        }
    }

    /// Defines the function. Answers how much stack it takes, too.
    pub fn define(
        &self,
        writer: &mut Writer,
        parts: Vec<Part>,
        choice: &Choice,
        mut shared: Option<&mut Shared>,
        options: &Options,
    ) -> Result<(FuncId, u32), Error> {
        let (facts, mut bodies, mut deepest, mut functions) = (self.facts(), vec![], 0, vec![]);
        for Part { level, prefix, data } in parts {
            let (of_kernels, about) = kernels(writer, &level, prefix, shared.as_deref_mut(), options)?;
            let mut body = Body { program: level.program, functions: of_kernels, data, tasks: BTreeMap::new(), parts: BTreeMap::new() };
            let below = tasks(writer, &mut body, prefix)? + parts::define(writer, &mut body, prefix, &[Kind::Invoke], facts.form)?;
            deepest = deepest.max(below + about.iter().map(|k| k.stack_bytes).max().unwrap_or(0));
            bodies.push((body, prefix));
        }
        let mut frame = 0;
        if 1 < bodies.len() {
            for (body, prefix) in &bodies {
                let function = entry::body(body, Kind::Invoke, facts.form, &mut writer.module);
                let (id, frame_bytes) = writer.function(format!("{prefix}.body"), Linkage::Local, function)?;
                functions.push(id);
                frame = frame.max(frame_bytes);
            }
        }
        let bodies: Vec<Body> = bodies.into_iter().map(|b| b.0).collect();
        let own = Entries { bodies: &bodies, facts, choice, weights: None, invoke: None };
        let function = own.build(Kind::Invoke, &mut writer.module, (!functions.is_empty()).then_some(&functions[..]));
        let (id, frame_bytes) = writer.function(format!("{}_prepare", options.prefix), Linkage::Export, function)?;
        Ok((id, frame + frame_bytes + deepest))
    }
}
