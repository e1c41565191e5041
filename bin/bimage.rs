//! The front door of `bimage`; its story is in `awsb::cli::bimage`.

fn main() -> std::process::ExitCode {
    awsb::cli::bimage::main()
}
