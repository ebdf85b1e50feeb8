package com.example.gesture

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.ShortBuffer

/** A gesture that has just been made: the number and the name of its label, and how sure that is, from 0 to 1. */
data class Gesture(val label: Int, val name: String, val score: Float)

/**
 * Tells gestures by the samples of an accelerometer, 50 of a second.
 *
 * An instance keeps the last 64 samples and the answers of the last calls. It is for one stream; others go on beside it with instances of their own. Its
 * functions may be called by any thread, one at a time. Close it, since its memory is not that of the garbage collector.
 */
class GestureReader : AutoCloseable {
    private var handle = nativeCreate()
    private val names = List(nativeLabelCount()) { nativeLabelName(it) }
    private val answer = direct(8)

    /** Where the newest samples go before [read]: x, y, z of each in turn, in thousandths of g. At rest, face up, z is 1000. */
    val samples: ShortBuffer = direct(nativeNumbers() * Short.SIZE_BYTES).asShortBuffer()

    /**
     * What the samples tell: a gesture once for each that was made, else null. Then [samples] is to be filled again.
     *
     * @throws IllegalStateException if [samples] is not full, or this is closed
     */
    @Synchronized
    fun read(): Gesture? {
        check(!samples.hasRemaining()) { "${samples.remaining()} numbers are missing" }
        nativeRun(handle, samples, answer)
        samples.clear()
        val label = answer.getInt(0)
        return names.getOrNull(label)?.let { Gesture(label, it, answer.getFloat(4)) }
    }

    /**
     * Forgets all samples, as after a break.
     *
     * @throws IllegalStateException if this is closed
     */
    @Synchronized
    fun reset() {
        nativeReset(handle)
        samples.clear()
    }

    @Synchronized
    override fun close() {
        nativeDestroy(handle)
        handle = 0
    }

    // gesture_jni.c
    private external fun nativeCreate(): Long
    private external fun nativeDestroy(handle: Long)
    private external fun nativeReset(handle: Long)
    private external fun nativeRun(handle: Long, samples: ShortBuffer, answer: ByteBuffer)
    private external fun nativeNumbers(): Int
    private external fun nativeLabelCount(): Int
    private external fun nativeLabelName(label: Int): String

    private companion object {
        init {
            System.loadLibrary("gesture_jni")
        }

        fun direct(bytes: Int): ByteBuffer = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())
    }
}
