//! Coders on any bytes, their kernels beside what Rust decodes, and programs that compute the same with packed constants.

use super::decoders::add_constant;
use super::*;
use crate::builder::KernelBuilder;
use crate::index::Index;
use crate::machine::{ByteDot, Machine};
use crate::program::{Buffer, BufferId, Call, KernelId, Role, Step};
use crate::types::Elem;
use crate::{interpret, verify};
use proptest::prelude::*;

fn machines() -> [Machine; 3] {
    [0, 16, 64].map(|bytes| Machine::example(bytes, ByteDot::S8S8, false, false))
}

fn content(data: Vec<u8>, number_bytes: u32) -> Content {
    Content { data: data.into(), number_bytes: Some(number_bytes) }
}

/// A program that copies a constant to its output, in two operators with something in between.
fn copying(data: &[u8]) -> Program {
    let mut program = Program::default();
    let constant = add_constant(&mut program, "weights".into(), Bytes::copy_from_slice(data));
    for i in 0..2 {
        program.buffers.push(Buffer {
            name: "y".into(),
            role: Role::Output(i),
            size_bytes: data.len() as u64,
            align: 4,
            data: None,
            view: None,
            offset_bytes: None,
        });
    }
    let mut k = KernelBuilder::new("copy");
    let (x, y) = (k.read("x"), k.write("y"));
    k.each("i", data.len(), 1, |k, i| {
        let v = k.load(Elem::U8.x(1), x.at(i));
        k.store(y.at(i), v);
    });
    program.kernels.push(k.finish());
    for i in 0..2 {
        let buffers = vec![constant, BufferId(1 + i)];
        let call = Call { kernel: KernelId(0), buffers, params: vec![], advance: vec![], operator: Some(i) };
        program.schedule.push(Step::Call(call));
    }
    program
}

/// Packs a constant and asks the verifier, the planner and the interpreter. Answers how it was packed.
fn check(data: &[u8], number_bytes: u32, prefer: Prefer) -> Option<(String, u64)> {
    let packing = Packing::of(vec![content(data.to_vec(), number_bytes)], prefer).expect("decodes to the same");
    let packed = packing.constants.first()?;
    assert_eq!(packing.size_bytes(), packed.packed_bytes, "{}", packed.scheme());
    for machine in &machines() {
        let mut program = copying(data);
        assert_eq!(into_scratch(&mut program, machine, &packing).len(), 2);
        crate::arena::plan(&mut program);
        crate::arena::check(&program).expect("the plan is right");
        verify::verify(&program).expect("proved");
        let mut outputs = [vec![0u8; data.len()], vec![0u8; data.len()]];
        let [a, b] = &mut outputs;
        interpret::run(&program, &[], &mut [a, b]).expect("runs");
        assert!(outputs.iter().all(|o| o == data), "{} with {}", packed.scheme(), machine.name);
    }
    let prepared = Prepared::of(packing.clone());
    for machine in &machines() {
        let header: Vec<u8> = (0..64).collect();
        let program = prepared.program(machine, &header);
        verify::verify(&program).expect("proved");
        let mut memory = vec![];
        let last = program.schedule.len() - 1;
        let observe = |call: usize, view: &interpret::View| {
            if call == last {
                memory = view.bytes(BufferId(0)).to_vec();
            }
        };
        interpret::run_observed(&program, &[], &mut [], observe).expect("runs");
        assert_eq!((&memory[..64], &memory[64..]), (&header[..], &prepared.image[64..]));
        assert!(memory[prepared.places[&packed.content.data] as usize..].starts_with(data));
    }
    Some((packed.scheme(), packed.packed_bytes))
}

/// Bytes that look random, each below `most`.
fn noise(count: usize, most: u32) -> Vec<u8> {
    let mut x = 1u32;
    let mut next = || {
        x = x.wrapping_mul(1664525).wrapping_add(1013904223);
        (x >> 16) % most
    };
    (0..count).map(|_| next() as u8).collect()
}

/// Near 0 mostly, as weights are.
fn weights(count: usize) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = (0..6).map(|i| noise(count + i, 31)[i..].to_vec()).collect();
    (0..count).map(|i| parts.iter().map(|p| i32::from(p[i])).sum::<i32>().wrapping_sub(90) as u8).collect()
}

#[test]
fn every_width_of_bits() {
    for bits in 1..=7u32 {
        for count in [1536, 1537, 1795, 9000] {
            let near: Vec<u8> = noise(count, 1 << bits).iter().map(|b| b.wrapping_sub(1 << (bits - 1))).collect();
            let (scheme, bytes) = check(&near, 1, Prefer::Small).expect("saves something");
            assert_eq!(scheme, format!("{bits} bits"));
            assert!(bytes <= count as u64 * u64::from(bits) / 8 + 16 + 64 * u64::from(bits), "{bits} {count}: {bytes}");
        }
        // Far apart: a palette of bytes.
        let far: Vec<u8> = noise(4096, 1 << bits).iter().map(|b| b.wrapping_mul(97).wrapping_add(5)).collect();
        let (scheme, _) = check(&far, 1, Prefer::Small).expect("saves something");
        assert!(scheme.starts_with(&format!("palette of {bits} bits")) || bits == 1 && scheme.ends_with("bits"), "{scheme}");
    }
}

#[test]
fn palettes_of_long_numbers() {
    for bits in [1, 3, 4, 7] {
        let indices = noise(3000, 1 << bits);
        let floats: Vec<u8> = indices.iter().flat_map(|i| (f32::from(*i) * 0.37 - 1.5).to_le_bytes()).collect();
        let (scheme, bytes) = check(&floats, 4, Prefer::Quick).expect("saves something");
        assert_eq!(scheme, format!("palette of {bits} bits, 4 bytes each"));
        assert!(bytes < 3000 * u64::from(bits as u32) / 8 + 1100 + 16 * u64::from(bits as u32));
        let words: Vec<u8> = indices.iter().flat_map(|i| (u16::from(*i) * 311 + 7).to_le_bytes()).collect();
        assert_eq!(check(&words, 2, Prefer::Quick).expect("saves something").0, format!("palette of {bits} bits, 2 bytes each"));
    }
}

#[test]
fn half_floats() {
    let halves = |count: usize| -> Vec<u8> { noise(2 * count, 256).chunks(2).flat_map(|b| f16(b[0], b[1]).to_le_bytes()).collect() };
    for count in [1024, 1025, 3001] {
        let floats = halves(count);
        assert_eq!(check(&floats, 4, Prefer::Quick), Some(("half floats".into(), (count as u64).next_multiple_of(16) * 2)));
        // One number with a bit more; one that is no number, and would become quiet.
        for bits in [1.0001f32.to_bits(), 0x7f80_2000] {
            let mut more = floats.clone();
            more[4 * 77..][..4].copy_from_slice(&bits.to_le_bytes());
            assert_ne!(check(&more, 4, Prefer::Quick).map(|c| c.0), Some("half floats".into()));
        }
        // Numbers of other lengths.
        assert_ne!(check(&floats, 2, Prefer::Quick).map(|c| c.0), Some("half floats".into()));
    }
    // Few of them are a palette.
    let few: Vec<u8> = noise(4096, 16).iter().flat_map(|b| f32::from(*b).to_le_bytes()).collect();
    assert_eq!(check(&few, 4, Prefer::Quick).expect("saves something").0, "palette of 4 bits, 4 bytes each");
}

/// Any that is not signalling.
fn f16(low: u8, high: u8) -> f32 {
    let bits = u16::from_le_bytes([low, high]);
    ::half::f16::from_bits(if bits & 0x7c00 == 0x7c00 && bits & 0x3ff != 0 { bits | 0x200 } else { bits }).to_f32()
}

#[test]
fn entropy_is_near_its_bound() {
    for data in [weights(20_000), noise(20_000, 200).iter().map(|b| if *b < 180 { 0 } else { *b }).collect(), vec![7; 5000]] {
        let bound = bound_bytes(&content(data.clone(), 1));
        let (scheme, bytes) = check(&data, 1, Prefer::Small).expect("saves something");
        assert!(scheme == "entropy" || bound == 0, "{scheme}");
        assert!(bytes <= bound + bound / 50 + 600 || bound == 0, "{bytes} bytes, and the bound is {bound}");
    }
    // Floats near each other: their highest bytes are.
    let floats: Vec<u8> = weights(4000).iter().flat_map(|b| (f32::from(*b as i8) * 0.00371 + 0.00001).to_le_bytes()).collect();
    assert!(check(&floats, 4, Prefer::Small).is_some());
    let random: Vec<u8> = noise(4 * 4000, 256).chunks(4).flat_map(|b| [b[0], b[1], b[2] & 0x7f, 0x3c + (b[3] & 3)]).collect();
    assert_eq!(check(&random, 4, Prefer::Small).expect("saves something").0, "entropy of 4 planes");
}

#[test]
fn what_saves_nothing_stays() {
    assert_eq!(check(&noise(8192, 256), 1, Prefer::Small), None);
    assert_eq!(check(&[], 1, Prefer::Small), None);
}

/// Whatever stands in the archive, the kernel stays in its memory, and what it writes is compared.
#[test]
fn damaged_streams_stay_in_bounds_and_are_found() {
    let data = weights(9001);
    let packing = Packing::of(vec![content(data.clone(), 1)], Prefer::Small).expect("decodes to the same");
    let mut found = 0;
    for seed in 0..60usize {
        let mut damaged = packing.clone();
        let word = seed * 7919 % damaged.archive.len();
        let value = damaged.archive[word] ^ (1 << (seed % 16)) ^ if seed % 3 == 0 { 0xff00 } else { 0 };
        damaged.damage(word, value);
        let decoded = damaged.decoded(&damaged.constants[0]);
        let mut program = copying(&data);
        into_scratch(&mut program, &machines()[0], &damaged);
        verify::verify(&program).expect("proved");
        let mut outputs = [vec![0u8; data.len()], vec![0u8; data.len()]];
        let [a, b] = &mut outputs;
        interpret::run(&program, &[], &mut [a, b]).expect("in bounds");
        // The kernel and the decoder that compares agree on nonsense, too.
        assert!(outputs.iter().all(|o| decoded.starts_with(o)), "word {word}");
        found += usize::from(!decoded.starts_with(&data));
    }
    assert!(50 < found, "{found} of 60 were found");
}

#[test]
fn an_arena_that_is_too_small_leaves_constants_as_they_are() {
    let data = noise(4096, 16);
    let program = copying(&data);
    let machine = &machines()[1];
    let packing = Packing::of(vec![content(data, 1)], Prefer::Quick).expect("decodes to the same");
    let programs = [(&program, machine)];
    assert_eq!(packing.within(&programs, 1000, Prefer::Quick).expect("packs").constants.len(), 0);
    assert_eq!(packing.within(&programs, 5000, Prefer::Quick).expect("packs").constants.len(), 1);
    // It would take more than it saves.
    assert_eq!(packing.fewest_in_all(&programs, Prefer::Small).expect("packs").constants.len(), 0);
}

/// A program that copies vectors of that type, so many at once, from behind the first `skip` of a constant on.
fn copying_vectors(data: &[u8], ty: crate::types::Type, at_once: usize, skip: usize) -> Program {
    let mut program = copying(data);
    let (bytes, behind) = (ty.bytes() as usize, data.len() - skip * ty.bytes() as usize);
    let mut k = KernelBuilder::new("copy_vectors");
    let (x, y, first) = (k.read("x"), k.write("y"), k.param("first"));
    k.each("i", behind / bytes / at_once, 1, |k, i| {
        for j in 0..at_once {
            let at = i * (at_once * bytes) as i64 + (j * bytes) as i64;
            let v = k.load(ty, x.at(Index::from(first) + at.clone()));
            k.store(y.at(at), v);
        }
    });
    program.kernels[0] = k.finish();
    for call in program.calls_mut() {
        call.params = vec![(skip * bytes) as i64];
    }
    program
}

fn answers(program: &Program, bytes: usize) -> [Vec<u8>; 2] {
    verify::verify(program).expect("proved");
    let mut outputs = [vec![0u8; bytes], vec![0u8; bytes]];
    let [a, b] = &mut outputs;
    interpret::run(program, &[], &mut [a, b]).expect("in bounds");
    outputs
}

#[test]
fn vectors_of_packed_numbers() {
    let [without, machine, _] = &machines();
    let near: Vec<u8> = noise(4096, 16).iter().map(|b| b.wrapping_sub(8)).collect();
    let far: Vec<u8> = noise(4096, 16).iter().map(|b| b.wrapping_mul(97)).collect();
    let wide = |data: &[u8]| -> Vec<u8> { data.iter().flat_map(|b| i16::from(*b as i8).to_le_bytes()).collect() };
    for (data, elem) in [(near.clone(), Elem::I8), (far.clone(), Elem::U8), (wide(&near), Elem::I16), (wide(&far), Elem::I16)] {
        for (lanes, at_once, skip) in [(16, 1, 0), (16, 2, 0), (32, 2, 2), (16, 2, 1), (64, 3, 0), (16, 1, 3)] {
            let program = copying_vectors(&data, elem.x(lanes), at_once, skip);
            let kept = can_stay_packed(&[(&program, machine)]);
            assert_eq!(kept.len(), 1, "{elem} {lanes} {at_once} {skip}");
            let mut packed = program.clone();
            keep_packed(&mut packed, &kept);
            assert!(answers(&packed, data.len()) == answers(&program, data.len()), "{elem} {lanes} {at_once} {skip}");
            // Read by two calls.
            assert_eq!(kept[&data[..]].loads, 2);
            assert!(kept[&data[..]].packed_bytes() <= 4096 / 2 + 16 + 32);
        }
    }
    let stays = |data: &[u8], ty, machine| can_stay_packed(&[(&copying_vectors(data, ty, 1, 0), machine)]).is_empty();
    // Seventeen numbers; a table that no instruction looks into; lanes that are half of one; single numbers.
    assert!(stays(&noise(4096, 17), Elem::I8.x(16), machine));
    assert!(stays(&near, Elem::I8.x(16), without));
    assert!(stays(&near, Elem::I8.x(8), machine) && !stays(&wide(&near), Elem::I16.x(8), machine));
    assert!(can_stay_packed(&[(&copying(&near), machine)]).is_empty());
    // Programs of one object that read it in different vectors, or one of which cannot.
    let [one, two] = [16, 32].map(|lanes| copying_vectors(&near, Elem::I8.x(lanes), 1, 0));
    assert!(can_stay_packed(&[(&one, machine), (&two, machine)]).is_empty());
    assert!(can_stay_packed(&[(&one, machine), (&one, without)]).is_empty());
    // Of another distance between loads: units are of one vector for both.
    let pairs = copying_vectors(&near, Elem::I8.x(16), 2, 0);
    let both = can_stay_packed(&[(&pairs, machine), (&one, machine)]);
    for program in [&pairs, &one] {
        let mut packed = program.clone();
        keep_packed(&mut packed, &both);
        assert!(answers(&packed, 4096) == answers(program, 4096));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_bytes(data in proptest::collection::vec(any::<u8>(), 0..1500), most in 1u32..=256, width in 0..3u32, small in any::<bool>()) {
        let data: Vec<u8> = data.iter().map(|b| (u32::from(*b) % most) as u8).collect();
        let prefer = if small { Prefer::Small } else { Prefer::Quick };
        check(&data, 1 << width, prefer);
    }
}
