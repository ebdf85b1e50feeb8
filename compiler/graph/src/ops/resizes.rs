//! RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR: an image with as many rows and columns as are asked for, channel by channel; NHWC.
//!
//! f32, i8, u8, i16; integers keep their quantisation. The new size is a constant. The nearest pixel of the reference is the one at or before the
//! place, or with `align_corners` the one nearest to it.

use super::channels::Channels;
use super::family::{Family, family};
use super::moves::Moves;
use super::types::{self, Row};
use super::{Arity, Kept, Signature, Source, checks};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::resize::{self, Resize};
use crate::text::fields::fields;
use cranelite_schema as schema;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// Rows and columns.
    pub size: [usize; 2],
    /// The centres of the corner pixels stay where they are.
    pub align_corners: bool,
    /// A pixel's place is its centre, and not its corner.
    pub half_pixel_centers: bool,
}
fields!(size, align_corners, half_pixel_centers);

pub struct Resizing {
    types: &'static [Row],
    options: fn(&schema::Operator) -> Option<(bool, bool)>,
    interpolates: bool,
}

const TYPES: &[Row] = &[Row::Same(types::REAL)];

family! { Resizing:
    /// The mean of the four pixels around a place, by how near they are
    resize_bilinear = Resizing {
        types: TYPES,
        options: |o| o.builtin_options_as_resize_bilinear_options().map(|o| (o.align_corners(), o.half_pixel_centers())),
        interpolates: true,
    };
    /// The pixel nearest to a place
    resize_nearest_neighbor = Resizing {
        types: TYPES,
        options: |o| o.builtin_options_as_resize_nearest_neighbor_options().map(|o| (o.align_corners(), o.half_pixel_centers())),
        interpolates: false,
    };
}

impl Family for Resizing {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(1), outputs: 1..=1 };

    fn decode(&self, source: &Source) -> Result<Attributes, Diagnostic> {
        let (align_corners, half_pixel_centers) = (self.options)(&source.operator).unwrap_or_default();
        let size = source.signature.constant_counts(1, "the new size", &[2])?;
        Ok(Attributes { size: [size[0], size[1]], align_corners, half_pixel_centers })
    }

    fn infer(&self, a: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, y) = (s.input(0)?, s.output(0));
        let [n, rows, columns, channels] = checks::image("the input", x)?;
        checks::same_quantization(x, y)?;
        if self.interpolates && a.align_corners && a.half_pixel_centers {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "a resize cannot align corners and centres of pixels at once")
                .expected("at most one of align_corners and half_pixel_centers"));
        }
        if a.size.contains(&0) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the new size must be positive").found(format!("{:?}", a.size)));
        }
        if [rows, columns].contains(&0) && n * channels != 0 {
            return Err(Diagnostic::new(Code::OPERAND, "an empty image cannot be resized").found(format!("{:?}", x.shape)));
        }
        let shape = checks::sized(vec![n, a.size[0], a.size[1], channels])?;
        if shape[0].iter().product::<usize>() != 0 {
            self.resize(a, [rows, columns]).check(x.element)?;
        }
        Ok(shape)
    }

    fn channels(&self, _: &Attributes, _: &Signature) -> Channels {
        Channels::Same
    }

    fn moves(&self, _: &Attributes, _: &Signature) -> Moves {
        // The reference interpolates i8 in integers, and u8 in floats.
        if self.interpolates { Moves::None } else { Moves::Together }
    }

    fn lower(&self, a: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let [_, rows, columns, _] = checks::image("the input", cx.input_type(node, 0))?;
        if cx.output_type(node, 0).element_count() == 0 {
            return Ok(());
        }
        let resize = self.resize(a, [rows, columns]);
        if self.interpolates {
            resize::bilinear(cx, node, resize)
        } else {
            resize::nearest(cx, node, resize)
        }
        Ok(())
    }
}

impl Resizing {
    fn resize(&self, a: &Attributes, from: [usize; 2]) -> Resize {
        let Attributes { size, align_corners, half_pixel_centers } = *a;
        Resize { from, to: size, align_corners, half_pixel_centers, interpolates: self.interpolates }
    }
}
