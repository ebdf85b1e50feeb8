// Of Android's class of this name, what examples/android uses, for tests/mobile/kotlin.py.
package android.hardware;

public final class Sensor {
    public static final int TYPE_ACCELEROMETER = 1;
}
