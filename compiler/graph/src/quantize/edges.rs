//! For tests of proofs: where a constant may be moved no further.
//!
//! Not a proof. The idea: from a number that a proof accepts, walk to the last one that it still accepts; the next one, a unit in the last
//! place further, is refused. A proof is sharp if the first is right for every input and the second is wrong for some.

/// The last number on the way from `good` that `holds` accepts and the one after it; `None` if there is no end.
pub fn f32(good: f32, up: bool, holds: impl Fn(f32) -> bool) -> Option<(f32, f32)> {
    let number = |key: i64| f32::from_bits(if key < 0 { key.unsigned_abs() as u32 | 1 << 31 } else { key as u32 });
    let magnitude = i64::from(good.abs().to_bits());
    let start = if good.is_sign_negative() { -magnitude } else { magnitude };
    edge(start, up, i64::from(f32::MAX.to_bits()), |key| holds(number(key))).map(|(a, b)| (number(a), number(b)))
}

/// As [`f32`].
pub fn f64(good: f64, up: bool, holds: impl Fn(f64) -> bool) -> Option<(f64, f64)> {
    let number = |key: i64| f64::from_bits(if key < 0 { key.unsigned_abs() | 1 << 63 } else { key as u64 });
    let magnitude = good.abs().to_bits() as i64;
    let start = if good.is_sign_negative() { -magnitude } else { magnitude };
    edge(start, up, f64::MAX.to_bits() as i64, |key| holds(number(key))).map(|(a, b)| (number(a), number(b)))
}

/// Numbers as integers in their order.
fn edge(start: i64, up: bool, largest: i64, holds: impl Fn(i64) -> bool) -> Option<(i64, i64)> {
    assert!(holds(start), "the start is accepted");
    let sign = if up { 1 } else { -1 };
    let (mut accepted, mut step) = (start, 1i64);
    let mut refused = loop {
        let next = accepted.checked_add(sign * step).filter(|n| n.abs() <= largest)?;
        if !holds(next) {
            break next;
        }
        (accepted, step) = (next, step.saturating_mul(2));
    };
    while 1 < (refused - accepted).abs() {
        let middle = accepted + (refused - accepted) / 2;
        if holds(middle) { accepted = middle } else { refused = middle }
    }
    Some((accepted, refused))
}
