/* A stand-in for Java's jni.h, with no more of it than gesture_jni.c uses: for building it where there is neither a JDK nor an NDK. The functions are in
   main.c. It is not compatible with a Java VM. */
#ifndef JNI_H
#define JNI_H

#include <stdint.h>

#define JNIEXPORT __attribute__((visibility("default")))
#define JNICALL

typedef int32_t jint;
typedef int64_t jlong;
/* Objects of main.c's. */
typedef struct object *jobject;
typedef jobject jclass, jstring;

struct functions;
typedef const struct functions *JNIEnv;
struct functions {
    jclass (*FindClass)(JNIEnv *env, const char *name);
    jint (*ThrowNew)(JNIEnv *env, jclass type, const char *message);
    jstring (*NewStringUTF)(JNIEnv *env, const char *text);
    void *(*GetDirectBufferAddress)(JNIEnv *env, jobject buffer);
    jlong (*GetDirectBufferCapacity)(JNIEnv *env, jobject buffer);
};

#endif
