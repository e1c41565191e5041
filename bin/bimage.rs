//! `bimage`: executes the `awsb` beside it, whose `cli::bimage` it is.

mod door;

fn main() -> std::process::ExitCode {
    door::open("bimage")
}
