// Of Android's class of this name, what examples/android uses, for tests/mobile/kotlin.py.
package android.hardware;

public class SensorEvent {
    public final float[] values = new float[3];
    public long timestamp;
}
