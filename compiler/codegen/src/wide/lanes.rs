//! Movements of lanes: parts of vectors, joins, interleaving, reductions, tables.
//!
//! The idea: everything is in bytes. A value's bytes lie in its pieces one after the other; `bytes_at` brings any of them to the bottom of a
//! register, `join` puts two bottoms together. What is neither goes through the frame.

use super::Emitter;
use super::asm::{Mem, vm, vvi, vvv};
use crate::alloc::Virtual;
use cranelite_tile::{Binary, Elem, Place, Reduce, Type, Value};
use iced_x86::code_asm::{byte_ptr, dword_ptr, ptr, registers, word_ptr};

fn combining(reduce: Reduce) -> Binary {
    match reduce {
        Reduce::Add => Binary::Add,
        Reduce::Min => Binary::Min,
        Reduce::Max => Binary::Max,
    }
}

impl Emitter<'_> {
    /// 16 bytes of a vector, by number of the quarter.
    pub(super) fn extract128(&mut self, v: Virtual, quarter: u32) -> Virtual {
        if quarter == 0 {
            return v;
        }
        let (d, evex) = (self.vector(), self.features.avx512);
        self.push(&[v], &[d], move |s, r| match (evex, quarter) {
            (false, _) => s.vextracti128(r.x(d), r.y(v), quarter),
            (true, 1) => s.vextracti32x4(r.x(d), r.y(v), quarter),
            (true, _) => s.vextracti32x4(r.x(d), r.z(v), quarter),
        });
        d
    }

    pub(super) fn extract256(&mut self, v: Virtual) -> Virtual {
        let d = self.vector();
        self.push(&[v], &[d], move |s, r| s.vextracti64x4(r.y(d), r.z(v), 1));
        d
    }

    /// `length` bytes from byte `offset` on, at the bottom of a register; what is above has no meaning.
    pub(super) fn bytes_at(&mut self, pieces: &[Virtual], offset: usize, length: usize) -> Virtual {
        let full = self.features.vector_bytes;
        let (v, within) = (pieces[offset / full], offset % full);
        if within == 0 {
            return v;
        }
        if within == 32 && 16 < length {
            return self.extract256(v);
        }
        let quarter = self.extract128(v, (within / 16) as u32);
        let bytes = within % 16;
        if 16 < length || 16 < bytes + length {
            self.fail("a part of a vector across its quarters");
        }
        if bytes == 0 { quarter } else { vvi!(self, vpsrldq, 16, quarter, bytes as i32) }
    }

    pub(super) fn lane(&mut self, ty: Type, pieces: &[Virtual], lane: usize) -> Virtual {
        let bytes = ty.elem.bytes() as usize;
        self.bytes_at(pieces, lane * bytes, bytes)
    }

    /// The lowest `bytes` bytes of two registers, one after the other.
    pub(super) fn join(&mut self, low: Virtual, high: Virtual, bytes: usize) -> Virtual {
        match bytes {
            1 => vvv!(self, vpunpcklbw, 16, low, high),
            2 => vvv!(self, vpunpcklwd, 16, low, high),
            4 => vvv!(self, vpunpckldq, 16, low, high),
            8 => vvv!(self, vpunpcklqdq, 16, low, high),
            16 => self.insert128(low, high),
            32 => {
                let d = self.vector();
                self.push(&[low, high], &[d], move |s, r| s.vinserti64x4(r.z(d), r.z(low), r.y(high), 1));
                d
            }
            _ => {
                self.fail(format!("joining {bytes} bytes"));
                low
            }
        }
    }

    /// Pieces of a value of `total` bytes from parts of `bytes` bytes each (a power of two), at the bottoms of registers.
    pub(super) fn assemble(&mut self, parts: &[Virtual], bytes: usize) -> Vec<Virtual> {
        let per_piece = (self.features.vector_bytes / bytes).max(1);
        let mut out = vec![];
        for chunk in parts.chunks(per_piece) {
            let (mut level, mut size) = (chunk.to_vec(), bytes);
            while 1 < level.len() {
                let pairs: Vec<(Virtual, Virtual)> = level.chunks(2).map(|c| (c[0], c[c.len() - 1])).collect();
                level = pairs.into_iter().map(|(a, b)| self.join(a, b, size)).collect();
                size *= 2;
            }
            out.push(level[0]);
        }
        out
    }

    pub(super) fn concat(&mut self, ty: Type, a: Value, b: Value) -> Vec<Virtual> {
        let (a_bytes, b_bytes) = (self.ty(a).bytes() as usize, self.ty(b).bytes() as usize);
        let (x, y) = (self.pieces(a), self.pieces(b));
        if a_bytes.is_multiple_of(self.features.vector_bytes) {
            return [x, y].concat();
        }
        if a_bytes == b_bytes && a_bytes.is_power_of_two() && a_bytes < self.features.vector_bytes {
            return vec![self.join(x[0], y[0], a_bytes)];
        }
        self.through_frame(ty, &[(self.ty(a), &x), (self.ty(b), &y)], 0)
    }

    pub(super) fn slice(&mut self, ty: Type, a: Value, start: usize) -> Vec<Virtual> {
        let (a_ty, pieces) = (self.ty(a), self.pieces(a));
        if self.facts.halved.contains(&a) {
            return vec![pieces[start / ty.lanes as usize]];
        }
        let (offset, length, full) = (start * ty.elem.bytes() as usize, ty.bytes() as usize, self.features.vector_bytes);
        if offset.is_multiple_of(full) {
            return pieces[offset / full..][..self.piece_sizes(ty).len()].to_vec();
        }
        let within = offset % full;
        if within + length <= full && (within % 16 + length <= 16 || within == 32) {
            return vec![self.bytes_at(&pieces, offset, length)];
        }
        self.through_frame(ty, &[(a_ty, &pieces)], offset)
    }

    /// Writes values one after the other into the frame and reads from byte `offset` on.
    fn through_frame(&mut self, ty: Type, values: &[(Type, &[Virtual])], offset: usize) -> Vec<Virtual> {
        let mut at = 0;
        let total: u32 = values.iter().map(|v| v.0.bytes()).sum();
        // Reading whole pieces may go beyond.
        self.scratch_bytes = self.scratch_bytes.max(total as i32 + 2 * self.features.vector_bytes as i32);
        for (ty, pieces) in values {
            let mut left = ty.bytes() as usize;
            for (&v, size) in pieces.iter().zip(self.piece_sizes(*ty)) {
                let here = left.min(size);
                self.store_bytes(Mem::Scratch(at as i32), v, size, here);
                (left, at) = (left - here, at + here);
            }
        }
        let sizes = self.piece_sizes(ty);
        let full = self.features.vector_bytes;
        sizes.iter().enumerate().map(|(i, &size)| vm!(self, vmovups, size, Mem::Scratch((offset + i * full) as i32))).collect()
    }

    fn unpack(&mut self, elem: Elem, high: bool, size: usize, a: Virtual, b: Virtual) -> Virtual {
        match (elem.bytes(), high) {
            (1, false) => vvv!(self, vpunpcklbw, size, a, b),
            (1, true) => vvv!(self, vpunpckhbw, size, a, b),
            (2, false) => vvv!(self, vpunpcklwd, size, a, b),
            (2, true) => vvv!(self, vpunpckhwd, size, a, b),
            (4, false) => vvv!(self, vpunpckldq, size, a, b),
            (4, true) => vvv!(self, vpunpckhdq, size, a, b),
            (_, false) => vvv!(self, vpunpcklqdq, size, a, b),
            (_, true) => vvv!(self, vpunpckhqdq, size, a, b),
        }
    }

    /// The halves of an interleaved vector, in registers of their own.
    pub(super) fn interleaved_halves(&mut self, elem: Elem, a: Value, b: Value) -> Vec<Virtual> {
        let [p, q] = [a, b].map(|v| self.pieces(v)[0]);
        [false, true].map(|high| self.unpack(elem, high, 16, p, q)).to_vec()
    }

    pub(super) fn interleave(&mut self, ty: Type, a: Value, b: Value) -> Vec<Virtual> {
        let elem = ty.elem;
        let (a_ty, x, y) = (self.ty(a), self.pieces(a), self.pieces(b));
        let full = self.features.vector_bytes;
        let mut left = a_ty.bytes() as usize;
        let mut out = vec![];
        for (&p, &q) in x.iter().zip(&y) {
            let bytes = left.min(full);
            left -= bytes;
            let low = |e: &mut Self, size| e.unpack(elem, false, size, p, q);
            let high = |e: &mut Self, size| e.unpack(elem, true, size, p, q);
            match bytes {
                ..=8 => out.push(low(self, 16)),
                9..=16 => {
                    let (l, h) = (low(self, 16), high(self, 16));
                    out.push(self.insert128(l, h));
                }
                17..=32 => {
                    let (l, h) = (low(self, 32), high(self, 32));
                    let (even, odd) = (self.halves(l, h, 0x20), self.halves(l, h, 0x31));
                    if full == 32 { out.extend([even, odd]) } else { out.push(self.join(even, odd, 32)) }
                }
                _ if elem.bytes() == 4 => {
                    for first in [0, 8] {
                        let order: Vec<u8> = (first..first + 8u32).flat_map(|i| [i, i + 16]).flat_map(u32::to_le_bytes).collect();
                        let order = self.constant(&order, 64);
                        let d = self.copy(order, 64);
                        self.push(&[d, p, q], &[d], move |s, r| s.vpermi2d(r.z(d), r.z(p), r.z(q)));
                        out.push(d);
                    }
                }
                _ => {
                    let (l, h) = (low(self, 64), high(self, 64));
                    for order in [[0u64, 1, 8, 9, 2, 3, 10, 11], [4, 5, 12, 13, 6, 7, 14, 15]] {
                        out.push(self.permute_words(l, h, order));
                    }
                }
            }
        }
        out.truncate(self.piece_sizes(ty).len());
        out
    }

    /// 128-bit halves of a pair, as VPERM2I128 numbers them.
    fn halves(&mut self, a: Virtual, b: Virtual, order: u32) -> Virtual {
        if !self.features.avx512 {
            let d = self.vector();
            self.push(&[a, b], &[d], move |s, r| s.vperm2i128(r.y(d), r.y(a), r.y(b), order));
            return d;
        }
        let imm = if order == 0x20 { 0 } else { 3 };
        let d = self.vector();
        self.push(&[a, b], &[d], move |s, r| s.vshufi32x4(r.y(d), r.y(a), r.y(b), imm));
        d
    }

    /// 64-bit words of a pair of 512-bit vectors, by number.
    pub(super) fn permute_words(&mut self, a: Virtual, b: Virtual, order: [u64; 8]) -> Virtual {
        let bytes: Vec<u8> = order.iter().flat_map(|o| o.to_le_bytes()).collect();
        let order = self.constant(&bytes, 64);
        let d = self.copy(order, 64);
        self.push(&[d, a, b], &[d], move |s, r| s.vpermi2q(r.z(d), r.z(a), r.z(b)));
        d
    }

    /// As the narrowing of lanes twice as long, after a shift for the odd ones.
    pub(super) fn deinterleave(&mut self, ty: Type, a: Value, parity: usize) -> Vec<Virtual> {
        let wide = match ty.elem.bits() {
            8 => Elem::U16,
            16 => Elem::U32,
            32 => Elem::I64,
            _ => {
                self.fail("deinterleaving 64-bit lanes");
                return vec![];
            }
        };
        let (lanes, bits) = (ty.lanes as usize, ty.elem.bits() as u8);
        let mut pieces = self.pieces(a);
        if parity == 1 && wide == Elem::I64 {
            return self.upper_words(wide.x(lanes), &pieces);
        }
        if parity == 1 {
            let sizes = self.piece_sizes(self.ty(a));
            // Any shift that brings the upper half down: what comes from above is cut off.
            pieces = pieces.iter().zip(sizes).map(|(&v, size)| self.logical_down(wide, size, v, bits)).collect();
        }
        self.truncate_pieces(wide.x(lanes), ty, pieces)
    }

    /// Lane i is lane (start + i) / times: of a register of 32-bit lanes, or of 16 bytes of shorter ones.
    pub(super) fn repeat(&mut self, ty: Type, a: Value, times: usize, start: usize) -> Vec<Virtual> {
        let (from, pieces) = (self.ty(a), self.pieces(a));
        let (bytes, last) = (ty.elem.bytes() as usize, from.lanes as usize - 1);
        let source = |lane: usize| ((start + lane) / times).min(last);
        if bytes == 4 && pieces.len() == 1 {
            let mut first = 0;
            let sizes = self.piece_sizes(ty);
            return sizes
                .into_iter()
                .map(|size| {
                    let size = size.max(self.piece_sizes(from)[0]).max(32);
                    let order: Vec<u8> = (0..size / 4).flat_map(|i| (source(first + i) as u32).to_le_bytes()).collect();
                    first += size / 4;
                    let order = self.constant(&order, size);
                    self.permute_lanes(size, order, pieces[0])
                })
                .collect();
        }
        if 2 < bytes || 16 < from.bytes() {
            self.fail("repeating lanes of several registers");
            return vec![];
        }
        let parts: Vec<Virtual> = (0..(ty.bytes() as usize).div_ceil(16))
            .map(|part| {
                let order: Vec<u8> = (0..16).map(|b| (source((16 * part + b) / bytes) * bytes + b % bytes) as u8).collect();
                let order = self.constant(&order, 16);
                vvv!(self, vpshufb, 16, pieces[0], order)
            })
            .collect();
        self.assemble(&parts, 16)
    }

    /// Each lane from its segment; what no instruction does is left to the other emitter.
    pub(super) fn permute(&mut self, ty: Type, a: Value, index: Value, segment: usize) -> Vec<Virtual> {
        let (bytes, is_bytes) = (segment * ty.elem.bytes() as usize, ty.elem.bits() == 8);
        let possible = match (is_bytes, bytes) {
            (true, 16) => true,
            (true, _) => self.features.vbmi,
            (false, 16) => false,
            _ => true,
        };
        if !possible || self.features.vector_bytes < bytes || !self.piece_sizes(ty).iter().all(|&size| bytes == 16 || size == bytes) {
            self.fail(format!("a permutation of {ty} in segments of {bytes} bytes"));
            return vec![];
        }
        self.each(ty, &[a, index], |e, size, x| match (is_bytes, bytes) {
            (true, 16) => vvv!(e, vpshufb, size, x[0], x[1]),
            (true, _) => vvv!(e, vpermb, size, x[1], x[0]),
            _ => e.permute_lanes(size, x[1], x[0]),
        })
    }

    fn permute_lanes(&mut self, size: usize, order: Virtual, v: Virtual) -> Virtual {
        let d = self.vector();
        self.push(&[order, v], &[d], move |s, r| match size {
            32 => s.vpermd(r.y(d), r.y(order), r.y(v)),
            _ => s.vpermd(r.z(d), r.z(order), r.z(v)),
        });
        d
    }

    pub(super) fn logical_down(&mut self, elem: Elem, size: usize, v: Virtual, bits: u8) -> Virtual {
        let bits = u32::from(bits);
        match elem.bits() {
            16 => vvi!(self, vpsrlw, size, v, bits),
            32 => vvi!(self, vpsrld, size, v, bits),
            _ => vvi!(self, vpsrlq, size, v, bits),
        }
    }

    /// Combines the upper half of the lanes onto the lower half until `bytes` are left.
    fn reduce_to(&mut self, reduce: Reduce, ty: Type, mut pieces: Vec<Virtual>, bytes: usize) -> Virtual {
        let op = combining(reduce);
        let full = self.features.vector_bytes;
        while 1 < pieces.len() {
            let half = pieces.len() / 2;
            pieces = (0..half).map(|i| self.binary(ty.elem, op, full, pieces[i], pieces[i + half])).collect();
        }
        let (mut v, mut left) = (pieces[0], (ty.bytes() as usize).min(full));
        while bytes < left {
            left /= 2;
            let upper = self.bytes_at(&[v], left, left);
            v = self.binary(ty.elem, op, left.max(16), v, upper);
        }
        v
    }

    pub(super) fn reduce(&mut self, reduce: Reduce, ty: Type, pieces: Vec<Virtual>) -> Virtual {
        self.reduce_to(reduce, ty, pieces, ty.elem.bytes() as usize)
    }

    /// Several values of 32-bit lanes are combined together: each step puts one half of two registers into one and their other halves into
    /// another, so that the registers become half as many and stay full.
    pub(super) fn reduce_each(&mut self, reduce: Reduce, all: &[Value]) -> Vec<Virtual> {
        let ty = self.ty(all[0]);
        let values: Vec<Vec<Virtual>> = all.iter().map(|&v| self.pieces(v)).collect();
        if ty.elem.bits() != 32 || ty.lanes < 4 {
            let bottoms: Vec<Virtual> = values.into_iter().map(|pieces| self.reduce(reduce, ty, pieces)).collect();
            return self.assemble(&bottoms, ty.elem.bytes() as usize);
        }
        let bytes = (ty.bytes() as usize).min(self.features.vector_bytes);
        let parts: Vec<Virtual> = values.chunks(bytes / 4).map(|some| self.reduce_piece(reduce, ty, some)).collect();
        self.assemble(&parts, bytes)
    }

    /// As many values as a register of their type has lanes at most. What is missing repeats the last; its lanes have no meaning.
    fn reduce_piece(&mut self, reduce: Reduce, ty: Type, values: &[Vec<Virtual>]) -> Virtual {
        let (elem, op) = (ty.elem, combining(reduce));
        let quarters = values.len().div_ceil(4).next_power_of_two();
        let size = 16 * quarters;
        // Registers of the size of the result.
        let mut registers: Vec<Virtual> = vec![];
        for (i, pieces) in values.iter().enumerate() {
            let same = 0 < i && values[i - 1] == *pieces;
            registers.push(if same { registers[i - 1] } else { self.reduce_to(reduce, ty, pieces.clone(), size) });
        }
        let last = registers.len() - 1;
        // Lane `j` of all quarters, as four lanes in each quarter that are still to be combined.
        let column = |e: &mut Self, j: usize| {
            let mut of: Vec<Virtual> = (0..quarters).map(|q| registers[(4 * q + j).min(last)]).collect();
            let mut left = size;
            while 1 < of.len() {
                let pairs: Vec<[Virtual; 2]> = of.as_chunks().0.to_vec();
                of = pairs.into_iter().map(|pair| e.half_as_many(elem, op, size, left, pair)).collect();
                left /= 2;
            }
            of[0]
        };
        let columns = [0, 1, 2, 3].map(|j| if j <= last { Some(column(self, j)) } else { None });
        let [a, b, c, d] = columns.map(|v| v.or(columns[0]).expect("a first value"));
        let in_quarters = |e: &mut Self, x: Virtual, y: Virtual| {
            let (low, high) = (e.unpack(Elem::I64, false, size, x, y), e.unpack(Elem::I64, true, size, x, y));
            e.binary(elem, op, size, low, high)
        };
        let ab = in_quarters(self, a, b);
        let cd = if last < 2 { ab } else { in_quarters(self, c, d) };
        let (even, odd) = (self.choose_lanes(size, ab, cd, 0x88), self.choose_lanes(size, ab, cd, 0xdd));
        self.binary(elem, op, size, even, odd)
    }

    /// The halves of what is left of two registers onto each other, first one's result and then the other's. `left`: bytes of each number's part.
    fn half_as_many(&mut self, elem: Elem, op: Binary, size: usize, left: usize, [a, b]: [Virtual; 2]) -> Virtual {
        let (low, high) = match (size, left) {
            (64, 64) => (self.quarters_of_two(a, b, 0x44), self.quarters_of_two(a, b, 0xee)),
            (64, _) => (self.quarters_of_two(a, b, 0x88), self.quarters_of_two(a, b, 0xdd)),
            _ => (self.halves(a, b, 0x20), self.halves(a, b, 0x31)),
        };
        self.binary(elem, op, size, low, high)
    }

    /// Two 128-bit quarters of one register and two of another, as VSHUFI32X4 numbers them.
    fn quarters_of_two(&mut self, a: Virtual, b: Virtual, order: u32) -> Virtual {
        let d = self.vector();
        self.push(&[a, b], &[d], move |s, r| s.vshufi32x4(r.z(d), r.z(a), r.z(b), order));
        d
    }

    /// Two lanes of a register and two of another in each 128 bits, as VSHUFPS numbers them.
    fn choose_lanes(&mut self, size: usize, a: Virtual, b: Virtual, order: u32) -> Virtual {
        let d = self.vector();
        self.push(&[a, b], &[d], move |s, r| match size {
            16 => s.vshufps(r.x(d), r.x(a), r.x(b), order),
            32 => s.vshufps(r.y(d), r.y(a), r.y(b), order),
            _ => s.vshufps(r.z(d), r.z(a), r.z(b), order),
        });
        d
    }

    pub(super) fn lookup(&mut self, ty: Type, place: &Place, index: Value) -> Vec<Virtual> {
        let mem = self.mem(place, 256 * ty.elem.bytes());
        if ty.elem.bits() == 8 && self.features.vbmi && self.features.vector_bytes == 64 {
            let tables: Vec<Virtual> = (0..4).map(|i| vm!(self, vmovups, 64, mem.plus(64 * i))).collect();
            let pieces = self.pieces(index);
            return pieces.iter().map(|&i| self.lookup_by_permutation(&tables, i)).collect();
        }
        if ty.elem.bits() == 32 {
            let indices = self.widen(Elem::I32.x(ty.lanes as usize), index);
            let sizes = self.piece_sizes(ty);
            return indices.iter().zip(sizes).map(|(&i, size)| self.gather(mem, i, size)).collect();
        }
        if 16 < ty.elem.bits() {
            self.fail("a table of long elements");
            return vec![];
        }
        // Lane by lane: the indices through the frame, the elements inserted from memory.
        let index_ty = self.ty(index);
        let pieces = self.pieces(index);
        let bytes = ty.elem.bytes() as usize;
        self.scratch_bytes = self.scratch_bytes.max(index_ty.bytes() as i32 + self.features.vector_bytes as i32);
        for (i, (&v, size)) in pieces.iter().zip(self.piece_sizes(index_ty)).enumerate() {
            self.store_bytes(Mem::Scratch((i * self.features.vector_bytes) as i32), v, size, size);
        }
        let per = 16 / bytes;
        let parts: Vec<Virtual> = (0..(ty.lanes as usize).div_ceil(per))
            .map(|part| {
                let mut v = self.zero();
                for lane in part * per..((part + 1) * per).min(ty.lanes as usize) {
                    let i = self.general();
                    let from = Mem::Scratch(lane as i32);
                    self.push(&[], &[i], move |s, r| s.movzx(r.d(i), byte_ptr(r.m(&from))));
                    let Mem::At { base, displacement, .. } = mem else { continue };
                    let (d, at) = (self.vector(), (lane % per) as i32);
                    self.push(&[base, i, v], &[d], move |s, r| match bytes {
                        1 => s.vpinsrb(r.x(d), r.x(v), byte_ptr(r.q(base) + r.q(i) + displacement), at),
                        _ => s.vpinsrw(r.x(d), r.x(v), word_ptr(r.q(base) + r.q(i) * 2 + displacement), at),
                    });
                    v = d;
                }
                v
            })
            .collect();
        self.assemble(&parts, 16)
    }

    fn lookup_by_permutation(&mut self, tables: &[Virtual], index: Virtual) -> Virtual {
        let (low, high) = (self.copy(index, 64), self.copy(index, 64));
        let (a, b, c, d) = (tables[0], tables[1], tables[2], tables[3]);
        self.push(&[low, a, b], &[low], move |s, r| s.vpermi2b(r.z(low), r.z(a), r.z(b)));
        self.push(&[high, c, d], &[high], move |s, r| s.vpermi2b(r.z(high), r.z(c), r.z(d)));
        let out = self.vector();
        self.push(&[index, low, high], &[out], move |s, r| {
            s.vpmovb2m(registers::k1, r.z(index))?;
            s.vpblendmb(r.z(out).k1(), r.z(low), r.z(high))
        });
        out
    }

    fn gather(&mut self, mem: Mem, index: Virtual, size: usize) -> Virtual {
        let Mem::At { base, displacement, .. } = mem else { return index };
        if self.features.avx512 {
            let d = self.zero();
            self.push(&[d, base, index], &[d], move |s, r| {
                s.kxnorw(registers::k1, registers::k1, registers::k1)?;
                match size {
                    16 => s.vpgatherdd(r.x(d).k1(), dword_ptr(r.q(base) + r.x(index) * 4 + displacement)),
                    32 => s.vpgatherdd(r.y(d).k1(), dword_ptr(r.q(base) + r.y(index) * 4 + displacement)),
                    _ => s.vpgatherdd(r.z(d).k1(), dword_ptr(r.q(base) + r.z(index) * 4 + displacement)),
                }
            });
            return d;
        }
        let (d, ones) = (self.zero(), self.constant(&[0xff; 4], size));
        let mask = self.copy(ones, size);
        self.push(&[d, mask, base, index], &[d, mask], move |s, r| match size {
            16 => s.vpgatherdd_3(r.x(d), ptr(r.q(base) + r.x(index) * 4 + displacement), r.x(mask)),
            _ => s.vpgatherdd_3(r.y(d), ptr(r.q(base) + r.y(index) * 4 + displacement), r.y(mask)),
        });
        d
    }
}
