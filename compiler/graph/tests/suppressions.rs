//! NON_MAX_SUPPRESSION_V4 and V5, lowered for several machines and interpreted, against plain loops around a queue whose steps are those of GNU's C++ library.
//!
//! Boxes are on a coarse grid and scores from few numbers, so that many overlap, are equal or have no area.

use cranelite_graph::diagnostic::Code;
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::ops::suppressions::Attributes;
use cranelite_graph::ops::{Op, Operand, Signature, non_max_suppression_v4, non_max_suppression_v5};
use cranelite_graph::tensor::{ElementType, TensorType};
use cranelite_graph::text::parse;
use cranelite_tile::{ByteDot, Machine, arena, interpret, verify};

/// Places, the best of which by their scores is the first.
#[derive(Default)]
struct Queue(Vec<usize>);

impl Queue {
    fn rise(&mut self, mut hole: usize, place: usize, scores: &[f32]) {
        while 0 < hole && scores[self.0[(hole - 1) / 2]] < scores[place] {
            self.0[hole] = self.0[(hole - 1) / 2];
            hole = (hole - 1) / 2;
        }
        self.0[hole] = place;
    }
    fn push(&mut self, place: usize, scores: &[f32]) {
        self.0.push(place);
        self.rise(self.0.len() - 1, place, scores);
    }
    fn pop(&mut self, scores: &[f32]) -> usize {
        let last = self.0.pop().unwrap();
        if self.0.is_empty() {
            return last;
        }
        let (top, mut hole) = (self.0[0], 0);
        while 2 * hole + 1 < self.0.len() {
            let (left, right) = (2 * hole + 1, 2 * hole + 2);
            let is_left = right == self.0.len() || scores[self.0[right]] < scores[self.0[left]];
            let child = if is_left { left } else { right };
            self.0[hole] = self.0[child];
            hole = child;
        }
        self.rise(hole, last, scores);
        top
    }
}

#[derive(Clone, Debug)]
struct Case {
    boxes: Vec<[f32; 4]>,
    scores: Vec<f32>,
    most: usize,
    iou_threshold: f32,
    score_threshold: f32,
    /// Of V5.
    sigma: Option<f32>,
}

fn overlap(a: [f32; 4], b: [f32; 4]) -> f32 {
    let side = |v: [f32; 4], i: usize| (v[i].min(v[i + 2]), v[i].max(v[i + 2]));
    let area = |v: [f32; 4]| (side(v, 0).1 - side(v, 0).0) * (side(v, 1).1 - side(v, 1).0);
    let common = |i: usize| (side(a, i).1.min(side(b, i).1) - side(a, i).0.max(side(b, i).0)).max(0.0);
    let (common, areas) = (common(0) * common(1), [area(a), area(b)]);
    if areas[0] <= 0.0 || areas[1] <= 0.0 { 0.0 } else { common / (areas[0] + areas[1] - common) }
}

impl Case {
    fn expected(&self) -> (Vec<i32>, Vec<f32>, i32) {
        let (mut scores, mut begins, mut queue) = (self.scores.clone(), vec![0; self.boxes.len()], Queue::default());
        (0..scores.len()).filter(|&i| self.score_threshold < self.scores[i]).for_each(|i| queue.push(i, &scores));
        let (limit, sigma) = (queue.0.len().min(self.most), self.sigma.unwrap_or(0.0));
        let mut chosen: Vec<(usize, f32)> = vec![];
        while chosen.len() < limit && !queue.0.is_empty() {
            let place = queue.pop(&scores);
            let (original, mut score, mut is_suppressed) = (scores[place], scores[place], false);
            for &(other, _) in chosen[begins[place]..].iter().rev() {
                let iou = overlap(self.boxes[place], self.boxes[other]);
                if self.iou_threshold <= iou {
                    is_suppressed = true;
                    break;
                }
                if 0.0 < sigma {
                    score *= libm::exp(f64::from(-0.5 / sigma * iou * iou)) as f32;
                }
                if score <= self.score_threshold {
                    break;
                }
            }
            (begins[place], scores[place]) = (chosen.len(), score);
            if !is_suppressed && score == original {
                chosen.push((place, score));
            }
            if !is_suppressed && self.score_threshold < score {
                queue.push(place, &scores);
            }
        }
        let found = chosen.len() as i32;
        chosen.resize(self.most, (0, 0.0));
        (chosen.iter().map(|c| c.0 as i32).collect(), chosen.iter().map(|c| c.1).collect(), found)
    }

    /// All results, as bytes; `None` where the invocation ends before.
    fn compiled(&self) -> Option<Vec<Vec<u8>>> {
        let (n, most) = (self.boxes.len(), self.most);
        let (name, sigma, scores) = match self.sigma {
            Some(_) => ("non_max_suppression_v5", (", %s", "%s: f32[]\n"), (", %z", format!(", %z: f32[{most}]"))),
            None => ("non_max_suppression_v4", ("", ""), ("", String::new())),
        };
        let text = format!(
            "graph \"g\"\ninputs %b, %x, %i, %t{}\noutputs %y{}, %n\n%b: f32[{n},4]\n%x: f32[{n}]\n%i: f32[]\n%t: f32[]\n{}\
             %y: i32[{most}]{}, %n: i32[] = {name} %b, %x, %i, %t{} {{max_output_size={most}}} @0\n",
            sigma.0, scores.0, sigma.1, scores.1, sigma.0
        );
        let graph = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        cranelite_graph::verify::verify(&graph).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
        let bytes = |v: &[f32]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let mut inputs =
            vec![bytes(self.boxes.as_flattened()), bytes(&self.scores), bytes(&[self.iou_threshold]), bytes(&[self.score_threshold])];
        inputs.extend(self.sigma.map(|s| bytes(&[s])));
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let mut results = vec![];
        for (goal, bytes) in [(Goal::Speed, 0), (Goal::Speed, 32), (Goal::Size, 16)] {
            let machine = Machine::example(bytes, ByteDot::S16S16, false, false);
            let mut program = lower(&graph, &machine, goal).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
            arena::plan(&mut program);
            arena::check(&program).unwrap();
            verify::verify(&program).unwrap_or_else(|e| panic!("{e:?}"));
            let mut outputs: Vec<Vec<u8>> = graph.outputs.iter().map(|v| vec![0xAA; graph.ty(*v).size_bytes()]).collect();
            let mut slices: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
            let is_done = interpret::run(&program, &inputs, &mut slices).is_ok();
            results.push(is_done.then_some(outputs));
        }
        assert!(results.iter().all(|r| *r == results[0]), "{self:?}");
        results.remove(0)
    }
}

#[test]
fn boxes_of_every_kind() {
    let mut state = 1u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    for i in 0..80 {
        let (n, grid, levels) = (below(40), [2, 3, 5, 50][below(4)], [3, 6, 1000][below(3)]);
        let mut boxes: Vec<[f32; 4]> = (0..n).map(|_| [0; 4].map(|_| below(grid + 1) as f32 / grid as f32)).collect();
        let mut scores: Vec<f32> = (0..n).map(|_| below(levels) as f32 / levels as f32).collect();
        if i % 7 == 0 && 0 < n {
            (boxes[below(n)][below(4)], scores[below(n)]) = (f32::INFINITY, f32::NAN);
        }
        let case = Case {
            boxes,
            scores,
            most: below(50),
            iou_threshold: [0.0, 0.1, 0.3, 0.5, 1.0][below(5)],
            score_threshold: [-1.0, 0.0, 0.2, 0.5][below(4)],
            sigma: (below(2) == 0).then(|| [0.0, 0.1, 0.5, 2.0][below(4)]),
        };
        let bytes = |v: &[i32]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let (places, scores, found) = case.expected();
        let mut expected = vec![bytes(&places), bytes(&[found])];
        if case.sigma.is_some() {
            expected.insert(1, scores.iter().flat_map(|v| v.to_le_bytes()).collect());
        }
        assert_eq!(case.compiled().as_ref(), Some(&expected), "{case:?}");
    }
}

/// More than one call of the loop's, and what TensorFlow Lite gives for scores of which many are equal.
#[test]
fn equal_scores_are_in_the_order_of_the_reference() {
    for &(levels, n, most, expected) in KNOWN {
        let boxes = (0..n).map(|i| [i as f32, 0.0, i as f32 + 1.0, 1.0]).collect();
        let scores = (0..n).map(|i| (1 + i * i % levels) as f32 / levels as f32).collect();
        let case = Case { boxes, scores, most, iou_threshold: 0.5, score_threshold: 0.0, sigma: None };
        let bytes: Vec<u8> = expected.iter().flat_map(|v: &i32| v.to_le_bytes()).collect();
        assert_eq!(case.compiled().unwrap()[0], bytes, "{levels} {n}");
        assert_eq!(case.expected().0, expected, "{levels} {n}");
    }
}

#[rustfmt::skip]
const KNOWN: &[(usize, usize, usize, &[i32])] = &[
    (3, 11, 11, &[1, 2, 5, 4, 10, 8, 7, 6, 0, 9, 3]),
    (2, 20, 12, &[1, 5, 13, 11, 3, 9, 19, 7, 17, 15, 4, 2]),
    (4, 33, 20, &[1, 5, 13, 29, 27, 11, 25, 23, 3, 9, 21, 19, 7, 17, 15, 31, 6, 24, 26, 8]),
    (7, 150, 100, &[2, 5, 30, 61, 124, 121, 58, 117, 114, 12, 26, 54, 110, 107, 51, 103, 23, 100, 47, 96, 9, 19, 44, 93, 89, 40, 86, 79, 82, 16, 37, 75, 72, 149, 145, 33, 68, 142, 135, 138, 65, 131, 128, 115, 60, 116, 122, 53, 108, 74, 123, 59, 11, 109, 144, 52, 25, 136, 101, 102, 67, 24, 95, 137, 88, 45, 94, 46, 32, 10, 87, 130, 4, 81, 3, 39, 80, 38, 17, 18, 143, 73, 31, 66, 129, 29, 62, 113, 125, 134, 120, 13, 118, 27, 141, 104, 55, 106, 43, 50]),
];

#[test]
fn what_does_not_fit_is_refused() {
    let infer = |is_soft: bool, max_output_size: usize, shapes: &[&[usize]]| {
        let a = Attributes { max_output_size };
        let (op, outputs): (Op, &[ElementType]) = match is_soft {
            true => {
                (Op::NonMaxSuppressionV5(non_max_suppression_v5::Attributes(a)), &[ElementType::I32, ElementType::F32, ElementType::I32])
            }
            false => (Op::NonMaxSuppressionV4(non_max_suppression_v4::Attributes(a)), &[ElementType::I32; 2]),
        };
        let inputs: Vec<TensorType> = shapes.iter().map(|s| TensorType::new(ElementType::F32, *s)).collect();
        let outputs: Vec<TensorType> = outputs.iter().map(|e| TensorType::new(*e, [])).collect();
        let inputs = inputs.iter().map(|ty| Some(Operand { ty, data: None })).collect();
        op.infer(&Signature { inputs, outputs: outputs.iter().collect() }).map_err(|d| d.code)
    };
    assert_eq!(infer(false, 3, &[&[5, 4], &[5], &[], &[]]), Ok(vec![vec![3], vec![]]));
    assert_eq!(infer(true, 3, &[&[5, 4], &[5], &[], &[], &[]]), Ok(vec![vec![3], vec![3], vec![]]));
    let bad: [&[&[usize]]; 6] = [
        &[&[5, 5], &[5], &[], &[], &[]],
        &[&[20], &[5], &[], &[], &[]],
        &[&[5, 4], &[4], &[], &[], &[]],
        &[&[5, 4], &[5, 1], &[], &[], &[]],
        &[&[5, 4], &[5], &[1], &[], &[]],
        &[&[5, 4], &[5], &[], &[1], &[]],
    ];
    for shapes in bad {
        assert_eq!(infer(true, 3, shapes), Err(Code::OPERAND), "{shapes:?}");
        assert_eq!(infer(false, 3, &shapes[..4]), Err(Code::OPERAND), "{shapes:?}");
    }
    assert_eq!(infer(true, 3, &[&[5, 4], &[5], &[], &[], &[1]]), Err(Code::OPERAND));
    assert_eq!(infer(false, 1 << 31, &[&[5, 4], &[5], &[], &[]]), Err(Code::ATTRIBUTE));
    // The reference fails at run time, too.
    let (boxes, scores) = (vec![[0.0, 0.0, 1.0, 1.0]], vec![1.0]);
    let case = Case { boxes, scores, most: 1, iou_threshold: 0.5, score_threshold: 0.0, sigma: Some(-1.0) };
    assert_eq!(case.compiled(), None);
    let text = "graph \"g\"\ninputs %b, %x, %i, %t\noutputs %y, %z, %n\n%b: f32[1,4]\n%x: f32[1]\n%i: f32[]\n%t: f32[]\n\
                %s = const f32[] [-1.0]\n\
                %y: i32[1], %z: f32[1], %n: i32[] = non_max_suppression_v5 %b, %x, %i, %t, %s {max_output_size=1} @0\n";
    let graph = parse(text).unwrap_or_else(|e| panic!("{e}"));
    let problems = lower(&graph, &Machine::example(16, ByteDot::S16S16, false, false), Goal::Speed).unwrap_err();
    assert_eq!(problems[0].code, Code::ATTRIBUTE);
}
