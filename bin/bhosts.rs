//! `bhosts`: executes the `awsb` beside it, whose `cli::bhosts` it is.

mod door;

fn main() -> std::process::ExitCode {
    door::open("bhosts")
}
