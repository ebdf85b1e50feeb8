//! Metadata of models: what contradicts the model is told with its place, and whatever the bytes are, reading them ends with metadata or with a problem.
//!
//! Not what the command line prints (`cli/metadata.txt`). The idea: a small model of each kind, of which one thing is wrong, or one bit, or the end.

use cranelite_graph::diagnostic::{Code, Diagnostic};
use cranelite_graph::import::{self, Imported, metadata};
use cranelite_graph::pipeline::{self, metadata::Sensors, spec::Pipeline};
use cranelite_tests::described::{self, BoundingBoxType, CoordinateType, Described, Is, LIES};

fn imported(model: &[u8]) -> Imported {
    import::read(model, &import::Options::default()).expect("a model that is right").entries.remove(0)
}

fn of(model: &[u8], imported: &Imported) -> Result<Pipeline, Diagnostic> {
    let metadata = metadata::read(model)?.ok_or_else(|| Diagnostic::new(Code::METADATA, "no metadata"))?;
    pipeline::metadata::pipeline(&metadata, imported, &Sensors::default())
}

fn problem(of: Result<Pipeline, Diagnostic>) -> (String, String) {
    let d = of.expect_err("a contradiction");
    assert_eq!(d.code, Code::METADATA, "{d}");
    (d.place.to_string(), d.to_string())
}

#[test]
fn lies_are_told_with_their_place() {
    for lie in LIES {
        let mut described = described::scores();
        (lie.change)(&mut described);
        let model = described::scoring(&described, &[1, 5], 3);
        let (place, message) = problem(of(&model, &imported(&model)));
        assert_eq!(place, lie.place, "{}: {message}", lie.name);
        assert!(message.contains(lie.message), "{}: {message}", lie.name);
    }
}

#[test]
fn boxes_that_are_none() {
    type Change = fn(&mut Described);
    let content = |order: &[u32], form, coordinates| Is::Boxes { order: order.to_vec(), form, coordinates };
    let changes: [(Change, &str); 4] = [
        (|d| d.outputs[1].labels = None, ""),
        (|d| d.outputs[1].name = "things", ""),
        (
            |d| (d.outputs[1].labels, d.outputs[1].name) = (None, "things"),
            "which outputs are the classes and scores of these boxes is not said",
        ),
        (|d| d.outputs[3].name = "things", ""),
    ];
    let told = |d: &Described, message: &str| {
        let model = described::boxing(d);
        match of(&model, &imported(&model)) {
            Ok(p) => assert!(message.is_empty() && p.detections.len() == 1, "{d:?}"),
            Err(d) => assert!(!message.is_empty() && d.to_string().contains(message), "{d}"),
        }
    };
    for (change, message) in changes {
        let mut d = described::boxes();
        change(&mut d);
        told(&d, message);
    }
    for (is, message) in [
        (content(&[0, 1, 2, 3], BoundingBoxType::CENTER, CoordinateType::RATIO), ""),
        (content(&[], BoundingBoxType::UPPER_LEFT, CoordinateType::RATIO), ""),
        (content(&[], BoundingBoxType::UNKNOWN, CoordinateType::RATIO), "what the four numbers of a box are is unknown"),
        (content(&[0, 1, 2, 2], BoundingBoxType::BOUNDARIES, CoordinateType::RATIO), "must have each of four once"),
        (content(&[0, 1, 2], BoundingBoxType::BOUNDARIES, CoordinateType::RATIO), "must have each of four once"),
        (content(&[0, 1, 2, 3, 0], BoundingBoxType::BOUNDARIES, CoordinateType::RATIO), "must have each of four once"),
        (content(&[0, 1, 2, u32::MAX], BoundingBoxType::BOUNDARIES, CoordinateType::RATIO), "must have each of four once"),
        (content(&[], BoundingBoxType::BOUNDARIES, CoordinateType::PIXEL), "boxes are in pixels, and no input is an image"),
    ] {
        let mut d = described::boxes();
        d.outputs[0].content = is;
        told(&d, message);
    }
}

/// What it can be, if it is not refused with a code of the metadata's or the pipeline's.
fn survives(model: &[u8], imported: &Imported) -> bool {
    let _ = (cranelite::metadata::text(model), cranelite::metadata::json(model));
    match of(model, imported) {
        Ok(pipeline) => match pipeline::apply(imported.clone(), vec![], &pipeline) {
            Ok(_) => true,
            Err(all) => all.iter().all(|d| d.code != Code::INTERNAL) || panic!("{all:?}"),
        },
        Err(d) => {
            assert!(d.code == Code::METADATA && !d.place.to_string().is_empty() || d.code == Code::BROKEN, "{d}");
            false
        }
    }
}

fn models() -> [Vec<u8>; 4] {
    [
        described::scoring(&described::scores(), &[1, 5], 3),
        described::scoring(&described::image(), &[1, 4, 4, 1], 2),
        described::scoring(&described::sound(), &[1, 16], 3),
        described::boxing(&described::boxes()),
    ]
}

/// Where the metadata lies, and where the archive: all of the rest is the model's own.
fn places(model: &[u8]) -> (std::ops::Range<usize>, usize) {
    let find = |what: &[u8]| model.windows(what.len()).position(|w| w == what);
    let metadata = find(b"M001").expect("metadata") - 4;
    let length = u32::from_le_bytes(model[metadata - 4..metadata].try_into().expect("4 bytes")) as usize;
    (metadata..metadata + length, find(b"PK\x03\x04").expect("an archive"))
}

#[test]
fn single_bits() {
    let mut accepted = 0;
    for model in models() {
        let imported = imported(&model);
        let (metadata, archive) = places(&model);
        for position in metadata.chain(archive..model.len()) {
            for bit in 0..8 {
                let mut model = model.clone();
                model[position] ^= 1 << bit;
                accepted += usize::from(survives(&model, &imported));
            }
        }
    }
    // Names may be any.
    assert!(1000 < accepted, "{accepted}");
}

#[test]
fn wild_numbers() {
    const NUMBERS: [u32; 8] = [0, 1, 4, 0x7fff_ffff, 0x8000_0000, 0xffff_fffc, 0xffff_ffff, 0x7fc0_0000];
    for model in models() {
        let imported = imported(&model);
        let (metadata, archive) = places(&model);
        for at in metadata.step_by(4).chain(archive..model.len() - 3) {
            for number in NUMBERS {
                let mut model = model.clone();
                model[at..at + 4].copy_from_slice(&number.to_le_bytes());
                survives(&model, &imported);
            }
        }
    }
}

#[test]
fn truncated() {
    for model in models() {
        let imported = imported(&model);
        for length in 0..model.len() {
            let short = &model[..length];
            if let Err(d) = metadata::read(short) {
                assert!(!d.message.is_empty());
            }
            assert!(!survives_or_is_no_model(short, &imported), "{length} bytes of {}", model.len());
        }
    }
}

/// A model without its archive has no labels, so it is never accepted.
fn survives_or_is_no_model(model: &[u8], imported: &Imported) -> bool {
    import::read(model, &import::Options::default()).is_ok() && survives(model, imported)
}
