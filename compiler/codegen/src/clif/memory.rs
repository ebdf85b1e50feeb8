//! Addresses, loads and stores.
//!
//! The idea: `base[index + constant]` is the nearest pointer already at hand plus a displacement in the instruction. Partial vectors
//! are pieced together from smaller loads, so that no byte is touched that the text does not name.

use super::loops::{CounterValue, index_key};
use super::{Arch, Emitter};
use crate::reciprocal::Reciprocal;
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData, types};
use cranelite_tile::{Access, Base, Binary, Elem, Index, Op, Place, Stmt, Type, Value};

impl<'a> Emitter<'a> {
    pub(super) fn define_pointer(&mut self, base: Base, index: &Index, pointer: ir::Value) {
        let level = self.level;
        self.scopes[level].pointers.insert((base, index_key(index)), pointer);
    }

    /// Pointer to `base[index]`, whatever the index.
    pub(super) fn address(&mut self, base: Base, index: &Index) -> ir::Value {
        let (pointer, displacement) = self.pointer(base, index);
        self.add_constant(pointer, displacement)
    }

    fn add_constant(&mut self, v: ir::Value, constant: i64) -> ir::Value {
        if constant == 0 { v } else { self.ins().iadd_imm_s(v, constant) }
    }

    /// A pointer and what to add to it.
    fn pointer(&mut self, base: Base, index: &Index) -> (ir::Value, i64) {
        let displacement = index.constant_part();
        let index = self.reduced(&index.without_constant());
        let key = (base, index_key(&index));
        if let Some(&p) = self.scopes[..=self.level].iter().rev().find_map(|scope| scope.pointers.get(&key)) {
            return (p, displacement);
        }
        let base_level = match base {
            Base::Arg(_) => 0,
            Base::Row(r) => self.row_levels[r.0 as usize],
        };
        let level = base_level.max(self.index_level(&index)).min(self.level);
        // Peel the last term off: loops further in were numbered later, so what remains is the outer loops' pointer.
        let Some(last) = index.terms().iter().max_by_key(|t| t.counter) else {
            self.fail("an address without a base");
            return (self.i64(0), displacement);
        };
        let last = Index::from_terms(vec![last.clone()]);
        let p = self.at_level(level, |e| {
            let (rest, _) = e.pointer(base, &(index.clone() - last.clone()));
            let offset = e.index_value(&last);
            let p = e.ins().iadd(rest, offset);
            e.define_pointer(base, &index, p);
            p
        });
        (p, displacement)
    }

    /// An index as a 64-bit integer.
    pub(super) fn index_value(&mut self, index: &Index) -> ir::Value {
        if let Some(constant) = self.reduced(index).as_constant() {
            return self.i64(constant);
        }
        let key = index_key(index);
        if let Some(&v) = self.scopes[..=self.level].iter().rev().find_map(|scope| scope.indices.get(&key)) {
            return v;
        }
        let level = self.index_level(index).min(self.level);
        // What does not vary here is computed outside.
        let inner = index.retain_counters(|c| self.counter_level(c) == level);
        let inner = Index::from_terms(inner.terms().iter().filter(|t| t.counter.is_some()).cloned().collect());
        let outer = index.clone() - inner.clone();
        self.at_level(level, |e| {
            let v = if outer.as_constant().is_some() || inner.terms().is_empty() {
                e.compute_index(index)
            } else {
                let (inner, outer) = (e.compute_index(&inner), e.index_value(&outer));
                e.ins().iadd(outer, inner)
            };
            e.scopes[level].indices.insert(key, v);
            v
        })
    }

    fn compute_index(&mut self, index: &Index) -> ir::Value {
        let (mut sum, mut constant) = (None, 0);
        for t in index.terms() {
            let mut factors: Vec<ir::Value> = t.params.iter().map(|p| self.params[p.0 as usize]).collect();
            match t.counter.map(|c| self.counters[c.0 as usize]) {
                None => {}
                Some(Some((CounterValue::Varies(v), _))) => factors.push(v),
                Some(Some((CounterValue::Zero, _))) => continue,
                Some(None) => {
                    self.fail("a counter outside its loop");
                    continue;
                }
            }
            let Some(mut v) = factors.pop() else {
                constant += t.coefficient;
                continue;
            };
            for f in factors {
                v = self.ins().imul(v, f);
            }
            v = self.multiple(v, t.coefficient);
            sum = Some(match sum {
                None => v,
                Some(s) => self.ins().iadd(s, v),
            });
        }
        match sum {
            None => self.i64(constant),
            Some(s) => self.add_constant(s, constant),
        }
    }

    fn multiple(&mut self, v: ir::Value, k: i64) -> ir::Value {
        if k == 1 {
            v
        } else if k.count_ones() == 1 {
            let bits = self.amount(k.trailing_zeros());
            self.ins().ishl(v, bits)
        } else {
            let k = self.i64(k);
            self.ins().imul(v, k)
        }
    }

    /// `v / by` for v < 2^63, by a multiplication.
    pub(super) fn quotient(&mut self, v: ir::Value, by: u64) -> ir::Value {
        if by.is_power_of_two() {
            let bits = self.amount(by.trailing_zeros());
            return self.ins().ushr(v, bits);
        }
        let Reciprocal { multiplier, shift } = Reciprocal::of(by);
        let multiplier = self.i64(multiplier as i64);
        let high = self.ins().umulhi(v, multiplier);
        let shift = self.amount(shift);
        self.ins().ushr(high, shift)
    }

    fn flags(&self, base: Base) -> MemFlagsData {
        let flags = MemFlagsData::new().with_notrap();
        if self.is_constant_memory(base) { flags.with_readonly().with_can_move() } else { flags }
    }

    /// Nothing writes there during the function.
    pub(super) fn is_constant_memory(&self, base: Base) -> bool {
        match base {
            Base::Arg(a) => self.movable[a.0 as usize],
            // A row may lie in any argument that is read.
            Base::Row(_) => self.movable.iter().zip(&self.kernel.args).all(|(&m, a)| m || a.access == Access::Write),
        }
    }

    /// Pointer and a displacement that leaves room for `bytes` more in 32 bits.
    pub(super) fn place(&mut self, place: &Place, bytes: u32) -> (ir::Value, i32, MemFlagsData) {
        let (pointer, displacement) = self.pointer(place.base, &place.at);
        let flags = self.flags(place.base);
        match i32::try_from(displacement) {
            Ok(d) if d.checked_add_unsigned(bytes).is_some() => (pointer, d, flags),
            _ => (self.add_constant(pointer, displacement), 0, flags),
        }
    }

    /// `count` lanes (all if `None`) as pieces of `ty`; the lanes beyond are zero.
    pub(super) fn load(&mut self, place: &Place, ty: Type, count: Option<u32>) -> Vec<ir::Value> {
        let (pointer, at, flags) = self.place(place, ty.bytes());
        let size = ty.elem.bytes();
        let mut left = count.unwrap_or(ty.lanes);
        if self.is_scalar(ty) {
            let scalar = self.scalar_type(ty.elem);
            return (0..ty.lanes)
                .map(|i| if i < left { self.ins().load(scalar, flags, pointer, at + (i * size) as i32) } else { self.zero(scalar) })
                .collect();
        }
        let vector = self.vector_type(ty.elem);
        (0..self.piece_count(ty) as u32)
            .map(|i| {
                let here = left.min(16 / size);
                left -= here;
                self.load_bytes(vector, pointer, at + 16 * i as i32, flags, here * size)
            })
            .collect()
    }

    /// A load whose only use is to be widened: lanes of twice the bits straight from memory, which is one instruction where a load of
    /// half a register is three.
    pub(super) fn load_widened(&mut self, place: &Place, ty: Type) -> Vec<ir::Value> {
        let (pointer, at, flags) = self.place(place, ty.bytes());
        (0..ty.bytes() as i32 / 8)
            .map(|i| {
                let at = at + 8 * i;
                match (ty.elem.bits(), ty.elem.is_signed()) {
                    (8, true) => self.ins().sload8x8(flags, pointer, at),
                    (8, false) => self.ins().uload8x8(flags, pointer, at),
                    (16, true) => self.ins().sload16x4(flags, pointer, at),
                    (16, false) => self.ins().uload16x4(flags, pointer, at),
                    (_, true) => self.ins().sload32x2(flags, pointer, at),
                    (_, false) => self.ins().uload32x2(flags, pointer, at),
                }
            })
            .collect()
    }

    /// A vector whose first `bytes` bytes come from memory and whose others are zero.
    fn load_bytes(&mut self, vector: ir::Type, pointer: ir::Value, at: i32, flags: MemFlagsData, bytes: u32) -> ir::Value {
        let v = match bytes {
            0 => return self.zero(vector),
            16 => return self.ins().load(vector, flags, pointer, at),
            4 => {
                let x = self.ins().load(types::F32, flags, pointer, at);
                self.ins().scalar_to_vector(types::F32X4, x)
            }
            8 => {
                let x = self.ins().load(types::F64, flags, pointer, at);
                self.ins().scalar_to_vector(types::F64X2, x)
            }
            12 => {
                let x = self.ins().load(types::F64, flags, pointer, at);
                let low = self.ins().scalar_to_vector(types::F64X2, x);
                let low = self.cast(low, types::F32X4);
                let high = self.ins().load(types::F32, flags, pointer, at + 8);
                self.ins().insertlane(low, high, 2)
            }
            1..8 => {
                let x = self.load_integer(pointer, at, flags, bytes);
                self.ins().scalar_to_vector(types::I64X2, x)
            }
            _ => {
                let low = self.ins().load(types::I64, flags, pointer, at);
                let high = self.load_integer(pointer, at + 8, flags, bytes - 8);
                let v = self.ins().scalar_to_vector(types::I64X2, low);
                self.ins().insertlane(v, high, 1)
            }
        };
        self.cast(v, vector)
    }

    /// `bytes` bytes, at most 8, zero extended to an i64.
    fn load_integer(&mut self, pointer: ir::Value, at: i32, flags: MemFlagsData, bytes: u32) -> ir::Value {
        let (mut sum, mut done) = (None, 0);
        while done < bytes {
            let chunk = 1 << (bytes - done).ilog2();
            let ty = ir::Type::int(chunk as u16 * 8).expect("a power of two of bytes");
            let mut v = self.ins().load(ty, flags, pointer, at + done as i32);
            if chunk < 8 {
                v = self.ins().uextend(types::I64, v);
            }
            if 0 < done {
                let n = self.amount(done * 8);
                v = self.ins().ishl(v, n);
            }
            sum = Some(match sum {
                None => v,
                Some(s) => self.ins().bor(s, v),
            });
            done += chunk;
        }
        sum.unwrap_or_else(|| self.i64(0))
    }

    pub(super) fn load_splat(&mut self, place: &Place, ty: Type, group: u32, count: Option<u32>) -> Vec<ir::Value> {
        let size = ty.elem.bytes();
        if self.is_scalar(ty) {
            let one = self.load(place, ty.with_lanes(group.min(ty.lanes)), count);
            return (0..ty.lanes).map(|i| one[(i % group) as usize]).collect();
        }
        let (pointer, at, flags) = self.place(place, group * size);
        let (bytes, read) = (group * size, count.unwrap_or(group) * size);
        let vector = self.vector_type(ty.elem);
        if !(bytes.is_power_of_two() && bytes <= 8) {
            // Whole registers in turn, or else lane by lane.
            let one = self.load(place, ty.with_lanes(group), count);
            if bytes.is_multiple_of(16) {
                return (0..self.piece_count(ty)).map(|i| one[i % one.len()]).collect();
            }
            let lanes: Vec<ir::Value> = (0..group as usize).map(|i| self.extract(ty.with_lanes(group), &one, i)).collect();
            let all: Vec<ir::Value> = (0..ty.lanes as usize).map(|i| lanes[i % lanes.len()]).collect();
            return self.assemble(ty, &all);
        }
        let v = match (bytes, read) {
            // Why floats: as an integer, the value would pass through a general register on its way.
            (4, 4) => {
                let x = self.ins().load(types::F32, flags, pointer, at);
                self.ins().splat(types::F32X4, x)
            }
            (2, 2) if self.features.arch == Arch::Arm => {
                let x = self.ins().load(types::F16, flags, pointer, at);
                self.ins().splat(types::F16X8, x)
            }
            (8, 8) => {
                let x = self.ins().load(types::F64, flags, pointer, at);
                self.ins().splat(types::F64X2, x)
            }
            _ => {
                let lane = ir::Type::int(bytes as u16 * 8).expect("a power of two of bytes");
                let x = if read == bytes {
                    self.ins().load(lane, flags, pointer, at)
                } else {
                    let x = self.load_integer(pointer, at, flags, read);
                    if lane == types::I64 { x } else { self.ins().ireduce(lane, x) }
                };
                self.ins().splat(lane.by(16 / bytes).expect("a full register"), x)
            }
        };
        let v = self.cast(v, vector);
        vec![v; self.piece_count(ty)]
    }

    pub(super) fn store(&mut self, place: &Place, value: Value, count: Option<u32>) {
        let ty = self.ty(value);
        if ty.elem.is_mask() {
            return self.fail("a mask cannot be stored");
        }
        let size = ty.elem.bytes();
        let mut left = count.unwrap_or(ty.lanes);
        let (pieces, (pointer, at, flags)) = (self.pieces(value), self.place(place, ty.bytes()));
        if self.is_scalar(ty) {
            for (i, &p) in pieces.iter().enumerate().take(left as usize) {
                self.ins().store(flags, p, pointer, at + (i as u32 * size) as i32);
            }
            return;
        }
        for (i, &p) in pieces.iter().enumerate() {
            let here = left.min(16 / size);
            left -= here;
            let at = at + 16 * i as i32;
            if here * size == 16 {
                self.ins().store(flags, p, pointer, at);
            } else {
                self.store_bytes(p, pointer, at, flags, here * size);
            }
        }
    }

    fn store_bytes(&mut self, v: ir::Value, pointer: ir::Value, at: i32, flags: MemFlagsData, bytes: u32) {
        let mut done = 0;
        while done < bytes {
            let chunk = 1 << (bytes - done).ilog2();
            let lane = match chunk {
                8 => types::F64,
                4 => types::F32,
                c => ir::Type::int(c as u16 * 8).expect("a power of two of bytes"),
            };
            let cast = self.cast(v, lane.by(16 / chunk).expect("a full register"));
            let x = self.ins().extractlane(cast, (done / chunk) as u8);
            self.ins().store(flags, x, pointer, at + done as i32);
            done += chunk;
        }
    }

    /// For every lane of the index the element of a table.
    pub(super) fn lookup(&mut self, table: &Place, ty: Type, index: Value) -> Vec<ir::Value> {
        let (index_ty, pieces) = (self.ty(index), self.pieces(index));
        let (table, at, flags) = self.place(table, 256 * ty.elem.bytes());
        let lanes: Vec<ir::Value> = (0..ty.lanes as usize)
            .map(|i| {
                let i = self.extract(index_ty, &pieces, i);
                self.element(table, at, flags, ty.elem, i)
            })
            .collect();
        self.assemble(ty, &lanes)
    }

    /// Element number `i`, an i8, of a table.
    fn element(&mut self, table: ir::Value, at: i32, flags: MemFlagsData, elem: Elem, i: ir::Value) -> ir::Value {
        let i = self.ins().uextend(types::I64, i);
        let offset = self.multiple(i, i64::from(elem.bytes()));
        let p = self.ins().iadd(table, offset);
        let scalar = self.scalar_type(elem);
        self.ins().load(scalar, flags, p, at)
    }

    /// Memory to table to memory, one element after the other and never as a vector.
    pub(super) fn map_through_table(&mut self, m: &TableMap<'a>) {
        let size = m.elem.bytes();
        let (from, from_at, from_flags) = self.place(m.from, m.lanes);
        let (table, table_at, table_flags) = self.place(m.table, 256 * size);
        let (to, to_at, to_flags) = self.place(m.to, m.lanes * size);
        for i in 0..m.lanes {
            let index = self.ins().load(types::I8, from_flags, from, from_at + i as i32);
            let x = self.element(table, table_at, table_flags, m.elem, index);
            self.ins().store(to_flags, x, to, to_at + (i * size) as i32);
        }
    }

    /// Finds the stores for which [`Emitter::map_through_table`] will do: load, look up and store, with nothing in between that is
    /// not a cast, and nobody else interested.
    pub(super) fn find_table_maps(&mut self, stmts: &'a [Stmt]) {
        for (n, s) in stmts.iter().enumerate() {
            match s {
                Stmt::Loop(l) => self.find_table_maps(&l.body),
                Stmt::Store { place: to, value, count } => {
                    let mut chain = vec![];
                    let Some(Op::Lookup { place: table, index }) = self.uncast(*value, &mut chain) else { continue };
                    let Some(Op::Load { place: from, count: read }) = self.uncast(*index, &mut chain) else { continue };
                    let ty = self.ty(*value);
                    let unshared = chain.iter().all(|v| self.uses[v.0 as usize] == 1);
                    // The last statements before this one: then no other store comes in between.
                    let own = |s: &Stmt| matches!(s, Stmt::Let(v, _) if chain.contains(v));
                    let adjacent = stmts[n.saturating_sub(chain.len())..n].iter().all(own);
                    // Element for element in place, or from memory that does not change.
                    let in_place = self.begin_together(from.base, to.base) && from.at == to.at && ty.elem.bytes() == 1;
                    let safe = self.is_constant_memory(table.base) && (self.is_constant_memory(from.base) || in_place);
                    if unshared && adjacent && safe && read == count {
                        let m = TableMap { from, table, to, elem: ty.elem, lanes: count.unwrap_or(ty.lanes) };
                        chain.iter().for_each(|v| self.skipped[v.0 as usize] = true);
                        self.table_maps.insert(value.0, m);
                    }
                }
                _ => {}
            }
        }
    }

    /// Finds the loads for which [`Emitter::load_widened`] will do: of whole halves of registers, from memory that does not change, and
    /// only to be widened.
    pub(super) fn find_widened_loads(&mut self, stmts: &'a [Stmt]) {
        for s in stmts {
            match s {
                Stmt::Loop(l) => self.find_widened_loads(&l.body),
                Stmt::Let(_, Op::Widen(a)) => {
                    if let Some(Op::Load { place, count: None }) = self.def(*a) {
                        let ty = self.ty(*a);
                        let halves = 1 < ty.lanes && ty.bytes().is_multiple_of(8) && self.features.vectors;
                        if halves && self.uses[a.0 as usize] == 1 && self.is_constant_memory(place.base) {
                            self.skipped[a.0 as usize] = true;
                        }
                    }
                }
                // On Arm a product of bytes widens them.
                Stmt::Let(_, Op::Binary(Binary::Mul, x, y)) if self.features.arch == Arch::Arm => {
                    if let (Some(Op::Widen(x)), Some(Op::Widen(y))) = (self.def(*x), self.def(*y)) {
                        for v in [x, y].into_iter().filter(|v| self.ty(**v).elem.bits() == 8).collect::<Vec<_>>() {
                            self.skipped[v.0 as usize] = false;
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether the same index means the same byte of both wherever they share memory.
    fn begin_together(&self, a: Base, b: Base) -> bool {
        match (a, b) {
            (Base::Arg(a), Base::Arg(b)) => a == b || self.kernel.args[b.0 as usize].in_place_of == Some(a),
            // A row begins anywhere.
            _ => false,
        }
    }

    /// The operation behind casts between element types of the same size; the values passed go into `chain`.
    fn uncast(&self, mut v: Value, chain: &mut Vec<Value>) -> Option<&'a Op> {
        loop {
            chain.push(v);
            match self.def(v)? {
                Op::Bitcast(of) if self.ty(*of).lanes == self.ty(v).lanes => v = *of,
                op => return Some(op),
            }
        }
    }
}

/// Bytes that go through a table on their way from memory to memory.
pub(super) struct TableMap<'a> {
    from: &'a Place,
    table: &'a Place,
    to: &'a Place,
    elem: Elem,
    lanes: u32,
}
