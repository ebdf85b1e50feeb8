//! Compiles the model for the target that cargo builds for, and links it.

fn main() {
    cranelite_build::compile("../cpp-app/gestures.tflite");
}
