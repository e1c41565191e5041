//! `bstat`: executes the `awsb` beside it, whose `cli::bstat` it is.

mod door;

fn main() -> std::process::ExitCode {
    door::open("bstat")
}
