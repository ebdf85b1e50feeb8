//! Plans of random programs: the check accepts them, and running them in the arena changes no byte.

use super::*;
use crate::builder::KernelBuilder;
use crate::index::Index;
use crate::interpret;
use crate::types::Elem;
use proptest::prelude::*;

/// `y[i] = a[i] + b[i] + 1`; `y` may take the place of `a`.
fn add(size: u64) -> Kernel {
    let mut k = KernelBuilder::new("add");
    let (a, b) = (k.read("a"), k.read("b"));
    let y = k.write_in_place("y", a);
    k.each("i", size as i64, 1, |k, i| {
        let (a, b, one) = (k.load(Elem::U8.x(1), a.at(i)), k.load(Elem::U8.x(1), b.at(i)), k.int(Elem::U8.x(1), 1));
        let sum = k.add(a, b);
        let sum = k.add(sum, one);
        k.store(y.at(i), sum);
    });
    k.finish()
}

/// `y[i] = x[last] + temporary[i]`, where the temporary is written first.
fn spread(from: u64, to: u64) -> Kernel {
    let mut k = KernelBuilder::new("spread");
    let (x, temporary, y) = (k.read("x"), k.read_write("t"), k.write("y"));
    k.each("i", to as i64, 1, |k, i| {
        let v = k.load(Elem::U8.x(1), x.at(Index::from(from as i64 - 1)));
        let v = k.shl_imm(v, 1);
        k.store(temporary.at(i), v);
    });
    k.each("i", to as i64, 1, |k, i| {
        let (v, t) = (k.load(Elem::U8.x(1), x.at(Index::from(from as i64 - 1))), k.load(Elem::U8.x(1), temporary.at(i)));
        let sum = k.add(v, t);
        k.store(y.at(i), sum);
    });
    k.finish()
}

/// `y[at] = x[0] + 1`: of all bytes of y, one in each turn.
fn put() -> Kernel {
    let mut k = KernelBuilder::new("put");
    let (y, x) = (k.write("y"), k.read("x"));
    let at = k.param("at");
    let (v, one) = (k.load(Elem::U8.x(1), x.at(0)), k.int(Elem::U8.x(1), 1));
    let sum = k.add(v, one);
    k.store(y.at(at), sum);
    k.finish()
}

/// `y[i] += x[0]`
fn accumulate() -> Kernel {
    let mut k = KernelBuilder::new("accumulate");
    let (x, y) = (k.read("x"), k.read_write("y"));
    k.each("i", 8, 1, |k, i| {
        let (v, sum) = (k.load(Elem::U8.x(1), x.at(0)), k.load(Elem::U8.x(1), y.at(i)));
        let sum = k.add(sum, v);
        k.store(y.at(i), sum);
    });
    k.finish()
}

/// `flag = count & 3`, then one less; the flag is 0 in the end.
fn down() -> Kernel {
    let mut k = KernelBuilder::new("down");
    let (count, flag) = (k.read_write("count"), k.write("flag"));
    let ty = Elem::U8.x(1);
    let (v, three, one) = (k.load(ty, count.at(0)), k.int(ty, 3), k.int(ty, 1));
    let left = k.and(v, three);
    k.store(flag.at(0), left);
    let less = k.sub(v, one);
    k.store(count.at(0), less);
    k.finish()
}

/// What is around the calls of some wishes one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Around {
    Nothing,
    /// Several turns, which add up something.
    Repeat,
    /// The same in both branches.
    If,
    While,
    /// Eight turns, each of which writes a byte of something that is read behind them.
    Parts,
}

#[derive(Clone, Debug)]
struct Wish {
    around: Around,
    span: usize,
    /// Of the buffers there are: which to read.
    a: usize,
    b: usize,
    size: u64,
    /// The result is two halves of one buffer, written one by one.
    halves: bool,
}

fn wish() -> impl Strategy<Value = Wish> {
    use Around::*;
    let around = prop::sample::select(vec![Nothing, Nothing, Nothing, Nothing, Repeat, If, While, Parts]);
    let sizes = prop::sample::select(vec![1, 8, 8, 8, 24, 100]);
    (any::<usize>(), any::<usize>(), sizes, prop::bool::weighted(0.2), around, 1usize..4)
        .prop_map(|(a, b, size, halves, around, span)| Wish { a, b, size, halves, around, span })
}

fn program(wishes: &[Wish]) -> Program {
    let mut p = Program { name: "random".into(), ..Program::default() };
    let buffer = |p: &mut Program, role, size_bytes, view| {
        p.buffers.push(Buffer { name: format!("b{}", p.buffers.len()), role, size_bytes, align: 8, data: None, view, offset_bytes: None });
        BufferId(p.buffers.len() as u32 - 1)
    };
    let new_call = |p: &mut Program, kernel, buffers: &[BufferId]| {
        p.kernels.push(kernel);
        let kernel = KernelId(p.kernels.len() as u32 - 1);
        Step::Call(Call { kernel, buffers: buffers.to_vec(), params: vec![], advance: vec![], operator: None })
    };
    let call = |p: &mut Program, kernel, buffers: &[BufferId]| {
        let step = new_call(p, kernel, buffers);
        p.schedule.push(step);
    };
    // The steps of each wish.
    let mut units: Vec<Vec<Step>> = vec![];
    let mut known = vec![buffer(&mut p, Role::Input(0), 8, None)];
    for w in wishes {
        let recent = |n: usize| known[known.len() - 1 - n % known.len().min(4)];
        let (a, b) = (recent(w.a), recent(w.b));
        let size = |p: &Program, id: BufferId| p.buffer(id).size_bytes;
        let mut targets = vec![];
        if w.halves {
            let parent = buffer(&mut p, Role::Scratch, 16, None);
            for offset_bytes in [8, 0] {
                targets.push(buffer(&mut p, Role::Scratch, 8, Some(View { parent, offset_bytes })));
            }
            known.push(parent);
        } else {
            targets.push(buffer(&mut p, Role::Scratch, w.size, None));
            known.push(targets[0]);
        }
        for y in targets {
            if size(&p, a) == size(&p, y) && size(&p, b) == size(&p, y) && a != b {
                let kernel = add(size(&p, y));
                call(&mut p, kernel, &[a, b, y]);
            } else {
                let (from, to) = (size(&p, a), size(&p, y));
                let kernel = spread(from, to);
                let temporary = buffer(&mut p, Role::Scratch, to, None);
                call(&mut p, kernel, &[a, temporary, y]);
            }
        }
        units.push(std::mem::take(&mut p.schedule));
    }
    for (i, w) in wishes.iter().enumerate().rev() {
        if w.around == Around::Nothing {
            continue;
        }
        let body: Vec<Step> = units[i..wishes.len().min(i + w.span)].iter_mut().flat_map(std::mem::take).collect();
        let own = buffer(&mut p, Role::Scratch, 8, None);
        let (temporary, read) = (buffer(&mut p, Role::Scratch, 8, None), buffer(&mut p, Role::Scratch, 8, None));
        let last = Line::of(&body).moments.iter().flat_map(|m| m.calls).last().unwrap().buffers.last().copied().unwrap();
        let new = new_call(&mut p, spread(8, 8), &[known[0], temporary, own]);
        let behind = new_call(&mut p, spread(8, 8), &[own, temporary, read]);
        let mut inside = body.clone();
        units[i] = match w.around {
            Around::Nothing => body,
            Around::If => vec![Step::If { condition: known[0], then: body.clone(), otherwise: body }],
            Around::Repeat => {
                inside.push(new_call(&mut p, accumulate(), &[last, own]));
                vec![new, Step::Repeat { count: 3, body: inside }, behind]
            }
            Around::While => {
                let flag = buffer(&mut p, Role::Scratch, 1, None);
                // Where no plan can destroy it, so that every loop ends.
                let count = p.add_state("count", 1, 1, Some(vec![3].into()));
                let test = vec![new_call(&mut p, down(), &[count, flag])];
                vec![Step::While { test, condition: flag, body: inside }]
            }
            Around::Parts => {
                let mut each = new_call(&mut p, put(), &[own, last]);
                if let Step::Call(c) = &mut each {
                    (c.params, c.advance) = (vec![7], vec![-1]);
                }
                inside.push(each);
                vec![Step::Repeat { count: 8, body: inside }, behind]
            }
        };
    }
    p.schedule = units.into_iter().flatten().collect();
    // What is behind a loop that might have no turn has its contents from before it, or from the loop.
    let last = known[known.len() - 1];
    let out = buffer(&mut p, Role::Output(0), 8, None);
    let kernel = spread(p.buffer(last).size_bytes, 8);
    let temporary = buffer(&mut p, Role::Scratch, 8, None);
    call(&mut p, kernel, &[last, temporary, out]);
    p
}

/// What each call wrote last, and the output.
fn trace(p: &Program) -> Result<Vec<Vec<u8>>, interpret::Error> {
    let mut out = [0; 8];
    let mut seen = vec![];
    let calls: Vec<&Call> = p.calls().collect();
    let written = |call: usize| calls[call].buffers[calls[call].buffers.len() - 1];
    interpret::run_observed(p, &[&[3, 1, 4, 1, 5, 9, 2, 6]], &mut [&mut out], |i, view| seen.push(view.bytes(written(i)).to_vec()))?;
    seen.push(out.to_vec());
    Ok(seen)
}

/// In each way in which the arena is planned.
fn planned(p: &mut Program, io: u8) -> Plan {
    match io {
        0 => plan(p),
        1 => plan_with_io(p, 16),
        _ => plan_behind_io(p, 16),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn plans_change_no_result(wishes in prop::collection::vec(wish(), 1..25), io in 0u8..3) {
        let mut p = program(&wishes);
        let apart = trace(&p).unwrap();
        let plan = planned(&mut p, io);
        prop_assert!(io == 0 || p.buffers.iter().all(|b| b.role == Role::Scratch || b.offset_bytes.is_some()));
        prop_assert_eq!(check(&p), Ok(()));
        prop_assert!(plan.lower_bound_bytes <= plan.arena_size_bytes);
        prop_assert!(plan.is_optimal || plan.lower_bound_bytes < plan.arena_size_bytes);
        prop_assert!(plan.intervals.iter().all(|l| l.offset_bytes + l.size_bytes <= plan.arena_size_bytes));
        let peak = plan.peak.unwrap();
        prop_assert!(peak.buffers.iter().map(|b| b.1).sum::<u64>() <= 2 * plan.lower_bound_bytes);
        prop_assert_eq!(trace(&p).unwrap(), apart);
    }

    /// The check sees what a wrong place destroys: it refuses every plan whose results are wrong.
    #[test]
    fn the_check_sees_damage(wishes in prop::collection::vec(wish(), 2..12), which: usize, to in 0u64..6, io in 0u8..3) {
        let mut p = program(&wishes);
        let apart = trace(&p).unwrap();
        let plan = planned(&mut p, io);
        let moved = plan.intervals[which % plan.intervals.len()].buffer;
        p.buffers[moved.0 as usize].offset_bytes = Some(to * 8);
        let same = trace(&p).is_ok_and(|t| t == apart);
        prop_assert!(same || check(&p).is_err());
    }
}

/// Where inputs and outputs are does not depend on the calls, and everything else is behind them.
#[test]
fn what_levels_agree_on_depends_on_sizes_alone() {
    let mut places = vec![];
    for scratch in [0u64, 40, 4000] {
        let mut k = KernelBuilder::new("copy");
        let (x, y) = (k.read("x"), k.write("y"));
        let v = k.load(Elem::U8.x(1), x.at(0));
        k.store(y.at(0), v);
        let buffer = |role, size_bytes| Buffer { name: "b".into(), role, size_bytes, align: 1, data: None, view: None, offset_bytes: None };
        let mut buffers = vec![buffer(Role::Output(0), 13), buffer(Role::Input(1), 100), buffer(Role::Input(0), 7)];
        let call = |from, to| {
            let buffers = vec![BufferId(from), BufferId(to)];
            Step::Call(Call { kernel: KernelId(0), buffers, params: vec![], advance: vec![], operator: None })
        };
        let mut schedule = vec![call(2, 0)];
        if 0 < scratch {
            buffers.push(buffer(Role::Scratch, scratch));
            schedule = vec![call(2, 3), call(3, 0)];
        }
        let mut p = Program { name: "p".into(), buffers, kernels: vec![k.finish()], schedule };
        let plan = plan_behind_io(&mut p, 32);
        assert_eq!(check(&p), Ok(()));
        assert_eq!(crate::verify::verify(&p), Ok(()));
        let ends = p.buffers.iter().map(|b| b.offset_bytes.expect("a place") + b.size_bytes);
        assert!(ends.max() <= Some(plan.arena_size_bytes) && plan.lower_bound_bytes <= plan.arena_size_bytes);
        assert!(p.buffers[3..].iter().all(|b| b.offset_bytes >= Some(125)));
        assert_eq!(plan.intervals.len(), p.buffers.len());
        places.push([0, 1, 2].map(|b| p.buffers[b].offset_bytes));
    }
    assert_eq!(places, [[Some(112), Some(8), Some(0)]; 3]);
}

/// A loop at the very beginning reads an input in every turn, so nothing of the loop may have the input's place.
#[test]
fn an_input_lives_in_all_turns_of_the_first_loop() {
    let around = |around| Wish { around, span: 2, a: 0, b: 0, size: 8, halves: false };
    for kind in [Around::Parts, Around::Repeat] {
        let mut p = program(&[around(kind), around(Around::Nothing), around(Around::Nothing)]);
        let apart = trace(&p).unwrap();
        plan_with_io(&mut p, 16);
        assert_eq!((check(&p), trace(&p).unwrap() == apart), (Ok(()), true));
        let input = p.buffers[0].offset_bytes.unwrap();
        let body = p.schedule.iter().find(|s| matches!(s, Step::Repeat { .. })).unwrap().bodies()[0];
        let inside: Vec<BufferId> = body.iter().flat_map(|s| s.calls()).flat_map(|c| c.buffers.clone()).collect();
        for b in inside.into_iter().filter(|b| b.0 != 0) {
            let mut other = p.clone();
            other.buffers[b.0 as usize].offset_bytes = Some(input);
            assert!(check(&other).is_err(), "{} in the place of the input", p.buffer(b).name);
        }
    }
}

/// The two branches of a choice have the same memory; a state has none of the arena.
#[test]
fn branches_share_and_states_do_not() {
    let wish = |a| Wish { around: Around::Nothing, span: 1, a, b: 0, size: 24, halves: false };
    let mut p = program(&[wish(0)]);
    let (out, mut calls) = (p.schedule.pop().unwrap(), std::mem::take(&mut p.schedule));
    let one = plan_of_schedule(&mut p, calls.clone());
    let mut other = calls.clone();
    for c in other.iter_mut().flat_map(|s| match s {
        Step::Call(c) => Some(c),
        _ => None,
    }) {
        for b in c.buffers.iter_mut().filter(|b| b.0 != 0) {
            p.buffers.push(p.buffer(*b).clone());
            *b = BufferId(p.buffers.len() as u32 - 1);
        }
    }
    let both = vec![Step::If { condition: BufferId(0), then: calls.clone(), otherwise: other.clone() }];
    assert_eq!(plan_of_schedule(&mut p, both), one);
    calls.extend(other);
    assert!(one < plan_of_schedule(&mut p, [calls, vec![out]].concat()) + 1);
    let state = p.add_state("state", 1 << 20, 64, None);
    let last = p.schedule.len() - 1;
    if let Step::Call(c) = &mut p.schedule[last] {
        c.buffers[0] = state;
    }
    let before = p.state();
    assert!(plan(&mut p).arena_size_bytes < 1 << 20);
    assert_eq!((check(&p), p.state()), (Ok(()), before));
}

/// A whole that is joined behind a loop lives to the end of the text, of which the schedule's steps are fewer.
#[test]
fn what_is_joined_lives_beyond_the_calls_of_a_loop() {
    let wish = |size| Wish { around: Around::Nothing, span: 1, a: 0, b: 0, size, halves: false };
    let mut p = program(&[8, 8, 8, 1000].map(wish));
    p.buffers.push(Buffer { size_bytes: 1 << 20, ..p.buffer(BufferId(1)).clone() });
    let whole = BufferId(p.buffers.len() as u32 - 1);
    let least = |p: &Program| {
        let joining = Joining { whole, parts: &[BufferId(1)], copied: &[], overwritten: None };
        least_bytes_joining(p, &joining, |_| false)
    };
    let flat = least(&p);
    let (out, body) = (p.schedule.pop().unwrap(), std::mem::take(&mut p.schedule));
    p.schedule = vec![Step::Repeat { count: 1, body }, out];
    assert!((1 << 20) + 1000 <= flat && flat <= least(&p));
}

fn plan_of_schedule(p: &mut Program, schedule: Vec<Step>) -> u64 {
    p.schedule = schedule;
    let size = plan(p).arena_size_bytes;
    assert_eq!(check(p), Ok(()));
    size
}

#[test]
fn places_are_taken_where_that_is_allowed() {
    // b1 is made of the input b0 by way of b2, then sums of the last two are b3, b4 and b5.
    let taken = |a, b| {
        let mut p = program(&[0; 4].map(|_| Wish { around: Around::Nothing, span: 1, a, b, size: 8, halves: false }));
        let plan = plan(&mut p);
        let taken = plan.intervals.iter().filter_map(|l| Some((l.buffer.0, l.in_place_of?.0))).collect::<Vec<_>>();
        (taken, plan.arena_size_bytes, plan.lower_bound_bytes)
    };
    // A sum could take the place of the last, but only the last sum needs it no more.
    assert_eq!(taken(0, 1), (vec![(5, 4)], 24, 24));
    // Or of the one before, which nothing needs again; b3 could take only that of the input.
    assert_eq!(taken(1, 0), (vec![(4, 1), (5, 3)], 16, 16));
}

#[test]
fn unused_buffers_have_no_place() {
    let mut p = program(&[Wish { around: Around::Nothing, span: 1, a: 0, b: 0, size: 8, halves: false }]);
    p.buffers.push(Buffer {
        name: "idle".into(),
        role: Role::Scratch,
        size_bytes: 1 << 40,
        align: 8,
        data: None,
        view: None,
        offset_bytes: None,
    });
    let plan = plan(&mut p);
    assert!(plan.arena_size_bytes < 100);
    assert_eq!(p.buffers.last().unwrap().offset_bytes, None);
    assert!(p.buffers.iter().all(|b| b.offset_bytes.is_none() || b.role == Role::Scratch));
}

#[test]
fn the_check_wants_places_and_alignment() {
    let mut p = program(&[Wish { around: Around::Nothing, span: 1, a: 0, b: 0, size: 8, halves: false }]);
    assert_eq!(check(&p), Err("`b1` has no place".into()));
    plan(&mut p);
    let offset = p.buffers[1].offset_bytes.unwrap();
    p.buffers[1].offset_bytes = Some(offset + 1);
    assert_eq!(check(&p), Err(format!("`b1` is at {}, not aligned to 8", offset + 1)));
    p.buffers[1].offset_bytes = Some(offset);
    p.buffers[0].role = Role::Const;
    p.buffers[0].offset_bytes = Some(0);
    assert_eq!(check(&p), Err("`b0` is a constant, but has a place in the arena".into()));
}

/// An operand that is read at the very end of a loop is read there again in the next turn, so no result takes its place.
#[test]
fn nothing_takes_the_place_of_what_the_next_turn_reads() {
    let wish = |around, a, b| Wish { around, span: 1, a, b, size: 8, halves: false };
    let mut p = program(&[wish(Around::Nothing, 0, 0), wish(Around::While, 0, 1), wish(Around::Nothing, 1, 1)]);
    let apart = trace(&p).unwrap();
    plan(&mut p);
    assert_eq!((check(&p), trace(&p).unwrap() == apart), (Ok(()), true));
    let body = p.schedule.iter().find(|s| matches!(s, Step::While { .. })).unwrap().bodies()[1];
    let [a, _, y] = body[0].calls()[0].buffers[..] else { panic!("a sum") };
    let place = p.buffer(a).offset_bytes;
    p.buffers[y.0 as usize].offset_bytes = place;
    assert!(check(&p).is_err());
}
