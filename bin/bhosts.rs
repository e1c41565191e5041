//! The front door of `bhosts`; its story is in `awsb::cli::bhosts`.

fn main() -> std::process::ExitCode {
    awsb::cli::bhosts::main()
}
