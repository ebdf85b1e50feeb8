plugins {
    id("com.android.application")
    id("org.jetbrains.kotlin.android")
}

android {
    namespace = "com.example.gesture"
    compileSdk = 35
    ndkVersion = "27.2.12479018"

    defaultConfig {
        applicationId = "com.example.gesture"
        minSdk = 24
        targetSdk = 35
        versionCode = 1
        versionName = "1.0"
        // What the model is compiled for.
        ndk { abiFilters += listOf("arm64-v8a", "x86_64") }
        externalNativeBuild {
            cmake {
                // `-Pcranelite=/path/to/cranelite` where it is not in the PATH of Gradle, as in an IDE.
                providers.gradleProperty("cranelite").orNull?.let { arguments += "-DCRANELITE_EXECUTABLE=$it" }
            }
        }
    }

    externalNativeBuild {
        cmake {
            path = file("src/main/cpp/CMakeLists.txt")
            version = "3.22.1"
        }
    }
}

kotlin { jvmToolchain(17) }
