//! The three kernels of a sparse product: words of pixels into lanes, sums of lists of weights, sums of pixels back into their order and into results.
//!
//! No decisions here (`mod.rs`). The idea: rows of scratch are one word, or one output channel, of all pixels of a tile; squares of four by four words are
//! transposed in registers, which every machine does well.

use super::super::epilogue::{Epilogue, Tables};
use super::super::numbers::{Form, Numbers};
use super::WORD_BYTES;
use super::weights::{LIST_BYTES, TURN};
use crate::lower::moves::transposed;
use crate::lower::pointwise::{Destination, Output};
use cranelite_tile::{Arg, Elem, Index, Kernel, KernelBuilder, Rounding, Value};

/// Loops over the beginnings of squares along `count` elements; a last square overlaps the one before.
fn squares(k: &mut KernelBuilder, name: &str, side: usize, count: usize, body: &mut dyn FnMut(&mut KernelBuilder, Index)) {
    let whole = count / side * side;
    match whole / side {
        0 => {}
        1 => body(k, 0.into()),
        _ => k.each(name, whole, side as i64, |k, i| body(k, i.into())),
    }
    if whole < count {
        body(k, (count - side).into());
    }
}

/// Writes every word of the pixels of a tile as a row of their lanes, and behind the last a row of zeros.
pub struct Gather {
    pub numbers: Numbers,
    /// Of a square.
    pub side: usize,
    /// Of a pixel, at least a square's.
    pub words: usize,
    /// Lanes of a row.
    pub row: usize,
    pub x_pixel: usize,
    /// Pixels that there are, at least a square's; the lanes behind get such as are there before.
    pub present: usize,
    pub lanes: usize,
}

impl Gather {
    pub fn kernel(&self) -> Kernel {
        let n = &self.numbers;
        let form = if n.form == Form::Float { "f32" } else { "int" };
        let mut k = KernelBuilder::new(format!("lanes_of_pixels_{form}_{}x{}", self.words, self.present));
        let (x, y, x0) = (k.read("x"), k.write("y"), k.param("x0"));
        let side = self.side;
        let flip = n.flip(&mut k, side * n.group);
        let word_bytes = (n.group * n.memory.bytes() as usize) as i64;
        let row_bytes = (self.row * WORD_BYTES) as i64;
        let store = |k: &mut KernelBuilder, w: &Index, pixel: &Index, to: &Index| {
            let rows: Vec<Value> = (0..side)
                .map(|r| {
                    let at = (pixel.clone() + r) * self.x_pixel as i64 + w.clone() * word_bytes + x0;
                    self.words_at(k, x, at, flip)
                })
                .collect();
            for (r, v) in transposed(k, rows).into_iter().enumerate() {
                k.store(y.at((w.clone() + r) * row_bytes + to.clone() * WORD_BYTES as i64), v);
            }
        };
        squares(&mut k, "w", side, self.words, &mut |k, w| {
            // First what is behind the last pixel, since some of it is overwritten.
            let last: Index = (self.present - side).into();
            (self.present / side * side..self.lanes).step_by(side).for_each(|lane| store(k, &w, &last, &lane.into()));
            squares(k, "pixel", side, self.present, &mut |k, pixel| store(k, &w, &pixel, &pixel));
        });
        let zeros = k.int(Elem::I32.x(side), 0);
        k.each("zero", self.lanes, side as i64, |k, lane| k.store(y.at(lane * WORD_BYTES as i64 + self.words as i64 * row_bytes), zeros));
        k.finish()
    }

    /// Words of a pixel as the operation takes them.
    fn words_at(&self, k: &mut KernelBuilder, x: Arg, at: Index, flip: Option<Value>) -> Value {
        let n = &self.numbers;
        let count = self.side * n.group;
        let words = Elem::I32.x(self.side);
        match n.form {
            Form::Float if n.memory == Elem::F32 => k.load(words, x.at(at)),
            Form::Float => {
                let v = k.load(n.memory.x(self.side), x.at(at));
                let v = k.widen(v, Elem::I32);
                let v = k.to_float(v, Elem::F32);
                k.bitcast(v, words)
            }
            Form::Bytes { .. } | Form::BytePairs { .. } | Form::ByteMatrices { .. } => {
                let v = k.load(n.operand.x(count), x.at(at));
                let v = flip.map_or(v, |flip| k.xor(v, flip));
                k.bitcast(v, words)
            }
            Form::Pairs | Form::Words => {
                let v = k.load(n.memory.x(count), x.at(at));
                let v = k.widen(v, Elem::I16);
                k.bitcast(v, words)
            }
        }
    }
}

/// Sums of the lists of some output channels over the words of a tile.
pub struct Sums {
    pub numbers: Numbers,
    /// Weights in memory.
    pub stored: Elem,
    pub fma: bool,
    pub lanes: usize,
    pub vectors: usize,
    /// Lanes of a row.
    pub row: usize,
    /// The most of a chunk.
    pub channels: usize,
    /// Onto what is there already.
    pub adds: bool,
    pub words: usize,
    /// Of all lists: the largest first group and count.
    pub most: [usize; 2],
}

impl Sums {
    /// As many sums of each vector as hide the latency of an operation.
    fn sets(&self) -> usize {
        if self.vectors < 8 { TURN } else { 1 }
    }

    pub fn kernel(&self) -> Kernel {
        let n = &self.numbers;
        let form = if n.form == Form::Float { "f32" } else { "int" };
        let adds = if self.adds { "_more" } else { "" };
        let mut k = KernelBuilder::new(format!("sparse_{form}_{}x{}{adds}", self.vectors, self.lanes));
        let [x, places, weights, lists] = ["x", "places", "weights", "lists"].map(|name| k.read(name));
        let y = if self.adds { k.read_write("y") } else { k.write("y") };
        let (channels, first) = (k.param("channels"), k.param("first"));
        let acc_type = n.accumulator.x(self.lanes);
        let vector_bytes = (self.lanes * WORD_BYTES) as i64;
        let row_bytes = (self.row * WORD_BYTES) as i64;
        k.each("o", channels, 1, |k, o| {
            let list = o * LIST_BYTES as i64 + first;
            let start = k.known_index("start", Elem::I32, lists.at(list.clone()), 0, self.most[0] as i64);
            let count = k.known_index("count", Elem::I32, lists.at(list.clone() + 4), 0, self.most[1] as i64);
            let channel = k.known_index("channel", Elem::I32, lists.at(list + 8), 0, self.channels as i64 - 1);
            let at = |v: usize| channel * row_bytes + v as i64 * vector_bytes;
            let mut acc: Vec<Value> = vec![];
            for set in 0..self.sets() {
                for v in 0..self.vectors {
                    let from_memory = self.adds && set == 0;
                    acc.push(if from_memory { k.load(acc_type, y.at(at(v))) } else { self.zero(k) });
                }
            }
            let sums = k.repeat("i", Index::from(count), TURN as i64, &acc, |k, i, acc| {
                let mut acc = acc.to_vec();
                for g in 0..TURN {
                    let group = i + Index::from(start) + g;
                    let word = k.known_index("word", Elem::U16, places.at(group.clone() * 2), 0, self.words as i64);
                    let w = self.weight(k, weights, group);
                    for v in 0..self.vectors {
                        let place = x.at(word * row_bytes + v as i64 * vector_bytes);
                        let a = k.load(n.operand.x(self.lanes * n.group), place);
                        let sum = &mut acc[g % self.sets() * self.vectors + v];
                        *sum = self.product(k, *sum, a, w);
                    }
                }
                acc
            });
            for v in 0..self.vectors {
                let parts: Vec<Value> = (0..self.sets()).map(|set| sums[set * self.vectors + v]).collect();
                let sum = parts.into_iter().reduce(|a, b| k.add(a, b)).expect("one set");
                k.store(y.at(at(v)), sum);
            }
        });
        k.finish()
    }

    fn zero(&self, k: &mut KernelBuilder) -> Value {
        let ty = self.numbers.accumulator.x(self.lanes);
        if ty.elem == Elem::F32 { k.float(ty, 0.0) } else { k.int(ty, 0) }
    }

    fn weight(&self, k: &mut KernelBuilder, weights: Arg, group: Index) -> Value {
        let n = &self.numbers;
        let at = group * (n.group as i64 * i64::from(self.stored.bytes()));
        let w = k.load_splat(self.stored.x(self.lanes * n.group), n.group, weights.at(at));
        if self.stored == n.weight {
            return w;
        }
        let w = k.widen(w, Elem::I32);
        k.to_float(w, n.weight)
    }

    fn product(&self, k: &mut KernelBuilder, acc: Value, a: Value, w: Value) -> Value {
        match self.numbers.form {
            Form::Float if self.fma => k.fma(a, w, acc),
            Form::Float => {
                let product = k.mul(a, w);
                k.add(acc, product)
            }
            _ => k.dot(self.numbers.group, acc, a, w),
        }
    }
}

/// Makes results of sums.
pub struct Scatter {
    /// Sums as they are, and as the epilogue takes them.
    pub sums: Elem,
    pub accumulator: Elem,
    pub epilogue: Epilogue,
    /// Of a square; divides the lanes.
    pub side: usize,
    pub lanes: usize,
    /// Lanes of a row.
    pub row: usize,
    /// Lane of the first pixel, and how many pixels.
    pub first: usize,
    pub pixels: usize,
    pub columns: usize,
    pub y_pixel: usize,
    /// Where activations have scales: bytes from that of a pixel to the next.
    pub factor_step: Option<i64>,
    pub at_once: usize,
}

impl Scatter {
    pub fn kernel(&self, to: &Destination) -> Kernel {
        let mut k = KernelBuilder::new(format!("results_of_lanes_{}x{}", self.columns, self.pixels));
        let (sums, class) = (k.read("sums"), k.read("class"));
        let scale = (0 < self.epilogue.scale_bytes()).then(|| k.read("scale"));
        let factor = self.factor_step.map(|_| (k.read("factor"), k.read("offset")));
        let y = Output::declare(&mut k, to);
        let [c0, s0, y0] = ["c0", "s0", "y0"].map(|name| Index::from(k.param(name)));
        let f0 = self.factor_step.map(|step| (Index::from(k.param("f0")), step));
        let class_bytes = (self.lanes * self.epilogue.class_bytes(self.accumulator)) as i64;
        let scale_bytes = (self.lanes * self.epilogue.scale_bytes()) as i64;
        let element = i64::from(self.epilogue.output().bytes());
        let row_bytes = (self.row * WORD_BYTES) as i64;
        let (acc, side) = (self.accumulator, self.side);
        // A panel of so many channels, from this one on, of some pixels.
        let some = |k: &mut KernelBuilder, panel: &Index, columns: usize, pixel: &Index, pixels: usize| {
            let mut parts = vec![vec![]; side];
            for part in (0..self.lanes).step_by(side) {
                let rows: Vec<Value> = (0..side)
                    .map(|r| {
                        // What is not there is not used.
                        let row = panel.clone() * self.lanes as i64 + (part + r).min(columns - 1);
                        let at = row * row_bytes + (pixel.clone() + self.first) * WORD_BYTES as i64;
                        k.load(self.sums.x(side), sums.at(at))
                    })
                    .collect();
                transposed(k, rows).into_iter().zip(&mut parts).for_each(|(v, all)| all.push(v));
            }
            let mut waiting = vec![];
            for (i, parts) in parts.into_iter().take(pixels).enumerate() {
                let sum = joined(k, parts);
                let sum = if self.sums == acc { sum } else { k.convert(sum, acc, Rounding::TowardZero) };
                let start = k.load(acc.x(self.lanes), class.at(c0.clone() + panel.clone() * class_bytes));
                let sum = k.add(sum, start);
                let at = f0.clone().map(|(f0, step)| f0 + (pixel.clone() + i) * step);
                let tables = Tables {
                    class: Some((class, c0.clone() + panel.clone() * class_bytes)),
                    scale: scale.map(|s| (s, s0.clone() + panel.clone() * scale_bytes)),
                    factor: factor.zip(at).map(|((f, o), at)| (f.at(at.clone()), o.at(at))),
                };
                let (results, target) = self.epilogue.results(k, &tables, &[sum]);
                let out = y0.clone() + (pixel.clone() + i) * self.y_pixel as i64 + panel.clone() * (self.lanes as i64 * element);
                waiting.push((out, results));
                if waiting.len() == self.at_once.max(1) || i + 1 == pixels {
                    y.store_pixels(k, &waiting, self.at_once, target, columns);
                    waiting.clear();
                }
            }
        };
        let panel = |k: &mut KernelBuilder, panel: Index, columns: usize| {
            let whole = self.pixels / side * side;
            match whole / side {
                0 => {}
                1 => some(k, &panel, columns, &0.into(), side),
                _ => k.each("pixel", whole, side as i64, |k, pixel| some(k, &panel, columns, &pixel.into(), side)),
            }
            if whole < self.pixels {
                some(k, &panel, columns, &whole.into(), self.pixels - whole);
            }
        };
        let (full, rest) = (self.columns / self.lanes, self.columns % self.lanes);
        match full {
            0 => {}
            1 => panel(&mut k, 0.into(), self.lanes),
            _ => k.each("panel", full, 1, |k, p| panel(k, p.into(), self.lanes)),
        }
        if 0 < rest {
            panel(&mut k, full.into(), rest);
        }
        k.finish()
    }
}

/// One vector of several.
fn joined(k: &mut KernelBuilder, mut parts: Vec<Value>) -> Value {
    while 1 < parts.len() {
        parts = parts.chunks(2).map(|two| k.concat(two[0], two[1])).collect();
    }
    parts[0]
}
