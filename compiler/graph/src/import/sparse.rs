//! Sparse constants as dense ones.
//!
//! The idea: levels of the storage order are walked from the outermost in, each dense or a list of indices per node; what a path through
//! all of them ends at is the next number of the file. Everything is checked against the shape first, so that no path leaves it and all of them
//! together are no more than it has elements. What is allowed is what the reference's verifier allows (tensorflow/lite/core/tools/verifier.cc): dimensions
//! in any order, blocks of any of them in any order behind, each level dense or sparse; indices ascend.

use crate::diagnostic::{Code, Diagnostic};
use crate::tensor::TensorType;
use cranelite_schema as schema;
use std::cell::Cell;

/// Dense constants that are made of sparse ones have so many bytes in all, or so many times the file: small files must not fill the memory.
const MAX_DENSE_BYTES: usize = 64 << 20;
const MAX_GROWTH: usize = 64;

/// What is left of that for the tensors of all subgraphs.
pub struct Budget(Cell<usize>);

impl Budget {
    pub fn of_file(size_bytes: usize) -> Self {
        Budget(Cell::new(MAX_DENSE_BYTES.max(size_bytes.saturating_mul(MAX_GROWTH))))
    }

    pub fn take(&self, size_bytes: usize) -> Result<(), Diagnostic> {
        let rest = self.0.get().checked_sub(size_bytes).ok_or_else(|| {
            Diagnostic::new(Code::FEATURE, "the model's sparse and compressed constants are too large")
                .expected(format!("{} MiB of dense ones, or {MAX_GROWTH} times the file", MAX_DENSE_BYTES >> 20))
                .help("export the model with dense weights, or without compression")
        })?;
        self.0.set(rest);
        Ok(())
    }
}

/// Why a constant has no dense form.
pub enum NotDense {
    /// The file contradicts itself.
    Damaged(Diagnostic),
    /// It does not, but nothing may use the constant.
    Refused(Diagnostic),
}

/// The bytes of all elements; zeros where the file has none.
pub fn dense(ty: &TensorType, sparsity: schema::SparsityParameters, data: &[u8]) -> Result<Vec<u8>, NotDense> {
    let Some(bytes) = ty.element.bytes() else {
        let d = Diagnostic::new(Code::FEATURE, "sparse constants of elements that are smaller than bytes are not supported");
        return Err(NotDense::Refused(d.found(ty.element.name()).help("export the model with dense weights")));
    };
    decoded(ty, bytes, sparsity, data).map_err(NotDense::Damaged)
}

fn decoded(ty: &TensorType, bytes: usize, sparsity: schema::SparsityParameters, data: &[u8]) -> Result<Vec<u8>, Diagnostic> {
    let levels = levels(&ty.shape, sparsity)?;
    // As many numbers as paths.
    let mut nodes: usize = 1;
    for (i, l) in levels.iter().enumerate() {
        nodes = match &l.lists {
            None => nodes.saturating_mul(l.size),
            Some(lists) => lists.check(nodes, l.size).map_err(|(what, found)| damaged(what).found(format!("{found} of level {i}")))?,
        };
    }
    if data.len() / bytes != nodes {
        let d = damaged("there are not as many numbers as places").expected(format!("{nodes} of {bytes} bytes"));
        return Err(d.found(format!("{} bytes", data.len())));
    }
    let mut out = vec![0; ty.size_bytes()];
    let mut walk = Walk { levels: &levels, shape: &ty.shape, bytes, data: data.chunks_exact(bytes), out: &mut out };
    walk.level(0, 0, &mut vec![0; ty.rank()]);
    Ok(out)
}

/// The levels of the storage order, from the outermost in: those of the dimensions, and behind them those of blocks.
fn levels(shape: &[usize], sparsity: schema::SparsityParameters) -> Result<Vec<Level>, Diagnostic> {
    let rank = shape.len();
    let order: Vec<i32> = sparsity.traversal_order().into_iter().flatten().collect();
    let blocks: Vec<i32> = sparsity.block_map().into_iter().flatten().collect();
    let metadata: Vec<schema::DimensionMetadata> = sparsity.dim_metadata().into_iter().flatten().collect();
    let is_dimension = |d: &i32| usize::try_from(*d).is_ok_and(|d| d < rank);
    let mut once = blocks.clone();
    once.sort_unstable();
    once.dedup();
    if !blocks.iter().all(is_dimension) || once.len() != blocks.len() {
        return Err(damaged("the block map is wrong")
            .expected(format!("dimensions from 0 to {}", rank.max(1) - 1))
            .found(format!("{blocks:?}")));
    }
    let count = rank + blocks.len();
    let mut sorted = order.clone();
    let (of_shape, of_blocks) = sorted.split_at_mut(rank.min(order.len()));
    of_shape.sort_unstable();
    of_blocks.sort_unstable();
    if !sorted.into_iter().eq(0..count as i32) {
        let expected = match blocks.len() {
            0 => format!("dimensions 0 to {}, each once", rank.max(1) - 1),
            n => format!("{rank} dimensions, and {n} of blocks behind them, each once"),
        };
        return Err(damaged("the traversal order is wrong").expected(expected).found(format!("{order:?}")));
    }
    if metadata.len() != count {
        let d = damaged("the number of described dimensions is wrong");
        return Err(d.expected(count.to_string()).found(metadata.len().to_string()));
    }
    // Blocks divide dimensions, so their sizes come first.
    let mut sizes = shape.to_vec();
    let mut of_blocks = vec![];
    for (m, number) in metadata.iter().zip(&order).skip(rank) {
        let dimension = blocks[*number as usize - rank] as usize;
        match usize::try_from(m.dense_size()) {
            Ok(size @ 1..) if sizes[dimension].is_multiple_of(size) => {
                sizes[dimension] /= size;
                of_blocks.push((dimension, size));
            }
            _ => {
                let d = damaged("a block does not fit the shape");
                let expected = format!("a part of {} for dimension {dimension}", sizes[dimension]);
                return Err(d.expected(expected).found(m.dense_size().to_string()));
            }
        }
    }
    let of_shape = order[..rank].iter().map(|d| (*d as usize, sizes[*d as usize]));
    let all = of_shape.chain(of_blocks).zip(&metadata).enumerate();
    all.map(|(i, ((dimension, size), m))| {
        let lists = match m.format() {
            schema::DimensionType::DENSE if usize::try_from(m.dense_size()) == Ok(size) => None,
            schema::DimensionType::DENSE => {
                let d = damaged("a dimension does not fit the shape").expected(format!("{size} for dimension {dimension}"));
                return Err(d.found(format!("{} of level {i}", m.dense_size())));
            }
            schema::DimensionType::SPARSE_CSR => Some(LevelLists { segments: segments(m), indices: indices(m) }),
            other => return Err(damaged("the format of a dimension is not known").found(format!("number {} of level {i}", other.0))),
        };
        Ok(Level { dimension, size, lists })
    })
    .collect()
}

fn damaged(what: &str) -> Diagnostic {
    Diagnostic::new(Code::DATA, format!("a sparse constant contradicts itself: {what}"))
        .help("export the model again, or with dense weights")
}

/// Row pointers, and what they point at.
fn segments(m: &schema::DimensionMetadata) -> Vec<usize> {
    let int32 = m.array_segments_as_int_32_vector().and_then(|v| v.values());
    let uint16 = m.array_segments_as_uint_16_vector().and_then(|v| v.values());
    let uint8 = m.array_segments_as_uint_8_vector().and_then(|v| v.values());
    numbers(int32.map(|v| v.iter().collect()), uint16.map(|v| v.iter().collect()), uint8.map(|v| v.iter().collect()))
}
fn indices(m: &schema::DimensionMetadata) -> Vec<usize> {
    let int32 = m.array_indices_as_int_32_vector().and_then(|v| v.values());
    let uint16 = m.array_indices_as_uint_16_vector().and_then(|v| v.values());
    let uint8 = m.array_indices_as_uint_8_vector().and_then(|v| v.values());
    numbers(int32.map(|v| v.iter().collect()), uint16.map(|v| v.iter().collect()), uint8.map(|v| v.iter().collect()))
}
/// Negative ones become too large.
fn numbers(int32: Option<Vec<i32>>, uint16: Option<Vec<u16>>, uint8: Option<Vec<u8>>) -> Vec<usize> {
    let int32 = int32.into_iter().flatten().map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    int32.chain(uint16.into_iter().flatten().map(usize::from)).chain(uint8.into_iter().flatten().map(usize::from)).collect()
}

struct Level {
    /// Of the shape.
    dimension: usize,
    size: usize,
    /// Of a sparse level.
    lists: Option<LevelLists>,
}

/// The indices of a level's nodes.
struct LevelLists {
    /// Where the list of each node of the level above begins, and where the last one ends.
    segments: Vec<usize>,
    /// All lists.
    indices: Vec<usize>,
}

impl LevelLists {
    /// How many nodes there are below so many of the level above; otherwise what is wrong, and with what.
    fn check(&self, nodes: usize, size: usize) -> Result<usize, (&'static str, String)> {
        let LevelLists { segments, indices } = self;
        if segments.len().checked_sub(1) != Some(nodes) {
            return Err(("there is no list of indices for each place", format!("{} segments for {nodes} places", segments.len())));
        }
        if segments[0] != 0 || segments[nodes] != indices.len() {
            let found = format!("segments from {} to {} of {} indices", segments[0] as isize, segments[nodes] as isize, indices.len());
            return Err(("lists of indices leave some out, or have more than there are", found));
        }
        if let Some(i) = segments.windows(2).position(|s| s[1] < s[0]) {
            return Err(("lists of indices overlap", format!("segments {} and {}", i, i + 1)));
        }
        for (i, s) in segments.windows(2).enumerate() {
            let list = &indices[s[0]..s[1]];
            if let Some(index) = list.iter().find(|index| size <= **index) {
                return Err(("an index is out of range", format!("{} of {size}, in list {i}", *index as isize)));
            }
            if !list.is_sorted_by(|a, b| a < b) {
                return Err(("indices are out of order, or twice there", format!("list {i}")));
            }
        }
        Ok(indices.len())
    }
}

/// Of levels that have been checked.
struct Walk<'a> {
    levels: &'a [Level],
    shape: &'a [usize],
    bytes: usize,
    data: std::slice::ChunksExact<'a, u8>,
    out: &'a mut [u8],
}

impl Walk<'_> {
    /// What is below a node: `node` is its number on the level above, `at` where it is. As deep as there are dimensions.
    fn level(&mut self, level: usize, node: usize, at: &mut Vec<usize>) {
        let levels = self.levels;
        let Some(l) = levels.get(level) else {
            let place = self.shape.iter().zip(at.iter()).fold(0, |n, (size, i)| n * size + i) * self.bytes;
            // As many as paths.
            if let Some(number) = self.data.next() {
                self.out[place..][..self.bytes].copy_from_slice(number);
            }
            return;
        };
        let before = at[l.dimension];
        let (first, end) = match &l.lists {
            None => (node * l.size, (node + 1) * l.size),
            Some(lists) => (lists.segments[node], lists.segments[node + 1]),
        };
        for child in first..end {
            let i = l.lists.as_ref().map_or(child - first, |lists| lists.indices[child]);
            // A block's index counts within what the dimension's counts.
            at[l.dimension] = before * l.size + i;
            self.level(level + 1, child, at);
        }
        at[l.dimension] = before;
    }
}

#[cfg(test)]
mod tests;
