//! Functions that need more than there is: registers, parameters in registers, near places of the frame.

use super::{add, bytes, check};
use cranelite_tests::called::Calls;
use cranelite_tile::*;

/// Arguments and parameters beyond those in registers, each read for itself.
#[test]
fn many_arguments() {
    let mut calls = Calls::default();
    for (arguments, parameters) in [(2, 6), (2, 7), (3, 6), (8, 0), (9, 3), (14, 6), (24, 9), (31, 0)] {
        let mut k = KernelBuilder::new(format!("{arguments} arguments, {parameters} parameters"));
        let read: Vec<Arg> = (1..arguments).map(|i| k.read(&format!("x{i}"))).collect();
        let y = k.write("y");
        let params: Vec<Param> = (0..parameters).map(|i| k.param(&format!("p{i}"))).collect();
        let ty = Elem::I32.x(4);
        // The last first.
        let all: Vec<Value> = read.iter().rev().map(|x| k.load(ty, x.at(0))).collect();
        for (i, v) in all.into_iter().enumerate() {
            k.store(y.at(16 * i), v);
        }
        for (i, p) in params.iter().enumerate().rev() {
            let v = k.load(ty, read[0].at(*p + 0));
            k.store(y.at(16 * (read.len() + i)), v);
        }
        let contents = (0..arguments - 1).map(|i| (Elem::I32, bytes(Elem::I32, 4 + 16 + i)));
        let out = (Elem::I32, vec![0xa5; 16 * (read.len() + params.len())]);
        let values: Vec<i64> = (0..parameters).map(|i| 4 * i).collect();
        add(&mut calls, k.finish(), &values, contents.chain([out]).collect());
    }
    check(&calls);
}

/// Vectors and pointers that live at once, in and around loops, up to frames of many pages. More arguments than come in registers, so that they are
/// found behind the frame.
#[test]
fn more_values_than_registers() {
    let mut calls = Calls::default();
    // 64 lanes are 16 registers: the longest is a frame beyond what loads of vectors reach.
    for (vectors, lanes, pointers) in [(30, 4, 1), (33, 4, 4), (60, 4, 30), (18, 64, 4), (40, 64, 2), (264, 64, 1)] {
        let mut k = KernelBuilder::new(format!("{vectors} vectors of {lanes}, {pointers} pointers"));
        let read: Vec<Arg> = (0..9).map(|i| k.read(&format!("x{i}"))).collect();
        let y = k.write("y");
        let n = k.param("n");
        let ty = Elem::I32.x(lanes);
        let size = i64::from(ty.bytes());
        let init: Vec<Value> = (0..vectors).map(|i| k.load(ty, read[i as usize % 9].at(4 * (i / 9)))).collect();
        let carried = if vectors < 100 { vectors as usize } else { 2 };
        let after = k.repeat("i", n, 1, &init[..carried], |k, i, v| {
            let strides: Vec<Value> = (1..=pointers).map(|p| k.load(ty, read[8].at(i * (4 * p)))).collect();
            let mut next: Vec<Value> = (0..carried).map(|j| k.add(v[(j + 1) % carried], strides[j % strides.len()])).collect();
            next.rotate_left(1);
            next
        });
        for (i, v) in init.iter().rev().chain(after.iter().rev()).enumerate() {
            k.store(y.at(i as i64 * size), *v);
        }
        let total = (init.len() + after.len()) * size as usize;
        let kernel = k.finish();
        for turns in if vectors < 100 { vec![0, 1, 3] } else { vec![2] } {
            let mut contents: Vec<_> = (0..9).map(|i| (Elem::I32, bytes(Elem::I32, 200 + i))).collect();
            contents.push((Elem::I32, vec![0xa5; total]));
            add(&mut calls, kernel.clone(), &[turns], contents);
        }
    }
    check(&calls);
}
