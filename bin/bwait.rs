//! `bwait`: executes the `awsb` beside it, whose `cli::bwait` it is.

mod door;

fn main() -> std::process::ExitCode {
    door::open("bwait")
}
