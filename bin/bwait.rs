//! The front door of `bwait`; its story is in `awsb::cli::bwait`.

fn main() -> std::process::ExitCode {
    awsb::cli::bwait::main()
}
