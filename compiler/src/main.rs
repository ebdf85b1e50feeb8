//! The `cranelite` program; everything is in the library.

fn main() -> std::process::ExitCode {
    cranelite::cli::main()
}
