//! The front door of `blocal`; its story is in `awsb::cli::blocal`.

fn main() -> std::process::ExitCode {
    awsb::cli::blocal::main()
}
