//! The constants of an object: what several levels, several signatures, or several buffers of one have in common is there once.
//!
//! They are symbols of their own among the object's other read-only data, or one symbol: in a section that the user names, and in Mach-O
//! objects. A linker keeps or drops sections as a whole, or for Mach-O what a symbol has, so the readable bytes after the last constant stay with it.

use super::{Error, Level, READABLE_AFTER_CONSTANTS, used, weights};
use cranelift_module::{DataDescription, DataId, Linkage, Module};
use cranelift_object::ObjectModule;
use cranelite_tile::compress::Prepared;
use cranelite_tile::{Buffer, BufferId, Role};
use std::collections::{BTreeMap, BTreeSet};

/// One constant, named by the first buffer that has it.
struct Constant<'a> {
    first: (usize, BufferId),
    buffer: &'a Buffer,
    align: u32,
    /// Where it is in memory that the caller prepares; it takes no byte of the object then.
    prepared_at: Option<u64>,
}

#[derive(Default)]
pub struct Constants<'a> {
    all: Vec<Constant<'a>>,
    /// Per level: which constant a buffer is.
    pub by_level: Vec<BTreeMap<BufferId, usize>>,
}

/// Where a constant is.
#[derive(Clone, Copy)]
pub struct Place {
    /// None: in the weights that the caller has, from a file or prepared.
    pub symbol: Option<DataId>,
    pub offset_bytes: u64,
}

impl Constant<'_> {
    fn bytes(&self) -> &[u8] {
        self.buffer.data.as_deref().unwrap_or_default()
    }
}

impl<'a> Constants<'a> {
    /// `prepared`: what the first so many levels find in memory; those behind them make it, and have constants of their own.
    pub fn of(levels: &[Level<'a>], prepared: Option<(&Prepared, usize)>) -> Self {
        let mut constants = Constants::default();
        let mut by_content: BTreeMap<(Option<u64>, &[u8]), usize> = BTreeMap::new();
        for (n, level) in levels.iter().enumerate() {
            let mut of = BTreeMap::new();
            // What was proved of tables holds for the object's own bytes alone.
            let tables = level.program.tables();
            for id in used(level.program, Role::Const) {
                let buffer = level.program.buffer(id);
                let data = buffer.data.as_deref().unwrap_or_default();
                let prepared_at = prepared.filter(|p| n < p.1 && !tables.contains(&id)).and_then(|p| p.0.places.get(data)).copied();
                let index = *by_content.entry((prepared_at, data)).or_insert_with(|| {
                    constants.all.push(Constant { first: (n, id), buffer, align: 64, prepared_at });
                    constants.all.len() - 1
                });
                constants.all[index].align = constants.all[index].align.max(buffer.align);
                of.insert(id, index);
            }
            constants.by_level.push(of);
        }
        constants
    }

    /// Of all, or of those that some of the programs use; not of those that are prepared.
    pub fn size_bytes(&self, programs: Option<&[usize]>) -> u64 {
        let size_bytes = |i: usize| if self.all[i].prepared_at.is_some() { 0 } else { self.all[i].buffer.size_bytes };
        match programs {
            None => (0..self.all.len()).map(size_bytes).sum(),
            Some(some) => {
                let used: BTreeSet<usize> = some.iter().flat_map(|n| self.by_level[*n].values().copied()).collect();
                used.into_iter().map(size_bytes).sum()
            }
        }
    }

    /// By number: where a constant is in memory that the caller prepares.
    pub fn prepared_at(&self, index: usize) -> Option<u64> {
        self.all[index].prepared_at
    }

    /// `prefixes` begin the names of each level.
    pub fn define(&self, module: &mut ObjectModule, prefixes: &[String]) -> Result<Vec<Place>, Error> {
        let define = |c: &Constant| {
            if let Some(offset_bytes) = c.prepared_at {
                return Ok(Place { symbol: None, offset_bytes });
            }
            let mut description = DataDescription::new();
            description.define(c.bytes().into());
            description.set_align(u64::from(c.align));
            let (level, id) = c.first;
            let symbol = module.declare_data(&format!("{}.c{}", prefixes[level], id.0), Linkage::Local, false, false)?;
            module.define_data(symbol, &description)?;
            Ok(Place { symbol: Some(symbol), offset_bytes: 0 })
        };
        self.all.iter().map(define).collect()
    }

    /// All of them and what can be read after the last, as the symbol `name`, in a section that the user named or among read-only data.
    pub fn define_as_one(&self, section: Option<&str>, module: &mut ObjectModule, name: &str) -> Result<Vec<Place>, Error> {
        if self.all.is_empty() {
            return Ok(vec![]);
        }
        let symbol = module.declare_data(name, Linkage::Local, false, false)?;
        let (bytes, offsets) = self.image(0);
        let mut description = DataDescription::new();
        description.set_align(self.all.iter().map(|c| u64::from(c.align)).max().unwrap_or(1));
        description.define(bytes.into());
        if let Some(section) = section {
            description.set_custom_section(section);
        }
        module.define_data(symbol, &description)?;
        let place = |(c, offset_bytes): (&Constant, u64)| match c.prepared_at {
            Some(offset_bytes) => Place { symbol: None, offset_bytes },
            None => Place { symbol: Some(symbol), offset_bytes },
        };
        Ok(self.all.iter().zip(offsets).map(place).collect())
    }

    /// All of them as a file beside the object, whose header is zeros yet.
    pub fn outside(&self) -> (Vec<u8>, Vec<Place>) {
        let (mut bytes, offsets) = self.image(weights::HEADER_BYTES);
        bytes.resize(bytes.len().next_multiple_of(weights::ALIGN as usize), 0);
        (bytes, offsets.into_iter().map(|offset_bytes| Place { symbol: None, offset_bytes }).collect())
    }

    /// What is not prepared, one after the other, behind so many zeros, and where each begins.
    fn image(&self, before_bytes: u64) -> (Vec<u8>, Vec<u64>) {
        let (mut bytes, mut offsets) = (vec![0; before_bytes as usize], vec![]);
        for c in &self.all {
            bytes.resize(bytes.len().next_multiple_of(c.align as usize), 0);
            offsets.push(bytes.len() as u64);
            if c.prepared_at.is_none() {
                bytes.extend_from_slice(c.bytes());
            }
        }
        bytes.resize(bytes.len() + READABLE_AFTER_CONSTANTS, 0);
        (bytes, offsets)
    }
}
