//! The front door of `bkill`; its story is in `awsb::cli::bkill`.

fn main() -> std::process::ExitCode {
    awsb::cli::bkill::main()
}
