//! Addresses, loads, stores, constants.
//!
//! The ideas: `base[index + constant]` is the nearest pointer at hand plus a displacement; a part of a vector is read and written with a
//! mask where there are masks and in powers of two elsewhere, never beyond its count.

use super::Emitter;
use super::asm::{Mem, store, vm};
use crate::addresses::{CounterValue, pointer_key};
use crate::alloc::Virtual;
use cranelite_tile::{Access, Base, Elem, Index, Op, Place, Type, Value};
use iced_x86::code_asm::{CodeLabel, byte_ptr, dword_ptr, qword_ptr, registers, word_ptr};

impl Emitter<'_> {
    /// The value of an index without anything that varies here.
    pub(super) fn known(&self, index: &Index) -> Option<i64> {
        self.reduced(index).as_constant()
    }

    /// Pointer to `base[index]`, whatever the index.
    pub(super) fn address(&mut self, base: Base, index: &Index) -> Virtual {
        let (pointer, displacement) = self.pointer(base, index);
        self.add_constant(pointer, displacement)
    }

    fn add_constant(&mut self, v: Virtual, constant: i64) -> Virtual {
        if constant == 0 {
            return v;
        }
        let d = self.general();
        match i32::try_from(constant) {
            Ok(c) => self.push(&[v], &[d], move |s, r| s.lea(r.q(d), qword_ptr(r.q(v) + c))),
            Err(_) => {
                self.push(&[], &[d], move |s, r| s.mov(r.q(d), constant));
                self.push(&[d, v], &[d], move |s, r| s.add(r.q(d), r.q(v)));
            }
        }
        d
    }

    /// A pointer and what to add to it.
    fn pointer(&mut self, base: Base, index: &Index) -> (Virtual, i64) {
        let displacement = index.constant_part();
        let index = self.reduced(&index.without_constant());
        let key = (base, pointer_key(&index));
        if let Some(&p) = self.pointers.iter().rev().find_map(|scope| scope.get(&key)) {
            return (p, displacement);
        }
        // Peel the last term off: loops further in were numbered later, so what remains is the outer loops' pointer.
        let Some(last) = index.terms().iter().max_by_key(|t| t.counter) else {
            self.fail("an address without a base");
            return (self.general(), displacement);
        };
        let last = Index::from_terms(vec![last.clone()]);
        let (rest, more) = self.pointer(base, &(index.clone() - last.clone()));
        let offset = self.index_value(&last);
        let p = self.general();
        self.push(&[rest, offset], &[p], move |s, r| s.lea(r.q(p), qword_ptr(r.q(rest) + r.q(offset))));
        // An index from memory mostly is the place of several vectors beside each other.
        if more == 0 && last.counters().any(|c| self.read_counters.contains(&c)) {
            self.pointers.last_mut().expect("the function's scope").insert(key, p);
        }
        (p, displacement + more)
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
            let Some(first) = factors.pop() else {
                constant += t.coefficient;
                continue;
            };
            let mut v = first;
            for f in factors {
                let d = self.general();
                self.move_to(d, v, 8);
                self.push(&[d, f], &[d], move |s, r| s.imul_2(r.q(d), r.q(f)));
                v = d;
            }
            if t.coefficient != 1 {
                let Ok(c) = i32::try_from(t.coefficient) else {
                    self.fail("a coefficient of more than 31 bits");
                    continue;
                };
                let (d, from) = (self.general(), v);
                self.push(&[from], &[d], move |s, r| s.imul_3(r.q(d), r.q(from), c));
                v = d;
            }
            sum = Some(match sum {
                None => v,
                Some(s) => {
                    let d = self.general();
                    self.push(&[s, v], &[d], move |a, r| a.lea(r.q(d), qword_ptr(r.q(s) + r.q(v))));
                    d
                }
            });
        }
        match sum {
            Some(s) => self.add_constant(s, constant),
            None => {
                let d = self.general();
                self.push(&[], &[d], move |s, r| s.mov(r.q(d), constant));
                d
            }
        }
    }

    /// `place` as an operand of instructions, with room for `bytes` more in the displacement.
    pub(super) fn mem(&mut self, place: &Place, bytes: u32) -> Mem {
        let (pointer, displacement) = self.pointer(place.base, &place.at);
        match i32::try_from(displacement) {
            Ok(d) if d.checked_add(bytes as i32).is_some() => Mem::At { base: pointer, index: None, displacement: d },
            _ => Mem::At { base: self.add_constant(pointer, displacement), index: None, displacement: 0 },
        }
    }

    /// Leaves a load to the operation that uses it: true if that was done. The memory must not change in between, so only loads
    /// from arguments that nothing overlaps are left.
    pub(super) fn fold(&mut self, v: Value, op: &Op, used_here: bool) -> bool {
        let (Op::Load { place, count: None }, 1, true) = (op, self.facts.use_counts[v.0 as usize], used_here) else { return false };
        let ty = self.ty(v);
        let whole = (ty.bytes() as usize).is_multiple_of(self.features.vector_bytes) || ty.bytes() == 32 || ty.bytes() == 16;
        if !whole || !self.is_constant_memory(place.base) {
            return false;
        }
        let mem = self.mem(place, ty.bytes());
        self.folded.insert(v, mem);
        true
    }

    /// Leaves the load of an element that is an index, and nothing else, to [`Self::general_of`]: true if that was done.
    pub(super) fn leaves_to_index(&mut self, v: Value, op: &Op) -> bool {
        let (Op::Load { place, count: None }, 1) = (op, self.facts.use_counts[v.0 as usize]) else { return false };
        let ty = self.ty(v);
        let is_left = ty.lanes == 1 && ty.elem.is_int() && self.facts.indices.contains(&v) && self.is_constant_memory(place.base);
        if is_left {
            let mem = self.mem(place, ty.bytes());
            self.folded.insert(v, mem);
        }
        is_left
    }

    /// A scalar integer as one of 64 bits in a general register.
    pub(super) fn general_of(&mut self, v: Value) -> Virtual {
        let elem = self.ty(v).elem;
        let Some(mem) = self.folded.remove(&v) else {
            let v = self.pieces(v)[0];
            return self.scalar_to_general(elem, v);
        };
        let d = self.general();
        self.push(&mem.registers(), &[d], move |s, r| match elem {
            Elem::I8 => s.movsx(r.q(d), byte_ptr(r.m(&mem))),
            Elem::U8 => s.movzx(r.d(d), byte_ptr(r.m(&mem))),
            Elem::I16 => s.movsx(r.q(d), word_ptr(r.m(&mem))),
            Elem::U16 => s.movzx(r.d(d), word_ptr(r.m(&mem))),
            Elem::I32 => s.movsxd(r.q(d), dword_ptr(r.m(&mem))),
            Elem::U32 => s.mov(r.d(d), dword_ptr(r.m(&mem))),
            _ => s.mov(r.q(d), qword_ptr(r.m(&mem))),
        });
        d
    }

    fn is_constant_memory(&self, base: Base) -> bool {
        let Base::Arg(a) = base else { return false };
        let overwritten = self.kernel.args.iter().any(|o| o.in_place_of == Some(a));
        self.kernel.args[a.0 as usize].access == Access::Read && !overwritten
    }

    pub(super) fn load(&mut self, place: &Place, ty: Type, count: Option<u32>) -> Vec<Virtual> {
        let mem = self.mem(place, ty.bytes());
        self.load_at(mem, ty, count)
    }

    /// `count` lanes (all if `None`) as pieces of `ty`; the lanes beyond are zero.
    pub(super) fn load_at(&mut self, mem: Mem, ty: Type, count: Option<u32>) -> Vec<Virtual> {
        let mut left = (count.unwrap_or(ty.lanes) * ty.elem.bytes()) as usize;
        let mut at = 0;
        let sizes = self.piece_sizes(ty);
        sizes
            .into_iter()
            .map(|size| {
                let here = left.min(size);
                left -= here;
                let v = self.load_bytes(mem.plus(at), size, here);
                at += size as i32;
                v
            })
            .collect()
    }

    /// A vector whose first `bytes` bytes come from memory and whose others are zero.
    pub(super) fn load_bytes(&mut self, mem: Mem, size: usize, bytes: usize) -> Virtual {
        if bytes == size {
            return vm!(self, vmovups, size, mem);
        }
        match bytes {
            0 => self.zero(),
            4 => {
                let d = self.vector();
                self.push(&mem.registers(), &[d], move |s, r| s.vmovss(r.x(d), r.m(&mem)));
                d
            }
            8 => {
                let d = self.vector();
                self.push(&mem.registers(), &[d], move |s, r| s.vmovsd(r.x(d), r.m(&mem)));
                d
            }
            16 => vm!(self, vmovups, 16, mem),
            32 => vm!(self, vmovups, 32, mem),
            1..16 => {
                // Powers of two, largest first, inserted one after the other.
                let mut v = self.zero();
                let mut done = 0;
                while done < bytes {
                    let chunk = [8, 4, 2, 1].into_iter().find(|c| *c <= bytes - done).unwrap_or(1);
                    v = self.insert_from_memory(v, mem.plus(done as i32), done, chunk);
                    done += chunk;
                }
                v
            }
            _ if self.features.avx512 => {
                let g = self.general();
                let mask = (1u64 << bytes) - 1;
                self.push(&[], &[g], move |s, r| s.mov(r.q(g), mask));
                let d = self.vector();
                let mut uses = mem.registers();
                uses.push(g);
                self.push(&uses, &[d], move |s, r| {
                    s.kmovq(registers::k1, r.q(g))?;
                    match size {
                        32 => s.vmovdqu8(r.y(d).k1().z(), r.m(&mem)),
                        _ => s.vmovdqu8(r.z(d).k1().z(), r.m(&mem)),
                    }
                });
                d
            }
            _ => {
                let low = vm!(self, vmovups, 16, mem);
                let high = self.load_bytes(mem.plus(16), 16, bytes - 16);
                self.insert128(low, high)
            }
        }
    }

    /// `v` with `chunk` bytes of memory at byte `at`, a multiple of `chunk`... or not: then byte by byte.
    fn insert_from_memory(&mut self, v: Virtual, mem: Mem, at: usize, chunk: usize) -> Virtual {
        if !at.is_multiple_of(chunk) {
            return (0..chunk).fold(v, |v, i| self.insert_from_memory(v, mem.plus(i as i32), at + i, 1));
        }
        let (d, lane) = (self.vector(), (at / chunk) as i32);
        let mut uses = mem.registers();
        uses.push(v);
        self.push(&uses, &[d], move |s, r| match chunk {
            8 => s.vpinsrq(r.x(d), r.x(v), qword_ptr(r.m(&mem)), lane),
            4 => s.vpinsrd(r.x(d), r.x(v), dword_ptr(r.m(&mem)), lane),
            2 => s.vpinsrw(r.x(d), r.x(v), word_ptr(r.m(&mem)), lane),
            _ => s.vpinsrb(r.x(d), r.x(v), byte_ptr(r.m(&mem)), lane),
        });
        d
    }

    /// Four and eight bytes are repeated as integers: on Zen 4 the load unit does that alone, while `vbroadcastss` and `vbroadcastsd`
    /// in EVEX form take a slot of a vector pipe, too.
    pub(super) fn load_splat(&mut self, place: &Place, ty: Type, group: u32, count: Option<u32>) -> Vec<Virtual> {
        let size = ty.elem.bytes();
        let (bytes, read) = (group * size, count.unwrap_or(group) * size);
        if !matches!(bytes, 1 | 2 | 4 | 8 | 16) {
            self.fail(format!("a group of {bytes} bytes"));
            return vec![];
        }
        let mem = self.mem(place, bytes);
        let full = self.piece_sizes(ty)[0];
        let v = if read == bytes {
            match bytes {
                1 => vm!(self, vpbroadcastb, full, mem),
                2 => vm!(self, vpbroadcastw, full, mem),
                4 => vm!(self, vpbroadcastd, full, mem),
                8 if full == 16 => {
                    let d = self.vector();
                    self.push(&mem.registers(), &[d], move |s, r| s.vmovddup(r.x(d), r.m(&mem)));
                    d
                }
                8 => self.broadcast_8(mem, full),
                16 if full == 16 => vm!(self, vmovups, 16, mem),
                _ => {
                    let d = self.vector();
                    let evex = self.features.avx512;
                    self.push(&mem.registers(), &[d], move |s, r| match full {
                        32 if evex => s.vbroadcasti32x4(r.y(d), r.m(&mem)),
                        32 => s.vbroadcasti128(r.y(d), r.m(&mem)),
                        _ => s.vbroadcasti32x4(r.z(d), r.m(&mem)),
                    });
                    d
                }
            }
        } else {
            let low = self.load_bytes(mem, 16, read as usize);
            match bytes {
                1 | 2 | 4 | 8 => self.broadcast(low, bytes as usize, full),
                _ if full == 16 => low,
                _ => {
                    let half = self.insert128(low, low);
                    if full == 32 { half } else { self.join(half, half, 32) }
                }
            }
        };
        vec![v; self.piece_sizes(ty).len()]
    }

    fn broadcast_8(&mut self, mem: Mem, size: usize) -> Virtual {
        let d = self.vector();
        self.push(&mem.registers(), &[d], move |s, r| match size {
            32 => s.vpbroadcastq(r.y(d), r.m(&mem)),
            _ => s.vpbroadcastq(r.z(d), r.m(&mem)),
        });
        d
    }

    /// The lowest `bytes` bytes of a vector in every place of a vector of `size` bytes.
    pub(super) fn broadcast(&mut self, v: Virtual, bytes: usize, size: usize) -> Virtual {
        let d = self.vector();
        self.push(&[v], &[d], move |s, r| match (bytes, size) {
            (1, 16) => s.vpbroadcastb(r.x(d), r.x(v)),
            (1, 32) => s.vpbroadcastb(r.y(d), r.x(v)),
            (1, _) => s.vpbroadcastb(r.z(d), r.x(v)),
            (2, 16) => s.vpbroadcastw(r.x(d), r.x(v)),
            (2, 32) => s.vpbroadcastw(r.y(d), r.x(v)),
            (2, _) => s.vpbroadcastw(r.z(d), r.x(v)),
            (4, 16) => s.vbroadcastss(r.x(d), r.x(v)),
            (4, 32) => s.vbroadcastss(r.y(d), r.x(v)),
            (4, _) => s.vbroadcastss(r.z(d), r.x(v)),
            (_, 16) => s.vpbroadcastq(r.x(d), r.x(v)),
            (_, 32) => s.vpbroadcastq(r.y(d), r.x(v)),
            (_, _) => s.vpbroadcastq(r.z(d), r.x(v)),
        });
        d
    }

    pub(super) fn store(&mut self, place: &Place, ty: Type, pieces: &[Virtual], count: Option<u32>) {
        let mem = self.mem(place, ty.bytes());
        let mut left = (count.unwrap_or(ty.lanes) * ty.elem.bytes()) as usize;
        let sizes = self.piece_sizes(ty);
        for (i, (&v, &size)) in pieces.iter().zip(&sizes).enumerate() {
            let here = left.min(size);
            left -= here;
            let mem = mem.plus((i * self.features.vector_bytes) as i32);
            if here < size && self.is_read_too(place.base) {
                self.store_parts(mem, v, here);
            } else {
                self.store_bytes(mem, v, size, here);
            }
        }
    }

    /// Loads of the kernel may follow a store there closely.
    fn is_read_too(&self, base: Base) -> bool {
        let Base::Arg(a) = base else { return true };
        let arg = &self.kernel.args[a.0 as usize];
        arg.access == Access::ReadWrite || arg.in_place_of.is_some()
    }

    /// As [`Self::store_bytes`] without masks: a masked store would hold up a load of the bytes after it for as long as dozens of instructions take.
    fn store_parts(&mut self, mem: Mem, v: Virtual, bytes: usize) {
        match bytes {
            33.. => {
                store!(self, vmovups, 32, mem, v);
                let high = self.extract256(v);
                self.store_parts(mem.plus(32), high, bytes - 32);
            }
            17..32 => {
                store!(self, vmovups, 16, mem, v);
                let high = self.extract128(v, 1);
                self.store_parts(mem.plus(16), high, bytes - 16);
            }
            4 | 8 | 16 | 32 => self.store_bytes(mem, v, 64, bytes),
            _ => self.store_elements(mem, v, bytes),
        }
    }

    /// A part of a register that does not begin at its bottom goes to memory without being brought there, if there is an instruction for it.
    pub(super) fn store_part(&mut self, place: &Place, value: Value, count: Option<u32>) -> bool {
        let (ty, full) = (self.ty(value), self.features.vector_bytes);
        let Some(&Op::Slice(a, start)) = self.definitions[value.0 as usize] else { return false };
        if self.facts.halved.contains(&a) {
            return false;
        }
        let (bytes, offset) = (ty.bytes() as usize, (start * ty.elem.bytes()) as usize);
        let within = offset % full;
        if count.is_some_and(|n| n != ty.lanes) || !self.is_held(a) || within == 0 || !matches!(bytes, 8 | 16 | 32) || within % bytes != 0 {
            return false;
        }
        let mut v = self.pieces(a)[offset / full];
        let (mem, evex, part) = (self.mem(place, bytes as u32), self.features.avx512, (within / bytes) as u32);
        if bytes == 8 {
            v = self.extract128(v, part / 2);
        }
        let uses = [mem.registers(), vec![v]].concat();
        self.push(&uses, &[], move |s, r| match (bytes, evex) {
            (8, _) if part % 2 == 0 => s.vmovsd(r.m(&mem), r.x(v)),
            (8, _) => s.vmovhps(r.m(&mem), r.x(v)),
            (16, false) => s.vextracti128(r.m(&mem), r.y(v), part),
            (16, true) if part == 1 => s.vextracti32x4(r.m(&mem), r.y(v), part),
            (16, true) => s.vextracti32x4(r.m(&mem), r.z(v), part),
            _ => s.vextracti64x4(r.m(&mem), r.z(v), part),
        });
        true
    }

    /// The first `bytes` bytes of a vector.
    pub(super) fn store_bytes(&mut self, mem: Mem, v: Virtual, size: usize, bytes: usize) {
        let mut uses = mem.registers();
        uses.push(v);
        match bytes {
            0 => {}
            _ if bytes == size => store!(self, vmovups, size, mem, v),
            16 => store!(self, vmovups, 16, mem, v),
            32 => store!(self, vmovups, 32, mem, v),
            8 => self.push(&uses, &[], move |s, r| s.vmovsd(r.m(&mem), r.x(v))),
            4 => self.push(&uses, &[], move |s, r| s.vmovss(r.m(&mem), r.x(v))),
            // A masked store would hold up a load of the bytes after it; two stores cost the same.
            _ if self.features.avx512 && bytes != 24 => {
                let g = self.general();
                let mask = (1u64 << bytes) - 1;
                self.push(&[], &[g], move |s, r| s.mov(r.q(g), mask));
                uses.push(g);
                self.push(&uses, &[], move |s, r| {
                    s.kmovq(registers::k1, r.q(g))?;
                    match size {
                        16 => s.vmovdqu8(r.m(&mem).k1(), r.x(v)),
                        32 => s.vmovdqu8(r.m(&mem).k1(), r.y(v)),
                        _ => s.vmovdqu8(r.m(&mem).k1(), r.z(v)),
                    }
                });
            }
            17.. => {
                store!(self, vmovups, 16, mem, v);
                let high = self.extract128(v, 1);
                self.store_bytes(mem.plus(16), high, 16, bytes - 16);
            }
            _ => self.store_elements(mem, v, bytes),
        }
    }

    /// Less than 16 bytes, as elements of powers of two.
    fn store_elements(&mut self, mem: Mem, v: Virtual, bytes: usize) {
        let mut uses = mem.registers();
        uses.push(v);
        let mut done = 0;
        while done < bytes {
            let chunk = [8, 4, 2, 1].into_iter().find(|c| *c <= bytes - done && done.is_multiple_of(*c)).unwrap_or(1);
            let (here, lane) = (mem.plus(done as i32), (done / chunk) as i32);
            self.push(&uses, &[], move |s, r| match chunk {
                8 => s.vpextrq(qword_ptr(r.m(&here)), r.x(v), lane),
                4 => s.vpextrd(dword_ptr(r.m(&here)), r.x(v), lane),
                2 => s.vpextrw(word_ptr(r.m(&here)), r.x(v), lane),
                _ => s.vpextrb(byte_ptr(r.m(&here)), r.x(v), lane),
            });
            done += chunk;
        }
    }

    // Constants

    pub(super) fn zero(&mut self) -> Virtual {
        let d = self.vector();
        self.push(&[], &[d], move |s, r| s.vxorps(r.x(d), r.x(d), r.x(d)));
        d
    }

    /// Where the bytes are after the code.
    pub(super) fn pool_label(&mut self, bytes: &[u8]) -> CodeLabel {
        match self.pool.get(bytes) {
            Some(&l) => l,
            None => {
                let l = self.label();
                self.pool.insert(bytes.to_vec(), l);
                l
            }
        }
    }

    /// The bytes, 4 or 8 of them repeated or all, as a vector of `size` bytes.
    pub(super) fn constant(&mut self, bytes: &[u8], size: usize) -> Virtual {
        if bytes.iter().all(|&b| b == 0) {
            return self.zero();
        }
        let key = (bytes.to_vec(), size);
        if let Some(&v) = self.constants.get(&key) {
            return v;
        }
        let mem = Mem::Pool(self.pool_label(bytes));
        // Outside of all loops; where registers are short the frame serves as well as the pool.
        let here = (std::mem::take(&mut self.events), std::mem::take(&mut self.entries));
        (self.events, self.entries) = std::mem::take(&mut self.preamble);
        let v = match bytes.len() {
            4 => vm!(self, vpbroadcastd, size, mem),
            8 if size == 16 => {
                let d = self.vector();
                self.push(&[], &[d], move |s, r| s.vmovddup(r.x(d), r.m(&mem)));
                d
            }
            8 => self.broadcast_8(mem, size),
            _ => vm!(self, vmovups, size, mem),
        };
        self.preamble = (std::mem::take(&mut self.events), std::mem::take(&mut self.entries));
        (self.events, self.entries) = here;
        self.constants.insert(key, v);
        v
    }

    /// `value` in every lane of `elem`.
    pub(super) fn int_constant(&mut self, elem: Elem, value: i64, size: usize) -> Virtual {
        let bytes = value.to_le_bytes();
        match elem.bytes() {
            1 => self.constant(&[bytes[0]; 4], size),
            2 => self.constant(&[bytes[0], bytes[1], bytes[0], bytes[1]], size),
            4 => self.constant(&bytes[..4], size),
            _ => self.constant(&bytes, size),
        }
    }

    /// Lane 0 of an integer, extended to 64 bits by its sign.
    pub(super) fn scalar_to_general(&mut self, elem: Elem, v: Virtual) -> Virtual {
        let d = self.general();
        match elem {
            Elem::I64 => self.push(&[v], &[d], move |s, r| s.vmovq(r.q(d), r.x(v))),
            _ => self.push(&[v], &[d], move |s, r| s.vmovd(r.d(d), r.x(v))),
        }
        match elem {
            Elem::I8 => self.push(&[d], &[d], move |s, r| {
                s.shl(r.q(d), 56)?;
                s.sar(r.q(d), 56)
            }),
            Elem::U8 => self.push(&[d], &[d], move |s, r| s.and(r.d(d), 0xff)),
            Elem::I16 => self.push(&[d], &[d], move |s, r| {
                s.shl(r.q(d), 48)?;
                s.sar(r.q(d), 48)
            }),
            Elem::U16 => self.push(&[d], &[d], move |s, r| s.and(r.d(d), 0xffff)),
            Elem::I32 => self.push(&[d], &[d], move |s, r| s.movsxd(r.q(d), r.d(d))),
            _ => {}
        }
        d
    }

    /// Two halves of 16 bytes.
    pub(super) fn insert128(&mut self, low: Virtual, high: Virtual) -> Virtual {
        let (d, evex) = (self.vector(), self.features.avx512);
        self.push(&[low, high], &[d], move |s, r| {
            if evex { s.vinserti32x4(r.y(d), r.y(low), r.x(high), 1) } else { s.vinserti128(r.y(d), r.y(low), r.x(high), 1) }
        });
        d
    }
}
