import gesture

/// A gesture that has just been made: the number and the name of its label, and how sure that is, from 0 to 1.
public struct Gesture: Equatable, Sendable {
    public let label: Int
    public let name: String
    public let score: Float
}

public enum GestureError: Error, Equatable {
    /// A call takes so many numbers, and others were given.
    case wrongCount(expected: Int, found: Int)
    /// The model's function refused, with a `cranelite_status` of its header.
    case failed(status: Int32)
}

/// Tells gestures by the samples of an accelerometer, 50 of a second.
///
/// An instance keeps the last 64 samples and the answers of the last calls. It is for one stream, and for one thread at a time; others go on beside it with
/// instances of their own.
public final class GestureReader {
    /// Numbers that a call of `read` takes: x, y, z of each of the newest samples.
    public static let numbers = Int(GESTURE_IN_ACCELEROMETER_COUNT)

    private let arena = UnsafeMutableRawPointer.allocate(byteCount: Int(GESTURE_ARENA_BYTES), alignment: Int(GESTURE_ARENA_ALIGN))
    private let state = UnsafeMutableRawPointer.allocate(byteCount: Int(GESTURE_STATE_BYTES), alignment: Int(GESTURE_STATE_ALIGN))

    public init() {
        reset()
    }

    deinit {
        arena.deallocate()
        state.deallocate()
    }

    /// Forgets all samples, as after a break.
    public func reset() {
        let status = gesture_reset(state)
        precondition(status == cranelite_status(CRANELITE_OK), "only a null pointer or one that is not aligned is refused")
    }

    /// What the newest samples tell: a gesture once for each that was made, else nil. `samples` are x, y, z of each in turn, in thousandths of g; at rest,
    /// face up, z is 1000.
    public func read(_ samples: UnsafeBufferPointer<Int16>) throws -> Gesture? {
        guard samples.count == Self.numbers, let first = samples.baseAddress else {
            throw GestureError.wrongCount(expected: Self.numbers, found: samples.count)
        }
        var inputs = gesture_inputs(accelerometer: first)
        var result = gesture_result()
        let status = gesture_run(&inputs, &result, arena, state)
        guard status == cranelite_status(CRANELITE_OK) else {
            throw GestureError.failed(status: status)
        }
        guard 0 <= result.label, let name = gesture_label(result.label) else {
            return nil
        }
        return Gesture(label: Int(result.label), name: String(cString: name), score: result.score)
    }

    /// The same of an array.
    public func read(_ samples: [Int16]) throws -> Gesture? {
        try samples.withUnsafeBufferPointer { try read($0) }
    }
}
