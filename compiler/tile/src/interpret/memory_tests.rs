//! Memory, loops and rows as kernels see them, and programs.

use super::memory::FILLER;
use super::tests::lanes;
use super::*;
use crate::builder::KernelBuilder;
use crate::index::Index;
use crate::types::Elem::*;

/// Runs a kernel whose arguments are `x` (read) and `y` (written) over the given bytes and returns `y`.
fn through(x: &[u8], y_size: usize, body: impl FnOnce(&mut KernelBuilder, Arg, Arg)) -> Result<Vec<u8>, Fault> {
    let mut k = KernelBuilder::new("k");
    let (x_arg, y_arg) = (k.read("x"), k.write("y"));
    body(&mut k, x_arg, y_arg);
    let mut buffers = [x.to_vec(), vec![0; y_size]];
    call(&k.finish(), &[], &mut buffers).map_err(|e| e.fault)?;
    let [_, y] = buffers;
    Ok(y)
}

#[test]
fn partial_access_touches_no_more() {
    let copy = |x: &[u8], y: usize, count| {
        through(x, y, |k, x, y| {
            let v = k.load_part(U8.x(8), x.at(0), count);
            k.store_part(y.at(0), v, count);
        })
    };
    assert_eq!(copy(&[1, 2, 3], 3, 3), Ok(vec![1, 2, 3]));
    assert_eq!(copy(&[1, 2], 3, 3), Err(Fault::OutOfBounds { arg: 0, at: 0, count: 3, size: 2 }));
    assert_eq!(copy(&[1, 2, 3], 2, 3), Err(Fault::OutOfBounds { arg: 1, at: 0, count: 3, size: 2 }));
    let cleared = through(&[1, 2, 3], 4, |k, x, y| {
        let v = k.load_part(U8.x(4), x.at(0), 3);
        k.store(y.at(0), v);
    });
    assert_eq!(cleared, Ok(vec![1, 2, 3, 0]));
    let splat = through(&[1, 2, 3], 8, |k, x, y| {
        let v = k.load_splat_part(U8.x(8), 4, x.at(0), 3);
        k.store(y.at(0), v);
    });
    assert_eq!(splat, Ok(vec![1, 2, 3, 0, 1, 2, 3, 0]));
    let splat = through(&[1, 2], 5, |k, x, y| {
        let v = k.load_splat(U8.x(4), 2, x.at(0));
        k.store(y.at(0), v);
    });
    assert_eq!(splat, Ok(vec![1, 2, 1, 2, 0]));
    let below = through(&[1, 2], 1, |k, x, y| {
        let v = k.load(U8.x(1), x.at(-1));
        k.store(y.at(0), v);
    });
    assert_eq!(below, Err(Fault::OutOfBounds { arg: 0, at: -1, count: 1, size: 2 }));
}

#[test]
fn tables() {
    let table: Vec<u8> = (0..=255u8).flat_map(|i| (i16::from(i) * -3).to_le_bytes()).collect();
    let mut k = KernelBuilder::new("table");
    let (x, t, y) = (k.read("x"), k.read("t"), k.write("y"));
    let index = k.load(U8.x(3), x.at(0));
    let v = k.lookup(I16, t.at(0), index);
    k.store(y.at(0), v);
    let kernel = k.finish();
    let mut buffers = [vec![0, 1, 255], table, vec![0; 6]];
    call(&kernel, &[], &mut buffers).unwrap();
    assert_eq!(lanes::<i16>(&buffers[2]), [0, -3, -765]);
    buffers[1].pop();
    assert!(matches!(call(&kernel, &[], &mut buffers), Err(Error { fault: Fault::OutOfBounds { arg: 1, at: 510, .. }, .. })));
}

#[test]
fn loops_carry_values_all_at_once() {
    // Fibonacci: (a, b) goes to (b, a + b).
    let kernel = |count: i64| {
        let mut k = KernelBuilder::new("fibonacci");
        let y = k.write("y");
        let n = k.param("n");
        let (zero, one) = (k.int(U32.x(1), 0), k.int(U32.x(1), 1));
        let last = k.repeat("i", n * count, 2, &[zero, one], |k, i, v| {
            k.store(y.at(i * 4), v[0]);
            vec![v[1], k.add(v[0], v[1])]
        });
        k.store(y.at(64), last[1]);
        k.finish()
    };
    let mut y = [vec![0; 68]];
    call(&kernel(3), &[5], &mut y).unwrap();
    let y = lanes::<u32>(&y[0]);
    assert_eq!((&y[..16], y[16]), (&[0, 0, 1, 0, 1, 0, 2, 0, 3, 0, 5, 0, 8, 0, 13, 0][..], 34));
    let mut none = [vec![0; 68]];
    call(&kernel(-3), &[5], &mut none).unwrap();
    assert_eq!(lanes::<u32>(&none[0])[16], 1, "the initial value after no iteration");
    assert!(matches!(call(&kernel(1), &[], &mut none), Err(Error { fault: Fault::Parameters { expected: 1, given: 0 }, .. })));
    assert!(matches!(call(&kernel(i64::MAX), &[2], &mut none), Err(Error { fault: Fault::IndexOverflow, .. })));
}

#[test]
fn rows_guards_splits_and_clamps() {
    // A border of one zero point around three pixels of two bytes.
    let padded = |pixels: i64| {
        let mut k = KernelBuilder::new("pad");
        let (x, fill, y) = (k.read("x"), k.read("fill"), k.write("y"));
        k.each("i", pixels, 1, |k, i| {
            let guard = Guard { index: i + -1, limit: Index::from(3) };
            let row = k.row(x, i * 2 + -2, 2, vec![guard], fill);
            let v = k.load(U8.x(2), row.at(0));
            k.store(y.at(i * 2), v);
        });
        k.finish()
    };
    let mut buffers = [vec![1, 2, 3, 4, 5, 6], vec![9, 8], vec![0; 10]];
    call(&padded(5), &[], &mut buffers).unwrap();
    assert_eq!(buffers[2], [9, 8, 1, 2, 3, 4, 5, 6, 9, 8]);
    buffers[1].pop();
    let short = call(&padded(5), &[], &mut buffers).unwrap_err();
    assert_eq!(short.fault, Fault::OutOfBounds { arg: 1, at: 0, count: 2, size: 1 });
    let beyond = through(&[1, 2, 3, 4], 2, |k, x, y| {
        let row = k.row(x, 0, 2, vec![], x);
        let v = k.load(U8.x(2), row.at(1));
        k.store(y.at(0), v);
    });
    assert_eq!(beyond, Err(Fault::OutOfRow { row: 0, at: 1, count: 2, size: 2 }));
    // A transpose by way of a split.
    let transposed = through(&[0, 1, 2, 3, 4, 5], 6, |k, x, y| {
        k.each("i", 6, 1, |k, i| {
            let (q, r) = k.split("i", i, 3);
            let v = k.load(U8.x(1), x.at(i));
            k.store(y.at(r * 2 + q), v);
        });
    });
    assert_eq!(transposed, Ok(vec![0, 3, 1, 4, 2, 5]));
    let gathered = through(&[1, 250, 0], 3, |k, x, y| {
        k.each("i", 3, 1, |k, i| {
            let v = k.load(I8.x(1), x.at(i));
            let c = k.clamped_index("c", v, 0, 1);
            let v = k.load(U8.x(1), x.at(c));
            k.store(y.at(i), v);
        });
    });
    assert_eq!(gathered, Ok(vec![250, 1, 1]));
}

#[test]
fn access_is_as_declared() {
    let write_x = through(&[1], 1, |k, x, _| {
        let v = k.int(U8.x(1), 1);
        k.store(x.at(0), v);
    });
    assert!(matches!(write_x, Err(Fault::IllFormed(_))));
    let read_y = through(&[1], 1, |k, _, y| {
        let v = k.load(U8.x(1), y.at(0));
        k.store(y.at(0), v);
    });
    assert!(matches!(read_y, Err(Fault::IllFormed(_))));
}

fn buffer(name: &str, role: Role, size_bytes: u64) -> Buffer {
    Buffer { name: name.into(), role, size_bytes, align: 1, data: None, view: None, offset_bytes: None }
}
fn step(kernel: u32, buffers: &[u32]) -> Step {
    Step::Call(Call {
        kernel: KernelId(kernel),
        buffers: buffers.iter().map(|&b| BufferId(b)).collect(),
        params: vec![],
        advance: vec![],
        operator: None,
    })
}
/// y[i] = x[n-1-i] + 1, in any order of places that `ascending` says.
fn negate(n: i64, reversed: bool, in_place: bool) -> Kernel {
    let mut k = KernelBuilder::new("negate");
    let x = k.read("x");
    let y = if in_place { k.write_in_place("y", x) } else { k.write("y") };
    k.each("i", n, 1, |k, i| {
        let v = k.load(I8.x(1), x.at(if reversed { i * -1 + (n - 1) } else { i.into() }));
        let v = k.neg(v);
        k.store(y.at(i), v);
    });
    k.finish()
}

#[test]
fn programs_share_memory_as_planned() {
    let mut p = Program {
        name: "p".into(),
        buffers: vec![
            buffer("in", Role::Input(0), 4),
            buffer("a", Role::Scratch, 4),
            buffer("b", Role::Scratch, 4),
            buffer("out", Role::Output(0), 4),
            buffer("half", Role::Scratch, 2),
        ],
        kernels: vec![negate(4, false, true), negate(2, false, true)],
        schedule: vec![step(0, &[0, 1]), step(0, &[1, 2]), step(1, &[4, 4]), step(0, &[2, 3])],
    };
    p.buffers[4].view = Some(crate::program::View { parent: BufferId(2), offset_bytes: 1 });
    p.schedule.remove(2);
    let run_it = |p: &Program| {
        let mut out = [0; 4];
        let mut seen = vec![];
        run_observed(p, &[&[1, 2, 3, 4]], &mut [&mut out], |i, v| seen.push((i, v.bytes(BufferId(4)).to_vec())))?;
        Ok::<_, Error>((out.map(|b| b as i8), seen))
    };
    let expected = ([-1, -2, -3, -4], vec![(0, vec![FILLER; 2]), (1, vec![2, 3]), (2, vec![2, 3])]);
    assert_eq!(run_it(&p).unwrap(), expected);
    // Placed apart, then in each other's place, then so that they overlap as they must not.
    (p.buffers[1].offset_bytes, p.buffers[2].offset_bytes) = (Some(0), Some(4));
    assert_eq!(run_it(&p).unwrap(), expected);
    p.buffers[2].offset_bytes = Some(0);
    assert_eq!(run_it(&p).unwrap().0, expected.0);
    p.buffers[2].offset_bytes = Some(1);
    assert_eq!(run_it(&p).unwrap_err(), Error { call: Some(1), kernel: "negate".into(), fault: Fault::Shared { written: 1, other: 0 } });
    // In place, but read after it was overwritten; or without leave.
    p.buffers[2].offset_bytes = Some(0);
    p.kernels[0] = negate(4, true, true);
    assert_eq!(run_it(&p).unwrap_err().fault, Fault::Overwritten { arg: 0, at: 1 });
    p.kernels[0] = negate(4, false, false);
    assert_eq!(run_it(&p).unwrap_err().fault, Fault::Shared { written: 1, other: 0 });
}

#[test]
fn constants_are_read_only_with_some_bytes_after() {
    let mut k = KernelBuilder::new("k");
    let (x, y) = (k.read("x"), k.write("y"));
    let v = k.load(U8.x(64), x.at(1));
    k.store(y.at(0), v);
    let mut p = Program {
        name: "p".into(),
        buffers: vec![buffer("c", Role::Const, 3), buffer("out", Role::Output(0), 64)],
        kernels: vec![k.finish()],
        schedule: vec![step(0, &[0, 1])],
    };
    p.buffers[0].data = Some(vec![7, 8, 9].into());
    let mut out = [0; 64];
    run(&p, &[], &mut [&mut out]).unwrap();
    assert_eq!(out[..3], [8, 9, FILLER]);
    p.schedule = vec![step(0, &[1, 0])];
    assert_eq!(run(&p, &[], &mut [&mut out]).unwrap_err().fault, Fault::OutOfBounds { arg: 0, at: 1, count: 64, size: 64 });
    p.kernels[0] = negate(3, false, false);
    assert_eq!(run(&p, &[], &mut [&mut out]).unwrap_err().fault, Fault::WriteOfFixed(1));
    let wrong_size = run(&p, &[], &mut [&mut out[..5]]).unwrap_err();
    assert_eq!(wrong_size.to_string(), "buffers: 5 bytes are given for `out`, which has 64");
}
