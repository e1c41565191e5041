//! The front door of `bout`; its story is in `awsb::cli::bout`.

fn main() -> std::process::ExitCode {
    awsb::cli::bout::main()
}
