//! The wide emitter against the interpreter, bit for bit, one operation at a time and in loops; runs where the host has the instructions.

use cranelite_codegen::wide::{self, Features};
use cranelite_tile::*;

/// A generator of test bytes: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// Lanes of `elem`, one in four at an edge of its range.
    fn bytes(&mut self, elem: Elem, count: usize) -> Vec<u8> {
        let mut out = vec![];
        for _ in 0..count {
            let r = self.next();
            let lane = match (elem, r % 4) {
                (Elem::F32, 0) => {
                    let edges = [
                        0.0,
                        -0.0,
                        1.5,
                        -2.5,
                        3e9,
                        -3e9,
                        9.3e18,
                        -9.3e18,
                        1e-40,
                        f32::INFINITY,
                        f32::NEG_INFINITY,
                        2147483648.0,
                        0.5,
                        f32::MAX,
                    ];
                    u64::from(edges[(r >> 8) as usize % edges.len()].to_bits())
                }
                (Elem::F32, _) => u64::from((((r >> 8) as i32 as f32) / 65536.0).to_bits()),
                (Elem::F64, 0) => {
                    let edges =
                        [0.0, -0.0, 0.5, -1.5, 2.5, 9.3e18, -9.3e18, 9223372036854774784.0, -9223372036854775808.0, 4294967295.5, f64::MAX];
                    edges[(r >> 8) as usize % edges.len()].to_bits()
                }
                (Elem::F64, _) => ((r as i64 as f64) / [1e12, 1e3, 1.0][(r >> 40) as usize % 3]).to_bits(),
                (_, 0) => {
                    let (low, high) = elem.int_range();
                    [low, high, 0, 1, -1, low.wrapping_add(1)][(r >> 8) as usize % 6] as u64
                }
                _ => r >> 2,
            };
            out.extend(&lane.to_le_bytes()[..elem.bytes() as usize]);
        }
        out
    }
}

fn run_native(code: &[u8], buffers: &mut [Vec<u8>], params: &[i64]) {
    let mut map = memmap2::MmapMut::map_anon(code.len()).unwrap();
    map.copy_from_slice(code);
    let map = map.make_exec().unwrap();
    let mut args: Vec<i64> = buffers.iter_mut().map(|b| b.as_mut_ptr() as i64).collect();
    args.extend(params);
    args.resize(8, 0);
    // SAFETY: the code was emitted for this convention and these arguments; its accesses were checked by the interpreter.
    unsafe {
        let f: extern "sysv64" fn(i64, i64, i64, i64, i64, i64, i64, i64) = std::mem::transmute(map.as_ptr());
        f(args[0], args[1], args[2], args[3], args[4], args[5], args[6], args[7]);
    }
}

fn features() -> Vec<Features> {
    let mut all = vec![];
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        let f16c = std::is_x86_feature_detected!("f16c");
        all.push(Features { avx512: false, vnni: false, f16c, vbmi: false, vector_bytes: 32 });
        if std::is_x86_feature_detected!("avxvnni") {
            all.push(Features { avx512: false, vnni: true, f16c: false, vbmi: false, vector_bytes: 32 });
        }
    }
    if std::is_x86_feature_detected!("avx512bw") && std::is_x86_feature_detected!("avx512dq") && std::is_x86_feature_detected!("avx512vl") {
        for (vnni, vbmi) in [(false, false), (true, true)] {
            if !vnni || (std::is_x86_feature_detected!("avx512vnni") && std::is_x86_feature_detected!("avx512vbmi")) {
                all.push(Features { avx512: true, vnni, f16c: true, vbmi, vector_bytes: 32 });
                all.push(Features { avx512: true, vnni, f16c: true, vbmi, vector_bytes: 64 });
            }
        }
    }
    all
}

/// Emits, runs and compares; `false` when the emitter leaves the kernel to the other one.
fn check(kernel: &Kernel, buffers: &[Vec<u8>], params: &[i64], features: Features) -> bool {
    let code = match wide::emit(kernel, features) {
        Ok(c) => c,
        Err(_) => return false,
    };
    let mut expected = buffers.to_vec();
    interpret::call(kernel, params, &mut expected).unwrap_or_else(|e| panic!("{}: {e}", kernel.name));
    let mut got = buffers.to_vec();
    run_native(&code.bytes, &mut got, params);
    for (i, (g, e)) in got.iter().zip(&expected).enumerate() {
        if g != e {
            let at = g.iter().zip(e).position(|(a, b)| a != b).unwrap_or(0);
            let window = |v: &[u8]| v[at / 8 * 8..(at / 8 * 8 + 16).min(v.len())].to_vec();
            panic!("{} {features:?}: buffer {i} byte {at}: got {:x?}, expected {:x?}", kernel.name, window(g), window(e));
        }
    }
    true
}

/// A kernel of one operation: operands of the given types from one buffer each, the result into the last.
fn one(name: String, operands: &[Type], f: impl FnOnce(&mut KernelBuilder, &[Value]) -> Value) -> (Kernel, Type) {
    let mut k = KernelBuilder::new(name);
    let args: Vec<Arg> = (0..operands.len()).map(|i| k.read(&format!("x{i}"))).collect();
    let y = k.write("y");
    let values: Vec<Value> = operands.iter().zip(&args).map(|(&ty, a)| k.load(ty, a.at(0))).collect();
    let result = f(&mut k, &values);
    let ty = k.ty(result);
    k.store(y.at(0), result);
    (k.finish(), ty)
}

fn check_one(seen: &mut Vec<String>, name: String, operands: &[Type], f: impl FnOnce(&mut KernelBuilder, &[Value]) -> Value) {
    let (kernel, result) = one(name, operands, f);
    let mut random = Random(kernel.name.len() as u64 * 77 + operands[0].lanes as u64);
    for features in features() {
        for _ in 0..8 {
            let mut buffers: Vec<Vec<u8>> = operands.iter().map(|t| random.bytes(t.elem, t.lanes as usize)).collect();
            buffers.push(vec![0xaa; 2 * result.bytes() as usize + 64]);
            if !check(&kernel, &buffers, &[], features) {
                seen.push(format!("{} {}", kernel.name, if features.avx512 { "avx512" } else { "avx2" }));
                break;
            }
        }
    }
}

const LANES: [usize; 9] = [1, 2, 4, 8, 12, 16, 32, 48, 64];

#[test]
fn every_operation_as_the_interpreter() {
    use Elem::*;
    let mut left = vec![];
    for lanes in LANES {
        for e in [I8, U8, I16, U16, I32, U32, I64, F32, F64] {
            let t = e.x(lanes);
            for op in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Rem, Binary::And, Binary::Xor, Binary::Min, Binary::Max]
            {
                if e.is_float() && matches!(op, Binary::Rem | Binary::And | Binary::Xor) {
                    continue;
                }
                check_one(&mut left, format!("{op:?} {t}"), &[t, t], |k, v| k.binary(op, v[0], v[1]));
            }
            for op in [Unary::Neg, Unary::Abs, Unary::LeadingZeros] {
                check_one(&mut left, format!("{op:?} {t}"), &[t], |k, v| k.unary(op, v[0]));
            }
            if e.is_float() {
                for op in [Unary::Sqrt, Unary::Floor, Unary::Ceil, Unary::RoundEven, Unary::Trunc] {
                    check_one(&mut left, format!("{op:?} {t}"), &[t], |k, v| {
                        let x = k.unary(Unary::Abs, v[0]);
                        k.unary(op, x)
                    });
                }
                check_one(&mut left, format!("fma {t}"), &[t, t, t], |k, v| k.fma(v[0], v[1], v[2]));
            } else {
                for op in [Binary::Shl, Binary::Shr] {
                    check_one(&mut left, format!("{op:?} {t}"), &[t, t], |k, v| k.binary(op, v[0], v[1]));
                }
                for n in [1u8, 3, 7] {
                    check_one(&mut left, format!("shl {n} {t}"), &[t], |k, v| k.shl_imm(v[0], n));
                    check_one(&mut left, format!("shr {n} {t}"), &[t], |k, v| k.shr_imm(v[0], n));
                }
                if e.bits() <= 16 {
                    check_one(&mut left, format!("add_sat {t}"), &[t, t], |k, v| k.binary(Binary::AddSat, v[0], v[1]));
                    check_one(&mut left, format!("sub_sat {t}"), &[t, t], |k, v| k.binary(Binary::SubSat, v[0], v[1]));
                }
            }
            for cond in [Cond::Eq, Cond::Ne, Cond::Lt, Cond::Le, Cond::Gt, Cond::Ge] {
                check_one(&mut left, format!("select {cond:?} {t}"), &[t, t], |k, v| {
                    let m = k.compare(cond, v[0], v[1]);
                    k.select(m, v[0], v[1])
                });
            }
            check_one(&mut left, format!("concat {t}"), &[t, t], |k, v| k.concat(v[0], v[1]));
            check_one(&mut left, format!("interleave {t}"), &[t, t], |k, v| k.interleave(v[0], v[1]));
            check_one(&mut left, format!("lane {t}"), &[t], |k, v| k.lane(v[0], lanes - 1));
            check_one(&mut left, format!("splat {t}"), &[t], |k, v| {
                let x = k.lane(v[0], lanes / 2);
                k.splat(x, lanes)
            });
            if 1 < lanes {
                check_one(&mut left, format!("slice {t}"), &[t], |k, v| k.slice(v[0], lanes / 2, lanes / 2));
                for parity in 0..2 {
                    check_one(&mut left, format!("deinterleave {parity} {t}"), &[t], |k, v| k.deinterleave(v[0], parity));
                }
            }
            if lanes.is_power_of_two() {
                for r in [Reduce::Add, Reduce::Min, Reduce::Max] {
                    check_one(&mut left, format!("reduce {r:?} {t}"), &[t], |k, v| k.reduce(r, v[0]));
                }
            }
            for count in [1, lanes / 2, lanes.saturating_sub(1)] {
                if 0 < count && count < lanes {
                    check_one(&mut left, format!("part {count} {t}"), &[t], |k, _| {
                        let v = k.load_part(t, Arg(0).at(0), count);
                        k.store_part(Arg(1).at(lanes * e.bytes() as usize), v, count);
                        v
                    });
                }
            }
            check_one(&mut left, format!("load_splat {t}"), &[t], |k, _| k.load_splat(t, 1, Arg(0).at(0)));
        }
        for (from, to) in [(I8, I16), (I8, I32), (U8, U16), (U8, I32), (I16, I32), (U16, I32), (I32, I64), (I8, I64), (U8, U32)] {
            check_one(&mut left, format!("widen {from} {to} {lanes}"), &[from.x(lanes)], |k, v| {
                let x = k.widen(v[0], to);
                let one = k.int(to.x(lanes), 1);
                k.add(x, one)
            });
        }
        for (from, to) in [(I32, I16), (I32, I8), (I16, I8), (I32, U8), (I16, U8), (I64, I32), (I32, U16), (U8, I8), (U16, U8), (I8, U8)] {
            check_one(&mut left, format!("narrow_sat {from} {to} {lanes}"), &[from.x(lanes)], |k, v| k.narrow_sat(v[0], to));
            if to.bits() < from.bits() {
                check_one(&mut left, format!("narrow {from} {to} {lanes}"), &[from.x(lanes)], |k, v| k.narrow(v[0], to));
            }
        }
        for (from, to) in
            [(I32, F32), (F32, I32), (I32, F64), (F32, F64), (F64, F32), (F64, I32), (I64, F64), (F32, I64), (F64, I64), (I64, F32)]
        {
            for r in [Rounding::TowardZero, Rounding::NearestEven] {
                check_one(&mut left, format!("convert {from} {to} {r:?} {lanes}"), &[from.x(lanes)], |k, v| k.convert(v[0], to, r));
            }
        }
        let t = I32.x(lanes);
        check_one(&mut left, format!("mul_high_round {t}"), &[t, t], |k, v| k.mul_high_round(v[0], v[1]));
        check_one(&mut left, format!("mul_high {t}"), &[t, t], |k, v| k.mul_high(v[0], v[1]));
        check_one(&mut left, format!("mul_wide {t}"), &[t, t], |k, v| k.mul_wide(v[0], v[1]));
        for n in [0, 1, 2, 9, 31] {
            for t in [t, I8.x(lanes), I16.x(lanes), I64.x(lanes)] {
                let n = n.min(t.elem.bits() as u8 - 1);
                check_one(&mut left, format!("rounding_shr {n} {t}"), &[t], |k, v| k.rounding_shr(v[0], n));
            }
        }
        for n in [32, 62, 63] {
            check_one(&mut left, format!("rounding_shr {n} i64x{lanes}"), &[I64.x(lanes)], |k, v| k.rounding_shr(v[0], n));
        }
        for range in [
            ShiftRange::Uniform(3),
            ShiftRange::Uniform(0),
            ShiftRange::Uniform(-1),
            ShiftRange::Uniform(-9),
            ShiftRange::Right,
            ShiftRange::Any,
        ] {
            check_one(&mut left, format!("requantize {range:?} {t}"), &[t, t, t], |k, v| {
                // Multipliers of models are positive; shifts within the range.
                let m = k.int(t, 0x7fff_ffff);
                let positive = k.and(v[1], m);
                let (low, high) = match range {
                    ShiftRange::Uniform(n) => (n.into(), n.into()),
                    ShiftRange::Right => (-31, -1),
                    ShiftRange::Any => (-31, 30),
                };
                let small = k.shr_imm(v[2], 26);
                let shift = k.clamp_int(small, low, high);
                k.requantize(v[0], positive, shift, range)
            });
        }
        for (group, a, b) in [(4, U8, I8), (4, I8, I8), (2, I16, I16)] {
            check_one(&mut left, format!("dot {group} {a} {b} {lanes}"), &[t, a.x(lanes * group), b.x(lanes * group)], |k, v| {
                k.dot(group, v[0], v[1], v[2])
            });
        }
        for e in [I8, U8, I16, I32, F32] {
            let (index, table) = (U8.x(lanes), e.x(256));
            check_one(&mut left, format!("lookup {e} {lanes}"), &[index, table], |k, v| k.lookup(e, Arg(1).at(0), v[0]));
        }
    }
    left.sort();
    left.dedup();
    // What lowerings of the operators need of these.
    let needed = |l: &&String| {
        let is_of = |op: &str, elems: &[&str]| elems.iter().any(|e| l.starts_with(&format!("{op} {e}")));
        let shifted = &["i8", "u8", "i16", "u16", "i32", "u32", "i64"];
        l.starts_with("convert")
            || l.starts_with("rounding_shr")
            || is_of("LeadingZeros", &["i32", "u32", "i64"])
            || is_of("Shl", shifted)
            || is_of("Shr", shifted)
            || is_of("Div", &["i64"])
            || is_of("Rem", &["i64"])
    };
    assert_eq!(left.iter().find(needed), None);
    println!("left to clif: {} {left:#?}", left.len());
}

#[test]
fn a_matrix_product_in_loops() {
    use Elem::*;
    for features in features() {
        let lanes = features.vector_bytes / 4;
        for (rows, vectors) in [(1, 8), (6, 2), (12, 2), (14, 2), (4, 6)] {
            let mut k = KernelBuilder::new(format!("gemm {rows} x {vectors}"));
            let (a, b, y) = (k.read("a"), k.read("b"), k.write("y"));
            let depth = k.param("depth");
            let t = F32.x(lanes);
            let row = 64 * 4;
            k.each("panel", 2, 1, |k, p| {
                let init: Vec<Value> = (0..rows * vectors).map(|_| k.float(t, 0.5)).collect();
                let acc = k.repeat("k", depth, 1, &init, |k, i, acc| {
                    let w: Vec<Value> =
                        (0..vectors).map(|j| k.load(t, b.at(p * 8192 + i * (vectors * lanes * 4) as i64 + j * lanes * 4))).collect();
                    let mut next = vec![];
                    for m in 0..rows {
                        let x = k.load_splat(t, 1, a.at(i * 4 + m * row));
                        for j in 0..vectors {
                            next.push(k.fma(x, w[j], acc[m * vectors + j]));
                        }
                    }
                    next
                });
                for (i, v) in acc.into_iter().enumerate() {
                    k.store(y.at(p * (rows * vectors * lanes * 4) as i64 + i * lanes * 4), v);
                }
            });
            let kernel = k.finish();
            let mut random = Random(5);
            for depth in [0, 1, 7, 16] {
                let buffers = vec![
                    random.bytes(I16, rows * row / 2).chunks(2).flat_map(|c| f32::from(c[0]).to_le_bytes()).collect(),
                    random.bytes(I8, 8192).iter().flat_map(|&c| f32::from(c as i8).to_le_bytes()).collect(),
                    vec![0; 2 * rows * vectors * lanes * 4],
                ];
                assert!(check(&kernel, &buffers, &[depth], features), "{:?}", wide::emit(&kernel, features).err());
            }
        }
    }
}

/// Quotients and remainders of large numbers, each shown by the byte that it chooses. Nobody else's register is lost.
#[test]
fn a_split_is_exact_for_all_indices() {
    let mut ran = 0;
    for by in [1i64, 2, 3, 7, 10, 28, 1000, 65_537, (1 << 31) - 1] {
        let mut k = KernelBuilder::new(format!("split by {by}"));
        let (x, y) = (k.read("x"), k.write("y"));
        let params: Vec<Param> = ["of", "quotient", "remainder"].map(|name| k.param(name)).into();
        let (quotient, remainder) = k.split("s", Index::from(params[0]), by);
        let byte = Elem::U8.x(1);
        // Many addresses, so that every register is somebody's.
        let many: Vec<Index> = (0..12).map(|i| Index::from(params[1]) * -1 + Index::from(quotient) + i).collect();
        let read: Vec<Value> = many.iter().map(|at| k.load(byte, x.at(at.clone()))).collect();
        let v = k.load(byte, x.at(Index::from(params[2]) * -1 + Index::from(remainder) + 3));
        for (i, &v) in read.iter().chain([&v]).enumerate() {
            k.store(y.at(i), v);
        }
        let kernel = k.finish();
        let edges = [31, 32, 33, 48, 52, 53, 56].map(|bits| 1i64 << bits);
        let around = edges.iter().flat_map(|&e| [e - 1, e, e + 1, e / by * by - 1, e / by * by, e / by * by + by - 1]);
        for of in around.chain([0, 1, by, i64::MAX / by * by - 1, i64::MAX - 1, i64::MAX]).filter(|&of| 0 <= of) {
            let buffers = vec![(1..=16).collect::<Vec<u8>>(), vec![0; 13]];
            for features in features() {
                assert!(check(&kernel, &buffers, &[of, of / by, of % by], features), "{:?}", wide::emit(&kernel, features).err());
                ran += 1;
            }
        }
    }
    println!("{ran} runs");
}

/// How many bytes of a stack of its own a kernel's function overwrites; for two arguments and no more parameters than registers hold.
fn stack_used(code: &[u8], buffers: &mut [Vec<u8>; 2], params: [i64; 2]) -> usize {
    let mut map = memmap2::MmapMut::map_anon(code.len()).unwrap();
    map.copy_from_slice(code);
    let map = map.make_exec().unwrap();
    let mut stack = vec![0xa5a5_a5a5_a5a5_a5a5u64; 1 << 13];
    let top = stack.as_mut_ptr_range().end.map_addr(|a| a & !63);
    // SAFETY: the code was emitted for this convention and these arguments; r12 survives it.
    unsafe {
        std::arch::asm!(
            "xchg rsp, r12", "call rax", "mov rsp, r12",
            inout("r12") top => _, inout("rax") map.as_ptr() => _,
            in("rdi") buffers[0].as_mut_ptr(), in("rsi") buffers[1].as_mut_ptr(), in("rdx") params[0], in("rcx") params[1],
            clobber_abi("C"),
        );
    }
    let untouched = stack.iter().take_while(|w| **w == 0xa5a5_a5a5_a5a5_a5a5).count();
    top.addr() - stack.as_ptr().addr() - 8 * untouched
}

/// Many pointers that advance by numbers of their own, more than there are registers: their beginnings go from one place of the frame to another.
#[test]
fn what_moves_push_is_stack_too() {
    let (byte, mut exact) = (Elem::U8.x(1), 0);
    for pointers in [4i64, 12, 16, 24, 40] {
        let mut k = KernelBuilder::new(format!("{pointers} pointers"));
        let (x, y) = (k.read("x"), k.write("y"));
        let (n, m) = (k.param("n"), k.param("m"));
        k.each("i", n, 1, |k, i| {
            k.each("j", m, 1, |k, j| {
                let read: Vec<Value> = (1..=pointers).map(|p| k.load(byte, x.at(i * p + j * (pointers + 1 - p)))).collect();
                let sum = read.iter().copied().reduce(|a, b| k.add(a, b)).expect("some");
                k.store(y.at(i * 3 + j), sum);
            });
        });
        let kernel = k.finish();
        for features in features() {
            let mut buffers = [(0..=255).collect::<Vec<u8>>(), vec![0; 64]];
            assert!(check(&kernel, &buffers, &[3, 2], features));
            let code = wide::emit(&kernel, features).unwrap();
            let (used, said) = (stack_used(&code.bytes, &mut buffers, [3, 2]), code.stack_bytes as usize);
            assert!(used <= said, "{} {features:?}: {used} of {said}", kernel.name);
            let pushes = wide::listing(&code.bytes).lines().filter(|l| l.contains("push") && l.contains('[')).count();
            exact += usize::from(0 < pushes && used == said);
        }
    }
    assert!(0 < exact, "no kernel whose moves push");
}

/// Frames of several pages are touched page by page, from the top: the stack's pages come into being in that order on Windows.
#[test]
fn large_frames_touch_their_pages_in_order() {
    let ty = Elem::F32.x(16);
    let mut k = KernelBuilder::new("many");
    let (x, y) = (k.read("x"), k.write("y"));
    let loaded: Vec<Value> = (0..200).map(|i| k.load(ty, x.at(64 * i))).collect();
    let squares: Vec<Value> = loaded.iter().map(|&v| k.mul(v, v)).collect();
    for (i, &v) in squares.iter().rev().enumerate() {
        k.store(y.at(64 * i as i64), v);
    }
    let kernel = k.finish();
    for features in features() {
        let mut buffers = [1f32.to_le_bytes().repeat(3200), vec![0; 12800]];
        assert!(check(&kernel, &buffers, &[], features));
        let code = wide::emit(&kernel, features).unwrap();
        let listing = wide::listing(&code.bytes);
        let before_frame: Vec<&str> = listing.lines().take_while(|l| !l.contains("sub rsp")).filter(|l| l.contains("test")).collect();
        assert!(
            8192 < code.stack_bytes && before_frame.len() == code.stack_bytes as usize / 4096,
            "{}: {before_frame:?}",
            code.stack_bytes
        );
        assert!(before_frame[0].contains("1000h") && before_frame[1].contains("2000h"), "{before_frame:?}");
        assert!(stack_used(&code.bytes, &mut buffers, [0, 0]) <= code.stack_bytes as usize);
    }
}
