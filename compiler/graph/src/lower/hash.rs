//! FarmHash's fingerprint of 64 bits, of up to 64 bytes.
//!
//! The idea: how many bytes there are is known when the model is compiled, so what remains is a few multiplications, rotations and sums.

use cranelite_tile::{Arg, Elem, KernelBuilder, Value};

/// Longer ones would need a loop with a state.
pub const MOST_BYTES: usize = 64;

const K1: u64 = 0xB492_B66F_BE98_F273;
const K2: u64 = 0x9AE1_6A3B_2F90_404F;

struct Hasher<'a> {
    k: &'a mut KernelBuilder,
    key: Arg,
}

impl Hasher<'_> {
    fn constant(&mut self, n: u64) -> Value {
        self.k.int(Elem::I64.x(1), n as i64)
    }
    /// 8 bytes.
    fn fetch(&mut self, at: usize) -> Value {
        self.k.load(Elem::I64.x(1), self.key.at(at))
    }
    /// 4 bytes.
    fn fetch_half(&mut self, at: usize) -> Value {
        let v = self.k.load(Elem::U32.x(1), self.key.at(at));
        self.k.widen(v, Elem::I64)
    }
    fn add(&mut self, a: Value, b: Value) -> Value {
        self.k.add(a, b)
    }
    fn add_constant(&mut self, a: Value, n: u64) -> Value {
        let n = self.constant(n);
        self.k.add(a, n)
    }
    fn mul(&mut self, a: Value, n: u64) -> Value {
        let n = self.constant(n);
        self.k.mul(a, n)
    }
    /// Zeros come in.
    fn shr(&mut self, a: Value, n: u8) -> Value {
        let (v, mask) = (self.k.shr_imm(a, n), self.constant(u64::MAX >> n));
        self.k.and(v, mask)
    }
    /// To the right.
    fn rotate(&mut self, a: Value, n: u8) -> Value {
        let (low, high) = (self.shr(a, n), self.k.shl_imm(a, 64 - n));
        self.k.or(low, high)
    }
    fn mixed(&mut self, u: Value, v: Value, factor: u64) -> Value {
        let both = self.k.xor(u, v);
        let a = self.mul(both, factor);
        let high = self.shr(a, 47);
        let a = self.k.xor(a, high);
        let both = self.k.xor(v, a);
        let b = self.mul(both, factor);
        let high = self.shr(b, 47);
        let b = self.k.xor(b, high);
        self.mul(b, factor)
    }

    fn hash(&mut self, count: usize) -> Value {
        let factor = K2.wrapping_add(2 * count as u64);
        match count {
            ..=7 => {
                let (a, b) = (self.fetch_half(0), self.fetch_half(count - 4));
                let a = self.k.shl_imm(a, 3);
                let a = self.add_constant(a, count as u64);
                self.mixed(a, b, factor)
            }
            8..=16 => {
                let (a, b) = (self.fetch(0), self.fetch(count - 8));
                let a = self.add_constant(a, K2);
                let c = self.rotate(b, 37);
                let c = self.mul(c, factor);
                let c = self.add(c, a);
                let d = self.rotate(a, 25);
                let d = self.add(d, b);
                let d = self.mul(d, factor);
                self.mixed(c, d, factor)
            }
            _ => {
                let (a, b) = (self.fetch(0), self.fetch(8));
                let a = self.mul(a, if count <= 32 { K1 } else { K2 });
                let (c, d) = (self.fetch(count - 8), self.fetch(count - 16));
                let (c, d) = (self.mul(c, factor), self.mul(d, K2));
                let ab = self.add(a, b);
                let (y, rotated) = (self.rotate(ab, 43), self.rotate(c, 30));
                let y = self.add(y, rotated);
                let y = self.add(y, d);
                let b = self.add_constant(b, K2);
                let b = self.rotate(b, 18);
                let z = self.add(a, b);
                let z = self.add(z, c);
                if count <= 32 {
                    return self.mixed(y, z, factor);
                }
                let z = self.mixed(y, z, factor);
                let (e, f) = (self.fetch(16), self.fetch(24));
                let e = self.mul(e, factor);
                let (g, h) = (self.fetch(count - 32), self.fetch(count - 24));
                let (g, h) = (self.add(y, g), self.add(z, h));
                let (g, h) = (self.mul(g, factor), self.mul(h, factor));
                let ef = self.add(e, f);
                let (u, rotated) = (self.rotate(ef, 43), self.rotate(g, 30));
                let u = self.add(u, rotated);
                let u = self.add(u, h);
                let fa = self.add(f, a);
                let v = self.rotate(fa, 18);
                let v = self.add(e, v);
                let v = self.add(v, g);
                self.mixed(u, v, factor)
            }
        }
    }
}

/// Of the first bytes of `key`: 4 at least, and [`MOST_BYTES`] at most.
pub fn fingerprint(k: &mut KernelBuilder, key: Arg, count: usize) -> Value {
    Hasher { k, key }.hash(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelite_tile::interpret;

    /// Of bytes i · 37 + 11.
    #[test]
    fn fingerprints_of_all_kinds_of_lengths() {
        for (count, expected) in [
            (4, 0xCC1E_7781_37AE_6D69u64),
            (5, 0x23B0_F796_75BD_1C16),
            (8, 0x7D50_7025_ED4E_ECFD),
            (11, 0x4899_998B_2AAA_BD10),
            (16, 0xD836_4803_26A9_74D6),
            (17, 0x5CDE_D6CB_65C9_DAC6),
            (32, 0xA033_00E1_B2BE_6DA7),
            (33, 0x8391_54CA_6781_5696),
            (50, 0x9716_9589_6BAB_F4E0),
            (64, 0x000F_03EA_C52D_3535),
        ] {
            let mut k = KernelBuilder::new("f");
            let (key, y) = (k.read("key"), k.write("y"));
            let hash = fingerprint(&mut k, key, count);
            k.store(y.at(0), hash);
            let mut buffers = vec![(0..count).map(|i| (i * 37 + 11) as u8).collect(), vec![0; 8]];
            interpret::call(&k.finish(), &[], &mut buffers).expect("within bounds");
            assert_eq!(buffers[1], expected.to_le_bytes(), "{count} bytes");
        }
    }
}
