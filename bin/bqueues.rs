//! `bqueues`: executes the `awsb` beside it, whose `cli::bqueues` it is.

mod door;

fn main() -> std::process::ExitCode {
    door::open("bqueues")
}
