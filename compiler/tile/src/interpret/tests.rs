//! Semantics of every operation at its edges, and of memory, loops and rows.

use super::*;
use crate::builder::KernelBuilder;
use crate::index::Index;
use crate::types::{Elem, Type};
use Elem::*;

/// A lane to and from bytes.
trait Lane: Copy + PartialEq + std::fmt::Debug {
    const ELEM: Elem;
    fn write(self, to: &mut Vec<u8>);
    fn read(bytes: &[u8]) -> Self;
}
macro_rules! lane {
    ($($t:ty = $e:ident),*) => { $(impl Lane for $t {
        const ELEM: Elem = $e;
        fn write(self, to: &mut Vec<u8>) { to.extend(self.to_le_bytes()) }
        fn read(bytes: &[u8]) -> Self { Self::from_le_bytes(bytes.try_into().unwrap()) }
    })* };
}
lane!(i8 = I8, u8 = U8, i16 = I16, u16 = U16, i32 = I32, u32 = U32, i64 = I64, f32 = F32, f64 = F64);

fn bytes<T: Lane>(lanes: &[T]) -> Vec<u8> {
    let mut b = vec![];
    lanes.iter().for_each(|l| l.write(&mut b));
    b
}
fn lanes<T: Lane>(bytes: &[u8]) -> Vec<T> {
    bytes.chunks_exact(size_of::<T>()).map(T::read).collect()
}

/// Loads each of `inputs` as a vector, applies `f`, stores the result.
fn apply<R: Lane>(inputs: &[(Type, Vec<u8>)], f: impl FnOnce(&mut KernelBuilder, &[Value]) -> Value) -> Result<Vec<R>, Fault> {
    let mut k = KernelBuilder::new("op");
    let args: Vec<Arg> = inputs.iter().map(|_| k.read("x")).collect();
    let out = k.write("out");
    let values: Vec<Value> = inputs.iter().zip(&args).map(|((ty, _), a)| k.load(*ty, a.at(0))).collect();
    let result = f(&mut k, &values);
    let size = k.ty(result).bytes() as usize;
    k.store(out.at(0), result);
    let mut buffers: Vec<Vec<u8>> = inputs.iter().map(|(_, b)| b.clone()).collect();
    buffers.push(vec![0; size]);
    call(&k.finish(), &[], &mut buffers).map_err(|e| e.fault)?;
    Ok(lanes(buffers.last().unwrap()))
}
fn vector<T: Lane>(lanes: &[T]) -> (Type, Vec<u8>) {
    (T::ELEM.x(lanes.len()), bytes(lanes))
}
fn one<T: Lane, R: Lane>(a: &[T], f: impl FnOnce(&mut KernelBuilder, Value) -> Value) -> Vec<R> {
    apply(&[vector(a)], |k, v| f(k, v[0])).unwrap()
}
fn two<T: Lane, R: Lane>(a: &[T], b: &[T], f: impl FnOnce(&mut KernelBuilder, Value, Value) -> Value) -> Vec<R> {
    apply(&[vector(a), vector(b)], |k, v| f(k, v[0], v[1])).unwrap()
}
fn binary<T: Lane>(op: Binary, a: &[T], b: &[T]) -> Vec<T> {
    two(a, b, |k, a, b| k.binary(op, a, b))
}

#[test]
fn integers_wrap_and_division_is_total() {
    assert_eq!(binary(Binary::Add, &[127i8, -128, 5], &[1, -1, 6]), [-128, 127, 11]);
    assert_eq!(binary(Binary::Sub, &[0u8, 255], &[1, 255]), [255, 0]);
    assert_eq!(binary(Binary::Mul, &[i32::MIN, 65536, u32::MAX as i32], &[-1, 65536, -1]), [i32::MIN, 0, 1]);
    assert_eq!(binary(Binary::Mul, &[u32::MAX, 3], &[u32::MAX, 5]), [1, 15]);
    assert_eq!(binary(Binary::Mul, &[i64::MIN, 3], &[-1, i64::MAX]), [i64::MIN, i64::MAX - 2]);
    assert_eq!(binary(Binary::Div, &[7i32, -7, 7, i32::MIN, 9], &[2, 2, -2, -1, 0]), [3, -3, -3, i32::MIN, 0]);
    assert_eq!(binary(Binary::Rem, &[7i32, -7, 7, i32::MIN, 9], &[2, 2, -2, -1, 0]), [1, -1, 1, 0, 0]);
    assert_eq!(binary(Binary::Div, &[i64::MIN], &[-1]), [i64::MIN]);
    assert_eq!(binary(Binary::Div, &[u32::MAX], &[2]), [u32::MAX / 2]);
}
