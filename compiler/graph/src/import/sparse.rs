//! Sparse constants as dense ones.
//!
//! The idea: levels of the storage order are walked from the outermost in, each dense or a list of indices per node; what a path through
//! all of them ends at is the next number of the file. Everything is checked against the shape, so that no path leaves it and all of them
//! together are no more than it has elements.

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
            Diagnostic::new(Code::FEATURE, "the model's sparse constants are too large")
                .expected(format!("{} MiB of dense ones, or {MAX_GROWTH} times the file", MAX_DENSE_BYTES >> 20))
                .help("export the model with dense weights")
        })?;
        self.0.set(rest);
        Ok(())
    }
}

/// The bytes of all elements; zeros where the file has none.
pub fn dense(ty: &TensorType, sparsity: schema::SparsityParameters, data: &[u8]) -> Result<Vec<u8>, Diagnostic> {
    let bytes = ty.element.bytes().ok_or_else(|| damaged("elements are smaller than bytes"))?;
    let rank = ty.rank();
    let order: Vec<usize> = sparsity.traversal_order().into_iter().flatten().filter_map(|d| usize::try_from(d).ok()).collect();
    let blocks: Vec<usize> = sparsity.block_map().into_iter().flatten().filter_map(|d| usize::try_from(d).ok()).collect();
    let metadata: Vec<_> = sparsity.dim_metadata().into_iter().flatten().collect();
    let mut sorted = order.clone();
    sorted[..rank.min(order.len())].sort_unstable();
    let in_order = sorted.iter().copied().eq(0..rank + blocks.len());
    if !in_order || metadata.len() != order.len() || rank < blocks.len() || blocks.iter().any(|d| rank <= *d) {
        return Err(damaged("the order of the dimensions is not known"));
    }
    let mut sizes: Vec<usize> = ty.shape.clone();
    let mut levels = vec![];
    // Blocks divide dimensions, so their sizes come first.
    for (block, m) in blocks.iter().zip(&metadata[rank..]) {
        let size = usize::try_from(m.dense_size()).unwrap_or(0);
        if m.format() != schema::DimensionType::DENSE || size == 0 || !sizes[*block].is_multiple_of(size) {
            return Err(damaged("a block does not fit the shape"));
        }
        sizes[*block] /= size;
        levels.push(Level { dimension: *block, size, lists: None });
    }
    let outer = order[..rank].iter().zip(&metadata).map(|(&dimension, m)| {
        let lists = match m.format() {
            schema::DimensionType::DENSE if usize::try_from(m.dense_size()) == Ok(sizes[dimension]) => None,
            schema::DimensionType::SPARSE_CSR => Some([segments(m), indices(m)]),
            _ => return Err(damaged("a dimension does not fit the shape")),
        };
        if lists.as_ref().is_some_and(|[segments, _]| !segments.is_sorted()) {
            return Err(damaged("lists of indices overlap"));
        }
        Ok(Level { dimension, size: sizes[dimension], lists })
    });
    let mut levels_in_order: Vec<Level> = outer.collect::<Result<_, _>>()?;
    levels_in_order.append(&mut levels);
    let mut out = vec![0; ty.size_bytes()];
    let mut walk = Walk { levels: &levels_in_order, shape: &ty.shape, bytes, data: data.chunks_exact(bytes), out: &mut out };
    walk.level(0, 0, &mut vec![0; rank])?;
    match walk.data.next() {
        None => Ok(out),
        Some(_) => Err(damaged("there are more numbers than places")),
    }
}

fn damaged(found: &str) -> Diagnostic {
    Diagnostic::new(Code::FEATURE, "the sparse constant is not one that is supported")
        .found(found)
        .help("export the model with dense weights")
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
    /// Of a sparse level: where the list of each node of the level above begins and ends, and all lists.
    lists: Option<[Vec<usize>; 2]>,
}

struct Walk<'a> {
    levels: &'a [Level],
    shape: &'a [usize],
    bytes: usize,
    data: std::slice::ChunksExact<'a, u8>,
    out: &'a mut [u8],
}

impl Walk<'_> {
    /// What is below a node: `node` is its number on the level above, `at` where it is. As deep as there are dimensions.
    fn level(&mut self, level: usize, node: usize, at: &mut Vec<usize>) -> Result<(), Diagnostic> {
        let levels = self.levels;
        let Some(l) = levels.get(level) else {
            let place = self.shape.iter().zip(at.iter()).fold(0, |n, (size, i)| n * size + i) * self.bytes;
            let number = self.data.next().ok_or_else(|| damaged("there are fewer numbers than places"))?;
            self.out[place..][..self.bytes].copy_from_slice(number);
            return Ok(());
        };
        let before = at[l.dimension];
        let children: Box<dyn Iterator<Item = (usize, usize)>> = match &l.lists {
            None => Box::new((0..l.size).map(|i| (node * l.size + i, i))),
            Some([segments, indices]) => {
                let (Some(&first), Some(&end)) = (segments.get(node), segments.get(node + 1)) else {
                    return Err(damaged("a list of indices is absent"));
                };
                let list = indices.get(first..end).ok_or_else(|| damaged("a list of indices is absent"))?;
                if list.iter().any(|i| l.size <= *i) || !list.is_sorted_by(|a, b| a < b) {
                    return Err(damaged("indices are out of range or order"));
                }
                Box::new((first..end).zip(list.iter().copied()))
            }
        };
        for (child, i) in children {
            // A block's index counts within what the dimension's counts.
            at[l.dimension] = before * l.size + i;
            self.level(level + 1, child, at)?;
        }
        at[l.dimension] = before;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::ElementType;
    use cranelite_schema::flatbuffers::FlatBufferBuilder;

    /// Dimensions of a matrix: as many rows as it has, and in each of them the blocks that are listed.
    fn matrix(shape: [usize; 2], block: Option<i32>, segments: &[i32], indices: &[i32], data: &[u8]) -> Result<Vec<u8>, Diagnostic> {
        use schema::*;
        let mut b = FlatBufferBuilder::new();
        let rows = DimensionMetadata::create(&mut b, &DimensionMetadataArgs { dense_size: shape[0] as i32, ..Default::default() });
        let [segments, indices] = [segments, indices].map(|values| {
            let values = Some(b.create_vector(values));
            Int32Vector::create(&mut b, &Int32VectorArgs { values }).as_union_value()
        });
        let columns = DimensionMetadata::create(
            &mut b,
            &DimensionMetadataArgs {
                format: DimensionType::SPARSE_CSR,
                array_segments_type: SparseIndexVector::Int32Vector,
                array_segments: Some(segments),
                array_indices_type: SparseIndexVector::Int32Vector,
                array_indices: Some(indices),
                ..Default::default()
            },
        );
        let mut all = vec![rows, columns];
        all.extend(block.map(|n| DimensionMetadata::create(&mut b, &DimensionMetadataArgs { dense_size: n, ..Default::default() })));
        let order: Vec<i32> = (0..all.len() as i32).collect();
        let (traversal_order, dim_metadata) = (Some(b.create_vector(&order)), Some(b.create_vector(&all)));
        let block_map = block.map(|_| b.create_vector(&[1]));
        let all = SparsityParameters::create(&mut b, &SparsityParametersArgs { traversal_order, block_map, dim_metadata });
        b.finish_minimal(all);
        let sparsity = flatbuffers::root::<SparsityParameters>(b.finished_data()).expect("what the builder has written");
        dense(&crate::tensor::TensorType::new(ElementType::I8, shape), sparsity, data)
    }

    #[test]
    fn numbers_go_where_indices_say() {
        assert_eq!(matrix([2, 3], None, &[0, 2, 3], &[0, 2, 1], &[1, 2, 3]).ok(), Some(vec![1, 0, 2, 0, 3, 0]));
        assert_eq!(matrix([2, 4], Some(2), &[0, 1, 2], &[1, 0], &[1, 2, 3, 4]).ok(), Some(vec![0, 0, 1, 2, 3, 4, 0, 0]));
        assert_eq!(matrix([2, 2], None, &[0, 0, 0], &[], &[]).ok(), Some(vec![0; 4]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = [
            ("indices are out of range or order", matrix([1, 3], None, &[0, 1], &[3], &[1])),
            ("indices are out of range or order", matrix([1, 3], None, &[0, 1], &[-1], &[1])),
            ("indices are out of range or order", matrix([1, 3], None, &[0, 2], &[1, 1], &[1, 2])),
            ("a list of indices is absent", matrix([2, 3], None, &[0, 1], &[0], &[1])),
            ("a list of indices is absent", matrix([1, 3], None, &[0, 2], &[0], &[1])),
            ("lists of indices overlap", matrix([2, 3], None, &[0, 2, 1], &[0, 1], &[1, 2, 3])),
            ("a block does not fit the shape", matrix([1, 3], Some(2), &[0, 1], &[0], &[1, 2])),
            ("a block does not fit the shape", matrix([1, 4], Some(0), &[0, 1], &[0], &[1, 2])),
            ("there are fewer numbers than places", matrix([1, 3], None, &[0, 2], &[0, 1], &[1])),
            ("there are more numbers than places", matrix([1, 3], None, &[0, 1], &[0], &[1, 2])),
        ];
        for (found, result) in refused {
            assert_eq!(result.expect_err(found).found.as_deref(), Some(found));
        }
    }
}
