//! `bexec`: executes the `awsb` beside it, whose `cli::bexec` it is.

mod door;

fn main() -> std::process::ExitCode {
    door::open("bexec")
}
