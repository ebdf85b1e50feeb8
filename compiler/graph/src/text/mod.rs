//! The text form of graphs, `.graph`: what `--emit graph` writes and what tests are written in.
//!
//! Not the model file. The idea: one line per value, and `parse(print(g)) == g` for every graph.
//!
//! ```text
//! graph "tiny"
//! inputs %0
//! outputs %3
//! %0: i8[1,4,4,8] q(0.1, 4) "image"
//! %1 = const i8[8,3,3,8] qc(axis=0, scales=[0.02, 0.03], zero_points=[0, 0]) "w" 0x01ff80
//! %2 = const i32[2] "b" [17, -3]
//! %3: i8[1,4,4,8] q(0.05, -128) "y" = conv_2d %0, %1, %2 {stride=[1,1], dilation=[1,1], padding=[1,1,1,1], activation=relu} @0
//! ```
//!
//! `%4 = state f32[1,8] "memory" zeros` is a state, with what is in it at first. An operator without results has no `%` before it:
//! `assign_variable %4, %3 @1`.
//!
//! `%6: i64[9,1] count %7` has as many rows as the i32 `%7` says, nine at most.
//!
//! What an operator with control flow runs follows its line, each body a graph of its own:
//!
//! ```text
//! %5: f32[4] = if %0, %1 @3
//! body
//! graph "then"
//! inputs %0
//! outputs %1
//! %0: f32[4]
//! %1: f32[4] = relu %0 @4
//! end
//! ```
//!
//! The number after `%` is the value's index. `@` gives the model's operator. An absent input is `none`, several results are separated
//! by commas. What becomes of a result before it is stored follows as `then TYPE add it, %4 {...} @1`: TYPE is that of `it`, the result
//! up to there. A text written by hand may use names (`%x`); values then get indices in the order of their lines and, where no
//! quoted name follows, that name. `#` starts a comment.

pub mod fields;
pub mod parse;
pub mod print;

pub use parse::parse;
pub use print::{Constants, print};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;

    fn parsed(text: &str) -> Graph {
        parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    /// One line of every operator and every form of a value.
    const EVERYTHING: &str = r#"graph "all \"of\" it"
inputs %0, %1
outputs %2, %24
%0: i8[1,4,4,8] q(0.1, 4) "image"
%1: f32[]
%2: i8[1,4,4,8] q(0.05, -128) "conv/relu;\n\\" = conv_2d %0, %3, none {stride=[2,1], dilation=[1,3], padding=[0,1,2,3], activation=relu6} @7
%3 = const i8[2,3] qc(axis=1, scales=[0.02, 1e-10, 3.0], zero_points=[0, 0, 1]) "w" [1, -1, -128, 0, 1, 2]
%4 = const f32[4] [1.0, -0.0, 1e30, 0.33333334]
%5 = const f32[1] 0x0100c07f
%6 = const i32[3] "b" [17, -3, 0]
%7 = const i64[1] [-9223372036854775808]
%8 = const i4[3] 0x1203
%9 = const u8[0] []
%10: f32[4] = add %4, %4 {activation=none, pot_scale_int16=true} @1
%11: f32[4] = sub %4, %4 {activation=relu, pot_scale_int16=false} @1
%12: f32[4] = mul %4, %4 {activation=relu_n1_to_1, pot_scale_int16=false} @1
%13: f32[1] = average_pool_2d %4 {filter=[2,2], stride=[1,1], padding=[0,0,0,0], activation=none} @2
%14: f32[1] = max_pool_2d %4 {filter=[2,2], stride=[1,1], padding=[0,0,0,0], activation=none} @3
%15: f32[8] = concatenation %4, %4 {axis=0, activation=none} @4
%16: f32[1] = depthwise_conv_2d %4, %4, %4 {stride=[1,1], dilation=[1,1], padding=[0,0,0,0], depth_multiplier=2, activation=none} @5
%17: f32[1] = fully_connected %4, %4 {activation=none, keep_num_dims=true, asymmetric_quantize_inputs=false} @6
%18: f32[] = mean %4 {axes=[0], keep_dims=false} @8
%19: f32[6] = pad %4 {before=[1], after=[1]} @9
%20: f32[4] = softmax %4 {beta=0.1} @10
%21: i8[4] q(0.1, 0) = quantize %4 @11
%22: f32[4] = dequantize %21 @12
%23: f32[4] = logistic %22 @13
%24: f32[4] = relu %23 @14
%25: f32[4] = relu6 %24 @15
%26: f32[2,2] = reshape %25 {shape=[2,2]} @16
%28 = state f32[2] "kept\n" [1.0, 2.0]
%29 = state f32[2] zeros
%30: f32[2] = read_variable %28 @20
assign_variable %29, %30 @21
if %0, %28 @22
body
graph "then"
inputs
outputs
%0 = state f32[2] zeros
%1: f32[2] = read_variable %0 @23
while %1 @24
body
graph "test"
inputs %0
outputs %1
%0: f32[2]
%1 = const bool[1] 0x00
end
body
graph ""
inputs %0
outputs %0
%0: f32[2]
end
end
body
graph "otherwise"
inputs
outputs
end
%31: i64[16,2] count %32, %32: i32[] = where %26 @25
%33: f32[16,2] "cast" count %32 = cast %31 @26
%27: f32[4] = relu %4 @17 then f32[4] add it, %10 {activation=none, pot_scale_int16=false} @18 then f32[4] sub %4, it {activation=relu, pot_scale_int16=false} @19
"#;

    #[test]
    fn prints_what_it_parses() {
        let g = parsed(EVERYTHING);
        assert_eq!(g.values.len(), 34);
        assert_eq!(g.value(crate::graph::ValueId(2)).name, "conv/relu;\n\\");
        let text = print(&g, Constants::Whole);
        assert_eq!(parsed(&text), g, "{text}");
        assert_eq!(print(&parsed(&text), Constants::Whole), text);
        for line in EVERYTHING.lines().filter(|l| l.contains("const") || l.contains(" = ")) {
            assert!(text.contains(line), "not printed as written: {line}\n{text}");
        }
    }

    #[test]
    fn names_instead_of_numbers() {
        let g = parsed("graph \"g\"\ninputs %x\noutputs %y # the result\n%x: f32[4]\n%y: f32[4] \"out\" = relu %x @0\n");
        assert_eq!(g.values[0].name, "x");
        assert_eq!(g.values[1].name, "out");
        assert_eq!(parsed(&print(&g, Constants::Whole)), g);
    }

    #[test]
    fn large_constants_can_be_shortened() {
        let text = format!("graph \"g\"\ninputs\noutputs %0\n%0 = const i8[64] 0x{}\n", "01".repeat(64));
        let g = parsed(&text);
        let short = print(&g, Constants::Shortened);
        assert!(short.contains("64 bytes"), "{short}");
        assert!(parse(&short).is_err());
        assert_eq!(parsed(&print(&g, Constants::Whole)), g);
    }

    #[test]
    fn mistakes_have_a_line() {
        let head = "graph \"g\"\ninputs %0\noutputs %0\n";
        for (line, needle) in [
            ("%0: f32[4] = relu %9 @0", "%9"),
            ("%0: f99[4]", "f99"),
            ("%0: f32[4] \"x", "quote"),
            ("%0: f32[4] = nosuch %0 @0", "nosuch"),
            ("%0 = const f32[2] [1.0]", "8 bytes"),
            ("%0 = const i8[1] [300]", "300"),
            ("%0 = const i8[1] 0x1", "hex"),
            ("%0: f32[4]\n%0: f32[4]", "twice"),
            ("%1: f32[4]", "%0"),
            ("%0: f32[99999999999999999999]", "9999"),
            ("%0: i8[4294967296,4294967296,4]", "many"),
            ("%0: i8[3] qc(axis=0, scales=[1.0, 2.0], zero_points=[0, 0], more=1)", "`)`"),
            ("%0: f32[4] = relu %0 {", "attribute"),
            ("%0: f32[4] extra", "extra"),
            ("€", "€"),
        ] {
            match parse(&format!("{head}{line}\n")) {
                Ok(_) => panic!("accepted: {line}"),
                Err(e) => assert!(e.to_string().contains(needle) && e.line >= 2, "{line}: {e}"),
            }
        }
    }

    /// Whatever the text is, reading it ends with a graph that can be written, or with a mistake.
    #[test]
    fn damaged_texts() {
        let mut random = 1u64;
        let mut below = |n: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % n as u64) as usize
        };
        let mut accepted = 0;
        for _ in 0..20_000 {
            let mut text: Vec<char> = EVERYTHING.chars().collect();
            for _ in 0..1 + below(3) {
                let (at, from) = (below(text.len()), below(text.len()));
                match below(3) {
                    0 => drop(text.remove(at)),
                    1 => text[at] = text[from],
                    _ => text.insert(at, ['9', '-', '"', '%', 'é', ']', '\\', '\n'][below(8)]),
                }
            }
            let text: String = text.into_iter().collect();
            if let Ok(g) = parse(&text) {
                accepted += 1;
                let printed = print(&g, Constants::Whole);
                // NaN is not equal to itself.
                assert_eq!(print(&parsed(&printed), Constants::Whole), printed);
            }
        }
        assert!(500 < accepted, "{accepted} accepted");
    }
}
