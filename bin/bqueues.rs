//! The front door of `bqueues`; its story is in `awsb::cli::bqueues`.

fn main() -> std::process::ExitCode {
    awsb::cli::bqueues::main()
}
