//! The front door of `bstat`; its story is in `awsb::cli::bstat`.

fn main() -> std::process::ExitCode {
    awsb::cli::bstat::main()
}
