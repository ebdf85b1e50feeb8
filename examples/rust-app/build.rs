fn main() {
    cranelite_build::compile("../cpp-app/gestures.tflite");
}
