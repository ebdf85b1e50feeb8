// Runs the classes of examples/android in a Java VM: the gestures of a recording by GestureReader, calls that are wrong, and the same recording by the
// activity, as an accelerometer would give it.

import android.app.Activity
import android.hardware.SensorEvent
import android.hardware.SensorManager
import com.example.gesture.GestureReader
import com.example.gesture.MainActivity
import java.io.File
import java.lang.reflect.InvocationTargetException
import java.nio.ByteBuffer
import java.nio.ShortBuffer
import java.util.Locale

fun tell(samples: List<List<Int>>) = GestureReader().use { reader ->
    samples.forEachIndexed { at, sample ->
        for (number in sample) reader.samples.put(number.toShort())
        if (!reader.samples.hasRemaining()) {
            reader.read()?.let { println("%5.1f s  %-6s %.2f".format(Locale.ROOT, (at + 1) / 50.0, it.name, it.score)) }
        }
    }
}

fun fails(what: String, call: () -> Unit) {
    val thrown = runCatching(call).exceptionOrNull()
    println("$what: ${(thrown as? InvocationTargetException)?.cause ?: thrown}")
}

fun wrongCalls() {
    val reader = GestureReader()
    fails("not full") { reader.read() }
    val run = GestureReader::class.java.declaredMethods.first { it.name == "nativeRun" }
    val handle = GestureReader::class.java.getDeclaredField("handle")
    run.isAccessible = true
    handle.isAccessible = true
    val bytes = ByteBuffer.allocateDirect(64)
    fun run(what: String, samples: ShortBuffer?, answer: ByteBuffer?) = fails(what) { run.invoke(reader, handle.getLong(reader), samples, answer) }
    run("no samples", null, bytes)
    run("samples on the heap", ShortBuffer.allocate(12), bytes)
    run("11 numbers", ByteBuffer.allocateDirect(23).asShortBuffer(), bytes)
    run("at an odd address", bytes.slice(1, 24).asShortBuffer(), bytes)
    run("no answer", bytes.asShortBuffer(), null)
    run("an answer on the heap", bytes.asShortBuffer(), ByteBuffer.allocate(8))
    run("7 bytes for the answer", bytes.asShortBuffer(), ByteBuffer.allocateDirect(7))
    run("as it should be", bytes.asShortBuffer(), ByteBuffer.allocateDirect(8))
    reader.close()
    reader.close()
    repeat(12) { reader.samples.put(0) }
    fails("read when closed") { reader.read() }
    fails("reset when closed") { reader.reset() }
}

/** With so many events of a second, of which the activity is to take 50. */
fun show(samples: List<List<Int>>, repeated: Int) {
    val activity = MainActivity()
    Activity.open(activity)
    val event = SensorEvent()
    var time = 1_000_000_000L
    for (sample in samples) {
        repeat(repeated) {
            for (axis in 0..2) event.values[axis] = sample[axis] / 1000f * SensorManager.STANDARD_GRAVITY
            event.timestamp = time
            time += 20_000_000L / repeated
            SensorManager.ONLY.listener!!.onSensorChanged(event)
        }
    }
    Activity.leave(activity)
    check(SensorManager.ONLY.listener == null)
}

fun main(args: Array<String>) {
    val lines = File(args[0]).readLines().filter { !it.startsWith("#") }
    val samples = lines.map { line -> line.split(",").map { it.toInt() } }
    tell(samples)
    wrongCalls()
    show(samples, 1)
    show(samples, 4)
}
