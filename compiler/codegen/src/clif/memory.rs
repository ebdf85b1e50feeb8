//! Addresses, loads and stores.
//!
//! The idea: `base[index + constant]` is the nearest pointer already at hand plus a displacement in the instruction.

use super::{CounterValue, Emitter, pointer_key};
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData, types};
use cranelite_tile::{Base, Index, Place, Type};

impl Emitter<'_> {
    pub(super) fn define_pointer(&mut self, base: Base, index: Index, pointer: ir::Value) {
        let key = pointer_key(&index);
        self.pointers.last_mut().expect("the function's scope").insert((base, key), pointer);
    }

    /// Pointer to `base[index]`, whatever the index.
    pub(super) fn address(&mut self, base: Base, index: &Index) -> ir::Value {
        let (pointer, displacement) = self.pointer(base, index);
        self.add_constant(pointer, displacement)
    }

    fn add_constant(&mut self, v: ir::Value, constant: i64) -> ir::Value {
        if constant == 0 {
            return v;
        }
        let c = self.b.ins().iconst(types::I64, constant);
        self.b.ins().iadd(v, c)
    }

    /// A pointer and what to add to it.
    fn pointer(&mut self, base: Base, index: &Index) -> (ir::Value, i64) {
        let displacement = index.constant_part();
        let index = self.reduced(&index.without_constant());
        let key = (base, pointer_key(&index));
        if let Some(&p) = self.pointers.iter().rev().find_map(|scope| scope.get(&key)) {
            return (p, displacement);
        }
        // Peel the last term off: loops further in were numbered later, so what remains is the outer loops' pointer.
        let terms = index.terms();
        let Some(last) = terms.iter().max_by_key(|t| t.counter) else {
            self.fail("an address without a base");
            let zero = self.b.ins().iconst(types::I64, 0);
            return (zero, displacement);
        };
        let last = Index::from_terms(vec![last.clone()]);
        let (rest, more) = self.pointer(base, &(index.clone() - last.clone()));
        let offset = self.index_value(&last);
        let p = self.b.ins().iadd(rest, offset);
        (p, displacement + more)
    }

    /// An index as a 64-bit integer.
    pub(super) fn index_value(&mut self, index: &Index) -> ir::Value {
        let mut sum: Option<ir::Value> = None;
        let mut constant = 0;
        for t in index.terms() {
            let mut factors: Vec<ir::Value> = t.params.iter().map(|p| self.params[p.0 as usize]).collect();
            match t.counter.map(|c| self.counters[c.0 as usize]) {
                None => {}
                Some(Some(CounterValue::Varies(v))) => factors.push(v),
                Some(Some(CounterValue::Known(0))) => continue,
                Some(Some(CounterValue::Known(k))) => {
                    let k = self.b.ins().iconst(types::I64, k);
                    factors.push(k);
                }
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
                v = self.b.ins().imul(v, f);
            }
            if t.coefficient != 1 {
                let c = self.b.ins().iconst(types::I64, t.coefficient);
                v = self.b.ins().imul(v, c);
            }
            sum = Some(match sum {
                None => v,
                Some(s) => self.b.ins().iadd(s, v),
            });
        }
        match sum {
            None => self.b.ins().iconst(types::I64, constant),
            Some(s) => self.add_constant(s, constant),
        }
    }

    /// By how much `moving`, terms of one counter, grows when the counter advances by `step`.
    pub(super) fn stride(&mut self, moving: &Index, step: i64) -> ir::Value {
        let mut sum = self.b.ins().iconst(types::I64, 0);
        let mut constant = 0;
        for t in moving.terms() {
            if t.params.is_empty() {
                constant += t.coefficient * step;
                continue;
            }
            let mut v = self.b.ins().iconst(types::I64, t.coefficient * step);
            for p in &t.params {
                v = self.b.ins().imul(v, self.params[p.0 as usize]);
            }
            sum = self.b.ins().iadd(sum, v);
        }
        self.add_constant(sum, constant)
    }

    fn flags(&self, base: Base) -> MemFlagsData {
        let flags = MemFlagsData::new().with_notrap();
        match base {
            Base::Arg(a) if self.movable[a.0 as usize] => flags.with_readonly().with_can_move(),
            // A row may lie in either of two arguments.
            Base::Row(_) if self.movable.iter().zip(&self.kernel.args).all(|(&m, a)| m || a.access == cranelite_tile::Access::Write) => {
                flags.with_readonly().with_can_move()
            }
            _ => flags,
        }
    }

    /// Pointer and a displacement that leaves room for `bytes` more in 32 bits.
    pub(super) fn place(&mut self, place: &Place, bytes: u32) -> (ir::Value, i32, MemFlagsData) {
        let (pointer, displacement) = self.pointer(place.base, &place.at);
        let flags = self.flags(place.base);
        match i32::try_from(displacement) {
            Ok(d) if d.checked_add(bytes as i32).is_some() => (pointer, d, flags),
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
                .map(|i| if i < left { self.b.ins().load(scalar, flags, pointer, at + (i * size) as i32) } else { self.zero(scalar) })
                .collect();
        }
        let vector = self.vector_type(ty.elem);
        let lanes = 16 / size;
        (0..self.piece_count(ty) as u32)
            .map(|i| {
                let here = left.min(lanes);
                left -= here;
                let at = at + 16 * i as i32;
                if here == lanes { self.b.ins().load(vector, flags, pointer, at) } else { self.load_bytes(vector, pointer, at, flags, here * size) }
            })
            .collect()
    }

    /// A vector whose first `bytes` < 16 bytes come from memory and whose others are zero.
    fn load_bytes(&mut self, vector: ir::Type, pointer: ir::Value, at: i32, flags: MemFlagsData, bytes: u32) -> ir::Value {
        let v = match bytes {
            0 => return self.zero(vector),
            4 => {
                let x = self.b.ins().load(types::F32, flags, pointer, at);
                self.b.ins().scalar_to_vector(types::F32X4, x)
            }
            8 => {
                let x = self.b.ins().load(types::F64, flags, pointer, at);
                self.b.ins().scalar_to_vector(types::F64X2, x)
            }
            1..8 => {
                let x = self.load_integer(pointer, at, flags, bytes);
                self.b.ins().scalar_to_vector(types::I64X2, x)
            }
            _ => {
                let low = self.b.ins().load(types::I64, flags, pointer, at);
                let high = self.load_integer(pointer, at + 8, flags, bytes - 8);
                let v = self.b.ins().scalar_to_vector(types::I64X2, low);
                self.b.ins().insertlane(v, high, 1)
            }
        };
        self.cast(v, vector)
    }

    /// `bytes` bytes, at most 8, zero extended to an i64.
    pub(super) fn load_integer(&mut self, pointer: ir::Value, at: i32, flags: MemFlagsData, bytes: u32) -> ir::Value {
        let (mut sum, mut done) = (None, 0);
        while done < bytes {
            let chunk = [8, 4, 2, 1].into_iter().find(|c| *c <= bytes - done).unwrap_or(1);
            let ty = ir::Type::int(chunk as u16 * 8).unwrap_or(types::I8);
            let mut v = self.b.ins().load(ty, flags, pointer, at + done as i32);
            if chunk < 8 {
                v = self.b.ins().uextend(types::I64, v);
            }
            if 0 < done {
                let n = self.b.ins().iconst(types::I64, i64::from(done * 8));
                v = self.b.ins().ishl(v, n);
            }
            sum = Some(match sum {
                None => v,
                Some(s) => self.b.ins().bor(s, v),
            });
            done += chunk;
        }
        match sum {
            Some(s) => s,
            None => self.b.ins().iconst(types::I64, 0),
        }
    }

    pub(super) fn load_splat(&mut self, place: &Place, ty: Type, group: u32, count: Option<u32>) -> Vec<ir::Value> {
        let size = ty.elem.bytes();
        let read = count.unwrap_or(group);
        if self.is_scalar(ty) {
            let one = self.load(place, ty.with_lanes(group), count);
            return (0..ty.lanes).map(|i| one[(i % group) as usize]).collect();
        }
        let (pointer, at, flags) = self.place(place, group * size);
        let bytes = group * size;
        let vector = self.vector_type(ty.elem);
        if !bytes.is_power_of_two() || 8 < bytes {
            self.fail(format!("a group of {bytes} bytes"));
            return vec![self.zero(vector); self.piece_count(ty)];
        }
        let v = if ty.elem.is_float() && group == 1 {
            let x = self.b.ins().load(vector.lane_type(), flags, pointer, at);
            self.b.ins().splat(vector, x)
        } else {
            let lane = ir::Type::int(bytes as u16 * 8).unwrap_or(types::I32);
            let x = if read == group {
                self.b.ins().load(lane, flags, pointer, at)
            } else {
                let x = self.load_integer(pointer, at, flags, read * size);
                if lane == types::I64 { x } else { self.b.ins().ireduce(lane, x) }
            };
            let v = self.b.ins().splat(lane.by(128 / lane.bits()).unwrap_or(types::I32X4), x);
            self.cast(v, vector)
        };
        vec![v; self.piece_count(ty)]
    }

    pub(super) fn store(&mut self, place: &Place, ty: Type, pieces: &[ir::Value], count: Option<u32>) {
        if ty.elem.is_mask() {
            return self.fail("a mask cannot be stored");
        }
        let (pointer, at, flags) = self.place(place, ty.bytes());
        let size = ty.elem.bytes();
        let mut left = count.unwrap_or(ty.lanes);
        if self.is_scalar(ty) {
            for (i, &p) in pieces.iter().enumerate().take(left as usize) {
                self.b.ins().store(flags, p, pointer, at + (i as u32 * size) as i32);
            }
            return;
        }
        for (i, &p) in pieces.iter().enumerate() {
            let here = left.min(16 / size);
            left -= here;
            let at = at + 16 * i as i32;
            if here * size == 16 {
                self.b.ins().store(flags, p, pointer, at);
            } else {
                self.store_bytes(p, pointer, at, flags, here * size);
            }
        }
    }

    fn store_bytes(&mut self, v: ir::Value, pointer: ir::Value, at: i32, flags: MemFlagsData, bytes: u32) {
        let mut done = 0;
        while done < bytes {
            let chunk = [8, 4, 2, 1].into_iter().find(|c| *c <= bytes - done && done.is_multiple_of(*c)).unwrap_or(1);
            let lane = match chunk {
                8 => types::F64,
                4 => types::F32,
                c => ir::Type::int(c as u16 * 8).unwrap_or(types::I8),
            };
            let vector = lane.by(128 / lane.bits()).unwrap_or(types::I8X16);
            let cast = self.cast(v, vector);
            let x = self.b.ins().extractlane(cast, (done / chunk) as u8);
            self.b.ins().store(flags, x, pointer, at + done as i32);
            done += chunk;
        }
    }
}
