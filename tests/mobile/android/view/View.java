// Of Android's class of this name, what examples/android uses, for tests/mobile/kotlin.py.
package android.view;

public class View {}
