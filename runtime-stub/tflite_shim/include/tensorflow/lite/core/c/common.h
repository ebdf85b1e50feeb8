/* Another path of the same header. */
#include "tensorflow/lite/c/common.h"
