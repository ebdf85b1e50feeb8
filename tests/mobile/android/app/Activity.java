// Of Android's class of this name, what examples/android uses, for tests/mobile/kotlin.py.
package android.app;

import android.content.Context;
import android.os.Bundle;
import android.view.View;

public class Activity extends Context {
    protected void onCreate(Bundle state) {}
    protected void onResume() {}
    protected void onPause() {}
    protected void onDestroy() {}
    public void setContentView(View view) {}

    /** As the system does, one after the other. */
    public static void open(Activity activity) {
        activity.onCreate(null);
        activity.onResume();
    }

    public static void leave(Activity activity) {
        activity.onPause();
        activity.onDestroy();
    }
}
