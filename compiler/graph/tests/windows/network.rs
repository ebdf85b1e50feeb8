//! Small networks of images, as texts of graphs.

use super::support::{bytes, eighths, f32_bytes};
use cranelite_graph::graph::Graph;
use cranelite_graph::text;
use std::fmt::Write;

/// Writes graphs as texts.
pub struct Network {
    pub lines: String,
    /// Of the values with a batch of one: rows, columns, channels.
    pub shapes: Vec<Option<[usize; 3]>>,
    pub integers: bool,
    operators: usize,
}

impl Network {
    pub fn new(integers: bool, input: [usize; 3]) -> Network {
        let mut n = Network { lines: String::new(), shapes: vec![], integers, operators: 0 };
        let ty = n.ty(input);
        n.value(Some(input), &format!(": {ty}"));
        n
    }

    pub fn ty(&self, [h, w, c]: [usize; 3]) -> String {
        if self.integers { format!("i8[1,{h},{w},{c}] q(0.1, 3)") } else { format!("f32[1,{h},{w},{c}]") }
    }

    pub fn value(&mut self, shape: Option<[usize; 3]>, line: &str) -> usize {
        let _ = writeln!(self.lines, "%{}{line}", self.shapes.len());
        self.shapes.push(shape);
        self.shapes.len() - 1
    }

    pub fn node(&mut self, shape: [usize; 3], operator: &str) -> usize {
        let ty = self.ty(shape);
        self.operators += 1;
        self.value(Some(shape), &format!(": {ty} = {operator} @{}", self.operators - 1))
    }

    pub fn weights(&mut self, shape: [usize; 4]) -> usize {
        let (count, seed) = (shape.iter().product(), self.shapes.len() as u64);
        let data = if self.integers { bytes(seed, count) } else { f32_bytes(&eighths(seed, count)) };
        let hex: String = data.iter().map(|b| format!("{b:02x}")).collect();
        let ty = if self.integers { "i8" } else { "f32" };
        let q = if self.integers { " q(0.01, 0)" } else { "" };
        let [a, b, c, d] = shape;
        self.value(None, &format!(" = const {ty}[{a},{b},{c},{d}]{q} 0x{hex}"))
    }

    pub fn conv(&mut self, x: usize, filter: usize, channels: usize) -> usize {
        let [h, w, c] = self.shapes[x].unwrap();
        let weights = self.weights([channels, filter, filter, c]);
        let p = filter / 2;
        let how = format!("{{stride=[1,1], dilation=[1,1], padding=[{p},{p},{p},{p}], activation=none}}");
        self.node([h, w, channels], &format!("conv_2d %{x}, %{weights}, none {how}"))
    }

    pub fn depthwise(&mut self, x: usize) -> usize {
        self.depthwise_by(x, [3, 3], 1)
    }

    /// Padded so that the result has as many rows and columns as the input, divided by the stride.
    pub fn depthwise_by(&mut self, x: usize, filter: [usize; 2], stride: usize) -> usize {
        let [h, w, c] = self.shapes[x].unwrap();
        let weights = self.weights([1, filter[0], filter[1], c]);
        let [rows, columns] = [(h, filter[0]), (w, filter[1])].map(|(size, filter)| {
            let outputs = size.div_ceil(stride);
            let padding = ((outputs - 1) * stride + filter).saturating_sub(size);
            (outputs, padding / 2, padding - padding / 2)
        });
        let padding = format!("[{},{},{},{}]", rows.1, rows.2, columns.1, columns.2);
        let how = format!("{{stride=[{stride},{stride}], dilation=[1,1], padding={padding}, depth_multiplier=1, activation=none}}");
        self.node([rows.0, columns.0, c], &format!("depthwise_conv_2d %{x}, %{weights}, none {how}"))
    }

    pub fn pool(&mut self, x: usize) -> usize {
        let how = "{filter=[3,3], stride=[1,1], padding=[1,1,1,1], activation=none}";
        self.node(self.shapes[x].unwrap(), &format!("max_pool_2d %{x} {how}"))
    }

    pub fn add(&mut self, x: usize, y: usize) -> usize {
        self.node(self.shapes[x].unwrap(), &format!("add %{x}, %{y} {{activation=none, pot_scale_int16=false}}"))
    }

    pub fn join(&mut self, all: &[usize], axis: usize) -> usize {
        let mut shape = self.shapes[all[0]].unwrap();
        shape[axis] = all.iter().map(|&v| self.shapes[v].unwrap()[axis]).sum();
        let names: Vec<String> = all.iter().map(|v| format!("%{v}")).collect();
        self.node(shape, &format!("concatenation {} {{axis={}, activation=none}}", names.join(", "), axis + 1))
    }

    /// So many channels from one on, or rows.
    pub fn slice(&mut self, x: usize, axis: usize, first: usize, count: usize) -> usize {
        let [mut begin, mut size] = [[0; 3], self.shapes[x].unwrap()];
        (begin[axis], size[axis]) = (first, count);
        let ([a, b, c], [d, e, f]) = (begin, size);
        self.node(size, &format!("slice %{x} {{first=[0,{a},{b},{c}], count=[1,{d},{e},{f}]}}"))
    }

    pub fn graph(&self, output: usize) -> Graph {
        let all = format!("graph \"joins\"\ninputs %0\noutputs %{output}\n{}", self.lines);
        text::parse(&all).unwrap_or_else(|e| panic!("{e}\n{all}"))
    }
}
