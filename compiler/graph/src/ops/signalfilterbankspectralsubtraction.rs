//! SignalFilterBankSpectralSubtraction: what is left of each channel without its noise, which is estimated by a low-pass filter over invocations.
//!
//! u32; odd channels have coefficients of their own. The estimates, a state of zeros at first, are the second result.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::integers::shift_down;
use crate::lower::{Context, copy};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::U32;
use crate::tensor::TensorType;
use crate::text::fields::fields;
use cranelite_tile::{Arg, Elem, Index, KernelBuilder, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub num_channels: usize,
    /// In units of 2^-spectral_subtraction_bits, as the other coefficients.
    pub smoothing: usize,
    pub one_minus_smoothing: usize,
    pub alternate_smoothing: usize,
    pub alternate_one_minus_smoothing: usize,
    /// What is left of a channel at least.
    pub min_signal_remaining: usize,
    /// Further bits of the estimates.
    pub smoothing_bits: usize,
    pub spectral_subtraction_bits: usize,
    /// An estimate is no larger than its channel.
    pub clamping: bool,
}
fields!(
    num_channels,
    smoothing,
    one_minus_smoothing,
    alternate_smoothing,
    alternate_one_minus_smoothing,
    min_signal_remaining,
    smoothing_bits,
    spectral_subtraction_bits,
    clamping
);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::All, outputs: 2..=2 };
    const TYPES: &'static [Row] = &[Row::Same(&[U32])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let o = source.named_options()?;
        Ok(Attributes {
            num_channels: o.needed("num_channels")?,
            smoothing: o.needed("smoothing")?,
            one_minus_smoothing: o.needed("one_minus_smoothing")?,
            alternate_smoothing: o.needed("alternate_smoothing")?,
            alternate_one_minus_smoothing: o.needed("alternate_one_minus_smoothing")?,
            min_signal_remaining: o.needed("min_signal_remaining")?,
            smoothing_bits: o.needed("smoothing_bits")?,
            spectral_subtraction_bits: o.needed("spectral_subtraction_bits")?,
            clamping: o.bool("clamping")?,
        })
    }

    fn own_states(&self, _: &Signature) -> Result<Vec<TensorType>, Diagnostic> {
        checks::sized(vec![self.num_channels])?;
        Ok(vec![TensorType::new(U32, [self.num_channels])])
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        checks::shape("the channels", 0, x, &[self.num_channels])?;
        checks::at_most("smoothing_bits", self.smoothing_bits, 31)?;
        checks::at_most("spectral_subtraction_bits", self.spectral_subtraction_bits, 63)?;
        let coefficients = [
            ("smoothing", self.smoothing),
            ("one_minus_smoothing", self.one_minus_smoothing),
            ("alternate_smoothing", self.alternate_smoothing),
            ("alternate_one_minus_smoothing", self.alternate_one_minus_smoothing),
            ("min_signal_remaining", self.min_signal_remaining),
        ];
        coefficients.iter().try_for_each(|&(name, n)| checks::at_most(name, n, i32::MAX as usize))?;
        Ok(vec![x.shape.clone(); 2])
    }

    fn writes(&self) -> Vec<usize> {
        vec![1]
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let n = self.num_channels;
        if n == 0 {
            return Ok(());
        }
        let mut k = KernelBuilder::new(format!("spectral_subtraction_{n}"));
        let args = [k.read("x"), k.read_write("noise"), k.write("y")];
        let pairs = [(self.smoothing, self.one_minus_smoothing), (self.alternate_smoothing, self.alternate_one_minus_smoothing)];
        copy::each(&mut k, "pair", n / 2, |k, pair| {
            for (i, coefficients) in pairs.into_iter().enumerate() {
                self.channel(k, args, pair.clone() * 2 + i, coefficients);
            }
        });
        if !n.is_multiple_of(2) {
            self.channel(&mut k, args, (n - 1).into(), pairs[0]);
        }
        let (x, noise) = (cx.input(node, 0), cx.input(node, 1));
        let [y, estimates] = [0, 1].map(|i| cx.output(node, i));
        cx.call(k.finish(), &[x, noise, y], &[]);
        copy::whole(cx, noise, estimates);
        Ok(())
    }
}

impl Attributes {
    fn channel(&self, k: &mut KernelBuilder, [x, noise, y]: [Arg; 3], channel: Index, (smoothing, one_minus): (usize, usize)) {
        let (word, wide) = (Elem::U32.x(1), Elem::I64.x(1));
        let scaled = |k: &mut KernelBuilder, v: Value, factor: usize| {
            let (v, factor) = (k.widen(v, Elem::I64), k.int(wide, factor as i64));
            k.mul(v, factor)
        };
        let shifted = |k: &mut KernelBuilder, v: Value| {
            let v = shift_down(k, v, self.spectral_subtraction_bits);
            k.narrow(v, Elem::U32)
        };
        let at = channel * 4;
        let (signal, before) = (k.load(word, x.at(at.clone())), k.load(word, noise.at(at.clone())));
        let signal_up = k.shl_imm(signal, self.smoothing_bits as u8);
        let (new, old) = (scaled(k, signal_up, smoothing), scaled(k, before, one_minus));
        let sum = k.add(new, old);
        let estimate = shifted(k, sum);
        let capped = k.min(estimate, signal_up);
        k.store(noise.at(at.clone()), if self.clamping { capped } else { estimate });
        let floor = scaled(k, signal, self.min_signal_remaining);
        let floor = shifted(k, floor);
        let left = k.sub(signal_up, capped);
        let left = k.shr_imm(left, self.smoothing_bits as u8);
        let left = k.max(left, floor);
        k.store(y.at(at), left);
    }
}
