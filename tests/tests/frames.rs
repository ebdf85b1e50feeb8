//! Frames of a camera as inputs of a model: interpreted and as machine code, against plain loops, and where points lie in the frame.
//!
//! Not OpenCV's results: `tests/frames/run.py` compares these. A model here gives its inputs as outputs, so that the numbers are those of the input.

use cranelite_graph::graph::{Graph, Node, Value};
use cranelite_graph::import::Imported;
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::ops::{self, Op};
use cranelite_graph::pipeline::spec::{
    Crop, CropName, Fit, Format, Frame, Input, Keypoints, Next, OneOrMore, Order, Pipeline, Resizing, Stride,
};
use cranelite_graph::pipeline::{self, Piped};
use cranelite_graph::quantize::resample;
use cranelite_graph::rewrite;
use cranelite_graph::tensor::{ElementType, TensorType};
use cranelite_graph::text::{Constants, parse, print};
use cranelite_tests::differential::{self, Step, native_levels};
use cranelite_tile::{ByteDot, Elem, Machine, arena, verify};

const FORMATS: [Format; 9] =
    [Format::Rgb8, Format::Bgr8, Format::Rgba8, Format::Bgra8, Format::Gray8, Format::Yuyv, Format::Nv12, Format::Nv21, Format::I420];

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}

/// A model that gives its inputs, which have these names and types, as outputs with an `o` before their names.
fn model(inputs: &[(&str, TensorType)]) -> Imported {
    let mut graph = Graph::default();
    for (i, (name, ty)) in inputs.iter().enumerate() {
        let flat = TensorType { shape: vec![ty.element_count(), 1], ..ty.clone() };
        let x = graph.add_value(Value { name: name.to_string(), ty: ty.clone(), data: None });
        let y = graph.add_value(Value { name: format!("o{name}"), ty: flat.clone(), data: None });
        let op = Op::Reshape(ops::reshape::Attributes { shape: flat.shape, is_checked: false });
        graph.nodes.push(Node { op, inputs: vec![Some(x)], outputs: vec![y], operator: i as u32, then: vec![] });
        graph.inputs.push(x);
        graph.outputs.push(y);
    }
    Imported {
        key: String::new(),
        subgraph: 0,
        input_names: inputs.iter().map(|i| i.0.to_string()).collect(),
        output_names: inputs.iter().map(|i| format!("o{}", i.0)).collect(),
        input_tensors: (0..inputs.len() as i32).collect(),
        output_tensors: (0..inputs.len() as i32).collect(),
        output_counts: vec![None; inputs.len()],
        graph,
    }
}

fn frame(format: Format, width: usize, height: usize) -> Frame {
    Frame { format, width, height, stride: None }
}

fn image(height: usize, width: usize, channels: usize) -> TensorType {
    TensorType::new(ElementType::U8, [1, height, width, channels])
}

fn piped(frame: &Frame, input: &Input, to: &TensorType) -> Result<Piped, String> {
    let input = Input { from: "cam".into(), ..input.clone() };
    let pipeline =
        Pipeline { frame: [("cam".into(), frame.clone())].into(), input: [("image".into(), input)].into(), ..Pipeline::default() };
    pipeline::apply(model(&[("image", to.clone())]), vec![], &pipeline).map_err(|d| format!("{}: {}", d[0].place, d[0]))
}

/// What the graph gives, interpreted, and compiled for some levels of this machine, which must be the same bits and the same status.
fn run(graph: &Graph, inputs: &[Vec<u8>]) -> Step {
    let mut graph = graph.clone();
    let text = print(&graph, Constants::Whole);
    assert_eq!(print(&parse(&text).unwrap(), Constants::Whole), text);
    rewrite::all(&mut graph, |_, _| {});
    let outputs: Vec<Vec<u8>> = graph.outputs.iter().map(|v| vec![0x5a; graph.ty(*v).size_bytes()]).collect();
    let mut answer: Option<Step> = None;
    for target in native_levels().iter().step_by(4) {
        for goal in [Goal::Speed, Goal::Size] {
            let mut program = lower(&graph, &target.machine, goal).unwrap_or_else(|d| panic!("{}", d[0]));
            verify::verify(&program).unwrap_or_else(|e| panic!("not proved: {}", e[0]));
            arena::plan(&mut program);
            let elems = vec![Elem::U8; outputs.len()];
            let case = differential::Case { program, inputs: inputs.to_vec(), outputs: outputs.clone(), elems };
            let mut expected = differential::expected_steps(&case.program, &[inputs.to_vec()], &outputs).unwrap();
            let expected = expected.pop().unwrap();
            if expected.status == 0 {
                for got in differential::native(&case, target).unwrap() {
                    if let Some(difference) = differential::difference(&case, &expected.outputs, &got) {
                        panic!("{goal:?} at {}: {difference}", target.level);
                    }
                }
            } else {
                differential::native(&case, target).expect_err("the interpreter ends");
            }
            answer.get_or_insert(expected);
        }
    }
    let answer = answer.expect("this machine has a level");
    // Without vectors, as of machines that C is written for.
    let mut program = lower(&graph, &Machine::example(0, ByteDot::S8S8, true, false), Goal::Size).unwrap_or_else(|d| panic!("{}", d[0]));
    verify::verify(&program).unwrap_or_else(|e| panic!("not proved: {}", e[0]));
    arena::plan(&mut program);
    let scalar = differential::expected_steps(&program, &[inputs.to_vec()], &outputs).unwrap().pop().unwrap();
    assert_eq!(scalar.status, answer.status);
    assert!(answer.status != 0 || scalar.outputs == answer.outputs, "without vectors");
    answer
}

/// R, G and B of a frame without spaces between rows.
fn rgb(frame: &Frame, bytes: &[u8], x: usize, y: usize) -> [i64; 3] {
    let Frame { format, width, height, .. } = *frame;
    let (at, half) = (y * width + x, width.div_ceil(2));
    let wide = half * 2;
    let chroma = width * height + y / 2 * wide + x / 2 * 2;
    let planes = |plane: usize| width * height + plane * half * height.div_ceil(2) + y / 2 * half + x / 2;
    let [a, b, c] = match format {
        Format::Rgb8 => [3 * at, 3 * at + 1, 3 * at + 2],
        Format::Bgr8 => [3 * at + 2, 3 * at + 1, 3 * at],
        Format::Rgba8 => [4 * at, 4 * at + 1, 4 * at + 2],
        Format::Bgra8 => [4 * at + 2, 4 * at + 1, 4 * at],
        Format::Gray8 => [at; 3],
        Format::Yuyv => [(y * wide + x) * 2, (y * wide + x / 2 * 2) * 2 + 1, (y * wide + x / 2 * 2) * 2 + 3],
        Format::Nv12 => [at, chroma, chroma + 1],
        Format::Nv21 => [at, chroma + 1, chroma],
        Format::I420 => [at, planes(0), planes(1)],
    }
    .map(|i| i64::from(bytes[i]));
    if !matches!(format, Format::Yuyv | Format::Nv12 | Format::Nv21 | Format::I420) {
        return [a, b, c];
    }
    let (luma, u, v) = ((a - 16).max(0) * 1_220_542 + (1 << 19), b - 128, c - 128);
    [luma + 1_673_527 * v, luma - 852_492 * v - 409_993 * u, luma + 2_116_026 * u].map(|s| (s >> 20).clamp(0, 255))
}

/// The image by plain loops: the frame is converted, turned, mirrored and resized.
fn plain(frame: &Frame, bytes: &[u8], input: &Input, [rows, columns]: [usize; 2]) -> Vec<u8> {
    let [left, top, width, height] = match input.crop {
        Some(Crop::Box(part)) => part,
        _ => [0, 0, frame.width, frame.height],
    };
    let mut pixels: Vec<Vec<[i64; 3]>> =
        (top..top + height).map(|y| (left..left + width).map(|x| rgb(frame, bytes, x, y)).collect()).collect();
    for _ in 0..input.rotate / 90 {
        pixels = (0..pixels[0].len()).map(|x| pixels.iter().rev().map(|row| row[x]).collect()).collect();
    }
    if input.mirror {
        pixels.iter_mut().for_each(|row| row.reverse());
    }
    let weights = |from: usize, to: usize| match input.resize {
        Resizing::Bilinear => (resample::bilinear(from, to), 256),
        Resizing::Nearest => (resample::nearest(from, to), 1),
        Resizing::Area => resample::area(from, to),
    };
    let ((down, all_down), (across, all_across)) = (weights(pixels.len(), rows), weights(pixels[0].len(), columns));
    let total = (all_down * all_across) as i64;
    let to_even = input.resize == Resizing::Area && !(pixels.len() == 2 * rows && pixels[0].len() == 2 * columns);
    let mut image = vec![];
    for row in &down {
        for column in &across {
            for channel in 0..3 {
                let sum = |(y, w): &(usize, i32)| {
                    i64::from(*w) * column.iter().map(|(x, w)| i64::from(*w) * pixels[*y][*x][channel]).sum::<i64>()
                };
                let sum: i64 = row.iter().map(sum).sum();
                let up = (2 * sum + total) / (2 * total);
                let is_tie = (2 * sum + total) % (2 * total) == 0;
                image.push(if to_even && is_tie { up & !1 } else { up } as u8);
            }
        }
    }
    image
}

fn size(frame: &Frame) -> usize {
    pipeline::frames::inputs(frame).unwrap()[0].1.element_count()
}

#[test]
fn every_format() {
    let mut random = Random(1);
    for (i, format) in FORMATS.into_iter().enumerate() {
        let frame = frame(format, 11 + i % 3, 9 + i % 2);
        for (j, resize) in [Resizing::Bilinear, Resizing::Nearest, Resizing::Area].into_iter().enumerate() {
            let crop = (i % 2 == 0).then(|| Crop::Box([frame.width - 9, 1, 9, 8]));
            let input = Input { resize, crop, rotate: (i + j) % 4 * 90, mirror: i % 3 == 1, ..Input::default() };
            let to = if j == 2 { [4, 3] } else { [7, 10] };
            let bytes = random.bytes(size(&frame));
            let mut ty = image(to[0], to[1], 3);
            if i % 2 == 1 {
                ty.shape.remove(0);
            }
            let piped = piped(&frame, &input, &ty).unwrap();
            let got = run(&piped.imported.graph, std::slice::from_ref(&bytes));
            assert_eq!(got.outputs[0], plain(&frame, &bytes, &input, to), "{frame:?} {input:?}");
        }
    }
}

#[test]
fn brightness_of_every_shape() {
    let (w, h) = (6, 4);
    let bytes = Random(3).bytes(w * h * 3);
    let gray = |p: &[u8]| ((i64::from(p[0]) * 9798 + i64::from(p[1]) * 19235 + i64::from(p[2]) * 3735 + (1 << 14)) >> 15) as u8;
    let want: Vec<u8> = bytes.chunks(3).map(gray).collect();
    for shape in [vec![1, h, w, 1], vec![h, w, 1], vec![1, 1, h, w], vec![1, h, w], vec![h, w]] {
        let piped = piped(&frame(Format::Rgb8, w, h), &Input::default(), &TensorType::new(ElementType::U8, shape)).unwrap();
        assert_eq!(run(&piped.imported.graph, std::slice::from_ref(&bytes)).outputs[0], want);
    }
    // Without chroma, from black at 16 to white at 235.
    let luma: Vec<u8> = (0..24).map(|i| i * 11).collect();
    let all = [&luma[..], &[200; 12]].concat();
    let piped = piped(&frame(Format::Nv12, w, h), &Input::default(), &image(h, w, 1)).unwrap();
    let got = run(&piped.imported.graph, &[all]).outputs.remove(0);
    for (y, v) in luma.iter().zip(got) {
        let exact = ((f64::from(*y) - 16.0) * 255.0 / 219.0).clamp(0.0, 255.0);
        assert!((f64::from(v) - exact).abs() < 0.6, "{y}: {v}");
    }
}

#[test]
fn a_stride_is_checked_before_anything_is_read() {
    let mut random = Random(2);
    for format in [Format::Rgb8, Format::Nv12, Format::I420] {
        let tight = frame(format, 6, 5);
        let row: i32 = if format == Format::Rgb8 { 18 } else { 6 };
        let given = Frame { stride: Some(Stride::Given { most: row as usize + 7 }), ..tight.clone() };
        let piped = piped(&given, &Input::default(), &image(4, 4, 3)).unwrap();
        assert_eq!(piped.imported.input_names, ["cam", "cam_stride"]);
        let bytes = random.bytes(size(&given));
        let with = |stride: i32| run(&piped.imported.graph, &[bytes.clone(), stride.to_le_bytes().to_vec()]);
        assert_eq!(with(row).outputs[0], plain(&tight, &bytes, &Input::default(), [4, 4]));
        for stride in [row - 1, row + 8, 0, -row, i32::MAX, i32::MIN] {
            assert_eq!(with(stride).status, 3, "{format:?} {stride}");
        }
        assert_eq!(with(row + 7).status, 0);
    }
}

#[test]
fn numbers_are_those_of_quantize() {
    let frame = frame(Format::Rgb8, 16, 16);
    let bytes: Vec<u8> = (0..=255).flat_map(|v| [v, 255 - v, v]).collect();
    let input = Input {
        mean: Some(OneOrMore::More(vec![127.5, 100.0, 0.0])),
        std: Some(OneOrMore::More(vec![127.5, 128.0, 255.0])),
        order: Order::Bgr,
        ..Input::default()
    };
    let to = TensorType::quantized(ElementType::I8, [1, 16, 16, 3], 1.0 / 128.0, -3);
    let got = run(&piped(&frame, &input, &to).unwrap().imported.graph, std::slice::from_ref(&bytes));
    let number = |v: u8, mean: f32, std: f32| ((((f32::from(v) - mean) / std) * 128.0).round() as i32 - 3).clamp(-128, 127) as i8 as u8;
    let want: Vec<u8> =
        bytes.chunks(3).flat_map(|p| [number(p[2], 127.5, 127.5), number(p[1], 100.0, 128.0), number(p[0], 0.0, 255.0)]).collect();
    assert_eq!(got.outputs[0], want);
}

/// Colours say where a pixel is: what keypoints in the middle of the input's pixels become must be there.
#[test]
fn points_lie_where_pixels_come_from() {
    const STEP: usize = 6;
    let (width, height) = (38, 31);
    let source = frame(Format::Rgb8, width, height);
    let bytes: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| [x * STEP, y * STEP, 0])).map(|v| v as u8).collect();
    let crops = [None, Some(Crop::Box([3, 5, 20, 24])), Some(Crop::Named(CropName::Center))];
    let mut count = 0;
    for number in 0..32 {
        let input = Input {
            from: "cam".into(),
            rotate: number % 4 * 90,
            mirror: number / 4 % 2 == 1,
            fit: if number / 8 % 2 == 1 { Fit::Letterbox } else { Fit::Stretch },
            fill: (number / 8 % 2 == 1).then(|| OneOrMore::One(255.0)),
            ..Input::default()
        };
        let is_found = number / 16 == 1;
        let (rows, columns) = (14, 20);
        let middles = (0..rows * columns).flat_map(|i| [(i % columns) as f32 + 0.5, (i / columns) as f32 + 0.5]);
        let points: Vec<f32> = middles.enumerate().map(|(i, v)| v / if i % 2 == 0 { columns as f32 } else { rows as f32 }).collect();
        let types = [("image", image(rows, columns, 3)), ("places", TensorType::new(ElementType::F32, [rows * columns, 2]))];
        let keypoints = Keypoints { from: "oplaces".into(), count: rows * columns, dims: 2, scale: 1.0, relative: false };
        let frames = [("cam".to_string(), source.clone())];
        let places: Vec<u8> = points.iter().flat_map(|v| v.to_le_bytes()).collect();
        let (piped, inputs) = if is_found {
            let input = Input { within: Some("box".into()), grow: Some(1.25), ..input.clone() };
            let next = Next {
                input: [("image".to_string(), input)].into(),
                keypoints: [("points".to_string(), keypoints)].into(),
                ..Next::default()
            };
            let ends = Keypoints { from: "ocorners".into(), count: 2, dims: 2, scale: 1.0, relative: false };
            let pipeline =
                Pipeline { frame: frames.into(), keypoints: [("box".to_string(), ends)].into(), next: vec![next], ..Pipeline::default() };
            let first = model(&[("corners", TensorType::new(ElementType::F32, [2, 2]))]);
            let corners: Vec<u8> = [6.0_f32, 4.0, 24.0, 26.0].iter().flat_map(|v| v.to_le_bytes()).collect();
            (pipeline::apply(first, vec![model(&types)], &pipeline), vec![corners, bytes.clone(), places])
        } else {
            let input = Input { crop: crops[number % 3].clone(), ..input.clone() };
            let pipeline = Pipeline {
                frame: frames.into(),
                input: [("image".to_string(), input)].into(),
                keypoints: [("points".to_string(), keypoints)].into(),
                ..Pipeline::default()
            };
            (pipeline::apply(model(&types), vec![], &pipeline), vec![bytes.clone(), places])
        };
        let piped = piped.unwrap_or_else(|d| panic!("{}", d[0]));
        let outputs = run(&piped.imported.graph, &inputs).outputs;
        let named = |name: &str| &outputs[piped.imported.output_names.iter().position(|n| n == name).unwrap()];
        let places: Vec<f32> = named("points_points").chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        for (pixel, place) in named("oimage").chunks(3).zip(places.chunks(2)) {
            // Not a bar, and not at the edge, where pixels are repeated.
            if pixel[2] != 0 {
                continue;
            }
            for axis in 0..2 {
                let shown = f32::from(pixel[axis]) / STEP as f32 + 0.5;
                assert!((shown - place[axis]).abs() < 0.75, "{number} {input:?}: {shown} at {place:?}");
                count += usize::from((shown - place[axis]).abs() < 0.2);
            }
        }
    }
    assert!(12_000 < count, "{count}");
}

#[test]
fn what_cannot_be_is_refused() {
    let rgb = frame(Format::Rgb8, 20, 10);
    let refused = |frame: &Frame, input: Input, to: TensorType, words: &str| {
        let said = piped(frame, &input, &to).err().unwrap_or_default();
        assert!(said.contains(words), "{said}");
    };
    let none = Input::default;
    refused(&Frame { width: 0, ..rgb.clone() }, none(), image(4, 4, 3), "frame.cam.width");
    refused(&Frame { height: 1 << 20, ..rgb.clone() }, none(), image(4, 4, 3), "frame.cam.height");
    refused(&Frame { stride: Some(Stride::Bytes(59)), ..rgb.clone() }, none(), image(4, 4, 3), "frame.cam.stride");
    refused(&Frame { stride: Some(Stride::Given { most: 59 }), ..rgb.clone() }, none(), image(4, 4, 3), "frame.cam.stride");
    refused(&Frame { stride: Some(Stride::Bytes(usize::MAX)), ..rgb.clone() }, none(), image(4, 4, 3), "frame.cam.stride");
    let cropped = |part| Input { crop: Some(Crop::Box(part)), ..none() };
    refused(&rgb, cropped([0, 0, 21, 10]), image(4, 4, 3), "the part is not in the frame");
    refused(&rgb, cropped([20, 0, 1, 1]), image(4, 4, 3), "the part is not in the frame");
    refused(&rgb, cropped([0, 0, 0, 1]), image(4, 4, 3), "the part is not in the frame");
    refused(&rgb, cropped([usize::MAX, 0, 2, 1]), image(4, 4, 3), "the part is not in the frame");
    refused(&rgb, Input { rotate: 45, ..none() }, image(4, 4, 3), "a frame turns by quarters");
    refused(&rgb, Input { resize: Resizing::Area, ..none() }, image(11, 4, 3), "`area` is for fewer pixels");
    refused(&rgb, Input { resize: Resizing::Area, rotate: 90, ..none() }, image(4, 11, 3), "`area` is for fewer pixels");
    refused(&rgb, Input { mean: Some(OneOrMore::More(vec![1.0, 2.0])), ..none() }, image(4, 4, 3), "input.image.mean");
    refused(&rgb, Input { std: Some(OneOrMore::One(0.0)), ..none() }, image(4, 4, 3), "input.image.std");
    refused(&rgb, Input { fill: Some(OneOrMore::One(1.0)), ..none() }, image(4, 4, 3), "there are no bars");
    let filled = |v| Input { fit: Fit::Letterbox, fill: Some(OneOrMore::One(v)), ..none() };
    refused(&rgb, filled(256.0), image(4, 4, 3), "integers from 0 to 255");
    refused(&rgb, filled(0.5), image(4, 4, 3), "integers from 0 to 255");
    refused(&rgb, Input { grow: Some(2.0), ..none() }, image(4, 4, 3), "without `within`");
    refused(&rgb, Input { within: Some("face".into()), ..none() }, image(4, 4, 3), "are called");
    refused(&rgb, none(), image(4, 4, 2), "is no image");
    refused(&rgb, none(), TensorType::new(ElementType::U8, [2, 4, 4, 3]), "is no image");
    refused(&rgb, none(), TensorType::new(ElementType::U8, [48]), "is no image");
    refused(&rgb, none(), TensorType::new(ElementType::Bool, [1, 4, 4, 3]), "numbers of the type");
    let from_0_to_1 = TensorType::quantized(ElementType::I8, [1, 4, 4, 3], 1.0 / 255.0, -128);
    refused(&rgb, none(), from_0_to_1, "most pixels from 0 to 255");
    refused(&frame(Format::Rgb8, 4001, 3001), Input { resize: Resizing::Area, ..none() }, image(97, 97, 3), "not exact in 32 bits");
}
