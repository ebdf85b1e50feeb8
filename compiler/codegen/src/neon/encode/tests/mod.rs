//! Short lists of instructions, and what becomes of them.

mod random;

use super::*;
use crate::alloc::Class::{General, Vector};
use crate::neon::forms::{Arrangement::H8, condition, listing};

fn op(form: &'static Form, arrangement: Arrangement, registers: &[u32], numbers: &[i64]) -> Inst {
    let registers = registers.iter().map(|&v| Virtual(v)).collect();
    Inst::Op { form, arrangement, registers, numbers: numbers.to_vec(), label: None, touched: None }
}
fn plain(form: &'static Form, registers: &[u32], numbers: &[i64]) -> Inst {
    op(form, Arrangement::None, registers, numbers)
}
fn to(form: &'static Form, registers: &[u32], numbers: &[i64], label: u32) -> Inst {
    match plain(form, registers, numbers) {
        Inst::Op { form, arrangement, registers, numbers, .. } => {
            Inst::Op { form, arrangement, registers, numbers, label: Some(Label(label)), touched: None }
        }
        other => other,
    }
}
fn argument(to: u32, index: usize) -> Inst {
    Inst::Argument { to: Virtual(to), index }
}
fn text(insts: Vec<Inst>, classes: &[Class], pool: &[(Label, Vec<u8>)]) -> Vec<String> {
    let code = encode(insts, classes, 16, pool).unwrap();
    let lines: Vec<String> = listing(&code.bytes).lines().map(|l| l.split_once(": ").unwrap().1.to_string()).collect();
    assert_eq!(lines[0], "bti c");
    lines[1..].to_vec()
}

#[test]
fn a_loop_with_a_constant() {
    // sum += element * constant[0], as long as there are elements.
    let classes = [General, General, Vector, Vector, Vector, Vector, General];
    let insts = vec![
        argument(0, 0),
        argument(1, 1),
        to(&forms::LDR_Q_LITERAL, &[2], &[], 9),
        plain(&forms::MOVI_ZERO, &[3], &[]),
        to(&forms::CBZ, &[1], &[], 2),
        Inst::LoopBegin,
        Inst::Label(Label(1)),
        plain(&forms::LDR_Q, &[4, 0], &[0]),
        // Nobody reads this.
        op(&forms::ADD_V, H8, &[5, 4, 4], &[]),
        op(&forms::MLA_LANE, H8, &[3, 4, 2], &[0]),
        plain(&forms::ADD_IMM, &[0, 0], &[16]),
        plain(&forms::SUBS_IMM, &[1, 1], &[1]),
        to(&forms::B_COND, &[], &[condition::NE], 1),
        Inst::LoopEnd,
        Inst::Label(Label(2)),
        argument(6, 8),
        plain(&forms::STR_Q, &[3, 6], &[0]),
    ];
    let pool = [(Label(8), vec![9; 16]), (Label(9), vec![0xff; 16])];
    let expected = [
        "ldr q0, 0x30",
        "movi v16.2d, #0",
        "cbz x1, 0x24",
        "ldr q17, [x0, #0]",
        "mla v16.8h, v17.8h, v0.h[0]",
        "add x0, x0, #16",
        "subs x1, x1, #1",
        "b.ne 0x10",
        "ldr x0, [sp, #0]",
        "str q16, [x0, #0]",
        "ret",
    ];
    let words = text(insts, &classes, &pool);
    assert_eq!(words[..11], expected);
    assert_eq!(words[11..], [".word 0xffffffff"; 4]);
}

#[test]
fn parameters_go_round_in_a_circle() {
    // The later its last use, the later a parameter gets its register.
    let classes = [General; 3];
    let insts = vec![
        argument(0, 0),
        argument(1, 1),
        argument(2, 2),
        plain(&forms::STR_X, &[2, 2], &[0]),
        plain(&forms::STR_X, &[0, 0], &[8]),
        plain(&forms::STR_X, &[1, 1], &[16]),
    ];
    let expected =
        ["mov x16, x0", "mov x0, x2", "mov x2, x1", "mov x1, x16", "str x0, [x0, #0]", "str x1, [x1, #8]", "str x2, [x2, #16]", "ret"];
    assert_eq!(text(insts, &classes, &[]), expected);
}

#[test]
fn what_has_no_register_is_in_the_frame() {
    // 27 general values and 33 vectors at once.
    let mut classes = vec![General; 28];
    classes.extend([Vector; 33]);
    let mut insts = vec![argument(0, 0)];
    insts.extend((1..28).map(|v| plain(&forms::LDR_X, &[v, 0], &[8 * i64::from(v)])));
    insts.extend((28..61).map(|v| plain(&forms::LDR_Q, &[v, 0], &[16 * i64::from(v)])));
    insts.extend((1..28).map(|v| plain(&forms::STR_X, &[v, 0], &[0])));
    insts.extend((28..61).map(|v| plain(&forms::STR_Q, &[v, 0], &[0])));
    let words = text(insts, &classes, &[]);
    let begins = [
        "sub sp, sp, #144",
        "stp x19, x20, [sp, #0]",
        "stp x21, x22, [sp, #16]",
        "stp x23, x24, [sp, #32]",
        "stp x25, x26, [sp, #48]",
        "stp x27, x28, [sp, #64]",
        "stp d8, d9, [sp, #80]",
        "stp d10, d11, [sp, #96]",
        "stp d12, d13, [sp, #112]",
        "stp d14, d15, [sp, #128]",
        "sub sp, sp, #48",
    ];
    assert_eq!(words[..11], begins, "{words:#?}");
    let ends = [
        "add sp, sp, #48",
        "ldp x19, x20, [sp, #0]",
        "ldp x21, x22, [sp, #16]",
        "ldp x23, x24, [sp, #32]",
        "ldp x25, x26, [sp, #48]",
        "ldp x27, x28, [sp, #64]",
        "ldp d8, d9, [sp, #80]",
        "ldp d10, d11, [sp, #96]",
        "ldp d12, d13, [sp, #112]",
        "ldp d14, d15, [sp, #128]",
        "add sp, sp, #144",
        "ret",
    ];
    assert_eq!(words[words.len() - 12..], ends);
    // Two slots of either class, as what goes to the frame takes a register when it comes.
    let of_slots = |what: &str| words.iter().filter(|w| w.starts_with(what) && w.contains("[sp, #")).count();
    assert_eq!([of_slots("str q"), of_slots("ldr q"), of_slots("str x"), of_slots("ldr x")], [2, 1, 2, 2], "{words:#?}");
}

#[test]
fn what_is_far_from_the_stack_pointer() {
    let mut classes = vec![General, General];
    classes.extend([Vector; 2200]);
    let mut insts = vec![argument(0, 0), argument(1, 9)];
    insts.extend((2..2202).map(|v| plain(&forms::LDR_Q, &[v, 0], &[0])));
    insts.extend((2..2202).map(|v| plain(&forms::STR_Q, &[v, 1], &[0])));
    let words = text(insts, &classes, &[]);
    // 2168 slots of 16 bytes, whose pages are touched one after the other; the parameter is behind them and 64 bytes of saved registers.
    let touched: Vec<String> = (1..=8).flat_map(|page| [format!("sub x16, sp, #{page}, lsl #12"), "ldrb w17, [x16, #0]".into()]).collect();
    assert_eq!(words[5..21], touched);
    assert_eq!(words[21..25], ["sub sp, sp, #8, lsl #12", "sub sp, sp, #1920", "add x16, sp, #8, lsl #12", "ldr x1, [x16, #1992]"]);
    assert!(words.iter().any(|w| w == "ldr q16, [sp, #34672]"));
    let ends = ["add sp, sp, #8, lsl #12", "add sp, sp, #1920"];
    assert_eq!(words[words.len() - 8..][..2], ends);
}

#[test]
fn what_cannot_be_is_refused() {
    let far = [Inst::Label(Label(0))].into_iter().chain((0..300_000).map(|_| plain(&forms::NOP, &[], &[])));
    let wrong: [Vec<Inst>; 6] = [
        vec![plain(&forms::ADD_X, &[0, 0], &[])],
        vec![plain(&forms::ADD_X, &[0, 0, 1], &[])],
        vec![plain(&forms::ADD_IMM, &[0, 0], &[4096])],
        vec![argument(0, 16)],
        vec![to(&forms::CBZ, &[0], &[], 7)],
        far.chain([to(&forms::CBZ, &[0], &[], 0)]).collect(),
    ];
    for insts in wrong {
        assert!(encode(insts, &[General, Vector], 16, &[]).is_err());
    }
}

#[test]
fn spills_of_innermost_loops_are_counted() {
    let classes = [General; 30];
    let all = || (1..30).map(|v| plain(&forms::STR_X, &[v, 0], &[0]));
    let mut insts = vec![argument(0, 0)];
    insts.extend((1..30).map(|v| plain(&forms::LDR_X, &[v, 0], &[0])));
    insts.extend([Inst::LoopBegin, Inst::LoopBegin]);
    insts.extend((1..20).map(|v| plain(&forms::STR_X, &[v, 0], &[0])));
    insts.push(Inst::LoopEnd);
    insts.extend(all());
    insts.push(Inst::LoopEnd);
    assert_eq!(encode(insts.clone(), &classes, 1, &[]).unwrap().inner_spills, 0);
    insts.push(Inst::LoopBegin);
    insts.extend(all());
    insts.push(Inst::LoopEnd);
    assert!(0 < encode(insts, &classes, 1, &[]).unwrap().inner_spills);
}
