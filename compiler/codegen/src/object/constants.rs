//! The constants of an object: what several levels, or several buffers of one, have in common is there once.

use super::{Error, Level, used};
use cranelift_module::{DataDescription, DataId, Linkage, Module};
use cranelift_object::ObjectModule;
use cranelite_tile::{Buffer, BufferId, Role};
use std::collections::BTreeMap;

/// One constant, named by the first buffer that has it.
struct Constant<'a> {
    first: (usize, BufferId),
    buffer: &'a Buffer,
    align: u32,
}

#[derive(Default)]
pub struct Constants<'a> {
    all: Vec<Constant<'a>>,
    /// Per level: which constant a buffer is.
    pub by_level: Vec<BTreeMap<BufferId, usize>>,
}

impl<'a> Constants<'a> {
    pub fn of(levels: &[Level<'a>]) -> Self {
        let mut constants = Constants::default();
        let mut by_content: BTreeMap<&[u8], usize> = BTreeMap::new();
        for (n, level) in levels.iter().enumerate() {
            let mut of = BTreeMap::new();
            for id in used(level.program, Role::Const) {
                let buffer = level.program.buffer(id);
                let index = *by_content.entry(buffer.data.as_deref().unwrap_or_default()).or_insert_with(|| {
                    constants.all.push(Constant { first: (n, id), buffer, align: 64 });
                    constants.all.len() - 1
                });
                constants.all[index].align = constants.all[index].align.max(buffer.align);
                of.insert(id, index);
            }
            constants.by_level.push(of);
        }
        constants
    }

    /// Of all, or of those that one level uses.
    pub fn size_bytes(&self, level: Option<usize>) -> u64 {
        let is_used = |i: &usize| level.is_none_or(|n| self.by_level[n].values().any(|used| used == i));
        (0..self.all.len()).filter(is_used).map(|i| self.all[i].buffer.size_bytes).sum()
    }

    /// `prefixes` begin the names of each level.
    pub fn define(&self, module: &mut ObjectModule, prefixes: &[String]) -> Result<Vec<DataId>, Error> {
        let define = |c: &Constant| {
            let mut description = DataDescription::new();
            description.define(c.buffer.data.as_deref().unwrap_or_default().into());
            description.set_align(u64::from(c.align));
            let (level, id) = c.first;
            let data = module.declare_data(&format!("{}.c{}", prefixes[level], id.0), Linkage::Local, false, false)?;
            module.define_data(data, &description)?;
            Ok(data)
        };
        self.all.iter().map(define).collect()
    }
}
