//! The front door of `bsub`; its story is in `awsb::cli::bsub`.

fn main() -> std::process::ExitCode {
    awsb::cli::bsub::main()
}
