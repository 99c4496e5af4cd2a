//! The program `keepstone`.

fn main() -> std::process::ExitCode {
    keepstone::cli::main()
}
