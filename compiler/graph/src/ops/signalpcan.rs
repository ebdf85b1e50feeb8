//! SignalPCAN: per-channel amplitude normalisation, each channel times a gain that a table has for its noise, and then compressed.
//!
//! u32 channels and noise, an i16 table: of gains for 0, 1 and 2, and of the three coefficients of a polynomial for each number of bits.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::integers::{bit_length, shift_down};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{I16, U32};
use crate::text::fields::fields;
use cranelite_tile::{Arg, Binary, Cond, Elem, KernelBuilder, Value};

/// Bits behind the point of the ratio of signal to noise, and of the results.
const RATIO_BITS: u8 = 12;
const RESULT_BITS: u8 = 6;
/// Entries of the table.
const ENTRIES: usize = 125;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub snr_shift: usize,
}
fields!(snr_shift);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 3..=3, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[U32], &[U32], &[I16]], &[&[U32]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes { snr_shift: source.named_options()?.needed("snr_shift")? })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let length = checks::vector("the channels", s.input(0)?)?;
        checks::shape("the noise", 1, s.input(1)?, &[length])?;
        let entries = checks::vector("the gains", s.input(2)?).map_err(|d| d.detail("input 2"))?;
        if entries < ENTRIES {
            return Err(Diagnostic::new(Code::OPERAND, "the table of gains is too short")
                .detail("input 2")
                .expected(format!("at least {ENTRIES} entries"))
                .found(entries.to_string()));
        }
        checks::at_most("snr_shift", self.snr_shift, 63)?;
        Ok(vec![vec![length]])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let count = cx.input_type(node, 0).element_count();
        if count == 0 {
            return Ok(());
        }
        let mut k = KernelBuilder::new(format!("pcan_{count}"));
        let (x, noise, gains, y) = (k.read("x"), k.read("noise"), k.read("gains"), k.write("y"));
        let word = Elem::U32.x(1);
        k.each("i", count, 1, |k, i| {
            let noise = k.load(word, noise.at(i * 4));
            let gain = gain(k, gains, noise);
            let signal = k.load(word, x.at(i * 4));
            let (signal, gain) = (k.widen(signal, Elem::I64), k.widen(gain, Elem::I64));
            let ratio = k.mul(signal, gain);
            let ratio = shift_down(k, ratio, self.snr_shift);
            let ratio = k.narrow(ratio, Elem::U32);
            let (two, one) = (k.int(word, 2 << RATIO_BITS), k.int(word, 1 << RESULT_BITS));
            // x² / 4 below 2, and x - 1 from there on.
            let square = k.mul(ratio, ratio);
            let square = k.shr_imm(square, 2 + 2 * RATIO_BITS - RESULT_BITS);
            let line = k.shr_imm(ratio, RATIO_BITS - RESULT_BITS);
            let line = k.sub(line, one);
            let is_below = k.compare(Cond::Lt, ratio, two);
            let v = k.select(is_below, square, line);
            k.store(y.at(i * 4), v);
        });
        let buffers = [cx.input(node, 0), cx.input(node, 1), cx.input(node, 2), cx.output(node, 0)];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}

/// The polynomial of the noise's number of bits, of the ten bits after its first one; the bits of the i16 with its sign as a u32.
fn gain(k: &mut KernelBuilder, table: Arg, noise: Value) -> Value {
    let (word, int) = (Elem::U32.x(1), Elem::I32.x(1));
    let length = bit_length(k, noise);
    let (eleven, ten_bits, two) = (k.int(word, 11), k.int(word, 0x3ff), k.int(word, 2));
    let (up, down) = (k.sub(eleven, length), k.sub(length, eleven));
    let is_short = k.compare(Cond::Lt, length, eleven);
    let (above, below) = (k.binary(Binary::Shl, noise, up), k.binary(Binary::Shr, noise, down));
    let fraction = k.select(is_short, above, below);
    let fraction = k.and(fraction, ten_bits);
    let fraction = k.bitcast(fraction, int);
    let signed = k.bitcast(length, int);
    let first = k.shl_imm(signed, 2);
    let six = k.int(int, 6);
    let first = k.sub(first, six);
    let is_small = k.compare(Cond::Le, noise, two);
    let small = k.bitcast(noise, int);
    let first = k.select(is_small, small, first);
    let entry = k.clamped_index("entry", first, 0, ENTRIES as i64 - 3);
    let [constant, linear, quadratic] = [0, 1, 2].map(|i| {
        let v = k.load(Elem::I16.x(1), table.at(entry * 2 + i * 2));
        k.widen(v, Elem::I32)
    });
    let v = k.mul(quadratic, fraction);
    let v = k.shr_imm(v, 5);
    let linear = k.shl_imm(linear, 5);
    let v = k.add(v, linear);
    let v = k.mul(v, fraction);
    let half = k.int(int, 1 << 14);
    let v = k.add(v, half);
    let v = k.shr_imm(v, 15);
    let v = k.add(v, constant);
    let v = k.select(is_small, constant, v);
    let v = k.narrow(v, Elem::I16);
    let v = k.widen(v, Elem::I32);
    k.bitcast(v, word)
}
