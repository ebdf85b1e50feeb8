//! Tells which traffic sign a camera sees, of a file of frames in NV12, without a line of unsafe code.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::sync::Mutex;

cranelite_runtime::include_model!("sign");

fn main() -> io::Result<()> {
    static ARENA: Mutex<sign::Arena> = Mutex::new(sign::Arena::new());
    let mut arena = ARENA.lock().expect("nobody panicked");
    let mut video = File::open(std::env::args().nth(1).unwrap_or("../camera-classify/drive.nv12".into()))?;
    let mut frame = [0; 28_800];
    loop {
        match video.read_exact(&mut frame) {
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let (mut label, mut score) = ([0], [0.0]);
        let mut outputs = sign::Outputs { output_0_label: &mut label, output_0_score: &mut score };
        sign::invoke(&sign::Inputs { camera: &frame }, &mut outputs, &mut arena).map_err(io::Error::other)?;
        println!("{:8} {:.2}", sign::LABELS[label[0] as usize], score[0]);
    }
}
