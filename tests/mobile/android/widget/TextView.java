// Of Android's class of this name, what examples/android uses, for tests/mobile/kotlin.py.
package android.widget;

import android.content.Context;
import android.view.View;

public class TextView extends View {
    private CharSequence text = "";
    private int gravity;
    private float size;

    public TextView(Context context) {}

    public void setText(CharSequence text) {
        this.text = text;
        System.out.println("shown: " + text);
    }

    public CharSequence getText() {
        return text;
    }

    public void setGravity(int gravity) {
        this.gravity = gravity;
    }

    public int getGravity() {
        return gravity;
    }

    public void setTextSize(float size) {
        this.size = size;
    }

    public float getTextSize() {
        return size;
    }
}
