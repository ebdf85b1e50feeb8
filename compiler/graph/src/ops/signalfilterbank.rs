//! SignalFilterBank: weighted sums of the energies of a spectrum. Each channel has a run of frequencies with weights, and adds what the run of the
//! channel before gives with the weights that are left of one.
//!
//! u32 energies, i16 weights; the u64 sums wrap. Where runs and weights begin and how long they are is stored in the model.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{I16, U32, U64};
use crate::text::fields::fields;
use cranelite_tile::{Arg, Elem, Index, KernelBuilder, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub num_channels: usize,
    /// By channel, and one more before them: the first frequency, the first weight, and how many.
    pub frequency_starts: Vec<usize>,
    pub weight_starts: Vec<usize>,
    pub widths: Vec<usize>,
}
fields!(num_channels, frequency_starts, weight_starts, widths);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 6..=6, kept: Kept::First(3), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[U32], &[I16]], &[&[U64]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let num_channels = source.named_options()?.needed("num_channels")?;
        let table = |index: usize, what: &str| {
            let (ty, numbers) = source.signature.constant_integers(index, what)?;
            let place = format!("input {index}");
            if ty.element != I16 {
                return Err(Diagnostic::new(Code::TYPES, format!("the element type of {what} is not supported"))
                    .detail(place)
                    .expected("i16")
                    .found(ty.element.name()));
            }
            let length = checks::vector(what, ty).map_err(|d| d.detail(place.clone()))?;
            if length <= num_channels {
                return Err(Diagnostic::new(Code::OPERAND, format!("there are fewer of {what} than channels"))
                    .detail(place)
                    .expected(format!("one more than {num_channels}"))
                    .found(length.to_string()));
            }
            let count = |&n: &i64| checks::dimension(&format!("one of {what}"), n).map_err(|d| d.detail(place.clone()));
            numbers[..=num_channels].iter().map(count).collect::<Result<Vec<usize>, _>>()
        };
        Ok(Attributes {
            num_channels,
            frequency_starts: table(3, "the first frequencies")?,
            weight_starts: table(4, "the first weights")?,
            widths: table(5, "the widths")?,
        })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let mut lengths = [0; 3];
        for (i, what) in ["the energies", "the weights", "the weights that are left"].into_iter().enumerate() {
            lengths[i] = checks::vector(what, s.input(i)?).map_err(|d| d.detail(format!("input {i}")))?;
        }
        let tables = [&self.frequency_starts, &self.weight_starts, &self.widths];
        if tables.iter().any(|t| t.len() != self.num_channels.saturating_add(1)) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "there are not as many runs as channels and one more"));
        }
        for channel in 0..=self.num_channels {
            let [frequency, weight, width] = tables.map(|t| t[channel]);
            let fits = |start: usize, length: usize| start.checked_add(width).is_some_and(|end| end <= length);
            if width != 0 && !(fits(frequency, lengths[0]) && fits(weight, lengths[1].min(lengths[2]))) {
                return Err(Diagnostic::new(Code::OPERAND, "a channel of the filter bank reads what is not there")
                    .expected(format!("{} frequencies, {} weights, {} of the others", lengths[0], lengths[1], lengths[2]))
                    .found(format!("{width} from frequency {frequency} and weight {weight} on, of run {channel}")));
            }
        }
        Ok(vec![vec![self.num_channels]])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        if self.num_channels == 0 {
            return Ok(());
        }
        let [bins, weights, others] = [0, 1, 2].map(|i| cx.input_type(node, i).element_count());
        let longest = self.widths.iter().copied().max().unwrap_or(0);
        let mut k = KernelBuilder::new(format!("filter_bank_{}", self.num_channels));
        let args = ["energies", "weights", "others", "runs"].map(|name| k.read(name));
        let y = k.write("sums");
        let sums = Sums { args, bins, weights: weights.min(others), longest };
        let zero = k.int(Elem::I64.x(1), 0);
        let [_, left] = sums.run(&mut k, 0.into(), zero);
        k.repeat("channel", self.num_channels, 1, &[left], |k, channel, v| {
            let [sum, left] = sums.run(k, channel + 1, v[0]);
            k.store(y.at(channel * 8), sum);
            vec![left]
        });
        let runs = self.frequency_starts.iter().zip(&self.weight_starts).zip(&self.widths);
        let runs: Vec<i32> = runs.flat_map(|((&f, &w), &n)| [f as i32, w as i32, n as i32]).collect();
        let runs = cx.constant_i32("runs", &runs);
        let buffers = [cx.input(node, 0), cx.input(node, 1), cx.input(node, 2), runs, cx.output(node, 0)];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}

struct Sums {
    /// Energies, weights, the other weights, runs.
    args: [Arg; 4],
    bins: usize,
    weights: usize,
    longest: usize,
}

impl Sums {
    /// The sum of one run, begun with what is left of the one before, and what is left of it.
    fn run(&self, k: &mut KernelBuilder, run: Index, before: Value) -> [Value; 2] {
        let int = Elem::I32.x(1);
        let (zero, one) = (k.int(Elem::I64.x(1), 0), k.int(int, 1));
        if self.longest == 0 {
            return [before, zero];
        }
        let [frequency, weight, width] = [0, 1, 2].map(|i| k.load(int, self.args[3].at(run.clone() * 12 + i * 4)));
        let width = k.clamped_index("width", width, 0, self.longest as i64);
        let sums = k.repeat("i", width, 1, &[before, zero, frequency, weight], |k, _, v| {
            let bin = k.clamped_index("bin", v[2], 0, self.bins as i64 - 1);
            let at = k.clamped_index("weight", v[3], 0, self.weights as i64 - 1);
            let energy = k.load(Elem::U32.x(1), self.args[0].at(bin * 4));
            let energy = k.widen(energy, Elem::I64);
            let [sum, left] = [0, 1].map(|i| {
                let weight = k.load(Elem::I16.x(1), self.args[1 + i].at(at * 2));
                let weight = k.widen(weight, Elem::I64);
                let product = k.mul(weight, energy);
                k.add(v[i], product)
            });
            vec![sum, left, k.add(v[2], one), k.add(v[3], one)]
        });
        [sums[0], sums[1]]
    }
}
