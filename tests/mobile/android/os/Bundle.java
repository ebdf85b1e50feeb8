// Of Android's class of this name, what examples/android uses, for tests/mobile/kotlin.py.
package android.os;

public final class Bundle {}
