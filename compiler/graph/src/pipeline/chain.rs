//! Operators in a row, as the parts of a pipeline write them.
//!
//! Not a rewrite: nothing is looked for. The idea: an operator's results have the shapes that its own rules give, so whoever writes a chain says
//! operands and element types alone, and a chain that is wrong is a diagnostic, not a wrong graph.

use crate::diagnostic::Diagnostic;
use crate::graph::{Graph, Node, Origin, State, Value, ValueId};
use crate::ops::{Op, Operand, Signature};
use crate::tensor::{ElementType, TensorType};
use bytes::Bytes;

/// Writes nodes of a graph, which get their place in its order when they are put there.
pub struct Chain<'g> {
    pub graph: &'g mut Graph,
    nodes: Vec<Node>,
    operator: u32,
}

impl<'g> Chain<'g> {
    /// Operators have numbers after those that there are.
    pub fn new(graph: &'g mut Graph) -> Self {
        let operator = next_operator(graph);
        Chain { graph, nodes: vec![], operator }
    }

    /// A value that a caller gives.
    pub fn input(&mut self, name: &str, ty: TensorType) -> ValueId {
        self.graph.add_value(Value { name: name.into(), ty, data: None })
    }

    pub fn constant(&mut self, ty: TensorType, data: Vec<u8>) -> ValueId {
        debug_assert_eq!(ty.size_bytes(), data.len());
        self.graph.add_value(Value { name: String::new(), ty, data: Some(Bytes::from(data)) })
    }

    pub fn floats(&mut self, shape: &[usize], numbers: &[f32]) -> ValueId {
        self.constant(TensorType::new(ElementType::F32, shape), numbers.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    pub fn integers(&mut self, shape: &[usize], numbers: &[i32]) -> ValueId {
        self.constant(TensorType::new(ElementType::I32, shape), numbers.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// What is kept from call to call; zeros at first without `initial`.
    pub fn state(&mut self, name: &str, ty: TensorType, initial: Option<Vec<u8>>) -> ValueId {
        let value = self.graph.add_value(Value { name: name.into(), ty, data: None });
        let of_operator = self.graph.states.iter().filter(|s| matches!(s.origin, Origin::Operator(other, _) if other == self.operator));
        let origin = Origin::Operator(self.operator, of_operator.count() as u32);
        // A new value, behind all others.
        self.graph.states.push(State { value, initial: initial.map(Bytes::from), origin });
        value
    }

    /// An operator with results of these types, whose shapes are its own to say. Constants among the operands that are attributes are none of them.
    pub fn apply(&mut self, op: Op, inputs: &[ValueId], results: &[TensorType]) -> Result<Vec<ValueId>, Diagnostic> {
        let own = op.own_states(&self.signature(inputs, results))?;
        let states: Vec<ValueId> = own.into_iter().map(|ty| self.state("", ty, None)).collect();
        self.apply_on(op, inputs, &states, results)
    }

    /// One that shares the states that it keeps with others, which come before or after it.
    pub fn apply_on(&mut self, op: Op, inputs: &[ValueId], states: &[ValueId], results: &[TensorType]) -> Result<Vec<ValueId>, Diagnostic> {
        let inputs = [inputs, states].concat();
        let signature = self.signature(&inputs, results);
        let name = op.name();
        let shapes = op.infer(&signature).map_err(|d| d.in_operator(self.operator, name, |_, _| None))?;
        let outputs = results.iter().zip(shapes).map(|(ty, shape)| TensorType { shape, ..ty.clone() }).collect::<Vec<_>>();
        let outputs: Vec<ValueId> = outputs.into_iter().map(|ty| self.input("", ty)).collect();
        let node =
            Node { op, inputs: inputs.into_iter().map(Some).collect(), outputs: outputs.clone(), operator: self.operator, then: vec![] };
        self.nodes.push(node);
        self.operator += 1;
        Ok(outputs)
    }

    /// One with a single result, not quantised.
    pub fn one(&mut self, op: Op, inputs: &[ValueId], element: ElementType) -> Result<ValueId, Diagnostic> {
        Ok(self.apply(op, inputs, &[TensorType::new(element, [])])?[0])
    }

    fn signature<'a>(&'a self, inputs: &[ValueId], results: &'a [TensorType]) -> Signature<'a> {
        let operand = |v: &ValueId| Some(Operand { ty: self.graph.ty(*v), data: self.graph.value(*v).data.as_deref() });
        Signature { inputs: inputs.iter().map(operand).collect(), outputs: results.iter().collect() }
    }

    pub fn ty(&self, v: ValueId) -> &TensorType {
        self.graph.ty(v)
    }

    /// A node that computes `to`, which is there already, instead of its own result `from`.
    pub fn becomes(&mut self, from: ValueId, to: ValueId) {
        let is_from = |v: &&mut ValueId| **v == from;
        self.nodes.iter_mut().flat_map(|n| &mut n.outputs).filter(is_from).for_each(|v| *v = to);
        // Others of them may read it too.
        self.nodes.iter_mut().flat_map(|n| n.inputs.iter_mut().flatten()).filter(is_from).for_each(|v| *v = to);
    }

    /// Puts the nodes before all others of the graph.
    pub fn before(self) {
        self.graph.nodes.splice(0..0, self.nodes);
    }

    /// Puts them behind all others.
    pub fn after(self) {
        self.graph.nodes.extend(self.nodes);
    }
}

/// The number that no operator of the graph or its bodies has, after all others.
pub fn next_operator(graph: &Graph) -> u32 {
    graph.with_bodies().iter().flat_map(|g| &g.nodes).map(|n| n.operator + 1).max().unwrap_or(0)
}
