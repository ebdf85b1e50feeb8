#if os(iOS)
import CoreMotion
import Foundation

/// Tells gestures that the phone is moved in, as they are made.
public final class GestureMonitor {
    private let motion = CMMotionManager()
    // One operation at a time, so that the reader has one thread at a time.
    private let queue = OperationQueue()
    private let reader = GestureReader()
    private var samples: [Int16] = []

    public init() {
        queue.maxConcurrentOperationCount = 1
        samples.reserveCapacity(GestureReader.numbers)
    }

    /// `told` is called on the main queue, with each gesture or with what went wrong. Without an accelerometer, as in the simulator, this is false.
    public func start(_ told: @escaping (Result<Gesture, Error>) -> Void) -> Bool {
        guard motion.isAccelerometerAvailable else {
            return false
        }
        queue.addOperation { [self] in
            samples.removeAll(keepingCapacity: true)
            reader.reset()
        }
        motion.accelerometerUpdateInterval = 1.0 / 50
        motion.startAccelerometerUpdates(to: queue) { [weak self] data, error in
            guard let self else {
                return
            }
            let answer = Result { try self.add(data, error) }
            switch answer {
            case .success(.none): break
            case .success(.some(let gesture)): OperationQueue.main.addOperation { told(.success(gesture)) }
            case .failure(let error): OperationQueue.main.addOperation { told(.failure(error)) }
            }
        }
        return true
    }

    public func stop() {
        motion.stopAccelerometerUpdates()
    }

    private func add(_ data: CMAccelerometerData?, _ error: Error?) throws -> Gesture? {
        guard let acceleration = data?.acceleration else {
            throw error ?? CocoaError(.featureUnsupported)
        }
        // Core Motion gives g, and gravity with the other sign: face up, z is -1.
        for axis in [acceleration.x, acceleration.y, acceleration.z] {
            samples.append(Int16(max(-32768, min(32767, (-1000 * axis).rounded()))))
        }
        guard samples.count == GestureReader.numbers else {
            return nil
        }
        defer { samples.removeAll(keepingCapacity: true) }
        return try reader.read(samples)
    }
}
#endif
