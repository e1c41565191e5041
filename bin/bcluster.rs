//! `bcluster`: executes the `awsb` beside it, whose `cli::bcluster` it is.

mod door;

fn main() -> std::process::ExitCode {
    door::open("bcluster")
}
