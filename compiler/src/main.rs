//! The `cranelite` program; everything is in the library.

/// Compiling a large model is a great many small pieces of memory, of which some stay and most do not: the system's allocator takes a third of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cranelite::cli::main()
}
