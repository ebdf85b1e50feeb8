//! Named operations on several channels at once: the taps of a depthwise sum, and the way from sums to bytes.
//!
//! Not products of runs (`dots.rs`). The idea is the same: a chain of operations of the tile IR that one instruction or a few of a core's do is recognised as a whole and called by a name
//! that says all that is constant about it, from which the library writes the function, once for cores with vectors or DSP and once in plain C.

use cranelite_tile::{Base, Binary, Elem, Index, Op, Place, Scalar, Value};
use std::fmt::Write;

/// Bytes of several channels, their zero point taken off, times weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Tap {
    row: Place,
    column: Place,
    types: [Elem; 2],
    lanes: usize,
    zero_point: i64,
}

/// Taps that are added to one sum for each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Taps {
    /// What they are added to, and what comes out.
    pub before: Value,
    pub after: Value,
    taps: Vec<Tap>,
}

/// The call of a function: its name, and its arguments as pointers and a number.
pub struct TapsCall {
    pub name: String,
    pub column: Place,
    pub zero_point: i64,
    pub rows: Vec<Place>,
}

impl Tap {
    /// What is multiplied and added by a dot product of groups of one, if it is that; `recent` gives the operation behind a value where memory is as it was then.
    pub fn of<'a>(op: &Op, lanes: usize, elem: impl Fn(Value) -> Elem, recent: impl Fn(Value) -> Option<&'a Op>) -> Option<Tap> {
        let Op::Dot { group: 1, a, b, .. } = op else { return None };
        let (zero_point, bytes) = match recent(*a)? {
            Op::Widen(bytes) => (0, *bytes),
            Op::Binary(Binary::Sub, wide, zero) => match (recent(*wide)?, recent(*zero)?) {
                (Op::Widen(bytes), Op::Const(Scalar::Int(zero))) => (*zero, *bytes),
                _ => return None,
            },
            _ => return None,
        };
        let weights = match recent(*b)? {
            Op::Widen(short) => *short,
            _ => *b,
        };
        let (Op::Load { place: row, count: None }, Op::Load { place: column, count: None }) = (recent(bytes)?, recent(weights)?) else {
            return None;
        };
        let types = [elem(bytes), elem(weights)];
        let is_known = matches!(types, [Elem::I8 | Elem::U8, Elem::I8 | Elem::I16]) && matches!(lanes, 4 | 8);
        is_known.then(|| Tap { row: row.clone(), column: column.clone(), types, lanes, zero_point })
    }
}

/// All that varies of an address, and its constant part.
fn parts(place: &Place) -> ((Base, Index), i64) {
    ((place.base, place.at.without_constant()), place.at.constant_part())
}

impl Taps {
    pub fn new(before: Value, after: Value, tap: Tap) -> Taps {
        Taps { before, after, taps: vec![tap] }
    }

    /// Adds a tap if it is like the others; its weights have a place of their own beside theirs.
    pub fn push(&mut self, after: Value, tap: &Tap) -> bool {
        let first = &self.taps[0];
        let is_alike = (first.types, first.lanes, first.zero_point) == (tap.types, tap.lanes, tap.zero_point)
            && parts(&first.column).0 == parts(&tap.column).0
            && self.rows(Some(tap)).len() <= 26;
        if is_alike {
            self.after = after;
            self.taps.push(tap.clone());
        }
        is_alike
    }

    /// The different addresses of rows, each with the least constant part.
    fn rows(&self, more: Option<&Tap>) -> Vec<((Base, Index), i64)> {
        let mut rows: Vec<((Base, Index), i64)> = vec![];
        for tap in self.taps.iter().chain(more) {
            let (row, at) = parts(&tap.row);
            match rows.iter_mut().find(|r| r.0 == row) {
                Some(known) => known.1 = known.1.min(at),
                None => rows.push((row, at)),
            }
        }
        rows
    }

    /// taps_LANES_TYPES, then for each tap its row, a letter, the bytes from there to it, and the bytes from the first weight to its.
    pub fn call(&self) -> TapsCall {
        let (first, rows) = (&self.taps[0], self.rows(None));
        let column = self.taps.iter().map(|t| parts(&t.column).1).min().unwrap_or(0);
        let [x, w] = first.types.map(short);
        let mut name = format!("taps_{}_{x}_{w}", first.lanes);
        for t in &self.taps {
            let (row, at) = parts(&t.row);
            let number = rows.iter().position(|r| r.0 == row).unwrap_or(0);
            let letter = char::from(b'a' + number as u8);
            write!(name, "_{letter}{}w{}", at - rows[number].1, parts(&t.column).1 - column).expect("a string takes everything");
        }
        let place = |(base, index): &(Base, Index), at: i64| Place { base: *base, at: index.clone() + at };
        TapsCall {
            name,
            column: place(&parts(&first.column).0, column),
            zero_point: first.zero_point,
            rows: rows.iter().map(|(row, at)| place(row, *at)).collect(),
        }
    }
}

fn short(elem: Elem) -> &'static str {
    match elem {
        Elem::U8 => "u8",
        Elem::I16 => "i16",
        _ => "i8",
    }
}

/// The function of a name of [`Taps::call`] or of [`rescale_name`]; `None` if it is none.
pub fn text(name: &str) -> Option<String> {
    match name.split_once('_')? {
        ("taps", rest) => taps(name, rest),
        ("rescale", rest) => rescale(name, rest),
        _ => None,
    }
}

fn taps(name: &str, rest: &str) -> Option<String> {
    let parts: Vec<&str> = rest.split('_').collect();
    let [lanes, x, w, taps @ ..] = &parts[..] else { return None };
    let lanes: usize = lanes.parse().ok()?;
    let tap = |text: &&str| -> Option<(char, i64, i64)> {
        let (at, weight) = text.get(1..)?.split_once('w')?;
        Some((text.chars().next()?, at.parse().ok()?, weight.parse().ok()?))
    };
    let taps: Vec<(char, i64, i64)> = taps.iter().map(tap).collect::<Option<_>>()?;
    let last = taps.iter().map(|t| t.0).max()?;
    let parameters = ["int32_t *sums", "const uint8_t *start", "const uint8_t *w", "int32_t zero_point"].map(String::from);
    let parameters: Vec<String> = parameters.into_iter().chain(('a'..=last).map(|r| format!("const uint8_t *r{r}"))).collect();
    let mut out =
        format!("/* Sums of {lanes} channels: the start, and {} products of a byte without its zero point and a weight. */\n", taps.len());
    let mut line = |text: String| writeln!(out, "{text}").expect("a string takes everything");
    if lanes == 4 {
        // Some compilers spill what these keep in registers.
        let unused: Vec<String> = parameters.iter().map(|p| format!("{p} CRANELITE_UNUSED")).collect();
        for (condition, code) in
            [("#if defined(CRANELITE_DSP_LOOPS)", dsp(x, w, &taps)), ("#elif defined(CRANELITE_THUMB_LOOPS)", thumb(x, w, &taps))]
        {
            line(condition.into());
            line(format!(
                "CRANELITE_LOOP void {name}({})\n{{\n    __asm__ volatile(\n        \".syntax unified\\n\\t\"",
                unused.join(", ")
            ));
            code.iter().for_each(|c| line(format!("        \"{c}\\n\\t\"")));
            line("        );\n}".into());
        }
        line("#else".into());
    }
    // Letters alone would be other variables' names.
    let taps: Vec<(String, i64, i64)> = taps.into_iter().map(|(row, at, weight)| (format!("r{row}"), at, weight)).collect();
    line(format!("static inline void {name}({})\n{{", parameters.join(", ")));
    if lanes == 8 {
        line("#if defined(CRANELITE_MVE)".into());
        line("    /* Even and odd channels apart. */".into());
        line("    int32x4x2_t both = vld2q_s32((const int32_t *)(const void *)start);".into());
        line("    int32x4_t even = both.val[0], odd = both.val[1];".into());
        let (s, load) = if *x == "u8" { ("u", "uint8_t") } else { ("s", "int8_t") };
        for (row, at, weight) in &taps {
            let bytes = format!("vldrbq_{s}16((const {load} *){row} + {at})");
            let bytes = if *x == "u8" { format!("vreinterpretq_s16_u16({bytes})") } else { bytes };
            let weights = match *w {
                "i16" => format!("vldrhq_s16((const int16_t *)(const void *)(w + {weight}))"),
                _ => format!("vldrbq_s16((const int8_t *)w + {weight})"),
            };
            line("    {".into());
            line(format!("        const int16x8_t x = vsubq_n_s16({bytes}, (int16_t)zero_point), k = {weights};"));
            line("        even = vaddq_s32(even, vmullbq_int_s16(x, k));".into());
            line("        odd = vaddq_s32(odd, vmulltq_int_s16(x, k));".into());
            // Else GCC keeps all products before it adds the first two.
            line("        CRANELITE_IN_ORDER(even, odd);".into());
            line("    }".into());
        }
        line("    both.val[0] = even;".into());
        line("    both.val[1] = odd;".into());
        line("    vst2q_s32(sums, both);".into());
        line("#else".into());
    }
    line("    ptrdiff_t i;".into());
    line(format!("    for (i = 0; i < {lanes}; i++) {{"));
    line("        uint32_t s = (uint32_t)load_i32(start + 4 * i);".into());
    for (row, at, weight) in &taps {
        let x = if *x == "u8" { format!("load_u8({row} + {at} + i)") } else { format!("load_i8({row} + {at} + i)") };
        let w = if *w == "i16" { format!("load_i16(w + {weight} + 2 * i)") } else { format!("load_i8(w + {weight} + i)") };
        line(format!("        s += (uint32_t)(({x} - zero_point) * {w});"));
    }
    line("        sums[i] = (int32_t)s;".into());
    line("    }".into());
    line(if lanes == 8 { "#endif\n}\n".into() } else { "}\n#endif\n".into() });
    Some(out)
}

/// Taps with DSP: even and odd bytes of a word without the zero point, times two pairs of weights.
fn dsp(x: &str, w: &str, taps: &[(char, i64, i64)]) -> Vec<String> {
    let add = if x == "u8" { "uxtab16" } else { "sxtab16" };
    let mut code: Vec<String> =
        ["push {r0, r4-r11, lr}", "rsb r3, r3, #0", "pkhbt r3, r3, r3, lsl #16", "ldm r1, {r4-r7}"].map(String::from).into();
    let mut here = ' ';
    for (row, at, weight) in taps {
        if *row != here {
            here = *row;
            code.push(format!("ldr r1, [sp, #{}]", 40 + 4 * (here as u32 - u32::from(b'a'))));
        }
        let x = if (0..4096).contains(at) {
            vec![format!("ldr r11, [r1, #{at}]")]
        } else {
            vec![format!("movw r11, #{}", at & 0xffff), format!("movt r11, #{}", at >> 16), "ldr r11, [r1, r11]".into()]
        };
        code.extend(x);
        code.extend([format!("{add} r12, r3, r11"), format!("{add} r11, r3, r11, ror #8")]);
        if w == "i16" {
            code.extend([format!("ldr r8, [r2, #{weight}]"), format!("ldr r9, [r2, #{}]", weight + 4)]);
            code.extend(
                ["smlabb r4, r12, r8, r4", "smlabt r5, r11, r8, r5", "smlatb r6, r12, r9, r6", "smlatt r7, r11, r9, r7"].map(String::from),
            );
        } else {
            code.extend([format!("ldr r9, [r2, #{weight}]"), "sxtb16 r8, r9".into(), "sxtb16 r9, r9, ror #8".into()]);
            code.extend(
                ["smlabb r4, r12, r8, r4", "smlabb r5, r11, r9, r5", "smlatt r6, r12, r8, r6", "smlatt r7, r11, r9, r7"].map(String::from),
            );
        }
    }
    code.extend(["ldr r0, [sp]", "stm r0, {r4-r7}", "pop {r0, r4-r11, pc}"].map(String::from));
    code
}

/// Taps with Thumb alone: channel by channel, both pointers moving on from tap to tap.
fn thumb(x: &str, w: &str, taps: &[(char, i64, i64)]) -> Vec<String> {
    let mut code: Vec<String> =
        ["push {r4-r7, lr}", "mov r4, r8", "push {r0, r4}", "rsbs r3, r3, #0", "mov r8, r3", "ldm r1!, {r4-r7}"].map(String::from).into();
    let advance = |code: &mut Vec<String>, register: &str, by: i64| {
        let (word, size) = if by < 0 { ("subs", -by) } else { ("adds", by) };
        if (1..=255).contains(&size) {
            code.push(format!("{word} {register}, #{size}"));
        } else if size != 0 {
            code.push(format!("movs r3, #{}", (size >> 24) & 0xff));
            for shift in [16, 8, 0] {
                code.extend(["lsls r3, r3, #8".into(), format!("adds r3, #{}", (size >> shift) & 0xff)]);
            }
            code.push(format!("{word} {register}, {register}, r3"));
        }
    };
    let (mut here, mut at_x, mut at_w) = (' ', 0, 0);
    for (row, at, weight) in taps {
        if *row != here {
            (here, at_x) = (*row, 0);
            code.push(format!("ldr r1, [sp, #{}]", 28 + 4 * (here as u32 - u32::from(b'a'))));
        }
        advance(&mut code, "r1", at - at_x);
        advance(&mut code, "r2", weight - at_w);
        (at_x, at_w) = (*at, *weight);
        for i in 0..4 {
            code.push(format!("ldrb r0, [r1, #{i}]"));
            if x == "i8" {
                code.push("sxtb r0, r0".into());
            }
            code.push("add r0, r8".into());
            code.extend(match w {
                "i16" => [format!("ldrh r3, [r2, #{}]", 2 * i), "sxth r3, r3".into()],
                _ => [format!("ldrb r3, [r2, #{i}]"), "sxtb r3, r3".into()],
            });
            code.extend(["muls r3, r0, r3".into(), format!("adds r{0}, r{0}, r3", 4 + i)]);
        }
    }
    code.extend(["ldr r0, [sp]", "stm r0!, {r4-r7}", "pop {r0, r4}", "mov r8, r4", "pop {r4-r7, pc}"].map(String::from));
    code
}

/// rescale_TYPE_LEFT_RIGHT, and whether negative sums have an addend of their own.
pub fn rescale_name(elem: Elem, left: u8, right: u8, signed: bool) -> String {
    format!("rescale_{}_{left}_{right}{}", short(elem), if signed { "_signed" } else { "" })
}

fn rescale(name: &str, rest: &str) -> Option<String> {
    let parts: Vec<&str> = rest.split('_').collect();
    let (ty, left, right, signed) = match parts[..] {
        [ty, left, right] => (ty, left, right, false),
        [ty, left, right, "signed"] => (ty, left, right, true),
        _ => return None,
    };
    let (left, right): (u8, u8) = (left.parse().ok()?, right.parse().ok()?);
    let negatives = if signed { ", const uint8_t *negatives" } else { "" };
    let mut out = format!(
        "/* Four sums to bytes: each times 2^{left} and its multiplier, the high half and its addend, without {right} bits. */\n\
         CRANELITE_INLINE void {name}(uint8_t *y, const int32_t *sums, const uint8_t *multipliers, const uint8_t *addends{negatives})\n{{\n"
    );
    let mut line = |text: &str| writeln!(out, "{text}").expect("a string takes everything");
    line("#if defined(CRANELITE_MVE)");
    line("    const int32x4_t x = vldrwq_s32(sums);");
    line(&format!("    int32x4_t v = vmulhq_s32(vshlq_n_s32(x, {left}), vldrwq_s32((const int32_t *)(const void *)multipliers));"));
    line("    v = vaddq_s32(v, vldrwq_s32((const int32_t *)(const void *)addends));");
    if signed {
        line("    v = vaddq_s32(v, vandq_s32(vshrq_n_s32(x, 31), vldrwq_s32((const int32_t *)(const void *)negatives)));");
    }
    // Not VQSHRNB: some versions of the GNU assembler encode it as VQRSHRNB, which rounds.
    let (low, high) = if ty == "u8" { (0, 255) } else { (-128, 127) };
    line(&format!("    v = vmaxq_s32(vminq_s32(vshrq_n_s32(v, {right}), vdupq_n_s32({high})), vdupq_n_s32({low}));"));
    line("    vstrbq_s32((int8_t *)y, v);");
    line("#else");
    for i in 0..4 {
        let sum =
            format!("mul_high_add((int32_t)((uint32_t)sums[{i}] << {left}), load_i32(multipliers + {0}), load_i32(addends + {0}))", 4 * i);
        let sum = match signed {
            false => sum,
            true => format!("(int32_t)((uint32_t){sum} + (uint32_t)((sums[{i}] >> 31) & load_i32(negatives + {})))", 4 * i),
        };
        line(&format!("    store_8(y + {i}, saturate_{ty}_{right}({sum}));"));
    }
    line("#endif");
    line("}\n");
    Some(out)
}
