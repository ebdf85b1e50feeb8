//! What a file is that is no .tflite file, and how it becomes one.
//!
//! A guess from the first bytes (and the last, where archives list their members), for the message alone. The first row that fits wins.

/// What a file seems to be, and what to do with it.
pub struct Guess {
    pub what: &'static str,
    pub help: &'static str,
}

/// How a kind of file is recognised.
enum Sign {
    /// These bytes at this offset.
    At(usize, &'static [u8]),
    /// Text that begins like this in either case, after blanks.
    Text(&'static str),
    /// A zip archive with a member whose name has this in it.
    Zip(&'static str),
    /// The beginning has all of these somewhere.
    Has(&'static [&'static str]),
    Fits(fn(&[u8]) -> bool),
}

const KERAS: &str = "load it in Python and convert it: tf.lite.TFLiteConverter.from_keras_model(keras.models.load_model(FILE)).convert()";
const SAVED_MODEL: &str = "convert the folder that it belongs to: tf.lite.TFLiteConverter.from_saved_model(FOLDER).convert()";
const PYTORCH: &str = "convert the model with litert-torch: litert_torch.convert(model.eval(), sample_inputs).export(\"model.tflite\")";
const ONNX: &str = "convert it with onnx2tf: `onnx2tf -i FILE` writes .tflite files";
const UNPACK: &str = "unpack it first";
const C_ARRAY: &str = "take the .tflite file that it was made from, or make it again: `grep -oE '0x[0-9a-fA-F]{2}' FILE | cut -c3- | xxd -r -p > model.tflite`";
const DOWNLOAD: &str = "download the file again, and look at what comes";
const PROGRAM: &str = "give the .tflite file, not what was made from one";
const SOURCE: &str = "export the model from where it was trained with the TensorFlow Lite converter";

#[rustfmt::skip]
const KINDS: &[(Sign, &str, &str)] = &[
    (Sign::Fits(|b| b.is_empty()), "an empty file", DOWNLOAD),
    (Sign::Fits(|b| head(b).iter().all(|x| *x == 0)), "zeros", DOWNLOAD),
    // Pages and pointers that stand where a model should be.
    (Sign::Text("version https://git-lfs.github.com/spec/"), "a pointer of Git LFS, not the file that it stands for", "fetch the file: `git lfs pull`"),
    (Sign::Text("<!doctype html"), "a page of HTML", DOWNLOAD),
    (Sign::Text("<html"), "a page of HTML", DOWNLOAD),
    // Archives.
    (Sign::Zip(".tflite"), "a zip archive with .tflite files", "unpack it and give the .tflite file in it"),
    (Sign::Zip("TF_LITE_"), "a bundle of MediaPipe (.task)", "unpack it with unzip and give its member whose name begins with TF_LITE"),
    (Sign::Zip("saved_model.pb"), "a zip archive with a SavedModel", "unpack it and convert it: tf.lite.TFLiteConverter.from_saved_model(FOLDER).convert()"),
    (Sign::Zip(".weights.h5"), "a Keras model (.keras)", KERAS),
    (Sign::Zip("data.pkl"), "a PyTorch model", PYTORCH),
    (Sign::At(0, b"PK\x03\x04"), "a zip archive", UNPACK),
    (Sign::At(0, b"PK\x05\x06"), "an empty zip archive", DOWNLOAD),
    (Sign::At(0, b"\x1f\x8b"), "a gzip archive", "unpack it first: gunzip, or tar -xf"),
    (Sign::At(0, b"BZh"), "a bzip2 archive", UNPACK),
    (Sign::At(0, b"\xfd7zXZ\0"), "an xz archive", UNPACK),
    (Sign::At(0, b"\x28\xb5\x2f\xfd"), "a zstd archive", UNPACK),
    (Sign::At(0, b"7z\xbc\xaf"), "a 7z archive", UNPACK),
    (Sign::At(257, b"ustar"), "a tar archive", UNPACK),
    // Models of other tools.
    (Sign::At(0, b"\x89HDF\r\n\x1a\n"), "an HDF5 file, such as a Keras model (.h5)", KERAS),
    (Sign::At(4, b"TFL1"), "a model of the format's first version", "convert the model again with a converter of today"),
    (Sign::At(4, b"TFL2"), "a model of the format's second version", "convert the model again with a converter of today"),
    (Sign::At(4, b"CIR0"), "a Circle model", SOURCE),
    (Sign::At(4, b"ORTM"), "an ONNX Runtime model (.ort)", ONNX),
    (Sign::Fits(|b| b.get(4..6) == Some(b"ET") && b.get(6..8).is_some_and(|v| v.iter().all(u8::is_ascii_digit))), "an ExecuTorch program (.pte)", PYTORCH),
    (Sign::Fits(is_core_ml), "a Core ML model (.mlmodel)", SOURCE),
    (Sign::Fits(is_saved_model), "a SavedModel (saved_model.pb)", SAVED_MODEL),
    (Sign::Fits(is_onnx), "an ONNX model", ONNX),
    (Sign::Fits(is_graph_def), "a frozen TensorFlow graph (GraphDef)", "convert it: tf.compat.v1.lite.TFLiteConverter.from_frozen_graph(FILE, [INPUT], [OUTPUT]).convert()"),
    (Sign::At(0, b"GGUF"), "a GGUF model", SOURCE),
    (Sign::At(8, b"{\""), "a safetensors file, which has weights alone", SOURCE),
    (Sign::At(0, b"\x93NUMPY"), "a NumPy array", "give the model first, and arrays with --input"),
    (Sign::Fits(is_pickle), "a Python pickle, such as an old PyTorch model", PYTORCH),
    // What a model has been made into.
    (Sign::At(0, b"\x7fELF"), "an ELF file: machine code", PROGRAM),
    (Sign::At(0, b"\xcf\xfa\xed\xfe"), "a Mach-O file: machine code", PROGRAM),
    (Sign::At(0, b"MZ"), "a program of Windows", PROGRAM),
    (Sign::Has(&["0x54, 0x46, 0x4c, 0x33"]), "a C array with a .tflite file in it, as xxd writes", C_ARRAY),
    (Sign::Has(&["unsigned char", "0x"]), "C source with an array, as xxd writes", C_ARRAY),
    (Sign::Has(&["uint8_t", "0x"]), "C source with an array, as xxd writes", C_ARRAY),
    (Sign::Fits(|b| head(b).get(..16).is_some_and(|h| h.windows(6).any(|w| w == b"FRGTDM"))), "a .tflite file as base64 text", "decode it: `base64 -d FILE > model.tflite`"),
    (Sign::Text("{"), "JSON text", SOURCE),
    (Sign::Text("<?xml"), "XML text", SOURCE),
    (Sign::Fits(|b| b.len() < 8), "the beginning of a file", DOWNLOAD),
];

pub fn guess(bytes: &[u8]) -> Option<Guess> {
    let (_, what, help) = KINDS.iter().find(|(sign, ..)| fits(sign, bytes))?;
    Some(Guess { what, help })
}

fn fits(sign: &Sign, bytes: &[u8]) -> bool {
    match sign {
        Sign::At(offset, magic) => bytes.get(*offset..).is_some_and(|b| b.starts_with(magic)),
        Sign::Text(start) => {
            let text = bytes.trim_ascii_start();
            let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
            text.get(..start.len()).is_some_and(|t| t.eq_ignore_ascii_case(start.as_bytes()))
        }
        // Members are listed at the end, and the first one's name is at the beginning.
        Sign::Zip(name) => bytes.starts_with(b"PK\x03\x04") && (has(head(bytes), name) || has(tail(bytes), name)),
        Sign::Has(words) => words.iter().all(|w| has(head(bytes), w)),
        Sign::Fits(f) => f(bytes),
    }
}

fn head(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(1 << 12)]
}

fn tail(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.len().saturating_sub(1 << 16)..]
}

fn has(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|w| w == word.as_bytes())
}

/// Field 1 of a protobuf message, a small number, and what follows.
fn version(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let [8, version @ 1..=127, rest @ ..] = bytes else { return None };
    Some((*version, rest))
}

/// What a field of text or of a message holds, as far as it goes, if it is next and has this number.
fn field(number: u8, bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(&[number << 3 | 2])?;
    // The length has seven bits in a byte.
    let length_bytes = rest.iter().position(|b| *b < 128)? + 1;
    Some(&rest[length_bytes..])
}

/// A version, then a description that begins with a message.
fn is_core_ml(bytes: &[u8]) -> bool {
    version(bytes).and_then(|(v, rest)| Some((v, field(2, rest)?))).is_some_and(|(v, inside)| 1 < v && inside.starts_with(b"\x0a"))
}

/// The version of its schema is 1, then come graphs.
fn is_saved_model(bytes: &[u8]) -> bool {
    version(bytes).is_some_and(|(v, rest)| v == 1 && field(2, rest).is_some())
}

/// A version, then the producer's name or the graph.
fn is_onnx(bytes: &[u8]) -> bool {
    version(bytes).is_some_and(|(v, rest)| 1 < v && (field(2, rest).is_some() || field(7, rest).is_some() || field(8, rest).is_some()))
}

/// Nodes, which begin with their names.
fn is_graph_def(bytes: &[u8]) -> bool {
    field(1, bytes).and_then(|node| field(1, node)).is_some() && has(head(bytes), "dtype")
}

fn is_pickle(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 2..=5, ..])
}
