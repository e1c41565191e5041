//! `bout`: executes the `awsb` beside it, whose `cli::bout` it is.

mod door;

fn main() -> std::process::ExitCode {
    door::open("bout")
}
