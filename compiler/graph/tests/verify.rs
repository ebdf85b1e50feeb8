//! The verifier of graphs: each rule broken once.

use cranelite_graph::graph::ValueId;
use cranelite_graph::text::parse;
use cranelite_graph::verify::verify;

const GOOD: &str = r#"graph "good"
inputs %x
outputs %z
%x: f32[2,2] q(0.5, 0)
%k = const f32[2,2] [1.0, 2.0, 3.0, 4.0]
%y: f32[2,2] = add %x, %k {activation=none, pot_scale_int16=false} @0
%z: f32[4] = reshape %y {shape=[4]} @1
"#;

/// What is said when `from` in the good graph is replaced by `to`.
fn errors(from: &str, to: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "{from}");
    let graph = parse(&GOOD.replacen(from, to, 1)).unwrap();
    verify(&graph).err().unwrap_or_default()
}

#[test]
fn rules() {
    assert_eq!(verify(&parse(GOOD).unwrap()), Ok(()));
    for (from, to, wanted) in [
        ("inputs %x", "inputs %x, %x", "input %0 is a constant or an input twice"),
        ("inputs %x", "inputs %x, %k", "input %1 is a constant or an input twice"),
        ("inputs %x", "inputs", "node 0 ADD: reads %0 too early"),
        ("add %x, %k", "add %x, %y", "node 0 ADD: reads %2 too early"),
        ("outputs %z", "outputs %z, %w\n%w: f32[1]", "output %0 is never written"),
        ("\n%z", "\n%y2: f32[2,2] = relu %y @3\n%z", ""),
        ("f32[4] = reshape", "f32[1,4] = reshape", "node 1 RESHAPE: a result is f32[1,4], infer gives [4]"),
        (
            "@0",
            "@0 then f32[2,3] sub it, %k {activation=none, pot_scale_int16=false} @2",
            "node 0 ADD: a result is f32[2,3], infer gives [2, 2]",
        ),
        ("@0", "@0 then f32[2,2] sub it, %z {activation=none, pot_scale_int16=false} @2", "node 0 ADD: reads %3 too early"),
        ("shape=[4]", "shape=[5]", "node 1 RESHAPE: E0203"),
        ("%y: f32[2,2]", "%y: i32[2,2]", "node 0 ADD: E0202"),
        ("%x: f32[2,2]", "%x: string[2,2]", "%0: string has no size"),
        ("q(0.5, 0)", "q(-0.5, 0)", "is negative or not finite"),
        ("q(0.5, 0)", "q(NaN, 0)", "is negative or not finite"),
        ("q(0.5, 0)", "qc(axis=1, scales=[1.0, 1.0, 1.0], zero_points=[0, 0, 0])", "quantisation does not fit"),
        ("q(0.5, 0)", "qc(axis=0, scales=[1.0, 1.0], zero_points=[0])", "quantisation does not fit"),
    ] {
        let errors = errors(from, to);
        match wanted {
            "" => assert!(errors.is_empty(), "{from} -> {to}: {errors:?}"),
            _ => assert!(errors.iter().any(|e| e.contains(wanted)), "{from} -> {to}: {errors:?}"),
        }
    }
}

#[test]
fn what_no_text_can_say() {
    let good = parse(GOOD).unwrap();
    let says = |change: &dyn Fn(&mut cranelite_graph::graph::Graph), wanted: &str| {
        let mut graph = good.clone();
        change(&mut graph);
        let errors = verify(&graph).expect_err(wanted);
        assert!(errors.iter().any(|e| e.contains(wanted)), "{errors:?}");
    };
    says(&|g| g.outputs[0] = ValueId(9), "the graph names %9");
    says(&|g| g.nodes[0].inputs[0] = Some(ValueId(4)), "node 0 ADD: %4 does not exist");
    says(&|g| g.nodes[1].outputs[0] = ValueId(2), "node 1 RESHAPE: writes %2");
    says(&|g| g.values[1].data = Some(vec![0; 15].into()), "%1: 15 bytes of data");
    says(&|g| g.nodes[1].outputs.push(ValueId(9)), "%9");
}
