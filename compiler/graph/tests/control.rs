//! Branches and loops, lowered for several machines, planned, proved and interpreted.
//!
//! The idea: graphs are texts of whole numbers as f32 or i32, so what comes out is known exactly; each is also rewritten first.

use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::rewrite;
use cranelite_graph::text::{Constants, parse, print};
use cranelite_tile::{ByteDot, Machine, arena, interpret, verify};

/// All outputs, in i32, of each of the invocations of one instance.
fn run(text: &str, invocations: &[&[&[i32]]], sizes: &[usize]) -> Vec<Vec<Vec<i32>>> {
    let parsed = parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    cranelite_graph::verify::verify(&parsed).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    assert_eq!(parse(&print(&parsed, Constants::Whole)).as_ref(), Ok(&parsed));
    let mut results: Vec<Vec<Vec<Vec<i32>>>> = vec![];
    for is_rewritten in [false, true] {
        let mut graph = parsed.clone();
        if is_rewritten {
            rewrite::all(&mut graph, |_, _| {});
        }
        for (goal, bytes) in [(Goal::Speed, 0), (Goal::Speed, 16), (Goal::Speed, 64), (Goal::Size, 16)] {
            let machine = Machine::example(bytes, ByteDot::S16S16, false, false);
            let mut program = lower(&graph, &machine, goal).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
            arena::plan(&mut program);
            arena::check(&program).unwrap();
            verify::verify(&program).unwrap_or_else(|e| panic!("{e:?}\n{}", cranelite_tile::text::print(&program)));
            let mut state = program.state().map(|s| s.initial).unwrap_or_default();
            let one = |inputs: &&[&[i32]]| {
                let inputs: Vec<Vec<u8>> = inputs.iter().map(|i| i.iter().flat_map(|n| n.to_le_bytes()).collect()).collect();
                let inputs: Vec<&[u8]> = graph.inputs.iter().zip(&inputs).map(|(v, i)| &i[..graph.ty(*v).size_bytes()]).collect();
                let mut outputs: Vec<Vec<u8>> = sizes.iter().map(|n| vec![0xAA; 4 * n]).collect();
                let mut slices: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
                interpret::run_with_state(&program, &inputs, &mut slices, &mut state, |_, _| {}).unwrap_or_else(|e| panic!("{e}\n{text}"));
                let numbers = |o: &Vec<u8>| o.chunks(4).map(|c| i32::from_le_bytes(c.try_into().unwrap())).collect();
                outputs.iter().map(numbers).collect::<Vec<Vec<i32>>>()
            };
            results.push(invocations.iter().map(one).collect());
        }
    }
    assert!(results.iter().all(|r| *r == results[0]), "{results:?}\n{text}");
    results.remove(0)
}

const ADD: &str = "{activation=none, pot_scale_int16=false}";

#[test]
fn a_branch_gives_the_results() {
    // One computes, one hands its operands on crosswise, with a constant twice.
    let text = format!(
        "graph \"g\"\ninputs %c, %x, %y\noutputs %a, %b, %d, %e\n%c: bool[]\n%x: i32[3]\n%y: i32[3]\n\
         %a: i32[3], %b: i32[3], %d: i32[3], %e: i32[3] = if %c, %x, %y @0\n\
         body\ngraph \"then\"\ninputs %0, %1\noutputs %2, %3, %2, %0\n%0: i32[3]\n%1: i32[3]\n%2: i32[3] = add %0, %1 {ADD} @1\n\
         %3: i32[3] = sub %0, %2 {ADD} @2\nend\n\
         body\ngraph \"otherwise\"\ninputs %0, %1\noutputs %1, %0, %2, %2\n%0: i32[3]\n%1: i32[3]\n%2 = const i32[3] [7, 8, 9]\nend\n"
    );
    let (x, y): (&[i32], &[i32]) = (&[1, 2, 3], &[10, 20, 30]);
    let all = run(&text, &[&[&[1], x, y], &[&[0], x, y], &[&[0x100], x, y], &[&[5], x, y]], &[3; 4]);
    let then = vec![vec![11, 22, 33], vec![-10, -20, -30], vec![11, 22, 33], vec![1, 2, 3]];
    let otherwise = vec![vec![10, 20, 30], vec![1, 2, 3], vec![7, 8, 9], vec![7, 8, 9]];
    // Any byte but 0 is true; what follows the byte is not read.
    assert_eq!(all, [then.clone(), otherwise.clone(), otherwise, then]);
}

#[test]
fn a_branch_leaves_what_is_needed_later() {
    // The operand dies nowhere: it is read by both branches in place of nothing, and after them.
    let text = format!(
        "graph \"g\"\ninputs %c, %x\noutputs %z\n%c: bool[1]\n%x: i32[5]\n%t: i32[5] = add %x, %x {ADD} @0\n%y: i32[5] = if %c, %t @1\n\
         body\ngraph \"a\"\ninputs %0\noutputs %2\n%0: i32[5]\n%1: i32[5] = add %0, %0 {ADD} @2\n%2: i32[5] = add %1, %0 {ADD} @3\nend\n\
         body\ngraph \"b\"\ninputs %0\noutputs %1\n%0: i32[5]\n%1: i32[5] = relu_twice %0 @4\nend\n%z: i32[5] = sub %y, %t {ADD} @5\n"
    )
    .replace("relu_twice %0 @4", &format!("sub %0, %0 {ADD} @4"));
    let x: &[i32] = &[1, -2, 3, 4, 5];
    assert_eq!(run(&text, &[&[&[1], x], &[&[0], x]], &[5]), [[[4, -8, 12, 16, 20]], [[-2, 4, -6, -8, -10]]]);
}

#[test]
fn cases_by_number() {
    let branch = |name: &str, c: i32| {
        format!(
            "body\ngraph \"{name}\"\ninputs %0\noutputs %2\n%0: i32[2]\n%1 = const i32[1] [{c}]\n%2: i32[2] = add %0, %1 {ADD} @1\nend\n"
        )
    };
    let text = format!(
        "graph \"g\"\ninputs %n, %x\noutputs %y\n%n: i32[1]\n%x: i32[2]\n%y: i32[2] = stablehlo_case %n, %x @0\n{}{}{}",
        branch("zero", 100),
        branch("one", 200),
        branch("two", 300)
    );
    let x: &[i32] = &[1, 2];
    let calls: Vec<[&[i32]; 2]> = [[0], [1], [2], [3], [-1], [i32::MIN]].iter().map(|n| [&n[..], x]).collect();
    let calls: Vec<&[&[i32]]> = calls.iter().map(|c| &c[..]).collect();
    let firsts: Vec<i32> = run(&text, &calls, &[2]).iter().map(|o| o[0][0]).collect();
    assert_eq!(firsts, [101, 201, 301, 301, 301, 301]);
}

/// A loop of `outputs` over `%0`, the number of turns left, and three more values.
fn looped(outputs: &str, lines: &str) -> String {
    format!(
        "graph \"g\"\ninputs %n, %x, %y, %z\noutputs %a, %b, %c, %d\n%n: i32[1]\n%x: i32[3]\n%y: i32[3]\n%z: i32[3]\n\
         %a: i32[1], %b: i32[3], %c: i32[3], %d: i32[3] = while %n, %x, %y, %z @0\n\
         body\ngraph \"test\"\ninputs %0, %1, %2, %3\noutputs %5\n%0: i32[1]\n%1: i32[3]\n%2: i32[3]\n%3: i32[3]\n%4 = const i32[1] [0]\n\
         %5: bool[1] = greater %0, %4 @1\nend\n\
         body\ngraph \"body\"\ninputs %0, %1, %2, %3\noutputs {outputs}\n%0: i32[1]\n%1: i32[3]\n%2: i32[3]\n%3: i32[3]\n%4 = const i32[1] [1]\n\
         %5: i32[1] = sub %0, %4 {ADD} @2\n{lines}end\n"
    )
}

#[test]
fn a_loop_ends() {
    let (x, y, z): (&[i32], &[i32], &[i32]) = (&[1, 2, 3], &[10, 20, 30], &[5, 6, 7]);
    // One changes by another, which stays; one is handed from operand to operand.
    let text = looped("%5, %6, %2, %7", &format!("%6: i32[3] = add %1, %2 {ADD} @3\n%7: i32[3] = sub %6, %3 {ADD} @4\n"));
    let expected = |n: i32| {
        let (mut b, mut d) = ([1, 2, 3], [5, 6, 7]);
        for _ in 0..n {
            (0..3).for_each(|i| b[i] += y[i]);
            (0..3).for_each(|i| d[i] = b[i] - d[i]);
        }
        vec![vec![0.min(n)], b.to_vec(), y.to_vec(), d.to_vec()]
    };
    let all = run(&text, &[&[&[0], x, y, z], &[&[1], x, y, z], &[&[2], x, y, z], &[&[9], x, y, z], &[&[-3], x, y, z]], &[1, 3, 3, 3]);
    let mut none = expected(0);
    none[0] = vec![-3];
    assert_eq!(all, [expected(0), expected(1), expected(2), expected(9), none]);
}

#[test]
fn operands_that_change_places() {
    let (x, y, z): (&[i32], &[i32], &[i32]) = (&[1; 3], &[2; 3], &[3; 3]);
    let firsts = |outputs: &str, lines: &str, n: i32| -> Vec<i32> {
        let all = run(&looped(outputs, lines), &[&[&[n], x, y, z]], &[1, 3, 3, 3]).remove(0);
        all[1..].iter().map(|o| o[0]).collect()
    };
    assert_eq!(firsts("%5, %2, %1, %3", "", 1), [2, 1, 3]);
    assert_eq!(firsts("%5, %2, %1, %3", "", 2), [1, 2, 3]);
    assert_eq!(firsts("%5, %2, %3, %1", "", 2), [3, 1, 2]);
    assert_eq!(firsts("%5, %3, %1, %2", "", 2), [2, 3, 1]);
    assert_eq!(firsts("%5, %2, %2, %2", "", 2), [2, 2, 2]);
    let sum = format!("%6: i32[3] = add %1, %2 {ADD} @3\n");
    assert_eq!(firsts("%5, %2, %6, %3", &sum, 3), [5, 8, 3]);
    assert_eq!(firsts("%5, %6, %6, %3", &sum, 2), [6, 6, 3]);
    assert_eq!(firsts("%5, %6, %1, %2", &sum, 2), [4, 3, 1]);
    let shaped =
        "%6: i32[3] = reshape %1 {shape=[3]} @3\n%7: i32[1,3] = reshape %1 {shape=[1,3]} @3\n%8: i32[3] = reshape %7 {shape=[3]} @3\n";
    assert_eq!(firsts("%5, %2, %8, %6", shaped, 1), [2, 1, 1]);
}

#[test]
fn loops_in_loops_and_branches() {
    // The inner loop adds %1 to %2 as often as %0 says; the outer one does that and counts down, unless a branch stops it.
    let text = format!(
        "graph \"g\"\ninputs %n, %x\noutputs %a, %b\n%n: i32[1]\n%x: i32[2]\n%a: i32[1], %b: i32[2] = while %n, %x @0\n\
         body\ngraph \"test\"\ninputs %0, %1\noutputs %3\n%0: i32[1]\n%1: i32[2]\n%2 = const i32[1] [0]\n%3: bool[1] = greater %0, %2 @1\nend\n\
         body\ngraph \"body\"\ninputs %0, %1\noutputs %3, %7\n%0: i32[1]\n%1: i32[2]\n%2 = const i32[1] [1]\n%3: i32[1] = sub %0, %2 {ADD} @2\n\
         %4: i32[1], %5: i32[2] = while %0, %1 @3\n\
         body\ngraph \"inner test\"\ninputs %0, %1\noutputs %3\n%0: i32[1]\n%1: i32[2]\n%2 = const i32[1] [0]\n%3: bool[1] = greater %0, %2 @4\nend\n\
         body\ngraph \"inner body\"\ninputs %0, %1\noutputs %3, %4\n%0: i32[1]\n%1: i32[2]\n%2 = const i32[1] [1]\n%3: i32[1] = sub %0, %2 {ADD} @5\n\
         %4: i32[2] = add %1, %2 {ADD} @6\nend\n\
         %6: bool[1] = equal %3, %4 @7\n%7: i32[2] = if %6, %5, %1 @8\n\
         body\ngraph \"last\"\ninputs %0, %1\noutputs %2\n%0: i32[2]\n%1: i32[2]\n%2: i32[2] = sub %0, %1 {ADD} @9\nend\n\
         body\ngraph \"not last\"\ninputs %0, %1\noutputs %0\n%0: i32[2]\n%1: i32[2]\nend\nend\n"
    );
    // 4 + 3 + 2, then the last turn's difference, 1.
    assert_eq!(run(&text, &[&[&[4], &[10, 20]], &[&[0], &[10, 20]]], &[1, 2]), [[vec![0], vec![1, 1]], [vec![0], vec![10, 20]]]);
}

#[test]
fn states_in_bodies() {
    // A branch counts; the loop after it counts as often as the input says; outputs are what is in the state before, between and after.
    let text = format!(
        "graph \"g\"\ninputs %c, %n\noutputs %a, %b, %e\n%c: bool[1]\n%n: i32[1]\n%s = state i32[1] [100]\n%a: i32[1] = read_variable %s @0\n\
         if %c, %s @1\nbody\ngraph \"then\"\ninputs\noutputs\n%0 = state i32[1] zeros\n%1 = const i32[1] [10]\n%2: i32[1] = read_variable %0 @2\n\
         %3: i32[1] = add %1, %2 {ADD} @3\nassign_variable %0, %3 @4\nend\nbody\ngraph \"otherwise\"\ninputs\noutputs\n%0 = state i32[1] zeros\nend\n\
         %b: i32[1] = read_variable %s @5\n%d: i32[1] = while %n, %s @6\n\
         body\ngraph \"test\"\ninputs %0\noutputs %3\n%0: i32[1]\n%1 = state i32[1] zeros\n%2 = const i32[1] [0]\n%3: bool[1] = greater %0, %2 @7\nend\n\
         body\ngraph \"body\"\ninputs %0\noutputs %3\n%0: i32[1]\n%1 = state i32[1] zeros\n%2 = const i32[1] [1]\n%3: i32[1] = sub %0, %2 {ADD} @8\n\
         %4: i32[1] = read_variable %1 @9\n%5: i32[1] = add %4, %2 {ADD} @10\nassign_variable %1, %5 @11\nend\n%e: i32[1] = read_variable %s @12\n"
    );
    let graph = parse(&text).unwrap();
    let writes: Vec<_> = graph.nodes.iter().map(|n| n.op.writes()).collect();
    assert_eq!(writes, [vec![], vec![1], vec![], vec![1], vec![]]);
    let all = run(&text, &[&[&[1], &[3]], &[&[0], &[0]], &[&[1], &[1]]], &[1, 1, 1]);
    assert_eq!(all, [[[100], [110], [113]], [[113], [113], [113]], [[113], [123], [124]]]);
}

#[test]
fn a_loop_that_never_ends_is_refused() {
    let text = looped("%5, %1, %2, %3", "").replace("%5: bool[1] = greater %0, %4 @1", "%5 = const bool[1] 0x01");
    let graph = parse(&text).unwrap();
    let said = lower(&graph, &Machine::example(16, ByteDot::S16S16, false, false), Goal::Speed).unwrap_err();
    assert!(said[0].message.contains("never ends"), "{said:?}");
    let never = text.replace("0x01", "0x00");
    assert_eq!(run(&never, &[&[&[7], &[1; 3], &[2; 3], &[3; 3]]], &[1, 3, 3, 3]), [[vec![7], vec![1; 3], vec![2; 3], vec![3; 3]]]);
}

/// The interpreter gives up, so that what runs programs when a model is compiled ends.
#[test]
fn a_loop_of_very_many_turns() {
    let graph = parse(&looped("%5, %1, %2, %3", "")).unwrap();
    let program = lower(&graph, &Machine::example(16, ByteDot::S16S16, false, false), Goal::Speed).unwrap();
    let run = |n: i32| {
        let (n, x) = (n.to_le_bytes(), [0; 12]);
        let mut outputs = [vec![0; 4], vec![0; 12], vec![0; 12], vec![0; 12]];
        let mut slices: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        interpret::run(&program, &[&n, &x, &x, &x], &mut slices).map_err(|e| e.fault)
    };
    assert_eq!((run(1000), run(1 << 16)), (Ok(()), Ok(())));
    assert_eq!(run(i32::MAX), Err(interpret::Fault::TooManyTurns));
}
