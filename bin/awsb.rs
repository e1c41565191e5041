//! The one real program: all tools, and the local cluster's server and runners.

fn main() -> std::process::ExitCode {
    awsb::cli::main(std::process::exit)
}
