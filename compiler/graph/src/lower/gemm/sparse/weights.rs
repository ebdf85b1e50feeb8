//! The weights that are not zeros, as lists: for every block of the depth of every output channel the groups in their order, and where the words are
//! that they multiply.
//!
//! Not kernels. The idea: all lists of a product lie one after the other in two tables, and a third says where each begins and how long it is, chunk by
//! chunk and in it block by block, as the kernels run.

use super::super::Product;
use super::Arithmetic;
use crate::tensor::ElementType;
use cranelite_tile::Elem;

#[derive(Debug)]
pub struct Weights {
    /// As long as [`Arithmetic::group_bytes`] says, for every group.
    pub groups: Vec<u8>,
    /// Of a group: the number of its word, u16.
    pub words: Vec<u8>,
    /// Of every list, as i32: the number of its first group, how many groups, and of which channel of the chunk it is. The longest of a block come first, so that
    /// loops mostly end after as many turns as the one before, which branches are predicted by.
    pub lists: Vec<u8>,
    /// Byte in `lists` where those of a chunk and block begin.
    first_lists: Vec<Vec<usize>>,
    /// The largest first group, and the longest list.
    pub most: [usize; 2],
}

/// Groups of a turn: lists are multiples of them, and what is missing multiplies a word of zeros.
pub const TURN: usize = 2;

/// The bytes of a group of weights as the operation takes them, from output channel `o`; none if they are zeros.
fn group(p: &Product, arithmetic: &Arithmetic, o: usize, word: usize) -> Option<Vec<u8>> {
    let n = &arithmetic.words;
    let first = o * p.filter.shape[3] + word * n.group;
    if p.filter.element == ElementType::F32 {
        let bytes = &p.filter.data[4 * first..4 * first + 4];
        let weight = f32::from_le_bytes(bytes.try_into().expect("four bytes"));
        return (weight != 0.0).then(|| bytes.to_vec());
    }
    let zero = arithmetic.zero(p);
    let weights = p.filter.ints(first..first + n.group).map(|w| w - zero);
    let bytes: Vec<u8> = match arithmetic.stored {
        Elem::I16 => weights.flat_map(|w| (w as i16).to_le_bytes()).collect(),
        _ => weights.map(|w| w as i8 as u8).collect(),
    };
    bytes.iter().any(|b| *b != 0).then_some(bytes)
}

/// Bytes of an entry of [`Weights::lists`].
pub const LIST_BYTES: usize = 12;

impl Weights {
    /// Groups that are not zeros.
    pub fn count(p: &Product, n: &Arithmetic) -> usize {
        let words = p.filter.shape[3] / n.words.group;
        let groups = 0..p.filter.shape[0] * words;
        if p.filter.element == ElementType::F32 {
            return p.filter.data.as_chunks::<4>().0.iter().filter(|b| f32::from_le_bytes(**b) != 0.0).count();
        }
        let (size, zero) = (n.words.group, n.zero(p));
        groups.filter(|g| p.filter.ints(g * size..(g + 1) * size).any(|w| w != zero)).count()
    }

    /// For blocks of so many words and chunks of so many channels; behind the last word there are zeros.
    pub fn new(p: &Product, n: &Arithmetic, block: usize, chunk: usize) -> Weights {
        let (outputs, words) = (p.filter.shape[0], p.filter.shape[3] / n.words.group);
        let group_bytes = n.group_bytes();
        let mut all = Weights { groups: vec![], words: vec![], lists: vec![], first_lists: vec![], most: [0, 0] };
        for first in (0..outputs).step_by(chunk) {
            let mut of_chunk = vec![];
            for begin in (0..words).step_by(block) {
                of_chunk.push(all.lists.len());
                let list = |o: usize| {
                    let list = (begin..words.min(begin + block)).filter_map(|w| Some((w, group(p, n, o, w)?)));
                    let mut list: Vec<(usize, Vec<u8>)> = list.collect();
                    list.resize(list.len().next_multiple_of(TURN), (words, vec![0; group_bytes]));
                    (o - first, list)
                };
                let mut lists: Vec<_> = (first..outputs.min(first + chunk)).map(list).collect();
                lists.sort_by_key(|(_, list)| std::cmp::Reverse(list.len()));
                for (o, list) in lists {
                    let entry = [all.groups.len() / group_bytes, list.len(), o];
                    all.most = [all.most[0].max(entry[0]), all.most[1].max(entry[1])];
                    all.lists.extend(entry.iter().flat_map(|n| (*n as i32).to_le_bytes()));
                    for (w, bytes) in list {
                        all.groups.extend(bytes);
                        all.words.extend((w as u16).to_le_bytes());
                    }
                }
            }
            all.first_lists.push(of_chunk);
        }
        // The proof puts the longest list at the last place.
        let end = all.most[0] + all.most[1];
        all.groups.resize(end * group_bytes, 0);
        all.words.resize(end * 2, 0);
        all
    }

    /// Where the lists of a block of a chunk begin.
    pub fn of(&self, chunk: usize, block: usize) -> usize {
        self.first_lists[chunk][block]
    }
}
