//! What one pass over a kernel finds out about its values before instructions are chosen.

use cranelite_tile::{Kernel, Op, Stmt, Value};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct Facts {
    /// How often each value is read.
    pub use_counts: Vec<u32>,
    /// Values that become indices.
    pub indices: BTreeSet<Value>,
    /// Vectors of two short ones interleaved, of which nothing but the halves is used: they are two registers.
    pub halved: BTreeSet<Value>,
}

impl Facts {
    pub fn of(kernel: &Kernel) -> Facts {
        let mut facts = Facts { use_counts: vec![0; kernel.types.len()], ..Facts::default() };
        let mut halves = BTreeMap::new();
        facts.walk(kernel, &kernel.body, &mut halves);
        facts.halved.retain(|v| halves.get(v) == Some(&facts.use_counts[v.0 as usize]));
        facts
    }

    /// `halves`: how often one half of a value is taken.
    fn walk(&mut self, kernel: &Kernel, stmts: &[Stmt], halves: &mut BTreeMap<Value, u32>) {
        for s in stmts {
            match s {
                Stmt::Let(v, op) => {
                    op.operands().into_iter().for_each(|o| self.read(o));
                    match op {
                        Op::Interleave(a, _) if kernel.ty(*a).bytes() == 16 => drop(self.halved.insert(*v)),
                        Op::Slice(a, start) => {
                            let (half, whole) = (kernel.ty(*v).lanes, kernel.ty(*a).lanes);
                            *halves.entry(*a).or_default() += u32::from(2 * half == whole && start % half == 0);
                        }
                        _ => {}
                    }
                }
                Stmt::Store { value, .. } => self.read(*value),
                Stmt::Clamp { value, .. } => {
                    self.read(*value);
                    self.indices.insert(*value);
                }
                Stmt::Loop(l) => {
                    l.carried.iter().flat_map(|c| [c.init, c.next]).for_each(|v| self.read(v));
                    self.walk(kernel, &l.body, halves);
                }
                Stmt::Row { .. } | Stmt::Split { .. } | Stmt::Prefetch(_) => {}
            }
        }
    }

    fn read(&mut self, v: Value) {
        self.use_counts[v.0 as usize] += 1;
    }
}
