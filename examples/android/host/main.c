/* The part of a Java VM and of GestureReader.kt that gesture_jni.c needs, for running it without either: tells the gestures of a recording of
   ../gesture, and then shows that each call that is wrong ends in an exception. */
#include <jni.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NATIVE(name) Java_com_example_gesture_GestureReader_native##name

jlong NATIVE(Create)(JNIEnv *, jobject);
void NATIVE(Destroy)(JNIEnv *, jobject, jlong);
void NATIVE(Reset)(JNIEnv *, jobject, jlong);
void NATIVE(Run)(JNIEnv *, jobject, jlong, jobject, jobject);
jint NATIVE(Numbers)(JNIEnv *, jobject);
jint NATIVE(LabelCount)(JNIEnv *, jobject);
jstring NATIVE(LabelName)(JNIEnv *, jobject, jint);

/* A class or a string with its text, or a buffer; one on the heap has no address. */
struct object {
    const char *text;
    void *address;
    jlong capacity; /* in elements */
};

static struct object found_class, text;
/* What was thrown and has not been caught. */
static char thrown[200];

static jclass find_class(JNIEnv *env, const char *name) {
    (void)env;
    found_class.text = name;
    return &found_class;
}

static jint throw_new(JNIEnv *env, jclass type, const char *message) {
    (void)env;
    if (thrown[0]) {
        fprintf(stderr, "thrown while another is pending: %s\n", message);
        abort();
    }
    snprintf(thrown, sizeof thrown, "%s: %s", type->text, message);
    return 0;
}

static jstring new_string(JNIEnv *env, const char *utf) {
    (void)env;
    text.text = utf;
    return &text;
}

static void *buffer_address(JNIEnv *env, jobject buffer) {
    (void)env;
    return buffer->address;
}

static jlong buffer_capacity(JNIEnv *env, jobject buffer) {
    (void)env;
    return buffer->address ? buffer->capacity : -1;
}

static const struct functions functions = {find_class, throw_new, new_string, buffer_address, buffer_capacity};
static JNIEnv table = &functions;
static JNIEnv *const env = &table;
static struct object self;

struct gesture {
    int32_t label;
    float score;
};

/* As GestureReader.read. */
static struct gesture read_gesture(jlong handle, jobject samples) {
    struct gesture gesture = {-1, 0};
    struct object answer = {NULL, &gesture, sizeof gesture};
    NATIVE(Run)(env, &self, handle, samples, &answer);
    if (thrown[0]) {
        fprintf(stderr, "%s\n", thrown);
        exit(1);
    }
    return gesture;
}

static void tell(const char *path) {
    const jlong count = NATIVE(Numbers)(env, &self), handle = NATIVE(Create)(env, &self);
    /* On the heap, so that sanitizers see what lies beside. */
    int16_t *const numbers = malloc((size_t)count * sizeof *numbers);
    struct object samples = {NULL, numbers, count};
    FILE *const file = fopen(path, "r");
    char line[64];
    int x, y, z, filled = 0;
    long at = 0;
    if (!file || !numbers) {
        perror(path);
        exit(1);
    }
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%d,%d,%d", &x, &y, &z) != 3) {
            continue;
        }
        numbers[filled++] = (int16_t)x;
        numbers[filled++] = (int16_t)y;
        numbers[filled++] = (int16_t)z;
        at++;
        if (filled == count) {
            const struct gesture gesture = read_gesture(handle, &samples);
            filled = 0;
            if (0 <= gesture.label) {
                jstring name = NATIVE(LabelName)(env, &self, gesture.label);
                printf("%5.1f s  %-6s %.2f\n", (double)at / 50, name->text, (double)gesture.score);
            }
        }
    }
    fclose(file);
    free(numbers);
    NATIVE(Destroy)(env, &self, handle);
}

/* Catches. */
static void caught(const char *what) {
    printf("%s: %s\n", what, thrown[0] ? thrown : "nothing was thrown");
    thrown[0] = 0;
}

static void wrong_calls(void) {
    static _Alignas(8) int16_t numbers[20];
    static struct gesture gesture;
    const jlong count = NATIVE(Numbers)(env, &self), handle = NATIVE(Create)(env, &self);
    struct object samples = {NULL, numbers, count}, answer = {NULL, &gesture, sizeof gesture};
    struct object on_heap = {NULL, NULL, count}, few = {NULL, numbers, count - 1}, between = {NULL, (char *)numbers + 1, count};
    struct object short_answer = {NULL, &gesture, sizeof gesture - 1};
    const struct {
        const char *what;
        jlong handle;
        jobject samples, answer;
    } calls[] = {
        {"closed", 0, &samples, &answer},
        {"no samples", handle, NULL, &answer},
        {"samples on the heap", handle, &on_heap, &answer},
        {"11 numbers", handle, &few, &answer},
        {"at an odd address", handle, &between, &answer},
        {"no answer", handle, &samples, NULL},
        {"7 bytes for the answer", handle, &samples, &short_answer},
        {"as it should be", handle, &samples, &answer},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        NATIVE(Run)(env, &self, calls[i].handle, calls[i].samples, calls[i].answer);
        caught(calls[i].what);
    }
    NATIVE(Reset)(env, &self, 0);
    caught("reset when closed");
    NATIVE(Destroy)(env, &self, handle);
    NATIVE(Destroy)(env, &self, 0); /* closed twice */
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "%s RECORDING.csv\n", argv[0]);
        return 2;
    }
    printf("%d labels\n", NATIVE(LabelCount)(env, &self));
    tell(argv[1]);
    wrong_calls();
    return 0;
}
