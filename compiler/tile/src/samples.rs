//! Programs for tests of what changes schedules.

use crate::builder::KernelBuilder;
use crate::program::*;
use crate::types::Elem;
use crate::{Index, interpret};

pub fn buffer(role: Role, size_bytes: u64) -> Buffer {
    Buffer { name: "b".into(), role, size_bytes, align: 8, data: None, view: None, offset_bytes: None }
}

/// Panels of columns, rows and pixels in fours, and a narrower tile at the end of a row.
pub fn product(panels: i64, rows: i64, pixels: i64) -> (Kernel, u64) {
    let mut k = KernelBuilder::new("product");
    let (x, y) = (k.read("x"), k.write("y"));
    let (panel_count, y0) = (k.param("panels"), k.param("y0"));
    let pixel = panels * 8;
    let row = (pixels * 4 + 1) * pixel;
    k.each("p", panel_count, 1, |k, p| {
        k.each("row", rows, 1, |k, r| {
            let at = |i: Index| r * row + p * 8 + i * pixel + y0;
            let one = |k: &mut KernelBuilder, i: Index| {
                let v = k.load(Elem::U8.x(8), x.at(at(i.clone())));
                // Something to do.
                let v = (0..40).fold(v, |v, n| if n % 2 == 0 { k.add(v, v) } else { k.unary(Unary::Not, v) });
                k.store(y.at(at(i)), v);
            };
            k.each("i", pixels * 4, 4, |k, i| (0..4).for_each(|n| one(k, i + n)));
            one(k, Index::from(pixels * 4));
        });
    });
    (k.finish(), (row * rows) as u64)
}

/// `y = not x` in place, in eights, with a tail.
pub fn elementwise(size: u64) -> Kernel {
    let mut k = KernelBuilder::new("elementwise");
    let x = k.read("x");
    let y = k.write_in_place("y", x);
    let n = k.param("n");
    let one = |k: &mut KernelBuilder, at: Index, lanes: usize| {
        let v = k.load(Elem::U8.x(lanes), x.at(at.clone()));
        let v = k.unary(Unary::Not, v);
        k.store(y.at(at), v);
    };
    if size % 8 == 1 {
        // Something before the loop.
        one(&mut k, Index::from(size as i64 - 1), 1);
    }
    k.each("i", n, 8, |k, i| one(k, i.into(), 8));
    if 1 < size % 8 {
        one(&mut k, Index::from((size / 8 * 8) as i64), (size % 8) as usize);
    }
    k.finish()
}

/// Every row plus the one before, with a fill outside.
pub fn window(rows: i64, width: i64) -> Kernel {
    let mut k = KernelBuilder::new("window");
    let (x, fill, y) = (k.read("x"), k.read("fill"), k.write("y"));
    k.each("r", rows, 1, |k, r| {
        let before = r + -1;
        let above = k.row(x, before.clone() * width, width, vec![Guard { index: before, limit: rows.into() }], fill);
        k.each("i", width, 1, |k, i| {
            let (a, b) = (k.load(Elem::U8.x(1), above.at(i)), k.load(Elem::U8.x(1), x.at(r * width + i)));
            let sum = (0..20).fold(a, |a, _| k.add(a, b));
            k.store(y.at(r * width + i), sum);
        });
    });
    k.finish()
}

/// x -> product -> a -> elementwise -> b -> window -> y
pub fn program(panels: i64, rows: i64, pixels: i64) -> Program {
    let (product, size) = product(panels, rows, pixels);
    let mut p = Program { kernels: vec![product, elementwise(size), window(rows, size as i64 / rows)], ..Program::default() };
    p.buffers = vec![buffer(Role::Input(0), size), buffer(Role::Scratch, size), buffer(Role::Scratch, size), buffer(Role::Output(0), size)];
    p.buffers.push(Buffer { data: Some(vec![7; size as usize].into()), ..buffer(Role::Const, size) });
    let call = |kernel: u32, buffers: &[u32], params: &[i64]| {
        let buffers = buffers.iter().map(|&b| BufferId(b)).collect();
        Step::Call(Call { kernel: KernelId(kernel), buffers, params: params.to_vec(), advance: vec![], operator: Some(kernel) })
    };
    p.schedule = vec![
        // Panels in two calls.
        call(0, &[0, 1], &[panels / 2, 0]),
        call(0, &[0, 1], &[panels - panels / 2, panels / 2 * 8]),
        call(1, &[1, 2], &[(size / 8 * 8) as i64]),
        call(2, &[2, 4, 3], &[]),
    ];
    p
}

pub fn run(p: &Program) -> Vec<u8> {
    let size = p.buffers[0].size_bytes as usize;
    let input: Vec<u8> = (0..size).map(|i| (i * 37 + i / 251) as u8).collect();
    let mut output = vec![0; size];
    interpret::run(p, &[&input], &mut [&mut output]).expect("it runs");
    output
}
