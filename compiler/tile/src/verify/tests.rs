//! What files of text cannot test: programs with impossible numbers, and whether the proof is right.

use super::verify;
use crate::builder::KernelBuilder;
use crate::index::Index;
use crate::interpret;
use crate::program::*;
use crate::text::{print, random};
use crate::types::Elem;
use crate::{Counter, Param};
use proptest::prelude::*;

fn buffer(role: Role, size_bytes: u64) -> Buffer {
    Buffer { name: format!("{role:?}"), role, size_bytes, align: 1, data: None, view: None, offset_bytes: None }
}

fn program(kernel: Kernel, buffers: Vec<Buffer>) -> Program {
    let call = Call {
        kernel: KernelId(0),
        buffers: (0..buffers.len() as u32).map(BufferId).collect(),
        params: vec![],
        advance: vec![],
        operator: Some(3),
    };
    Program { name: String::new(), buffers, kernels: vec![kernel], schedule: vec![Step::Call(call)] }
}

fn copy(elements: i64) -> Program {
    let mut k = KernelBuilder::new("copy");
    let (x, y) = (k.read("x"), k.write("y"));
    k.each("i", elements, 1, |k, i| {
        let v = k.load(Elem::U8.x(1), x.at(i));
        k.store(y.at(i), v);
    });
    program(k.finish(), vec![buffer(Role::Input(0), 4), buffer(Role::Output(0), 4)])
}

#[test]
fn errors_say_where() {
    assert_eq!(verify(&copy(4)), Ok(()));
    let errors = verify(&copy(5)).expect_err("too long");
    let all: Vec<String> = errors.iter().map(|e| e.to_string()).collect();
    assert_eq!(
        all,
        [
            "kernel copy, call 0 (operator 3): `v0: u8 = load x[i]`: may read bytes 0..5 of x, b0 \"Input(0)\", which has 4",
            "kernel copy, call 0 (operator 3): `store y[i] = v0`: may write bytes 0..5 of y, b1 \"Output(0)\", which has 4",
        ]
    );
}

#[test]
fn impossible_numbers_are_errors() {
    type Change = (&'static str, fn(&mut Program));
    let changes: [Change; 12] = [
        ("kernel 7", |p| {
            p.schedule = vec![Step::Call(Call { kernel: KernelId(7), buffers: vec![], params: vec![], advance: vec![], operator: None })]
        }),
        ("numbers that the kernel declares", |p| p.kernels[0].types.clear()),
        ("numbers that the kernel declares", |p| p.kernels[0].counters.clear()),
        ("argument 0", |p| p.kernels[0].args.clear()),
        ("argument 9", |p| p.kernels[0].args[0].in_place_of = Some(Arg(9))),
        ("parameter 3", |p| {
            p.kernels[0].body.push(Stmt::Split { quotient: Counter(0), remainder: Counter(1), of: Param(3).into(), by: 4 })
        }),
        ("counter 99 is used before", |p| {
            let place = Arg(0).at(Counter(99));
            p.kernels[0].types.push(Elem::I8.x(1));
            p.kernels[0].body.push(Stmt::Let(Value(1), Op::Load { place, count: None }));
        }),
        ("v9 is used before", |p| p.kernels[0].body.push(Stmt::Store { place: Arg(1).at(0), value: Value(9), count: None })),
        ("r4294967295 is used before", |p| {
            p.kernels[0].rows = u32::MAX;
            p.kernels[0].types.push(Elem::I8.x(1));
            p.kernels[0].body.push(Stmt::Let(Value(1), Op::Load { place: Row(u32::MAX).at(0), count: None }));
        }),
        ("loops in each other", |p| {
            for counter in 1..100 {
                p.kernels[0].counters.push("i".into());
                let body = std::mem::take(&mut p.kernels[0].body);
                let l = Loop { counter: Counter(counter), count: Index::constant(1), step: 1, carried: vec![], body };
                p.kernels[0].body = vec![Stmt::Loop(l.into())];
            }
        }),
        ("impossible type", |p| p.kernels[0].types[0].lanes = u32::MAX),
        ("impossible type", |p| p.kernels[0].types[0].elem = Elem::Mask(0)),
    ];
    for (needle, change) in changes {
        let mut p = copy(4);
        change(&mut p);
        let errors = verify(&p).expect_err(needle);
        assert!(errors.iter().any(|e| e.to_string().contains(needle)), "{needle}: {errors:?}");
    }
}

/// A row that the guard leaves out as often as numbers are as long as need be, and not once where they wrap round at 2^64.
fn guarded(count: i64, factor: i64, limit: i64) -> Program {
    let mut k = KernelBuilder::new("guarded");
    let (x, fill, y) = (k.read("x"), k.read("fill"), k.write("y"));
    k.each("i", count, 1, |k, i| {
        let row = k.row(x, i * 1, 1, vec![Guard { index: i * factor, limit: limit.into() }], fill);
        let v = k.load(Elem::U8.x(1), row.at(0));
        k.store(y.at(0), v);
    });
    program(k.finish(), vec![buffer(Role::Input(0), 1), buffer(Role::Input(1), 1), buffer(Role::Output(0), 1)])
}

#[test]
fn what_is_compared_fits_64_bits() {
    // At the last iteration 2^40 * 2^23 is 2^63, and 2^40 * 2^24 would be 0 again: inside.
    let last = 1i64 << 40;
    for (count, factor, fits) in [(last, 1 << 23, true), (last + 1, 1 << 23, false), (last, 1 << 24, false), (last + 1, 1 << 24, false)] {
        for sign in [1, -1] {
            let found = verify(&guarded(count, sign * factor, 1));
            // The smallest number of 64 bits is one further from 0 than the largest.
            assert_eq!(found.is_ok(), fits || (sign, count, factor) == (-1, last + 1, 1 << 23), "{count} {sign} {factor}: {found:?}");
            if let Err(errors) = found {
                assert!(errors[0].to_string().contains("the index of a guard may be"), "{errors:?}");
            }
        }
    }
    // A limit that 64 bits take for negative.
    for (count, fits) in [(last, true), (last + 1, false)] {
        let mut p = guarded(count, 0, 1);
        let Stmt::Loop(l) = &mut p.kernels[0].body[0] else { unreachable!("a loop") };
        let counter = l.counter;
        let Stmt::Row { guards, at, .. } = &mut l.body[0] else { unreachable!("a row") };
        (guards[0].limit, *at) = (counter * (1 << 23) + 1, Index::default());
        assert_eq!(verify(&p).is_ok(), fits, "{count}");
    }
}

#[test]
fn what_is_split_fits_64_bits() {
    let split = |count: i64, factor: i64| {
        let mut k = KernelBuilder::new("split");
        let (x, y) = (k.read("x"), k.write("y"));
        k.each("i", count, 1, |k, i| {
            let (_, rest) = k.split("s", i * factor, 3);
            let v = k.load(Elem::U8.x(1), x.at(rest));
            k.store(y.at(0), v);
        });
        verify(&program(k.finish(), vec![buffer(Role::Input(0), 3), buffer(Role::Output(0), 1)]))
    };
    // Quotients have limits of their own, far above any tensor.
    assert_eq!(split(1 << 30, 1 << 26), Ok(()));
    for (count, factor) in [((1 << 40) + 1, 1 << 23), (1 << 41, 1 << 23), (1 << 50, 1 << 50)] {
        let errors = split(count, factor).expect_err("too large");
        assert!(errors[0].to_string().contains("what is split may be"), "{errors:?}");
    }
}

/// A kernel of bytes over loops, splits and guarded rows; some numbers are chosen by `next`, the buffers' sizes are not.
fn random_kernel(next: &mut dyn FnMut(u32) -> i64) -> Kernel {
    let mut k = KernelBuilder::new("random");
    let in_place = next(2) == 1;
    let (x, fill) = (k.read("x"), k.read("fill"));
    let y = if in_place { k.write_in_place("y", x) } else { k.write("y") };
    let args = Args { x, fill, y, gap: if in_place { next(3) } else { 0 } };
    nest(&mut k, &mut vec![], &args, next);
    k.finish()
}

struct Args {
    x: Arg,
    fill: Arg,
    y: Arg,
    /// How far stores are moved.
    gap: i64,
}

fn form(counters: &[Counter], next: &mut dyn FnMut(u32) -> i64) -> Index {
    counters.iter().fold(Index::constant(next(4)), |sum, &c| sum + c * [0, 1, 1, 2, 3, 8, -1, -2][next(8) as usize])
}

fn nest(k: &mut KernelBuilder, counters: &mut Vec<Counter>, a: &Args, next: &mut dyn FnMut(u32) -> i64) {
    let outside = counters.len();
    for _ in 0..1 + next(2) {
        match next(4) {
            0 | 1 if counters.len() < 4 => {
                let (count, step) = (next(7), 1 + next(3));
                k.each("i", count, step, |k, i| {
                    counters.push(i);
                    nest(k, counters, a, next);
                    counters.pop();
                });
            }
            2 if counters.len() < 4 => {
                let of = form(counters, next) + 2;
                let (q, r) = k.split("s", of, 1 + next(5));
                counters.extend([q, r]);
            }
            3 if !counters.is_empty() => {
                let guards: Vec<Guard> = (0..1 + next(2))
                    .map(|_| {
                        let limit = if next(3) == 0 { form(counters, next) + 8 } else { Index::constant(next(6)) };
                        Guard { index: form(counters, next), limit }
                    })
                    .collect();
                let start = form(counters, next);
                let at = guards.iter().fold(start, |at, g| at + g.index.clone() * next(4)) + 8;
                let bytes = next(4);
                let row = k.row(a.x, at, bytes, guards, a.fill);
                if 0 < bytes {
                    // Sometimes a place that varies, which may be outside.
                    let place = if next(4) == 0 { form(counters, next) - 2 } else { Index::constant(next(bytes as u32)) };
                    let v = k.load(Elem::U8.x(1), row.at(place));
                    let at = form(counters, next) + 8;
                    k.store(a.y.at(at), v);
                }
            }
            _ => {
                let at = form(counters, next) + 8;
                let lanes = [1, 1, 2, 4][next(4) as usize];
                let v = k.load(Elem::U8.x(lanes), a.x.at(at.clone()));
                k.store(a.y.at(at + a.gap), v);
            }
        }
    }
    counters.truncate(outside);
}

/// The program on memory of `size` bytes for both x and y, in one place if the kernel allows it.
fn on_memory(kernel: &Kernel, size: u64) -> Program {
    let in_place = kernel.args[2].in_place_of.is_some();
    let scratch = || Buffer { offset_bytes: Some(0), ..buffer(Role::Scratch, size) };
    let other = if in_place { scratch() } else { buffer(Role::Output(0), size) };
    let mut p = program(kernel.clone(), vec![scratch(), buffer(Role::Input(0), 3), other]);
    let mut k = KernelBuilder::new("start");
    let y = k.write("y");
    k.each("i", size as i64, 1, |k, i| {
        let v = k.int(Elem::U8.x(1), 1);
        k.store(y.at(i), v);
    });
    p.kernels.push(k.finish());
    p.schedule
        .insert(0, Step::Call(Call { kernel: KernelId(1), buffers: vec![BufferId(0)], params: vec![], advance: vec![], operator: None }));
    p
}

/// Both kernels at the same time, each from one memory to the other, at these places.
fn at_once(kernels: &[Kernel; 2], at: [u64; 4]) -> Program {
    let scratch = |size, offset_bytes| Buffer { offset_bytes: Some(offset_bytes), ..buffer(Role::Scratch, size) };
    let mut p =
        program(kernels[0].clone(), vec![scratch(400, 0), scratch(400, 400), buffer(Role::Input(0), 3), buffer(Role::Output(0), 1)]);
    p.kernels.push(kernels[1].clone());
    let mut k = KernelBuilder::new("start");
    let (a, b, y) = (k.write("a"), k.write("b"), k.write("y"));
    // Different bytes everywhere, for a while.
    let number = (0..8).fold(None, |sum: Option<Value>, n| {
        let v = k.int(Elem::U8.x(1), 1 << n);
        Some(sum.map_or(v, |s| k.binary(Binary::Xor, s, v)))
    });
    let mut v = number.expect("a number");
    for i in 0..400 {
        let (step, turn) = (k.int(Elem::U8.x(1), 37), k.int(Elem::U8.x(1), 5 + i / 256));
        v = k.mul(v, step);
        v = k.add(v, turn);
        k.store(a.at(Index::from(i)), v);
        let not = k.unary(Unary::Not, v);
        k.store(b.at(Index::from(i)), not);
    }
    k.store(y.at(Index::from(0)), v);
    p.kernels.push(k.finish());
    let mut views: Vec<BufferId> = vec![];
    for (i, &offset_bytes) in at.iter().enumerate() {
        let view = View { parent: BufferId([0, 1, 1, 0][i]), offset_bytes };
        p.buffers.push(Buffer { view: Some(view), align: 1, ..buffer(Role::Scratch, 300) });
        views.push(BufferId(p.buffers.len() as u32 - 1));
    }
    let call =
        |kernel: u32, buffers: Vec<BufferId>| Call { kernel: KernelId(kernel), buffers, params: vec![], advance: vec![], operator: None };
    let group = (0..2).map(|i| call(i as u32, vec![views[2 * i], BufferId(2), views[2 * i + 1]])).collect();
    p.schedule = vec![Step::Call(call(2, vec![BufferId(0), BufferId(1), BufferId(3)])), Step::Parallel(group)];
    p
}

/// Runs a program of one input of 3 bytes.
fn runs(p: &Program) -> Result<(), interpret::Error> {
    let mut output = vec![0; if p.buffers[2].role == Role::Output(0) { p.buffers[2].size_bytes as usize } else { 0 }];
    let mut outputs: Vec<&mut [u8]> = if output.is_empty() { vec![] } else { vec![&mut output] };
    if outputs.is_empty() && p.buffers[2].role == Role::Output(0) {
        outputs.push(&mut []);
    }
    interpret::run(p, &[&[1, 2, 3]], &mut outputs)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 3000, ..ProptestConfig::default() })]

    /// On the least memory for which the verifier accepts a kernel, the interpreter, which looks at each access, finds nothing.
    #[test]
    fn what_is_proved_runs(choices in proptest::collection::vec(any::<u32>(), 10..80)) {
        let mut rest = choices.iter().copied();
        let kernel = random_kernel(&mut |n| i64::from(rest.next().unwrap_or(0) % n));
        let (mut refused, mut accepted) = (0, 300);
        if verify(&on_memory(&kernel, accepted)).is_ok() {
            while refused + 1 < accepted {
                let middle = (refused + accepted) / 2;
                if verify(&on_memory(&kernel, middle)).is_ok() { accepted = middle } else { refused = middle }
            }
            let p = on_memory(&kernel, accepted);
            let result = runs(&p);
            prop_assert!(result.is_ok(), "{result:?}\n{}", print(&p));
        }
    }

    /// Calls that are proved to be independent give the same memory in either order.
    #[test]
    fn what_may_run_at_once_has_no_order(choices in proptest::collection::vec(any::<u32>(), 10..120), at in proptest::array::uniform4(0u64..100)) {
        let mut rest = choices.iter().copied();
        let mut kernel = || random_kernel(&mut |n| i64::from(rest.next().unwrap_or(0) % n));
        let kernels = [kernel(), kernel()];
        let outcome = |order: [usize; 2]| {
            let mut p = at_once(&kernels, at);
            let Some(Step::Parallel(calls)) = p.schedule.last_mut() else { panic!("a group") };
            *calls = order.map(|i| calls[i].clone()).to_vec();
            let mut memory = vec![];
            let observe = |_: usize, view: &interpret::View| memory = [0, 1].map(|b| view.bytes(BufferId(b)).to_vec()).concat();
            interpret::run_observed(&p, &[&[1, 2, 3]], &mut [&mut [0]], observe).map(|_| memory)
        };
        if verify(&at_once(&kernels, at)).is_ok() {
            let (one, other) = (outcome([0, 1]), outcome([1, 0]));
            prop_assert!(one.is_ok() && one == other, "{}", print(&at_once(&kernels, at)));
        }
    }

    #[test]
    fn no_program_makes_it_panic(choices in proptest::collection::vec(any::<u32>(), 0..400)) {
        let _ = verify(&random::program(&choices));
    }
}

/// The proof refuses little that is harmless: of random kernels, most are accepted on the least memory on which they run.
#[test]
fn the_proof_is_close() {
    let mut state = 1u32;
    let mut number = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    let (mut tight, mut all) = (0, 0);
    for _ in 0..2000 {
        let kernel = random_kernel(&mut |n| i64::from(number() % n));
        let Some(least) = (0..200).find(|&n| runs(&on_memory(&kernel, n)).is_ok()) else { continue };
        if 0 < least {
            all += 1;
            tight += usize::from(verify(&on_memory(&kernel, least)).is_ok());
        }
    }
    assert!(all * 9 / 10 < tight, "{tight} of {all}");
}

/// Every number of it is the last one that is right.
const TIGHT: &str = r#"program "tight"
b0 = input 0 "x" 60 bytes align 4
b1 = output 0 "y" 44 bytes align 4
b2 = state "h" 16 bytes align 16 at 0
b3 = state "more" 4 bytes align 4 at 16
b4 = scratch "goes on" 1 bytes align 1
b5 = scratch "status" 4 bytes align 4
b6 = scratch "sum" 12 bytes align 4
kernel step(x: read, h: read write, y: write; from, to) {
  v0: i32x4 = load h[0]
  v1: i32x4 = load x[from + 4]
  v2: i32x4 = add v0, v1
  store h[0] = v2
  store y[to] = v2
}
kernel test(more: read write, on: write, status: write) {
  v0: u8 = load more[0]
  store on[0] = v0
  v1: u8x4 = load more[0]
  store status[0] = v1
}
kernel counted(x: read, sum: write, rest: write) {
  v0: i32 = load x[56]
  clamp n = v0 to 0..=3
  loop i in 0..n {
    v1: i32 = load x[i*4 + 48]
    store sum[i*4] = v1
  }
  store rest[8] = v0
}
repeat 5 {
  call step(x: b0, h: b2, y: b1; from: 0 + 10 turn, to: 28 + -7 turn)
}
while b4 {
  call test(more: b3, on: b4, status: b5)
} do {
  check b5
  call counted(x: b0, sum: b6, rest: b1)
}
if b4 {
} else {
}
"#;

/// As tight, in branches, in a loop that goes on as long as a condition holds, and with counts that calls read in every turn.
const TIGHT_INSIDE: &str = r#"program "tight inside"
b0 = input 0 "x" 60 bytes align 4
b1 = output 0 "y" 40 bytes align 4
b2 = scratch "which" 1 bytes align 1
b3 = scratch "goes on" 1 bytes align 1
kernel look(x: read, on: write; at) {
  v0: u8 = load x[at]
  store on[0] = v0
}
kernel counted(x: read, y: write; from, to) {
  v0: i32 = load x[from]
  clamp n = v0 to 0..=2
  loop i in 0..n {
    v1: i32 = load x[from + i*4 + 4]
    store y[to + i*4] = v1
  }
  store y[to + 8] = v0
}
call look(x: b0, on: b2; at: 58)
if b2 {
  repeat 3 {
    call counted(x: b0, y: b1; from: 0 + 24 turn, to: 28 + -14 turn)
  }
} else {
  call counted(x: b0, y: b1; from: 48, to: 27)
  call counted(x: b0, y: b1; from: 47, to: 28)
}
while b3 {
  call look(x: b0, on: b3; at: 59)
} do {
  repeat 2 {
    call counted(x: b0, y: b1; from: 22 + 26 turn, to: 0 + 28 turn)
  }
}
"#;

/// The same of what is inside of branches and loops.
#[test]
fn branches_and_loops_are_proved_to_the_last_number() {
    let program = |text: &str| crate::text::parse(text).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(verify(&program(TIGHT_INSIDE)), Ok(()));
    for (from, to) in [
        ("\"x\" 60 bytes", "\"x\" 59 bytes"),
        ("\"y\" 40 bytes", "\"y\" 39 bytes"),
        ("\"which\" 1 bytes", "\"which\" 0 bytes"),
        ("\"goes on\" 1 bytes", "\"goes on\" 0 bytes"),
        ("at: 58", "at: 60"),
        ("at: 58", "at: -1"),
        ("at: 59", "at: 60"),
        ("0..=2", "0..=3"),
        ("in 0..n {", "in 0..n + 1 {"),
        ("i*4 + 4]", "i*4 + 5]"),
        ("to + 8]", "to + 9]"),
        ("repeat 3", "repeat 4"),
        ("from: 0 +", "from: 1 +"),
        ("from: 0 +", "from: -1 +"),
        ("24 turn", "25 turn"),
        ("24 turn", "-1 turn"),
        ("to: 28 +", "to: 29 +"),
        ("to: 28 +", "to: 27 +"),
        ("-14 turn", "-15 turn"),
        ("-14 turn", "1 turn"),
        ("from: 48", "from: 49"),
        ("to: 28)", "to: 29)"),
        ("repeat 2", "repeat 3"),
        ("from: 22 +", "from: 23 +"),
        ("26 turn", "27 turn"),
        ("to: 0 +", "to: 1 +"),
        ("to: 0 +", "to: -1 +"),
        ("28 turn", "29 turn"),
        // What one branch alone has written is not looked at.
        ("call look(x: b0, on: b2; at: 58)\nif b2 {\n", "if b2 {\n"),
        // What a turn writes is not there before its test.
        ("on: b3; at: 59", "on: b2; at: 59"),
    ] {
        assert_eq!(TIGHT_INSIDE.matches(from).count(), 1, "{from}");
        assert!(verify(&program(&TIGHT_INSIDE.replace(from, to))).is_err(), "accepted: {from} -> {to}");
    }
}

/// One more or less of anything is refused: sizes, turns, parameters, what they advance by, the most of a count, places of states.
#[test]
fn schedules_are_proved_to_the_last_number() {
    let refused = |from: &str, to: &str| {
        assert_eq!(TIGHT.matches(from).count(), 1, "{from}");
        let program = crate::text::parse(&TIGHT.replace(from, to)).unwrap_or_else(|e| panic!("{to}: {e}"));
        assert!(verify(&program).is_err(), "accepted: {from} -> {to}");
    };
    assert_eq!(verify(&crate::text::parse(TIGHT).expect("a program")), Ok(()));
    for (from, to) in [
        ("\"x\" 60 bytes", "\"x\" 59 bytes"),
        ("\"y\" 44 bytes", "\"y\" 43 bytes"),
        ("\"h\" 16 bytes", "\"h\" 15 bytes"),
        ("\"more\" 4 bytes", "\"more\" 3 bytes"),
        ("\"goes on\" 1 bytes", "\"goes on\" 0 bytes"),
        ("\"status\" 4 bytes", "\"status\" 3 bytes"),
        ("\"sum\" 12 bytes", "\"sum\" 11 bytes"),
        ("align 4 at 16", "align 4 at 12"),
        ("align 4 at 16", "align 4"),
        ("repeat 5", "repeat 6"),
        ("repeat 5", "repeat 0"),
        ("from: 0 +", "from: 1 +"),
        ("from: 0 +", "from: -5 +"),
        ("10 turn", "11 turn"),
        ("10 turn", "-2 turn"),
        ("to: 28", "to: 29"),
        ("to: 28", "to: 27"),
        ("-7 turn", "-8 turn"),
        ("0..=3", "0..=4"),
        ("in 0..n {", "in 0..n + 1 {"),
        ("i*4 + 48", "i*4 + 49"),
    ] {
        refused(from, to);
    }
    // What a `while` does may not have been done; its test has.
    refused("if b4 {\n", "if b6 {\n");
    // Nothing is repeated there.
    refused("repeat 5 {\n", "if b3 {\n} else {\n");
    let mut short = crate::text::parse(TIGHT).expect("a program");
    short.calls_mut()[0].advance.pop();
    assert!(verify(&short).is_err(), "parameters without advance");
}
