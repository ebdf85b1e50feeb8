//! What of a constant is a weight, and where its output and input channels are.
//!
//! The idea: an operator's place for weights says all; what may be a bias, a shape, a table of a lookup or anything else is none. The axes are those of the
//! file format.

use cranelite_graph::import::constants::ConstantReader;

/// The axes of a tensor of weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub shape: Vec<usize>,
    /// Output channels; `None` where there are none.
    pub channel: Option<usize>,
    /// What is summed over, but for taps; `None` where each output channel has one input channel.
    pub input: Option<usize>,
}

impl Layout {
    /// Of what an operator reads; `None` if these are no weights, or not of a rank that weights have.
    pub fn of(reader: &ConstantReader, shape: &[usize]) -> Option<Layout> {
        let rank = shape.len();
        let (channel, input) = match (&reader.name[..], reader.input, rank) {
            ("FULLY_CONNECTED", 1, 2) => (Some(0), Some(1)),
            ("CONV_2D", 1, 4) | ("TRANSPOSE_CONV", 1, 4) => (Some(0), Some(3)),
            ("DEPTHWISE_CONV_2D", 1, 4) => (Some(3), None),
            ("CONV_3D", 1, 5) => (Some(4), Some(3)),
            ("CONV_3D_TRANSPOSE", 1, 5) => (Some(3), Some(4)),
            // The last two axes are rows and sums, or sums and columns.
            ("BATCH_MATMUL", 0 | 1, 2..) if (reader.input == 0) != reader.is_transposed => (Some(rank - 2), Some(rank - 1)),
            ("BATCH_MATMUL", 0 | 1, 2..) => (Some(rank - 1), Some(rank - 2)),
            ("EMBEDDING_LOOKUP", 1, 2..) => (Some(0), None),
            ("UNIDIRECTIONAL_SEQUENCE_LSTM" | "LSTM", 1..=8 | 16, 2) => (Some(0), Some(1)),
            ("BIDIRECTIONAL_SEQUENCE_LSTM", 1..=8 | 16 | 18..=25 | 33 | 40..=47, 2) => (Some(0), Some(1)),
            ("UNIDIRECTIONAL_SEQUENCE_RNN" | "RNN", 1 | 2, 2) => (Some(0), Some(1)),
            ("BIDIRECTIONAL_SEQUENCE_RNN", 1 | 2 | 5 | 6 | 10 | 11, 2) => (Some(0), Some(1)),
            ("SVDF", 1, 2) => (Some(0), Some(1)),
            ("SVDF", 2, 2) => (Some(0), None),
            _ => return None,
        };
        Some(Layout { shape: shape.to_vec(), channel, input })
    }

    pub fn channels(&self) -> usize {
        self.channel.map_or(1, |axis| self.shape[axis])
    }

    /// Of an element by its place in memory.
    pub fn channel_of(&self, element: usize) -> usize {
        self.channel.map_or(0, |axis| element / self.step(axis) % self.shape[axis])
    }

    /// The elements that differ in their input channel alone, in its order; for every output channel and tap.
    pub fn input_rows(&self) -> Option<impl Iterator<Item = impl Iterator<Item = usize> + use<>> + use<>> {
        let axis = self.input?;
        let (length, step) = (self.shape[axis], self.step(axis));
        let outer: usize = self.shape[..axis].iter().product();
        let row = move |o: usize, i: usize| (0..length).map(move |k| (o * length + k) * step + i);
        Some((0..outer).flat_map(move |o| (0..step).map(move |i| row(o, i))))
    }

    /// From one index of an axis to the next, in elements.
    fn step(&self, axis: usize) -> usize {
        self.shape[axis + 1..].iter().product()
    }
}
