//! The operators that parts of pipelines are made of, one method each.
//!
//! No operators of their own. The idea: formulas read as formulas; types and shapes follow from the operands.

use super::chain::Chain;
use super::spec::OneOrMore;
use super::wrong;
use crate::diagnostic::Diagnostic;
use crate::graph::ValueId;
use crate::ops::attributes::Activation;
use crate::ops::{self, Op};
use crate::tensor::ElementType::{Bool, F32, I8, I16, I32, U8};
use crate::tensor::{ElementType, TensorType};

type Made = Result<ValueId, Diagnostic>;

macro_rules! pairwise {
    ($($(#[$doc:meta])* $name:ident $op:expr;)*) => {
        $($(#[$doc])* pub fn $name(&mut self, a: ValueId, b: ValueId) -> Made {
            let element = self.ty(a).element;
            self.one($op, &[a, b], element)
        })*
    };
}

macro_rules! comparing {
    ($($name:ident $variant:ident $module:ident;)*) => {
        $(pub fn $name(&mut self, a: ValueId, b: ValueId) -> Made {
            self.one(Op::$variant(ops::$module::Attributes(ops::comparisons::Attributes {})), &[a, b], Bool)
        })*
    };
}

macro_rules! mapping {
    ($($name:ident $op:expr;)*) => {
        $(pub fn $name(&mut self, x: ValueId) -> Made {
            let element = self.ty(x).element;
            self.one($op, &[x], element)
        })*
    };
}

fn sum() -> ops::sums::Attributes {
    ops::sums::Attributes { activation: Activation::None, pot_scale_int16: false }
}

fn pair() -> ops::pairs::Attributes {
    ops::pairs::Attributes {}
}

fn all(axes: &[usize]) -> ops::reductions::Attributes {
    ops::reductions::Attributes { axes: axes.to_vec(), keep_dims: false }
}

impl Chain<'_> {
    pairwise! {
        add Op::Add(ops::add::Attributes(sum()));
        sub Op::Sub(ops::sub::Attributes(sum()));
        mul Op::Mul(ops::mul::Attributes { activation: Activation::None, pot_scale_int16: false });
        div Op::Div(ops::div::Attributes { activation: Activation::None });
        minimum Op::Minimum(ops::minimum::Attributes(pair()));
        maximum Op::Maximum(ops::maximum::Attributes(pair()));
        and Op::LogicalAnd(ops::logical_and::Attributes(pair()));
        or Op::LogicalOr(ops::logical_or::Attributes(pair()));
        /// Matrices, or batches of them.
        product Op::BatchMatmul(ops::batch_matmul::Attributes { adj_x: false, adj_y: false, asymmetric_quantize_inputs: false });
    }
    comparing! {
        equal Equal equal;
        not_equal NotEqual not_equal;
        greater Greater greater;
        greater_equal GreaterEqual greater_equal;
        less Less less;
        less_equal LessEqual less_equal;
    }
    mapping! {
        logistic Op::Logistic(ops::logistic::Attributes(ops::curves::Attributes {}));
        exp Op::Exp(ops::exp::Attributes(ops::curves::Attributes {}));
        log Op::Log(ops::log::Attributes(ops::curves::Attributes {}));
        softmax Op::Softmax(ops::softmax::Attributes { beta: 1.0 });
        abs Op::Abs(ops::abs::Attributes {});
        square Op::Square(ops::square::Attributes(ops::maps::Attributes {}));
        sqrt Op::Sqrt(ops::sqrt::Attributes(ops::maps::Attributes {}));
        floor Op::Floor(ops::floor::Attributes(ops::maps::Attributes {}));
        round Op::Round(ops::round::Attributes(ops::maps::Attributes {}));
        not Op::LogicalNot(ops::logical_not::Attributes(ops::maps::Attributes {}));
    }

    /// `yes` where the condition is true, else `no`.
    pub fn select(&mut self, condition: ValueId, yes: ValueId, no: ValueId) -> Made {
        let element = self.ty(yes).element;
        self.one(Op::SelectV2(ops::select_v2::Attributes(ops::selects::Attributes {})), &[condition, yes, no], element)
    }

    pub fn cast(&mut self, x: ValueId, element: ElementType) -> Made {
        if self.ty(x).element == element { Ok(x) } else { self.one(Op::Cast(ops::cast::Attributes {}), &[x], element) }
    }

    /// Integers as those of a quantised tensor of this type, whose shape they have.
    pub fn cast_to(&mut self, x: ValueId, ty: &TensorType) -> Made {
        Ok(self.apply(Op::Cast(ops::cast::Attributes {}), &[x], std::slice::from_ref(ty))?[0])
    }

    /// Keeps the quantisation.
    pub fn reshape(&mut self, x: ValueId, shape: &[usize]) -> Made {
        if self.ty(x).shape == shape {
            return Ok(x);
        }
        let ty = TensorType { shape: shape.to_vec(), ..self.ty(x).clone() };
        Ok(self.apply(Op::Reshape(ops::reshape::Attributes { shape: shape.to_vec(), is_checked: false }), &[x], &[ty])?[0])
    }

    /// A part; keeps the quantisation.
    pub fn slice(&mut self, x: ValueId, first: &[usize], count: &[usize]) -> Made {
        let ty = self.ty(x).clone();
        let op = Op::Slice(ops::slice::Attributes { first: first.to_vec(), count: count.to_vec(), is_counted: false });
        Ok(self.apply(op, &[x], &[ty])?[0])
    }

    /// One index of the last axis, which stays.
    pub fn column(&mut self, x: ValueId, index: usize) -> Made {
        self.columns(x, index, 1)
    }

    /// Some in a row of the last axis.
    pub fn columns(&mut self, x: ValueId, first: usize, count: usize) -> Made {
        let mut shape = self.ty(x).shape.clone();
        let mut from = vec![0; shape.len()];
        if let (Some(from), Some(size)) = (from.last_mut(), shape.last_mut()) {
            (*from, *size) = (first, count);
        }
        self.slice(x, &from, &shape)
    }

    pub fn concatenate(&mut self, parts: &[ValueId], axis: usize) -> Made {
        let ty = self.ty(parts[0]).clone();
        Ok(self.apply(Op::Concatenation(ops::concatenation::Attributes { axis, activation: Activation::None }), parts, &[ty])?[0])
    }

    pub fn transpose(&mut self, x: ValueId, order: &[usize]) -> Made {
        let ty = self.ty(x).clone();
        Ok(self.apply(Op::Transpose(ops::transpose::Attributes { order: order.to_vec() }), &[x], &[ty])?[0])
    }

    /// The elements of an axis that indices name.
    pub fn gather(&mut self, x: ValueId, indices: ValueId, axis: usize) -> Made {
        let ty = self.ty(x).clone();
        Ok(self.apply(Op::Gather(ops::gather::Attributes { axis, batch_dims: 0 }), &[x, indices], &[ty])?[0])
    }

    pub fn reduce_max(&mut self, x: ValueId, axes: &[usize]) -> Made {
        let element = self.ty(x).element;
        self.one(Op::ReduceMax(ops::reduce_max::Attributes(all(axes))), &[x], element)
    }

    pub fn reduce_min(&mut self, x: ValueId, axes: &[usize]) -> Made {
        let element = self.ty(x).element;
        self.one(Op::ReduceMin(ops::reduce_min::Attributes(all(axes))), &[x], element)
    }

    pub fn sum_of(&mut self, x: ValueId, axes: &[usize]) -> Made {
        let element = self.ty(x).element;
        self.one(Op::Sum(ops::sum::Attributes(all(axes))), &[x], element)
    }

    pub fn mean_of(&mut self, x: ValueId, axes: &[usize]) -> Made {
        let element = self.ty(x).element;
        self.one(Op::Mean(ops::mean::Attributes(all(axes))), &[x], element)
    }

    /// The largest along axes, of the same quantisation.
    pub fn largest(&mut self, x: ValueId, axes: &[usize]) -> Made {
        let ty = self.ty(x).clone();
        Ok(self.apply(Op::ReduceMax(ops::reduce_max::Attributes(all(axes))), &[x], &[ty])?[0])
    }

    /// Whether all along axes are true.
    pub fn all_of(&mut self, x: ValueId, axes: &[usize]) -> Made {
        self.one(Op::ReduceAll(ops::reduce_all::Attributes(all(axes))), &[x], Bool)
    }

    /// Sums along an axis of what is before each element, without itself.
    pub fn sums_before(&mut self, x: ValueId, axis: usize) -> Made {
        let element = self.ty(x).element;
        self.one(Op::Cumsum(ops::cumsum::Attributes { axis, exclusive: true, reverse: false }), &[x], element)
    }

    /// Numbers of the boxes, f32 `[boxes, 4]`, of which none overlaps a better one by `iou` or more, best first and then zeros; and how many: i32 `[]`.
    /// Scores of candidates are above 0.
    pub fn suppressed(&mut self, boxes: ValueId, scores: ValueId, iou: f32, most: usize) -> Result<[ValueId; 2], Diagnostic> {
        let (iou, threshold) = (self.float(iou), self.float(0.0));
        let attributes = ops::suppressions::Attributes { max_output_size: most };
        let op = Op::NonMaxSuppressionV4(ops::non_max_suppression_v4::Attributes(attributes));
        let integers = TensorType::new(I32, []);
        let made = self.apply(op, &[boxes, scores, iou, threshold], &[integers.clone(), integers])?;
        Ok([made[0], made[1]])
    }

    /// Where the largest element of an axis is: i32.
    pub fn arg_max(&mut self, x: ValueId, axis: usize) -> Made {
        self.one(Op::ArgMax(ops::arg_max::Attributes(ops::extremes::Attributes { axis })), &[x], I32)
    }

    /// The largest of the last axis, of the same quantisation, and where they are: i32.
    pub fn top(&mut self, x: ValueId, count: usize) -> Result<[ValueId; 2], Diagnostic> {
        let results = [self.ty(x).clone(), TensorType::new(I32, [])];
        let made = self.apply(Op::TopkV2(ops::topk_v2::Attributes { count }), &[x], &results)?;
        Ok([made[0], made[1]])
    }

    /// A state gets the value of a tensor of its shape, once everything before has read it.
    pub fn assign(&mut self, state: ValueId, value: ValueId) -> Result<(), Diagnostic> {
        self.apply(Op::AssignVariable(ops::assign_variable::Attributes {}), &[state, value], &[]).map(|_| ())
    }

    /// A copy of a state as it is now.
    pub fn read(&mut self, state: ValueId) -> Made {
        let ty = self.ty(state).clone();
        Ok(self.apply(Op::ReadVariable(ops::read_variable::Attributes {}), &[state], &[ty])?[0])
    }

    /// One number of f32.
    pub fn float(&mut self, number: f32) -> ValueId {
        self.floats(&[], &[number])
    }

    /// 0 where it is NaN.
    pub fn without_nan(&mut self, x: ValueId) -> Made {
        let (is_number, zero) = (self.equal(x, x)?, self.float(0.0));
        self.select(is_number, x, zero)
    }

    /// Real numbers, f32, of a tensor of any type that has some.
    pub fn real(&mut self, x: ValueId) -> Made {
        match self.ty(x).element {
            F32 => Ok(x),
            I8 | U8 | I16 if self.ty(x).quantization.is_some() => self.one(Op::Dequantize(ops::dequantize::Attributes {}), &[x], F32),
            _ => self.cast(x, F32),
        }
    }

    /// Real numbers, as the input of a model of this type: of as many elements, quantised if that is. Rounded as QUANTIZE does.
    pub fn fit(&mut self, x: ValueId, to: &TensorType) -> Made {
        let x = self.reshape(x, &to.shape)?;
        match to.element {
            F32 if self.ty(x).element == F32 => Ok(x),
            I8 | U8 | I16 if to.quantization.is_some() => {
                Ok(self.apply(Op::Quantize(ops::quantize::Attributes {}), &[x], std::slice::from_ref(to))?[0])
            }
            _ => {
                let made = self.cast(x, to.element)?;
                Ok(made)
            }
        }
    }

    /// (x - mean) / std along the last axis, as a product and a sum; nothing where neither is given.
    pub fn normalize(&mut self, x: ValueId, mean: Option<&OneOrMore>, std: Option<&OneOrMore>) -> Made {
        let channels = self.ty(x).shape.last().copied().unwrap_or(1);
        let each = |field: &str, v: Option<&OneOrMore>, otherwise: f32| match v {
            None => Ok(vec![otherwise; channels]),
            Some(v) => v
                .per_channel(channels)
                .ok_or_else(|| wrong(field, "there must be one number, or one for each channel").expected(channels.to_string())),
        };
        if mean.is_none() && std.is_none() {
            return Ok(x);
        }
        let (mean, std) = (each("mean", mean, 0.0)?, each("std", std, 1.0)?);
        if let Some(bad) = std.iter().find(|s| !s.is_finite() || **s == 0.0) {
            return Err(wrong("std", "it must be a number other than 0").found(bad.to_string()));
        }
        if let Some(bad) = mean.iter().find(|m| !m.is_finite()) {
            return Err(wrong("mean", "it must be a finite number").found(bad.to_string()));
        }
        let (mean, std) = (self.floats(&[channels], &mean), self.floats(&[channels], &std));
        let x = self.sub(x, mean)?;
        self.div(x, std)
    }
}
