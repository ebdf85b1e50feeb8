// Of Android's class of this name, what examples/android uses, for tests/mobile/kotlin.py.
package android.hardware;

public interface SensorEventListener {
    void onSensorChanged(SensorEvent event);
    void onAccuracyChanged(Sensor sensor, int accuracy);
}
