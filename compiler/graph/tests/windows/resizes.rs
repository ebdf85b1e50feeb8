//! Images of another size against loops that follow the reference.

use crate::support::{Input, bytes, eighths, f32_bytes, f32s, integers, machines, run};
use cranelite_graph::diagnostic::Code;
use cranelite_graph::ops::{Op, resize_bilinear, resize_nearest_neighbor, resizes};
use cranelite_graph::tensor::{ElementType, TensorType};

#[derive(Clone, Copy, Debug)]
struct Case {
    shape: [usize; 4],
    size: [usize; 2],
    align_corners: bool,
    half_pixel_centers: bool,
}

impl Case {
    fn attributes(&self) -> resizes::Attributes {
        let Case { size, align_corners, half_pixel_centers, .. } = *self;
        resizes::Attributes { size, align_corners, half_pixel_centers }
    }
    fn bilinear(&self) -> Op {
        Op::ResizeBilinear(resize_bilinear::Attributes(self.attributes()))
    }
    fn nearest(&self) -> Op {
        Op::ResizeNearestNeighbor(resize_nearest_neighbor::Attributes(self.attributes()))
    }

    fn scale(&self, axis: usize) -> f32 {
        let (from, to) = (self.shape[axis + 1] as f32, self.size[axis] as f32);
        if self.align_corners && 1.0 < to { (from - 1.0) / (to - 1.0) } else { from / to }
    }

    /// For every element of the result: which elements of the input it is the sum of, and how much of each.
    fn each(&self, pixels: impl Fn(usize, usize) -> Vec<(usize, f64)>) -> Vec<Vec<(usize, f64)>> {
        let [n, h, w, c] = self.shape;
        let mut all = vec![];
        for b in 0..n {
            for oy in 0..self.size[0] {
                for ox in 0..self.size[1] {
                    for channel in 0..c {
                        let mut sum = vec![];
                        for (x, wx) in pixels(1, ox) {
                            for (y, wy) in pixels(0, oy) {
                                sum.push((((b * h + y) * w + x) * c + channel, wx * wy));
                            }
                        }
                        all.push(sum);
                    }
                }
            }
        }
        all
    }

    fn nearest_pixel(&self, axis: usize, i: usize) -> usize {
        let place = (i as f32 + if self.half_pixel_centers { 0.5 } else { 0.0 }) * self.scale(axis);
        let place = if self.align_corners { place.round() } else { place.floor() };
        (place as usize).min(self.shape[axis + 1] - 1)
    }

    fn between(&self, axis: usize, i: usize) -> Vec<(usize, f64)> {
        let last = self.shape[axis + 1] - 1;
        let place = i as f32 * self.scale(axis);
        let place = if self.half_pixel_centers { (i as f32 + 0.5) * self.scale(axis) - 0.5 } else { place };
        let before = place.floor().max(0.0);
        let part = f64::from(place - before);
        vec![(before as usize, 1.0 - part), ((place.ceil() as usize).min(last), part)]
    }

    /// In 1024ths.
    fn between_integers(&self, axis: usize, i: usize) -> Vec<(usize, f64)> {
        let (from, to, i) = (self.shape[axis + 1] as i64, self.size[axis] as i64, i as i64);
        let scale = if self.align_corners && 1 < to { (1024 * (from - 1) + (to - 1) / 2) / (to - 1) } else { (1024 * from + to / 2) / to };
        let place = if self.half_pixel_centers { i * scale + scale / 2 - 512 } else { i * scale };
        let before = (place / 1024).max(0);
        let part = (place - 1024 * before) as f64;
        vec![(before as usize, 1024.0 - part), (((place + 1023) / 1024).min(from - 1).max(0) as usize, part)]
    }
}

/// Sizes of 1, up and down, even and not, of channels that fill vectors and that do not.
fn cases() -> Vec<Case> {
    let mut cases = vec![];
    for (align_corners, half_pixel_centers) in [(false, false), (true, false), (false, true)] {
        for (shape, size) in [
            ([2, 3, 4, 5], [6, 8]),
            ([1, 1, 1, 3], [4, 2]),
            ([1, 5, 7, 1], [3, 3]),
            ([1, 4, 6, 40], [2, 3]),
            ([1, 3, 3, 17], [7, 5]),
            ([2, 6, 2, 16], [1, 1]),
            ([1, 2, 5, 33], [2, 5]),
        ] {
            cases.push(Case { shape, size, align_corners, half_pixel_centers });
        }
    }
    cases
}

fn check(case: Case, element: ElementType) {
    let ty = match element {
        ElementType::F32 => TensorType::new(element, case.shape),
        _ => TensorType::quantized(element, case.shape, 0.05, if element == ElementType::I16 { 0 } else { 9 }),
    };
    let data = if element == ElementType::F32 { f32_bytes(&eighths(7, ty.element_count())) } else { bytes(7, ty.size_bytes()) };
    let numbers = |bytes: &[u8]| match element {
        ElementType::F32 => f32s(bytes).into_iter().map(f64::from).collect::<Vec<f64>>(),
        _ => integers(&ty, bytes).into_iter().map(|n| n as f64).collect(),
    };
    let x = numbers(&data);
    let taken = case.each(|axis, i| vec![(case.nearest_pixel(axis, i), 1.0)]);
    let mixed = match element {
        ElementType::I8 | ElementType::I16 => case.each(|axis, i| case.between_integers(axis, i)),
        _ => case.each(|axis, i| case.between(axis, i)),
    };
    let sum = |parts: &Vec<(usize, f64)>| parts.iter().map(|(i, w)| x[*i] * w).sum::<f64>();
    for m in machines() {
        let result = |op: Op| numbers(&run(op, &[Input::new(ty.clone(), data.clone())], &ty, &m).unwrap().1);
        assert_eq!(result(case.nearest()), taken.iter().map(sum).collect::<Vec<_>>(), "{case:?} {element} on {}", m.name);
        for (i, (got, parts)) in result(case.bilinear()).into_iter().zip(&mixed).enumerate() {
            let exact = sum(parts);
            let fits = match element {
                ElementType::F32 => (got - exact).abs() < 1e-5,
                // In floats of the reference, which may be a little below a half that is none.
                ElementType::U8 => (got - exact).abs() < 0.5 + 1e-4,
                _ => got == (exact / f64::from(1 << 20)).round(),
            };
            assert!(fits, "{case:?} {element} on {}, element {i}: {got} instead of {exact}", m.name);
        }
    }
}

#[test]
fn every_pixel_is_where_the_reference_has_it() {
    for case in cases() {
        for element in [ElementType::F32, ElementType::I8, ElementType::U8, ElementType::I16] {
            check(case, element);
        }
    }
    // Both at once are possible of the nearest pixel.
    let case = Case { shape: [1, 3, 4, 5], size: [5, 2], align_corners: true, half_pixel_centers: true };
    let ty = TensorType::new(ElementType::F32, case.shape);
    let x = eighths(1, ty.element_count());
    let expected: Vec<f32> = case.each(|axis, i| vec![(case.nearest_pixel(axis, i), 1.0)]).iter().map(|parts| x[parts[0].0]).collect();
    for m in machines() {
        let (_, got) = run(case.nearest(), &[Input::new(ty.clone(), f32_bytes(&x))], &ty, &m).unwrap();
        assert_eq!(f32s(&got), expected, "{}", m.name);
    }
}

#[test]
fn what_has_no_pixels_is_refused() {
    let machine = &machines()[0];
    let code = |op: Op, shape: &[usize]| {
        let ty = TensorType::new(ElementType::F32, shape);
        let data = vec![0; ty.size_bytes()];
        run(op, &[Input::new(ty.clone(), data)], &ty, machine).err().map(|d| d.code)
    };
    let case = Case { shape: [1, 2, 2, 1], size: [2, 2], align_corners: false, half_pixel_centers: false };
    assert_eq!(code(case.bilinear(), &[1, 2, 2, 1]), None);
    assert_eq!(code(case.bilinear(), &[2, 2, 1]), Some(Code::OPERAND));
    assert_eq!(code(case.nearest(), &[1, 0, 2, 1]), Some(Code::OPERAND));
    assert_eq!(code(case.nearest(), &[0, 0, 2, 1]), None);
    assert_eq!(code(Case { size: [0, 2], ..case }.nearest(), &[1, 2, 2, 1]), Some(Code::ATTRIBUTE));
    let both = Case { align_corners: true, half_pixel_centers: true, ..case };
    assert_eq!(code(both.bilinear(), &[1, 2, 2, 1]), Some(Code::ATTRIBUTE));
    // Rounded places of so many pixels end behind the image.
    let ty = TensorType::quantized(ElementType::I8, [1, 3, 1, 1], 1.0, 0);
    let far = Case { size: [4000, 1], ..case };
    let error = run(far.bilinear(), &[Input::new(ty.clone(), vec![0; 3])], &ty, machine).unwrap_err();
    assert_eq!(error.code, Code::FEATURE);
}
