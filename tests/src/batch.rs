//! Many compiled models in one C program, for machines that are emulated: one link and one start for all of them.
//!
//! The program is `link/generic.c`, which knows the models only from what their objects say of themselves.

use crate::tools::{Machine, WARNINGS, output};
use anyhow::{Result, ensure};
use cranelite::array::Array;
use cranelite::pipeline::Compiled;
use std::fs;
use std::process::Command;

#[derive(Default)]
pub struct Batch {
    models: Vec<(Compiled, Vec<Vec<Array>>)>,
}

impl Batch {
    pub fn len(&self) -> usize {
        self.models.len()
    }

    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// A model, whose prefix must differ from the others', and the inputs of its steps.
    pub fn add(&mut self, compiled: Compiled, steps: Vec<Vec<Array>>) {
        self.models.push((compiled, steps));
    }

    /// Outputs of every step of every model.
    pub fn run(&self, machine: &Machine) -> Result<Vec<Vec<Vec<Array>>>> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let (mut headers, mut table) = (String::new(), String::new());
        for (m, steps) in &self.models {
            fs::write(path(&format!("{}.o", m.prefix)), &m.object.bytes)?;
            fs::write(path(&format!("{}.h", m.prefix)), &m.header)?;
            headers += &format!("#include \"{}.h\"\n", m.prefix);
            table += &format!("    {{&{}_model, {}}},\n", m.prefix, steps.len());
        }
        let table = format!("static const struct {{\n    const cranelite_model *model;\n    int steps;\n}} models[] = {{\n{table}}};\n");
        fs::write(path("models.h"), headers + &table)?;
        fs::write(path("generic.c"), include_str!("../link/generic.c"))?;
        let inputs: Vec<u8> = self.models.iter().flat_map(|(_, steps)| steps.iter().flatten().flat_map(|a| &a.data)).copied().collect();
        fs::write(path("in"), inputs)?;

        let objects = self.models.iter().map(|(m, _)| format!("{}.o", m.prefix));
        let mut link = Command::new(machine.compiler);
        output(link.current_dir(&folder).args(WARNINGS).args(["-std=c99", "-O1", "generic.c", "-o", "generic"]).args(objects))?;
        output(machine.run(&path("generic")).arg(path("in")).arg(path("out")))?;

        let outputs = fs::read(path("out"))?;
        let mut rest = &outputs[..];
        let mut all = vec![];
        for (m, steps) in &self.models {
            let mut of_model = vec![];
            for _ in steps {
                let mut of_step = vec![];
                for tensor in &m.main().signature.outputs {
                    ensure!(tensor.ty.size_bytes() <= rest.len(), "outputs end early at {}", m.prefix);
                    let (data, after) = rest.split_at(tensor.ty.size_bytes());
                    of_step.push(Array { data: data.to_vec(), ..Array::zeros(&tensor.ty) });
                    rest = after;
                }
                of_model.push(m.main().signature.own_outputs(&of_step));
            }
            all.push(of_model);
        }
        ensure!(rest.is_empty(), "{} bytes of outputs are left over", rest.len());
        Ok(all)
    }
}
