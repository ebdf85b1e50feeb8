//! Encoded constants: arrays that the tests encode, what the reference's own tests decode, and streams that contradict themselves.

use super::*;
use proptest::prelude::*;

fn ty(element: ElementType, shape: &[usize]) -> TensorType {
    TensorType::new(element, shape)
}

/// Numbers of so many bits, the highest of each byte first.
fn packed(numbers: impl IntoIterator<Item = (u32, u32)>) -> Vec<u8> {
    let bits: Vec<bool> = numbers.into_iter().flat_map(|(n, bits)| (0..bits).rev().map(move |b| n >> b & 1 == 1)).collect();
    bits.chunks(8).map(|all| all.iter().enumerate().fold(0, |byte, (i, bit)| byte | u8::from(*bit) << (7 - i))).collect()
}

/// What is wrong, and with what.
fn told(result: Result<Vec<u8>, EncodedProblem>) -> (EncodedPart, String) {
    let (part, d) = result.expect_err("a problem");
    (part, format!("{}: {}; {}; {}", d.code.0, d.message, d.expected.unwrap_or_default(), d.found.unwrap_or_default()))
}

/// Elements, shape, channels, bits and values of each table, and an index for each element.
type PaletteCase = (ElementType, Vec<usize>, TableChannels, u32, usize, Vec<u8>, Vec<u32>);

fn palettes() -> impl Strategy<Value = PaletteCase> {
    let shape = prop::collection::vec(1..5usize, 1..4);
    (prop::sample::select(ELEMENTS.to_vec()), shape, 0..3usize, 1..=MOST_BITS).prop_flat_map(|(element, shape, kind, bits)| {
        let channels = match kind {
            0 => TableChannels::ONE,
            1 => TableChannels { count: shape[0], are_last: false },
            _ => TableChannels { count: shape[shape.len() - 1], are_last: true },
        };
        (Just((element, shape, channels, bits)), 1..=1usize << bits).prop_flat_map(|((element, shape, channels, bits), stride)| {
            let bytes = stride * channels.count * element.bytes().unwrap();
            let count = shape.iter().product::<usize>();
            let values = prop::collection::vec(any::<u8>(), bytes);
            let indices = prop::collection::vec(0..stride as u32, count);
            (Just(element), Just(shape), Just(channels), Just(bits), Just(stride), values, indices)
        })
    })
}

/// A prefix code: symbols and how long their codes are, in the order of the codes.
fn codes() -> impl Strategy<Value = Vec<(i16, u32)>> {
    // Where the tree's leaves are split again and again.
    prop::collection::vec(any::<prop::sample::Index>(), 0..40).prop_map(|splits| {
        let mut lengths = vec![0u32];
        for at in splits {
            let i = at.index(lengths.len());
            if lengths[i] < 15 {
                lengths[i] += 1;
                lengths.insert(i, lengths[i]);
            }
        }
        lengths.iter().enumerate().map(|(i, n)| ((i as i16).wrapping_mul(37) - 5, *n)).collect()
    })
}

/// Codes in the order of their bits: symbol, length, bits.
fn with_bits(lengths: &[(i16, u32)]) -> Vec<(i16, u32, u32)> {
    let mut next = 0u32;
    let of = |&(symbol, length): &(i16, u32)| {
        let bits = next >> (16 - length);
        next += 1 << (16 - length);
        (symbol, length, bits)
    };
    lengths.iter().map(of).collect()
}

/// Appends the table of codes of which `done` bits have been looked up.
fn table(entries: &mut Vec<u32>, codes: &[(i16, u32, u32)], done: u32, bits: u32, more: u32, value_bits: u32) {
    let first = entries.len();
    entries.resize(first + (1 << bits), 0);
    let mask = if value_bits == 11 { 0xff } else { 0xffff };
    for index in 0..1u32 << bits {
        // Of codes that are longer, those that go on with these bits.
        let goes_on = |length: u32, code: u32| {
            let rest = code & ((1u32 << (length - done)) - 1);
            if length - done <= bits { index >> (bits - (length - done)) == rest } else { rest >> (length - done - bits) == index }
        };
        let below: Vec<(i16, u32, u32)> = codes.iter().copied().filter(|(_, length, code)| goes_on(*length, *code)).collect();
        let at = first + index as usize;
        match below[..] {
            [(symbol, length, _)] if length - done <= bits => {
                entries[at] = 1 << (value_bits + 4) | (length - done) << value_bits | symbol as u32 & mask;
            }
            _ => {
                entries[at] = (more - 1) << value_bits | (entries.len() - at) as u32;
                table(entries, &below, done + bits, more, more, value_bits);
            }
        }
    }
}

fn bytes_of(entries: &[u32], is_wide: bool) -> Vec<u8> {
    entries.iter().flat_map(|e| e.to_le_bytes().into_iter().take(if is_wide { 4 } else { 2 })).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn palettes_are_looked_up((element, shape, channels, bits, stride, values, indices) in palettes()) {
        let ty = ty(element, &shape);
        let bytes = element.bytes().unwrap();
        let inner = *shape.last().unwrap();
        let of_first = indices.len() / shape[0];
        let wanted: Vec<u8> = indices.iter().enumerate().flat_map(|(i, index)| {
            let channel = if channels.count == 1 { 0 } else if channels.are_last { i % inner } else { i / of_first };
            let at = (channel * stride + *index as usize) * bytes;
            values[at..at + bytes].to_vec()
        }).collect();
        let stream = packed(indices.iter().map(|i| (*i, bits)));
        let palettes = PaletteTables { bits, stride, values: &values, channels };
        prop_assert_eq!(palettes.decode(&ty, &stream).ok(), Some(wanted));
        // Without its last byte it is told, whatever that has.
        prop_assert_eq!(told(palettes.decode(&ty, &stream[..stream.len() - 1])).0, EncodedPart::Stream);
        let short = PaletteTables { values: &values[..values.len() - 1], ..palettes };
        prop_assert_eq!(told(short.decode(&ty, &stream)).0, EncodedPart::Tables);
    }

    #[test]
    fn codes_are_read(lengths in codes(), first in 1..6u32, more in 1..5u32, is_wide: bool, is_i16: bool, at in prop::collection::vec(any::<prop::sample::Index>(), 1..60)) {
        let element = if is_wide && is_i16 { ElementType::I16 } else { ElementType::I8 };
        let codes = with_bits(&lengths);
        let mut entries = vec![];
        table(&mut entries, &codes, 0, first, more, if is_wide { 27 } else { 11 });
        let entries = bytes_of(&entries, is_wide);
        let message: Vec<(i16, u32, u32)> = at.iter().map(|i| codes[i.index(codes.len())]).collect();
        let stream = packed(message.iter().map(|(_, length, bits)| (*bits, *length)));
        let wanted = element.integer_bytes(message.iter().map(|m| i64::from(m.0)));
        let code = HuffmanTables { is_wide, first_bits: first, entries: &entries };
        let ty = ty(element, &[message.len()]);
        prop_assert_eq!(code.decode(&ty, &stream).ok(), Some(wanted));
        if !stream.is_empty() {
            prop_assert_eq!(told(code.decode(&ty, &stream[..stream.len() - 1])).0, EncodedPart::Stream);
        }
    }

    /// Whatever the bytes are: an array of the right size, or a problem.
    #[test]
    fn noise_ends(kind in 0..4u32, count in 0..40usize, stream in prop::collection::vec(any::<u8>(), 0..40), data in prop::collection::vec(any::<u8>(), 0..80), bits in 0..17u32) {
        let count = 2 * count;
        let of_i8 = ty(ElementType::I8, &[count]);
        let decoded = match kind {
            0 => PaletteTables { bits: bits % 9, stride: data.len() / 2, values: &data, channels: TableChannels { count: 2, are_last: bits < 8 } }.decode(&of_i8, &stream),
            1 => PrunedValues { values: &data, zero_points: &[3], channels: TableChannels::ONE }.decode(&of_i8, &stream),
            _ => HuffmanTables { is_wide: kind == 2, first_bits: bits.clamp(1, 16), entries: &data }.decode(&of_i8, &stream),
        };
        if let Ok(bytes) = decoded {
            prop_assert_eq!(bytes.len(), count);
        }
    }

    #[test]
    fn marks_say_what_is_left(values in prop::collection::vec(prop_oneof![Just(None), any::<i8>().prop_map(Some)], 24), kind in 0..3usize) {
        let zero_points: Vec<i64> = match kind { 0 => vec![-7], 1 => vec![5, 0, -128], _ => vec![1, 2, 3, 4] };
        let channels = TableChannels { count: zero_points.len(), are_last: kind == 2 };
        let zero = |i: usize| zero_points[match kind { 0 => 0, 1 => i / 8, _ => i % 4 }] as i8;
        let wanted: Vec<u8> = values.iter().enumerate().map(|(i, v)| v.unwrap_or(zero(i)) as u8).collect();
        let left: Vec<u8> = values.iter().flatten().map(|v| *v as u8).collect();
        let marks = packed(values.iter().map(|v| (u32::from(v.is_some()), 1)));
        let of = ty(ElementType::I8, &[3, 2, 4]);
        let pruned = PrunedValues { values: &left, zero_points: &zero_points, channels };
        prop_assert_eq!(pruned.decode(&of, &marks).ok(), Some(wanted));
        prop_assert_eq!(told(pruned.decode(&of, &marks[..2])).0, EncodedPart::Stream);
        if !left.is_empty() {
            prop_assert_eq!(told(PrunedValues { values: &left[1..], ..pruned }.decode(&of, &marks)).0, EncodedPart::Tables);
        }
    }
}

/// The vectors of decode_test.cc: 0, 1, 2, 3, 3, 2, 1, 0 in two bits each.
#[test]
fn palettes_of_the_reference() {
    let one = |stride, values| PaletteTables { bits: 2, stride, values, channels: TableChannels::ONE };
    assert_eq!(one(4, &[1, 2, 3, 4]).decode(&ty(ElementType::I8, &[1, 2, 4]), &[0x1b, 0xe4]).ok(), Some(vec![1, 2, 3, 4, 4, 3, 2, 1]));
    let values = ElementType::I16.integer_bytes([5, 6, 7, 8]);
    let wanted = ElementType::I16.integer_bytes([5, 6, 7, 8, 8, 7, 6, 5]);
    assert_eq!(one(4, &values).decode(&ty(ElementType::I16, &[1, 2, 4]), &[0x1b, 0xe4]).ok(), Some(wanted));
}

/// The code of decode_state_huffman_test.cc, whose symbols are the letters from a to p.
#[test]
fn a_code_of_the_reference() {
    let codes = "m 000 a 001 j 010 o 0110 h 0111 d 1000 i 10010 f 10011 c 1010 g 101100 l 101101 k 10111 e 1100 b 1101 p 1110 n 1111";
    let words: Vec<&str> = codes.split(' ').collect();
    let text = "nmmacnanefdacopjomeckifookhbdbdmjjdmjgojfecpbiibmanbbjbnlgjafejp";
    let code_of = |letter: char| words[words.iter().position(|w| *w == letter.to_string()).expect("a letter") + 1];
    let stream = packed(text.chars().map(code_of).map(|c| (u32::from_str_radix(c, 2).expect("bits"), c.len() as u32)));
    // Its tables, whose second entries lead to others; where both bits of one are the same symbol, the second bit is given back.
    let entry = |symbol: char, count: u32| 1 << 31 | count << 27 | symbol as u32;
    let to = |count: u32, offset: u32| count << 27 | offset;
    let first = [entry('m', 3), entry('a', 3), entry('j', 3), to(0, 5), to(1, 6), to(1, 9), to(0, 14), to(0, 15)];
    let rest = [
        [entry('o', 1), entry('h', 1)],
        [entry('d', 1), entry('d', 1)],
        [entry('i', 2), entry('f', 2)],
        [entry('c', 1), entry('c', 1)],
        [to(0, 2), entry('k', 2)],
        [entry('g', 1), entry('l', 1)],
        [entry('e', 1), entry('b', 1)],
        [entry('p', 1), entry('n', 1)],
    ];
    let wide: Vec<u32> = [&first[..], &rest.concat()].concat();
    let narrow: Vec<u32> = wide.iter().map(|e| e >> 16 & 0xf800 | e & 0x7ff).collect();
    let (wide, narrow) = (bytes_of(&wide, true), bytes_of(&narrow, false));
    let read = |is_wide, element, entries: &[u8]| {
        let code = HuffmanTables { is_wide, first_bits: 3, entries };
        code.decode(&ty(element, &[64]), &stream)
    };
    assert_eq!(read(true, ElementType::I8, &wide).ok().as_deref(), Some(text.as_bytes()));
    assert_eq!(read(false, ElementType::I8, &narrow).ok().as_deref(), Some(text.as_bytes()));
    let of_i16 = ElementType::I16.integer_bytes(text.bytes().map(i64::from));
    assert_eq!(read(true, ElementType::I16, &wide).ok(), Some(of_i16));
    // As there, 16 bits of an entry are too few for symbols of 16.
    let found = "E0202: the element type of a constant with a Huffman code is not supported; i8, or a table of 32 bits; i16";
    assert_eq!(told(read(false, ElementType::I16, &narrow)), (EncodedPart::Type, found.into()));
    let found = "E0107: a code leads behind the tables of the Huffman code; 23 entries; entry 23";
    assert_eq!(told(read(true, ElementType::I8, &wide[..92])), (EncodedPart::Tables, found.into()));
}

#[test]
fn what_contradicts_itself_is_told() {
    let of_i8 = ty(ElementType::I8, &[4]);
    let palettes = |bits, stride, values: &[u8], stream: &[u8]| {
        told(PaletteTables { bits, stride, values, channels: TableChannels::ONE }.decode(&of_i8, stream))
    };
    let behind = "E0107: an index lies behind the palette; less than 3; 3 of element 3";
    assert_eq!(palettes(2, 3, &[7, 8, 9, 10], &[0x1b]), (EncodedPart::Stream, behind.into()));
    let width = |bits: u32| format!("E0107: indices of a palette have a width that is not possible; 1 to 7 bits; {bits}");
    assert_eq!(palettes(0, 1, &[7], &[0]), (EncodedPart::Tables, width(0)));
    assert_eq!(palettes(8, 1, &[7], &[0; 4]), (EncodedPart::Tables, width(8)));
    let values = "E0107: the values of a palette are not all there; 1 tables of 4 values of 1 bytes; 3 bytes";
    assert_eq!(palettes(2, 4, &[7, 8, 9], &[0x1b]), (EncodedPart::Tables, values.into()));
    assert_eq!(palettes(2, 0, &[7, 8, 9], &[0x1b]), (EncodedPart::Tables, "E0107: a palette has no values; ; ".into()));
    assert_eq!(palettes(3, 8, &[0; 8], &[0]), (EncodedPart::Stream, "E0107: the encoded constant ends early; 2 bytes; 1".into()));
    let two = PaletteTables { bits: 1, stride: 2, values: &[1, 2, 3, 4], channels: TableChannels { count: 2, are_last: false } };
    assert_eq!(two.decode(&of_i8, &[0b0110_0000]).ok(), Some(vec![1, 2, 4, 3]));
    assert_eq!(told(two.decode(&ty(ElementType::U8, &[4]), &[0])).0, EncodedPart::Type);

    let pruned = |element, values: &[u8], zero_points: &[i64], marks: &[u8]| {
        told(PrunedValues { values, zero_points, channels: TableChannels::ONE }.decode(&ty(element, &[4]), marks))
    };
    let values = "E0107: the values of a pruned constant are not all there; one for each set bit, of which element 2 has one more; 1";
    assert_eq!(pruned(ElementType::I8, &[1], &[], &[0b1010_0000]), (EncodedPart::Tables, values.into()));
    let zero = "E0106: zero points of a pruned constant that is not of i8 must be zero; ; 1";
    assert_eq!(pruned(ElementType::I16, &[1, 0], &[1], &[0b1000_0000]), (EncodedPart::Type, zero.into()));

    let huffman = |entries: &[u8], stream: &[u8]| told(HuffmanTables { is_wide: false, first_bits: 1, entries }.decode(&of_i8, stream));
    // A symbol of one bit, and a table that leads to itself.
    let entries = bytes_of(&[0x8801, 0x0000], false);
    assert_eq!(huffman(&entries, &[0b0001_0000]), (EncodedPart::Stream, "E0107: the encoded constant ends early; 4 symbols; 3".into()));
    assert_eq!(huffman(&entries, &[]), (EncodedPart::Stream, "E0107: the encoded constant ends early; 4 symbols; 0".into()));
    assert_eq!(
        huffman(&[], &[0]),
        (EncodedPart::Tables, "E0107: a code leads behind the tables of the Huffman code; 0 entries; entry 0".into())
    );
}
