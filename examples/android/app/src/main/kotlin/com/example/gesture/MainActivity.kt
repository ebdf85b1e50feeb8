package com.example.gesture

import android.app.Activity
import android.hardware.Sensor
import android.hardware.SensorEvent
import android.hardware.SensorEventListener
import android.hardware.SensorManager
import android.os.Bundle
import android.view.Gravity
import android.widget.TextView
import kotlin.math.roundToInt

/** Shows the last gesture that the phone was moved in. */
class MainActivity : Activity(), SensorEventListener {
    private val reader = GestureReader()
    private lateinit var sensors: SensorManager
    private lateinit var text: TextView
    private var next = 0L

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        sensors = getSystemService(SENSOR_SERVICE) as SensorManager
        text = TextView(this)
        text.textSize = 48f
        text.gravity = Gravity.CENTER
        text.text = "wave, circle, punch"
        setContentView(text)
    }

    override fun onResume() {
        super.onResume()
        reader.reset()
        sensors.getDefaultSensor(Sensor.TYPE_ACCELEROMETER)?.let { sensors.registerListener(this, it, PERIOD_US) }
    }

    override fun onPause() {
        sensors.unregisterListener(this)
        super.onPause()
    }

    override fun onDestroy() {
        reader.close()
        super.onDestroy()
    }

    override fun onSensorChanged(event: SensorEvent) {
        // The period is a wish: a sensor may give more samples than that, and the model wants 50 of a second.
        if (event.timestamp < next) {
            return
        }
        next = maxOf(next + PERIOD_NS, event.timestamp)
        for (axis in 0..2) {
            val thousandths = event.values[axis] / SensorManager.STANDARD_GRAVITY * 1000
            reader.samples.put(thousandths.roundToInt().coerceIn(-32768, 32767).toShort())
        }
        if (!reader.samples.hasRemaining()) {
            reader.read()?.let { text.text = it.name }
        }
    }

    override fun onAccuracyChanged(sensor: Sensor, accuracy: Int) {}

    private companion object {
        const val PERIOD_US = 20_000
        const val PERIOD_NS = 20_000_000L
    }
}
