//! Constants that are decoded once, of objects of several levels and signatures: every signature at every level gives what the plain object gives, and tables that
//! the verifier has read are never those in the caller's memory.

use cranelite::compression::Compress;
use cranelite::instance::Block;
use cranelite::pipeline::{self, Compiled, Options};
use cranelite::stages::Stages;
use cranelite_codegen::Target;
use cranelite_codegen::loader::{Loaded, Model};
use cranelite_codegen::object::{self, Level, weights};
use cranelite_graph::import::{self, Signatures};
use cranelite_tests::differential;
use cranelite_tests::models;
use cranelite_tile::compress::{self, Packing, Prefer, Prepared};
use cranelite_tile::{Buffer, BufferId, Call, Elem, KernelBuilder, KernelId, Program, Role, Step, verify};
use std::collections::BTreeMap;
use std::sync::Arc;

fn compile(levels: &[Target], compress: Option<Compress>) -> Compiled {
    let options = Options {
        prefix: "model".into(),
        import: import::Options { signatures: Signatures::All, ..import::Options::default() },
        compress,
        ..Options::default()
    };
    pipeline::compile(&models::packable_parts(), levels, &options, &mut Stages::none()).expect("compiles")
}

fn block(bytes: usize) -> Block {
    Block::new(bytes, 64).expect("memory")
}

/// The output of a call at a level of several, or of the object's only one.
fn called(model: &Model, input: &[&[u8]], output_bytes: usize, weights: &[u8], level: Option<usize>) -> Vec<u8> {
    let (mut arena, mut output) = (block(model.arena_bytes), block(output_bytes));
    let mut outputs = [output.bytes_mut()];
    let mut bound = model.bind(input, &mut outputs, arena.bytes_mut());
    if !weights.is_empty() {
        bound.set_weights(weights);
    }
    let status = match level {
        Some(level) => bound.invoke_at(level as u32),
        None => Some(bound.invoke()),
    };
    assert_eq!(status, Some(0));
    output.bytes().to_vec()
}

/// Of two calls of each signature at each level.
fn outputs(compiled: &Compiled, levels: usize) -> Vec<Vec<u8>> {
    let loaded = Loaded::load(&compiled.object.bytes).expect("it loads");
    let models: Vec<Model> = compiled.entries.iter().map(|e| loaded.model(&e.prefix).expect("a model")).collect();
    let mut weights = block(compiled.object.prepared_bytes as usize);
    if !weights.bytes().is_empty() {
        assert_eq!(models[0].prepare(weights.bytes_mut()), Some(0));
    }
    let mut all = vec![];
    for (model, entry) in models.iter().zip(&compiled.entries) {
        let [input, output] = [&entry.signature.inputs[0], &entry.signature.outputs[0]].map(|t| t.ty.size_bytes());
        for (step, level) in (0..2u8).flat_map(|step| (0..levels).map(move |level| (step, level))) {
            let bytes: Vec<u8> = (0..input).map(|k| (k as u8).wrapping_mul(37).wrapping_add(91 * step)).collect();
            all.push(called(model, &[&bytes], output, weights.bytes(), (1 < levels).then_some(level)));
        }
    }
    all
}

#[test]
fn of_levels_and_signatures() {
    let levels = differential::native_levels();
    let each = levels.iter().map(std::slice::from_ref);
    // The least and the most that this machine has, in either order, and three of them.
    let (first, last) = (levels.iter().take(1), levels.iter().rev().take(1));
    let pairs = [first.clone().chain(last.clone()).cloned().collect::<Vec<_>>(), last.chain(first).cloned().collect()];
    let some: Vec<Target> = levels.iter().step_by(levels.len().div_ceil(3).max(1)).cloned().collect();
    for targets in each.chain(pairs.iter().map(Vec::as_slice)).chain([some.as_slice()]) {
        let names: Vec<&str> = targets.iter().map(|t| t.level.as_str()).collect();
        let (plain, prepared) = (compile(targets, None), compile(targets, Some(Compress::Fastest)));
        assert!(0 < prepared.object.prepared_bytes && prepared.object.const_bytes < plain.object.const_bytes, "{names:?}");
        assert_eq!(plain.entries.len(), 3);
        assert!(outputs(&prepared, targets.len()) == outputs(&plain, targets.len()), "{names:?}");
    }
}

/// A program that copies `data` to its output: as bytes, or (`is_table`) as indices below 4 of 4 bytes that are 10, 11, 12 and 13.
fn reading(data: &[u8], is_table: bool) -> Program {
    let mut k = KernelBuilder::new("read");
    let (x, y) = (k.read("x"), k.write("y"));
    let picked = is_table.then(|| k.read("picked"));
    k.each("i", data.len(), 1, |k, i| {
        let v = match picked {
            Some(picked) => {
                let index = k.known_index("index", Elem::U8, x.at(i), 0, 3);
                k.load(Elem::U8.x(1), picked.at(index))
            }
            None => k.load(Elem::U8.x(1), x.at(i)),
        };
        k.store(y.at(i), v);
    });
    let buffer = |role, size_bytes: usize, data: Option<&[u8]>| Buffer {
        name: "b".into(),
        role,
        size_bytes: size_bytes as u64,
        align: 64,
        data: data.map(|d| d.to_vec().into()),
        view: None,
        offset_bytes: None,
    };
    let mut buffers = vec![buffer(Role::Const, data.len(), Some(data)), buffer(Role::Output(0), data.len(), None)];
    buffers.extend(is_table.then(|| buffer(Role::Const, 4, Some(&[10, 11, 12, 13]))));
    let call = Call {
        kernel: KernelId(0),
        buffers: (0..buffers.len() as u32).map(BufferId).collect(),
        params: vec![],
        advance: vec![],
        operator: None,
    };
    let program = Program { name: "reading".into(), buffers, kernels: vec![k.finish()], schedule: vec![Step::Call(call)] };
    verify::verify(&program).expect("proved");
    program
}

#[test]
fn tables_stay_in_the_object() {
    let levels = differential::native_levels();
    let [target, .., other] = &levels[..] else { return };
    let data: Vec<u8> = (0..4096).map(|i| (i * i / 7 % 4) as u8).collect();
    let (table, bytes) = (reading(&data, true), reading(&data, false));
    assert!(compress::candidates(&table, &BTreeMap::new()).values().all(|c| c.data.len() < data.len()), "a table is not packed");
    let packing =
        Packing::of(compress::candidates(&bytes, &BTreeMap::new()).into_values().collect(), Prefer::Small).expect("decodes to the same");
    let prepared = Some(Arc::new(Prepared::of(packing)));
    let of_both = [Level { program: &table, target }, Level { program: &bytes, target: other }];
    let object = object::emit(&of_both, &object::Options { prepared, ..differential::options(&bytes) }).expect("an object");
    let loaded = Loaded::load(&object.bytes).expect("it loads");
    let model = loaded.model("test").expect("a model");
    let mut weights = block(model.weights_bytes);
    assert_eq!(model.prepare(weights.bytes_mut()), Some(0));
    // Only the header is compared by calls, so what a program does with others is seen.
    for is_broken in [false, true] {
        if is_broken {
            weights.bytes_mut()[weights::HEADER_BYTES as usize..].fill(250);
        }
        let picked: Vec<u8> = data.iter().map(|d| d + 10).collect();
        let read = if is_broken { vec![250; data.len()] } else { data.clone() };
        for (level, expected) in [picked, read].iter().enumerate() {
            assert!(called(&model, &[], data.len(), weights.bytes(), Some(level)) == *expected, "level {level}, broken: {is_broken}");
        }
    }
}
