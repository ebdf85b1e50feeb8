//! How many vector registers a kernel needs where it matters: in its innermost loops.
//!
//! Not a register allocator: an emitter may need one or two more for its own purposes, and code outside of innermost loops, where a
//! spill costs little, does not count. The idea: at each point of a loop's body, add up the registers of the values that are live there;
//! what comes from outside is live throughout, what goes round from its last definition on to its first death.

use crate::machine::Machine;
use crate::program::*;
use crate::types::Type;

/// The largest number of vector registers live at a time in any innermost loop, or in the kernel if it has no loop.
pub fn pressure(kernel: &Kernel, machine: &Machine) -> u32 {
    let mut uniform = vec![false; kernel.types.len()];
    mark_uniform(&kernel.body, &mut uniform);
    let mut most = 0;
    let p = Pressure { kernel, machine, uniform };
    if !p.innermost(&kernel.body, &mut most) {
        most = p.block(&kernel.body, &[]);
    }
    most
}

/// Values whose lanes repeat within a register take one register, however long they are.
fn mark_uniform(stmts: &[Stmt], uniform: &mut [bool]) {
    for s in stmts {
        match s {
            Stmt::Let(v, Op::Const(_) | Op::LoadSplat { .. } | Op::Splat(_)) => {
                if let Some(u) = uniform.get_mut(v.0 as usize) {
                    *u = true;
                }
            }
            Stmt::Loop(l) => mark_uniform(&l.body, uniform),
            _ => {}
        }
    }
}

struct Pressure<'a> {
    kernel: &'a Kernel,
    machine: &'a Machine,
    uniform: Vec<bool>,
}

impl Pressure<'_> {
    /// Looks at every innermost loop; `false` if there is no loop.
    fn innermost(&self, stmts: &[Stmt], most: &mut u32) -> bool {
        let mut found = false;
        for s in stmts {
            if let Stmt::Loop(l) = s {
                found = true;
                if !self.innermost(&l.body, most) {
                    *most = (*most).max(self.block(&l.body, &l.carried));
                }
            }
        }
        found
    }

    fn registers(&self, v: Value) -> u32 {
        let Some(ty) = self.kernel.types.get(v.0 as usize) else { return 0 };
        let n = registers(*ty, self.machine);
        if self.uniform[v.0 as usize] { n.min(1) } else { n }
    }

    /// Of a body without loops.
    fn block(&self, body: &[Stmt], carried: &[Carried]) -> u32 {
        // Point i lies before statement i; a value is live at the points after its definition up to its last use.
        let end = body.len() + 1;
        let mut defined: Vec<Option<usize>> = vec![None; self.kernel.types.len()];
        let mut last_use: Vec<Option<usize>> = vec![None; self.kernel.types.len()];
        let set = |list: &mut [Option<usize>], v: Value, at| {
            if let Some(x) = list.get_mut(v.0 as usize) {
                *x = Some(at);
            }
        };
        for c in carried {
            set(&mut defined, c.inside, 0);
        }
        for (i, s) in body.iter().enumerate() {
            let used = match s {
                Stmt::Let(_, op) => op.operands(),
                Stmt::Store { value, .. } | Stmt::Clamp { value, .. } => vec![*value],
                Stmt::Loop(_) | Stmt::Row { .. } | Stmt::Split { .. } | Stmt::Prefetch(_) => vec![],
            };
            used.into_iter().for_each(|v| set(&mut last_use, v, i + 1));
            if let Stmt::Let(v, _) = s {
                set(&mut defined, *v, i + 1);
            }
        }
        for c in carried {
            set(&mut last_use, c.next, end);
        }
        let mut change = vec![0i64; end + 1];
        let mut live = |from: usize, to: usize, v: Value| {
            let to = to.max(from + 1).min(end);
            change[from] += i64::from(self.registers(v));
            change[to] -= i64::from(self.registers(v));
        };
        for (i, (from, to)) in defined.iter().zip(&last_use).enumerate() {
            let v = Value(i as u32);
            match (from, to) {
                (Some(from), to) => live(*from, to.unwrap_or(0), v),
                // From outside: needed again in the next iteration.
                (None, Some(_)) => live(0, end, v),
                (None, None) => {}
            }
        }
        let mut now = 0;
        let most = change.iter().map(|c| {
            now += c;
            now
        });
        u32::try_from(most.max().unwrap_or(0)).unwrap_or(u32::MAX)
    }
}

/// Vector registers of a value. Single integers live elsewhere; where there are no vectors, floats have registers of their own.
fn registers(ty: Type, machine: &Machine) -> u32 {
    let is_scalar = ty.lanes == 1 && !ty.elem.is_float();
    match machine.vector_bytes {
        _ if is_scalar => 0,
        0 if ty.elem.is_float() => ty.lanes,
        0 => 0,
        bytes => ty.lanes.saturating_mul(ty.elem.bytes()).div_ceil(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::KernelBuilder;
    use crate::machine::ByteDot;
    use crate::types::Elem;

    /// A product of `rows` by `vectors` vectors of i32, with B in registers.
    fn product(machine: &Machine, rows: usize, vectors: usize) -> Kernel {
        let lanes = machine.lanes(Elem::I32);
        let mut k = KernelBuilder::new("product");
        let (a, b, y) = (k.read("a"), k.read("b"), k.write("y"));
        let zero = k.int(Elem::I32.x(lanes), 0);
        let sums = k.repeat("k", 64, 4, &vec![zero; rows * vectors], |k, i, sums| {
            let columns: Vec<Value> =
                (0..vectors).map(|j| k.load(Elem::I8.x(4 * lanes), b.at(i * lanes as i64 + j as i64 * 1024))).collect();
            let mut next = vec![];
            for m in 0..rows {
                let a = k.load_splat(Elem::I8.x(4 * lanes), 4, a.at(i + m as i64 * 64));
                for (j, &b) in columns.iter().enumerate() {
                    next.push(k.dot(4, sums[m * vectors + j], a, b));
                }
            }
            next
        });
        for (i, v) in sums.into_iter().enumerate() {
            k.store(y.at(i as i64 * 64), v);
        }
        k.finish()
    }

    #[test]
    fn products() {
        let wide = Machine::example(64, ByteDot::U8S8, true, false);
        assert_eq!(pressure(&product(&wide, 14, 2), &wide), 28 + 2 + 1);
        assert_eq!(pressure(&product(&wide, 28, 1), &wide), 28 + 1 + 1);
        let narrow = Machine::example(16, ByteDot::S8S8, true, true);
        assert_eq!(pressure(&product(&narrow, 2, 5), &narrow), 10 + 5 + 1);
        // Vectors of another machine's length are several registers of this one, but what is repeated is one.
        assert_eq!(pressure(&product(&wide, 1, 2), &narrow), 4 * (2 + 2) + 1);
        let scalar = Machine::example(0, ByteDot::S16S16, false, false);
        assert_eq!(pressure(&product(&scalar, 2, 2), &scalar), 0);
    }

    #[test]
    fn what_goes_round_and_what_comes_from_outside() {
        let m = Machine::example(16, ByteDot::S8S8, true, true);
        let ty = Elem::F32.x(4);
        let mut k = KernelBuilder::new("k");
        let (x, y) = (k.read("x"), k.write("y"));
        let two = k.float(ty, 2.0);
        let outside = k.load(ty, x.at(0));
        let sums = k.repeat("i", 64, 16, &[two, two], |k, i, s| {
            let a = k.load(ty, x.at(i));
            let b = k.load(ty, x.at(i + 64));
            let c = k.mul(a, b);
            let d = k.mul(c, outside);
            // The second is replaced by what does not depend on it; the first is used after its next value is known.
            let next = k.add(s[0], d);
            let again = k.add(next, s[0]);
            vec![next, again]
        });
        k.store(y.at(0), sums[0]);
        // outside, the first sum, a and b; nobody reads the second while it goes round.
        assert_eq!(pressure(&k.finish(), &m), 4);
    }

    /// An accumulator that is added to several times in the body takes one register.
    #[test]
    fn unrolled_sums() {
        let m = Machine::example(16, ByteDot::S8S8, true, true);
        let ty = Elem::F32.x(4);
        let mut k = KernelBuilder::new("k");
        let (x, y) = (k.read("x"), k.write("y"));
        let zero = k.float(ty, 0.0);
        let sums = k.repeat("i", 64, 16, &[zero; 8], |k, i, s| {
            let mut s = s.to_vec();
            for u in 0..4 {
                let a = k.load(ty, x.at(i + u * 16));
                for s in &mut s {
                    *s = k.add(*s, a);
                }
            }
            s
        });
        sums.iter().for_each(|&s| k.store(y.at(0), s));
        assert_eq!(pressure(&k.finish(), &m), 8 + 1);
    }

    #[test]
    fn without_loops_and_nested() {
        let m = Machine::example(16, ByteDot::S8S8, true, true);
        let ty = Elem::I8.x(16);
        let mut k = KernelBuilder::new("k");
        let (x, y) = (k.read("x"), k.write("y"));
        let v: Vec<Value> = (0..3).map(|i| k.load(ty, x.at(i * 16))).collect();
        v.iter().for_each(|&v| k.store(y.at(0), v));
        let mut flat = k.finish();
        assert_eq!(pressure(&flat, &m), 3);
        let one = Stmt::Let(v[0], Op::Const(Scalar::Int(0)));
        let inner = Loop { counter: crate::Counter(0), count: 4.into(), step: 1, carried: vec![], body: vec![one] };
        flat.body.push(Stmt::Loop(inner.into()));
        assert_eq!(pressure(&flat, &m), 1);
    }
}
