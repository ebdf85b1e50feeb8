//! How a tile value is held: pieces of 128 bits, or one scalar per lane.
//!
//! A vector of L lanes is ceil(L / lanes per register) registers, the last one padded with lanes of no meaning; a single lane is a
//! scalar, and so is every lane on a machine without vectors. Everything that moves lanes about is here.

use super::Emitter;
use cranelift_codegen::ir::{self, ConstantData, Endianness, InstBuilder, MemFlagsData, types};
use cranelite_tile::{Elem, Type};

impl Emitter<'_> {
    /// Held as scalars, one per lane?
    pub(super) fn is_scalar(&self, ty: Type) -> bool {
        ty.lanes == 1 || !self.features.vectors
    }

    pub(super) fn piece_count(&self, ty: Type) -> usize {
        if self.is_scalar(ty) { ty.lanes as usize } else { ty.bytes().div_ceil(16) as usize }
    }

    /// Type of a lane; a mask's lane is a truth value.
    pub(super) fn scalar_type(&self, elem: Elem) -> ir::Type {
        match elem {
            Elem::I8 | Elem::U8 | Elem::Mask(_) => types::I8,
            Elem::I16 | Elem::U16 => types::I16,
            Elem::I32 | Elem::U32 => types::I32,
            Elem::I64 => types::I64,
            Elem::F32 => types::F32,
            Elem::F64 => types::F64,
        }
    }

    /// Type of a full register; a mask's lanes are all ones or all zeros.
    pub(super) fn vector_type(&self, elem: Elem) -> ir::Type {
        match (elem, elem.bits()) {
            (Elem::F32, _) => types::F32X4,
            (Elem::F64, _) => types::F64X2,
            (_, 8) => types::I8X16,
            (_, 16) => types::I16X8,
            (_, 32) => types::I32X4,
            _ => types::I64X2,
        }
    }

    pub(super) fn piece_type(&self, ty: Type) -> ir::Type {
        if self.is_scalar(ty) { self.scalar_type(ty.elem) } else { self.vector_type(ty.elem) }
    }

    pub(super) fn lanes_per_piece(&self, ty: Type) -> usize {
        if self.is_scalar(ty) { 1 } else { (16 / ty.elem.bytes()) as usize }
    }

    /// The same bytes as another type of the same size.
    pub(super) fn cast(&mut self, v: ir::Value, to: ir::Type) -> ir::Value {
        if self.cursor.func.dfg.value_type(v) == to {
            return v;
        }
        self.ins().bitcast(to, MemFlagsData::new().with_endianness(Endianness::Little), v)
    }

    pub(super) fn zero(&mut self, ty: ir::Type) -> ir::Value {
        match ty {
            types::F32 => self.ins().f32const(0.0),
            types::F64 => self.ins().f64const(0.0),
            t if t.is_vector() => self.vector_constant(t, &[0; 16]),
            t => self.ins().iconst(t, 0),
        }
    }

    pub(super) fn vector_constant(&mut self, ty: ir::Type, bytes: &[u8; 16]) -> ir::Value {
        let known = self.scopes[..=self.level].iter().rev().find_map(|s| s.constants.get(bytes));
        let v = known.copied().unwrap_or_else(|| {
            let level = self.hoisted(0);
            let v = self.at_level(level, |e| {
                let handle = e.cursor.func.dfg.constants.insert(ConstantData::from(&bytes[..]));
                e.ins().vconst(types::I8X16, handle)
            });
            self.scopes[level].constants.insert(*bytes, v);
            v
        });
        self.cast(v, ty)
    }

    /// `value` in every lane of an integer register or scalar.
    pub(super) fn int_constant(&mut self, ty: ir::Type, value: i64) -> ir::Value {
        if !ty.is_vector() {
            let shift = 64 - ty.bits();
            // Cranelift wants narrow constants without sign bits above them.
            return self.ins().iconst(ty, ((value as u64) << shift >> shift) as i64);
        }
        let size = ty.lane_bits() as usize / 8;
        let mut bytes = [0; 16];
        for (i, b) in bytes.iter_mut().enumerate() {
            *b = value.to_le_bytes()[i % size];
        }
        self.vector_constant(ty, &bytes)
    }

    /// Lane `lane` of a value as a scalar.
    pub(super) fn extract(&mut self, ty: Type, pieces: &[ir::Value], lane: usize) -> ir::Value {
        if self.is_scalar(ty) {
            return pieces[lane];
        }
        let per = self.lanes_per_piece(ty);
        let x = self.ins().extractlane(pieces[lane / per], (lane % per) as u8);
        if ty.elem.is_mask() {
            // All ones or zeros becomes 1 or 0.
            return self.ins().icmp_imm_s(ir::condcodes::IntCC::NotEqual, x, 0);
        }
        x
    }

    /// A register whose first lane is `x`.
    pub(super) fn first_lane(&mut self, vector: ir::Type, x: ir::Value) -> ir::Value {
        if 32 <= vector.lane_bits() {
            return self.ins().scalar_to_vector(vector, x);
        }
        let x = self.ins().uextend(types::I32, x);
        let v = self.ins().scalar_to_vector(types::I32X4, x);
        self.cast(v, vector)
    }

    /// Pieces of `ty` from one scalar per lane.
    pub(super) fn assemble(&mut self, ty: Type, lanes: &[ir::Value]) -> Vec<ir::Value> {
        if self.is_scalar(ty) {
            return lanes.to_vec();
        }
        let vector = self.vector_type(ty.elem);
        let lanes: Vec<ir::Value> =
            lanes.iter().map(|&x| if ty.elem.is_mask() { self.ins().bmask(vector.lane_type(), x) } else { x }).collect();
        lanes
            .chunks(self.lanes_per_piece(ty))
            .map(|chunk| {
                let first = self.first_lane(vector, chunk[0]);
                chunk.iter().enumerate().skip(1).fold(first, |v, (i, &x)| self.ins().insertlane(v, x, i as u8))
            })
            .collect()
    }

    /// Applies a scalar operation lane by lane, for what the machine has no vector form of.
    pub(super) fn by_lane(
        &mut self,
        result: Type,
        operands: &[(Type, &[ir::Value])],
        mut f: impl FnMut(&mut Self, &[ir::Value]) -> ir::Value,
    ) -> Vec<ir::Value> {
        let lanes: Vec<ir::Value> = (0..result.lanes as usize)
            .map(|i| {
                let args: Vec<ir::Value> = operands.iter().map(|(ty, pieces)| self.extract(*ty, pieces, i)).collect();
                f(self, &args)
            })
            .collect();
        self.assemble(result, &lanes)
    }

    /// Applies an operation that exists for scalars and registers alike to every piece.
    pub(super) fn map(&mut self, a: &[ir::Value], mut f: impl FnMut(&mut Self, ir::Value) -> ir::Value) -> Vec<ir::Value> {
        a.iter().map(|&x| f(self, x)).collect()
    }

    pub(super) fn zip(
        &mut self,
        a: &[ir::Value],
        b: &[ir::Value],
        mut f: impl FnMut(&mut Self, ir::Value, ir::Value) -> ir::Value,
    ) -> Vec<ir::Value> {
        a.iter().zip(b).map(|(&x, &y)| f(self, x, y)).collect()
    }

    /// A value with its lanes in registers even if it has only one.
    pub(super) fn in_registers(&mut self, ty: Type, pieces: &[ir::Value]) -> Vec<ir::Value> {
        if 1 < ty.lanes || !self.features.vectors {
            return pieces.to_vec();
        }
        let vector = self.vector_type(ty.elem);
        vec![self.first_lane(vector, pieces[0])]
    }

    /// The inverse of [`Emitter::in_registers`].
    pub(super) fn out_of_registers(&mut self, ty: Type, pieces: Vec<ir::Value>) -> Vec<ir::Value> {
        if 1 < ty.lanes || !self.features.vectors {
            return pieces;
        }
        vec![self.ins().extractlane(pieces[0], 0)]
    }

    /// Bytes of the pair (a, b) by number, 0..16 from a and 16..32 from b.
    pub(super) fn shuffle_bytes(&mut self, a: ir::Value, b: ir::Value, bytes: [u8; 16]) -> ir::Value {
        let ty = self.cursor.func.dfg.value_type(a);
        // One value stays one: Cranelift has better instructions for that.
        let (first, same) = (self.cast(a, types::I8X16), a == b);
        let (a, b) = (first, if same { first } else { self.cast(b, types::I8X16) });
        let mask = self.cursor.func.dfg.immediates.push(ConstantData::from(&bytes[..]));
        let v = self.ins().shuffle(a, b, mask);
        self.cast(v, ty)
    }

    /// Lanes of the pair (a, b) by number, for lanes of `size` bytes.
    pub(super) fn shuffle(&mut self, a: ir::Value, b: ir::Value, size: usize, lane: impl Fn(usize) -> usize) -> ir::Value {
        let mut bytes = [0; 16];
        for (i, x) in bytes.iter_mut().enumerate() {
            *x = (lane(i / size) * size + i % size) as u8;
        }
        self.shuffle_bytes(a, b, bytes)
    }

    /// Any choice of lanes: `source(i)` is the lane of the operands (all of the same element type, one after the other) that becomes lane i.
    fn permute(&mut self, result: Type, operands: &[(Type, &[ir::Value])], source: impl Fn(usize) -> usize) -> Vec<ir::Value> {
        let mut all = vec![];
        for (ty, pieces) in operands {
            for i in 0..ty.lanes as usize {
                all.push((*ty, *pieces, i));
            }
        }
        let lanes: Vec<ir::Value> = (0..result.lanes as usize)
            .map(|i| {
                let (ty, pieces, lane) = all[source(i)];
                self.extract(ty, pieces, lane)
            })
            .collect();
        self.assemble(result, &lanes)
    }

    pub(super) fn splat(&mut self, result: Type, scalar: ir::Value) -> Vec<ir::Value> {
        if self.is_scalar(result) {
            return vec![scalar; result.lanes as usize];
        }
        let vector = self.vector_type(result.elem);
        let scalar = if result.elem.is_mask() { self.ins().bmask(vector.lane_type(), scalar) } else { scalar };
        let v = self.ins().splat(vector, scalar);
        vec![v; self.piece_count(result)]
    }

    pub(super) fn concat(&mut self, result: Type, a: (Type, &[ir::Value]), b: (Type, &[ir::Value])) -> Vec<ir::Value> {
        if self.is_scalar(result) || (1 < a.0.lanes && 1 < b.0.lanes && (a.0.lanes as usize).is_multiple_of(self.lanes_per_piece(result))) {
            return [a.1, b.1].concat();
        }
        let half = self.lanes_per_piece(result) / 2;
        if result.lanes as usize == 2 * half && a.0.lanes as usize == half && 1 < half {
            // Two half registers.
            let (x, y) = (self.cast(a.1[0], types::I64X2), self.cast(b.1[0], types::I64X2));
            let v = self.shuffle(x, y, 8, |i| 2 * i);
            return vec![self.cast(v, self.vector_type(result.elem))];
        }
        self.permute(result, &[a, b], |i| i)
    }

    pub(super) fn slice(&mut self, result: Type, a: (Type, &[ir::Value]), start: usize) -> Vec<ir::Value> {
        let per = self.lanes_per_piece(a.0);
        if self.is_scalar(result) && self.is_scalar(a.0) {
            return a.1[start..start + result.lanes as usize].to_vec();
        }
        if self.is_scalar(result) {
            return vec![self.extract(a.0, a.1, start)];
        }
        let (first, offset, size) = (start / per, start % per, a.0.elem.bytes() as usize);
        if offset == 0 {
            return a.1[first..][..self.piece_count(result)].to_vec();
        }
        if self.has_byte_shuffle() {
            let next = |i: usize| a.1[(first + i + 1).min(a.1.len() - 1)];
            return (0..self.piece_count(result)).map(|i| self.shuffle(a.1[first + i], next(i), size, |lane| offset + lane)).collect();
        }
        if 4 <= size && result.lanes as usize + offset <= per {
            return vec![self.shuffle(a.1[first], a.1[first], size, |i| (i + offset).min(per - 1))];
        }
        self.permute(result, &[a], |i| start + i)
    }

    pub(super) fn interleave(&mut self, result: Type, a: (Type, &[ir::Value]), b: (Type, &[ir::Value])) -> Vec<ir::Value> {
        if self.is_scalar(result) {
            return (0..result.lanes as usize).map(|i| if i % 2 == 0 { a.1[i / 2] } else { b.1[i / 2] }).collect();
        }
        if a.0.lanes == 1 {
            return self.permute(result, &[a, b], |i| i);
        }
        let (size, per) = (result.elem.bytes() as usize, self.lanes_per_piece(result));
        let mut out = vec![];
        for (&x, &y) in a.1.iter().zip(b.1) {
            out.push(self.shuffle(x, y, size, |i| i / 2 + i % 2 * per));
            out.push(self.shuffle(x, y, size, |i| per / 2 + i / 2 + i % 2 * per));
        }
        out.truncate(self.piece_count(result));
        out
    }

    pub(super) fn deinterleave(&mut self, result: Type, a: (Type, &[ir::Value]), parity: usize) -> Vec<ir::Value> {
        if self.is_scalar(a.0) {
            return (0..result.lanes as usize).map(|i| a.1[2 * i + parity]).collect();
        }
        if self.is_scalar(result) {
            return vec![self.extract(a.0, a.1, parity)];
        }
        let size = result.elem.bytes() as usize;
        if !self.has_byte_shuffle() && size < 4 {
            return self.permute(result, &[a], |i| 2 * i + parity);
        }
        let pairs: Vec<(ir::Value, ir::Value)> = a.1.chunks(2).map(|c| (c[0], c[c.len() - 1])).collect();
        pairs.into_iter().map(|(x, y)| self.shuffle(x, y, size, |i| 2 * i + parity)).collect()
    }

    /// Lane i is lane (start + i) / times.
    pub(super) fn repeat(&mut self, result: Type, a: (Type, &[ir::Value]), times: usize, start: usize) -> Vec<ir::Value> {
        let (size, per) = (result.elem.bytes() as usize, self.lanes_per_piece(result));
        let in_one = !self.is_scalar(result) && !self.is_scalar(a.0) && a.1.len() == 1 && (4 <= size || self.has_byte_shuffle());
        if !in_one {
            return self.permute(result, &[a], |i| (start + i) / times);
        }
        // Lanes beyond the result have no meaning.
        let last = a.0.lanes as usize - 1;
        (0..self.piece_count(result)).map(|p| self.shuffle(a.1[0], a.1[0], size, |i| ((start + p * per + i) / times).min(last))).collect()
    }

    /// Each lane from its segment, by index.
    pub(super) fn permute_segments(&mut self, ty: Type, a: &[ir::Value], index: (Type, &[ir::Value]), segment: usize) -> Vec<ir::Value> {
        if self.is_scalar(ty) || !self.has_byte_shuffle() {
            return self.permute_in_memory(ty, a, index, segment);
        }
        let (bytes, vector) = (segment * ty.elem.bytes() as usize, self.vector_type(ty.elem));
        let mut out = vec![];
        for (p, &i) in index.1.iter().enumerate() {
            let order = self.byte_order(ty.elem, i);
            let parts = bytes / 16;
            let first = p / parts * parts;
            let mut all = None;
            for part in 0..parts {
                let table = self.cast(a[first + part], types::I8X16);
                let v = if parts == 1 && self.features.arch == super::Arch::X86 {
                    self.ins().x86_pshufb(table, order)
                } else {
                    // What is beyond the part becomes 0.
                    let before = self.int_constant(types::I8X16, 16 * part as i64);
                    let order = if part == 0 { order } else { self.ins().isub(order, before) };
                    self.ins().swizzle(table, order)
                };
                all = Some(match all {
                    None => v,
                    Some(others) => self.ins().bor(others, v),
                });
            }
            let v = all.expect("a segment has a part");
            out.push(self.cast(v, vector));
        }
        out
    }

    /// Indices of lanes as indices of their bytes.
    fn byte_order(&mut self, elem: Elem, index: ir::Value) -> ir::Value {
        if elem.bits() == 8 {
            return self.cast(index, types::I8X16);
        }
        let (two, eight, sixteen) = (self.amount(2), self.amount(8), self.amount(16));
        let first = self.ins().ishl(index, two);
        let next = self.ins().ishl(first, eight);
        let pair = self.ins().bor(first, next);
        let other = self.ins().ishl(pair, sixteen);
        let all = self.ins().bor(pair, other);
        let within = self.int_constant(types::I32X4, 0x0302_0100);
        let order = self.ins().bor(all, within);
        self.cast(order, types::I8X16)
    }

    /// The same by way of the stack.
    fn permute_in_memory(&mut self, ty: Type, a: &[ir::Value], index: (Type, &[ir::Value]), segment: usize) -> Vec<ir::Value> {
        let size = ty.elem.bytes();
        let slot = self.cursor.func.create_sized_stack_slot(ir::StackSlotData::new(ir::StackSlotKind::ExplicitSlot, ty.bytes(), 4));
        let at = self.ins().stack_addr(types::I64, slot, 0);
        let flags = MemFlagsData::trusted();
        let per_piece = if self.is_scalar(ty) { size as i32 } else { 16 };
        for (i, &v) in a.iter().enumerate() {
            self.ins().store(flags, v, at, i as i32 * per_piece);
        }
        let scalar = self.scalar_type(ty.elem);
        let lanes: Vec<ir::Value> = (0..ty.lanes as usize)
            .map(|lane| {
                let i = self.extract(index.0, index.1, lane);
                let i = self.ins().uextend(types::I64, i);
                let i = self.ins().band_imm_u(i, segment as i64 - 1);
                let offset = self.ins().imul_imm_u(i, i64::from(size));
                let p = self.ins().iadd(at, offset);
                self.ins().load(scalar, flags, p, (lane / segment * segment) as i32 * size as i32)
            })
            .collect();
        self.assemble(ty, &lanes)
    }

    /// Every shuffle of bytes is an instruction or two; otherwise only those that unpack, or choose 32-bit lanes.
    pub(super) fn has_byte_shuffle(&self) -> bool {
        self.features.arch != super::Arch::X86 || self.features.ssse3
    }

    /// Combines the lanes of each of several values. Four registers of 32-bit lanes become one by six shuffles, where each by itself would
    /// take two and be moved to its lane.
    pub(super) fn reduce_each(
        &mut self,
        result: Type,
        from: Type,
        all: &[Vec<ir::Value>],
        mut f: impl FnMut(&mut Self, Type, ir::Value, ir::Value) -> ir::Value,
    ) -> Vec<ir::Value> {
        let (size, full) = (from.elem.bytes() as usize, from.with_lanes(16 / from.elem.bytes()));
        if self.is_scalar(from) || size != 4 || from.lanes < 4 {
            let lanes: Vec<ir::Value> = all.iter().map(|pieces| self.reduce((from, pieces), &mut f)).collect();
            return self.assemble(result, &lanes);
        }
        let mut one_each: Vec<ir::Value> = vec![];
        for pieces in all {
            let mut pieces = pieces.clone();
            while 1 < pieces.len() {
                let half = pieces.len() / 2;
                pieces = (0..half).map(|i| f(self, full, pieces[i], pieces[i + half])).collect();
            }
            one_each.push(pieces[0]);
        }
        let mut out = vec![];
        for four in one_each.chunks(4) {
            let v = |i: usize| four[i.min(four.len() - 1)];
            // Lanes 0 and 1 of both, and onto them lanes 2 and 3.
            let mut halved = |e: &mut Self, x: ir::Value, y: ir::Value| {
                let (low, high) = (e.shuffle(x, y, 8, |i| 2 * i), e.shuffle(x, y, 8, |i| 2 * i + 1));
                f(e, full, low, high)
            };
            let (x, y) = (halved(self, v(0), v(1)), halved(self, v(2), v(3)));
            let (even, odd) = (self.shuffle(x, y, 4, |i| 2 * i), self.shuffle(x, y, 4, |i| 2 * i + 1));
            out.push(f(self, full, even, odd));
        }
        out
    }

    /// Combines the upper half of the lanes onto the lower half until one is left.
    pub(super) fn reduce(
        &mut self,
        a: (Type, &[ir::Value]),
        mut f: impl FnMut(&mut Self, Type, ir::Value, ir::Value) -> ir::Value,
    ) -> ir::Value {
        let (ty, mut pieces) = (a.0, a.1.to_vec());
        if self.is_scalar(ty) {
            let one = ty.with_lanes(1);
            while 1 < pieces.len() {
                let half = pieces.len() / 2;
                pieces = (0..half).map(|i| f(self, one, pieces[i], pieces[i + half])).collect();
            }
            return pieces[0];
        }
        let per = self.lanes_per_piece(ty);
        while 1 < pieces.len() {
            let half = pieces.len() / 2;
            pieces = (0..half).map(|i| f(self, ty.with_lanes(per as u32), pieces[i], pieces[i + half])).collect();
        }
        let size = ty.elem.bytes() as usize;
        let (mut v, mut lanes) = (pieces[0], per.min(ty.lanes as usize));
        while 1 < lanes && 4 <= size * lanes / 2 {
            lanes /= 2;
            let upper = self.shuffle(v, v, 4, |i| (i + lanes * size / 4) % 4);
            v = f(self, ty.with_lanes(per as u32), v, upper);
        }
        if lanes == 1 {
            return self.ins().extractlane(v, 0);
        }
        // Less than 32 bits left: shift the register, which needs no shuffle of bytes.
        let mut word = self.cast(v, types::I32X4);
        while 1 < lanes {
            lanes /= 2;
            let n = self.amount((lanes * size * 8) as u32);
            let shifted = self.ins().ushr(word, n);
            let (x, y) = (self.cast(word, self.vector_type(ty.elem)), self.cast(shifted, self.vector_type(ty.elem)));
            let r = f(self, ty.with_lanes(per as u32), x, y);
            word = self.cast(r, types::I32X4);
        }
        let v = self.cast(word, self.vector_type(ty.elem));
        self.ins().extractlane(v, 0)
    }
}
