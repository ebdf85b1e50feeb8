// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "GestureReader",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [.library(name: "GestureReader", targets: ["GestureReader"])],
    targets: [
        // cranelite xcframework ../gesture/gesture.tflite --pipeline ../gesture/gesture.toml
        .binaryTarget(name: "gesture", path: "gesture.xcframework"),
        .target(name: "GestureReader", dependencies: ["gesture"]),
        .testTarget(name: "GestureReaderTests", dependencies: ["GestureReader"]),
    ]
)
