// Of Android's class of this name, what examples/android uses, for tests/mobile/kotlin.py.
package android.hardware;

public class SensorManager {
    public static final float STANDARD_GRAVITY = 9.80665f;
    public static final SensorManager ONLY = new SensorManager();
    /** Who is told. */
    public SensorEventListener listener;

    public Sensor getDefaultSensor(int type) {
        return type == Sensor.TYPE_ACCELEROMETER ? new Sensor() : null;
    }

    public boolean registerListener(SensorEventListener listener, Sensor sensor, int samplingPeriodUs) {
        this.listener = listener;
        return true;
    }

    public void unregisterListener(SensorEventListener listener) {
        this.listener = null;
    }
}
