//! Every form against `llvm-mc`, and back.

use super::fields::{gather, scatter};
use super::*;
use std::io::Write;
use std::process::{Command, Stdio};

const TOOL: &str = "llvm-mc-19";

/// Every form in every arrangement with several registers, and with the numbers at the ends of their ranges.
fn samples() -> Vec<Decoded> {
    let mut out = vec![];
    for &form in all() {
        for &arrangement in form.arrangements {
            let roles = form.roles();
            let sets = [0, 1, 6, 13, 15, 30, 31].map(|first: usize| {
                roles.iter().enumerate().map(|(i, r)| (first.wrapping_mul(5 * i + 1) + 3 * i) as u8 % r.limit).collect::<Vec<u8>>()
            });
            let mut numbers: Vec<Vec<i64>> = vec![];
            for part in &form.template().parts {
                let Part::Number { field, scale } = part else { continue };
                let end = 1u32 << field.bits.len();
                let of = |raw: u32| {
                    let number = field.number(raw, *scale, arrangement);
                    (field.raw(number, *scale, arrangement) == Some(raw)).then_some(number)
                };
                let raws: Vec<u32> = match field.bits.len() {
                    ..=8 => (0..end).collect(),
                    13 => (0..end).step_by(41).collect(),
                    _ => vec![0, 1, 2, 5, end / 2 - 1, end / 2, end / 2 + 1, end / 3, end - 2, end - 1],
                };
                numbers.push(raws.into_iter().filter_map(of).collect());
            }
            let most = numbers.iter().map(Vec::len).max().unwrap_or(0);
            for i in 0..most.max(sets.len()) {
                let numbers = numbers.iter().enumerate().map(|(k, n)| n[(i + k * (1 + i / n.len())) % n.len()]).collect();
                out.push(Decoded { form, arrangement, registers: sets[i % sets.len()].clone(), numbers });
            }
        }
    }
    out
}

fn word(d: &Decoded) -> u32 {
    d.form.encode(d.arrangement, &d.registers, &d.numbers).unwrap()
}

#[test]
fn llvm_has_the_same_words() {
    let samples = samples();
    let text: String = samples.iter().map(|d| d.form.print(d.arrangement, &d.registers, &d.numbers, None) + "\n").collect();
    let started = Command::new(TOOL)
        .args(["-arch=aarch64", "-mattr=+v8.6a,+fullfp16,+dotprod,+i8mm", "--show-encoding"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else {
        assert!(std::env::var_os("CRANELITE_REQUIRE_TOOLS").is_none(), "{TOOL} is missing");
        eprintln!("not tested, for want of {TOOL}");
        return;
    };
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let words: Vec<u32> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_once("encoding: [")?.1.split_once(']'))
        .map(|(bytes, _)| bytes.split(',').enumerate().map(|(i, b)| u32::from_str_radix(&b[2..], 16).unwrap() << (8 * i)).sum())
        .collect();
    assert_eq!(words.len(), samples.len());
    let wrong: Vec<String> = samples
        .iter()
        .zip(words)
        .filter(|(d, theirs)| word(d) != *theirs)
        .map(|(d, theirs)| {
            format!("{} {d:?}: {:08x}, not {theirs:08x}", d.form.print(d.arrangement, &d.registers, &d.numbers, None), word(d))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}: {:#?}", wrong.len(), samples.len(), &wrong[..wrong.len().min(20)]);
}

#[test]
fn a_word_is_read_back() {
    for d in samples() {
        let word = word(&d);
        let read: Vec<Decoded> = all().iter().flat_map(|f| f.arrangements.iter().filter_map(|&a| f.read(a, word))).collect();
        assert!(read.contains(&d), "{d:?} {word:08x}");
        // Other names of the same are more special or less so.
        let alike = read.iter().filter(|r| r.form.certainty() == d.form.certainty()).count();
        assert_eq!(alike, 1, "{read:?}");
        assert_eq!(decode(word).as_ref(), read.first());
    }
}

#[test]
fn names_are_there_once() {
    let mut names: Vec<_> = all().iter().map(|f| f.name()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all().len());
}

#[test]
fn what_does_not_fit_is_refused() {
    use Arrangement::{B16, D2, None};
    let refused: [(&Form, _, &[u8], &[i64]); 9] = [
        (&LDR_Q, None, &[0, 1], &[8]),
        (&LDR_Q, None, &[0, 1], &[-16]),
        (&LDR_Q, None, &[0, 1], &[65536]),
        (&LDUR_Q, None, &[0, 1], &[256]),
        (&MUL_V, D2, &[0, 1, 2], &[]),
        (&SHL_V, B16, &[0, 1], &[8]),
        (&SSHR_V, B16, &[0, 1], &[0]),
        (&SMULL_LANE, Arrangement::H4, &[0, 1, 16], &[0]),
        (&ADD_X, None, &[0, 1], &[]),
    ];
    for (form, arrangement, registers, numbers) in refused {
        assert!(form.encode(arrangement, registers, numbers).is_err(), "{}", form.name());
    }
}

#[test]
fn what_registers_and_flags_are_for() {
    let role = |class, reads, writes, limit| Role { class, reads, writes, limit };
    let vector = Class::Vector;
    assert_eq!(SMLAL_LANE.roles(), [role(vector, true, true, 32), role(vector, true, false, 32), role(vector, true, false, 16)]);
    assert_eq!(STR_Q.roles(), [role(vector, true, false, 32), role(Class::General, true, false, 32)]);
    assert!(CMP_IMM.sets_flags() && !CMP_IMM.reads_flags() && CSEL.reads_flags() && B_COND.reads_flags());
    assert!(B.branches() && ADR.branches() && LDR_Q_LITERAL.branches() && !LDR_Q.branches() && !RET.branches());
}

#[test]
fn bits_are_scattered_and_gathered() {
    assert_eq!(scatter(&[11, 21, 20], 0b110), 1 << 11 | 1 << 21);
    assert_eq!(gather(&[11, 21, 20], 1 << 11 | 1 << 21), 0b110);
    assert_eq!(float_bits(1.0), Some(0x70));
    assert_eq!(float_bits(-0.125), Some(0xc0));
    assert_eq!(float_bits(0.1), None);
}

#[test]
fn lists_are_printed() {
    let words = [0x4f80_e020u32, 0xffff_ffff, 0x17ff_fffe];
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    assert_eq!(listing(&bytes), "     0: sdot v0.4s, v1.16b, v0.4b[0]\n     4: .word 0xffffffff\n     8: b 0x0\n");
}
