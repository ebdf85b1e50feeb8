//! Addresses, loads, stores, constants.
//!
//! The ideas: `base[index + constant]` is the nearest pointer at hand plus an offset; a part of a vector is read and written in powers of two, never beyond its
//! count; what is stored in memory that nobody writes may be read at any time.

use super::forms::{self, Arrangement, Form};
use super::inst::{Inst, Touched};
use super::{Delayed, Emitter, Known, piece_count};
use crate::addresses::{CounterValue, pointer_key};
use crate::alloc::Virtual;
use cranelite_tile::{Access, Base, Elem, Index, Op, Place, Type, Value};

/// A place in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mem {
    pub base: Virtual,
    pub offset: i64,
    /// Nobody writes there while the function runs.
    pub is_constant: bool,
}

impl Mem {
    pub fn plus(self, bytes: i64) -> Mem {
        Mem { offset: self.offset + bytes, ..self }
    }
    pub fn touched(&self, bytes: u32, is_write: bool) -> Touched {
        Touched { base: Some(self.base), offset: self.offset, bytes, is_write, is_constant: self.is_constant && !is_write }
    }
}

/// Whether one instruction adds it.
pub(super) fn is_immediate(n: i64) -> bool {
    let n = n.unsigned_abs();
    n < 1 << 12 || (n < 1 << 24 && n.is_multiple_of(1 << 12))
}

/// Whether a load or store of so many bytes has it as its offset.
fn is_scaled(offset: i64, bytes: u32) -> bool {
    (0..4096 * i64::from(bytes)).contains(&offset) && offset % i64::from(bytes) == 0
}

fn is_unscaled(offset: i64) -> bool {
    (-256..256).contains(&offset)
}

impl<'a> Emitter<'a> {
    /// The value of an index without anything that varies here.
    pub(super) fn known(&self, index: &Index) -> Option<i64> {
        self.reduced(index).as_constant()
    }

    /// Pointer to `base[index]`, whatever the index.
    pub(super) fn address(&mut self, base: Base, index: &Index) -> Virtual {
        let (pointer, offset) = self.pointer(base, index);
        self.add_constant(pointer, offset)
    }

    /// A number in a general register.
    pub(super) fn number(&mut self, n: i64) -> Virtual {
        let d = self.general();
        self.set_number(d, n);
        d
    }

    pub(super) fn set_number(&mut self, d: Virtual, n: i64) {
        let parts: Vec<(i64, i64)> = (0..4).map(|i| (i, n >> (16 * i) & 0xffff)).collect();
        let inverted = n < 0 && parts.iter().filter(|p| p.1 == 0xffff).count() > parts.iter().filter(|p| p.1 == 0).count();
        let plain = if inverted { 0xffff } else { 0 };
        let mut rest = parts.iter().filter(|p| p.1 != plain);
        let first = rest.next().copied().unwrap_or((0, plain));
        match inverted {
            true => self.put(&forms::MOVN, Arrangement::None, &[d], &[first.1 ^ 0xffff, 16 * first.0]),
            false => self.put(&forms::MOVZ, Arrangement::None, &[d], &[first.1, 16 * first.0]),
        }
        for &(i, part) in rest {
            self.put(&forms::MOVK, Arrangement::None, &[d], &[part, 16 * i]);
        }
    }

    pub(super) fn add_constant(&mut self, v: Virtual, constant: i64) -> Virtual {
        if constant == 0 {
            return v;
        }
        let d = self.general();
        self.add_to(d, v, constant);
        d
    }

    /// Moves a pointer.
    pub(super) fn advance(&mut self, pointer: Virtual, by: i64) {
        if by != 0 {
            self.add_to(pointer, pointer, by);
        }
    }

    fn add_to(&mut self, d: Virtual, v: Virtual, constant: i64) {
        let size = constant.unsigned_abs() as i64;
        let (short, long) = if constant < 0 { (&forms::SUB_IMM, &forms::SUB_IMM_LSL12) } else { (&forms::ADD_IMM, &forms::ADD_IMM_LSL12) };
        if size < 1 << 12 {
            self.put(short, Arrangement::None, &[d, v], &[size]);
        } else if size < 1 << 24 {
            self.put(long, Arrangement::None, &[d, v], &[size >> 12]);
            if size & 0xfff != 0 {
                self.put(short, Arrangement::None, &[d, d], &[size & 0xfff]);
            }
        } else {
            let c = self.number(constant);
            self.put(&forms::ADD_X, Arrangement::None, &[d, v, c], &[]);
        }
    }

    /// A pointer and what to add to it.
    fn pointer(&mut self, base: Base, index: &Index) -> (Virtual, i64) {
        let offset = index.constant_part();
        let index = self.reduced(&index.without_constant());
        let key = (base, pointer_key(&index));
        if let Some(&p) = self.pointers.iter().rev().find_map(|scope| scope.get(&key)) {
            return (p, offset);
        }
        // Peel the last term off: loops further in were numbered later, so what remains is the outer loops' pointer.
        let Some(last) = index.terms().iter().max_by_key(|t| t.counter) else {
            self.fail("an address without a base");
            return (self.general(), offset);
        };
        let last = Index::from_terms(vec![last.clone()]);
        let (rest, more) = self.pointer(base, &(index.clone() - last.clone()));
        let p = self.add_index(rest, &last);
        // An index from memory mostly is the place of several vectors beside each other.
        if more == 0 && last.counters().any(|c| self.read_counters.contains(&c)) {
            self.pointers.last_mut().expect("the function's scope").insert(key, p);
        }
        (p, offset + more)
    }

    /// `pointer + index`, of one term.
    fn add_index(&mut self, pointer: Virtual, index: &Index) -> Virtual {
        if let [t] = index.terms()
            && t.params.is_empty()
            && t.coefficient.count_ones() == 1
            && let Some(Some(CounterValue::Varies(v))) = t.counter.map(|c| self.counters[c.0 as usize])
        {
            return self.gen_op(&forms::ADD_X_LSL, &[pointer, v], &[i64::from(t.coefficient.trailing_zeros())]);
        }
        let offset = self.index_value(index);
        self.gen_op(&forms::ADD_X, &[pointer, offset], &[])
    }

    /// An index as a 64-bit integer.
    pub(super) fn index_value(&mut self, index: &Index) -> Virtual {
        let mut sum: Option<Virtual> = None;
        let mut constant = 0;
        for t in index.terms() {
            let mut factors: Vec<Virtual> = t.params.iter().map(|p| self.params[p.0 as usize]).collect();
            match t.counter.map(|c| self.counters[c.0 as usize]) {
                None => {}
                Some(Some(CounterValue::Varies(v))) => factors.push(v),
                Some(Some(CounterValue::Zero)) => continue,
                Some(_) => {
                    self.fail("a counter without a register");
                    continue;
                }
            }
            let Some(mut v) = factors.pop() else {
                constant += t.coefficient;
                continue;
            };
            for f in factors {
                v = self.gen_op(&forms::MUL_X, &[v, f], &[]);
            }
            if t.coefficient != 1 {
                v = if t.coefficient.count_ones() == 1 {
                    self.gen_op(&forms::LSL_IMM, &[v], &[i64::from(t.coefficient.trailing_zeros())])
                } else {
                    let c = self.number(t.coefficient);
                    self.gen_op(&forms::MUL_X, &[v, c], &[])
                };
            }
            sum = Some(match sum {
                None => v,
                Some(s) => self.gen_op(&forms::ADD_X, &[s, v], &[]),
            });
        }
        match sum {
            Some(s) => self.add_constant(s, constant),
            None => self.number(constant),
        }
    }

    fn is_constant_memory(&self, base: Base) -> bool {
        let is_constant = |i: usize| {
            let overwritten = self.kernel.args.iter().any(|o| o.in_place_of == Some(cranelite_tile::Arg(i as u32)));
            self.kernel.args[i].access == Access::Read && !overwritten
        };
        match base {
            Base::Arg(a) => is_constant(a.0 as usize),
            // A row may lie in any argument that is read.
            Base::Row(_) => (0..self.kernel.args.len()).all(|i| is_constant(i) || self.kernel.args[i].access == Access::Write),
        }
    }

    pub(super) fn mem(&mut self, place: &Place) -> Mem {
        let (base, offset) = self.pointer(place.base, &place.at);
        Mem { base, offset, is_constant: self.is_constant_memory(place.base) }
    }

    pub(super) fn prefetch(&mut self, place: &Place) {
        let mem = self.mem(place);
        let mem = self.reach(mem, 8);
        if is_scaled(mem.offset, 8) {
            self.touch(&forms::PRFM, &[mem.base], &[mem.offset], Touched { is_constant: true, ..mem.touched(1, false) });
        }
    }

    /// The same place with an offset that instructions for so many bytes have.
    fn reach(&mut self, mem: Mem, bytes: u32) -> Mem {
        if is_scaled(mem.offset, bytes) || is_unscaled(mem.offset) {
            return mem;
        }
        Mem { base: self.add_constant(mem.base, mem.offset), offset: 0, ..mem }
    }

    /// A load or a store of 1, 2, 4, 8 or 16 bytes.
    fn access(&mut self, forms: [&'static Form; 2], v: Virtual, mem: Mem, bytes: u32, is_write: bool) {
        let mem = self.reach(mem, bytes);
        let form = if is_scaled(mem.offset, bytes) { forms[0] } else { forms[1] };
        self.touch(form, &[v, mem.base], &[mem.offset], mem.touched(bytes, is_write));
    }

    pub(super) fn load_power(&mut self, mem: Mem, bytes: u32) -> Virtual {
        let d = self.vector();
        let forms = match bytes {
            1 => [&forms::LDR_B, &forms::LDUR_B],
            2 => [&forms::LDR_H, &forms::LDUR_H],
            4 => [&forms::LDR_S, &forms::LDUR_S],
            8 => [&forms::LDR_D, &forms::LDUR_D],
            _ => [&forms::LDR_Q, &forms::LDUR_Q],
        };
        self.access(forms, d, mem, bytes, false);
        d
    }

    /// What is in a register already, or else is made now and kept for others.
    fn once(&mut self, known: Known, is_kept: bool, make: impl FnOnce(&mut Self) -> Virtual) -> Virtual {
        if let Some(&v) = self.available.iter().rev().find_map(|scope| scope.get(&known)) {
            return v;
        }
        let v = make(self);
        if is_kept {
            self.available.last_mut().expect("the function's scope").insert(known, v);
        }
        v
    }

    /// A vector whose first `bytes` bytes come from memory and whose others are zero.
    pub(super) fn load_bytes(&mut self, mem: Mem, bytes: u32) -> Virtual {
        if bytes == 0 {
            return self.zero();
        }
        if bytes.is_power_of_two() {
            let is_kept = self.reuses && mem.is_constant;
            return self.once(Known::Loaded(mem.base, mem.offset, bytes), is_kept, |e| e.load_power(mem, bytes));
        }
        // Powers of two, largest first, inserted one after the other.
        let first = 1 << bytes.ilog2();
        let v = self.load_power(mem, first);
        let mut done = first;
        while done < bytes {
            let chunk = [8, 4, 2, 1].into_iter().find(|c| *c <= bytes - done && done.is_multiple_of(*c)).unwrap_or(1);
            self.load_lane(v, mem.plus(done.into()), chunk, done / chunk);
            done += chunk;
        }
        v
    }

    /// Changes one lane of so many bytes.
    pub(super) fn load_lane(&mut self, v: Virtual, mem: Mem, bytes: u32, lane: u32) {
        let form = match bytes {
            8 => &forms::LD1_LANE_D,
            4 => &forms::LD1_LANE_S,
            2 => &forms::LD1_LANE_H,
            _ => &forms::LD1_LANE_B,
        };
        let at = Mem { base: self.add_constant(mem.base, mem.offset), offset: 0, ..mem };
        self.touch(form, &[v, at.base], &[lane.into()], at.touched(bytes, false));
    }

    /// `count` lanes (all if `None`) as pieces of `ty`; the lanes beyond are zero.
    pub(super) fn load(&mut self, place: &Place, ty: Type, count: Option<u32>) -> Vec<Virtual> {
        let mem = self.mem(place);
        let mut left = count.unwrap_or(ty.lanes) * ty.elem.bytes();
        (0..piece_count(ty))
            .map(|i| {
                let here = left.min(16);
                left -= here;
                self.load_bytes(mem.plus(16 * i as i64), here)
            })
            .collect()
    }

    /// Bytes of the group that `v`, a load of a repeated group, has in all its lanes.
    pub(super) fn group_bytes(&self, v: Value) -> u32 {
        match self.definition(v) {
            Some(Op::LoadSplat { group, .. }) => group * self.ty(v).elem.bytes(),
            _ => 16,
        }
    }

    /// Leaves a value to its readers: true if that was done.
    pub(super) fn delay(&mut self, v: Value, op: &Op) -> bool {
        let ty = self.ty(v);
        match op {
            // By element of a register, which wants no copy in every lane.
            Op::LoadSplat { place, group, count } if self.is_by_element(v) => {
                let mem = self.mem(place);
                let bytes = count.unwrap_or(*group) * ty.elem.bytes();
                let loaded = self.load_bytes(mem, bytes);
                self.delayed.insert(v, Delayed::Group(loaded));
                true
            }
            Op::Load { place, count: None }
                if ty.lanes == 1 && ty.elem.is_int() && self.is_index(v) && self.is_constant_memory(place.base) =>
            {
                let mem = self.mem(place);
                self.delayed.insert(v, Delayed::Index(mem));
                true
            }
            _ => false,
        }
    }

    /// Nobody but one clamp wants the value.
    fn is_index(&self, v: Value) -> bool {
        self.uses[v.0 as usize] == 1 && self.clamped.contains(&v)
    }

    /// An element as an integer of 64 bits.
    pub(super) fn load_index(&mut self, mem: Mem, elem: Elem) -> Virtual {
        let d = self.general();
        let bytes = elem.bytes();
        let forms = match elem {
            Elem::I8 => [&forms::LDRSB, &forms::LDURSB],
            Elem::U8 => [&forms::LDRB, &forms::LDURB],
            Elem::I16 => [&forms::LDRSH, &forms::LDURSH],
            Elem::U16 => [&forms::LDRH, &forms::LDURH],
            Elem::I32 => [&forms::LDRSW, &forms::LDURSW],
            Elem::U32 => [&forms::LDR_W, &forms::LDUR_W],
            _ => [&forms::LDR_X, &forms::LDUR_X],
        };
        self.access(forms, d, mem, bytes, false);
        d
    }

    pub(super) fn load_splat(&mut self, place: &Place, ty: Type, group: u32, count: Option<u32>) -> Vec<Virtual> {
        let size = ty.elem.bytes();
        let (bytes, read) = (group * size, count.unwrap_or(group) * size);
        let mem = self.mem(place);
        if 16 < bytes && bytes.is_multiple_of(16) {
            let one = self.load(place, ty.with_lanes(group), count);
            return (0..piece_count(ty)).map(|i| one[i % one.len()]).collect();
        }
        if !bytes.is_power_of_two() {
            self.fail(format!("a group of {bytes} bytes"));
            return vec![];
        }
        let v = if read == bytes && bytes <= 8 {
            let is_kept = self.reuses && mem.is_constant;
            self.once(Known::Repeated(mem.base, mem.offset, bytes), is_kept, |e| e.load_repeated(mem, bytes))
        } else {
            let low = self.load_bytes(mem, read);
            self.repeated(low, bytes)
        };
        vec![v; piece_count(ty)]
    }

    fn load_repeated(&mut self, mem: Mem, bytes: u32) -> Virtual {
        let d = self.vector();
        let arrangement = match bytes {
            1 => Arrangement::B16,
            2 => Arrangement::H8,
            4 => Arrangement::S4,
            _ => Arrangement::D2,
        };
        let at = Mem { base: self.add_constant(mem.base, mem.offset), offset: 0, ..mem };
        self.insts.push(Inst::Op {
            form: &forms::LD1R_V,
            arrangement,
            registers: vec![d, at.base],
            numbers: vec![],
            label: None,
            touched: Some(at.touched(bytes, false)),
        });
        d
    }

    /// The lowest bytes of a register, a power of two of them, over and over.
    pub(super) fn repeated(&mut self, v: Virtual, bytes: u32) -> Virtual {
        match bytes {
            1 => self.vec(&forms::DUP_LANE, Arrangement::B16, &[v], &[0]),
            2 => self.vec(&forms::DUP_LANE, Arrangement::H8, &[v], &[0]),
            4 => self.vec(&forms::DUP_LANE, Arrangement::S4, &[v], &[0]),
            8 => self.vec(&forms::DUP_LANE, Arrangement::D2, &[v], &[0]),
            _ => v,
        }
    }

    pub(super) fn store(&mut self, place: &Place, ty: Type, pieces: &[Virtual], count: Option<u32>) {
        if ty.elem.is_mask() {
            return self.fail("a mask cannot be stored");
        }
        let mem = self.mem(place);
        let mut left = count.unwrap_or(ty.lanes) * ty.elem.bytes();
        for (i, &v) in pieces.iter().enumerate() {
            let here = left.min(16);
            left -= here;
            self.store_bytes(mem.plus(16 * i as i64), v, here);
        }
    }

    /// The lowest `bytes` bytes of a register.
    pub(super) fn store_bytes(&mut self, mem: Mem, v: Virtual, bytes: u32) {
        let mut done = 0;
        while done < bytes {
            let chunk = [16, 8, 4, 2, 1].into_iter().find(|c| *c <= bytes - done && done.is_multiple_of(*c)).unwrap_or(1);
            let here = mem.plus(done.into());
            if done == 0 {
                let forms = match chunk {
                    1 => [&forms::STR_B, &forms::STUR_B],
                    2 => [&forms::STR_H, &forms::STUR_H],
                    4 => [&forms::STR_S, &forms::STUR_S],
                    8 => [&forms::STR_D, &forms::STUR_D],
                    _ => [&forms::STR_Q, &forms::STUR_Q],
                };
                self.access(forms, v, here, chunk, true);
            } else {
                let form = match chunk {
                    8 => &forms::ST1_LANE_D,
                    4 => &forms::ST1_LANE_S,
                    2 => &forms::ST1_LANE_H,
                    _ => &forms::ST1_LANE_B,
                };
                let at = Mem { base: self.add_constant(here.base, here.offset), offset: 0, ..here };
                self.touch(form, &[v, at.base], &[i64::from(done / chunk)], at.touched(chunk, true));
            }
            done += chunk;
        }
    }

    // Constants

    pub(super) fn zero(&mut self) -> Virtual {
        self.constant([0; 16])
    }

    /// 16 bytes in a register.
    pub(super) fn constant(&mut self, bytes: [u8; 16]) -> Virtual {
        self.once(Known::Constant(bytes), true, |e| e.make_constant(bytes))
    }

    fn make_constant(&mut self, bytes: [u8; 16]) -> Virtual {
        let v = self.vector();
        let words: Vec<u32> = bytes.chunks(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
        let same = words.iter().all(|w| *w == words[0]);
        let byte = |word: u32, shift: u32| i64::from(word >> shift & 0xff);
        let shifted = |word: u32| (0..32).step_by(8).find(|s| word & !(0xffu32 << s) == 0);
        if bytes == [0; 16] {
            self.put(&forms::MOVI_ZERO, Arrangement::None, &[v], &[]);
        } else if bytes.iter().all(|b| *b == bytes[0]) {
            self.put(&forms::MOVI_B, Arrangement::B16, &[v], &[bytes[0].into()]);
        } else if let Some(shift) = shifted(words[0]).filter(|_| same) {
            self.put(&forms::MOVI_S, Arrangement::S4, &[v], &[byte(words[0], shift), shift.into()]);
        } else if let Some(shift) = shifted(!words[0]).filter(|_| same) {
            self.put(&forms::MVNI_S, Arrangement::S4, &[v], &[byte(!words[0], shift), shift.into()]);
        } else {
            let label = self.pool_label(&bytes);
            self.refer(&forms::LDR_Q_LITERAL, &[v], &[], label);
        }
        v
    }

    fn pool_label(&mut self, bytes: &[u8]) -> super::Label {
        if let Some((label, _)) = self.pool.iter().find(|(_, b)| b == bytes) {
            return *label;
        }
        let label = self.label();
        self.pool.push((label, bytes.to_vec()));
        label
    }

    /// `value` in every lane of `elem`.
    pub(super) fn int_constant(&mut self, elem: Elem, value: i64) -> Virtual {
        let (all, size) = (value.to_le_bytes(), elem.bytes() as usize);
        self.constant(std::array::from_fn(|i| all[i % size]))
    }

    /// Lane 0 of an integer, extended to 64 bits by its sign.
    pub(super) fn scalar_to_general(&mut self, elem: Elem, v: Virtual) -> Virtual {
        let form = match elem {
            Elem::I8 => &forms::SMOV_B,
            Elem::U8 => &forms::UMOV_B,
            Elem::I16 => &forms::SMOV_H,
            Elem::U16 => &forms::UMOV_H,
            Elem::I32 => &forms::SMOV_S,
            Elem::U32 => &forms::UMOV_S,
            _ => &forms::UMOV_D,
        };
        self.gen_op(form, &[v], &[0])
    }
}
