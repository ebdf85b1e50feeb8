/* What GestureReader.kt calls. Each instance has memory of its own, and there is nothing else: different instances may be used by different threads at
   once. A buffer that is not as the model needs it ends in an exception before the model sees it. */
#include <jni.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gesture.h"

#define NATIVE(type, name) JNIEXPORT type JNICALL Java_com_example_gesture_GestureReader_##name

/* What an instance keeps: the samples of the last calls, and the memory that a call computes in. */
struct reader {
    _Alignas(GESTURE_ARENA_ALIGN) unsigned char arena[GESTURE_ARENA_BYTES];
    _Alignas(GESTURE_STATE_ALIGN) unsigned char state[GESTURE_STATE_BYTES];
};

/* GestureReader.kt reads the answer at these places. */
_Static_assert(offsetof(gesture_result, label) == 0 && offsetof(gesture_result, score) == 4 && sizeof(gesture_result) == 8, "as GestureReader.kt has it");

static void throw_new(JNIEnv *env, const char *class_name, const char *message) {
    jclass type = (*env)->FindClass(env, class_name);
    if (type) { /* else that it was not found is the exception */
        (*env)->ThrowNew(env, type, message);
    }
}

/* Where a direct buffer with so many elements lies, at a multiple of `align`; null with an exception thrown where it is another. */
static void *elements(JNIEnv *env, jobject buffer, jlong count, size_t align, const char *message) {
    void *address = buffer ? (*env)->GetDirectBufferAddress(env, buffer) : NULL;
    if (!address || (*env)->GetDirectBufferCapacity(env, buffer) < count || (uintptr_t)address % align != 0) {
        throw_new(env, "java/lang/IllegalArgumentException", message);
        return NULL;
    }
    return address;
}

NATIVE(jlong, nativeCreate)(JNIEnv *env, jobject self) {
    void *memory = NULL;
    (void)self;
    if (posix_memalign(&memory, _Alignof(struct reader), sizeof(struct reader)) != 0) {
        throw_new(env, "java/lang/OutOfMemoryError", "the state of a GestureReader");
        return 0;
    }
    gesture_reset(((struct reader *)memory)->state);
    return (jlong)(intptr_t)memory;
}

NATIVE(void, nativeDestroy)(JNIEnv *env, jobject self, jlong handle) {
    (void)env;
    (void)self;
    free((void *)(intptr_t)handle);
}

NATIVE(void, nativeReset)(JNIEnv *env, jobject self, jlong handle) {
    struct reader *reader = (struct reader *)(intptr_t)handle;
    (void)self;
    if (!reader) {
        throw_new(env, "java/lang/IllegalStateException", "the GestureReader is closed");
        return;
    }
    gesture_reset(reader->state);
}

/* From the samples, a ShortBuffer, to the answer, a ByteBuffer with a gesture_result. */
NATIVE(void, nativeRun)(JNIEnv *env, jobject self, jlong handle, jobject samples, jobject answer) {
    struct reader *reader = (struct reader *)(intptr_t)handle;
    gesture_inputs in;
    gesture_result result;
    void *out;
    cranelite_status status;
    (void)self;
    if (!reader) {
        throw_new(env, "java/lang/IllegalStateException", "the GestureReader is closed");
        return;
    }
    in.accelerometer = elements(env, samples, GESTURE_IN_ACCELEROMETER_COUNT, _Alignof(int16_t), "samples: no direct buffer of 16-bit numbers, or too small a one");
    if (!in.accelerometer) {
        return;
    }
    out = elements(env, answer, sizeof result, 1, "answer: no direct buffer, or too small a one");
    if (!out) {
        return;
    }
    status = gesture_run(&in, &result, reader->arena, reader->state);
    if (status != CRANELITE_OK) {
        throw_new(env, "java/lang/IllegalStateException", status == CRANELITE_CPU_LACKS_FEATURE ? "the model is for another CPU" : "gesture_run failed");
        return;
    }
    memcpy(out, &result, sizeof result);
}

/* The numbers that a call takes. */
NATIVE(jint, nativeNumbers)(JNIEnv *env, jobject self) {
    (void)env;
    (void)self;
    return GESTURE_IN_ACCELEROMETER_COUNT;
}

NATIVE(jint, nativeLabelCount)(JNIEnv *env, jobject self) {
    (void)env;
    (void)self;
    return GESTURE_LABEL_COUNT;
}

NATIVE(jstring, nativeLabelName)(JNIEnv *env, jobject self, jint label) {
    (void)self;
    return (*env)->NewStringUTF(env, gesture_label(label));
}
