//! Tests of the text form.

use super::*;
use crate::builder::KernelBuilder;
use crate::program::*;
use crate::types::Elem;
use proptest::prelude::*;

fn parsed(text: &str) -> Program {
    parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// The example of the module's documentation.
fn example() -> String {
    let doc = include_str!("mod.rs").lines().skip_while(|l| !l.ends_with("```text")).skip(1).take_while(|l| !l.ends_with("```"));
    doc.map(|l| format!("{}\n", l.trim_start_matches("//!").strip_prefix(' ').unwrap_or(""))).collect()
}

#[test]
fn the_example_is_printed_as_documented() {
    let text = example();
    let p = parsed(&text);
    assert_eq!(print(&p), text);
    assert_eq!(p.kernels[0].types.len(), 6);
    assert_eq!(p.buffers[2].offset_bytes, Some(128));
    assert_eq!(p.kernels[0].args[2].in_place_of, Some(Arg(0)));
}

#[test]
fn indices() {
    let head = "kernel k(x: read; C, n) {\n  loop i in 0..n step 4 {\n    loop k in 0..C {\n      v0: i8 = load x[";
    let tail = "]\n    }\n  }\n}\n";
    for (written, printed) in [
        ("0", "0"),
        ("i", "i"),
        ("-i - 1", "-i - 1"),
        ("3 + k*2 - i*C*8 + n", "-i*8*C + k*2 + n + 3"),
        ("(i + k - 1)*(C + 2)", "i*2 + i*C + k*2 + k*C - C - 2"),
        ("2*(n - 1)*C", "-2*C + 2*C*n"),
        ("-9223372036854775808 + i", "i - 9223372036854775808"),
        ("k.1 + i.0 + n$1", "i + k + n"),
        ("i*2 - 2*i", "0"),
    ] {
        let p = parsed(&format!("{head}{written}{tail}"));
        let text = print(&p);
        let got = text.lines().find_map(|l| l.trim().strip_prefix("v0: i8 = load x[")).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(got, format!("{printed}]"), "{written}");
        assert_eq!(parsed(&text), p, "{written}");
    }
}

#[test]
fn names_that_shadow() {
    let mut k = KernelBuilder::new("shadow");
    let (x, y) = (k.read("x"), k.write("x"));
    let p = k.param("i");
    k.each("i", p, 1, |k, i| {
        k.each("i", 4, 1, |k, j| {
            let v = k.load(Elem::U8.x(1), x.at(i * 4 + j + p));
            k.store(y.at(j), v);
        });
    });
    // A sibling of the same name is no other counter's shadow.
    k.each("i", 4, 1, |k, i| {
        let v = k.load(Elem::U8.x(1), x.at(i));
        k.store(y.at(i), v);
    });
    let p = Program { kernels: vec![k.finish()], ..Program::default() };
    let text = print(&p);
    assert!(text.contains("load x[i.0*4 + i + i$0]"), "{text}");
    assert!(text.contains("store x.1[i] = v1\n"), "{text}");
    assert_eq!(parsed(&text), p);
}

#[test]
fn display_leaves_long_constants_out() {
    let constant = |data: Vec<u8>| Buffer {
        name: "w".into(),
        role: Role::Const,
        size_bytes: data.len() as u64,
        align: 64,
        data: Some(data.into()),
        view: None,
        offset_bytes: None,
    };
    let p = Program { buffers: vec![constant((0..99).collect()), constant(vec![0; 99])], ..Program::default() };
    let short = display(&p);
    assert!(short.contains("99 bytes align 64 (hash "), "{short}");
    assert!(short.contains("0x00 x99"), "{short}");
    assert!(parse(&short).is_err_and(|e| e.message.contains("left out") && e.line == 3));
    assert_eq!(parsed(&print(&p)), p);
}

#[test]
fn one_statement() {
    let p = parsed(&example());
    let k = &p.kernels[0];
    let Stmt::Loop(l) = &k.body[1] else { panic!() };
    assert_eq!(print_statement(k, &k.body[1]), "loop i in 0..n step 2 carry v1 = v0 -> v2");
    assert_eq!(print_statement(k, &l.body[0]), "row r0 = x[(i - 1)*C, 4 bytes] if 0 <= i - 1 < n else fill");
    assert_eq!(print_statement(k, &l.body[0].clone()), "");
}

#[test]
fn mistakes_have_a_line_and_say_what_was_expected() {
    let in_kernel = |line: &str| format!("kernel k(x: read, y: write; C) {{\n  v0: i32 = const 0\n{line}\n}}\n");
    for (line, needle) in [
        ("v1: i32x = const 0", "type"),
        ("v1: i31 = const 0", "type"),
        ("v1: i32 = nosuch v0", "operation, found `nosuch"),
        ("v1: i32 = add v0", "`,`, found the end"),
        ("v1: i32 = add v0, 3", "value"),
        ("v0: i8 = const 1", "one type"),
        ("v2: i8 = const 1", "v1 is not defined"),
        ("v1: f32 = const x", "number"),
        ("v1: i8 = load z[0]", "argument"),
        ("v1: i8 = load x[i]", "counter or parameter, found `i]`"),
        ("v1: i8 = load x[C*", "an index"),
        ("v1: i8 = load x[9223372036854775808]", "64 bits"),
        ("v1: i8 = load x[4611686018427387904*2]", "64 bits"),
        ("v1: i8 = load x[C.0]", "no counter C with number 0"),
        ("v1: i8 = load x[C$1]", "parameter"),
        ("loop i in 0..4 {\nv1: i8 = load x[i*i]\n}", "two"),
        ("loop i in 0..4 {", "`}`"),
        ("loop i in 0..4 carry v1 = v0 -> v2 {\n}", "expected 1 values after `next`, found 0"),
        ("loop i in 0..4 {\nnext v0\n}", "found 1"),
        ("loop i in 0..4 carry v1, v2 = v0 -> v3 {\nnext v0\n}", "equally many"),
        ("loop i in 0..4 carry v1..=v4294967295 = v0 -> v3 {\n}", "run of"),
        ("loop i in 0..4 carry v1 = v9 -> v2 {\nnext v0\n}", "v9"),
        ("next v0", "only in loops"),
        ("store y[0] = v0 last 3", "end of the line"),
        ("row r0 = x[0, 4 bytes] if 0 < 4 else y", "`<=`"),
        ("split a = C by 4", "`,`"),
        ("unused v1:", "type"),
        ("mul v0, v0", "statement"),
        ("v1: i8 = load x[((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1))))))", "brackets"),
    ] {
        match parse(&in_kernel(line)) {
            Ok(_) => panic!("accepted: {line}"),
            Err(e) => assert!(e.message.contains(needle) && (1..=6).contains(&e.line), "{line}: {e}"),
        }
    }
    for (text, needle) in [
        ("b1 = scratch \"\" 4 bytes align 1", "buffer `b0`"),
        ("b0 = heap \"\" 4 bytes align 1", "`input`"),
        ("b0 = const \"\" 4 bytes align 1 0x000", "odd"),
        ("b0 = const \"\" 4 bytes align 1 0x00", "4 bytes of data, found 1"),
        ("b0 = const \"\" 99999999999 bytes align 1 0x00 x99999999999", "at most"),
        ("b0 = const \"x", "quote"),
        ("b0 = const \"\\q\" 4 bytes align 1", "escape"),
        ("call k()", "no kernel"),
        ("kernel k() {\n}\nkernel k() {\n}\ncall k()", "several"),
        ("kernel k(x: read) {\n}\ncall k(y: b0)", "argument `x`"),
        ("kernel k(x: exec) {\n}", "`read` or `write`"),
        ("kernel k(x: write in place of z) {\n}", "argument"),
        ("€", "€"),
    ] {
        match parse(text) {
            Ok(_) => panic!("accepted: {text}"),
            Err(e) => assert!(e.message.contains(needle), "{text}: {e}"),
        }
    }
    let deep = in_kernel(&"loop i in 0..4 {\n".repeat(1000));
    assert!(parse(&deep).is_err_and(|e| e.message.contains("64 loops")));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn printed_programs_parse_as_they_were(choices in proptest::collection::vec(any::<u32>(), 0..400)) {
        let p = random::program(&choices);
        let text = print(&p);
        match parse(&text) {
            Ok(q) => prop_assert!(p == q, "{text}\n{p:?}\n{q:?}"),
            Err(e) => prop_assert!(false, "{e}\n{text}"),
        }
    }

    /// Broken text gives an error, not a panic.
    #[test]
    fn broken_text_is_refused(choices in proptest::collection::vec(any::<u32>(), 0..200), at in any::<usize>(), with in ".{0,4}") {
        let mut text: Vec<char> = print(&random::program(&choices)).chars().collect();
        let at = at % (text.len() + 1);
        let end = (at + with.chars().count() / 2).min(text.len());
        text.splice(at..end, with.chars());
        let _ = parse(&text.into_iter().collect::<String>());
    }
}
