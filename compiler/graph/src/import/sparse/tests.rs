//! Sparse constants: an encoder of dense ones, by any order of dimensions and blocks, and what contradicts itself.

use super::*;
use crate::tensor::ElementType;
use cranelite_schema::flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};
use proptest::prelude::*;
use schema::SparseIndexVector;

/// How a level is written.
#[derive(Clone, Debug)]
struct Metadata {
    dense_size: i32,
    lists: Option<[Vec<i32>; 2]>,
    /// 0 to 2 for 32, 16 and 8 bits.
    width: usize,
}

#[derive(Clone, Debug)]
struct Sparsity {
    order: Vec<i32>,
    blocks: Vec<i32>,
    levels: Vec<Metadata>,
}

type IndexVector = (SparseIndexVector, Option<WIPOffset<UnionWIPOffset>>);

fn write_list(b: &mut FlatBufferBuilder<'static>, values: &[i32], width: usize) -> IndexVector {
    use schema::*;
    match width {
        0 => {
            let values = Some(b.create_vector(values));
            (SparseIndexVector::Int32Vector, Some(Int32Vector::create(b, &Int32VectorArgs { values }).as_union_value()))
        }
        1 => {
            let values: Vec<u16> = values.iter().map(|v| *v as u16).collect();
            let values = Some(b.create_vector(&values));
            (SparseIndexVector::Uint16Vector, Some(Uint16Vector::create(b, &Uint16VectorArgs { values }).as_union_value()))
        }
        _ => {
            let values: Vec<u8> = values.iter().map(|v| *v as u8).collect();
            let values = Some(b.create_vector(&values));
            (SparseIndexVector::Uint8Vector, Some(Uint8Vector::create(b, &Uint8VectorArgs { values }).as_union_value()))
        }
    }
}

impl Sparsity {
    fn read(&self, element: ElementType, shape: &[usize], data: &[u8]) -> Result<Vec<u8>, NotDense> {
        use schema::*;
        let mut b = FlatBufferBuilder::new();
        let mut all = vec![];
        for m in &self.levels {
            let mut args = DimensionMetadataArgs { dense_size: m.dense_size, ..Default::default() };
            if let Some([segments, indices]) = &m.lists {
                args.format = DimensionType::SPARSE_CSR;
                (args.array_segments_type, args.array_segments) = write_list(&mut b, segments, m.width);
                (args.array_indices_type, args.array_indices) = write_list(&mut b, indices, m.width);
            }
            all.push(DimensionMetadata::create(&mut b, &args));
        }
        let (traversal_order, dim_metadata) = (Some(b.create_vector(&self.order)), Some(b.create_vector(&all)));
        let block_map = (!self.blocks.is_empty()).then(|| b.create_vector(&self.blocks));
        let all = SparsityParameters::create(&mut b, &SparsityParametersArgs { traversal_order, block_map, dim_metadata });
        b.finish_minimal(all);
        let sparsity = flatbuffers::root::<SparsityParameters>(b.finished_data()).expect("what the builder has written");
        dense(&crate::tensor::TensorType::new(element, shape), sparsity, data)
    }
}

/// A dense constant, and how it is written: dimensions that have blocks and the sizes of these, the order of dimensions and of blocks behind them, which levels
/// are lists of what is not all zeros, and how wide the numbers in there are.
#[derive(Clone, Debug)]
struct Case {
    element: ElementType,
    shape: Vec<usize>,
    blocks: Vec<usize>,
    of_blocks: Vec<usize>,
    order: Vec<usize>,
    sparse: Vec<bool>,
    width: usize,
    data: Vec<u8>,
}

/// The same as the format has it.
fn encode(case: &Case) -> (Sparsity, Vec<u8>) {
    let Case { element, shape, blocks, of_blocks, order, sparse, width, data } = case;
    let bytes = element.bytes().expect("whole bytes");
    let mut sizes = shape.to_vec();
    blocks.iter().zip(of_blocks).for_each(|(d, n)| sizes[*d] /= n);
    sizes.extend(of_blocks);
    // Index of every dimension and block, for each node of a level.
    let mut nodes: Vec<Vec<usize>> = vec![vec![0; sizes.len()]];
    let element = |at: &[usize]| {
        let outer = |d: usize| blocks.iter().position(|b| *b == d).map_or(at[d], |b| at[d] * of_blocks[b] + at[shape.len() + b]);
        let place = (0..shape.len()).fold(0, |n, d| n * shape[d] + outer(d)) * bytes;
        &data[place..place + bytes]
    };
    // Whether anything below is not zero, where the levels from `level` on are open.
    fn lives(at: &mut Vec<usize>, open: &[usize], sizes: &[usize], element: &dyn Fn(&[usize]) -> bool) -> bool {
        let Some((d, rest)) = open.split_first() else { return element(at) };
        let found = (0..sizes[*d]).any(|i| {
            at[*d] = i;
            lives(at, rest, sizes, element)
        });
        at[*d] = 0;
        found
    }
    let mut levels = vec![];
    for (l, &d) in order.iter().enumerate() {
        let mut next = vec![];
        let (mut segments, mut indices) = (vec![0], vec![]);
        for node in &nodes {
            for i in 0..sizes[d] {
                let mut at = node.clone();
                at[d] = i;
                let is_written = !sparse[l] || lives(&mut at.clone(), &order[l + 1..], &sizes, &|at| element(at).iter().any(|b| *b != 0));
                if is_written {
                    indices.push(i as i32);
                    next.push(at);
                }
            }
            segments.push(indices.len() as i32);
        }
        nodes = next;
        let is_block = shape.len() <= d;
        let dense_size = if sparse[l] && !is_block { 0 } else { sizes[d] as i32 };
        // Lists of short numbers only where these suffice.
        let width = if indices.len() < 256 { *width } else { 0 };
        levels.push(Metadata { dense_size, lists: sparse[l].then_some([segments, indices]), width });
    }
    let numbers = nodes.iter().flat_map(|at| element(at).to_vec()).collect();
    let order = order.iter().map(|d| *d as i32).collect();
    (Sparsity { order, blocks: blocks.iter().map(|d| *d as i32).collect(), levels }, numbers)
}

fn cases() -> impl Strategy<Value = Case> {
    let elements = prop::sample::select(vec![ElementType::I8, ElementType::I16, ElementType::F16, ElementType::F32, ElementType::I64]);
    (elements, 1..5usize).prop_flat_map(|(element, rank)| {
        let dimensions: Vec<usize> = (0..rank).collect();
        let outer = prop::collection::vec(1..4usize, rank);
        let blocks = Just(dimensions.clone()).prop_shuffle().prop_flat_map(move |all| (0..=rank).prop_map(move |n| all[..n].to_vec()));
        let order = Just(dimensions).prop_shuffle();
        (Just(element), outer, blocks, order).prop_flat_map(move |(element, outer, blocks, order)| {
            let of_blocks = prop::collection::vec(1..4usize, blocks.len());
            let order_of_blocks = Just((rank..rank + blocks.len()).collect::<Vec<_>>()).prop_shuffle();
            let sparse = prop::collection::vec(any::<bool>(), rank + blocks.len());
            (Just((element, outer, blocks, order)), of_blocks, order_of_blocks, sparse, 0..3usize).prop_flat_map(
                |((element, mut shape, blocks, order), of_blocks, of_order, sparse, width)| {
                    blocks.iter().zip(&of_blocks).for_each(|(d, n)| shape[*d] *= n);
                    let bytes = shape.iter().product::<usize>() * element.bytes().unwrap();
                    let data = prop::collection::vec(prop_oneof![3 => Just(0u8), 1 => any::<u8>()], bytes);
                    let order = [order, of_order].concat();
                    data.prop_map(move |data| Case {
                        element,
                        shape: shape.clone(),
                        blocks: blocks.clone(),
                        of_blocks: of_blocks.clone(),
                        order: order.clone(),
                        sparse: sparse.clone(),
                        width,
                        data,
                    })
                },
            )
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_is_encoded_is_read(case in cases()) {
        let (sparsity, numbers) = encode(&case);
        prop_assert_eq!(sparsity.read(case.element, &case.shape, &numbers).ok(), Some(case.data));
    }

    /// One wrong number anywhere ends in a problem or in an array of the right size.
    #[test]
    fn what_is_damaged_ends(case in cases(), at: prop::sample::Index, number in -2..5i32) {
        let (mut sparsity, numbers) = encode(&case);
        let mut all: Vec<&mut i32> = sparsity.order.iter_mut().chain(&mut sparsity.blocks).collect();
        for m in &mut sparsity.levels {
            all.push(&mut m.dense_size);
            all.extend(m.lists.iter_mut().flatten().flatten());
        }
        let at = at.index(all.len());
        *all[at] = number;
        if let Ok(dense) = sparsity.read(case.element, &case.shape, &numbers) {
            prop_assert_eq!(dense.len(), case.data.len());
        }
    }
}

/// Dimensions of a matrix: as many rows as it has, and in each of them the blocks that are listed.
fn matrix(shape: [usize; 2], block: Option<i32>, segments: &[i32], indices: &[i32]) -> Sparsity {
    let level = |dense_size| Metadata { dense_size, lists: None, width: 0 };
    let mut levels = vec![level(shape[0] as i32), Metadata { lists: Some([segments.to_vec(), indices.to_vec()]), ..level(0) }];
    levels.extend(block.map(level));
    Sparsity { order: (0..levels.len() as i32).collect(), blocks: block.iter().map(|_| 1).collect(), levels }
}

#[test]
fn numbers_go_where_indices_say() {
    let read = |shape: [usize; 2], s: Sparsity, data: &[u8]| s.read(ElementType::I8, &shape, data).ok();
    assert_eq!(read([2, 3], matrix([2, 3], None, &[0, 2, 3], &[0, 2, 1]), &[1, 2, 3]), Some(vec![1, 0, 2, 0, 3, 0]));
    assert_eq!(read([2, 4], matrix([2, 4], Some(2), &[0, 1, 2], &[1, 0]), &[1, 2, 3, 4]), Some(vec![0, 0, 1, 2, 3, 4, 0, 0]));
    assert_eq!(read([2, 2], matrix([2, 2], None, &[0, 0, 0], &[]), &[]), Some(vec![0; 4]));
}

/// What is said of a matrix of bytes: what is wrong, and with what.
fn said(shape: [usize; 2], data: &[u8], sparsity: &Sparsity) -> String {
    match sparsity.read(ElementType::I8, &shape, data) {
        Err(NotDense::Damaged(d)) => {
            assert_eq!(d.code, Code::DATA);
            let what = d.message.strip_prefix("a sparse constant contradicts itself: ").expect("how all of these begin");
            format!("{what}; {}", d.found.unwrap_or_default())
        }
        Err(NotDense::Refused(d)) => panic!("{d}"),
        Ok(dense) => panic!("{dense:?}"),
    }
}

#[test]
fn what_contradicts_itself_is_told() {
    let lists = |shape: [usize; 2], block: Option<i32>, segments: &[i32], indices: &[i32], data: &[u8]| {
        said(shape, data, &matrix(shape, block, segments, indices))
    };
    assert_eq!(lists([1, 3], None, &[0, 1], &[3], &[1]), "an index is out of range; 3 of 3, in list 0 of level 1");
    assert_eq!(lists([1, 3], None, &[0, 1], &[-1], &[1]), "an index is out of range; -1 of 3, in list 0 of level 1");
    assert_eq!(lists([2, 3], None, &[0, 0, 2], &[1, 1], &[1, 2]), "indices are out of order, or twice there; list 1 of level 1");
    assert_eq!(lists([2, 3], None, &[0, 0, 2], &[2, 1], &[1, 2]), "indices are out of order, or twice there; list 1 of level 1");
    assert_eq!(lists([2, 3], None, &[0, 1], &[0], &[1]), "there is no list of indices for each place; 2 segments for 2 places of level 1");
    assert_eq!(lists([1, 3], None, &[], &[], &[]), "there is no list of indices for each place; 0 segments for 1 places of level 1");
    let out = "lists of indices leave some out, or have more than there are; segments from";
    assert_eq!(lists([1, 3], None, &[0, 2], &[0], &[1]), format!("{out} 0 to 2 of 1 indices of level 1"));
    assert_eq!(lists([1, 3], None, &[1, 2], &[0, 1], &[1]), format!("{out} 1 to 2 of 2 indices of level 1"));
    assert_eq!(lists([2, 3], None, &[0, 3, 2], &[0, 1], &[1, 2]), "lists of indices overlap; segments 1 and 2 of level 1");
    assert_eq!(lists([1, 3], Some(2), &[0, 1], &[0], &[1, 2]), "a block does not fit the shape; 2");
    assert_eq!(lists([1, 4], Some(0), &[0, 1], &[0], &[1, 2]), "a block does not fit the shape; 0");
    assert_eq!(lists([1, 4], Some(-2), &[0, 1], &[0], &[1, 2]), "a block does not fit the shape; -2");
    assert_eq!(lists([1, 3], None, &[0, 2], &[0, 1], &[1]), "there are not as many numbers as places; 1 bytes");
    assert_eq!(lists([1, 3], None, &[0, 1], &[0], &[1, 2]), "there are not as many numbers as places; 2 bytes");
    let changed = |change: &dyn Fn(&mut Sparsity)| {
        let mut s = matrix([2, 4], Some(2), &[0, 1, 2], &[1, 0]);
        change(&mut s);
        said([2, 4], &[1, 2, 3, 4], &s)
    };
    assert_eq!(changed(&|s| s.levels[0].dense_size = 3), "a dimension does not fit the shape; 3 of level 0");
    for order in [vec![], vec![0, 1], vec![0, 0, 2], vec![0, 2, 1], vec![0, 1, 3], vec![0, -1, 2], vec![0, 1, 2, 3]] {
        assert_eq!(changed(&|s| s.order = order.clone()), format!("the traversal order is wrong; {order:?}"));
    }
    for blocks in [vec![2], vec![-1], vec![1, 1]] {
        assert_eq!(changed(&|s| s.blocks = blocks.clone()), format!("the block map is wrong; {blocks:?}"));
    }
    assert_eq!(changed(&|s| s.blocks = vec![]), "the traversal order is wrong; [0, 1, 2]");
    assert_eq!(changed(&|s| _ = s.levels.pop()), "the number of described dimensions is wrong; 2");
    assert_eq!(changed(&|s| s.levels.push(s.levels[0].clone())), "the number of described dimensions is wrong; 4");
    // Lists of one kind of numbers, of which there are none: as if they were empty.
    assert_eq!(
        changed(&|s| s.levels[1].lists = Some([vec![], vec![]])),
        "there is no list of indices for each place; 0 segments for 2 places of level 1"
    );
}

/// Elements that have no bytes of their own.
#[test]
fn half_bytes_are_refused() {
    let refused = matrix([1, 3], None, &[0, 1], &[0]).read(ElementType::I4, &[1, 3], &[1]);
    assert!(matches!(refused, Err(NotDense::Refused(d)) if d.code == Code::FEATURE && d.found.as_deref() == Some("i4")));
}
