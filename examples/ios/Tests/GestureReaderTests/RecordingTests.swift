import Foundation
import GestureReader
import XCTest

final class RecordingTests: XCTestCase {
    /// The recording of ../../../gesture, and what `main.c` there tells of it.
    func testRecording() throws {
        let file = URL(fileURLWithPath: #filePath).appendingPathComponent("../../../../gesture/recording.csv").standardized
        let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n").filter { !$0.hasPrefix("#") }
        let numbers = lines.flatMap { $0.split(separator: ",").compactMap { Int16($0) } }
        let reader = GestureReader()
        var told: [String] = []
        for start in stride(from: 0, through: numbers.count - GestureReader.numbers, by: GestureReader.numbers) {
            let samples = Array(numbers[start..<start + GestureReader.numbers])
            if let gesture = try reader.read(samples) {
                told.append(gesture.name)
            }
        }
        XCTAssertEqual(told, [
            "punch", "circle", "punch", "punch", "punch", "circle", "circle", "wave", "punch", "wave", "punch", "circle", "punch", "punch", "punch", "wave",
            "circle",
        ])
    }

    func testWrongCount() {
        XCTAssertThrowsError(try GestureReader().read([1, 2, 3])) { error in
            XCTAssertEqual(error as? GestureError, .wrongCount(expected: GestureReader.numbers, found: 3))
        }
    }
}
