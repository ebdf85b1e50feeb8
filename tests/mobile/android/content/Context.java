// Of Android's class of this name, what examples/android uses, for tests/mobile/kotlin.py.
package android.content;

import android.hardware.SensorManager;

public class Context {
    public static final String SENSOR_SERVICE = "sensor";

    public Object getSystemService(String name) {
        return name.equals(SENSOR_SERVICE) ? SensorManager.ONLY : null;
    }
}
