//! `bsub`: executes the `awsb` beside it, whose `cli::bsub` it is.

mod door;

fn main() -> std::process::ExitCode {
    door::open("bsub")
}
