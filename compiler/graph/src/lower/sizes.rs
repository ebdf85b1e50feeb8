//! Sizes of operators that are index parameters of a kernel, so that one kernel serves many operators.
//!
//! Not a schedule. The idea: a kernel and the parameters of its call are made together, each size being part of the code or given by
//! the call; a window that moves over an image is a dozen such sizes and a guarded row of memory for every tap.

use cranelite_tile::{Arg, Elem, Guard, Index, KernelBuilder, Param, Row};

/// A number that is part of the code, or an index parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Size {
    Fixed(i64),
    Given(Param),
}

impl Size {
    pub fn index(self) -> Index {
        self.times(1)
    }
    pub fn times(self, i: impl Into<Index>) -> Index {
        match self {
            Size::Fixed(n) => i.into() * n,
            Size::Given(p) => i.into() * p,
        }
    }

    /// Loops so many times, or not at all where it is certainly once.
    pub fn each(self, k: &mut KernelBuilder, name: &str, body: impl FnOnce(&mut KernelBuilder, Index)) {
        match self {
            Size::Fixed(1) => body(k, Index::default()),
            n => k.each(name, n.index(), 1, |k, i| body(k, i.into())),
        }
    }
}

/// The parameters of a kernel and their values in a call.
#[derive(Default)]
pub struct Sizes {
    pub values: Vec<i64>,
}

impl Sizes {
    pub fn given(&mut self, k: &mut KernelBuilder, name: &str, value: usize) -> Size {
        self.values.push(value as i64);
        Size::Given(k.param(name))
    }
    /// Part of the code where it is what it mostly is.
    pub fn unless(&mut self, usual: usize, k: &mut KernelBuilder, name: &str, value: usize) -> Size {
        if value == usual { Size::Fixed(value as i64) } else { self.given(k, name, value) }
    }
}

/// One dimension of a window's way.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub input: usize,
    pub output: usize,
    pub stride: usize,
    pub dilation: usize,
    /// Padding before the first element.
    pub before: usize,
    /// Turns of the loop over taps.
    pub taps: usize,
}

/// A window on its way over images, in parameters.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    batches: Size,
    input: [Size; 2],
    output: [Size; 2],
    /// Output pixels from one row to the next.
    line: Size,
    stride: [Size; 2],
    dilation: [Size; 2],
    before: [Size; 2],
    pub taps: [Size; 2],
}

/// An output pixel.
#[derive(Clone, Debug)]
pub struct Pixel {
    pub image: Index,
    at: [Index; 2],
    /// Its number.
    pub number: Index,
}

impl Window {
    /// `line`: output pixels in a row, of which the window may visit fewer.
    pub fn new(k: &mut KernelBuilder, sizes: &mut Sizes, batches: usize, ways: [Way; 2], line: usize) -> Window {
        let batches = sizes.unless(1, k, "batches", batches);
        let mut both = |names: [&str; 2], get: fn(&Way) -> usize| [0, 1].map(|i| sizes.given(k, names[i], get(&ways[i])));
        let output = both(["rows", "columns"], |w| w.output);
        let taps = both(["taps_y", "taps_x"], |w| w.taps);
        let input = both(["height", "width"], |w| w.input);
        let before = both(["before_y", "before_x"], |w| w.before);
        let [y, x] = ways;
        let line = if line == x.output { output[1] } else { sizes.given(k, "line", line) };
        let stride = sizes.given(k, "stride", y.stride);
        let stride = [stride, if x.stride == y.stride { stride } else { sizes.given(k, "stride_x", x.stride) }];
        let dilation = [sizes.unless(1, k, "dilation_y", y.dilation), sizes.unless(1, k, "dilation_x", x.dilation)];
        Window { batches, input, output, line, stride, dilation, before, taps }
    }

    /// Visits all output pixels.
    pub fn each(&self, k: &mut KernelBuilder, body: impl FnOnce(&mut KernelBuilder, &Pixel)) {
        self.batches.each(k, "n", |k, n| {
            self.output[0].each(k, "oy", |k, oy| {
                self.output[1].each(k, "ox", |k, ox| {
                    let number = self.line.times(self.output[0].times(n.clone()) + oy.clone()) + ox.clone();
                    body(k, &Pixel { image: n, at: [oy, ox], number });
                });
            });
        });
    }

    /// `bytes` bytes of what a pixel sees through a tap; of `fill` outside of the image. `pixels`: from pixels of the input to bytes.
    #[allow(clippy::too_many_arguments)]
    pub fn row(
        &self,
        k: &mut KernelBuilder,
        x: Arg,
        pixel: &Pixel,
        tap: [Index; 2],
        pixels: impl Fn(Index) -> Index,
        bytes: Index,
        fill: Arg,
    ) -> Row {
        let [tap_y, tap_x] = tap;
        let at = |i: usize, tap: Index| self.stride[i].times(pixel.at[i].clone()) - self.before[i].index() + self.dilation[i].times(tap);
        let (iy, ix) = (at(0, tap_y), at(1, tap_x));
        let place = pixels(self.input[1].times(self.input[0].times(pixel.image.clone()) + iy.clone()) + ix.clone());
        let guard = |index, i: usize| Guard { index, limit: self.input[i].index() };
        k.row(x, place, bytes, vec![guard(iy, 0), guard(ix, 1)], fill)
    }
}

/// Padding by rows needs factors that nothing happens to when they meet zeros: whether all floats are finite.
pub fn all_finite(elem: Elem, bytes: &[u8]) -> bool {
    elem != Elem::F32 || bytes.as_chunks().0.iter().all(|b| f32::from_le_bytes(*b).is_finite())
}
