//! Compiles the model with its pipeline for the target that cargo builds for, and links it.

fn main() {
    cranelite_build::Model::new("../camera-classify/sign.tflite").pipeline("../camera-classify/sign.toml").compile();
}
