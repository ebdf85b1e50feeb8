//! Recognises the gestures of an accelerometer, without a line of unsafe code.

cranelite_runtime::include_model!("gestures");

const NAMES: [&str; 4] = ["rest", "circle", "shake", "lift"];

/// A second of a hand that moves in circles, in g.
fn circle(sample: usize) -> [f32; 3] {
    let angle = sample as f32 * 0.19;
    [0.8 * angle.cos(), 0.8 * angle.sin(), 1.0]
}

fn main() -> Result<(), cranelite_runtime::Error> {
    let input = gestures::INPUT_MOTION.quantization.expect("the model is quantised");
    let output = gestures::OUTPUT_OUTPUT_0.quantization.expect("the model is quantised");
    static ARENA: std::sync::Mutex<gestures::Arena> = std::sync::Mutex::new(gestures::Arena::new());

    let mut samples = [0; 150];
    for (i, out) in samples.iter_mut().enumerate() {
        *out = input.quantize(circle(i / 3)[i % 3]);
    }
    let mut scores = [0; 4];
    gestures::invoke(
        &gestures::Inputs { motion: &samples },
        &mut gestures::Outputs { output_0: &mut scores },
        &mut ARENA.lock().expect("nobody panicked"),
    )?;
    let best = (0..4).max_by_key(|&i| scores[i]).expect("four scores");
    println!("{} ({:.0} %)", NAMES[best], 100.0 * output.real(scores[best]));
    Ok(())
}
