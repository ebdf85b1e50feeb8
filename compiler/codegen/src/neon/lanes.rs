//! Movements of lanes: parts of vectors, joins, interleaving, reductions, tables.
//!
//! The ideas: everything is in bytes. A value's bytes lie in its registers one after the other; EXT brings any of them to the bottom of a register, and what has
//! no instruction of its own is a table look-up with constant indices; a table in memory is looked up a sixteenth at a time.

use super::forms::{self, Arrangement};
use super::memory::Mem;
use super::ops::arrangement;
use super::{Emitter, piece_count};
use crate::alloc::Virtual;
use cranelite_tile::{Binary, Place, Reduce, Type, Value};

fn combining(reduce: Reduce) -> Binary {
    match reduce {
        Reduce::Add => Binary::Add,
        Reduce::Min => Binary::Min,
        Reduce::Max => Binary::Max,
    }
}

/// So many bytes are looked up lane by lane.
const FEW: u32 = 4;

impl<'a> Emitter<'a> {
    /// Bytes from `n` on of two registers after each other.
    fn extract(&mut self, low: Virtual, high: Virtual, n: usize) -> Virtual {
        if n == 0 { low } else { self.vec(&forms::EXT_V, Arrangement::B16, &[low, high], &[n as i64]) }
    }

    /// The bytes from `offset` on, at the bottom of a register; what is above those of one lane has no meaning.
    pub(super) fn bytes_at(&mut self, pieces: &[Virtual], offset: usize) -> Virtual {
        let v = pieces[offset / 16];
        self.extract(v, v, offset % 16)
    }

    pub(super) fn concat(&mut self, a: Value, b: Value) -> Vec<Virtual> {
        let (a_bytes, b_bytes) = (self.ty(a).bytes() as usize, self.ty(b).bytes() as usize);
        let (mut x, y) = (self.pieces(a), self.pieces(b));
        let used = a_bytes % 16;
        if used == 0 {
            x.extend(y);
            return x;
        }
        if a_bytes == b_bytes && a_bytes.is_power_of_two() && a_bytes < 16 {
            let elem = match a_bytes {
                1 => Arrangement::B16,
                2 => Arrangement::H8,
                4 => Arrangement::S4,
                _ => Arrangement::D2,
            };
            return vec![self.vec(&forms::ZIP1_V, elem, &[x[0], y[0]], &[])];
        }
        // The second value moves up by what is used of the first one's last register.
        let mask = self.constant(std::array::from_fn(|i| if i < used { 0xff } else { 0 }));
        let last = x.pop().unwrap_or(mask);
        let up = self.extract(y[0], y[0], 16 - used);
        x.push(self.select(mask, last, up));
        let total = (a_bytes + b_bytes).div_ceil(16);
        while x.len() < total {
            let i = x.len() - a_bytes.div_ceil(16);
            let next = y.get(i + 1).copied().unwrap_or(y[i]);
            x.push(self.extract(y[i], next, 16 - used));
        }
        x
    }

    pub(super) fn slice(&mut self, ty: Type, a: Value, start: u32) -> Vec<Virtual> {
        let (pieces, offset) = (self.pieces(a), (start * ty.elem.bytes()) as usize);
        (0..piece_count(ty))
            .map(|i| {
                let at = offset / 16 + i;
                let next = pieces.get(at + 1).copied().unwrap_or(pieces[at]);
                self.extract(pieces[at], next, offset % 16)
            })
            .collect()
    }

    pub(super) fn interleave(&mut self, ty: Type, a: Value, b: Value) -> Vec<Virtual> {
        let (x, y, at) = (self.pieces(a), self.pieces(b), arrangement(ty.elem));
        (0..piece_count(ty))
            .map(|i| {
                let form = if i % 2 == 0 { &forms::ZIP1_V } else { &forms::ZIP2_V };
                self.vec(form, at, &[x[i / 2], y[i / 2]], &[])
            })
            .collect()
    }

    pub(super) fn deinterleave(&mut self, ty: Type, a: Value, parity: u32) -> Vec<Virtual> {
        let form = if parity == 0 { &forms::UZP1_V } else { &forms::UZP2_V };
        let pieces = self.pieces(a);
        pieces.chunks(2).map(|c| self.vec(form, arrangement(ty.elem), &[c[0], c[c.len() - 1]], &[])).collect()
    }

    pub(super) fn repeat(&mut self, ty: Type, a: Value, times: u32, start: u32) -> Vec<Virtual> {
        let (pieces, size) = (self.pieces(a), ty.elem.bytes() as usize);
        let lane = |i: usize| (start as usize + i) / times as usize;
        let per = 16 / size;
        (0..piece_count(ty))
            .map(|i| {
                let lanes: Vec<usize> = (0..per).map(|j| lane((per * i + j).min(ty.lanes as usize - 1))).collect();
                let (v, first) = (pieces[lanes[0] / per], lanes[0] % per);
                if lanes.iter().all(|l| *l == lanes[0]) {
                    return self.vec(&forms::DUP_LANE, arrangement(ty.elem), &[v], &[first as i64]);
                }
                if times == 2 && (0..per).all(|j| lanes[j] == lanes[0] + j / 2) && first % (per / 2) == 0 {
                    let form = if first == 0 { &forms::ZIP1_V } else { &forms::ZIP2_V };
                    return self.vec(form, arrangement(ty.elem), &[v, v], &[]);
                }
                let bytes: Vec<usize> = lanes.iter().flat_map(|l| (0..size).map(move |b| l * size + b)).collect();
                self.gather(&pieces, &bytes)
            })
            .collect()
    }

    /// Elements of a table in memory by number: bytes many at once, others lane by lane.
    pub(super) fn lookup(&mut self, ty: Type, place: &Place, index: Value) -> Vec<Virtual> {
        let (table, indices, size) = (self.mem(place), self.pieces(index), ty.elem.bytes());
        if size == 1 && FEW < ty.lanes {
            return indices.iter().map(|&i| self.lookup_bytes(table, i)).collect();
        }
        let base = self.add_constant(table.base, table.offset);
        let lanes: Vec<u32> = (0..ty.lanes).collect();
        let per = 16 / size;
        let one = |e: &mut Self, lane: u32| {
            let number = e.gen_op(&forms::UMOV_B, &[indices[lane as usize / 16]], &[i64::from(lane % 16)]);
            let address = e.gen_op(&forms::ADD_X_LSL, &[base, number], &[size.trailing_zeros().into()]);
            Mem { base: address, offset: 0, ..table }
        };
        let register = |lanes: &[u32]| {
            let from = one(self, lanes[0]);
            let v = self.load_power(from, size);
            for &lane in &lanes[1..] {
                let from = one(self, lane);
                self.load_lane(v, from, size, lane % per);
            }
            v
        };
        lanes.chunks(per as usize).map(register).collect()
    }

    /// Sixteen numbers of bytes. TBL gives 0 for what is beyond its table and TBX leaves it: all sixteenths, in two halves that do not wait for each other.
    fn lookup_bytes(&mut self, table: Mem, index: Virtual) -> Virtual {
        let [sixteen, middle] = [16, 128].map(|n| self.constant([n; 16]));
        let upper = self.vec(&forms::EOR_V, Arrangement::B16, &[index, middle], &[]);
        let halves = [(0, index), (128, upper)].map(|(start, mut index)| {
            let first = self.load_bytes(table.plus(start), 16);
            let mut v = self.vec(&forms::TBL1_V, Arrangement::B16, &[first, index], &[]);
            for part in 1..8 {
                index = self.vec(&forms::SUB_V, Arrangement::B16, &[index, sixteen], &[]);
                let next = self.load_bytes(table.plus(start + 16 * part), 16);
                v = self.change(&forms::TBX1_V, Arrangement::B16, v, &[next, index], &[]);
            }
            v
        });
        self.vec(&forms::ORR_V, Arrangement::B16, &halves, &[])
    }

    /// Sixteen bytes of a value by number. TBL gives 0 for what is beyond its table, so that of several registers each gives its own.
    fn gather(&mut self, pieces: &[Virtual], bytes: &[usize]) -> Virtual {
        let mut sum = None;
        for (n, &v) in pieces.iter().enumerate().filter(|(n, _)| bytes.iter().any(|b| b / 16 == *n)) {
            let index = self.constant(std::array::from_fn(|i| if bytes[i] / 16 == n { (bytes[i] % 16) as u8 } else { 0xff }));
            let own = self.vec(&forms::TBL1_V, Arrangement::B16, &[v, index], &[]);
            sum = Some(match sum {
                None => own,
                Some(s) => self.vec(&forms::ORR_V, Arrangement::B16, &[s, own], &[]),
            });
        }
        sum.unwrap_or_else(|| self.zero())
    }

    pub(super) fn permute(&mut self, ty: Type, a: Value, index: Value, segment: u32) -> Vec<Virtual> {
        if ty.elem.bytes() != 1 || segment != 16 {
            return vec![self.unsupported("permutation", ty.elem)];
        }
        self.each(&[a, index], |e, x| e.vec(&forms::TBL1_V, Arrangement::B16, &[x[0], x[1]], &[]))
    }

    /// The sum, least or greatest of all lanes, at the bottom of a register.
    pub(super) fn reduce(&mut self, reduce: Reduce, ty: Type, pieces: Vec<Virtual>) -> Virtual {
        let (mut v, mut lanes) = self.one_register(reduce, ty, pieces);
        let size = ty.elem.bytes();
        if ty.elem.is_int() && lanes * size == 16 && size < 8 {
            let form = match (reduce, ty.elem.is_signed()) {
                (Reduce::Add, _) => &forms::ADDV_V,
                (Reduce::Min, true) => &forms::SMINV_V,
                (Reduce::Min, false) => &forms::UMINV_V,
                (Reduce::Max, true) => &forms::SMAXV_V,
                (Reduce::Max, false) => &forms::UMAXV_V,
            };
            return self.vec(form, arrangement(ty.elem), &[v], &[]);
        }
        while 1 < lanes {
            lanes /= 2;
            let upper = self.extract(v, v, (lanes * size) as usize);
            v = self.binary(ty.elem, combining(reduce), v, upper);
        }
        v
    }

    /// The upper registers combined onto the lower ones until one is left: it, and its lanes.
    fn one_register(&mut self, reduce: Reduce, ty: Type, mut pieces: Vec<Virtual>) -> (Virtual, u32) {
        let mut lanes = ty.lanes;
        while 1 < pieces.len() {
            let upper = pieces.split_off(pieces.len() / 2);
            lanes /= 2;
            pieces = pieces.iter().zip(upper).map(|(&x, y)| self.binary(ty.elem, combining(reduce), x, y)).collect();
        }
        (pieces[0], lanes)
    }

    pub(super) fn reduce_each(&mut self, reduce: Reduce, all: &[Value]) -> Vec<Virtual> {
        let ty = self.ty(all[0]);
        let op = combining(reduce);
        let size = ty.elem.bytes() as usize;
        let mut out = vec![];
        for values in all.chunks(16 / size) {
            let ones: Vec<(Virtual, u32)> = values
                .iter()
                .map(|&v| {
                    let pieces = self.pieces(v);
                    self.one_register(reduce, ty, pieces)
                })
                .collect();
            if size == 4 && ones[0].1 == 4 {
                // Two vectors become the halves of one, and four of those lanes the lanes of one.
                let pairs: Vec<Virtual> = ones
                    .chunks(2)
                    .map(|c| {
                        let (x, y) = (c[0].0, c[c.len() - 1].0);
                        let low = self.vec(&forms::ZIP1_V, Arrangement::D2, &[x, y], &[]);
                        let high = self.vec(&forms::ZIP2_V, Arrangement::D2, &[x, y], &[]);
                        self.binary(ty.elem, op, low, high)
                    })
                    .collect();
                let (x, y) = (pairs[0], pairs[pairs.len() - 1]);
                let form = match (reduce, ty.elem.is_float()) {
                    (Reduce::Add, true) => Some(&forms::FADDP_V),
                    (Reduce::Add, false) => Some(&forms::ADDP_V),
                    _ => None,
                };
                out.push(match form {
                    Some(form) => self.both(form, ty.elem, x, y),
                    None => {
                        let even = self.both(&forms::UZP1_V, ty.elem, x, y);
                        let odd = self.both(&forms::UZP2_V, ty.elem, x, y);
                        self.binary(ty.elem, op, even, odd)
                    }
                });
                continue;
            }
            let parts: Vec<Virtual> = ones.iter().map(|&(v, lanes)| self.reduce(reduce, ty.with_lanes(lanes), vec![v])).collect();
            let first = self.copy(parts[0]);
            for (i, &v) in parts.iter().enumerate().skip(1) {
                self.put(&forms::INS_LANE, arrangement(ty.elem), &[first, v], &[i as i64, 0]);
            }
            out.push(first);
        }
        out
    }
}
